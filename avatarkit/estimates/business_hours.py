"""A clock that runs while the work is done, learned from when stages end.

People review by day and rest at the weekend, in a time zone that nobody told us. So the hours of
the week are weighed by how readily stages end in them: on the resulting clock an hour in which
twice as much ends counts twice, and one in which nothing ever ends hardly counts. Without a
calendar effect the clock is the wall's.

Hours are floats since a Monday, 00:00 UTC, such as ``since_monday`` gives.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

WEEK = 168
"""Hours of the week, the first from Monday 00:00 to 01:00 UTC."""

LEAST_ENDS = 10
"""With fewer ends than this the clock is the wall's."""

ROUNDS = 4
EVIDENCE = 3.0
"""By so much the logarithm of the likelihood must rise for a clock other than the wall's."""

_SLOWEST = 0.01
_OFF_DUTY = 0.05
_FLAT = 0.5
_GOLDEN, _SILVER = (5**0.5 - 1) / 2, 2**0.5 - 1
_TIGHTNESS = (0.3, 1.0, 3.0, 10.0, 30.0, np.inf)
_MONDAY = 4 * 24  # hours from the epoch, a Thursday, to the first Monday

Floats = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class OfficeHours:
    """How fast the work goes in each hour of the week; 1 on the average of a week.

    ``rates`` are 168 positive numbers. Adding up, they make a clock: its ``reading`` at a moment
    grows with the moment, and ``moment`` finds the moment of a reading.
    """

    rates: Floats
    _sums: Floats = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_sums", np.append(0.0, np.cumsum(self.rates)))

    @property
    def is_flat(self) -> bool:
        """True when this is the wall's clock."""
        return bool((self.rates == 1.0).all())

    def reading(self, hours: Any) -> Floats:
        """What the clock shows at these hours."""
        moments = np.asarray(hours, dtype="float64")
        if self.is_flat:
            return moments
        weeks, within = np.divmod(moments, WEEK)
        whole = np.minimum(np.nan_to_num(within).astype("int64"), WEEK - 1)
        passed: Floats = self._sums[whole] + (within - whole) * self.rates[whole]
        shown: Floats = weeks * self._sums[-1] + passed
        return shown

    def moment(self, readings: Any) -> Floats:
        """The hours at which the clock shows this."""
        shown = np.asarray(readings, dtype="float64")
        if self.is_flat:
            return shown
        weeks, within = np.divmod(shown, self._sums[-1])
        hours: Floats = weeks * WEEK + np.interp(within, self._sums, np.arange(WEEK + 1.0))
        return hours


WALL = OfficeHours(np.ones(WEEK))
"""The clock on the wall."""


def _office(utc_offset_h: int) -> OfficeHours:
    """Monday to Friday, 9 to 18 o'clock there."""
    hour = (np.arange(WEEK) + utc_offset_h) % WEEK
    rates = np.where((hour < 5 * 24) & (hour % 24 >= 9) & (hour % 24 < 18), 1.0, _OFF_DUTY)
    return OfficeHours(rates / rates.mean())


SUPPOSED = (WALL, *(_office(hours) for hours in range(-9, 13, 3)))
"""What may be before much is known: no office hours, or those of one of eight time zones."""


def since_monday(moments: pd.Series[Any]) -> Floats:
    """Moments with a time zone as hours since a Monday, 00:00 UTC; NaN for NaT."""
    bare = pd.to_datetime(moments, utc=True).dt.tz_localize(None).to_numpy()
    us = bare.astype("datetime64[us]").astype("int64")
    return np.where(np.isnat(bare), np.nan, us / 3.6e9 - _MONDAY)


def to_moments(hours: Any) -> pd.Series[Any]:
    """Hours since that Monday as ``datetime64[us, UTC]``; the inverse of ``since_monday``."""
    us = np.round((np.asarray(hours, dtype="float64") + _MONDAY) * 3.6e9).astype("int64")
    return pd.Series(us.view("datetime64[us]")).dt.tz_localize("UTC")


def learn(began_after: Any, began_before: Any, ended_after: Any, ended_before: Any) -> OfficeHours:
    """The clock on which these times depend on nothing but how long they already are.

    The arguments are arrays of hours: something began, and ended between ``ended_after`` and
    ``ended_before``, NaN if it was still going on at ``ended_after``. An end counts in equal parts
    wherever it may have been, so that seldom looks teach little.

    The rate of each hour of the week is the number of ends in it against the number expected from
    what was going on then, and how long already. Both are taken apart into an hour of the day, a
    day of the week (which may begin at any hour UTC) and what is left. Each part is drawn towards
    1 as strongly as the ends themselves say that it varies; where they do not say so clearly, or
    where there are fewer than 10, the clock is the wall's.

    Source: hazards proportional to a baseline over the time already spent, whose unknown other
    factor is a step function of the calendar, fitted in turns; shrinkage by the Gamma-Poisson
    model of Clayton and Kaldor, "Empirical Bayes estimates of age-standardized relative risks",
    Biometrics 43 (1987), 671-681.
    """
    bounds = (began_after, began_before, ended_after, ended_before)
    _, _, after, before = (np.asarray(one, dtype="float64") for one in bounds)
    if np.isfinite(before).sum() < LEAST_ENDS:
        return WALL
    began, end, ended = _moments(*bounds)
    ends = _ends(after[ended], before[ended])
    clock = WALL
    for _ in range(ROUNDS):
        expected = _expected(clock, began, end, ended)
        rates = _rates(ends, expected)
        if rates is None:
            return WALL
        clock = OfficeHours(rates)
    return clock


