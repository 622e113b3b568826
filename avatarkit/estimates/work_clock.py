"""Learn a clock of working hours from the times at which stages end.

People review by day and not at the weekend, in an unknown time zone. So each hour of the week is
weighted by the rate at which stages end in it: on the resulting clock an hour with twice the rate
counts twice, and an hour in which nothing ends hardly counts. Without a calendar effect it is the
wall clock. That this helps is known from simulations alone (``bench/eta.py``): nothing documents
when the vendor's reviewers work.

Hours are floats since a Monday, 00:00 UTC, as ``since_monday`` returns them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd

from avatarkit.estimates.business_hours import BusinessHours
from avatarkit.history.frames import Flags, Floats, Integers, utc_moments, utc_series

WEEK = 168
"""Hours of the week, the first from Monday 00:00 to 01:00 UTC."""

MIN_ENDS = 10
"""With fewer ends than this the clock is the wall clock."""

ROUNDS = 4
MIN_GAIN = 3.0
"""The log-likelihood must rise by this much for a clock other than the wall clock."""

_SLOWEST = 0.01
_CLOSED_RATE = 0.05
_WALL_PRIOR = 0.5
_GOLDEN, _SILVER = (5**0.5 - 1) / 2, 2**0.5 - 1
_TIGHTNESS = (0.3, 1.0, 3.0, 10.0, 30.0)
_MONDAY = datetime(1970, 1, 5, tzinfo=UTC)
_MONDAY_H = 4 * 24


@dataclass(frozen=True)
class WorkClock:
    """A clock whose speed depends on the hour of the week; the mean speed is 1.

    ``rates`` are 168 positive numbers. Their sums make a clock: its ``reading`` rises with the
    moment, and ``moment`` finds the moment of a reading.
    """

    rates: Floats
    _sums: Floats = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_sums", np.append(0.0, np.cumsum(self.rates)))

    @property
    def is_flat(self) -> bool:
        """True for the wall clock."""
        return bool((self.rates == 1.0).all())

    def reading(self, hours: Any) -> Floats:
        """Return the readings of the clock at these hours since Monday."""
        moments = np.asarray(hours, dtype="float64")
        if self.is_flat:
            return moments
        weeks, within = np.divmod(moments, WEEK)
        whole = np.minimum(np.nan_to_num(within).astype("int64"), WEEK - 1)
        passed: Floats = self._sums[whole] + (within - whole) * self.rates[whole]
        shown: Floats = weeks * self._sums[-1] + passed
        return shown

    def moment(self, readings: Any) -> Floats:
        """Return the hours since Monday at which the clock has these readings."""
        shown = np.asarray(readings, dtype="float64")
        if self.is_flat:
            return shown
        weeks, within = np.divmod(shown, self._sums[-1])
        hours: Floats = weeks * WEEK + np.interp(within, self._sums, np.arange(WEEK + 1.0))
        return hours


WALL = WorkClock(np.ones(WEEK))
"""The wall clock."""


def calendar_clock(hours: BusinessHours, closed_rate: float = _CLOSED_RATE) -> WorkClock:
    """Return the clock of a calendar; ``closed_rate`` is how fast it runs outside of its hours."""
    starts = [_MONDAY + timedelta(hours=hour) for hour in range(WEEK)]
    open_h = [hours.between(start, start + timedelta(hours=1)) for start in starts]
    rates = np.maximum(open_h, closed_rate)
    return WorkClock(rates / rates.mean())


CANDIDATES = (WALL, *(calendar_clock(BusinessHours(9, 18, zone)) for zone in range(-9, 13, 3)))
"""The clocks considered while few ends are known: wall clock, or 9 to 18 in 8 time zones."""


def since_monday(moments: pd.Series[Any]) -> Floats:
    """Convert aware moments to hours since a Monday, 00:00 UTC; NaN for NaT."""
    bare = utc_moments(moments)
    return np.where(np.isnat(bare), np.nan, bare.astype("int64") / 3.6e9 - _MONDAY_H)


def to_moments(hours: Any) -> pd.Series[Any]:
    """Convert hours since that Monday to ``datetime64[us, UTC]``; inverts ``since_monday``."""
    us = np.round((np.asarray(hours, dtype="float64") + _MONDAY_H) * 3.6e9)
    return utc_series(us.astype("int64").view("datetime64[us]"))


def fit(
    began_after: Any,
    began_before: Any,
    ended_after: Any,
    ended_before: Any,
    *,
    evidence: float = 1.0,
) -> WorkClock:
    """Learn the clock on which durations do not depend on the calendar.

    The rate of each hour of the week is the number of ends in it relative to the number expected
    from what was in progress then, and for how long already. It is the product of a factor of the
    hour of the day, one of the day of the week (which may begin at any hour UTC) and a remainder.
    Each is shrunk towards 1 by an amount estimated from the ends. Without clear evidence, or with
    fewer than 10 ends, the clock is the wall clock. An end counts in equal parts at all times at
    which it may have been, so infrequent polls have little effect.

    Args:
        began_after: Lower bounds on the beginnings, array-like hours.
        began_before: Upper bounds on the beginnings.
        ended_after: Lower bounds on the ends.
        ended_before: Upper bounds on the ends, NaN for what was still running.
        evidence: The number of independent pieces of evidence for each end, 1 or less.

    Source:
        Hazards proportional to a baseline over the time already spent, whose unknown other factor
        is a step function of the calendar, fitted in turns; shrinkage by the Gamma-Poisson model of
        Clayton and Kaldor, "Empirical Bayes estimates of age-standardized relative risks",
        Biometrics 43 (1987), 671-681.
    """
    spells = _Spells(began_after, began_before, ended_after, ended_before)
    if spells.ended.sum() * evidence < MIN_ENDS:
        return WALL
    ends = _ends(spells.ended_after, spells.ended_before)
    clock = WALL
    for _ in range(ROUNDS):
        rates = _rates(ends, _expected(clock, spells), MIN_GAIN / evidence)
        if rates is None:
            return WALL
        clock = WorkClock(rates)
    return clock


def probabilities(
    began_after: Any,
    began_before: Any,
    ended_after: Any,
    ended_before: Any,
    *,
    evidence: float = 1.0,
) -> Floats:
    """Return the probability of each of ``CANDIDATES``; a priori half is the wall clock's.

    The arguments are those of ``fit``.

    Source:
        Bayes's theorem; given how many ended, each end falls into an hour in proportion to what is
        expected there.
    """
    spells = _Spells(began_after, began_before, ended_after, ended_before)
    prior = np.full(len(CANDIDATES), (1 - _WALL_PRIOR) / (len(CANDIDATES) - 1))
    prior[0] = _WALL_PRIOR
    if not spells.ended.any():
        return prior
    expected = _expected(WALL, spells)
    if not expected.any():
        return prior
    # The faster the clock runs in an interval, the likelier is an end in it.
    early, late = spells.ended_after, spells.ended_before
    likelihoods = [
        np.log((clock.reading(late) - clock.reading(early)) / (late - early)).sum()
        - early.size * np.log(expected @ clock.rates / expected.sum())
        for clock in CANDIDATES
    ]
    posterior = prior * np.exp(evidence * (likelihoods - np.max(likelihoods)))
    return np.asarray(posterior / posterior.sum(), dtype="float64")


class _Spells:
    """The visits of a stage: one moment for each beginning and end, and the bounds of the ends.

    ``ended`` says which are over, ``ended_after`` and ``ended_before`` are the bounds of those.
    """

    def __init__(self, *bounds: Any) -> None:
        first, last, after, before = (np.asarray(bound, dtype="float64") for bound in bounds)
        self.ended: Flags = ~np.isnan(before)
        # An exact end counts as an interval of a second.
        self.ended_after = after[self.ended]
        self.ended_before = np.maximum(before[self.ended], self.ended_after + 1 / 3600)
        # Spread over their intervals: with daily polls, all middles would fall into one hour.
        place = np.arange(1, first.size + 1)
        self.began = first + (last - first) * (place * _GOLDEN % 1)
        end = np.where(self.ended, after + (before - after) * (place * _SILVER % 1), after)
        end = np.maximum(end, self.began)
        if self.ended.any():
            # Beyond the longest time of an ended visit there is no end to learn from.
            end = np.minimum(end, self.began + (end - self.began)[self.ended].max())
        self.end: Floats = end


def _expected(clock: WorkClock, spells: _Spells) -> Floats:
    """Return the number of ends to expect in each hour of the week on the wall clock.

    Computed from what was in progress then, and for how long already on ``clock``.
    """
    of, start, stop = _by_hour(spells.began, spells.end)
    at = clock.reading(spells.began)
    took = clock.reading(spells.end) - at
    age = clock.reading(np.append(start, stop)) - np.append(at[of], at[of])
    before, after = np.interp(age, *_nelson_aalen(took, spells.ended)).reshape(2, -1)
    return _by_week_hour(start, after - before) / clock.rates


def _by_hour(begin: Floats, end: Floats) -> tuple[Integers, Floats, Floats]:
    """Cut spans at full hours; return for each part its span's index, start and end."""
    first = np.floor(begin)
    parts = np.maximum(np.ceil(end) - first, 1).astype("int64")
    of = np.repeat(np.arange(begin.size), parts)
    hour = first[of] + np.arange(of.size) - np.repeat(np.cumsum(parts) - parts, parts)
    start = np.maximum(begin[of], hour)
    return of, start, np.maximum(np.minimum(end[of], hour + 1), start)


