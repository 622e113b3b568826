"""Remember what a browser has seen: up to where the log went at its last visit, and hints.

In the data folder, at ``drafts/<browser>/visit.json``, so that it is deleted with the rest of what
a browser left that has not come back for long.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from avatarkit.files import replace_file
from avatarkit.ui import running
from avatarkit.ui.browser import browser_id
from avatarkit.ui.draft import make_private

ENDS_AFTER = timedelta(minutes=30)
"""A visit has ended when no tab of the browser was drawn for as long, on the machine's clock."""

_WRITE_EVERY = timedelta(minutes=1)


@dataclass(frozen=True)
class Visit:
    """What a browser has seen.

    Attributes:
        account: The fingerprint of the account.
        since_run: The newest run of a status at the end of the visit before; None in the first.
        last_run: The newest run that was drawn.
        drawn_us: When a tab was drawn last, in microseconds since 1970 on the machine's clock.
        dismissed: The hints that were dismissed.
    """

    account: str | None = None
    since_run: int | None = None
    last_run: int = 0
    drawn_us: int = 0
    dismissed: tuple[str, ...] = ()

    @property
    def drawn_at(self) -> datetime:
        """When a tab was drawn last, on the machine's clock."""
        return datetime.fromtimestamp(self.drawn_us / 1e6, UTC)

    def draw(self, account: str | None, last_run: int, now: datetime) -> Visit:
        """Return this visit, or the next one if this has ended, with a tab drawn now.

        Args:
            account: The account that is drawn.
            last_run: The newest run of a status in its log.
            now: The moment on the machine's clock.
        """
        drawn_us = int(now.timestamp() * 1e6)
        if self.account != account or last_run < self.last_run:  # another log
            return Visit(account, None, last_run, drawn_us, self.dismissed)
        has_ended = not timedelta(0) <= now - self.drawn_at < ENDS_AFTER
        since_run = self.last_run if has_ended else self.since_run
        return replace(self, since_run=since_run, last_run=last_run, drawn_us=drawn_us)


def note(last_run: int) -> None:
    """Take note that a person has a page drawn.

    What the watcher draws does not count: a tab that is left open overnight would see everything,
    and in the morning nothing would be marked.

    Args:
        last_run: The newest run of a status in the log.
    """
    session = running.get().session
    visit, now = _read(), session.clock.wall_now()
    drawn = visit.draw(session.store.account, last_run, now)
    is_recent = timedelta(0) <= now - visit.drawn_at < _WRITE_EVERY
    if replace(drawn, drawn_us=visit.drawn_us) != visit or not is_recent:
        _write(drawn)


def changed_ids() -> set[str]:
    """Return the ids of the avatars that changed their status since this browser's last visit.

    Returns:
        The ids; none in the first visit.
    """
    store, visit = running.get().session.store, _read()
    if visit.since_run is None or visit.account != store.account:
        return set()
    return store.changed_after(visit.since_run)


def is_dismissed(hint: str) -> bool:
    """Return whether this browser has dismissed a hint."""
    return hint in _read().dismissed


def dismiss(hint: str) -> None:
    """Show a hint to this browser no more."""
    visit = _read()
    _write(replace(visit, dismissed=tuple(sorted({*visit.dismissed, hint}))))


def _path() -> Path:
    return running.get().outbox.uploads.draft(browser_id()).folder / "visit.json"


def _read() -> Visit:
    try:
        values = json.loads(_path().read_text(encoding="utf-8"))
        visit = Visit(**{**values, "dismissed": tuple(values["dismissed"])})
        # A file of something else would fail here.
        _ = visit.drawn_at, visit.last_run + (visit.since_run or 0)
    except (OSError, TypeError, ValueError, KeyError, OverflowError):
        return Visit()
    return visit


def _write(visit: Visit) -> None:
    path = _path()
    with suppress(OSError):  # a full disk, on which nothing is marked
        make_private(path.parent)
        replace_file(path, json.dumps(asdict(visit)).encode(), private=True)
