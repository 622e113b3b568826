"""Keys are blotted out of whatever others write: answers, their headers, logs of the libraries."""

from __future__ import annotations

import json
import logging

IN_ITS_PLACE = "[key]"
TELLING = 12
"""A key of so many characters stands in nothing by chance."""


class Blot:
    """Blots one key out, as it is and as JSON writes it."""

    def __init__(self, key: str) -> None:
        # Echoed in JSON, quotes and the like of the key are written in another way.
        self.is_telling = len(key) >= TELLING
        self._forms = [form.encode() for form in sorted({key, json.dumps(key)[1:-1]}, reverse=True)]

    def __call__(self, data: bytes) -> bytes:
        """The data without the key."""
        for form in self._forms:
            data = data.replace(form, IN_ITS_PLACE.encode())
        return data

    def __repr__(self) -> str:
        return "Blot()"


class _InLogs(logging.Filter):
    """What the HTTP libraries log holds headers and status lines, in which a key may be echoed."""

    def __init__(self) -> None:
        super().__init__()
        self.keys: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        if any(key in text for key in self.keys):
            for key in self.keys:
                text = text.replace(key, IN_ITS_PLACE)
            record.msg, record.args = text, None
        return True


_in_logs = _InLogs()
_LOGGERS = (
    "httpx",
    "httpcore.connection",
    "httpcore.http11",
    "httpcore.proxy",
    "httpx_retries.retry",
    "httpx_retries.transport",
)


def out_of_logs(key: str) -> None:
    """From now on no log record of the HTTP libraries shows this key."""
    _in_logs.keys.add(key)
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_in_logs)
