"""Redact the API key and the token of webhooks in answers and logs of the HTTP libraries."""

from __future__ import annotations

import json
import logging

from avatarkit.text import hide_webhook_token

REDACTED = "[key]"
LONG_KEY = 12
"""Keys of at least this many characters do not occur in other text by chance."""


class Redactor:
    """Replaces an API key in bytes with ``[key]``, both as it is and as JSON escapes it.

    The token in a webhook's URL, which an answer may quote, is replaced too.
    """

    def __init__(self, key: str) -> None:
        self.is_long = len(key) >= LONG_KEY
        # The key may hold quotes and other characters that JSON escapes.
        self._forms = [form.encode() for form in sorted({key, json.dumps(key)[1:-1]}, reverse=True)]

    def __call__(self, data: bytes) -> bytes:
        """Return the data without the key."""
        # First, as a short key may be a part of the path before it. Latin-1 keeps every byte.
        data = hide_webhook_token(data.decode("latin-1")).encode("latin-1")
        for form in self._forms:
            data = data.replace(form, REDACTED.encode())
        return data


_keys: set[str] = set()
_origins: set[str] = set()
# A filter on a logger does not apply to its child loggers, so each is listed.
_LOGGERS = (
    "httpx",
    "httpcore.connection",
    "httpcore.http11",
    "httpcore.http2",
    "httpcore.proxy",
    "httpcore.socks",
)


def redact_logs(key: str, base_url: str) -> None:
    """Redact a key in all log records of the HTTP libraries from now on.

    The line of httpx for each call, at level INFO, is kept only if its logger is at DEBUG: a
    tracker makes thousands of calls.

    Args:
        key: The API key.
        base_url: Where the calls go; other calls through httpx are logged as before.
    """
    _keys.update({key, json.dumps(key)[1:-1]} - {""})
    _origins.add(base_url)
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_redact_record)


def redact_text(text: str) -> str:
    """Return a text without tokens of webhooks and the keys that ``redact_logs`` was given."""
    # First, as a short key may be a part of the path before it.
    text = hide_webhook_token(text)
    for key in sorted(_keys, key=len, reverse=True):
        text = text.replace(key, REDACTED)
    return text


def _redact_record(record: logging.LogRecord) -> bool:
    if record.name == "httpx" and record.levelno == logging.INFO:
        is_ours = any(str(arg).startswith(tuple(_origins)) for arg in record.args or ())
        if is_ours and not logging.getLogger("httpx").isEnabledFor(logging.DEBUG):
            return False
    # The HTTP libraries log headers and status lines.
    text = record.getMessage()
    redacted = redact_text(text)
    if redacted != text:
        record.msg, record.args = redacted, None
    return True
