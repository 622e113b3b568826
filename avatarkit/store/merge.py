"""Move the rows of one fingerprint to another, and merge what both have."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import groupby
from typing import Any, NamedTuple

import sqlalchemy as sa

from avatarkit.models import TERMINAL, Persona
from avatarkit.store import answers, tables

_PERSONAS, _RUNS, _NOTIFICATIONS = tables.personas, tables.sightings, tables.notifications

LONGEST_CALL_US = 20_000_000
"""An answer arrives at most this long after it was asked for."""

_KEPT = (
    *("creator_name", "gender", "video_scene", "keywords", "labels", "created_us", "updated_us"),
    *("submitted_us", "footage_missing", "footage_note", "preview_image", "preview_video"),
)
"""Columns of ``personas`` in which the older value fills what the newer row lacks."""


class _Part(NamedTuple):
    """One end of a run, or a run that was seen once."""

    at_us: int
    run: Any
    has_start: bool
    has_end: bool

    @property
    def first_us(self) -> int:
        """By when the status had begun; of an end alone, the answer to its call."""
        run = self.run
        return int(run.first_seen_us if self.has_start else run.last_seen_us + LONGEST_CALL_US)

    @property
    def last_us(self) -> int:
        """Until when the status lasted; of a start alone, when its call was asked."""
        run = self.run
        return int(run.last_seen_us if self.has_end else run.first_seen_us - LONGEST_CALL_US)


def move_personas(connection: sa.Connection, own: str, other: str) -> None:
    """Give the personas of another fingerprint to an account, with their runs."""
    columns = _PERSONAS.c
    ids = sa.select(columns.persona_id)
    theirs = ids.where(columns.account == other)
    shared = ids.where(columns.account == own, columns.persona_id.in_(theirs))
    for persona_id in sorted(connection.scalars(shared).all()):
        _merge(connection, own, other, persona_id)
    for table in (_PERSONAS, _RUNS):
        update = table.update().where(table.c.account == other)
        connection.execute(update.values(account=own))


def move_notifications(connection: sa.Connection, own: str, other: str) -> None:
    """Give the notifications of another fingerprint to an account; what was sent stays sent."""
    columns = _NOTIFICATIONS.c
    query = sa.select(_NOTIFICATIONS).where(columns.account.in_([own, other]))
    by_event: dict[tuple[str, str], list[Any]] = {}
    for row in connection.execute(query).all():
        by_event.setdefault((row.event, row.subject), []).append(row)
    for (event, subject), rows in by_event.items():
        if len(rows) > 1:
            kept = max(rows, key=lambda row: (row.sent_us is not None, row.account == own))
            is_it = (columns.event == event) & (columns.subject == subject)
            is_twin = columns.account.in_([own, other]) & (columns.account != kept.account)
            connection.execute(_NOTIFICATIONS.delete().where(is_it, is_twin))
    update = _NOTIFICATIONS.update().where(columns.account == other)
    connection.execute(update.values(account=own))


def merge_runs(runs: Sequence[Any]) -> list[dict[str, Any]]:
    """Merge the runs of one persona that two fingerprints have logged.

    Args:
        runs: Rows of ``sightings``, in any order.

    Returns:
        The columns of each unbroken run of one status, by time. A run is split where the other
        fingerprint saw another status meanwhile.
    """
    parts: list[_Part] = []
    for run in runs:
        if run.last_seen_us <= run.first_seen_us:
            parts.append(_Part(run.first_seen_us, run, True, True))
        else:
            parts.append(_Part(run.first_seen_us, run, True, False))
            parts.append(_Part(run.last_seen_us, run, False, True))
    parts.sort(key=lambda part: (part.at_us, part.run.id))
    groups = groupby(parts, key=lambda part: part.run.status)
    return [_join(list(group)) for _, group in groups]


def _join(parts: list[_Part]) -> dict[str, Any]:
    """Return one run of the parts that follow each other with the same status."""
    whole: list[_Part] = []
    for part in parts:
        is_split = not (part.has_start and part.has_end)
        twins = [each for each in parts if each.run.id == part.run.id] if is_split else [part]
        # A run that begins and ends here counts once, with both of its ends.
        if len(twins) == 1:
            whole.append(part)
        elif part.has_start:
            whole.append(part._replace(has_end=True))
    earliest = min(whole, key=lambda part: (part.run.source != "create", part.first_us))
    reasons = [part.run.failed_reason for part in whole if part.run.failed_reason]
    return {
        "status": earliest.run.status,
        "first_seen_us": min(part.first_us for part in whole),
        "last_seen_us": max(part.last_us for part in whole),
        "times_seen": sum(_times_seen(part) for part in whole),
        "reported_us": earliest.run.reported_us if earliest.has_start else None,
        "failed_reason": reasons[-1] if reasons else None,
        "source": earliest.run.source if earliest.has_start else "poll",
    }


def _times_seen(part: _Part) -> int:
    times = int(part.run.times_seen)
    if part.has_start and part.has_end:
        return times
    return max(times - 1, 1) if part.has_start else 1


def _merge(connection: sa.Connection, own: str, other: str, persona_id: str) -> None:
    """Merge a persona that both have into the account's row, and delete the other one."""
    is_own, is_other = (tables.is_persona(account, persona_id) for account in (own, other))
    kept, moved = (
        connection.execute(sa.select(_PERSONAS).where(key).with_for_update()).one()
        for key in (is_own, is_other)
    )
    key = _RUNS.c.account.in_([own, other]) & (_RUNS.c.persona_id == persona_id)
    runs = connection.execute(sa.select(_RUNS).where(key).order_by(_RUNS.c.id)).all()
    merged = merge_runs(runs)
    run_id = _write_runs(connection, own, persona_id, [run.id for run in runs], merged)
    connection.execute(_PERSONAS.delete().where(is_other))
    values = _merged_row(kept, moved, merged[-1]["status"]) | {"run_id": run_id}
    connection.execute(_PERSONAS.update().where(is_own).values(**values))


