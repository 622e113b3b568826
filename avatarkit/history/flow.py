"""Count the personas in each status at the end of each day."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo

import numpy as np
import pandas as pd

from avatarkit.history import frames
from avatarkit.history.frames import Moments, require_columns
from avatarkit.history.groups import By, When, between, check_frequency, compare
from avatarkit.history.runs import gone_now, runs_until
from avatarkit.models import ProcessStatus


def cumulative(
    sightings: pd.DataFrame,
    *,
    now: datetime,
    personas: pd.DataFrame | None = None,
    zone: tzinfo = UTC,
    by: By | None = None,
    since: When | None = None,
    until: When | None = None,
    freq: str | None = None,
) -> pd.DataFrame:
    """Count the personas in each status at the end of each day, for a cumulative flow diagram.

    Args:
        sightings: ``store.sightings()``. What was first seen after ``now`` is not used.
        now: The moment on the session's clock. A day ends at midnight in
            ``zone``, the last one at ``now``.
        personas: ``store.personas()``. A persona that is ``gone`` counts only until the day of its
            last poll.
        zone: The time zone whose days are counted.
        by: A column of ``personas``, a label, or a function of ``personas``: the rows of each group
            one below the other. See ``groups.compare``.
        since: Only days from this one on, such as ``2026-03-01``; personas from before count.
        until: Only days before this one.
        freq: ``W``, ``M``, ``Q`` or ``Y``: only the last day of each week, month, quarter or year.

    Returns:
        A row a day and status, by both: every day from the first sighting to ``now`` with every
        status. A change lies between two polls; a persona counts in its new status from the day
        on which that was first seen. With ``by`` these rows for each group, behind the column
        ``group``. Empty frames have the same columns and dtypes.

        - ``day``: datetime64[us, UTC], the date at 00:00 UTC also in another zone.
        - ``status``: text; those of the API in its order, terminal ones included, then others by
          name.
        - ``personas``: int64.

    Raises:
        ValueError: ``now`` has no time zone, a column is missing, or ``by``, ``since``, ``until``
            or ``freq`` does not fit.
    """
    check_frequency(freq)
    if by is not None and personas is None:
        raise ValueError("by needs personas; pass personas=store.personas().")

    def count(chosen: pd.DataFrame) -> pd.DataFrame:
        days = _cumulative(chosen, now, personas, zone)
        days = between(days, days["day"], since, until)
        if freq is not None:
            period = days["day"].dt.tz_convert(None).dt.to_period(freq)
            days = days.loc[days["day"] == days["day"].groupby(period).transform("max")]
        return days.reset_index(drop=True)

    require_columns(sightings, ["first_seen_at"], "sightings", "store.sightings()")
    return compare(count, sightings, sightings["first_seen_at"], by=by, personas=personas)


def _cumulative(
    sightings: pd.DataFrame, now: datetime, personas: pd.DataFrame | None, zone: tzinfo
) -> pd.DataFrame:
    runs = runs_until(sightings, now)
    known = [status.value for status in ProcessStatus]
    statuses = [*known, *sorted(set(runs.status_names) - set(known))]
    status = pd.Index(statuses).get_indexer(pd.Index(runs.status_names))[runs.status]
    today = _dates(np.array([frames.utc_moment(now)]), zone)[0]
    first_seen, last_seen = (_dates(seen, zone) for seen in (runs.first_seen, runs.last_seen))
    begin = first_seen.min(initial=today + 1)
    days = np.arange(begin, today + 1)
    first, last = (
        (dates - begin).astype(np.int64)
        for dates in (first_seen, np.maximum(first_seen, last_seen))
    )
    gone = gone_now(runs.persona_ids, personas)[runs.persona] & runs.is_last & ~runs.is_end
    gone &= last + 1 < days.size
    change = np.zeros((days.size, len(statuses)), dtype=np.int64)
    np.add.at(change, (first, status), 1)
    np.subtract.at(change, (first[~runs.is_first], status[~runs.is_last]), 1)
    np.subtract.at(change, (last[gone] + 1, status[gone]), 1)
    return pd.DataFrame(
        {
            "day": frames.utc_series(np.repeat(days, len(statuses))),
            "status": pd.Index(np.tile(np.array(statuses, dtype=object), days.size), dtype="str"),
            "personas": change.cumsum(axis=0).ravel(),
        }
    )


def _dates(moments: Moments, zone: tzinfo) -> Moments:
    """Return the date of each UTC moment in a time zone."""
    local = pd.DatetimeIndex(moments).tz_localize(UTC).tz_convert(zone).tz_localize(None)
    return local.to_numpy().astype("datetime64[D]")
