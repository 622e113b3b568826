"""Estimate nonparametric survival curves of exact, right-censored or interval-censored times."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from avatarkit.history.frames import Floats

_TOLERANCE = 1e-3
"""How far the log-likelihood of a curve may lie below the maximum."""

_ROUNDS, _HALVINGS = 1_000, 10
_SMALLEST, _NEGLIGIBLE = 1e-12, 1e-8
_Z = 1.959964


def kaplan_meier(hours: Any, ended: Any) -> pd.DataFrame:
    """Return the Kaplan-Meier curve of right-censored times.

    Args:
        hours: Non-negative times, array-like.
        ended: For each time, True if it ended then, False if it is censored.

    Returns:
        A row for each distinct time, ascending: ``time_h`` (float64, the unit of ``hours``),
        ``survival`` (float64, the share that takes longer), ``at_risk`` and ``ended`` (int64,
        counts). Empty without a time.

    Source:
        Kaplan and Meier, "Nonparametric estimation from incomplete observations", JASA 53 (1958),
        457-481.
    """
    times, over = np.asarray(hours, dtype="float64"), np.asarray(ended, dtype=bool)
    at, place, count = np.unique(times, return_inverse=True, return_counts=True)
    died = np.bincount(place[over], minlength=at.size)
    at_risk = times.size - (np.cumsum(count) - count)
    survival = np.cumprod(1 - died / at_risk)
    columns = {"time_h": at, "survival": survival, "at_risk": at_risk, "ended": died}
    return pd.DataFrame(columns).astype({"at_risk": "int64", "ended": "int64"})


def percentile(curve: pd.DataFrame, share: float) -> float:
    """Return the earliest time by which ``share`` of all have ended.

    Args:
        curve: The frame of ``kaplan_meier`` or ``turnbull``.
        share: Between 0 and 1.

    Returns:
        The time, NaN when the curve does not come down that far.

    Source:
        Klein and Moeschberger, "Survival Analysis" (2003), section 4.5.
    """
    # 1 - 0.9 and a product of fractions may differ in the last digit.
    reached = curve["survival"].to_numpy() <= 1 - share + 1e-12
    return float(curve["time_h"].to_numpy()[reached.argmax()]) if reached.any() else float("nan")


def turnbull(lower: Any, upper: Any) -> pd.DataFrame:
    """Return the nonparametric maximum likelihood curve of interval-censored times.

    Args:
        lower: The lower bounds, array-like. A time lies in ``(lower, upper]``, and is exact where
            the two are equal.
        upper: The upper bounds; inf for what had not ended.

    Returns:
        A row at 0 and one for each step of the curve, ascending: ``time_h`` (float64, the unit of
        the bounds), ``survival`` (float64, the share that takes longer), ``low`` and ``high``
        (float64, the 95 % band). The curve falls within Turnbull's innermost intervals; the data
        do not say where in them, and the step is placed at the end. Empty without a time.

        The band is Greenwood's on the log-log scale, with each time at the middle of its interval:
        accurate where intervals are short compared with the times.

    Source:
        Turnbull, "The empirical distribution function with arbitrarily grouped, censored and
        truncated data", JRSS B 38 (1976), 290-295: innermost intervals and self-consistency.
        Kalbfleisch and Prentice (2002), section 1.4: Greenwood's variance on the log-log scale.
    """
    low, high = np.asarray(lower, dtype="float64"), np.asarray(upper, dtype="float64")
    if low.size == 0:
        return pd.DataFrame(columns=["time_h", "survival", "low", "high"], dtype="float64")
    # At one moment an exact time begins, then intervals end, then intervals open to the left begin.
    edges = np.concatenate([low, high])
    kind = np.concatenate([np.where(low == high, 0, 2), np.ones(high.size)])
    order = np.lexsort((kind, edges))
    is_upper = order >= low.size
    innermost = np.flatnonzero(~is_upper[:-1] & is_upper[1:])
    rank = np.empty(order.size, dtype="int64")
    rank[order] = np.arange(order.size)
    first = np.searchsorted(innermost, rank[: low.size])
    last = np.searchsorted(innermost, rank[low.size :])
    mass = _self_consistent(first, last, innermost.size)

    times = edges[order[innermost + 1]]
    kept = np.isfinite(times) & (mass > _NEGLIGIBLE)
    times = np.append(0.0, times[kept])
    survival = np.clip(1 - np.append(0.0, np.cumsum(mass[kept])), 0.0, 1.0)
    survival[survival < _NEGLIGIBLE] = 0.0
    band = _band(low, high, times, survival)
    return pd.DataFrame({"time_h": times, "survival": survival, "low": band[0], "high": band[1]})


def _self_consistent(first: Any, last: Any, size: int) -> Floats:
    """Return the likeliest mass of each cell; a time lies in the cells ``first`` to ``last`` - 1.

    Source:
        Wellner and Zhan, "A hybrid algorithm for computation of the nonparametric maximum
        likelihood estimator from censored data", JASA 92 (1997), 945-959: self-consistency steps,
        and between them a Newton step of the cumulative masses that keeps these in order.
    """
    from scipy.optimize import isotonic_regression

    pairs, count = np.unique(np.column_stack([first, last]), axis=0, return_counts=True)
    (first, last), total = pairs.T, count.sum()

    def by_edge(weight: Floats, sign: int) -> Floats:
        upper, lower = (np.bincount(edge, weight, size + 1) for edge in (last, first))
        return np.asarray(upper + sign * lower, dtype="float64")

    def chance(sums: Floats) -> Floats:
        return np.asarray(np.maximum(sums[last] - sums[first], _SMALLEST), dtype="float64")

    sums = np.linspace(0.0, 1.0, size + 1)
    for _ in range(_ROUNDS):
        slope = by_edge(count / chance(sums), -1)
        per_mass = np.cumsum(slope[::-1])[::-1][1:]
        if per_mass.max() - total <= _TOLERANCE:
            break
        sums = np.append(0.0, np.cumsum(np.diff(sums) * per_mass / total))
        each = chance(sums)
        slope, bend = by_edge(count / each, -1), by_edge(count / each**2, 1)
        inner = (sums + slope / bend)[1:-1]
        newton = isotonic_regression(inner, weights=bend[1:-1]).x if size > 1 else []
        change = np.concatenate([[0.0], np.clip(newton, 0.0, 1.0), [1.0]]) - sums
        tries = (sums + change / 2**half for half in range(_HALVINGS))
        likelier = (tried for tried in tries if count @ np.log(chance(tried) / each) > 0)
        sums = next(likelier, sums)
        # A mass of 0 would never grow again.
        mass = np.maximum(np.diff(sums), _SMALLEST)
        sums = np.append(0.0, np.cumsum(mass / mass.sum()))
    return np.diff(sums)


def log_log_band(share: Floats, variance: Floats) -> tuple[Floats, Floats]:
    """Return the 95 % band of shares on the log-log scale.

    Args:
        share: The values of a survival or incidence curve, 0 to 1.
        variance: The variance of each share.

    Returns:
        The lower and the upper ends: from 0 to 1 where the variance is not finite, and no width
        where the share is 0 or 1.

    Source:
        Kalbfleisch and Prentice (2002), section 1.4.
    """
    within = (share > 0) & (share < 1 - 1e-12) & np.isfinite(variance)
    safe = np.where(within, share, 0.5)
    spread = _Z * np.sqrt(np.where(within, variance, 0.0)) / (safe * np.abs(np.log(safe)))
    low = np.where(within, safe ** np.exp(spread), np.floor(share + 1e-12))
    return low, np.where(within, safe ** np.exp(-spread), np.ceil(share - 1e-12))


def _band(low: Floats, high: Floats, times: Floats, survival: Floats) -> tuple[Floats, Floats]:
    """Return the 95 % band of ``survival`` at ``times``."""
    ended = np.isfinite(high)
    curve = kaplan_meier(np.where(ended, (low + np.where(ended, high, low)) / 2, low), ended)
    at_risk, died = curve["at_risk"].to_numpy(), curve["ended"].to_numpy()
    place = np.searchsorted(curve["time_h"], times, side="right")
    with np.errstate(divide="ignore", invalid="ignore"):
        greenwood = np.append(0.0, np.cumsum(died / (at_risk * (at_risk - died))))
        lower, upper = log_log_band(survival, survival**2 * greenwood[place])
    # Greenwood has no width at 0, which the curve may reach by the last interval alone.
    latest = np.maximum.accumulate(np.where(survival > 0, np.arange(times.size), 0))
    return lower, upper[latest]
