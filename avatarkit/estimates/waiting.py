"""How long personas took from submission to their end, by period of submission.

Pure functions of ``stages.lives``. ``avatarkit.flow`` is this module: it gives ``cumulative`` too.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from avatarkit.estimates import survival
from avatarkit.history import frames, stages
from avatarkit.history.flow import cumulative
from avatarkit.history.frames import Flags, Integers, Moments

__all__ = ["MIN_ENDED", "PERCENTILES", "cumulative", "waiting", "waiting_percentiles"]

MIN_ENDED = 5
"""A period with fewer ends has no percentiles."""

PERCENTILES = {"p10_h": 0.1, "p50_h": 0.5, "p90_h": 0.9}

_MAX_PERIODS = 53
_LIVES = ("persona_id", "state", "began_after", "began_before", "min_h", "max_h")


def waiting(lives: pd.DataFrame) -> pd.DataFrame:
    """Return how long each persona took from submission to its end, of whatever kind.

    Args:
        lives: The frame of ``stages.lives``.

    Returns:
        A row a persona, by submission; an empty frame has the same columns and dtypes. A persona
        whose beginning nothing bounds is left out.

        - ``persona_id``: text; ``submitted_at``: datetime64[us, UTC], at the latest.
        - ``state``: text; ``done``, ``failed``, ``rejected``, or ``running``.
        - ``min_h``, ``max_h``: float64 hours, between which the total lies; inf while running.

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

    The periods are weeks from Monday, months, quarters or years, UTC: the shortest of these of
    which there are at most 53 and half have 5 ends; when there is none, the shortest of which there
    are at most 53, or years.

    Args:
        waiting: The frame of ``waiting``.

    Returns:
        A row a period, from the first submission's to the last one's, without a gap; an empty frame
        has the same columns and dtypes:

        - ``from``, ``to``: datetime64[us, UTC]; the period is ``from`` <= submission < ``to``.
        - ``n``, ``running``: int64, personas submitted in it, and those that have not ended yet.
        - ``p10_h``, ``p50_h``, ``p90_h``: float64 hours, by Kaplan and Meier: running personas are
          censored at the time so far. A total is taken at the middle of its bounds. NaN with fewer
          than 5 ends in the period, or where too few have ended to know.

    Raises:
        ValueError: A column is missing.

    Source:
        ``survival.kaplan_meier``, ``survival.percentile``.
    """
    columns = ("submitted_at", "state", "min_h", "max_h")
    frames.require_columns(waiting, columns, "waiting", "flow.waiting")
    ended = (waiting["state"] != stages.RUNNING).to_numpy(dtype=bool)
    period, edges = _periods(frames.utc_moments(waiting["submitted_at"]), ended)
    lower, upper = (waiting[name].to_numpy(dtype="float64") for name in ("min_h", "max_h"))
    hours = np.where(np.isfinite(upper), (lower + upper) / 2, lower)
    count = max(edges.size - 1, 0)
    values = np.full((count, len(PERCENTILES)), np.nan)
    ends = np.bincount(period[ended], minlength=count)
    for number in np.flatnonzero(ends >= MIN_ENDED):
        inside = period == number
        curve = survival.kaplan_meier(hours[inside], ended[inside])
        values[number] = [survival.percentile(curve, share) for share in PERCENTILES.values()]
    n = np.bincount(period, minlength=count)
    return pd.DataFrame(
        {
            "from": frames.utc_series(edges[:-1]),
            "to": frames.utc_series(edges[1:]),
            "n": n.astype(np.int64),
            "running": (n - ends).astype(np.int64),
            **dict(zip(PERCENTILES, values.T, strict=True)),
        }
    )


def _periods(moments: Moments, ended: Flags) -> tuple[Integers, Moments]:
    """Return the number of each moment's period, and the edges of all periods."""
    if not moments.size:
        return np.array([], dtype=np.int64), np.array([], dtype="datetime64[D]")
    short: tuple[Integers, Moments] | None = None
    for numbers, edges in _calendars(moments):
        if edges.size > _MAX_PERIODS + 1:
            continue
        short = short or (numbers, edges)
        ends = np.bincount(numbers[ended], minlength=edges.size - 1)
        if np.mean(ends >= MIN_ENDED) >= 0.5:
            return numbers, edges
    return short or (numbers, edges)


def _calendars(moments: Moments) -> Iterator[tuple[Integers, Moments]]:
    """Yield weeks, months, quarters and years: each moment's number, and all edges."""
    # 1970 began on a Thursday.
    monday = np.datetime64("1969-12-29", "D")
    week = (moments.astype("datetime64[D]") - monday).astype(np.int64) // 7
    yield week - week.min(), monday + 7 * _from_to(week)
    month = moments.astype("datetime64[M]").astype(np.int64)
    for length in (1, 3, 12):
        number = month // length
        edges = (_from_to(number) * length).astype("datetime64[M]").astype("datetime64[D]")
        yield number - number.min(), edges


def _from_to(numbers: Integers) -> Integers:
    return np.arange(numbers.min(), numbers.max() + 2)