def _ends(after: Floats, before: Floats) -> Floats:
    """Count the ends in each hour of the week, each spread evenly over its interval."""
    of, start, stop = _by_hour(after, before)
    return _by_week_hour(start, (stop - start) / (before - after)[of])


def _by_week_hour(moments: Floats, values: Floats) -> Floats:
    """Sum values by the hour of the week of their moments."""
    cell = np.floor(moments).astype("int64") % WEEK
    return np.bincount(cell, values, minlength=WEEK).astype("float64")


def _nelson_aalen(took: Floats, ended: Flags) -> tuple[Floats, Floats]:
    """Return the cumulative hazard over the time taken, from (0, 0) on."""
    order = np.lexsort((~ended, took))
    at_risk = np.arange(took.size, 0, -1)
    rises = np.cumsum(ended[order] / at_risk)
    return np.append(0.0, took[order]), np.append(0.0, rises)


def _rates(ends: Floats, expected: Floats, min_gain: float) -> Floats | None:
    """Return the rate of each hour of the week; None when the wall clock explains as much."""
    cells = np.arange(WEEK)
    best: tuple[float, Floats] = (min_gain, np.ones(0))
    for shift in range(0, 24, 3):
        parts = (cells % 24, (cells - shift) // 24 % 7)
        rates, gain = np.ones(WEEK), 0.0
        for part in (*parts, *parts, cells):
            factor, more = _shrunk(part, ends, expected * rates)
            rates, gain = rates * factor, gain + more
        if gain > best[0]:
            best = (gain, rates)
    if not best[1].size:
        return None
    rates = np.maximum(best[1] / best[1].mean(), _SLOWEST)
    return np.asarray(rates / rates.mean(), dtype="float64")


def _shrunk(part: Integers, ends: Floats, expected: Floats) -> tuple[Floats, float]:
    """Return a factor of each hour, the same within a part of the week, and the gain in likelihood.

    The factors are shrunk towards 1 as tightly as is likeliest.
    """
    from scipy.special import gammaln

    ends, expected = (np.bincount(part, count).astype("float64") for count in (ends, expected))
    best: tuple[float, Floats] = (0.0, np.ones(ends.size))
    for tight in _TIGHTNESS:
        log = gammaln(ends + tight) - gammaln(tight) + tight * np.log(tight)
        gain = float((log - (ends + tight) * np.log(expected + tight) + expected).sum())
        if gain > best[0]:
            best = (gain, (ends + tight) / (expected + tight))
    return best[1][part], best[0]
