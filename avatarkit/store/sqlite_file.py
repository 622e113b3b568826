"""Look after the file of a SQLite database: its permissions, its identity, and its errors."""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress
from pathlib import Path

import sqlalchemy as sa

from avatarkit.store import backup

JOURNALS = ("-wal", "-shm")
"""What SQLite appends to the name of a database for the files that belong to it."""

_Identity = tuple[int, int]

REOPENED_AFTER = frozenset(
    {
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
    }
)
"""The errors after which a connection does not recover, even when their cause is gone."""


def path_of(url: sa.URL) -> Path | None:
    """Return the file of a SQLite database; None in memory, for a ``file:`` URI and on a server."""
    name = url.database or ":memory:"
    if url.get_backend_name() != "sqlite" or name == ":memory:" or name.startswith("file:"):
        return None
    return Path(name).absolute()


def create(file: Path) -> bool:
    """Create an empty database that only its user can read; return False if it is there already.

    An error is left for SQLite to report when it opens the file.
    """
    with suppress(OSError):
        os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        return True
    return False


def make_private(file: Path) -> None:
    """Give a database, its journals and its backups mode 600, and their folder mode 700.

    What belongs to another user is left as it is, and so is a folder ``backups`` that holds other
    files.
    """
    for suffix in ("", *JOURNALS):
        _chmod(file.with_name(file.name + suffix), 0o600)
    folder = backup.folder_of(file)
    if not folder.is_dir():
        return
    paths = list(folder.iterdir())
    own = [path for path in paths if path.name.startswith(f"{file.stem}-")]
    for path in own:
        _chmod(path, 0o600)
    if len(own) == len(paths):
        _chmod(folder, 0o700)


def _chmod(path: Path, mode: int) -> None:
    with suppress(OSError):
        found = path.stat()
        is_own = not hasattr(os, "geteuid") or found.st_uid == os.geteuid()
        if is_own and found.st_mode & 0o777 != mode:
            path.chmod(mode)


def identity(path: Path) -> _Identity | None:
    """Return what tells a file from another one at the same path; None if there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def belongs_to(connection: sqlite3.Connection, account: str | None, kind: str | None) -> bool:
    """Return whether a database holds rows of an account, and data of a kind.

    Args:
        connection: The database; nothing is written to it.
        account: The fingerprint of the account; None for any.
        kind: ``sandbox`` or ``live``; None for either.
    """
    names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    if not {"meta", "personas", "submissions"} <= names:
        return False
    found = connection.execute("SELECT value FROM meta WHERE key = 'kind'").fetchone()
    if kind is not None and found != (kind,):
        return False
    rows = "SELECT account FROM personas UNION SELECT account FROM submissions"
    return account is None or (account,) in connection.execute(rows)


class WatchedFile:
    """A database that is open; it is noticed when it is deleted or replaced.

    While connections to it are open, no other file can have its identity.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.identity = identity(path)
        self._journals = self._find_journals()

    def find(self) -> _Identity | None:
        """Return the identity of the file that is at the path now; None if there is none."""
        found = identity(self.path)
        if found is not None and found == self.identity:
            self._journals = self._find_journals()
        return found

    def set_journals_aside(self) -> None:
        """Rename the journals that belong to the file that was replaced.

        SQLite would write them into the file that is in its place now.
        """
        for path, own in self._journals.items():
            if own is not None and identity(path) == own:
                path.replace(path.with_name(f"{path.name}.replaced"))

    def _find_journals(self) -> dict[Path, _Identity | None]:
        paths = (self.path.with_name(self.path.name + suffix) for suffix in JOURNALS)
        return {path: identity(path) for path in paths}


def error_code(error: BaseException) -> int | None:
    """Return SQLite's primary result code of an error; None if it is not SQLite's."""
    code = getattr(getattr(error, "orig", None) or error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


def way_out(error: BaseException, file: Path | None) -> str:
    """Return as a clause what to do about an error of a database.

    Args:
        error: SQLAlchemy's error or the driver's.
        file: The SQLite file, None for another database.
    """
    code = error_code(error)
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return "another program is writing to it: end that, or wait and try again"
    if code == sqlite3.SQLITE_FULL:
        return "its disk is full: make room there and try again"
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH):
        return "give yourself the right to write to the file and its folder, and try again"
    if code == sqlite3.SQLITE_IOERR:
        return "check that its disk works and has room, and try again"
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB) and file is not None:
        return f"the file is damaged: stop all programs that use it, and {how_to_restore(file)}"
    return "check that its folder or server exists and that you may write there"


def how_to_restore(file: Path) -> str:
    """Return as a clause how the newest backup takes the place of a database."""
    newest = backup.newest(file)
    journals = " and ".join(f"{file.name}{suffix}" for suffix in JOURNALS)
    if newest is None:
        return (
            f"copy a backup of your own to {file}; there is none in {backup.folder_of(file)}, but "
            "SQLite's command .recover may still read what is left"
        )
    return f"delete {file.name}, {journals}, then copy the newest backup {newest} to {file}"
