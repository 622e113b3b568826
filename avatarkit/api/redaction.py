"""Redaction of the API key in answers, their headers and the logs of the HTTP libraries."""

from __future__ import annotations

import json
import logging

REDACTED = "[key]"
LONG_KEY = 12
"""A key of this many characters occurs in no other text by chance."""


class Redactor:
    """Replaces one API key in bytes by ``[key]``, as it is and as JSON writes it."""

    def __init__(self, key: str) -> None:
        self.is_long = len(key) >= LONG_KEY
        # JSON escapes quotes and the like that the key may hold.
        self._forms = [form.encode() for form in sorted({key, json.dumps(key)[1:-1]}, reverse=True)]

    def __call__(self, data: bytes) -> bytes:
        """Return the data without the key."""
        for form in self._forms:
            data = data.replace(form, REDACTED.encode())
        return data


_keys: set[str] = set()
# A filter of a logger does not see the records of the loggers below it.
_LOGGERS = (
    "httpx",
    "httpcore.connection",
    "httpcore.http11",
    "httpcore.http2",
    "httpcore.proxy",
    "httpcore.socks",
)


def redact_logs(key: str) -> None:
    """Replace this key in all log records of the HTTP libraries from now on."""
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
