"""Read what a live view shows: counts, the personas in short, and the newest changes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from avatarkit.store import tables
from avatarkit.store.plan import PollPlan
from avatarkit.store.sightings import Change
from avatarkit.store.tables import to_moment

_PERSONAS, _RUNS = tables.personas.c, tables.sightings.c
_SUBMISSIONS, _ACCOUNTS = tables.submissions.c, tables.accounts.c


class Scanned(NamedTuple):
    """The account of a table's rows, without its index."""

    account: sa.ColumnElement[str]


# Without an index by account to choose, SQLite reads a table in its order, or its newest rows;
# with one it reads the rows of the account in random order.
_scanned_runs, _scanned_personas, _scanned_submissions = (
    Scanned(columns.account.concat("")) for columns in (_RUNS, _PERSONAS, _SUBMISSIONS)
)

_MARKS = (
    _PERSONAS.gone,
    _PERSONAS.followed,
    _PERSONAS.deleted_here,
    _PERSONAS.deleted_us.is_not(None),
    _PERSONAS.last_error.is_not(None),
    _PERSONAS.is_active,
    _PERSONAS.footage_missing,
    _PERSONAS.preview_image.is_not(None),
)
"""What can change of a persona while its status stays."""
_STATES = ("uncertain", "prepared", "sending", "accepted", "refused")


class StateKey(NamedTuple):
    """Changes whenever the rows of an account change that a page shows, and not with each poll.

    Attributes:
        last_run_id: The number of the newest run of a status, 0 without any.
        unknown: How many avatars of the account the log does not have, by the last list.
        uncertain: How many submissions may have been created.
        states: How many submissions are in each of the other states.
        personas: How many personas there are.
        marks: For each of ``_MARKS`` a sum over the personas that have it, which differs also if
            one of them takes the place of another.
    """

    last_run_id: int
    unknown: int
    uncertain: int
    states: tuple[int, ...]
    personas: int
    marks: tuple[int, ...]


@dataclass(frozen=True)
class ShownPersona:
    """A persona as a live view shows it; ``since`` is when it was first seen in its status."""

    persona_id: str
    creator_name: str | None
    status: str
    since: datetime
    next_poll_at: datetime | None
    gone: bool
    failed_reason: str | None
    last_error: str | None
    last_error_at: datetime | None
    deleted: bool = False


@dataclass(frozen=True)
class LastPoll:
    """The last polls of a persona.

    ``seen_at`` is when the last answer about it was requested, ``error`` what went wrong in the
    last poll and ``error_at`` when that was; both None if it was answered.
    """

    seen_at: datetime
    error: str | None
    error_at: datetime | None


