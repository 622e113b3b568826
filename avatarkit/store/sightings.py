"""Answers into runs: the SQL of the run-length encoded log, within a transaction of ``Store``."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from avatarkit.models import Persona
from avatarkit.store import tables
from avatarkit.store.tables import to_moment, to_us

GONE_AFTER = timedelta(hours=6)
GONE_MISSES = 3
"""A persona answered with 404 this often in a row, over at least ``GONE_AFTER``, is gone."""

NextLook = Callable[[str, datetime], datetime | None]
"""(status, since when it is seen in it) -> the moment of the next look, None for never."""

_KEPT = ("creator_name", "gender", "video_scene", "keywords", "labels")


@dataclass(frozen=True)
class Change:
    """A persona was seen in another status than before; ``before`` is None at the first sight."""

    persona_id: str
    creator_name: str | None
    before: str | None
    after: str
    at: datetime
    failed_reason: str | None = None


def record(
    connection: sa.Connection,
    account: str,
    persona: Persona,
    *,
    asked_at: datetime,
    answered_at: datetime,
    source: str,
    next_look: NextLook,
    submitted_us: int | None = None,
    sent: dict[str, Any] | None = None,
) -> Change | None:
    """Log one answer; the change it shows, or None.

    ``sent`` is what the create asked for: it fills the fields that an answer does not carry.
    """
    table = tables.personas
    key = (table.c.account == account) & (table.c.persona_id == persona.id)
    row = connection.execute(sa.select(table).where(key).with_for_update()).one_or_none()
    run = _run(connection, row.run_id) if row is not None else None
    status = persona.status_text
    if run is not None and run.status == status:
        run_id, since = run.id, to_moment(run.first_seen_us)
        seen_us = max(run.last_seen_us, to_us(asked_at))
        _extend(connection, run, seen_us, persona)
    elif run is not None and to_us(answered_at) <= run.last_seen_us:
        return None  # overtaken: another process has seen something newer
    else:
        since, seen_us = answered_at, to_us(answered_at)
        run_id = _begin(connection, account, persona, seen_us, source)
    next_at = next_look(status, since)
    values = {
        **_shown(persona, sent or {}),
        "status": status,
        "last_seen_us": seen_us,
        "next_look_us": to_us(next_at) if next_at else None,
        "gone": False,
        "last_error": None,
        "failures": 0,
        "missed_since_us": None,
        "run_id": run_id,
    }
    if submitted_us is not None:
        values["submitted_us"] = submitted_us
    if row is None:
        values |= {"account": account, "persona_id": persona.id, "first_seen_us": seen_us}
        connection.execute(table.insert().values(**values))
    else:
        connection.execute(table.update().where(key).values(**values))
    before = None if run is None else run.status
    if before == status:
        return None
    name = values.get("creator_name") or (row.creator_name if row is not None else None)
    return Change(persona.id, name, before, status, answered_at, persona.failed_reason)


def _run(connection: sa.Connection, run_id: int) -> sa.Row[Any]:
    runs = tables.sightings
    return connection.execute(sa.select(runs).where(runs.c.id == run_id)).one()


def _extend(connection: sa.Connection, run: sa.Row[Any], seen_us: int, persona: Persona) -> None:
    runs = tables.sightings
    connection.execute(
        runs.update()
        .where(runs.c.id == run.id)
        .values(
            last_seen_us=seen_us,
            times_seen=run.times_seen + 1,
            failed_reason=persona.failed_reason or run.failed_reason,
        )
    )


def _begin(
    connection: sa.Connection, account: str, persona: Persona, seen_us: int, source: str
) -> int:
    # What the API says of when the status began: at a create the creation itself, later the
    # last update.
    reported_at = persona.created_at if source == "create" else persona.updated_at
    result = connection.execute(
        tables.sightings.insert().values(
            account=account,
            persona_id=persona.id,
            status=persona.status_text,
            first_seen_us=seen_us,
            last_seen_us=seen_us,
            times_seen=1,
            reported_us=to_us(reported_at) if reported_at else None,
            failed_reason=persona.failed_reason,
            source=source,
        )
    )
    return int(result.inserted_primary_key[0])  # type: ignore[index] # an INSERT of one row has one


def _shown(persona: Persona, sent: dict[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {
        "is_active": persona.is_active,
        "failed_reason": persona.failed_reason,
        "answer": persona.model_dump_json(exclude_unset=True),
    }
    for name in _KEPT:
        value = getattr(persona, name)
        value = sent.get(name) if value is None else value
        if value is not None:
            values[name] = json.dumps(value) if name == "labels" else value
    for column, moment in (("created_us", persona.created_at), ("updated_us", persona.updated_at)):
        if moment is not None:
            values[column] = to_us(moment)
    return values


def record_error(
    connection: sa.Connection,
    account: str,
    persona_id: str,
    error: str,
    *,
    at: datetime,
    next_look_at: datetime,
    missing: bool,
) -> None:
    """A look ended in ``error``; ``missing`` says that the API knows no such persona."""
    table = tables.personas
    key = (table.c.account == account) & (table.c.persona_id == persona_id)
    query = sa.select(table.c.failures, table.c.missed_since_us).where(key)
    row = connection.execute(query.with_for_update()).one_or_none()
    if row is None:
        return
    was_missing = row.missed_since_us is not None
    since_us = (row.missed_since_us or to_us(at)) if missing else None
    # Failures in a row are counted anew when their kind changes.
    failures = row.failures + 1 if missing == was_missing else 1
    gone = (
        since_us is not None and failures >= GONE_MISSES and to_moment(since_us) + GONE_AFTER <= at
    )
    connection.execute(
        table.update()
        .where(key)
        .values(
            last_error=error,
            failures=failures,
            missed_since_us=since_us,
            gone=gone,
            next_look_us=None if gone else to_us(next_look_at),
        )
    )
