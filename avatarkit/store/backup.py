"""Back up the file of a SQLite database by SQLite's own API, and keep the newest backups."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from avatarkit.files import replacing_file

EVERY = timedelta(days=1)
_STAMP = "%Y%m%dT%H%M%SZ"


class Damaged(sqlite3.DatabaseError):
    """The copy of a database did not pass SQLite's check, so the database itself is damaged."""

    sqlite_errorcode = sqlite3.SQLITE_CORRUPT


def folder_of(file: Path) -> Path:
    """Return the folder of a database's backups: ``backups`` next to it."""
    return file.parent / "backups"


def path_at(file: Path, now: datetime) -> Path:
    """Return the path of a backup that is made now."""
    return folder_of(file) / f"{file.stem}-{now.astimezone(UTC):{_STAMP}}{file.suffix}"


def backups(file: Path) -> dict[Path, datetime]:
    """Return the daily backups of a database and when they were made, the newest last."""
    name = re.compile(rf"{re.escape(file.stem)}-(\d{{8}}T\d{{6}}Z){re.escape(file.suffix)}")
    found: dict[Path, datetime] = {}
    with suppress(OSError):
        for path in sorted(folder_of(file).iterdir()):
            if match := name.fullmatch(path.name):
                with suppress(ValueError):
                    at = datetime.strptime(match[1], _STAMP)  # noqa: DTZ007 - the Z says UTC
                    found[path] = at.replace(tzinfo=UTC)
    return found


def newest(file: Path) -> Path | None:
    """Return the newest daily backup of a database, None if there is none."""
    return next(reversed(backups(file)), None)


def is_due(file: Path, now: datetime) -> bool:
    """Return whether no backup was made within the last day."""
    # One of a time that is still to come was made while the clock was wrong.
    return not any(now - EVERY < at <= now for at in backups(file).values())


def delete_oldest(file: Path, keep: int, now: datetime) -> None:
    """Delete all daily backups but the newest, and what killed processes left.

    Args:
        file: The database.
        keep: How many backups stay.
        now: The moment, on the machine's clock; later backups were made by a wrong clock, and go
            first.

    Raises:
        OSError: One cannot be deleted.
    """
    found = backups(file)
    oldest_first = sorted(found, key=lambda path: (found[path] <= now, found[path]))
    for path in oldest_first[: max(0, len(found) - keep)]:
        path.unlink(missing_ok=True)
    for path in folder_of(file).glob(".*.tmp*"):
        if path.stat().st_mtime < (now - EVERY).timestamp():
            path.unlink(missing_ok=True)


def write(file: Path, target: Path, *, timeout_s: float) -> None:
    """Copy a database that may be in use, as of one moment, and check the copy.

    The copy is one file of mode 600. It replaces ``target`` once it is whole.

    Args:
        file: The database.
        target: The path of the copy; the folder ``backups`` is created if it is missing.
        timeout_s: Wall seconds to wait for a lock.

    Raises:
        sqlite3.Error: The database cannot be read, or the copy not written.
        Damaged: The copy does not pass ``PRAGMA quick_check``.
        OSError: The copy cannot be written.
    """
    if target.parent == folder_of(file):
        target.parent.mkdir(mode=0o700, exist_ok=True)
    with (
        replacing_file(target, private=True) as temporary,
        closing(connect(file, timeout_s)) as source,
        closing(connect(temporary, timeout_s)) as copy,
    ):
        # Without a journal: a copy that is not whole is never used.
        copy.execute("PRAGMA journal_mode = OFF")
        copy.execute("PRAGMA synchronous = OFF")
        # The open transaction makes the copy one of this moment.
        source.execute("BEGIN")
        source.execute("SELECT count(*) FROM sqlite_master").fetchone()
        source.backup(copy)
        # A database in WAL mode would need two more files.
        copy.execute("PRAGMA journal_mode = DELETE")
        problem = copy.execute("PRAGMA quick_check(1)").fetchone()[0]
        if problem != "ok":
            raise Damaged(str(problem).splitlines()[-1])


def connect(file: Path, timeout_s: float) -> sqlite3.Connection:
    """Open a file that is there, for single statements; none is created in place of a deleted one.

    Args:
        file: The database.
        timeout_s: Wall seconds to wait for a lock.

    Raises:
        sqlite3.Error: It cannot be opened.
    """
    return sqlite3.connect(
        f"{file.absolute().as_uri()}?mode=rw", timeout=timeout_s, isolation_level=None, uri=True
    )