def _write_runs(
    connection: sa.Connection,
    own: str,
    persona_id: str,
    ids: list[int],
    merged: list[dict[str, Any]],
) -> int:
    """Write merged runs in place of the old ones; return the id of the last one.

    The ids stay, in the order of time: to a live view, a higher one would be a new change.
    """
    row = {"account": own, "persona_id": persona_id}
    reused = ids[: len(merged)]
    connection.execute(_RUNS.delete().where(_RUNS.c.id.in_(ids[len(merged) :])))
    for run_id, run in zip(reused, merged, strict=False):
        connection.execute(_RUNS.update().where(_RUNS.c.id == run_id).values(**row, **run))
    for run in merged[len(reused) :]:
        result = connection.execute(_RUNS.insert().values(**row, **run))
        reused.append(int(result.inserted_primary_key[0]))  # type: ignore[index] # an INSERT has one
    return reused[len(merged) - 1]


def _merged_row(kept: Any, moved: Any, status: str) -> dict[str, Any]:
    """Return the columns of a persona that both have: the newer answer's, filled by the older."""
    newer = max((kept, moved), key=lambda row: (row.status == status, row.last_seen_us))
    older = moved if newer is kept else kept
    values = {**newer._mapping}
    for name in ("account", "persona_id"):
        del values[name]
    for name in _KEPT:
        if values[name] is None:
            values[name] = getattr(older, name)
    plans = [row.next_look_us for row in (kept, moved) if row.next_look_us is not None]
    if newer.status not in TERMINAL:
        values["next_look_us"] = min(plans, default=None)
    # A person decided that with the keys that are used now.
    values["followed"] = kept.followed
    values["deleted_here"] = kept.deleted_here or moved.deleted_here
    if values["deleted_here"] and values["deleted_us"] is None:
        values["deleted_us"] = older.deleted_us
    if not kept.followed or values["deleted_here"]:
        values["next_look_us"] = None
    answer = answers.union(
        Persona.model_validate_json(older.answer), Persona.model_validate_json(newer.answer)
    )
    return values | {
        "first_seen_us": min(kept.first_seen_us, moved.first_seen_us),
        "last_seen_us": max(kept.last_seen_us, moved.last_seen_us),
        "answer": json.dumps(answer.answer(), ensure_ascii=False),
    }
