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
from avatarkit.history.frames import Integers
from avatarkit.history.groups import GROUP, By, When, between, check_frequency, compare

__all__ = ["MIN_ENDED", "PERCENTILES", "cumulative", "waiting", "waiting_percentiles"]

MIN_ENDED = 5
"""A period with fewer ended personas has no percentiles."""

PERCENTILES = {"p10_h": 0.1, "p50_h": 0.5, "p90_h": 0.9}

_MAX_PERIODS = 53
_KINDS = ("W", "M", "Q", "Y")
_LIVES = ("persona_id", "state", "began_after", "began_before", "min_h", "max_h")


def waiting(
    lives: pd.DataFrame,
    *,
    by: By | None = None,
    since: When | None = None,
    until: When | None = None,
) -> pd.DataFrame:
    """Return how long each persona took from submission to its end, whichever that is.

    Args:
        lives: The frame of ``stages.lives``.
        by: A column of the frame, a label, or a function of the frame: a group for each value. See
            ``groups.compare``.
        since: Only avatars that were submitted at this moment or later, such as ``2026-03-01``.
        until: Only avatars that were submitted before this moment.

    Returns:
        A row a persona, by submission; an empty frame has the same columns and dtypes. A persona
        whose beginning nothing bounds is left out. With ``by`` these rows for each group, behind
        the column ``group``.

        - ``persona_id``: text; ``submitted_at``: datetime64[us, UTC], the upper bound.
        - ``state``: text; ``done``, ``failed``, ``rejected``, or ``running``.
        - ``min_h``, ``max_h``: float64 hours, bounds of the total; ``max_h`` is inf while running.

    Raises:
        ValueError: A column is missing, or ``by``, ``since`` or ``until`` does not fit.
    """
    frames.require_columns(lives, _LIVES, "lives", "what stages.lives() returned")
    known = lives.loc[lives["began_after"].notna().to_numpy(dtype=bool)]
    return compare(_waiting, known, known["began_before"], by=by, since=since, until=until)


def _waiting(known: pd.DataFrame) -> pd.DataFrame:
    rows = known.rename(columns={"began_before": "submitted_at"})
    rows = rows[["persona_id", "submitted_at", "state", "min_h", "max_h"]]
    return rows.sort_values(["submitted_at", "persona_id"], ignore_index=True)


def waiting_percentiles(
    waiting: pd.DataFrame,
    *,
    freq: str | None = None,
    since: When | None = None,
    until: When | None = None,
) -> pd.DataFrame:
    """Return the percentiles of the total time by period of submission.

    Without ``freq`` the periods are weeks from Monday, months, quarters or years, in UTC: the
    shortest kind with at most 53 periods of which at least half have 5 ended personas; if there is
    none, the shortest kind with at most 53 periods, or years.

    Args:
        waiting: The frame of ``waiting``; one with groups gives percentiles for each.
        freq: The periods: ``D``, ``W``, ``M``, ``Q`` or ``Y``, for days, weeks from Monday, months,
            quarters or years.
        since: Only avatars that were submitted at this moment or later, such as ``2026-03-01``.
        until: Only avatars that were submitted before this moment.

    Returns:
        A row a period, from the first submission's to the last one's, without a gap; an empty frame
        has the same columns and dtypes. If ``waiting`` has groups, these rows for each, behind the
        column ``group``; all have the same kind of period.

        - ``from``, ``to``: datetime64[us, UTC]; the period is ``from`` <= submission < ``to``.
        - ``n``, ``running``: int64, personas submitted in it, and those that have not ended yet.
        - ``p10_h``, ``p50_h``, ``p90_h``: float64 hours, by Kaplan and Meier: running personas are
          censored at the time so far. A total is taken at the middle of its bounds. NaN with fewer
          than 5 ends in the period, or where the curve does not reach the percentile.

    Raises:
        ValueError: A column is missing, or ``freq``, ``since`` or ``until`` does not fit.

    Source:
        ``survival.kaplan_meier``, ``survival.percentile``.
    """
    columns = ("submitted_at", "state", "min_h", "max_h")
    frames.require_columns(waiting, columns, "waiting", "flow.waiting")
    check_frequency(freq)
    rows = between(waiting, waiting["submitted_at"], since, until)
    if GROUP not in rows:
        return _percentiles(rows, freq)
    # Of groups by label, an avatar may be in several.
    freq = freq or _shortest(rows.drop_duplicates([name for name in rows if name != GROUP]))
    parts = [
        _percentiles(part, freq).assign(**{GROUP: group})
        for group, part in rows.groupby(GROUP, sort=False)
    ]
    frame = pd.concat(parts or [_percentiles(rows, freq).assign(**{GROUP: ""})], ignore_index=True)
    return frame[[GROUP, *frame.columns.drop(GROUP)]].astype({GROUP: "str"})


def _percentiles(waiting: pd.DataFrame, freq: str | None) -> pd.DataFrame:
    ended = (waiting["state"] != stages.RUNNING).to_numpy(dtype=bool)
    period, periods = _periods(waiting["submitted_at"], freq or _shortest(waiting))
    lower, upper = (waiting[name].to_numpy(dtype="float64") for name in ("min_h", "max_h"))
    hours = np.where(np.isfinite(upper), (lower + upper) / 2, lower)
    values = np.full((len(periods), len(PERCENTILES)), np.nan)
    ends = np.bincount(period[ended], minlength=len(periods))
    for number in np.flatnonzero(ends >= MIN_ENDED):
        inside = period == number
        curve = survival.kaplan_meier(hours[inside], ended[inside])
        values[number] = [survival.percentile(curve, share) for share in PERCENTILES.values()]
    n = np.bincount(period, minlength=len(periods))
    return frames.Frame(
        {
            "from": frames.utc_series(periods.to_timestamp().to_numpy()),
            "to": frames.utc_series((periods + 1).to_timestamp().to_numpy()),
            "n": n.astype(np.int64),
            "running": (n - ends).astype(np.int64),
            **dict(zip(PERCENTILES, values.T, strict=True)),
        }
    )


def _shortest(waiting: pd.DataFrame) -> str:
    """Return the shortest kind of period in which enough have ended."""
    ended = (waiting["state"] != stages.RUNNING).to_numpy(dtype=bool)
    shortest = None
    for freq in _KINDS:
        period, periods = _periods(waiting["submitted_at"], freq)
        if len(periods) > _MAX_PERIODS:
            continue
        shortest = shortest or freq
        ends = np.bincount(period[ended], minlength=len(periods))
        if len(ends) and np.mean(ends >= MIN_ENDED) >= 0.5:
            return freq
    return shortest or _KINDS[-1]


def _periods(submitted: pd.Series[Any], freq: str) -> tuple[Integers, pd.PeriodIndex]:
    """Return the number of each moment's period, and all periods."""
    if submitted.empty:
        return np.array([], dtype=np.int64), pd.PeriodIndex([], freq=freq)
    period = pd.PeriodIndex(submitted.dt.tz_convert(None), freq=freq)
    periods = pd.period_range(period.min(), period.max(), freq=freq)
    return periods.get_indexer(period), periods
