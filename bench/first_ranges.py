"""Judge the first range of each arrival, over many independent starts; used by ``bench/eta.py``.

Each start is an account of its own. Its first submission lies on one of the seven weekdays. The
lives are those of the sandbox, or the same 0.7 or 1.5 times as long, so that no prior can be fitted
to the sandbox. They are sent one by one, or in batches of 30 a few days apart. The range judged is
that of the first noon (UTC) after a submission. Standard errors are those of the means of starts,
as the arrivals of one start are not independent.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np
import pandas as pd

STARTS = 63
SCALES = (1.0, 0.7, 1.5)
BATCH = 30
BATCHES = 5
BATCH_GAP_D = (2.0, 9.0)
LIVES, GAP_H = 72, 8.0
NOONS = (0, 1, 3, 5, 9, 13, 18, 22, 24)
"""The days on which arrivals are judged that are sent one by one."""

BANDS = ((0, 5), (5, 50), (50, np.inf))
COVERAGE = {0: (0.68, 1.0), 5: (0.68, 0.92), 50: (0.68, 0.92)}
WIDEST_H = 108.0

DRIFT_STARTS = 14
CHANGE_D, AFTER_D, UNTIL_D = 42, 14, 42
"""The day of the change, and how many days after it the arrivals are judged."""
DRIFT_COVERAGE = (0.65, 0.92)


@dataclass(frozen=True)
class Start:
    """One account: its number, how long its lives are, and how they are sent."""

    number: int
    scale: float = 1.0
    batches: bool = False
    slower: bool = False

    def begins(self, rng: np.random.Generator) -> np.ndarray:
        """Return the hours of the submissions since the first Monday."""
        first = 24 * (self.number % 7) + rng.uniform(8, 18)
        if self.batches:
            gaps = rng.uniform(*BATCH_GAP_D, BATCHES - 1) * 24
            at = np.append(first, first + np.cumsum(gaps))
            return np.concatenate([hour + np.arange(BATCH) / 60 for hour in at])
        count = LIVES if not self.slower else int((CHANGE_D + UNTIL_D) * 24 / GAP_H)
        return first + np.append(0.0, np.cumsum(rng.exponential(GAP_H, count - 1)))

    def noons(self, first: float) -> list[float] | None:
        """Return the noons to judge, None for all that follow a submission."""
        if self.batches:
            return None
        start = np.ceil((first - 12) / 24) * 24 + 12
        days = range(CHANGE_D + AFTER_D, CHANGE_D + UNTIL_D, 3) if self.slower else NOONS
        return [start + 24 * day for day in days]

    def end(self, begin: float, life: list[tuple[str, float]]) -> list[tuple[str, float]]:
        """Return the life with its hours stretched."""
        stretched = [(name, begin + self.scale * (at - begin)) for name, at in life]
        if not self.slower:
            return stretched
        change = 24.0 * CHANGE_D
        return [(name, at + max(0.0, at - max(change, begin))) for name, at in stretched]


def judged(start: Start) -> pd.DataFrame:
    """Return the first ranges of a start: n, basis, p10, p50, p90, uniform's, and the true end."""
    import eta as bench

    from avatarkit import eta, stages
    from avatarkit.estimates import simulation, work_clock

    rng = np.random.default_rng([start.number, int(10 * start.scale), start.batches, start.slower])
    begins = start.begins(rng)
    drawn = (bench.sandbox_life(f"{rng.integers(1 << 40):x}", begin) for begin in begins)
    lives = [start.end(begin, life) for begin, life in zip(begins, drawn, strict=True)]
    sightings, truth = bench.as_log(bench.SANDBOX, lives, rng)
    zero = work_clock.since_monday(pd.Series([bench.MONDAY]))[0]
    first_noon = np.ceil((begins - 12) / 24) * 24 + 12
    parts = []
    for noon in start.noons(begins[0]) or np.unique(first_noon):
        new = [f"p{row:05d}" for row in np.flatnonzero(first_noon == noon)]
        if not new:
            continue
        now = work_clock.to_moments([noon + zero])[0].to_pydatetime()
        seen = sightings.loc[sightings["first_seen_at"] <= now]
        visits, then = stages.visits(seen, now=now), stages.lives(seen, now=now)
        model = eta.fit_model(visits, then)
        own = visits["persona_id"].isin(new), then["persona_id"].isin(new)
        found = eta.predict(model, visits.loc[own[0]], then.loc[own[1]], now=now)
        ends = np.maximum(truth.reindex(found["persona_id"]).to_numpy(), noon + zero)
        begin = pd.Series(begins, [f"p{row:05d}" for row in range(begins.size)])
        ours = np.array([work_clock.since_monday(found[name]) for name in simulation.SHARES])
        uniform = bench.uniform(noon + zero, begin.reindex(found["persona_id"]).to_numpy() + zero)
        frame = found[["n", "basis"]].assign(
            start=start.number,
            day=(noon - begins[0]) / 24,
            inside=(ends >= ours[0]) & (ends <= ours[2]),
            width=ours[2] - ours[0],
            loss=bench.pinball(ours, ends),
            uniform=bench.pinball(uniform, ends),
        )
        parts.append(frame)
    return pd.concat(parts, ignore_index=True)


