"""What the vendor has not published about the API, as named settings of the sandbox."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

RetryAfter = Literal["seconds", "date", "none"]
"""How a 429 says when to come back: whole seconds, an HTTP date, or not at all."""

WebhookBody = Literal["summary", "persona"]
"""``id, status, failed_reason, output``, or the whole persona as GET by id shows it."""


Refusal = Literal["fields", "list", "detail"]
"""The shape of a 400: ``{"field": ["msg"]}``, ``["msg"]`` or ``{"detail": "msg"}``."""

FormLabels = Literal["repeated", "commas"]
"""How a form gives several labels: the field again and again, or once with commas."""

TruncatedBody = Literal["refused", "taken"]
"""What becomes of a multipart body that breaks off."""


@dataclass(frozen=True, kw_only=True)
class Behaviour:
    """How the sandbox acts where nobody outside the vendor knows; the likeliest is the default.

    Nothing here is a fact of the API, so no client may rely on it. ``seen`` was noted by somebody
    who called the API, the rest is guessed from Django REST framework, which the vendor uses.
    """

    redirect_missing_slash: bool = True
    """Seen: a path without its last slash gets a 301; otherwise a 404."""

    quota_status: int = 403
    """The answer to a create when the plan has no room."""

    quota_detail: str = "You have reached the maximum number of custom avatars for your plan."

    calls_per_s: float | None = None
    """Calls that are let through in a wall second, for long; the others get a 429. None: all."""

    burst: int = 20
    """Calls that are let through at once before ``calls_per_s`` counts."""

    retry_after: RetryAfter = "seconds"
    """How that 429 says when to come back: ``seconds``, ``date`` (an HTTP date) or ``none``."""

    utc_offset_h: float = -8.0
    """Seen: timestamps are written with the offset of the vendor's own time zone."""

    page_size: int = 20
    """Results on a page of ``GET /api/personas/paginated/``."""

    get_carries_process_status: bool = True
    """False: GET by id and lists leave ``process_status`` out, and only ``is_active`` is left."""

    refusal: Refusal = "fields"
    """Seen on sibling endpoints, all three: how a 400 says what is wrong."""

    form_labels: FormLabels = "repeated"
    """Where it is ``commas`` the last of repeated fields counts."""

    equal_creates_make_two: bool = True
    """False: a create that is equal to an earlier one is answered with the persona of that."""

    active_when_done: bool = True
    """False: ``is_active`` stays false in a persona that is done; the two may disagree."""

    list_shows_unfinished: bool = True
    """False: lists show personas only when they are done."""

    file_create_accepts_urls: bool = False
    """True: ``POST /api/personas_v2/`` takes the URL of a video where it asks for a file."""

    webhook_body: WebhookBody = "summary"
    """What a webhook says. ``summary`` is the body that sibling endpoints send."""

    create_carries_gdown_url: bool = False
    """True: the answer to a create has ``gdown_url`` too, as it sometimes has."""

    truncated_body: TruncatedBody = "refused"
    """``refused``: a multipart body without its last boundary is a 400, or makes nothing when the
    connection has ended. ``taken``: a persona is made of the parts that arrived whole."""

    max_text_bytes: int = 2_621_440
    """Bytes of a JSON or form body without its files; Django's own default. More gets a 413."""
