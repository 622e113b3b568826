"""Bound the moment of an answer although a clock may be wrong.

The ``Date`` header of an answer tells the server's clock. Without one, an answer that is newer than
the log by the number of its call and older by its time shows that one of the clocks is wrong, or
was. The times in the log are then cut to what stays true.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from avatarkit.models import Persona
from avatarkit.store import tables
from avatarkit.store.tables import to_moment, to_us
from avatarkit.text import format_hours

TOLERANCE = timedelta(seconds=5)
"""A clock that is wrong by less is not worth a word: clocks are corrected all the time."""

PRECISION = timedelta(seconds=1)
"""A ``Date`` header has whole seconds; the answer was made at most this much later."""

_NONE = timedelta(0)


@dataclass
class Call:
    """A call to the API.

    ``no`` is its number in the account, from ``AccountState.ask``. It was asked at ``asked_at`` and
    answered by ``answered_at``, by this machine's clock; ``dates`` are the ``Date`` headers of its
    answers, by the server's.
    """

    no: int
    asked_at: datetime
    answered_at: datetime
    dates: Sequence[datetime] = field(default_factory=tuple)


@dataclass(frozen=True)
class Stamps:
    """When an answer was asked for and arrived, as it is logged, and what to say about it.

    ``sent_us`` is when it was asked for by the clock that shows the earlier time; None if this
    machine's is not known to be wrong. ``confirmed_us`` is when it was asked for, or later, by a
    clock that is right; None if no ``Date`` header tells.
    """

    asked_us: int
    answered_us: int
    sent_us: int | None = None
    confirmed_us: int | None = None
    notice: str | None = None


def offset_bounds(
    asked_at: datetime, answered_at: datetime, dates: Sequence[datetime]
) -> tuple[timedelta, timedelta] | None:
    """Return the bounds on how far the server's clock is ahead of this machine's.

    Args:
        asked_at: When a call was sent, by this machine's clock.
        answered_at: When its answer arrived.
        dates: The ``Date`` headers of its answers.

    Returns:
        The lower and the upper bound; None without a header.

    Source: RFC 9110, 6.6.1: the moment at which the message was made, in whole seconds.
    """
    if not dates:
        return None
    return max(dates) - answered_at, min(dates) + PRECISION - asked_at


def offset_of(bounds: tuple[timedelta, timedelta]) -> timedelta:
    """Return the least offset within bounds; 0 if one within the tolerance is possible."""
    lower, upper = bounds
    if lower > TOLERANCE:
        return lower
    return upper if upper < -TOLERANCE else _NONE


def stamp(asked_at: datetime, answered_at: datetime, dates: Sequence[datetime] = ()) -> Stamps:
    """Return when an answer was asked for and arrived, true on both clocks if they differ.

    Args:
        asked_at: When the call was sent, by this machine's clock.
        answered_at: When its answer arrived.
        dates: The ``Date`` headers of its answers.
    """
    asked_us, answered_us = to_us(asked_at), to_us(answered_at)
    bounds = offset_bounds(asked_at, answered_at, dates)
    if bounds is None:
        return Stamps(asked_us, answered_us)
    if offset_of(bounds) == _NONE:
        return Stamps(asked_us, answered_us, confirmed_us=asked_us)
    first_us, last_us = to_us(min(dates)), to_us(max(dates) + PRECISION)
    return Stamps(
        asked_us=min(asked_us, first_us),
        answered_us=max(answered_us, last_us),
        sent_us=min(asked_us, first_us - (answered_us - asked_us)),
        confirmed_us=max(asked_us, first_us),
    )


def correct(
    connection: sa.Connection, row: sa.Row[Any], persona: Persona, stamps: Stamps
) -> Stamps:
    """Cut the times in the log that lie after a newer answer, or mend the answer's own.

    The ``Date`` header shows which clock is wrong; without one, the API's own times in the
    answer: those of the right clock are nearer to them. Without such times it is the clock of the
    log.

    Args:
        connection: A connection with an open transaction.
        row: The persona's row.
        persona: The answer, to a later call than the log's.
        stamps: When it was asked for and arrived.

    Returns:
        The times to log the answer with; with a notice if a clock is wrong.
    """
    asked_us, answered_us = stamps.asked_us, stamps.answered_us
    if stamps.confirmed_us is not None:
        asked_us = stamps.confirmed_us
    logged_us = row.asked_us or row.last_seen_us
    if to_moment(logged_us) - to_moment(asked_us) <= TOLERANCE:
        return stamps
    ahead_h = (logged_us - asked_us) / 3_600_000_000
    notice = (
        f"One clock is wrong: the last answer about {row.persona_id} was logged "
        f"{format_hours(ahead_h)} after the time that this machine's clock shows now; set the "
        "clocks of all machines that track."
    )
    reported = [at for at in (persona.created_at, persona.updated_at) if at is not None]
    reported_us = to_us(max(reported)) if reported else answered_us
    log_is_nearer = abs(logged_us - reported_us) < abs(answered_us - reported_us)
    if stamps.confirmed_us is None and log_is_nearer:
        # This machine's clock is behind: the answer arrived at some time after the log's last, and
        # not before this clock says.
        latest_us = max(logged_us, row.last_seen_us, reported_us, answered_us)
        return replace(stamps, asked_us=logged_us, answered_us=latest_us, notice=notice)
    _cut(connection, row, asked_us, answered_us)
    return replace(stamps, notice=notice)


def _cut(connection: sa.Connection, row: sa.Row[Any], asked_us: int, answered_us: int) -> None:
    """Cut the runs of a persona whose times lie after an answer.

    Of such a run it is known that its status was seen by then. It is not known how long it lasted:
    longer than the run before, and at least until it was first seen, if that time is not cut.
    """
    begun = [us for us in (row.created_us, row.submitted_us) if us is not None]
    latest_us = max((us for us in begun if us <= answered_us), default=answered_us)
    runs = tables.sightings
    query = sa.select(runs).where(tables.is_persona(row.account, row.persona_id, runs))
    for run in connection.execute(query.order_by(runs.c.id)).all():
        if max(run.last_seen_us - asked_us, run.first_seen_us - answered_us) > 0:
            if run.first_seen_us <= answered_us:
                latest_us = min(run.first_seen_us, run.last_seen_us)
            first_us = min(run.first_seen_us, answered_us)
            values = {"first_seen_us": first_us, "last_seen_us": latest_us}
            connection.execute(runs.update().where(runs.c.id == run.id).values(values))
        else:
            latest_us = run.last_seen_us
