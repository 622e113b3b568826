"""Decide which percentiles of a stage can be given, and compute the interval of the median."""

from __future__ import annotations

import numpy as np
import pandas as pd

from avatarkit.estimates import likelihood
from avatarkit.estimates.likelihood import Distribution
from avatarkit.estimates.semi_markov import MIN_FINISHED, StageFit
from avatarkit.history.frames import Floats, Integers, hours
from avatarkit.text import format_hours

MIN_GAPS = 0.75
"""A percentile shorter than this many typical gaps between polls is not given."""

MIN_DAYS = 5
"""Submissions of fewer days than this give no interval."""

_KNOWN_ENTRY, _KNOWN_WIDTH, _SAME = 0.1, 0.2, 0.05
_RESAMPLES = 100
_MANY_MOMENTS = 5_000


def percentiles(
    visits: pd.DataFrame, distribution: Distribution | None, shares: dict[str, float]
) -> tuple[dict[str, float], list[str]]:
    """Return the percentiles that the visits allow, and the reasons why others are missing.

    Args:
        visits: The fitted visits of one stage.
        distribution: The one fitted to them; None where too few have finished.
        shares: The share of each percentile by name; without a ``p50_h`` none is given.

    Returns:
        Hours by name, NaN where not given, and the reasons as notes.
    """
    none = dict.fromkeys(shares, float("nan"))
    count = visits["state"].value_counts()
    finished, running, unseen = (
        int(count.get(state, 0)) for state in ("finished", "running", "never_seen")
    )
    if unseen > finished and finished + unseen >= MIN_FINISHED:
        return none, [f"polls too coarse: {unseen:,} of {finished + unseen:,} never seen"]
    if distribution is None:
        also = f", {unseen:,} never seen" if unseen else ""
        return none, [f"not enough yet: {finished:,} finished, {running:,} running{also}"]

    gap = float(np.nanmedian(hours(visits["left_before"] - visits["left_after"])))
    shortest, longest = MIN_GAPS * gap, longest_h(visits)
    values = {name: distribution.percentile(share) for name, share in shares.items()}
    if values["p50_h"] < shortest:
        reason = f"half took under {format_hours(shortest)}, polled every {format_hours(gap)}"
        return none, [f"polls too coarse: {reason}"]
    if _in_step(visits, values["p50_h"]):
        return none, ["polls too coarse: most visits ended in the same gap between polls"]
    short = [name for name, value in values.items() if value < shortest]
    beyond = [name for name, value in values.items() if value > longest]
    notes = []
    if short:
        notes.append(f"{_names(short)} too short for polls every {format_hours(gap)}")
    if beyond:
        notes.append(f"{_names(beyond)} beyond the longest time observed ({format_hours(longest)})")
    return values | dict.fromkeys([*short, *beyond], float("nan")), notes


def longest_h(visits: pd.DataFrame) -> float:
    """Return the longest upper bound of the visits, or lower bound of those that run."""
    lower, upper = visits["min_h"].to_numpy(), visits["max_h"].to_numpy()
    return float(np.where(np.isfinite(upper), upper, lower).max())


def is_known_closely(visits: pd.DataFrame, median: float) -> bool:
    """Return whether beginnings and durations are known closely enough for a nonparametric check.

    Where wide intervals overlap a little, Turnbull's curve puts all its mass into the overlap.
    """
    entry = hours(visits["entered_before"] - visits["entered_after"])
    width = (visits["max_h"] - visits["min_h"]).to_numpy()
    narrow = np.median(width[np.isfinite(width)]) <= _KNOWN_WIDTH * median
    return bool(np.median(entry) <= _KNOWN_ENTRY * median and narrow)


def disagreement(curve: pd.DataFrame, distribution: Distribution) -> list[str]:
    """Return a note where the fit and the nonparametric curve differ by more than their bands.

    Args:
        curve: The frame of ``survival.turnbull``.
        distribution: The one fitted to the same visits.
    """
    times = curve["time_h"].to_numpy()
    # Compared only at the end of a step: within a step the curve is not defined.
    quartiles = [distribution.percentile(share) for share in (0.25, 0.5, 0.75)]
    at = np.searchsorted(times, quartiles) - 1
    at = at[at >= 0]
    low, counted, high = (curve[name].to_numpy()[at] for name in ("low", "survival", "high"))
    fitted = distribution.survival(times[at])
    band = np.where(fitted > counted, high - counted, counted - low)
    distance = np.abs(fitted - counted)
    # Twice the band, as each of the two curves has such a band.
    apart = distance > 2 * band
    if not apart.any():
        return []
    worst = int(np.argmax(distance * apart))
    when = format_hours(float(times[at][worst]))
    return [
        f"the fit is off: by {when} {1 - counted[worst]:.0%} had left by the nonparametric curve, "
        f"{1 - fitted[worst]:.0%} by the fit"
    ]


def median_interval(fit: StageFit, days: Integers, median: float) -> tuple[float, float]:
    """Return the 95 % interval of a median, by a bootstrap over the days of submission.

    Args:
        fit: The fit of the stage.
        days: The day of submission of each of its visits, numbered from 0.
        median: The median of the fit, in hours.

    Returns:
        Both ends in hours; NaN with fewer than 5 days.

    Source:
        Cameron, Gelbach and Miller, "Bootstrap-based improvements for inference with clustered
        errors", Review of Economics and Statistics 90 (2008), 414-427. Here the standard error of
        the logarithm of the median, and Student's t for that many days.
    """
    from scipy.stats import t

    count = int(days.max()) + 1
    if count < MIN_DAYS:
        return float("nan"), float("nan")
    bounds = fit.bounds
    if len(bounds.lower) > _MANY_MOMENTS:
        bounds = bounds.averaged()
    random = np.random.default_rng(0)
    logs = []
    for _ in range(_RESAMPLES):
        drawn = np.bincount(random.integers(0, count, count), minlength=count)
        weights = drawn[days].astype("float64")
        refitted = likelihood.fit(bounds, count=weights, like=fit.distribution)
        logs.append(np.log(refitted.percentile(0.5)))
    error = float(np.std(logs, ddof=1)) * np.sqrt(count / (count - 1))
    spread = np.exp(t(count - 1).ppf(0.975) * error)
    return median / spread, median * spread


def _in_step(visits: pd.DataFrame, median: float) -> bool:
    """Return whether most visits ended in one and the same wide interval around the median.

    That happens when submissions and polls are at fixed hours. Otherwise the intervals differ, and
    together bound the median more closely than each alone.
    """
    ended = visits.loc[np.isfinite(visits["max_h"]), ["min_h", "max_h"]].to_numpy()
    if not len(ended):
        return False
    rounded: Floats = np.round(ended / (_SAME * median))
    intervals, count = np.unique(rounded, axis=0, return_counts=True)
    lower, upper = intervals[count.argmax()] * _SAME * median
    wide = upper - lower > _KNOWN_WIDTH * median
    return bool(count.max() > len(ended) / 2 and lower <= median <= upper and wide)


def _names(columns: list[str]) -> str:
    names = [name.removesuffix("_h") for name in columns]
    return f"{' and '.join(names)} {'is' if len(names) == 1 else 'are'}"
