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
    _keys.add(key)
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_redact_record)


def _redact_record(record: logging.LogRecord) -> bool:
    # The HTTP libraries log headers and status lines.
    text = record.getMessage()
    if any(key in text for key in _keys):
        for key in _keys:
            text = text.replace(key, REDACTED)
        record.msg, record.args = text, None
    return True
