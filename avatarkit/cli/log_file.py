"""Write the log records of avatarkit to a file that is rotated and holds no key."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

from avatarkit.api.redaction import redact_text
from avatarkit.clock import Clock
from avatarkit.errors import ConfigError
from avatarkit.text import printable

MAX_BYTES = 5_000_000
"""The size at which a new file is begun."""

KEPT = 4
"""How many older files are kept beside it, as ``.1`` to ``.4``."""

logger = logging.getLogger("avatarkit")


@contextmanager
def log_to_file(
    path: Path | None, level: str, clock: Clock, *, on_error: Callable[[str], None]
) -> Iterator[None]:
    """Write avatarkit's log records to a file while the block runs.

    Args:
        path: The file; it is created with mode 0600, or appended to. Without one the records go
            nowhere: what matters in them is printed by the command itself.
        level: ``debug``, ``info``, ``warning`` or ``error``.
        clock: The session's clock, which dates the records.
        on_error: Called with a sentence, once, if a record cannot be written.

    Raises:
        ConfigError: The file cannot be opened.
    """
    handler: logging.Handler = logging.NullHandler()
    before = logger.level
    if path is not None:
        try:
            handler = _LogFile(path, on_error)
        except OSError as error:
            raise ConfigError(
                f"The log file {path} cannot be opened ({error.strerror}); give a file in a "
                "folder that exists and that you may write to."
            ) from None
        handler.setFormatter(_Formatter(clock))
        logger.setLevel(level.upper())
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
        handler.close()


class _LogFile(RotatingFileHandler):
    """A rotated file that only its owner can read."""

    def __init__(self, path: Path, on_error: Callable[[str], None]) -> None:
        self._on_error: Callable[[str], None] | None = on_error
        super().__init__(path, maxBytes=MAX_BYTES, backupCount=KEPT, encoding="utf-8")

    def _open(self) -> TextIOWrapper:
        descriptor = os.open(self.baseFilename, os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o600)
        # A pipe or a device keeps its mode.
        if os.name == "posix" and stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.fchmod(descriptor, 0o600)
        return os.fdopen(descriptor, "a", encoding="utf-8", errors="backslashreplace")

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002 - logging's signature
        """Say once that the file cannot be written; tracking goes on."""
        if self._on_error is not None:
            on_error, self._on_error = self._on_error, None
            on_error(f"The log file {self.baseFilename} cannot be written; make room on its disk.")


class _Formatter(logging.Formatter):
    """Formats a record with the time of the session's clock, without keys, message on one line."""

    def __init__(self, clock: Clock) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")
        self._clock = clock

    def formatTime(self, *_: object) -> str:
        return f"{self._clock.now():%Y-%m-%d %H:%M:%S}Z"

    def formatMessage(self, record: logging.LogRecord) -> str:
        return super().formatMessage(record).replace("\n", " ")

    def format(self, record: logging.LogRecord) -> Any:
        # After everything else: an exception's text can hold a key, too.
        return printable(redact_text(super().format(record)))
