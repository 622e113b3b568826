"""Compute the time of a persona's next poll from its status and the time spent in it.

A poll is worth most when a change is likely and matters. The rate of polls is proportional to
√(weight × hazard), where the hazard is the rate at which personas leave the stage at this age: no
other rule of as many polls sees the changes earlier. Pure functions; ``schedule`` says what is
known of the stages.

Source:
    Minimize Σ weight × hazard × (gap / 2), the mean lateness, for a given number of polls.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import accumulate

from avatarkit.models import TERMINAL, ProcessStatus, as_status
from avatarkit.store.plan import LONGEST_GAP

POLLS = 6.8
"""Polls an hour where weight × hazard is 1 an hour: more polls see changes earlier."""

SHORTEST = timedelta(minutes=5)
LONGEST_H, LONGEST_SHARE = 3.0, 0.1
"""The longest gap is 3 hours, or a tenth of a longer time in the status."""

BAND = (0.7, 1.5)
"""The hazard is clipped to these multiples of 1/median."""

OVERDUE = 16.0
"""Beyond this many medians the gap grows with the age."""

CHANGE = 0.04
"""How much it matters to see a stage on the way early, against 1 for the end of a life."""

STUCK = 0.02
"""The share of personas that are taken to stay in a stage for ever."""

JITTER = 0.1
"""Gaps vary by up to this share, so that a batch is not polled all at once."""

ERROR_GAP, LONGEST_ERROR_GAP = timedelta(minutes=5), timedelta(hours=2)

WEEK = 168
MONDAY = datetime(1970, 1, 5, tzinfo=UTC)
_HOUR = timedelta(hours=1)
_STEP_H = 0.5


@dataclass(frozen=True)
class Pace:
    """How long a stage takes: a log-normal distribution on a clock of its own.

    ``speeds`` are the speeds of that clock in the 168 hours of the week from Monday 00:00 UTC,
    with the mean 1; without them it is the wall clock. ``weight`` says how much it matters to see
    the end of the stage early; 1 for the end of a life.
    """

    median_h: float
    sigma: float = 0.6
    weight: float = CHANGE
    speeds: tuple[float, ...] = ()
    _sums: tuple[float, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_sums", (0.0, *accumulate(self.speeds)))

    def reading(self, moment_h: float) -> float:
        """Return what the clock shows at this many hours since a Monday, 00:00 UTC."""
        if not self.speeds:
            return moment_h
        weeks, within = divmod(moment_h, WEEK)
        hour = min(int(within), WEEK - 1)
        return weeks * self._sums[-1] + self._sums[hour] + (within - hour) * self.speeds[hour]

    def hazard(self, age_h: float) -> float:
        """Return the rate of leaving the stage at an age on its clock, within ``BAND``."""
        age, low, high = max(age_h, 1e-6), *(limit / self.median_h for limit in BAND)
        z = math.log(age / self.median_h) / self.sigma
        density = math.exp(-z * z / 2) / (math.sqrt(2 * math.pi) * self.sigma * age)
        staying = math.erfc(z / math.sqrt(2)) / 2
        hazard = density / (staying + STUCK / (1 - STUCK))
        low *= min(1.0, OVERDUE * self.median_h / age) ** 2
        return min(max(hazard, low), high)

    def gap_h(self, since_h: float, now_h: float, share: float = 1.0, polls: float = 1.0) -> float:
        """Return the hours until this many polls more are worth it.

        Args:
            since_h: When the stage began, in hours since a Monday, 00:00 UTC.
            now_h: The moment.
            share: The share of the polls that the budget allows.
            polls: About 1.
        """
        longest = max(LONGEST_H, (now_h - since_h) * LONGEST_SHARE) / share
        longest = min(longest, LONGEST_GAP / _HOUR)
        moment, gap = now_h, longest
        age = self.reading(now_h) - self.reading(since_h)
        while moment < now_h + longest:
            step = min(_STEP_H, math.floor(moment) + 1 - moment)
            speed = self.speeds[int(moment) % WEEK] if self.speeds else 1.0
            hazard = self.hazard(age + speed * step / 2) * speed
            rate = POLLS * share * math.sqrt(self.weight * hazard)
            if polls <= rate * step:
                gap = moment + polls / rate - now_h
                break
            moment, age, polls = moment + step, age + speed * step, polls - rate * step
        return max(min(gap, longest), SHORTEST / _HOUR)


PRIOR: Mapping[ProcessStatus | None, Pace] = {
    ProcessStatus.PENDING: Pace(2.0, weight=0.12),
    ProcessStatus.REVIEWING: Pace(18.0, weight=1.0),
    None: Pace(7.0),
}
"""The paces without history; ``None`` is every other status.

The queue is taken to be short, and what is refused at once is seen within an hour.

Source:
    "2 ~ 5 days" in all and "reviews typically within 24 hours" (the vendor).
"""


def prior(status: str) -> Pace:
    """Return the pace of a status without history."""
    return PRIOR.get(as_status(status), PRIOR[None])


def to_hours(moment: datetime) -> float:
    """Convert an aware moment to hours since a Monday, 00:00 UTC."""
    return (moment - MONDAY) / _HOUR


def next_poll_at(
    status: str,
    since: datetime,
    now: datetime,
    persona_id: str,
    pace: Pace | None = None,
    share: float = 1.0,
) -> datetime | None:
    """Return when to poll a persona next after an answer.

    Args:
        status: The status as it came.
        since: When the persona was first seen in it.
        now: When the answer arrived.
        persona_id: The persona; it seeds the jitter.
        pace: What is known of the stage; by default ``prior(status)``.
        share: The share of the polls that the budget allows.

    Returns:
        The time of the next poll, the same for the same arguments; None for a terminal status.
    """
    if as_status(status) in TERMINAL:
        return None
    polls = _jitter(persona_id, now)
    gap_h = (pace or prior(status)).gap_h(to_hours(since), to_hours(now), share, polls)
    return now + gap_h * _HOUR


def next_retry_at(failures: int, now: datetime, persona_id: str) -> datetime:
    """Return when to poll a persona again after a poll that failed.

    Args:
        failures: How many polls in a row had failed before this one.
        now: When this one failed.
        persona_id: The persona; it seeds the jitter.

    Returns:
        The time of the next poll, the same for the same arguments.
    """
    gap: timedelta = min(ERROR_GAP * float(2 ** min(failures, 10)), LONGEST_ERROR_GAP)
    return now + gap * _jitter(persona_id, now)


def next_poll_of_gone(now: datetime, persona_id: str) -> datetime:
    """Return when to poll a persona again that the API does not find: about a day later.

    Args:
        now: The moment.
        persona_id: The persona; it seeds the jitter.
    """
    return now + LONGEST_GAP * _jitter(persona_id, now)


def _jitter(persona_id: str, now: datetime) -> float:
    digest = hashlib.blake2b(f"{persona_id}|{now.isoformat()}".encode(), digest_size=4).digest()
    return 1 + JITTER * (2 * int.from_bytes(digest) / 0xFFFFFFFF - 1)