def suppose(began_after: Any, began_before: Any, ended_after: Any, ended_before: Any) -> Floats:
    """The chance of each clock in ``SUPPOSED`` by these times; without any, a half is the wall's.

    The arguments are those of ``learn``.

    Source: Bayes's theorem; given how many ended, each end falls into an hour in proportion to
    what is expected there.
    """
    bounds = (began_after, began_before, ended_after, ended_before)
    _, _, after, before = (np.asarray(one, dtype="float64") for one in bounds)
    began, end, ended = _moments(*bounds)
    chances = np.array([_FLAT, *[(1 - _FLAT) / (len(SUPPOSED) - 1)] * (len(SUPPOSED) - 1)])
    if not ended.any():
        return chances
    expected = _expected(WALL, began, end, ended)
    if not expected.any():
        return chances
    # An end in an interval is the likelier the faster the clock runs in it.
    early, late = after[ended], np.maximum(before[ended], after[ended] + 1 / 3600)
    fits = [
        np.log((clock.reading(late) - clock.reading(early)) / (late - early)).sum()
        - ended.sum() * np.log(expected @ clock.rates / expected.sum())
        for clock in SUPPOSED
    ]
    chances *= np.exp(fits - np.max(fits))
    return np.asarray(chances / chances.sum(), dtype="float64")


def _moments(
    began_after: Any, began_before: Any, ended_after: Any, ended_before: Any
) -> tuple[Floats, Floats, Any]:
    """One moment for each beginning and for each end or last look, and which have ended."""
    bounds = (began_after, began_before, ended_after, ended_before)
    first, last, after, before = (np.asarray(one, dtype="float64") for one in bounds)
    ended = ~np.isnan(before)
    # Not all in the middle: looks at the same hour each day would make it an hour of ends.
    place = np.arange(1, first.size + 1)
    began = first + (last - first) * (place * _GOLDEN % 1)
    end = np.where(ended, after + (before - after) * (place * _SILVER % 1), after)
    end = np.maximum(end, began)
    if ended.any():
        # Nothing was seen to end beyond the longest time, so nothing can be learned from it.
        end = np.minimum(end, began + (end - began)[ended].max())
    return began, end, ended


def _expected(clock: OfficeHours, began: Floats, end: Floats, ended: Any) -> Floats:
    """How many would end in each hour of the week if the clock were the wall's.

    By what was going on then, and how long already on this clock.
    """
    of, start, stop = _by_hour(began, end)
    at = clock.reading(began)
    took = clock.reading(end) - at
    age = clock.reading(np.append(start, stop)) - np.append(at[of], at[of])
    before, after = np.interp(age, *_nelson_aalen(took, ended)).reshape(2, -1)
    cell = (start // 1).astype("int64") % WEEK
    return np.asarray(np.bincount(cell, after - before, minlength=WEEK) / clock.rates)


def _by_hour(begin: Floats, end: Floats) -> tuple[Any, Floats, Floats]:
    """Each span cut at the full hours: which span, from when, until when."""
    first = np.floor(begin)
    parts = np.maximum(np.ceil(end) - first, 1).astype("int64")
    of = np.repeat(np.arange(begin.size), parts)
    hour = first[of] + np.arange(of.size) - np.repeat(np.cumsum(parts) - parts, parts)
    start = np.maximum(begin[of], hour)
    return of, start, np.maximum(np.minimum(end[of], hour + 1), start)


def _ends(after: Floats, before: Floats) -> Floats:
    """How many ended in each hour of the week, an end spread evenly over where it may lie."""
    of, start, stop = _by_hour(after, before)
    width = before - after
    share = np.where(width[of] > 0, (stop - start) / np.where(width > 0, width, 1.0)[of], 0.0)
    cell = (start // 1).astype("int64") % WEEK
    counts = np.bincount(cell, share, minlength=WEEK)
    exact = (after[width <= 0] // 1).astype("int64") % WEEK
    return np.asarray(counts + np.bincount(exact, minlength=WEEK), dtype="float64")


def _nelson_aalen(took: Floats, ended: Any) -> tuple[Floats, Floats]:
    """The cumulative hazard over the time taken, from (0, 0) on."""
    order = np.lexsort((~ended, took))
    at_risk = np.arange(took.size, 0, -1)
    rises = np.cumsum(ended[order] / at_risk)
    return np.append(0.0, took[order]), np.append(0.0, rises)


def _rates(ends: Floats, expected: Floats) -> Floats | None:
    """Hour of the day by day of the week by the rest; None when the wall's clock says as much."""
    cells = np.arange(WEEK)
    best: tuple[float, Floats] = (EVIDENCE, np.ones(0))
    for shift in range(0, 24, 3):
        parts = (cells % 24, (cells - shift) // 24 % 7)
        rates, gain = np.ones(WEEK), 0.0
        for part in (*parts, *parts, cells):
            factor, more = _shrunk(
                np.bincount(part, ends).astype("float64"),
                np.bincount(part, expected * rates).astype("float64"),
            )
            rates, gain = rates * factor[part], gain + more
        if gain > best[0]:
            best = (gain, rates)
    if not best[1].size:
        return None
    rates = np.maximum(best[1] / best[1].mean(), _SLOWEST)
    return np.asarray(rates / rates.mean(), dtype="float64")


def _shrunk(ends: Floats, expected: Floats) -> tuple[Floats, float]:
    """Factors drawn towards 1 as tightly as is likeliest, and what they add to the likelihood."""
    from scipy.special import gammaln

    best: tuple[float, Floats] = (0.0, np.ones(ends.size))
    for tight in _TIGHTNESS[:-1]:
        log = gammaln(ends + tight) - gammaln(tight) + tight * np.log(tight)
        gain = float((log - (ends + tight) * np.log(expected + tight) + expected).sum())
        if gain > best[0]:
            best = (gain, (ends + tight) / (expected + tight))
    return best[1], best[0]
