"""Did the ranges keep their word? What would have been said in the past, against what came.

The log is played back day by day: at noon UTC the arrivals of all that are running are predicted
from what had been seen by then, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import pandas as pd

from avatarkit.estimates import eta
from avatarkit.history import stages
from avatarkit.models import TERMINAL

DAYS = 90
"""The play-back begins so many days ago."""

GROWTH = 1.2
"""A model is learned anew when there are so many times as many ends."""

COLUMNS = (
    "persona_id",
    "predicted_at",
    "first",
    *eta.SHARES,
    "ended_after",
    "ended_before",
    "inside",
    "basis",
    "n",
)

_DAY = pd.Timedelta(days=1)
_NOON = pd.Timedelta(hours=12)
_MOMENTS = ("predicted_at", *eta.SHARES, "ended_after", "ended_before")


def replay(
    sightings: pd.DataFrame,
    *,
    now: datetime,
    personas: pd.DataFrame | None = None,
    days: int | None = DAYS,
) -> pd.DataFrame:
    """The predictions of the last ``days`` that can be judged, and what came of them.

    The arguments are those of ``eta.arrivals``; ``days`` None plays back the whole log. A
    prediction is judged once its ``p90_at`` has passed, and whichever way it came out: judging
    those that ended, as soon as they did, would leave out the long ones. One whose persona has not
    been looked at since is left out.

    Returns a row a persona and noon, by ``predicted_at`` and ``persona_id``, index 0…n-1; an empty
    frame has the same columns and dtypes:

    - ``persona_id``: text; ``predicted_at``: datetime64[us, UTC]; ``first``: bool, true for the
      first noon after the persona came into the log.
    - ``p10_at``, ``p50_at``, ``p90_at``, ``basis``, ``n``: as ``eta.arrivals`` gave them.
    - ``ended_after``, ``ended_before``: datetime64[us, UTC], between which it ended, as
      ``stages.lives`` has it; ``ended_before`` NaT while it is still running.
    - ``inside``: bool, the middle of the two lies within ``p10_at`` to ``p90_at``; one before
      ``predicted_at`` counts as the soonest moment that a range can have.

    A model is kept until there are a fifth more ends, so a prediction may rest on a little less
    than was known. The log does not keep each look: a persona counts as seen at noon when it was
    seen in the same status before and after.

    Raises ``ValueError`` when ``now`` has no time zone or a column is missing.

    Source: Dawid, "Statistical theory: the prequential approach", JRSS A 147 (1984), 278-292.
    """
    lives = stages.lives(sightings, now=now, personas=personas)
    parts = [
        said.assign(predicted_at=noon)
        for noon, said in _said(sightings, lives, pd.Timestamp(now), personas, days)
    ]
    if not parts:
        return _empty()
    found = pd.concat(parts, ignore_index=True)
    began = sightings.groupby("persona_id")["first_seen_at"].min()
    since = pd.to_datetime(found["persona_id"].map(began), utc=True)
    found["first"] = found["predicted_at"] - since < _DAY
    ends = lives.set_index("persona_id")[["ended_after", "ended_before", "state"]]
    found = found.join(ends, on="persona_id")
    middle = found["ended_after"] + (found["ended_before"] - found["ended_after"]) / 2
    middle = middle.fillna(found["ended_before"])
    # What had ended unseen is ready at once, and no range begins before that.
    soonest = found["predicted_at"] + eta.SOONEST
    middle = middle.where(middle > soonest, soonest)
    found["inside"] = (middle >= found["p10_at"]) & (middle <= found["p90_at"])
    over = (found["state"] != stages.RUNNING) | (found["ended_after"] >= found["p90_at"])
    judged = (found["p90_at"] <= pd.Timestamp(now)) & over
    found = found.loc[judged, list(COLUMNS)].astype(_empty().dtypes.to_dict())
    return found.sort_values(["predicted_at", "persona_id"], ignore_index=True)


def sentence(frame: pd.DataFrame) -> str:
    """How many arrivals fell in their range, in one sentence; ``frame`` is that of ``replay``.

    An arrival counts once, with the range of the first noon after it came into the log.
    """
    first = frame.loc[frame["first"].to_numpy(dtype=bool)]
    if first.empty:
        return "No arrival can be judged yet: no 80 % range has passed."
    inside = int(first["inside"].sum())
    arrivals, their = ("arrival", "its") if len(first) == 1 else ("arrivals", "their")
    return f"Of {len(first)} {arrivals}, {inside} fell in {their} 80 % range."


def _said(
    sightings: pd.DataFrame,
    lives: pd.DataFrame,
    now: pd.Timestamp,
    personas: pd.DataFrame | None,
    days: int | None,
) -> Iterator[tuple[pd.Timestamp, pd.DataFrame]]:
    """Each noon at which something was running, and what was said then."""
    if sightings.empty:
        return
    # What has ended for good by then need not be looked at again to tell what is running.
    last = sightings.groupby("persona_id")["first_seen_at"].transform("max")
    over = lives.loc[(lives["state"] != stages.RUNNING).to_numpy(dtype=bool), "persona_id"]
    over_at = last.where(sightings["persona_id"].isin(over))
    is_end = sightings["status"].isin(sorted(TERMINAL)).to_numpy(dtype=bool)
    ends = sightings.loc[is_end, "first_seen_at"]

    first_noon = sightings["first_seen_at"].min().tz_convert("UTC").floor("D") + _NOON
    if days is not None:
        first_noon = max(first_noon, now.tz_convert("UTC").floor("D") + _NOON - days * _DAY)
    model, known, learned_at = None, -1, first_noon
    for noon in pd.date_range(first_noon, now, freq="D"):
        count = int((ends <= noon).sum())
        # Whether anything runs at a noon depends on what came later; when a model is renewed must
        # not.
        if count >= max(known + 1, known * GROWTH):
            model, known, learned_at = None, count, noon
        alive = (sightings["first_seen_at"] <= noon) & ~(over_at <= noon)
        if not alive.any():
            continue
        if model is None:
            model = eta.learn(*_frames(sightings, learned_at.to_pydatetime(), personas))
        moment = noon.to_pydatetime()
        visits, still = _frames(sightings.loc[alive.to_numpy()], moment, personas)
        if (still["state"] == stages.RUNNING).any():
            yield noon, eta.predict(model, visits, still, now=moment)


def _frames(
    sightings: pd.DataFrame, now: datetime, personas: pd.DataFrame | None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    return (
        stages.visits(sightings, now=now, personas=personas),
        stages.lives(sightings, now=now, personas=personas),
    )


def _empty() -> pd.DataFrame:
    kinds = {"persona_id": "str", "first": "bool", "inside": "bool", "basis": "str", "n": "int64"}
    moments = dict.fromkeys(_MOMENTS, "datetime64[us, UTC]")
    return pd.DataFrame({name: pd.Series(dtype=(kinds | moments)[name]) for name in COLUMNS})
