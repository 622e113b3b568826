"""Store when each persona is polled next, and read which are due."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from avatarkit.models import TERMINAL
from avatarkit.store import tables
from avatarkit.store.database import Database
from avatarkit.store.tables import to_moment, to_us

LONGEST_GAP = timedelta(days=1)
"""The longest time to the next poll of a persona, give or take the jitter; that of a gone one."""

HINT_REST = timedelta(minutes=1)
"""A persona is polled this often at most because webhooks tell of it."""

_JITTER = 1.2
_CLOCKS_DIFFER = timedelta(hours=1)
"""A plan is that of a wrong clock if it lies further ahead than this many longest gaps, or was made
later than now by more than clocks, or the moments at which they are read, may differ."""

_COLUMNS = tables.personas.c


def _if_followed(next_us: Any) -> sa.Case[Any]:
    """Return the moment of the next poll; never for a persona that is not followed."""
    return sa.case((_COLUMNS.followed, sa.cast(next_us, sa.BigInteger)), else_=None)


_PLAN = (
    tables.personas.update()
    .where(_COLUMNS.account == sa.bindparam("own"), _COLUMNS.persona_id == sa.bindparam("key"))
    .where(~_COLUMNS.deleted_here)
    .values(
        next_look_us=_if_followed(sa.bindparam("next_us")),
        planned_us=sa.bindparam("planned_at_us"),
    )
)


@dataclass(frozen=True)
class DuePersona:
    """A persona to poll, how many polls in a row have failed, and its last status."""

    persona_id: str
    failures: int
    status: str

    @property
    def has_ended(self) -> bool:
        """Whether its last status is a terminal one."""
        return self.status in TERMINAL


class PollPlan(Database):
    """The time of each persona's next poll."""

    def plan(
        self, persona_id: str, next_poll_at: datetime | None, at: datetime | None = None
    ) -> None:
        """Set when a persona is polled next; None for never.

        Args:
            persona_id: The persona.
            next_poll_at: The moment of its next poll.
            at: When this was planned, by which a plan of a clock that was ahead is found.
        """
        next_us, planned_us = (None if when is None else to_us(when) for when in (next_poll_at, at))
        plans: list[dict[str, Any]] | None = getattr(self._open, "plans", None)
        if plans is None:
            self._plan(persona_id, next_us, planned_us=planned_us)
        else:
            plan = {"own": self._own(), "key": persona_id}
            plans.append({**plan, "next_us": next_us, "planned_at_us": planned_us})

    @contextmanager
    def plan_together(self) -> Iterator[None]:
        """Write what this thread plans in the block in one statement, at its end."""
        plans: list[dict[str, Any]] = []
        self._open.plans = plans
        try:
            yield
        finally:
            self._open.plans = None
        if plans:
            with self.transaction() as connection:
                connection.execute(_PLAN, plans)

    def defer(self, persona_id: str, at: datetime) -> None:
        """Let a persona that is due be polled after the others that are due.

        Args:
            persona_id: The persona.
            at: The moment, on the session's clock.
        """
        planned = _COLUMNS.next_look_us <= to_us(at)
        key = tables.is_persona(self._own(), persona_id) & planned
        update = tables.personas.update().where(key).values(next_look_us=to_us(at))
        with self.transaction() as connection:
            connection.execute(update)

    def begin_poll(self, persona_id: str, at: datetime, until: datetime) -> bool:
        """Reserve the poll of a persona that is due or has no plan; other processes leave it alone.

        Args:
            persona_id: The persona.
            at: The moment, on the session's clock.
            until: When it is due again if nothing is logged by then.

        Returns:
            Whether it was reserved; False if it is not due, as another process reserved it.
        """
        is_due = _is_due(at) | _COLUMNS.next_look_us.is_(None)
        key = tables.is_persona(self._own(), persona_id) & is_due
        update = tables.personas.update().where(key, ~_COLUMNS.deleted_here)
        update = update.values(next_look_us=to_us(until))
        with self.transaction() as connection:
            return connection.execute(update).rowcount > 0

    def end_poll(self, persona_id: str, until: datetime, planned_at: datetime | None) -> None:
        """Give up what ``begin_poll`` reserved, unless another poll was planned meanwhile.

        Args:
            persona_id: The persona.
            until: As it was given to ``begin_poll``.
            planned_at: When the persona was due before that.
        """
        key = tables.is_persona(self._own(), persona_id) & (_COLUMNS.next_look_us == to_us(until))
        next_us = None if planned_at is None else to_us(planned_at)
        with self.transaction() as connection:
            connection.execute(tables.personas.update().where(key).values(next_look_us=next_us))

    def make_due(self, persona_id: str, at: datetime) -> bool:
        """Poll a persona again, also one that is gone or has ended.

        Args:
            persona_id: The persona.
            at: When it is due.

        Returns:
            False for an unknown persona, and for one that was deleted here.
        """
        return self._plan(persona_id, to_us(at), gone=False, failures=0, missed_since_us=None)

    def hint(self, persona_ids: Collection[str] | None, at: datetime | None = None) -> int:
        """Poll personas of which a webhook says that there is news.

        Only those that are followed, polled and have not ended. They are due until the answer to a
        call is logged that was asked later, but not within ``HINT_REST`` of their last poll.

        Args:
            persona_ids: The personas, or None for all that are not gone.
            at: When they are due, if that is to come; now by default.

        Returns:
            How many personas are polled earlier than was planned.
        """
        account, last = self._own(), tables.accounts.c
        hinted = tables.personas.update().where(
            _COLUMNS.account == account,
            _COLUMNS.followed,
            _COLUMNS.next_look_us.is_not(None),
            _COLUMNS.status.not_in([status.value for status in TERMINAL]),
            ~_COLUMNS.gone if persona_ids is None else _COLUMNS.persona_id.in_(persona_ids),
        )
        if at is None:
            last_no = sa.select(last.asked_no).where(last.account == account).scalar_subquery()
            hinted = hinted.where(sa.func.coalesce(_is_unanswered(), sa.false()).is_(sa.false()))
            hinted = hinted.values(hinted_no=sa.func.coalesce(last_no, 0))
        else:
            hinted = hinted.where(_COLUMNS.next_look_us > to_us(at)).values(next_look_us=to_us(at))
        with self.transaction() as connection:
            return int(connection.execute(hinted).rowcount)

    def due(self, at: datetime, persona_id: str | None = None) -> list[DuePersona]:
        """Return the personas that are due.

        A plan that lies further ahead than the longest gap, or was made later than now, is that of
        a wrong clock, and counts as due; so does one that a webhook named; see ``hint``.

        Args:
            at: The moment, on the session's clock.
            persona_id: Return this persona instead, due or not.

        Returns:
            The personas, the longest overdue first; none for an unknown ``persona_id``, or one that
            was deleted here.
        """
        names = (_COLUMNS.persona_id, _COLUMNS.failures, _COLUMNS.status)
        query = sa.select(*names).order_by(_COLUMNS.next_look_us)
        if persona_id is None:
            query = query.where(self._is_read(_COLUMNS), _is_due(at))
        else:
            query = query.where(self._is_read(_COLUMNS, persona_id), ~_COLUMNS.deleted_here)
        with self.transaction(reading=True) as connection:
            return [DuePersona(*row) for row in connection.execute(query)]

    def count_due(self, at: datetime) -> int:
        """Return how many personas are due."""
        query = sa.select(sa.func.count()).where(self._is_read(_COLUMNS), _is_due(at))
        with self.transaction(reading=True) as connection:
            return int(connection.scalar(query) or 0)

    def is_due(self, persona_id: str, at: datetime) -> bool:
        """Return whether ``due`` returns a persona at this moment, or it has no plan."""
        is_due = _is_due(at) | _COLUMNS.next_look_us.is_(None)
        query = sa.select(_COLUMNS.persona_id)
        query = query.where(self._is_read(_COLUMNS, persona_id), is_due)
        query = query.where(~_COLUMNS.deleted_here)
        with self.transaction(reading=True) as connection:
            return connection.scalar(query) is not None

    def has_running(self) -> bool:
        """Return whether any persona is still polled that is not gone."""
        query = sa.select(_COLUMNS.persona_id).where(
            self._is_read(_COLUMNS), _COLUMNS.next_look_us.is_not(None), ~_COLUMNS.gone
        )
        with self.transaction(reading=True) as connection:
            return connection.scalar(query.limit(1)) is not None

    def running(self) -> dict[str, str]:
        """Return the last status of each persona that is polled and is not gone, by id."""
        query = sa.select(_COLUMNS.persona_id, _COLUMNS.status).where(
            self._is_read(_COLUMNS), _COLUMNS.next_look_us.is_not(None), ~_COLUMNS.gone
        )
        with self.transaction(reading=True) as connection:
            return {row.persona_id: row.status for row in connection.execute(query)}

    def stays(self) -> list[tuple[str, datetime]]:
        """Return the status of each persona that is still polled and not gone, and since when."""
        runs = tables.sightings.c
        query = sa.select(_COLUMNS.status, runs.first_seen_us).where(
            self._is_read(_COLUMNS),
            _COLUMNS.next_look_us.is_not(None),
            ~_COLUMNS.gone,
            _COLUMNS.run_id == runs.id,
        )
        with self.transaction(reading=True) as connection:
            return [(status, to_moment(us)) for status, us in connection.execute(query)]

    def count_ended(self) -> int:
        """Return how many personas have ended."""
        query = sa.select(sa.func.count()).where(
            self._is_read(_COLUMNS),
            _COLUMNS.status.in_([status.value for status in TERMINAL]),
        )
        with self.transaction(reading=True) as connection:
            return int(connection.scalar(query) or 0)

    def in_flight(self, *, asked_after: int = -1) -> frozenset[str]:
        """Return the ids of the personas that are still polled and whose last poll succeeded.

        Args:
            asked_after: Only those of which the log holds an answer to a later call than this one.
        """
        query = sa.select(_COLUMNS.persona_id).where(
            self._is_read(_COLUMNS),
            _COLUMNS.next_look_us.is_not(None),
            _COLUMNS.failures == 0,
            sa.func.coalesce(_COLUMNS.asked_no, 0) > asked_after,
            _COLUMNS.status.not_in([status.value for status in TERMINAL]),
        )
        with self.transaction(reading=True) as connection:
            return frozenset(connection.scalars(query))

    def compare_with_list(self, listed: Set[str], at: datetime) -> None:
        """Make due what a whole list of the account shows to have changed.

        These are the followed personas that are gone or deleted and are listed, and, at most daily,
        those that have ended and are not listed: absence from a list alone proves nothing. Those
        that were deleted here are left alone: a list may show them for some minutes more. How many
        of the list the log does not have is stored, without those that open submissions may have
        become.

        Args:
            listed: The ids in the list.
            at: The moment, on the session's clock.
        """
        names = ("persona_id", "gone", "status", "next_look_us", "unlisted_us", "deleted_us")
        query = sa.select(*(_COLUMNS[name] for name in (*names, "followed")))
        query = query.where(_COLUMNS.account == self._own())
        now_us = to_us(at)
        recently = range(to_us(at - LONGEST_GAP) + 1, now_us + 1)
        with self.transaction() as connection:
            rows = connection.execute(query).all()
            self._store_unknown_count(connection, listed - {row.persona_id for row in rows})
            for row in rows:
                if not row.followed:
                    continue
                if row.persona_id in listed:
                    if row.unlisted_us is not None:
                        self._plan(row.persona_id, row.next_look_us, unlisted_us=None)
                    if row.gone or row.deleted_us is not None:
                        self.make_due(row.persona_id, at)
                elif (
                    row.status in TERMINAL
                    and row.next_look_us is None
                    and row.deleted_us is None
                    and (row.unlisted_us or 0) not in recently
                ):
                    self._plan(row.persona_id, now_us, unlisted_us=now_us)

    def _store_unknown_count(self, connection: sa.Connection, unknown: Set[str]) -> None:
        submissions = tables.submissions.c
        query = sa.select(sa.func.count()).where(
            submissions.account == self._own(), submissions.state.in_(["sending", "uncertain"])
        )
        count = max(len(unknown) - (connection.scalar(query) or 0), 0)
        accounts = tables.accounts
        update = accounts.update().where(accounts.c.account == self._own())
        connection.execute(update.values(unknown_count=count))

    def set_followed(self, persona_id: str, followed: bool, at: datetime) -> bool:
        """Poll a persona again or no longer; its history stays.

        Args:
            persona_id: The persona.
            followed: Whether it is polled. One that ended or was deleted is not, all the same.
            at: The moment, on the session's clock.

        Returns:
            False if nothing changed: it is unknown, or was followed or not already.
        """
        values: dict[str, Any] = {"followed": followed, "next_look_us": None, "planned_us": None}
        if followed:
            ends = _COLUMNS.status.in_([status.value for status in TERMINAL])
            is_over = ends | _COLUMNS.deleted_us.is_not(None)
            values["next_look_us"] = sa.case((is_over, None), else_=to_us(at))
        key = tables.is_persona(self._own(), persona_id) & (_COLUMNS.followed != followed)
        with self.transaction() as connection:
            return (
                connection.execute(tables.personas.update().where(key).values(values)).rowcount > 0
            )

    def next_look_at(self, persona_id: str | None = None) -> datetime | None:
        """Return when the next poll is due.

        Args:
            persona_id: Only this persona; by default any.

        Returns:
            The moment, on the session's clock; None when no poll is planned.
        """
        query = sa.select(sa.func.min(_COLUMNS.next_look_us))
        query = query.where(self._is_read(_COLUMNS, persona_id))
        with self.transaction(reading=True) as connection:
            us = connection.scalar(query)
        return None if us is None else to_moment(us)

    def _plan(self, persona_id: str, next_look_us: int | None, **values: Any) -> bool:
        """Set the next poll and other columns; return False if it is unknown or deleted here."""
        key = tables.is_persona(self._own(), persona_id) & ~_COLUMNS.deleted_here
        values["next_look_us"] = _if_followed(next_look_us)
        update = tables.personas.update().where(key).values(**values)
        with self.transaction() as connection:
            return connection.execute(update).rowcount > 0


def _is_due(at: datetime) -> sa.ColumnElement[bool]:
    next_us, planned_us = _COLUMNS.next_look_us, _COLUMNS.planned_us
    by_wrong_clock = (next_us > to_us(at + LONGEST_GAP * _JITTER)) | (
        next_us.is_not(None) & (planned_us > to_us(at + _CLOCKS_DIFFER))
    )
    answered_us = sa.func.coalesce(_COLUMNS.asked_us, _COLUMNS.last_seen_us)
    failed_us = sa.func.coalesce(_COLUMNS.last_error_us, 0)
    is_resting = sa.or_(
        *(us.between(to_us(at - HINT_REST) + 1, to_us(at)) for us in (answered_us, failed_us))
    )
    is_hinted = next_us.is_not(None) & _is_unanswered() & ~is_resting
    return (next_us <= to_us(at)) | by_wrong_clock | is_hinted


def _is_unanswered() -> sa.ColumnElement[bool]:
    """Return the condition that a webhook named a persona after its last poll was asked."""
    numbers = sa.func.coalesce(_COLUMNS.asked_no, 0), sa.func.coalesce(_COLUMNS.error_no, 0)
    return sa.and_(*(_COLUMNS.hinted_no >= number for number in numbers))
