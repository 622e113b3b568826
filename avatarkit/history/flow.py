"""How many personas stand where, day by day, and whether waiting times change.

Pure functions of the log: ``cumulative`` of the sightings, ``waiting`` of ``stages.lives``.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from avatarkit.history.runs import gone_now
from avatarkit.models import TERMINAL, UNKNOWN, ProcessStatus

_NEEDED = ("persona_id", "status", "first_seen_at")

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
