"""Take webhooks as hints: what they name is polled soon, and nothing else that they say is used.

A webhook can be forged, repeated or lost, and what it says is neither believed nor stored. The
status is read by polling, also if no webhook ever arrives.
"""

from __future__ import annotations

import json
import re
import secrets
import threading
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

from avatarkit.clock import Clock
from avatarkit.errors import ConfigError
from avatarkit.models import PersonaCreate
from avatarkit.settings import check_public_url
from avatarkit.store.store import Store
from avatarkit.text import WEBHOOK_PATH

UNNAMED_REST = timedelta(minutes=5)
"""All avatars are polled for webhooks that name none this often at most, on the session's clock."""
MOST_IDS = 100
"""At most this many names of one webhook are looked at."""

_NAMES = {"id", "uuid", "persona", "persona_id", "creator", "creator_id", "avatar", "avatar_id"}
_ID = re.compile(r"[\w-]{1,100}", re.ASCII)


class Webhooks:
    """The address at which webhooks of an account arrive, and what they bring about.

    Args:
        store: The log.
        clock: The session's clock.
        public_url: Scheme and host at which the API reaches the app; None: submissions carry no
            address.

    Attributes:
        known_token: The token when it was last read from the log.

    Raises:
        ConfigError: ``public_url`` is not scheme and host, or too long.
    """

    def __init__(self, store: Store, clock: Clock, public_url: str | None) -> None:
        self._store = store
        self._clock = clock
        self.known_token: str | None = None
        self._unnamed_at: datetime | None = None
        self._lock = threading.Lock()
        try:
            self._public_url = None if public_url is None else check_public_url(public_url)
        except ValueError as error:
            raise ConfigError(f"{error}.") from None

    def token(self) -> str | None:
        """Return the secret end of the address as it is stored; None if there is none.

        It changes when what was followed with an older API id is carried over.

        Raises:
            StoreError: The log failed.
        """
        new = None if self._public_url is None else secrets.token_urlsafe(32)
        self.known_token = self._store.webhook_token(new)
        return self.known_token

    def url(self) -> str | None:
        """Return the address at which webhooks arrive, None without ``public_url``.

        Raises:
            StoreError: The log failed.
        """
        if self._public_url is None:
            return None
        return f"{self._public_url}{WEBHOOK_PATH}{self.token()}"

    def address(self, request: PersonaCreate) -> PersonaCreate:
        """Return a create with this address, unless it has one of its own.

        Raises:
            StoreError: The log failed.
        """
        if self._public_url is None or request.webhook_url is not None:
            return request
        return request.model_copy(update={"webhook_url": self.url()})

    def take(self, body: bytes, content_type: str = "") -> int:
        """Make due what a webhook names, or all that is in flight if it names nothing.

        Args:
            body: The body as it came.
            content_type: Its header.

        Returns:
            How many avatars are polled earlier than was planned.

        Raises:
            StoreError: The log failed.
        """
        ids = named_ids(body, content_type)
        if ids is not None:
            return self._store.hint(ids) if ids else 0
        with self._lock:
            soonest, before = (now := self._clock.now()), self._unnamed_at
            # A time further ahead was set while the clock was wrong.
            if before is not None and now - UNNAMED_REST < before <= now + UNNAMED_REST:
                soonest = before if before > now else before + UNNAMED_REST
            self._unnamed_at = soonest
            return self._store.hint(None, None if soonest == now else soonest)


def named_ids(body: bytes, content_type: str = "") -> set[str] | None:
    """Return the ids that a webhook's body names, in JSON or as a form.

    Source: the body is not documented. Other endpoints of the API send ``{"id": …, "status": …}``;
    names and nesting that are usual elsewhere are read too.

    Args:
        body: The body as it came.
        content_type: Its header.

    Returns:
        The ids, at most ``MOST_IDS``; none of what cannot be an id. None if nothing is named.
    """
    content: Any = None
    try:
        if "form" in content_type.lower():
            content = parse_qs(body.decode(), max_num_fields=MOST_IDS)
        else:
            content = json.loads(body)
    except (ValueError, RecursionError):  # UnicodeDecodeError is a ValueError
        return None
    names: list[str] = []
    # By a list of what is left, as the nesting may be deeper than Python's stack.
    left: list[tuple[bool, Any]] = [(False, content)]
    while left:
        is_named, value = left.pop()
        if isinstance(value, dict):
            left += [(str(name).lower() in _NAMES, item) for name, item in value.items()]
        elif isinstance(value, list):
            left += [(is_named, item) for item in value]
        elif is_named and isinstance(value, str):
            names.append(value)
    if not names:
        return None
    return {name for name in names[:MOST_IDS] if _ID.fullmatch(name)}
