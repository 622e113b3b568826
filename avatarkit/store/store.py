"""``Store``: the log of what was sent and seen, on SQLAlchemy Core.

The log is run-length encoded: a row of ``sightings`` is one unbroken run of one status of one
persona, and looking again at an unchanged persona only moves ``last_seen_at``.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Self

import sqlalchemy as sa

from avatarkit.errors import StoreError
from avatarkit.models import Persona, PersonaCreate
from avatarkit.store import sightings, submissions, tables
from avatarkit.store.sightings import Change, NextLook
from avatarkit.store.submissions import Submission, Uncertain
from avatarkit.store.tables import to_moment, to_us

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Due:
    """A persona to look at: its status, since when it is seen in it, and failures in a row."""

    persona_id: str
    status: str
    since: datetime
    failures: int


class Store:
    """The log in the database at ``url``: ``sqlite:///file.db`` or ``postgresql+psycopg://…``.

    ``account`` is a fingerprint (``Client.account``): only its rows are seen and written. A
    ``Tracker`` binds a store that has none to its client's account; an unbound store reads the
    rows of all accounts.

    Every method raises ``StoreError`` when the database does not do what it should; each is one
    transaction, so nothing is half written.
    """

    def __init__(self, url: str, *, account: str | None = None) -> None:
        self._engine = tables.open_engine(url)
        self.url = self._engine.url.render_as_string(hide_password=True)
        self.account = account
        # One connection serves all threads of an in-memory database; they take turns.
        self._turn = threading.RLock() if isinstance(self._engine.pool, sa.StaticPool) else None

    def bind(self, account: str) -> None:
        """Make this the store of ``account``; ``StoreError`` if it is another's already."""
        if self.account not in (None, account):
            raise StoreError("This Store is bound to another account; open a second Store for it.")
        self.account = account

    def claim(self, kind: str) -> None:
        """Keep this database for ``kind`` (``sandbox`` or ``live``) alone, for good."""
        with self._write() as connection:
            query = sa.select(tables.meta.c.value).where(tables.meta.c.key == "kind")
            found = connection.scalar(query)
            if found is None:
                connection.execute(tables.meta.insert().values(key="kind", value=kind))
            elif found != kind:
                raise StoreError(
                    f"The database {self.url} holds {found} data, which {kind} data must not "
                    "join; set AVATARKIT_DATABASE_URL to another database."
                )

    # -- submissions ---------------------------------------------------------------------------

    def prepare(self, request: PersonaCreate, at: datetime) -> str:
        """Write down what is about to be sent; the new submission's id."""
        with self._write() as connection:
            return submissions.prepare(connection, self._own(), request, at)

    def sending(self, submission_id: str, at: datetime) -> None:
        """The request is about to leave.

        Raises ``StoreError`` when it left before: a create is sent once.
        """
        with self._write() as connection:
            submissions.sending(connection, submission_id, at)

    def refused(self, submission_id: str, at: datetime, error: str) -> None:
        """The create surely did not happen; ``error`` says why."""
        with self._write() as connection:
            submissions.refused(connection, submission_id, at, error)

    def uncertain(self, submission_id: str, at: datetime, error: str) -> None:
        """The create may have happened; ``error`` says what broke."""
        with self._write() as connection:
            submissions.uncertain(connection, submission_id, at, error)

    def accepted(
        self, submission_id: str, persona: Persona, at: datetime, next_look: NextLook
    ) -> None:
        """The create was answered: persona, first sighting and the submission's end, all in one."""
        with self._write() as connection:
            self._begin(connection, submission_id, persona, at, next_look, source="create")

    def found(
        self, submission_id: str, persona: Persona, at: datetime, next_look: NextLook
    ) -> bool:
        """An uncertain create turned out to have made this persona; the same, all in one.

        False, and nothing is changed, when it is settled by now or the persona is another's.
        """
        with self._write() as connection:
            if not submissions.may_be(connection, self._own(), submission_id, persona.id):
                return False
            self._begin(connection, submission_id, persona, at, next_look, source="list")
            return True

    def _begin(
        self,
        connection: sa.Connection,
        submission_id: str,
        persona: Persona,
        at: datetime,
        next_look: NextLook,
        *,
        source: str,
    ) -> None:
        sent = submissions.get(connection, submission_id)
        sightings.record(
            connection,
            self._own(),
            persona,
            asked_at=at,
            answered_at=at,
            source=source,
            next_look=next_look,
            submitted_us=sent.sent_us,
            sent=json.loads(sent.request),
        )
        submissions.accepted(connection, submission_id, at, persona.id)

    def abandon(self, at: datetime) -> int:
        """Settle what nobody sends any more; how many submissions there were."""
        with self._write() as connection:
            return submissions.abandon(connection, self._own(), at)

    def take(self, submission_id: str) -> None:
        """The caller sends it now, and lets it go when that has ended.

        Raises ``StoreError`` when it left before, or another thread is sending it.
        """
        with self._read() as connection:
            submissions.take(connection, submission_id)

    def let_go(self, submission_id: str) -> None:
        """This process sends it no more: what the log does not know by now, it finds out."""
        submissions.let_go(submission_id)

    def open_submissions(self) -> list[Uncertain]:
        """The submissions whose fate is uncertain, oldest first."""
        with self._read() as connection:
            return submissions.open_submissions(connection, self._own())

    def claims(self) -> tuple[frozenset[str], list[Uncertain]]:
        """The ids that submissions have ended with, and the submissions that are on their way."""
        with self._read() as connection:
            taken = submissions.submitted_ids(connection, self._own())
            return frozenset(taken), submissions.open_submissions(
                connection, self._own(), "sending"
            )

    def some_submissions(self, ids: Collection[str]) -> list[Submission]:
        """The submissions of these ids, newest first; what is unknown is left out."""
        with self._read() as connection:
            return submissions.some(connection, self._own(), ids)

    def submitted_ids(self) -> set[str]:
        """The ids of the personas that submissions have ended with."""
        with self._read() as connection:
            return submissions.submitted_ids(connection, self._own())

    def leave_open(
        self, submission_id: str, reason: str, candidates: Sequence[Persona] = ()
    ) -> None:
        """Keep why a submission is still uncertain, and the personas that it may have become."""
        with self._write() as connection:
            submissions.leave_open(connection, submission_id, reason, candidates)

    # -- sightings -----------------------------------------------------------------------------

    def record(
        self,
        persona: Persona,
        *,
        asked_at: datetime,
        answered_at: datetime,
        source: str,
        next_look: NextLook,
    ) -> Change | None:
        """Log one answer; the change it shows, or None.

        An unchanged status was still there at ``asked_at``; a new one had come by
        ``answered_at``. ``next_look(status, since)`` gives the moment of the next look, None for
        never. An answer that is older than what the log holds changes nothing.
        """
        with self._write() as connection:
            return sightings.record(
                connection,
                self._own(),
                persona,
                asked_at=asked_at,
                answered_at=answered_at,
                source=source,
                next_look=next_look,
            )

    def record_error(
        self, persona_id: str, error: str, *, at: datetime, next_look_at: datetime, missing: bool
    ) -> None:
        """A look ended in ``error``; ``missing`` says that the API knows no such persona.

        Its history stays. It is ``gone``, and looked at no more, only after three such answers
        in a row over six hours.
        """
        with self._write() as connection:
            sightings.record_error(
                connection,
                self._own(),
                persona_id,
                error,
                at=at,
                next_look_at=next_look_at,
                missing=missing,
            )

    def make_due(self, persona_id: str, at: datetime) -> bool:
        """Look at this persona again from ``at`` on, also when it was gone; False if unknown."""
        table = tables.personas
        key = (table.c.account == self._own()) & (table.c.persona_id == persona_id)
        with self._write() as connection:
            result = connection.execute(
                table.update()
                .where(key)
                .values(next_look_us=to_us(at), gone=False, failures=0, missed_since_us=None)
            )
            return result.rowcount > 0

    # -- what is there -------------------------------------------------------------------------

    def due(self, at: datetime, persona_id: str | None = None) -> list[Due]:
        """The personas to look at by ``at``, the longest overdue first; or the one, due or not."""
        table, logged = tables.personas, tables.sightings
        query = (
            sa.select(table.c.persona_id, table.c.status, logged.c.first_seen_us, table.c.failures)
            .join(logged, logged.c.id == table.c.run_id)
            .where(table.c.account == self._own())
            .order_by(table.c.next_look_us)
        )
        if persona_id is None:
            query = query.where(table.c.next_look_us <= to_us(at))
        else:
            query = query.where(table.c.persona_id == persona_id)
        with self._read() as connection:
            return [
                Due(row.persona_id, row.status, to_moment(row.first_seen_us), row.failures)
                for row in connection.execute(query)
            ]

    def running(self) -> frozenset[str]:
        """The ids of the personas that were in flight at their last look, which went well."""
        table = tables.personas
        query = sa.select(table.c.persona_id).where(
            (table.c.account == self._own())
            & table.c.next_look_us.is_not(None)
            & (table.c.failures == 0)
        )
        with self._read() as connection:
            return frozenset(connection.scalars(query))

    def next_look_at(self, persona_id: str | None = None) -> datetime | None:
        """The moment of the next look at any persona, or at this one; None when there is none."""
        table = tables.personas
        query = sa.select(sa.func.min(table.c.next_look_us)).where(table.c.account == self._own())
        if persona_id is not None:
            query = query.where(table.c.persona_id == persona_id)
        with self._read() as connection:
            us = connection.scalar(query)
        return None if us is None else to_moment(us)

    def persona(self, persona_id: str) -> Persona | None:
        """The persona as it was last answered, or None when the log does not know it."""
        table = tables.personas
        query = sa.select(table.c.answer).where(
            (table.c.account == self._own()) & (table.c.persona_id == persona_id)
        )
        with self._read() as connection:
            answer = connection.scalar(query)
        return None if answer is None else Persona.model_validate_json(answer)

    def personas(self) -> pd.DataFrame:
        """A row a persona, newest first; the columns of ``frames.PERSONAS``."""
        from avatarkit.store import frames

        with self._read() as connection:
            return frames.read(connection, frames.PERSONAS, self.account)

    def sightings(self, persona_id: str | None = None) -> pd.DataFrame:
        """A row a persona and run, by persona and time; the columns of ``frames.SIGHTINGS``."""
        from avatarkit.store import frames

        with self._read() as connection:
            return frames.read(connection, frames.SIGHTINGS, self.account, persona_id)

    def submissions(self) -> pd.DataFrame:
        """A row a submission, oldest first; the columns of ``frames.SUBMISSIONS``."""
        from avatarkit.store import frames

        with self._read() as connection:
            return frames.read(connection, frames.SUBMISSIONS, self.account)

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()

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

    @contextmanager
    def _write(self) -> Iterator[sa.Connection]:
        with self._connection(reading=False) as connection:
            yield connection

    @contextmanager
    def _read(self) -> Iterator[sa.Connection]:
        with self._connection(reading=True) as connection:
            yield connection

    @contextmanager
    def _connection(self, *, reading: bool) -> Iterator[sa.Connection]:
        if self._turn is not None:
            self._turn.acquire()
        try:
            with self._engine.connect() as connection:
                connection = connection.execution_options(reading=reading)
                with connection.begin():
                    yield connection
        except (sa.exc.SQLAlchemyError, UnicodeError) as error:
            reason = tables.short_reason(error)
            raise StoreError(
                f"The database {self.url} did not work ({reason}); nothing was half written."
            ) from None
        finally:
            if self._turn is not None:
                self._turn.release()
