"""Read what a live view shows: counts, the personas in short, and the newest changes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from avatarkit.store import tables
from avatarkit.store.plan import PollPlan
from avatarkit.store.sightings import Change
from avatarkit.store.tables import to_moment

_PERSONAS, _RUNS = tables.personas.c, tables.sightings.c


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


class LiveView(PollPlan):
    """What a live view reads every second; small queries, as the log may be long."""

    def counts(self, at: datetime) -> tuple[int, int, int]:
        """Return how many followed personas there are, are polled and not gone, and are due.

        Args:
            at: The moment, on the session's clock.
        """
        count = sa.select(sa.func.count()).where(
            _PERSONAS.account == self._own(), _PERSONAS.followed
        )
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
            .where(_PERSONAS.account == self._own(), _PERSONAS.followed)
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

    def last_run_id(self) -> int:
        """Return the number of the newest run of a status in the log, 0 without any."""
        query = sa.select(sa.func.max(_RUNS.id)).where(_RUNS.account == self._own())
        with self.transaction(reading=True) as connection:
            return connection.scalar(query) or 0

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
            .where(_PERSONAS.account == self._own(), _RUNS.account == self._own())
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