def run(starts: int = STARTS) -> bool:
    """Judge all scenarios; return False when a goal is missed."""
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        return all([*_grid(pool.map, starts), _drift(pool.map, min(starts, DRIFT_STARTS))])


def _grid(every: Callable[..., Iterator[pd.DataFrame]], starts: int) -> Iterator[bool]:
    for batches in (False, True):
        for scale in SCALES:
            sent = f"in batches of {BATCH}" if batches else "one by one"
            print(f"first ranges, the sandbox's lives × {scale:.1f}, sent {sent}")
            found = pd.concat(
                every(judged, [Start(number, scale, batches) for number in range(starts)])
            )
            for since, until in BANDS:
                rows = found.loc[(found["n"] >= since) & (found["n"] < until)]
                label = f"{since} to {until - 1}" if np.isfinite(until) else f"{since} and more"
                widest = WIDEST_H if since == 0 else np.inf
                yield _report(f"{label} finished", rows, COVERAGE[since], widest)


def _drift(every: Callable[..., Iterator[pd.DataFrame]], starts: int) -> bool:
    print("first ranges, a vendor who becomes twice as slow")
    found = pd.concat(every(judged, [Start(number, slower=True) for number in range(starts)]))
    days = found["day"] - CHANGE_D
    fine = True
    for since in range(AFTER_D, UNTIL_D, 14):
        rows = found.loc[days.between(since, since + 14, inclusive="left")]
        fine &= _report(f"{since} to {since + 13} days after", rows, DRIFT_COVERAGE, np.inf)
    return fine


def _report(label: str, rows: pd.DataFrame, coverage: tuple[float, float], widest: float) -> bool:
    if rows.empty:
        print(f"  {label}: none")
        return True
    inside, width = rows["inside"].mean(), rows["width"].mean()
    worse = rows["loss"] - rows["uniform"]
    print(
        f"  {label:>20}: coverage {inside:.3f} ± {_error(rows['inside'], rows['start']):.3f} "
        f"of {len(rows):4d} arrivals, width in days: mean {width / 24:.2f}, median "
        f"{rows['width'].median() / 24:.2f}; loss in hours: ours {rows['loss'].mean():.2f}, "
        f"uniform {rows['uniform'].mean():.2f}, difference {worse.mean():+.2f} "
        f"± {_error(worse, rows['start']):.2f}"
    )
    checks = [
        (f"coverage in [{coverage[0]:.2f}, {coverage[1]:.2f}]",
         coverage[0] <= inside <= coverage[1]),
        ("loss at most a standard error above uniform's",
         worse.mean() <= _error(worse, rows["start"])),
    ]  # fmt: skip
    if np.isfinite(widest):
        checks.append((f"mean width at most {widest / 24:.1f} days", width <= widest))
    for text, met in checks:
        if not met:
            print(f"      MISSED: {text}")
    return all(met for _, met in checks)


def _error(values: pd.Series, start: pd.Series) -> float:
    """Return the standard error of a mean, clustered by start.

    Source:
        Liang and Zeger, "Longitudinal data analysis using generalized linear models", Biometrika 73
        (1986), 13-22.
    """
    sums = (values - values.mean()).groupby(start).sum()
    return float(np.sqrt((sums**2).sum()) / len(values))
