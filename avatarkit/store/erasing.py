"""Mark a persona as deleted, and erase a person: from the log, its file and its backups."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from contextlib import closing, suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import sqlalchemy as sa

from avatarkit.errors import StoreError
from avatarkit.store import backup, person, tables
from avatarkit.store.database import Database
from avatarkit.store.person import Person
from avatarkit.store.tables import to_us

_COLUMNS, _SENT = tables.personas.c, tables.submissions.c
_UNFINISHED = "erasing"
"""The key in ``meta`` while the file still may hold bytes of rows that were erased."""


class Erasing(Database):
    """What is no longer polled, and what is no longer kept."""

    def mark_deleted(self, persona_id: str, at: datetime) -> None:
        """Log that a persona was deleted from here: its history stays, and it is never polled.

        Args:
            persona_id: The persona.
            at: When the API answered; an earlier moment that the log has stays.
        """
        update = tables.personas.update().where(tables.is_persona(self._own(), persona_id))
        values = {
            "deleted_here": True,
            "deleted_us": sa.func.coalesce(_COLUMNS.deleted_us, to_us(at)),
            "gone": True,
            "failures": 0,
            **dict.fromkeys(("next_look_us", "planned_us", "missed_since_us"), None),
            **dict.fromkeys(("last_error", "last_error_us"), None),
        }
        with self.transaction() as connection:
            connection.execute(update.values(values))

    def deleted_ids(self) -> set[str]:
        """Return the personas that were deleted from here."""
        query = sa.select(_COLUMNS.persona_id)
        query = query.where(self._is_read(_COLUMNS), _COLUMNS.deleted_here)
        with self.transaction(reading=True) as connection:
            return set(connection.scalars(query))

    def find_person(self, who: str, *, without: Collection[str] = ()) -> Person:
        """Return what the log has of a person; false if it has nothing.

        Rows of batches that wait are not ``in_flight``, as ``refuse_waiting_of`` ends them.

        Args:
            who: The id of an avatar, or else a ``creator_name``.
            without: Avatars to leave out.
        """
        with self.transaction(reading=True) as connection:
            found = person.find(connection, self._own(), who, without=without)
            waiting = set(connection.scalars(sa.select(_SENT.submission_id).where(_waits(found))))
        in_flight = tuple(each for each in found.in_flight if each not in waiting)
        return replace(found, in_flight=in_flight)

    def refuse_waiting_of(self, found: Person) -> None:
        """Mark the rows of batches that wait for a person as refused, so that none is sent."""
        with self.transaction() as connection:
            update = tables.submissions.update().where(_waits(found))
            connection.execute(update.values(state="refused"))

    def count_rows(self, found: Person) -> dict[str, int]:
        """Return how many rows of each table are a person's."""
        with self.transaction(reading=True) as connection:
            return person.count_rows(connection, self._own(), found)

    def all_names(self) -> set[str]:
        """Return every ``creator_name`` in the log."""
        with self.transaction(reading=True) as connection:
            return person.all_names(connection, self._own())

    def in_other_accounts(self, found: Person) -> int:
        """Return how many avatars of the same name other accounts in this database have."""
        with self.transaction(reading=True) as connection:
            return person.in_other_accounts(connection, self._own(), found)

    def erase_person(self, found: Person) -> dict[str, int]:
        """Erase the rows of a person; ``overwrite_erased`` is to follow.

        Args:
            found: What ``find_person`` returned, in the same transaction.

        Returns:
            The number of rows, by table.
        """
        with self.transaction() as connection:
            if connection.dialect.name == "sqlite":
                connection.exec_driver_sql("PRAGMA secure_delete = ON")
            self.lock_account()
            last_no = connection.scalar(
                sa.select(tables.accounts.c.asked_no).where(
                    tables.accounts.c.account == self._own()
                )
            )
            insert = tables.insert(connection, tables.meta)
            # All accounts share this row, and another one may erase at the same moment.
            unfinished = insert.values(key=_UNFINISHED, value="unfinished")
            connection.execute(unfinished.on_conflict_do_nothing())
            value = str(last_no or 0)
            forgotten = insert.values(key=tables.forgotten_key(self._own()), value=value)
            connection.execute(
                forgotten.on_conflict_do_update(index_elements=["key"], set_={"value": value})
            )
            return dict(person.erase(connection, self._own(), found))

    def overwrite_erased(self) -> None:
        """Rewrite a SQLite file and empty its journal, so that the bytes of old rows are gone.

        Does nothing unless rows were erased since this was done last.

        Raises:
            StoreError: Another program reads or writes it for too long, or its disk is full; the
                rows are erased, and this can be called again.
        """
        meta = tables.meta
        query = sa.select(meta.c.value).where(meta.c.key == _UNFINISHED)
        with self.transaction(reading=True) as connection:
            if connection.scalar(query) is None:
                return
        if self._file is not None:
            try:
                with closing(backup.connect(self._file.path)) as file:
                    file.execute("PRAGMA secure_delete = ON")
                    file.execute("VACUUM")
                    is_busy = file.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
                if is_busy:
                    raise sqlite3.OperationalError("another program reads it")
            except sqlite3.Error as error:
                raise StoreError(
                    f"The rows are erased, but {self.url} could not be written anew ({error}), and "
                    "may still hold their bytes; end what uses it, and do it again."
                ) from None
        with self.transaction() as connection:
            connection.execute(meta.delete().where(meta.c.key == _UNFINISHED))

    def backup_files(self) -> list[Path]:
        """Return the backups of a SQLite file, with those that were made before an upgrade."""
        if self._file is None:
            return []
        path = self._file.path
        return sorted(backup.folder_of(path).glob(f"{_literal(path.stem)}-*{path.suffix}"))

    def delete_partial_backups(self) -> None:
        """Delete the copies that are not whole: a backup that is being made is made again."""
        if self._file is not None:
            for path in backup.folder_of(self._file.path).glob(".*.tmp*"):
                with suppress(OSError):
                    path.unlink()

    def replaced_journals(self) -> list[Path]:
        """Return the journals of a database that was replaced while it was in use."""
        if self._file is None:
            return []
        path = self._file.path.resolve()
        journals = (path.with_name(f"{path.name}{suffix}.replaced") for suffix in backup.JOURNALS)
        return [journal for journal in journals if journal.exists()]

    def erase_in_backup(self, path: Path, found: Person, *, without: Collection[str] = ()) -> None:
        """Erase the rows of a person in a backup, and rewrite it.

        Args:
            path: The backup.
            found: What the log has of the person; the backup may have more.
            without: Avatars to leave out.

        Raises:
            StoreError: It cannot be read or written; it is as it was.
        """
        engine = sa.create_engine(
            "sqlite://", creator=lambda: backup.connect(path), poolclass=sa.NullPool
        )
        try:
            with engine.connect() as connection:
                connection.exec_driver_sql("PRAGMA secure_delete = ON")
                connection.exec_driver_sql("BEGIN IMMEDIATE")
                older = person.find(connection, self._own(), found.who, without=without)
                person.erase(connection, self._own(), older)
                # The account may have had another fingerprint then.
                person.erase(connection, None, found)
                connection.exec_driver_sql("COMMIT")
                connection.exec_driver_sql("VACUUM")
        except (sa.exc.SQLAlchemyError, ValueError) as error:
            reason = str(getattr(error, "orig", None) or error).splitlines()[0]
            raise StoreError(
                f"The backup {path} could not be changed ({reason}); make it writable, or delete "
                "it, and do it again."
            ) from None


def _waits(found: Person) -> sa.ColumnElement[bool]:
    is_theirs = _SENT.submission_id.in_(found.submission_ids)
    return is_theirs & (_SENT.state == "prepared") & _SENT.batch_id.is_not(None)


def _literal(name: str) -> str:
    """Return a name as a pattern that matches it alone."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)
