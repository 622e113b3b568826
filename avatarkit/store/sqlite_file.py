"""Look after the file of a SQLite database: its permissions, its identity, and its errors."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

import sqlalchemy as sa

from avatarkit.store import backup

_Identity = tuple[int, int]

_NOT_WRITABLE = "give yourself the right to write to the file and its folder, and try again"
_WAYS_OUT = {
    sqlite3.SQLITE_BUSY: "another program is writing to it: end that, or wait and try again",
    sqlite3.SQLITE_FULL: "its disk is full: make room there and try again",
    sqlite3.SQLITE_READONLY: _NOT_WRITABLE,
    sqlite3.SQLITE_PERM: _NOT_WRITABLE,
    sqlite3.SQLITE_IOERR: "check that its disk works and has room, and try again",
}


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
    """Close a database, its journals, its backups and their folder to other users.

    No rights are given: what its user may not write stays so. What belongs to another user is left
    as it is, and so is a folder ``backups`` that holds other files.
    """
    folder = backup.folder_of(file)
    paths = list(folder.iterdir()) if folder.is_dir() else []
    own = [path for path in paths if path.name.startswith(f"{file.stem}-")]
    for path in (file, *_journals(file), *own):
        _close(path)
    if paths and len(own) == len(paths):
        _close(folder)


def _close(path: Path) -> None:
    with suppress(OSError):
        found = path.stat()
        is_own = not hasattr(os, "geteuid") or found.st_uid == os.geteuid()
        if is_own and found.st_mode & 0o077:
            path.chmod(found.st_mode & 0o700)


def _journals(file: Path) -> list[Path]:
    file = file.resolve()  # SQLite puts them beside the file that a link leads to
    return [file.with_name(f"{file.name}{suffix}") for suffix in backup.JOURNALS]


def belongs_to(file: Path, account: str | None, kind: str | None) -> bool:
    """Return whether a file is a log with rows of an account, and data of a kind.

    Args:
        file: The file; nothing is written to it.
        account: The fingerprint of the account; None for any.
        kind: ``sandbox`` or ``live``; None for either.
    """
    rows = "SELECT account FROM personas UNION SELECT account FROM submissions"
    with suppress(sqlite3.Error), closing(backup.connect(file)) as connection:
        found = connection.execute("SELECT value FROM meta WHERE key = 'kind'").fetchone()
        accounts = {name for (name,) in connection.execute(rows)}
        return kind in (None, *(found or ())) and (account is None or account in accounts)
    return False


class WatchedFile:
    """A database that is open; it is noticed when it is deleted or replaced.

    While connections to it are open, no other file can have its identity.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.identity = _identity(path)
        self._journals = {journal: _identity(journal) for journal in _journals(path)}

    def find(self) -> _Identity | None:
        """Return the identity of the file that is at the path now; None if there is none."""
        return _identity(self.path)

    def find_written(self) -> _Identity | None:
        """Return the same after a transaction, and remember which journals belong to the file."""
        found = _identity(self.path)
        if found is not None and found == self.identity:
            self._journals = {path: _identity(path) for path in self._journals}
        return found

    def give_up(self) -> None:
        """Rename the journals that belong to the file that was replaced, once.

        SQLite would write them into the file that is in its place now. They are left alone when
        that file is put back, with them.
        """
        if self.find() == self.identity:
            return
        journals, self._journals = self._journals, dict.fromkeys(self._journals)
        for path, own in journals.items():
            if own is not None and _identity(path) == own:
                with suppress(FileNotFoundError):  # another store of this process was faster
                    path.replace(path.with_name(f"{path.name}.replaced"))


def _identity(path: Path) -> _Identity | None:
    """Return what tells a file from another one at the same path; None if there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def way_out(error: BaseException, file: Path | None) -> str:
    """Return as a clause what to do about an error of a database.

    Args:
        error: SQLAlchemy's error.
        file: The SQLite file, None for another database.
    """
    # The primary result code is the last byte of the extended one.
    code = getattr(getattr(error, "orig", None), "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB) and file is not None:
        restore = backup.how_to_restore(file)
        return f"it is damaged, or no database: stop all programs that use it, and {restore}"
    default = "check that its folder or server exists and that you may write there"
    return _WAYS_OUT.get(code, default)
