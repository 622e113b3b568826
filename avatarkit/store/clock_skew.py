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
    nearer to them. Without such times it is the clock of the log.

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
    _cut(connection, row, stamps)
    return Stamps(asked_us, answered_us, notice)


def _cut(connection: sa.Connection, row: sa.Row[Any], stamps: Stamps) -> None:
    """Cut the runs of a persona whose times lie after an answer.

    Of such a run it is known that its status was seen by then. It is not known how long it lasted:
    longer than the run before, and at least until it was first seen, if that time is not cut.
    """
    begun = [us for us in (row.created_us, row.submitted_us) if us is not None]
    latest_us = max((us for us in begun if us <= stamps.answered_us), default=stamps.answered_us)
    runs = tables.sightings
    query = sa.select(runs).where(tables.is_persona(row.account, row.persona_id, runs))
    for run in connection.execute(query.order_by(runs.c.id)).all():
        if max(run.last_seen_us - stamps.asked_us, run.first_seen_us - stamps.answered_us) > 0:
            if run.first_seen_us <= stamps.answered_us:
                latest_us = min(run.first_seen_us, run.last_seen_us)
            first_us = min(run.first_seen_us, stamps.answered_us)
            values = {"first_seen_us": first_us, "last_seen_us": latest_us}
            connection.execute(runs.update().where(runs.c.id == run.id).values(values))
        else:
            latest_us = run.last_seen_us
