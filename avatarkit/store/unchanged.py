"""Log many answers that say nothing new, in a few statements.

Most polls find what the log says already. Only times and numbers are written then, which takes a
tenth of the time of ``SightingLog.record``.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from avatarkit.models import Persona
from avatarkit.store import clock_skew, tables
from avatarkit.store.clock_skew import Call
from avatarkit.store.database import Database
from avatarkit.store.sightings import Recorded
from avatarkit.store.tables import to_moment, to_us

_ACCOUNTS, _PERSONAS, _RUNS = tables.accounts.c, tables.personas.c, tables.sightings.c

_SELECT = (
    sa.select(
        _PERSONAS.persona_id,
        _PERSONAS.answer,
        _PERSONAS.asked_no,
        _PERSONAS.asked_us,
        _RUNS.id,
        _RUNS.status,
        _RUNS.first_seen_us,
        _RUNS.last_seen_us,
    )
    .where(
        _PERSONAS.account == sa.bindparam("own"),
        _PERSONAS.persona_id.in_(sa.bindparam("ids", expanding=True)),
        _PERSONAS.run_id == _RUNS.id,
        # What ``record`` would reset.
        ~_PERSONAS.gone,
        _PERSONAS.failures == 0,
        _PERSONAS.last_error.is_(None),
        _PERSONAS.deleted_us.is_(None),
        sa.func.coalesce(_PERSONAS.footage_missing, sa.false()) == sa.false(),
    )
    # In an order, so that two trackers do not wait for each other's locks.
    .order_by(_PERSONAS.persona_id)
    .with_for_update(of=tables.personas)
)
_EXTEND = (
    tables.sightings.update()
    .where(_RUNS.id == sa.bindparam("run"))
    .values(last_seen_us=sa.bindparam("seen_us"), times_seen=_RUNS.times_seen + 1)
)
_SEE = (
    tables.personas.update()
    .where(_PERSONAS.account == sa.bindparam("own"), _PERSONAS.persona_id == sa.bindparam("key"))
    .values(
        last_seen_us=sa.bindparam("seen_us"),
        asked_us=sa.bindparam("seen_us"),
        asked_no=sa.bindparam("no"),
        logged_no=sa.select(_ACCOUNTS.asked_no)
        .where(_ACCOUNTS.account == sa.bindparam("own"))
        .scalar_subquery(),
    )
)


@dataclass(frozen=True)
class Seen:
    """An answer and its call."""

    persona: Persona
    call: Call


class UnchangedLog(Database):
    """The answers that say what the log says already."""

    def record_unchanged(self, answers: Sequence[Seen]) -> Mapping[str, Recorded]:
        """Log those of several answers that change nothing but times.

        The caller plans the next polls in the same transaction, and logs the other answers one by
        one.

        Args:
            answers: The answers; of a persona with several none is logged.

        Returns:
            What was logged, by the persona's id.
        """
        counts = Counter(seen.persona.id for seen in answers)
        own = self._own()
        recorded: dict[str, Recorded] = {}
        rows: list[dict[str, Any]] = []
        with self.transaction() as connection:
            found = connection.execute(_SELECT, {"own": own, "ids": list(counts)})
            known = {row.persona_id: row for row in found}
            for seen in answers:
                row = known.get(seen.persona.id)
                if row is None or counts[seen.persona.id] > 1 or not _is_unchanged(row, seen):
                    continue
                since = to_moment(row.first_seen_us)
                recorded[row.persona_id] = Recorded(row.status, since, None)
                seen_us = to_us(seen.call.asked_at)
                rows.append(
                    {
                        "own": own, "key": row.persona_id, "run": row.id,
                        "seen_us": seen_us, "no": seen.call.no,
                    }
                )  # fmt: skip
            if rows:
                connection.execute(_EXTEND, [{k: r[k] for k in ("run", "seen_us")} for r in rows])
                names = ("own", "key", "seen_us", "no")
                connection.execute(_SEE, [{k: r[k] for k in names} for r in rows])
        return recorded


def _is_unchanged(row: Any, seen: Seen) -> bool:
    call = seen.call
    if row.status != seen.persona.status_text or call.no <= (row.asked_no or 0):
        return False
    stamps = clock_skew.stamp(call.asked_at, call.answered_at, call.dates)
    # Else a clock is wrong, or was set back.
    is_later = stamps.asked_us >= max(row.last_seen_us, row.first_seen_us, row.asked_us or 0)
    if not is_later or stamps.sent_us is not None or call.answered_at < call.asked_at:
        return False
    known = json.loads(row.answer)
    answer = seen.persona.answer().items()
    return all(name in known and known[name] == value for name, value in answer)
