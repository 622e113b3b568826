"""Lives with a declared truth, polled in even gaps: what the estimates are held against."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from avatarkit.estimates.business_hours import BusinessHours
from avatarkit.estimates.work_clock import WEEK, calendar_clock
from avatarkit.models import STAGES

MONDAY = pd.Timestamp("2026-03-02", tz="UTC")
NAMES = [stage.value for stage in STAGES]
MEDIAN_H = dict(zip(NAMES, (2.0, 5.0, 4.0, 4.0, 8.0, 22.0), strict=True))

BUSINESS_CLOCK = calendar_clock(BusinessHours(9, 18, -8), closed_rate=0.0)
BUSINESS_RATE = WEEK / 45
"""What the clock of the 45 business hours of a week shows in each of them."""

Floats = np.ndarray[Any, np.dtype[np.float64]]


def _two_speeds(share: Floats) -> Floats:
    grid = np.geomspace(1e-3, 1e3, 20_001)
    cdf = 0.7 * stats.lognorm(0.3, scale=0.85).cdf(grid)
    cdf += 0.3 * stats.lognorm(0.3, scale=2.5).cdf(grid)
    return np.interp(share, cdf, grid)


TRUTHS: dict[str, Callable[[Floats], Floats]] = {
    "log-normal": stats.lognorm(0.6).ppf,
    "Weibull": stats.weibull_min(1.5).ppf,
    "log-logistic": stats.fisk(2.5).ppf,
    "gamma": stats.gamma(2.0).ppf,
    "uniform": stats.uniform(0.2, 1.6).ppf,
    "two speeds": _two_speeds,
    "never below": lambda share: 1 + stats.expon.ppf(share),
}
"""The first two are families that are fitted, the others are not."""


@dataclass(frozen=True)
class Lives:
    """Moments in hours since ``MONDAY``: creation, and the end of each of ``stages``."""

    stages: tuple[str, ...]
    created: Floats
    ends: Floats

    def hours(self, stage: str) -> Floats:
        """How long each life's ``stage`` takes."""
        place = self.stages.index(stage)
        before = self.created if place == 0 else self.ends[:, place - 1]
        return self.ends[:, place] - before


def lives(
    truth: str,
    *,
    seed: int,
    personas: int = 400,
    days: int = 14,
    stages: Sequence[str] = NAMES,
    even: bool = True,
    business_hours: bool = False,
) -> Lives:
    """Lives created evenly at random over ``days``.

    ``even`` draws each stage's hours from each of as many equal shares once, so that chance does
    not move the median of the draws. ``business_hours`` lets the review go on in business hours
    only.
    """
    random = np.random.default_rng(seed)
    created = np.sort(random.uniform(0, 24 * days, personas))
    quantile = TRUTHS[truth]
    middle = float(quantile(np.array([0.5]))[0])
    at, ends = created, []
    for stage in stages:
        share = random.random(personas)
        if even:
            share = (random.permutation(personas) + share) / personas
        hours = quantile(share) / middle * MEDIAN_H[stage]
        if business_hours and stage == "reviewing":
            at = BUSINESS_CLOCK.moment(BUSINESS_CLOCK.reading(at) + hours / 2 * BUSINESS_RATE)
        else:
            at = at + hours
        ends.append(at)
    return Lives(tuple(stages), created, np.column_stack(ends))


def quarter_runs(lives: Lives) -> float:
    """Return the hour at which three in four of the lives have ended."""
    return float(np.quantile(lives.ends[:, -1], 0.75))


def sightings(
    lives: Lives, gap_h: float, *, seed: int, until_h: float | None = None
) -> tuple[pd.DataFrame, datetime]:
    """Return the log of polls about every ``gap_h``, and the moment of the last possible one.

    Each life is polled from its own moment on, in gaps that differ by up to a tenth. The API's
    ``updated_at`` is honest: the moment of each change.
    """
    random = np.random.default_rng(seed)
    until = quarter_runs(lives) if until_h is None else until_h
    names = [*lives.stages, "done"]
    rows = []
    for number, (created, ends) in enumerate(zip(lives.created, lives.ends, strict=True)):
        if created > until:
            continue
        count = int((min(until, ends[-1] + 2 * gap_h) - created) / gap_h * 1.12) + 3
        gaps = gap_h * random.uniform(0.9, 1.1, count)
        gaps[0] = random.uniform(0, gap_h)
        polls = created + np.append(0.0, np.cumsum(gaps))
        polls = polls[polls <= until]
        places = np.searchsorted(ends, polls, side="right")
        done = np.flatnonzero(places == len(ends))
        if done.size:
            polls, places = polls[: done[0] + 1], places[: done[0] + 1]
        starts = np.flatnonzero(np.diff(places, prepend=-1))
        stops = np.append(starts[1:] - 1, len(polls) - 1)
        for first, last in zip(starts, stops, strict=True):
            at = polls[first], polls[last]
            changed = created if first == 0 else ends[places[first] - 1]
            rows.append((f"p{number:06}", names[places[first]], *at, changed, first == 0))
    columns = ["persona_id", "status", "first", "last", "reported", "created"]
    frame = pd.DataFrame(rows, columns=columns)
    seen = {
        f"{name}_seen_at": MONDAY + pd.to_timedelta((frame[name] * 3.6e9).round(), unit="us")
        for name in ("first", "last", "reported")
    }
    frame = frame.assign(**seen, source=np.where(frame["created"], "create", "poll"))
    frame = frame.rename(columns={"reported_seen_at": "reported_at"})
    now = MONDAY + pd.Timedelta(microseconds=round(until * 3.6e9))
    return frame.drop(columns=["first", "last", "reported", "created"]), now.to_pydatetime()