class LiveView(PollPlan):
    """What a live view reads every second; small queries, as the log may be long."""

    def counts(self, at: datetime) -> tuple[int, int, int]:
        """Return how many followed personas there are, are polled and not gone, and are due.

        Args:
            at: The moment, on the session's clock.
        """
        count = sa.select(sa.func.count()).where(self._is_read(_PERSONAS), _PERSONAS.followed)
        is_polled = _PERSONAS.next_look_us.is_not(None) & ~_PERSONAS.gone
        with self.transaction(reading=True) as connection:
            total, in_flight = connection.scalar(count), connection.scalar(count.where(is_polled))
            return total or 0, in_flight or 0, self.count_due(at)

    def shown(self, limit: int) -> list[ShownPersona]:
        """Return the followed personas as a live view shows them, at most this many.

        Returns:
            Those whose last poll failed or that are gone (not deleted here), then others that are
            polled, then those that have ended; each newest first.
        """
        is_missing = _PERSONAS.gone & ~_PERSONAS.deleted_here
        needs_attention = is_missing | _PERSONAS.last_error.is_not(None)
        names = ("persona_id", "creator_name", "status", "gone", "failed_reason", "last_error")
        query = (
            sa.select(
                *(
                    _PERSONAS[name]
                    for name in (*names, "next_look_us", "last_error_us", "deleted_us")
                ),
                _RUNS.first_seen_us.label("since_us"),
            )
            .join(tables.sightings, _RUNS.id == _PERSONAS.run_id)
            .where(self._is_read(_PERSONAS), _PERSONAS.followed)
            .order_by(
                needs_attention.desc(),
                _PERSONAS.next_look_us.is_(None),
                sa.func.coalesce(_PERSONAS.created_us, _PERSONAS.first_seen_us).desc(),
                _PERSONAS.persona_id,
            )
            .limit(limit)
        )
        with self.transaction(reading=True) as connection:
            rows = connection.execute(query).all()
        return [
            ShownPersona(
                **{name: getattr(row, name) for name in names},
                since=to_moment(row.since_us),
                next_poll_at=_moment(row.next_look_us),
                last_error_at=_moment(row.last_error_us),
                deleted=row.deleted_us is not None,
            )
            for row in rows
        ]

    def last_poll(self, persona_id: str) -> LastPoll:
        """Return what the last polls of a persona that the log has found."""
        seen_us = sa.func.coalesce(_RUNS.last_seen_us, _PERSONAS.first_seen_us).label("seen_us")
        query = (
            sa.select(_PERSONAS.last_error, _PERSONAS.last_error_us, seen_us)
            .join(tables.sightings, _RUNS.id == _PERSONAS.run_id, isouter=True)
            .where(tables.is_persona(self._own(), persona_id))
        )
        with self.transaction(reading=True) as connection:
            row = connection.execute(query).one()
        return LastPoll(to_moment(row.seen_us), row.last_error, _moment(row.last_error_us))

    def state_key(self) -> StateKey:
        """Return a short key of all that a page shows of the account, in one small query."""
        weight = 1 + sa.func.coalesce(_PERSONAS.run_id, 0)  # another number for each persona
        marks = [sa.func.sum(sa.case((mark, weight), else_=0)) for mark in _MARKS]
        states = [sa.func.sum(sa.case((_SUBMISSIONS.state == s, 1), else_=0)) for s in _STATES]
        personas = _one_row(
            [sa.func.count(_PERSONAS.persona_id), *marks], self._is_read(_scanned_personas)
        )
        submissions = _one_row(states, self._is_read(_scanned_submissions))
        unknown = sa.select(sa.func.sum(_ACCOUNTS.unknown_count)).where(self._is_read(_ACCOUNTS))
        query = sa.select(
            self._last_run().scalar_subquery(), unknown.scalar_subquery(), submissions, personas
        ).select_from(personas.join(submissions, sa.true()))
        with self.transaction(reading=True) as connection:
            row = [int(value or 0) for value in connection.execute(query).one()]
        run_id, unknown_count, uncertain, *numbers = row
        others = len(_STATES) - 1
        return StateKey(
            run_id,
            unknown_count,
            uncertain,
            tuple(numbers[:others]),
            numbers[others],
            tuple(numbers[others + 1 :]),
        )

    def last_run_id(self) -> int:
        """Return the number of the newest run of a status in the log, 0 without any."""
        with self.transaction(reading=True) as connection:
            return connection.scalar(self._last_run()) or 0

    def _last_run(self) -> sa.Select[tuple[int]]:
        query = sa.select(_RUNS.id).where(self._is_read(_scanned_runs))
        return query.order_by(_RUNS.id.desc()).limit(1)

    def changed_after(self, run_id: int) -> set[str]:
        """Return the personas that have a run of a status that is newer than this one."""
        query = sa.select(_RUNS.persona_id).distinct()
        query = query.where(self._is_read(_scanned_runs), _RUNS.id > run_id)
        with self.transaction(reading=True) as connection:
            return set(connection.scalars(query))

    def deleted_by_api(self) -> dict[str, str | None]:
        """Return the personas of which the API said that it has them no more, with their names."""
        query = sa.select(_PERSONAS.persona_id, _PERSONAS.creator_name).where(
            self._is_read(_scanned_personas),
            _PERSONAS.deleted_us.is_not(None),
            ~_PERSONAS.deleted_here,
        )
        with self.transaction(reading=True) as connection:
            return {row.persona_id: row.creator_name for row in connection.execute(query)}

    def changes_after(self, run_id: int) -> list[Change]:
        """Return the changes of status whose runs are newer than this one, oldest first."""
        earlier = tables.sightings.alias().c
        is_earlier = (earlier.persona_id == _RUNS.persona_id) & (earlier.id < _RUNS.id)
        before = (
            sa.select(earlier.status)
            .where(earlier.account == _RUNS.account, is_earlier)
            .order_by(earlier.id.desc())
            .limit(1)
            .scalar_subquery()
        )
        names = ("persona_id", "status", "first_seen_us", "failed_reason")
        query = (
            sa.select(*(_RUNS[name] for name in names), _PERSONAS.creator_name)
            .add_columns(before.label("before"))
            .join(tables.personas, _PERSONAS.persona_id == _RUNS.persona_id)
            .where(_PERSONAS.account == _RUNS.account)
            .where(self._is_read(_PERSONAS), self._is_read(_scanned_runs))
            .where(_RUNS.id > run_id)
            .order_by(_RUNS.id)
        )
        with self.transaction(reading=True) as connection:
            rows = connection.execute(query).all()
        return [
            Change(
                persona_id=row.persona_id,
                creator_name=row.creator_name,
                before=row.before,
                after=row.status,
                at=to_moment(row.first_seen_us),
                failed_reason=row.failed_reason,
            )
            for row in rows
        ]


def _moment(us: int | None) -> datetime | None:
    return None if us is None else to_moment(us)


def _one_row(columns: list[Any], condition: sa.ColumnElement[bool]) -> sa.Subquery:
    named = [column.label(f"n{place}") for place, column in enumerate(columns)]
    return sa.select(*named).where(condition).subquery()
