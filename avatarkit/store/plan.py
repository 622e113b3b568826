"""Plan polls and read the plan; SQL within a transaction of ``Store``."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from avatarkit.store import tables
from avatarkit.store.tables import to_moment, to_us

_T = tables.personas.c


@dataclass(frozen=True)
class DuePersona:
    """A persona to poll, and how many polls in a row have failed."""

    persona_id: str
    failures: int


def plan(
    connection: sa.Connection, account: str, persona_id: str, at: datetime | None, **values: Any
) -> bool:
    """Set the next poll, None for never, and other columns; False for an unknown persona."""
    key = tables.is_persona(account, persona_id)
    values["next_look_us"] = None if at is None else to_us(at)
    return connection.execute(tables.personas.update().where(key).values(**values)).rowcount > 0


def due(
    connection: sa.Connection, account: str, at: datetime, persona_id: str | None
) -> list[DuePersona]:
    """Return the personas to poll by ``at``, the longest overdue first; or one, due or not."""
    query = sa.select(_T.persona_id, _T.failures).order_by(_T.next_look_us)
    if persona_id is None:
        query = query.where((_T.account == account) & (_T.next_look_us <= to_us(at)))
    else:
        query = query.where(tables.is_persona(account, persona_id))
    return [DuePersona(row.persona_id, row.failures) for row in connection.execute(query)]


def in_flight(connection: sa.Connection, account: str) -> frozenset[str]:
    """Return the ids of the personas that are polled and answered the last poll."""
    query = sa.select(_T.persona_id).where(
        (_T.account == account) & _T.next_look_us.is_not(None) & (_T.failures == 0)
    )
    return frozenset(connection.scalars(query))


def next_poll_at(
    connection: sa.Connection, account: str, persona_id: str | None
) -> datetime | None:
    """Return when any persona, or this one, is polled next; None for never."""
    query = sa.select(sa.func.min(_T.next_look_us)).where(_T.account == account)
    if persona_id is not None:
        query = query.where(_T.persona_id == persona_id)
    us = connection.scalar(query)
    return None if us is None else to_moment(us)
