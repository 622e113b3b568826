"""How many personas stand in each status at the end of each day."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pandas as pd

from avatarkit.history import frames
from avatarkit.history.runs import gone_now
from avatarkit.models import TERMINAL, UNKNOWN, ProcessStatus


def cumulative(
    sightings: pd.DataFrame, *, now: datetime, personas: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Count the personas in each status at the end of each day, for a cumulative flow diagram.

    Args:
        sightings: ``store.sightings()``. What was first seen after ``now`` is not used.
        now: The moment on the session's clock. A day ends at midnight UTC, the last one at ``now``.
        personas: ``store.personas()``. A persona that it has as ``gone`` counts only until the day
            of its last poll.

    Returns:
        A row a day and status, by both: every day from the first sighting to ``now`` with every
        status. A change lies between two polls; a persona counts in its new status from the day
        on which that was first seen. Empty frames have the same columns and dtypes.

        - ``day``: datetime64[us, UTC], at 00:00.
        - ``status``: text; those of the API in its order, terminal ones included, then others by
          name.
        - ``personas``: int64.

    Raises:
        ValueError: ``now`` has no time zone, or a column is missing.
    """
    frames.require_aware(now)
    columns = ("persona_id", "status", "first_seen_at")
    frames.require_columns(sightings, columns, "sightings", "store.sightings()")
    moment = frames.utc_moment(now)
    first = frames.utc_moments(sightings["first_seen_at"])
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
    # A run counts from its day on, until the day of the next run.
    follows = np.append(persona[1:] == persona[:-1], False)
    is_end = np.isin(status, [statuses.index(end.value) for end in TERMINAL])
    lost = ~follows & ~is_end & gone_now(pd.Index(ids), personas)[persona]
    lost_on = np.full(day.size, days.size)
    if lost.any():
        last = frames.utc_moments(sightings["last_seen_at"])[order].astype("datetime64[D]")
        lost_on = (last - begin).astype(np.int64) + 1
        lost &= lost_on < days.size
    leaves = np.append(day[1:][follows[:-1]], lost_on[lost])
    cells = np.append(day, leaves) * len(statuses)
    cells += np.concatenate([status, status[follows], status[lost]])
    change = np.append(np.ones(day.size), -np.ones(leaves.size))
    steps = np.bincount(cells, change, minlength=days.size * len(statuses))
    counts = np.cumsum(steps.reshape(days.size, len(statuses)), axis=0)
    return _grid(days, statuses, counts.astype(np.int64))


def _grid(days: frames.Moments, statuses: list[str], counts: frames.Integers) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "day": frames.utc_series(np.repeat(days, len(statuses))),
            "status": pd.Index(np.tile(np.array(statuses, dtype=object), days.size), dtype="str"),
            "personas": counts.ravel(),
        }
    )
