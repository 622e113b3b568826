"""Define settings for what the vendor has not published about the API."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Annotated, Literal

from pydantic import AllowInfNan, Field, PositiveFloat, PositiveInt, TypeAdapter, ValidationError

from avatarkit.errors import ConfigError
from avatarkit.models import error_sentence

RetryAfter = Literal["seconds", "date", "none"]
"""``Retry-After`` of a 429: whole seconds, an HTTP date, or no header."""

ErrorShape = Literal["fields", "list", "detail"]
"""The shape of a 400: ``{"field": ["msg"]}``, ``["msg"]`` or ``{"detail": "msg"}``."""

TruncatedBody = Literal["refused", "taken"]
"""What is done with a truncated multipart body."""


@dataclass(frozen=True, kw_only=True)
class Behaviour:
    """Settings of the sandbox where the API is not documented; the likeliest is the default.

    Nothing here is a fact of the API, so no client may rely on it. ``Seen`` marks what callers of
    the API have reported; the rest is guessed from Django REST framework, which the vendor uses.
    """

    redirect_missing_slash: bool = True
    """Seen: a path without its last slash gets a 301. False: a 404."""

    quota_status: Annotated[int, Field(ge=400, le=599)] = 403
    """The status of a create when the plan is full."""

    quota_detail: str = "You have reached the maximum number of custom avatars for your plan."
    """The message of that answer."""

    calls_per_s: Annotated[PositiveFloat, AllowInfNan(False)] | None = None
    """Sustained calls per wall second; further calls get a 429. None: no limit."""

    burst: int = 20
    """Calls that are accepted at once before ``calls_per_s`` applies."""

    retry_after: RetryAfter = "seconds"
    """The ``Retry-After`` header of that 429."""

    utc_offset_h: Annotated[float, Field(gt=-24, lt=24)] = -8.0
    """Seen: timestamps carry the UTC offset of the vendor's time zone."""

    page_size: PositiveInt = 10
    """Results on a page of ``GET /api/personas/paginated/`` without ``page_size``."""

    get_carries_process_status: bool = True
    """False: GET by id and lists leave out ``process_status``; only ``is_active`` is left."""

    error_shape: ErrorShape = "fields"
    """The shape of a 400 to a create. Seen: all three, on other endpoints of the API."""

    form_labels: Literal["repeated", "commas"] = "repeated"
    """How a form gives several labels: a repeated field, or one field with commas, the last one."""

    accepts_blank: bool = False
    """True: optional texts may be blank. False: the framework's default, a 400; in a form, where
    nothing else says null, an empty field is null."""

    equal_creates_make_two: bool = True
    """False: a create that equals an earlier one is answered with the earlier persona."""

    active_when_done: bool = True
    """False: ``is_active`` stays false for a persona that is done."""

    list_shows_unfinished: bool = True
    """False: lists contain only personas that are done."""

    file_create_accepts_urls: bool = False
    """True: ``POST /api/personas_v2/`` accepts the URL of a video in place of a file."""

    webhook_body: Literal["summary", "persona"] = "summary"
    """The body of a webhook: ``id, status, failed_reason, output``, as other endpoints send it, or
    the whole persona as GET by id returns it."""

    create_carries_gdown_url: bool = False
    """True: the answer to every create contains ``gdown_url``, as on some of the vendor's pages."""

    truncated_body: TruncatedBody = "refused"
    """``refused``: a multipart body without its last boundary gets a 400. ``taken``: a persona is
    made from what arrived, as by Django behind gunicorn: of a text also a part, of a file nothing
    unless it is complete."""

    max_text_bytes: int = 2_621_440
    """Largest body in bytes, not counting files; larger ones get a 413. Django's default."""


def parse_behaviour(texts: Iterable[str]) -> Behaviour:
    """Return the ``Behaviour`` that texts such as ``quota_status=402`` describe.

    Raises:
        ConfigError: There is no such setting, or its value does not fit.
    """
    values = {}
    for text in texts:
        name, equals, value = text.partition("=")
        names = [field.name for field in fields(Behaviour)]
        if not equals or name not in names:
            raise ConfigError(
                f"{text!r} sets nothing; write NAME=VALUE with one of {', '.join(names)}."
            )
        values[name] = value
    try:
        return TypeAdapter(Behaviour).validate_python(values)
    except ValidationError as error:
        raise ConfigError(error_sentence(error)) from None
