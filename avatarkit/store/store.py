"""``Store``: the log of what was sent and seen, on SQLAlchemy Core.

The log is run-length encoded: a row of ``sightings`` is one unbroken run of one status of one
persona, and polling an unchanged persona only moves ``last_seen_at``.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import TYPE_CHECKING, Self

import sqlalchemy as sa

from avatarkit.errors import StoreError
from avatarkit.models import Persona, PersonaCreate
from avatarkit.store import plan, sightings, submissions, tables
from avatarkit.store.database import Database
from avatarkit.store.plan import DuePersona
from avatarkit.store.sightings import Recorded
from avatarkit.store.submissions import Submission, Uncertain

if TYPE_CHECKING:
    import pandas as pd


class Store:
    """The log of one account in one database.

    Every method raises ``StoreError`` when the database fails or the store has no account. Each is
    one transaction, or part of the one that ``transaction`` opened: nothing is half written.

    Args:
        url: ``sqlite:///file.db`` or ``postgresql+psycopg://user:password@host/name``.
        account: A fingerprint (``Client.account``): only its rows are read and written. A store
            without one reads the rows of all accounts, until a ``Tracker`` binds it.
    """

    def __init__(self, url: str, *, account: str | None = None) -> None:
        self._database = Database(url)
        self.url = self._database.url
        self.account = account

    # -- what is there -------------------------------------------------------------------------

    def personas(self) -> pd.DataFrame:
        """Return all personas.

        Returns:
            A row a persona, newest first, with the columns of ``frames.PERSONAS``.
        """
        from avatarkit.store import frames

        with self._read() as connection:
            return frames.read(connection, frames.PERSONAS, self.account)

    def sightings(self, persona_id: str | None = None) -> pd.DataFrame:
        """Return the runs of each status, of all personas or of one.

        Returns:
            A row a persona and run, by persona and time, with the columns of ``frames.SIGHTINGS``.
        """
        from avatarkit.store import frames

        with self._read() as connection:
            return frames.read(connection, frames.SIGHTINGS, self.account, persona_id)

    def submissions(self) -> pd.DataFrame:
        """Return all submissions.

        Returns:
            A row a submission, oldest first, with the columns of ``frames.SUBMISSIONS``.
        """
        from avatarkit.store import frames

        with self._read() as connection:
            return frames.read(connection, frames.SUBMISSIONS, self.account)

    def persona(self, persona_id: str) -> Persona | None:
        """Return the last answer about a persona, None for an unknown one."""
        query = sa.select(tables.personas.c.answer)
        with self._read() as connection:
            answer = connection.scalar(query.where(tables.is_persona(self._own(), persona_id)))
        return None if answer is None else Persona.model_validate_json(answer)

    # -- the database --------------------------------------------------------------------------

    def bind(self, account: str) -> None:
        """Make this the store of an account.

        Raises:
            StoreError: It is another account's already.
        """
        if self.account not in (None, account):
            raise StoreError("This Store is bound to another account; open a second Store for it.")
        self.account = account

    def claim(self, kind: str) -> None:
        """Keep this database for one kind of data, for good.

        Args:
            kind: ``sandbox`` or ``live``.

        Raises:
            StoreError: It holds the other kind.
        """
        with self.transaction() as connection:
            query = sa.select(tables.meta.c.value).where(tables.meta.c.key == "kind")
            claimed = connection.scalar(query)
            if claimed is None:
                connection.execute(tables.meta.insert().values(key="kind", value=kind))
            elif claimed != kind:
                raise StoreError(
                    f"The database {self.url} holds {claimed} data, which {kind} data must not "
                    "join; set AVATARKIT_DATABASE_URL to another database."
                )

    def transaction(self) -> AbstractContextManager[sa.Connection]:
        """Open a transaction that this thread's calls of the store's methods join.

        Returns:
            A context manager: all is written at its end, or nothing if an exception leaves it.
        """
        return self._database.transaction()

    def close(self) -> None:
        """Close the connections."""
        self._database.close()

    # -- submissions ---------------------------------------------------------------------------

    def prepare(self, request: PersonaCreate, at: datetime) -> str:
        """Write down a request that will be sent.

        Returns:
            The id of the new submission.
        """
        with self.transaction() as connection:
            return submissions.prepare(connection, self._own(), request, at)

    def reserve(self, submission_id: str) -> None:
        """Reserve a submission for the calling thread until ``release``.

        Raises:
            StoreError: It was sent before, or another thread has reserved it.
        """
        with self._read() as connection:
            submissions.reserve(connection, submission_id)

    def release(self, submission_id: str) -> None:
        """Give a reserved submission back: ``settle_abandoned`` may settle it from now on."""
        submissions.release(submission_id)

    def sending(self, submission_id: str, at: datetime) -> None:
        """Mark a submission as being sent, before anything of it leaves.

        Raises:
            StoreError: It was sent before: a create is sent once.
        """
        with self.transaction() as connection:
            submissions.sending(connection, submission_id, at)

    def accepted(
        self, submission_id: str, persona: Persona, at: datetime, *, source: str = "create"
    ) -> Recorded | None:
        """End a submission as the persona that it became, and log its first sighting.

        Args:
            submission_id: The submission.
            persona: The answer to the create, or the persona as it was listed.
            at: When it was answered.
            source: ``create`` or ``list``.

        Returns:
            What was logged, as by ``record``; plan the next poll in the same transaction.
        """
        with self.transaction() as connection:
            recorded = sightings.record(
                connection,
                self._own(),
                persona,
                asked_at=at,
                answered_at=at,
                source=source,
                submission=submissions.get(connection, submission_id),
            )
            submissions.accepted(connection, submission_id, at, persona.id)
            return recorded

    def refused(self, submission_id: str, at: datetime, error: str) -> None:
        """End a submission whose create surely did not happen; ``error`` says why."""
        with self.transaction() as connection:
            submissions.refused(connection, submission_id, at, error)

    def uncertain(self, submission_id: str, at: datetime, error: str) -> None:
        """Mark a submission whose create may have happened; ``error`` says what broke."""
        with self.transaction() as connection:
            submissions.uncertain(connection, submission_id, at, error)

    def keep_uncertain(
        self, submission_id: str, reason: str, candidates: Sequence[Persona] = ()
    ) -> None:
        """Write down why a submission is not settled, and the personas it may have become."""
        with self.transaction() as connection:
            submissions.keep_uncertain(connection, submission_id, reason, candidates)

    def may_become(self, submission_id: str, persona_id: str) -> bool:
        """Return True while a submission is uncertain and no other became this persona.

        It holds until the end of the transaction in which it is asked.
        """
        with self.transaction() as connection:
            return submissions.may_become(connection, self._own(), submission_id, persona_id)

    def settle_abandoned(self, at: datetime) -> int:
        """Settle the submissions whose sender has ended or given them back.

        Returns:
            How many there were.
        """
        with self.transaction() as connection:
            return submissions.settle_abandoned(connection, self._own(), at)

    def open_submissions(self) -> list[Uncertain]:
        """Return the uncertain submissions, oldest first."""
        with self._read() as connection:
            return submissions.open_submissions(connection, self._own())

    def accepted_and_sending(self) -> tuple[frozenset[str], list[Uncertain]]:
        """Return the ids of the personas that submissions became, and those being sent."""
        with self._read() as connection:
            ids = submissions.submitted_ids(connection, self._own())
            return frozenset(ids), submissions.open_submissions(connection, self._own(), "sending")

    def submitted_ids(self) -> set[str]:
        """Return the ids of the personas that submissions became."""
        with self._read() as connection:
            return submissions.submitted_ids(connection, self._own())

    def some_submissions(self, ids: Collection[str]) -> list[Submission]:
        """Return the submissions of these ids, newest first; unknown ids are left out."""
        with self._read() as connection:
            return submissions.by_id(connection, self._own(), ids)

    # -- sightings and polls -------------------------------------------------------------------

    def record(
        self, persona: Persona, *, asked_at: datetime, answered_at: datetime, source: str
    ) -> Recorded | None:
        """Log one answer; plan the next poll (``plan``) in the same transaction.

        Args:
            persona: The answer.
            asked_at: When it was asked: an unchanged status was still there then.
            answered_at: When it was answered: a new status had come by then.
            source: ``create``, ``poll`` or ``list``.

        Returns:
            What was logged; None, and nothing is changed, when the log holds a newer answer.
        """
        with self.transaction() as connection:
            return sightings.record(
                connection,
                self._own(),
                persona,
                asked_at=asked_at,
                answered_at=answered_at,
                source=source,
            )

    def record_error(self, persona_id: str, error: str, *, at: datetime, missing: bool) -> bool:
        """Log a poll that failed; the persona's history stays.

        Args:
            persona_id: The persona; an unknown one changes nothing.
            error: One sentence, kept as ``last_error`` until the next answer.
            at: When it failed.
            missing: The API answered that it has no such persona.

        Returns:
            True when it is gone: missing three times in a row over six hours.
        """
        with self.transaction() as connection:
            return sightings.record_error(
                connection, self._own(), persona_id, error, at=at, missing=missing
            )

    def plan(self, persona_id: str, next_poll_at: datetime | None) -> None:
        """Set when a persona is polled next, None for never."""
        with self.transaction() as connection:
            plan.plan(connection, self._own(), persona_id, next_poll_at)

    def make_due(self, persona_id: str, at: datetime) -> bool:
        """Poll a persona again from ``at`` on, also one that was gone.

        Returns:
            False for an unknown persona.
        """
        reset = {"gone": False, "failures": 0, "missed_since_us": None}
        with self.transaction() as connection:
            return plan.plan(connection, self._own(), persona_id, at, **reset)

    def due(self, at: datetime, persona_id: str | None = None) -> list[DuePersona]:
        """Return the personas to poll by ``at``, the longest overdue first; or one, due or not."""
        with self._read() as connection:
            return plan.due(connection, self._own(), at, persona_id)

    def in_flight(self) -> frozenset[str]:
        """Return the ids of the personas that are polled and answered the last poll."""
        with self._read() as connection:
            return plan.in_flight(connection, self._own())

    def next_look_at(self, persona_id: str | None = None) -> datetime | None:
        """Return when any persona, or this one, is polled next; None for never."""
        with self._read() as connection:
            return plan.next_poll_at(connection, self._own(), persona_id)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Store({self.url!r})"

    def _own(self) -> str:
        if self.account is None:
            raise StoreError("This Store belongs to no account yet; give Store(…, account=…).")
        return self.account

    def _read(self) -> AbstractContextManager[sa.Connection]:
        return self._database.transaction(reading=True)
