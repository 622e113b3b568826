"""Estimate the time from submission to the end, by period of submission.

Pure functions of ``stages.lives``. ``from avatarkit import flow`` gives this module, with
``cumulative`` of ``history.flow``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from avatarkit.estimates import survival
from avatarkit.history import frames, stages
from avatarkit.history.flow import cumulative
from avatarkit.history.frames import Flags, Integers

__all__ = ["MIN_ENDED", "PERCENTILES", "cumulative", "waiting", "waiting_percentiles"]

MIN_ENDED = 5
"""A period with fewer ended personas has no percentiles."""

PERCENTILES = {"p10_h": 0.1, "p50_h": 0.5, "p90_h": 0.9}

_MAX_PERIODS = 53
_LIVES = ("persona_id", "state", "began_after", "began_before", "min_h", "max_h")


def waiting(lives: pd.DataFrame) -> pd.DataFrame:
    """Return how long each persona took from submission to its end, whichever that is.

    Args:
        lives: The frame of ``stages.lives``.

    Returns:
        A row a persona, by submission; an empty frame has the same columns and dtypes. A persona
        whose beginning nothing bounds is left out.

        - ``persona_id``: text; ``submitted_at``: datetime64[us, UTC], the upper bound.
        - ``state``: text; ``done``, ``failed``, ``rejected``, or ``running``.
        - ``min_h``, ``max_h``: float64 hours, bounds of the total; ``max_h`` is inf while running.

    Raises:
        ValueError: A column is missing.
    """
    frames.require_columns(lives, _LIVES, "lives", "what stages.lives() returned")
    known = lives.loc[lives["began_after"].notna().to_numpy(dtype=bool)]
    rows = known.rename(columns={"began_before": "submitted_at"})
    rows = rows[["persona_id", "submitted_at", "state", "min_h", "max_h"]]
    return rows.sort_values(["submitted_at", "persona_id"], ignore_index=True)


def waiting_percentiles(waiting: pd.DataFrame) -> pd.DataFrame:
    """Return the percentiles of the total time by period of submission.

    The periods are weeks from Monday, months, quarters or years, in UTC: the shortest kind with at
    most 53 periods of which at least half have 5 ended personas; if there is none, the shortest
    kind with at most 53 periods, or years.

    Args:
        waiting: The frame of ``waiting``.

    Returns:
        A row a period, from the first submission's to the last one's, without a gap; an empty frame
        has the same columns and dtypes:

        - ``from``, ``to``: datetime64[us, UTC]; the period is ``from`` <= submission < ``to``.
        - ``n``, ``running``: int64, personas submitted in it, and those that have not ended yet.
        - ``p10_h``, ``p50_h``, ``p90_h``: float64 hours, by Kaplan and Meier: running personas are
          censored at the time so far. A total is taken at the middle of its bounds. NaN with fewer
          than 5 ends in the period, or where the curve does not reach the percentile.

    Raises:
        ValueError: A column is missing.

    Source:
        ``survival.kaplan_meier``, ``survival.percentile``.
    """
    columns = ("submitted_at", "state", "min_h", "max_h")
    frames.require_columns(waiting, columns, "waiting", "flow.waiting")
    ended = (waiting["state"] != stages.RUNNING).to_numpy(dtype=bool)
    period, periods = _periods(waiting["submitted_at"], ended)
    lower, upper = (waiting[name].to_numpy(dtype="float64") for name in ("min_h", "max_h"))
    hours = np.where(np.isfinite(upper), (lower + upper) / 2, lower)
    values = np.full((len(periods), len(PERCENTILES)), np.nan)
    ends = np.bincount(period[ended], minlength=len(periods))
    for number in np.flatnonzero(ends >= MIN_ENDED):
        inside = period == number
        curve = survival.kaplan_meier(hours[inside], ended[inside])
        values[number] = [survival.percentile(curve, share) for share in PERCENTILES.values()]
    n = np.bincount(period, minlength=len(periods))
    return pd.DataFrame(
        {
            "from": frames.utc_series(periods.to_timestamp().to_numpy()),
            "to": frames.utc_series((periods + 1).to_timestamp().to_numpy()),
            "n": n.astype(np.int64),
            "running": (n - ends).astype(np.int64),
            **dict(zip(PERCENTILES, values.T, strict=True)),
        }
    )


def _periods(submitted: pd.Series[Any], ended: Flags) -> tuple[Integers, pd.PeriodIndex]:
    """Return the number of each moment's period, and all periods."""
    if submitted.empty:
        return np.array([], dtype=np.int64), pd.PeriodIndex([], freq="W")
    shortest = None
    for frequency in ("W", "M", "Q", "Y"):
        period = pd.PeriodIndex(submitted.dt.tz_convert(None), freq=frequency)
        periods = pd.period_range(period.min(), period.max(), freq=frequency)
        found = periods.get_indexer(period), periods
        if len(periods) > _MAX_PERIODS:
            continue
        shortest = shortest or found
        ends = np.bincount(found[0][ended], minlength=len(periods))
        if np.mean(ends >= MIN_ENDED) >= 0.5:
            return found
    return shortest or found
