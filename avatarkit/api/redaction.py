"""Redact the API key in answers, their headers and the logs of the HTTP libraries."""

from __future__ import annotations

import json
import logging

REDACTED = "[key]"
LONG_KEY = 12
"""Keys of at least this many characters do not occur in other text by chance."""


class Redactor:
    """Replaces an API key in bytes with ``[key]``, both as it is and as JSON escapes it."""

    def __init__(self, key: str) -> None:
        self.is_long = len(key) >= LONG_KEY
        # The key may hold quotes and other characters that JSON escapes.
        self._forms = [form.encode() for form in sorted({key, json.dumps(key)[1:-1]}, reverse=True)]

    def __call__(self, data: bytes) -> bytes:
        """Return the data without the key."""
        for form in self._forms:
            data = data.replace(form, REDACTED.encode())
        return data


_keys: set[str] = set()
# A filter on a logger does not apply to its child loggers, so each is listed.
_LOGGERS = (
    "httpx",
    "httpcore.connection",
    "httpcore.http11",
    "httpcore.http2",
    "httpcore.proxy",
    "httpcore.socks",
)


def redact_logs(key: str) -> None:
    """Redact a key in all log records of the HTTP libraries from now on."""
    _keys.update({key, json.dumps(key)[1:-1]} - {""})
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_redact_record)


def redact_text(text: str) -> str:
    """Return a text without the keys that ``redact_logs`` was called with."""
    for key in sorted(_keys, key=len, reverse=True):
        text = text.replace(key, REDACTED)
    return text


def _redact_record(record: logging.LogRecord) -> bool:
    # The HTTP libraries log headers and status lines.
    text = record.getMessage()
    redacted = redact_text(text)
    if redacted != text:
        record.msg, record.args = redacted, None
    return True
