"""Store when each persona is polled next, and read which are due."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from avatarkit.store import tables
from avatarkit.store.database import Database
from avatarkit.store.tables import to_moment, to_us

_COLUMNS = tables.personas.c


@dataclass(frozen=True)
class DuePersona:
    """A persona to poll, and how many polls in a row have failed."""

    persona_id: str
    failures: int


class PollPlan(Database):
    """The time of each persona's next poll."""

    def plan(self, persona_id: str, next_poll_at: datetime | None) -> None:
        """Set when a persona is polled next; None for never."""
        self._plan(persona_id, None if next_poll_at is None else to_us(next_poll_at))

    def make_due(self, persona_id: str, at: datetime) -> bool:
        """Poll a persona again, also one that is gone or has ended.

        Args:
            persona_id: The persona.
            at: When it is due.

        Returns:
            False for an unknown persona.
        """
        return self._plan(persona_id, to_us(at), gone=False, failures=0, missed_since_us=None)

    def due(self, at: datetime, persona_id: str | None = None) -> list[DuePersona]:
        """Return the personas that are due.

        Args:
            at: The moment, on the session's clock.
            persona_id: Return this persona instead, due or not.

        Returns:
            The personas, the longest overdue first; none for an unknown ``persona_id``.
        """
        query = sa.select(_COLUMNS.persona_id, _COLUMNS.failures).order_by(_COLUMNS.next_look_us)
        if persona_id is None:
            query = query.where(_COLUMNS.account == self._own(), _COLUMNS.next_look_us <= to_us(at))
        else:
            query = query.where(tables.is_persona(self._own(), persona_id))
        with self.transaction(reading=True) as connection:
            return [DuePersona(row.persona_id, row.failures) for row in connection.execute(query)]

    def in_flight(self) -> frozenset[str]:
        """Return the ids of the personas that are still polled and whose last poll succeeded."""
        query = sa.select(_COLUMNS.persona_id).where(
            _COLUMNS.account == self._own(),
            _COLUMNS.next_look_us.is_not(None),
            _COLUMNS.failures == 0,
        )
        with self.transaction(reading=True) as connection:
            return frozenset(connection.scalars(query))

    def next_look_at(self, persona_id: str | None = None) -> datetime | None:
        """Return when the next poll is due.

        Args:
            persona_id: Only this persona; by default any.

        Returns:
            The moment, on the session's clock; None when no poll is planned.
        """
        query = sa.select(sa.func.min(_COLUMNS.next_look_us)).where(_COLUMNS.account == self._own())
        if persona_id is not None:
            query = query.where(_COLUMNS.persona_id == persona_id)
        with self.transaction(reading=True) as connection:
            us = connection.scalar(query)
        return None if us is None else to_moment(us)

    def _plan(self, persona_id: str, next_look_us: int | None, **values: Any) -> bool:
        """Set the next poll and other columns; return False for an unknown persona."""
        key = tables.is_persona(self._own(), persona_id)
        update = tables.personas.update().where(key).values(next_look_us=next_look_us, **values)
        with self.transaction() as connection:
            return connection.execute(update).rowcount > 0
