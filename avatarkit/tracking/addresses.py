"""Send a message to the addresses of ``AVATARKIT_NOTIFY``, which are URLs of Apprise.

Such a URL is a secret as a whole: a token may stand anywhere in it. Nothing but its scheme and its
place in the list is shown, and what Apprise says of an error is redacted.
"""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import re
import threading
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import ModuleType
from typing import Any
from urllib.parse import unquote

from avatarkit.text import printable

NOT_INSTALLED = (
    "AVATARKIT_NOTIFY is set, but Apprise, which sends the messages, is not installed; run "
    "pip install 'avatarkit[notify]'. Until then no message is sent."
)
LONGEST_ERROR = 200
_REDACTED = "[…]"
_SCHEME = re.compile(r"([a-z0-9]{1,32})://", re.IGNORECASE)
# A URL may hold commas and spaces, so only those before a scheme part two of them, as in Apprise.
_SEPARATOR = re.compile(r"[\r\n]+|[\s,;]+(?=[a-z0-9]{1,32}://)", re.IGNORECASE)
_PART = re.compile(r"[^/?&=#:@,+\s]{3,}")


@dataclass(frozen=True)
class Address:
    """One address.

    Attributes:
        number: Its place in the list, from 1.
        scheme: Its scheme, such as ``mailto``.
        key: Tells it from other addresses, also after the list was changed.
        send: Sends a title and a body, both plain text. Returns None if the service took it, else
            why not, without any secret. It may take as long as the service does.
    """

    number: int
    scheme: str
    key: str
    send: Callable[[str, str], str | None] = field(repr=False, compare=False)

    def __str__(self) -> str:
        return f"address {self.number} ({self.scheme})"


class Addresses:
    """The addresses of one setting; Apprise is loaded when they are opened, as it takes a second.

    Args:
        text: Apprise's URLs, separated by spaces, commas, semicolons or line ends.
    """

    def __init__(self, text: str) -> None:
        pieces = (piece.strip(" \t,;") for piece in _SEPARATOR.split(text))
        self._urls = [piece for piece in pieces if piece]
        self._lock = threading.Lock()
        self._opened: tuple[Sequence[Address], list[str]] | None = None

    @property
    def schemes(self) -> list[str]:
        """The scheme of each address, such as ``mailto``; ``?`` if it has none."""
        return [_scheme(url) for url in self._urls]

    @property
    def problems(self) -> list[str]:
        """A sentence for each address that cannot be used; known once they were opened."""
        if not is_installed():
            return [NOT_INSTALLED]
        return [] if self._opened is None else self._opened[1]

    def open(self) -> Sequence[Address]:
        """Return the addresses that can be used."""
        with self._lock:
            if self._opened is None:
                if not is_installed():
                    return []
                self._opened = _open(self._urls)
            return self._opened[0]

    def __repr__(self) -> str:
        return f"Addresses({', '.join(self.schemes)})"


def is_installed() -> bool:
    """Return whether Apprise is there."""
    return importlib.util.find_spec("apprise") is not None


def _open(urls: Sequence[str]) -> tuple[list[Address], list[str]]:
    """Return the addresses that Apprise takes, and a sentence for each of the others."""
    apprise = _load()
    # In the calling thread, and without a limit: ``notify`` limits the time itself.
    asset = apprise.AppriseAsset(async_mode=False, service_timeout=0)
    addresses, problems = [], []
    for number, url in enumerate(urls, 1):
        scheme = _scheme(url)
        service = apprise.Apprise.instantiate(url, asset=asset)
        if service is None:
            reason = "has no scheme, such as mailto:// or ntfy://"
            if scheme != "?":
                reason = f"({scheme}) is not as Apprise expects it"
            problems.append(
                f"AVATARKIT_NOTIFY: address {number} {reason}; correct it, no message goes to it."
            )
            continue
        key = hashlib.blake2b(url.encode(), digest_size=4).hexdigest()
        addresses.append(Address(number, scheme, key, partial(_send, url, service, asset)))
    return addresses, problems


def _send(url: str, service: Any, asset: Any, title: str, body: str) -> str | None:
    import apprise

    sender = apprise.Apprise(service, asset=asset)
    result = sender.notify(title=title, body=body, body_format=apprise.NotifyFormat.TEXT)
    if result:
        return None
    reasons = dict.fromkeys(entry.message for entry in result.logs())
    text = " ".join(" ".join(reasons).split()) or "The service did not take it."
    return printable(redact(text, url))[:LONGEST_ERROR]


def redact(text: str, url: str) -> str:
    """Return a text without the parts of a URL, as they are or percent-decoded."""
    parts = {part for form in (url, unquote(url)) for part in _PART.findall(form)}
    parts -= {_scheme(url)}
    for part in sorted(parts | {unquote(part) for part in parts}, key=len, reverse=True):
        text = text.replace(part, _REDACTED)
    return text


def _scheme(url: str) -> str:
    match = _SCHEME.match(url)
    return "?" if match is None else match[1].lower()


def _load() -> ModuleType:
    with warnings.catch_warnings():
        # Apprise imports what later Pythons do not have any more.
        warnings.simplefilter("ignore", DeprecationWarning)
        import apprise

        apprise.Apprise.instantiate("json://localhost")  # loads its services
    # Their records hold URLs and payloads.
    logging.getLogger("apprise").propagate = False
    for name in ("urllib3", "oauthlib", "requests_oauthlib"):
        logging.getLogger(name).setLevel(logging.WARNING)
    return apprise
