"""Back up the file of a SQLite database by SQLite's own API, and keep the newest backups."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from avatarkit.errors import StoreError
from avatarkit.files import replacing_file

EVERY = timedelta(days=1)
TIMEOUT_S = 15.0
"""Wall seconds to wait for a lock."""
JOURNALS = ("-wal", "-shm")
"""What SQLite appends to the name of a database for the files that belong to it."""

_STAMP = "%Y%m%dT%H%M%SZ"


def folder_of(file: Path) -> Path:
    """Return the folder of a database's backups: ``backups`` next to it."""
    return file.parent / "backups"


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


def is_due(file: Path, now: datetime) -> bool:
    """Return whether no backup was made within the last day."""
    # One of a time that is still to come was made while the clock was wrong.
    return not any(now - EVERY < at <= now for at in backups(file).values())


def how_to_restore(file: Path) -> str:
    """Return as a clause how the newest backup takes the place of a database."""
    if newest := next(reversed(backups(file)), None):
        names = " and ".join(f"{file.name}{suffix}" for suffix in JOURNALS)
        return f"delete {file.name}, {names}, then copy the newest backup {newest} to {file}"
    return (
        f"copy a backup of your own to {file}; there is none in {folder_of(file)}, but SQLite's "
        "command .recover may still read what is left"
    )


def write_daily(file: Path, now: datetime, keep: int) -> Path:
    """Back up a database in its folder of backups, and delete the oldest of them.

    Args:
        file: The database.
        now: The moment, on the machine's clock. Later backups were made by a wrong clock, and are
            deleted first.
        keep: How many backups stay; 0: all.

    Returns:
        The backup.

    Raises:
        StoreError: It cannot be made.
    """
    folder = folder_of(file)
    target = folder / f"{file.stem}-{now.astimezone(UTC):{_STAMP}}{file.suffix}"
    write(file, target)
    found = backups(file)
    oldest_first = sorted(found, key=lambda path: (found[path] <= now, found[path]))
    with suppress(OSError):
        for path in oldest_first[:-keep] if keep else ():
            path.unlink(missing_ok=True)
        for path in folder.glob(".*.tmp*"):  # of a process that was killed
            if path.stat().st_mtime < (now - EVERY).timestamp():
                path.unlink(missing_ok=True)
    return target


def write(file: Path, target: Path) -> None:
    """Copy a database that may be in use, as of one moment, and check the copy.

    The copy is one file of mode 600. It replaces ``target`` once it is whole.

    Args:
        file: The database.
        target: The path of the copy; the folder ``backups`` is created if it is missing.

    Raises:
        StoreError: The database cannot be read or is damaged, or the copy cannot be written.
    """
    try:
        if target.parent == folder_of(file):
            target.parent.mkdir(mode=0o700, exist_ok=True)
        with replacing_file(target, private=True) as temporary:
            problem = _copy(file, temporary)
            if problem != "ok":
                raise sqlite3.DatabaseError(f"PRAGMA quick_check: {problem.splitlines()[-1]}")
    except sqlite3.OperationalError as error:  # locked, full, not readable
        raise _failure(target, str(error)) from None
    except sqlite3.DatabaseError as error:
        way_out = f"the database is damaged: stop what uses it, and {how_to_restore(file)}"
        raise _failure(target, str(error), way_out) from None
    except OSError as error:
        raise _failure(target, error.strerror or str(error)) from None


def _copy(file: Path, temporary: Path) -> str:
    """Copy a database; return what SQLite's check says of the copy."""
    with closing(connect(file)) as source, closing(connect(temporary)) as copy:
        # Without a journal: a copy that is not whole is never used.
        copy.execute("PRAGMA journal_mode = OFF")
        copy.execute("PRAGMA synchronous = OFF")
        # The open transaction makes the copy one of this moment.
        source.execute("BEGIN")
        source.execute("SELECT count(*) FROM sqlite_master").fetchone()
        source.backup(copy)
        # A database in WAL mode would need two more files.
        copy.execute("PRAGMA journal_mode = DELETE")
        return str(copy.execute("PRAGMA quick_check(1)").fetchone()[0])


def _failure(target: Path, reason: str, way_out: str = "") -> StoreError:
    way_out = way_out or "check that its folder exists, has room, and that you may write there"
    return StoreError(f"The backup {target} could not be made ({reason}); {way_out}.")


def connect(file: Path) -> sqlite3.Connection:
    """Open a database for single statements; none is created in place of a deleted one.

    Raises:
        sqlite3.Error: It cannot be opened.
    """
    return sqlite3.connect(
        f"{file.absolute().as_uri()}?mode=rw", timeout=TIMEOUT_S, isolation_level=None, uri=True
    )
