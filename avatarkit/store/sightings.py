"""Write answers into the run-length encoded log; SQL within a transaction of ``Store``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from avatarkit.models import Persona
from avatarkit.store import tables
from avatarkit.store.tables import to_moment, to_us

GONE_AFTER = timedelta(hours=6)
GONE_MISSES = 3
"""A persona is gone after this many 404s in a row, over at least ``GONE_AFTER``."""

_KEPT = ("creator_name", "gender", "video_scene", "keywords", "labels")


@dataclass(frozen=True)
class Change:
    """A persona was seen in a new status; ``before`` is None at the first sighting."""

    persona_id: str
    creator_name: str | None
    before: str | None
    after: str
    at: datetime
    failed_reason: str | None = None


@dataclass(frozen=True)
class Recorded:
    """An answer as it was logged: the status, when it was first seen, and the change, if any."""

    status: str
    since: datetime
    change: Change | None


def record(
    connection: sa.Connection,
    account: str,
    persona: Persona,
    *,
    asked_at: datetime,
    answered_at: datetime,
    source: str,
    submission: sa.Row[Any] | None = None,
) -> Recorded | None:
    """Log one answer; None when the log holds a newer one.

    ``submission`` is the create that made the persona: its request fills the fields that the
    answer does not carry.
    """
    table, status = tables.personas, persona.status_text
    key = tables.is_persona(account, persona.id)
    row = connection.execute(sa.select(table).where(key).with_for_update()).one_or_none()
    run = _run(connection, row.run_id) if row is not None else None
    since, seen_us = answered_at, to_us(answered_at)
    if run is not None and run.status == status:
        since, seen_us = to_moment(run.first_seen_us), max(run.last_seen_us, to_us(asked_at))
        run_id = run.id
        _extend(connection, run, seen_us, persona)
    elif run is not None and seen_us <= run.last_seen_us:
        return None
    else:
        run_id = _begin(connection, account, persona, seen_us, source)
    values = {
        **_columns(persona, json.loads(submission.request) if submission is not None else {}),
        "status": status,
        "last_seen_us": seen_us,
        "gone": False,
        "last_error": None,
        "failures": 0,
        "missed_since_us": None,
        "run_id": run_id,
    }
    if submission is not None:
        values["submitted_us"] = submission.sent_us
    if row is None:
        values |= {"account": account, "persona_id": persona.id, "first_seen_us": seen_us}
        connection.execute(table.insert().values(**values))
    else:
        connection.execute(table.update().where(key).values(**values))
    if run is not None and run.status == status:
        return Recorded(status, since, None)
    name = values.get("creator_name") or (row.creator_name if row is not None else None)
    before = None if run is None else run.status
    change = Change(persona.id, name, before, status, answered_at, persona.failed_reason)
    return Recorded(status, since, change)


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
    # When the status began, by the API's own account: the creation, later the last update.
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


def _columns(persona: Persona, request: dict[str, Any]) -> dict[str, Any]:
    """Return the columns that the answer, or else the request, fills."""
    values: dict[str, Any] = {
        "is_active": persona.is_active,
        "failed_reason": persona.failed_reason,
        "answer": persona.model_dump_json(exclude_unset=True),
    }
    for name in _KEPT:
        value = getattr(persona, name)
        value = request.get(name) if value is None else value
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
    missing: bool,
) -> bool:
    """Log a poll that failed, ``missing`` when with a 404; True when the persona is gone."""
    table = tables.personas
    key = tables.is_persona(account, persona_id)
    query = sa.select(table.c.failures, table.c.missed_since_us).where(key)
    row = connection.execute(query.with_for_update()).one_or_none()
    if row is None:
        return False
    since_us = (row.missed_since_us or to_us(at)) if missing else None
    # Failures in a row are of one kind: 404s, or other errors.
    same_kind = missing == (row.missed_since_us is not None)
    failures = row.failures + 1 if same_kind else 1
    gone = (
        since_us is not None and failures >= GONE_MISSES and to_moment(since_us) + GONE_AFTER <= at
    )
    connection.execute(
        table.update()
        .where(key)
        .values(last_error=error, failures=failures, missed_since_us=since_us, gone=gone)
    )
    return gone
