"""How many personas stand where, day by day, and whether waiting times change.

Pure functions of the log: ``cumulative`` of the sightings, ``waiting`` of ``stages.lives``.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from avatarkit import curves, stages
from avatarkit.looks import gone_now
from avatarkit.models import TERMINAL, UNKNOWN, ProcessStatus

LEAST_ENDED = 5
"""Percentiles of a period need so many ends."""

PERCENTILES = {"p10_h": 0.1, "p50_h": 0.5, "p90_h": 0.9}

_MOST_PERIODS = 53
_NEEDED = ("persona_id", "status", "first_seen_at")
_LIVES = ("persona_id", "state", "began_after", "began_before", "min_h", "max_h")

Days = np.ndarray[Any, np.dtype[np.datetime64]]
Numbers = np.ndarray[Any, np.dtype[np.int64]]


def cumulative(
    sightings: pd.DataFrame, *, now: datetime, personas: pd.DataFrame | None = None
) -> pd.DataFrame:
    """How many personas stood in each status at the end of each day.

    ``sightings`` is ``store.sightings()``, ``now`` the moment on the session's clock. A day ends
    at midnight UTC, the last one at ``now``. A change lies between two looks: a persona counts in
    the status that had been seen last by then, from the day on which it was first seen, and stays
    in the one that it was last seen in; of whom ``personas`` (``store.personas()``) says that the
    API knows them no more, only to the day of the last look. Nothing first seen after ``now`` is
    used.

    Returns a row a day and status, by both, every day from the first sighting to ``now`` with
    every status; an empty frame has the same columns and dtypes:

    - ``day``: datetime64[us, UTC], at 00:00.
    - ``status``: text; those of the API in its order, ends included, then others by name.
    - ``personas``: int64.

    Raises ``ValueError`` when ``now`` has no time zone or a column is missing.
    """
    if now.tzinfo is None:
        raise ValueError("now must carry a time zone; use the session's clock: clock.now().")
    _check_columns(sightings, _NEEDED, "sightings", "store.sightings()")
    moment = pd.Timestamp(now).tz_convert("UTC").tz_localize(None).to_datetime64()
    first = _moments(sightings["first_seen_at"])
    persona, ids = pd.factorize(sightings["persona_id"].astype("str"))
    code, names = pd.factorize(sightings["status"].astype("str").fillna(UNKNOWN))
    order = np.lexsort((first, persona))
    order = order[first[order] <= moment]
    first, persona, code = first[order], persona[order], code[order]
    if not first.size:
        return _grid(np.array([], dtype="datetime64[D]"), [], np.zeros((0, 0), dtype=np.int64))

    known = [status.value for status in ProcessStatus]
    statuses = [*known, *sorted(set(names) - set(known))]
    status = pd.Index(statuses).get_indexer(pd.Index(names))[code]
    begin = first.astype("datetime64[D]").min()
    days = np.arange(begin, moment.astype("datetime64[D]") + 1)
    day = (first.astype("datetime64[D]") - begin).astype(np.int64)
    # A run counts from its day on, and no more from the day of the next run on.
    follows = np.append(persona[1:] == persona[:-1], False)
    # Nor from the day after the last look on, if the API knows the persona no more.
    is_end = np.isin(status, [statuses.index(end.value) for end in TERMINAL])
    lost = ~follows & ~is_end & gone_now(pd.Index(ids), personas)[persona]
    after = np.full(day.size, days.size)
    if lost.any():
        last = _moments(sightings["last_seen_at"])[order].astype("datetime64[D]")
        after = (last - begin).astype(np.int64) + 1
        lost &= after < days.size
    leaves = np.append(day[1:][follows[:-1]], after[lost])
    cells = np.append(day, leaves) * len(statuses)
    cells += np.concatenate([status, status[follows], status[lost]])
    change = np.append(np.ones(day.size), -np.ones(leaves.size))
    steps = np.bincount(cells, change, minlength=days.size * len(statuses))
    counts = np.cumsum(steps.reshape(days.size, len(statuses)), axis=0)
    return _grid(days, statuses, counts.astype(np.int64))


def waiting(lives: pd.DataFrame) -> pd.DataFrame:
    """How long each persona took from submission to its end, of whatever kind.

    ``lives`` is the frame of ``stages.lives``. One whose beginning nothing bounds is left out, as
    nobody knows when it was submitted. Returns a row a persona, by submission; an empty frame has
    the same columns and dtypes:

    - ``persona_id``: text; ``submitted_at``: datetime64[us, UTC], at the latest.
    - ``state``: text; ``done``, ``failed``, ``rejected``, or ``running``.
    - ``min_h``, ``max_h``: float64 hours, between which the total lies; inf while running.

    Raises ``ValueError`` when a column is missing.
    """
    _check_columns(lives, _LIVES, "lives", "what stages.lives() returned")
    known = lives.loc[lives["began_after"].notna().to_numpy(dtype=bool)]
    rows = known.rename(columns={"began_before": "submitted_at"})
    rows = rows[["persona_id", "submitted_at", "state", "min_h", "max_h"]]
    return rows.sort_values(["submitted_at", "persona_id"], ignore_index=True)


def waiting_percentiles(waiting: pd.DataFrame) -> pd.DataFrame:
    """The percentiles of the total time by period of submission.

    ``waiting`` is the frame of the function of that name. The periods are weeks from Monday,
    months, quarters or years, UTC: the shortest of these of which there are at most 53 and half
    have 5 ends; when there is none, the shortest of which there are at most 53, or years.

    Returns a row a period, from the first submission's to the last one's, without a gap; an empty
    frame has the same columns and dtypes:

    - ``from``, ``to``: datetime64[us, UTC]; the period is ``from`` <= submission < ``to``.
    - ``n``, ``running``: int64, personas submitted in it, and those that have not ended yet.
    - ``p10_h``, ``p50_h``, ``p90_h``: float64 hours, by Kaplan and Meier: who is still running
      counts with the time so far. A total is taken at the middle of its bounds. NaN with fewer
      than 5 ends in the period, or where too few have ended to know.

    Raises ``ValueError`` when a column is missing.

    Source: ``curves.kaplan_meier``, ``curves.percentile``.
    """
    _check_columns(waiting, ("submitted_at", "state", "min_h", "max_h"), "waiting", "flow.waiting")
    ended = (waiting["state"] != stages.RUNNING).to_numpy(dtype=bool)
    period, edges = _periods(_moments(waiting["submitted_at"]), ended)
    least, most = (waiting[name].to_numpy(dtype="float64") for name in ("min_h", "max_h"))
    hours = np.where(np.isfinite(most), (least + most) / 2, least)
    count = max(edges.size - 1, 0)
    values = np.full((count, len(PERCENTILES)), np.nan)
    ends = np.bincount(period[ended], minlength=count)
    for number in np.flatnonzero(ends >= LEAST_ENDED):
        inside = period == number
        curve = curves.kaplan_meier(hours[inside], ended[inside])
        values[number] = [curves.percentile(curve, share) for share in PERCENTILES.values()]
    n = np.bincount(period, minlength=count)
    return pd.DataFrame(
        {
            "from": _aware(edges[:-1]),
            "to": _aware(edges[1:]),
            "n": n.astype(np.int64),
            "running": (n - ends).astype(np.int64),
            **dict(zip(PERCENTILES, values.T, strict=True)),
        }
    )


def _periods(moments: Days, ended: np.ndarray[Any, np.dtype[np.bool_]]) -> tuple[Numbers, Days]:
    """The number of each moment's period, and the edges of all periods."""
    if not moments.size:
        return np.array([], dtype=np.int64), np.array([], dtype="datetime64[D]")
    short: tuple[Numbers, Days] | None = None
    for numbers, edges in _calendars(moments):
        if edges.size > _MOST_PERIODS + 1:
            continue
        short = short or (numbers, edges)
        ends = np.bincount(numbers[ended], minlength=edges.size - 1)
        if np.mean(ends >= LEAST_ENDED) >= 0.5:
            return numbers, edges
    return short or (numbers, edges)


