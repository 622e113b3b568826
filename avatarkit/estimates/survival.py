"""Nonparametric survival curves: what the times say without a family that they must belong to."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

_ENOUGH = 1e-6
"""Within so many, in shares of one visit, the curve is that of the greatest likelihood."""

Floats = np.ndarray[Any, np.dtype[np.float64]]


def kaplan_meier(hours: Any, ended: Any) -> pd.DataFrame:
    """The Kaplan-Meier curve of times of which some had not ended when last seen.

    ``hours`` are non-negative times, ``ended`` says of each whether it ended then (True) or was
    still going on (False). Returns a row for each different time, ascending: ``time_h``,
    ``survival`` (the share that takes longer), ``at_risk`` and ``ended`` (counts).

    Source: Kaplan and Meier, "Nonparametric estimation from incomplete observations", JASA 53
    (1958), 457-481, as computed by ``scipy.stats.ecdf``.
    """
    times = np.asarray(hours, dtype="float64")
    over = np.asarray(ended, dtype=bool)
    if times.size == 0:
        empty = pd.DataFrame(columns=["time_h", "survival", "at_risk", "ended"])
        return empty.astype(dict.fromkeys(empty.columns[:2], "float64")).astype(
            dict.fromkeys(empty.columns[2:], "int64")
        )
    survival = _product_limit(times, over)
    order = np.sort(times)
    at = survival.quantiles
    at_risk = times.size - np.searchsorted(order, at, side="left")
    upto = np.searchsorted(np.sort(times[over]), at, side="right")
    return pd.DataFrame(
        {
            "time_h": at,
            "survival": survival.probabilities,
            "at_risk": at_risk.astype("int64"),
            "ended": np.diff(upto, prepend=0).astype("int64"),
        }
    )


def percentile(curve: pd.DataFrame, share: float) -> float:
    """The least time by which ``share`` of all have ended; NaN when the curve does not get there.

    ``curve`` is what ``kaplan_meier`` or ``turnbull`` returned.

    Source: Klein and Moeschberger, "Survival Analysis" (2003), section 4.5.
    """
    # 1 - 0.9 and a product of fractions may miss each other in the last digit.
    reached = curve["survival"].to_numpy() <= 1 - share + 1e-12
    return float(curve["time_h"].to_numpy()[reached.argmax()]) if reached.any() else float("nan")


def turnbull(least: Any, most: Any) -> pd.DataFrame:
    """The curve of times of which each is known to lie in ``(least, most]`` only.

    ``most`` is inf for what had not ended. Returns a row for each moment at which the curve can
    step down, ascending: ``time_h``, ``survival`` (the share that takes longer), and ``low`` and
    ``high``, its 95 % band. Between two rows of different survival the data do not say where it
    came down; the step is drawn at the later one. Empty without a time.

    The band is Greenwood's, on the log-log scale, of the times at the middle of their intervals:
    right where these are short against the curve.

    Source: Turnbull, "The empirical distribution function with arbitrarily grouped, censored and
    truncated data", JRSS B 38 (1976), 290-295, as computed by SurPyval. Greenwood on the log-log
    scale: Kalbfleisch and Prentice (2002), section 1.4.
    """
    low, high = np.asarray(least, dtype="float64"), np.asarray(most, dtype="float64")
    if low.size == 0:
        return pd.DataFrame(columns=["time_h", "survival", "low", "high"], dtype="float64")
    from surpyval.univariate.nonparametric import Turnbull

    model = Turnbull.fit(xl=low, xr=high, turnbull_estimator="Kaplan-Meier", tol=_ENOUGH)
    times, survival = np.asarray(model.x), np.clip(np.asarray(model.R), 0.0, 1.0)
    band = _band(low, high, times, survival)
    return pd.DataFrame({"time_h": times, "survival": survival, "low": band[0], "high": band[1]})


def _band(least: Floats, most: Floats, times: Floats, survival: Floats) -> tuple[Floats, Floats]:
    ended = np.isfinite(most)
    middle = np.where(ended, (least + np.where(ended, most, 0.0)) / 2, least)
    order = np.sort(middle)
    at, died = np.unique(middle[ended], return_counts=True)
    at_risk = middle.size - np.searchsorted(order, at, side="left")
    with np.errstate(divide="ignore", invalid="ignore"):
        greenwood = np.append(0.0, np.cumsum(died / (at_risk * (at_risk - died))))
        log = np.log(survival)
        spread = 1.96 * np.sqrt(greenwood[np.searchsorted(at, times, side="right")]) / np.abs(log)
        low, high = (np.exp(log * np.exp(by)) for by in (spread, -spread))
    known = (survival > 0) & (survival < 1) & np.isfinite(spread)
    low, high = np.where(known, low, np.floor(survival)), np.where(known, high, 1.0)
    # Greenwood has no width at 0, where the curve may come to by the last interval alone.
    latest = np.maximum.accumulate(np.where(survival > 0, np.arange(times.size), 0))
    return low, high[latest]


def _product_limit(times: Floats, over: Any) -> Any:
    from scipy.stats import CensoredData, ecdf

    return ecdf(CensoredData(uncensored=times[over], right=times[~over])).sf
