"""Log an answer although the log has later times than this machine's clock.

By the number of its call an answer is newer than the log, and by its time it is older: one of the
clocks is wrong, or was. The times in the log are then cut to what stays true.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from avatarkit.models import Persona
from avatarkit.store import tables
from avatarkit.store.tables import to_us
from avatarkit.text import format_hours

TOLERANCE_US = 5_000_000
"""A clock that is set back by less is not worth a word: clocks are corrected all the time."""

_RUNS = tables.sightings
_COLUMNS = _RUNS.c


@dataclass(frozen=True)
class Stamps:
    """When an answer was asked for and arrived, as it is logged, and what to say about it."""

    asked_us: int
    answered_us: int
    notice: str | None = None


def correct(
    connection: sa.Connection, row: sa.Row[Any], persona: Persona, stamps: Stamps
) -> Stamps:
    """Cut the times in the log that lie after a newer answer, or mend the answer's own.

    Which clock is wrong is told by the API's own times in the answer: those of the right clock are
    nearer to them. Without such times it is the clock of the log. Of a run whose times are cut it
    stays known that its status was seen by then, and not how long it lasted.

    Args:
        connection: A connection with an open transaction.
        row: The persona's row.
        persona: The answer, to a later call than the log's.
        stamps: When it was asked for and arrived, by this machine's clock.

    Returns:
        The times to log the answer with; with a notice if a clock is wrong.
    """
    asked_us, answered_us = stamps.asked_us, stamps.answered_us
    logged_us = row.asked_us or row.last_seen_us
    if logged_us - asked_us <= TOLERANCE_US:
        return stamps
    ahead_h = (logged_us - asked_us) / 3_600_000_000
    notice = (
        f"One clock is wrong: the last answer about {row.persona_id} was logged "
        f"{format_hours(ahead_h)} after the time that this machine's clock shows now; set the "
        "clocks of all machines that track."
    )
    reported = [at for at in (persona.created_at, persona.updated_at) if at is not None]
    reported_us = to_us(max(reported)) if reported else answered_us
    if abs(logged_us - reported_us) < abs(answered_us - reported_us):
        # This machine's clock is behind: the answer arrived at some time after the log's last.
        latest_us = max(logged_us, row.last_seen_us, reported_us)
        return Stamps(logged_us, latest_us, notice)
    first = sa.case(
        (_COLUMNS.first_seen_us > answered_us, answered_us), else_=_COLUMNS.first_seen_us
    )
    is_later = (_COLUMNS.last_seen_us > asked_us) | (_COLUMNS.first_seen_us > answered_us)
    cut = _RUNS.update().where(tables.is_persona(row.account, row.persona_id, _RUNS), is_later)
    connection.execute(cut.values(first_seen_us=first, last_seen_us=first))
    return Stamps(asked_us, answered_us, notice)