def _calendars(moments: Days) -> Iterator[tuple[Numbers, Days]]:
    """Weeks, months, quarters and years: each moment's number, and all edges."""
    # 1970 began on a Thursday.
    monday = np.datetime64("1969-12-29", "D")
    week = (moments.astype("datetime64[D]") - monday).astype(np.int64) // 7
    yield week - week.min(), monday + 7 * _from_to(week)
    month = moments.astype("datetime64[M]").astype(np.int64)
    for length in (1, 3, 12):
        number = month // length
        edges = (_from_to(number) * length).astype("datetime64[M]").astype("datetime64[D]")
        yield number - number.min(), edges


def _from_to(numbers: Numbers) -> Numbers:
    return np.arange(numbers.min(), numbers.max() + 2)


def _grid(days: Days, statuses: list[str], counts: Numbers) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "day": _aware(np.repeat(days, len(statuses))),
            "status": pd.Index(np.tile(np.array(statuses, dtype=object), days.size), dtype="str"),
            "personas": counts.ravel(),
        }
    )


def _aware(days: Days) -> pd.Series[pd.Timestamp]:
    return pd.Series(days.astype("datetime64[us]")).dt.tz_localize("UTC")


def _moments(column: pd.Series[Any]) -> Days:
    aware = pd.to_datetime(column, utc=True)
    return np.asarray(aware.dt.tz_localize(None).to_numpy(), dtype="datetime64[us]")


def _check_columns(frame: pd.DataFrame, names: tuple[str, ...], what: str, instead: str) -> None:
    if missing := [name for name in names if name not in frame.columns]:
        raise ValueError(f"{what} has no column {', '.join(missing)}; pass {instead}.")
