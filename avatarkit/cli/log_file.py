"""Write the log records of avatarkit to a file that is rotated and holds no key."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path

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
    level_before = logger.level
    if path is not None:
        try:
            handler = _LogFile(path, on_error)
        except OSError as error:
            raise ConfigError(
                f"The log file {path} cannot be opened ({error.strerror}); set AVATARKIT_LOG_FILE "
                "or --log-file to a file in a folder that you may write to."
            ) from None
        handler.setFormatter(_Formatter(clock))
        logger.setLevel(level.upper())
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level_before)
        with suppress(OSError):  # a full disk was said already
            handler.close()


class _LogFile(RotatingFileHandler):
    """A rotated file that only its owner can read."""

    def __init__(self, path: Path, on_error: Callable[[str], None]) -> None:
        self._on_error = on_error
        self._has_failed = False
        super().__init__(path, maxBytes=MAX_BYTES, backupCount=KEPT, encoding="utf-8")

    def _open(self) -> TextIOWrapper:
        descriptor = os.open(self.baseFilename, os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o600)
        # The file may have been there before; a pipe or a device keeps its mode.
        if os.name == "posix" and stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.fchmod(descriptor, 0o600)
        return os.fdopen(descriptor, "a", encoding="utf-8", errors="backslashreplace")

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002 - logging's signature
        """Say once that the file cannot be written; tracking goes on."""
        if not self._has_failed:
            self._has_failed = True
            self._on_error(
                f"The log file {self.baseFilename} cannot be written; make room on its disk."
            )


class _Formatter(logging.Formatter):
    """Formats a record with the time of the session's clock, and without keys."""

    def __init__(self, clock: Clock) -> None:
        super().__init__("%(levelname)s %(message)s")
        self._clock = clock

    def format(self, record: logging.LogRecord) -> str:
        # Redacted after everything else: an exception's text can hold a key, too.
        text = printable(redact_text(super().format(record)))
        return f"{self._clock.now():%Y-%m-%d %H:%M:%S}Z {text}"
