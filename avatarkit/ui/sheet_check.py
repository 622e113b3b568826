"""Check a sheet in a thread, as looking at fifty videos takes longer than a page should wait."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from avatarkit.errors import AvatarkitError
from avatarkit.preflight import Report, check_field
from avatarkit.tracking.sheet import Row
from avatarkit.ui.footage_reports import compact

logger = logging.getLogger("avatarkit")

OnChecked = Callable[[int, int], None]
"""Takes how many rows are checked, and how many there are."""


MOST_REPORTS = 1_000
"""As many checks of videos are kept in memory, each with a picture of 50 kB."""


class _Outdated(Exception):
    """Ends a check whose sheet has changed meanwhile."""


@dataclass(frozen=True)
class Checked:
    """What a check has found: the rows, or why they could not be checked."""

    rows: Sequence[Row] = ()
    error: str | None = None


def check_video(path: Path, field: str) -> Report:
    """Check the video of a field, once until the file changes."""
    try:
        stat = path.stat()
    except (OSError, ValueError):
        return check_field(path, field)
    return _check(path, field, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=MOST_REPORTS)
def _check(path: Path, field: str, *_version: int) -> Report:
    return compact(check_field(path, field))


class SheetCheck:
    """The newest check of one sheet.

    Attributes:
        done: How many rows are checked.
        total: How many rows there are.
    """

    def __init__(self) -> None:
        self.done = self.total = 0
        self._key: Hashable = None
        self._found: tuple[Hashable, Checked] | None = None
        self._thread: threading.Thread | None = None
        self._turn = threading.Lock()

    @property
    def checked(self) -> Checked | None:
        """What the check has found; None while it runs."""
        found = self._found
        return found[1] if found is not None and found[0] == self._key else None

    def start(
        self, key: Hashable, check: Callable[[OnChecked], Sequence[Row]], *, wait_s: float
    ) -> None:
        """Check a sheet, unless its check is there or runs; a check of an older one ends.

        Args:
            key: Differs when the sheet, or a file that it names, has changed.
            check: Checks the sheet; called in a thread.
            wait_s: Wall seconds to wait for the result, at most.
        """
        if key != self._key:
            self._key, self.done, self.total = key, 0, 0
            self._thread = threading.Thread(target=self._run, args=(key, check), daemon=True)
            self._thread.start()
        if self._thread is not None:
            self._thread.join(wait_s)

    def repeat(self) -> None:
        """Let the next ``start`` check the sheet once more: the account has changed."""
        self._key = None

    def _run(self, key: Hashable, check: Callable[[OnChecked], Sequence[Row]]) -> None:
        def on_checked(done: int, total: int) -> None:
            if key != self._key:
                raise _Outdated
            self.done, self.total = done, total

        # One after the other, so that a later one finds the videos that an earlier one looked at.
        with self._turn:
            if key != self._key:
                return
            try:
                checked = Checked(check(on_checked))
            except _Outdated:
                return
            except AvatarkitError as error:
                checked = Checked(error=str(error))
            except Exception as error:
                logger.exception("A sheet could not be checked.")
                checked = Checked(error=f"The rows could not be checked ({type(error).__name__}).")
            self._found = key, checked
