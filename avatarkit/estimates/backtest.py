"""Backtest the arrival ranges: compare past predictions with what happened.

The log is replayed day by day: at noon UTC the arrivals of all running personas are predicted only
from what had been seen by then.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import pandas as pd

from avatarkit.estimates import claim, eta, work_clock
from avatarkit.estimates.simulation import SHARES
from avatarkit.history import stages
from avatarkit.history.frames import require_aware
from avatarkit.models import TERMINAL

__all__ = ["COLUMNS", "DAYS", "EXPECTED", "GROWTH", "is_too_narrow", "replay", "sentence"]

DAYS = 90
"""How many days back the replay begins."""

EXPECTED = 0.7
"""With a smaller share of arrivals in their 80 % range, the ranges are called too narrow."""

GROWTH = 1.2
"""A model is fitted again when the number of ended personas has grown by this factor."""

COLUMNS = (
    *("persona_id", "predicted_at", "first", *SHARES),
    *("ended_after", "ended_before", "inside", "basis", "n", "batch"),
)

_DAY = pd.Timedelta(days=1)
_NOON = pd.Timedelta(hours=12)
_MOMENTS = ("predicted_at", *SHARES, "ended_after", "ended_before")
_OTHERS = {"persona_id": "str", "first": "bool", "inside": "bool", "basis": "str"}
_DTYPES = (
    _OTHERS
    | dict.fromkeys(("n", "batch"), "int64")
    | dict.fromkeys(_MOMENTS, "datetime64[us, UTC]")
)


def replay(
    sightings: pd.DataFrame,
    *,
    now: datetime,
    personas: pd.DataFrame | None = None,
    days: int | None = DAYS,
    lives: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Return the predictions of the last days that can be judged, and the true ends.

    A prediction is judged once its ``p90_at`` has passed, whether the persona has ended or not:
    judging personas as soon as they end would leave out the long ones. A prediction whose persona
    has not been polled since ``p90_at`` is left out. A model is kept until a fifth more personas
    have ended, so a prediction may rest on
    slightly less than was known. The log does not keep each poll: a persona counts as seen at noon
    when it was seen in the same status before and after.

    Args:
        sightings: As for ``eta.arrivals``.
        now: As for ``eta.arrivals``.
        personas: As for ``eta.arrivals``.
        days: How many days to replay; None for the whole log.
        lives: The frame of ``stages.lives`` of these sightings and personas, if computed before.

    Returns:
        A row a persona and noon, by ``predicted_at`` and ``persona_id``, index 0…n-1; an empty
        frame has the same columns and dtypes:

        - ``persona_id``: text; ``predicted_at``: datetime64[us, UTC]; ``first``: bool, true for the
          first noon after the persona came into the log.
        - ``p10_at``, ``p50_at``, ``p90_at``, ``basis``, ``n``: as ``eta.arrivals`` gave them.
        - ``ended_after``, ``ended_before``: datetime64[us, UTC], between which it ended, as
          ``stages.lives`` has it; ``ended_before`` NaT while it is still running.
        - ``inside``: bool, the middle of the two lies from ``p10_at`` to ``p90_at``; one before
          ``predicted_at`` counts as the earliest moment that a range can have.
        - ``batch``: int64, the same number for personas that were sent together.

    Raises:
        ValueError: ``now`` has no time zone, or a column is missing.

    Source:
        Dawid, "Statistical theory: the prequential approach", JRSS A 147 (1984), 278-292.
    """
    require_aware(now)
    if lives is None:
        lives = stages.lives(sightings, now=now, personas=personas)
    parts = [
        predicted.assign(predicted_at=noon)
        for noon, predicted in _predictions(sightings, lives, pd.Timestamp(now), personas, days)
    ]
    if not parts:
        return pd.DataFrame(columns=COLUMNS).astype(_DTYPES)
    found = pd.concat(parts, ignore_index=True)
    began = sightings.groupby("persona_id")["first_seen_at"].min()
    since = pd.to_datetime(found["persona_id"].map(began), utc=True)
    found["first"] = found["predicted_at"] - since < _DAY
    batch = claim.batches(work_clock.since_monday(lives["began_before"]))
    ends = lives.assign(batch=batch).set_index("persona_id")
    ends = ends[["ended_after", "ended_before", "state", "batch"]]
    found = found.join(ends, on="persona_id")
    middle = found["ended_after"] + (found["ended_before"] - found["ended_after"]) / 2
    # A persona that had ended unseen counts as ready at once: no range begins earlier.
    soonest = found["predicted_at"] + eta.SOONEST
    middle = middle.mask(middle < soonest, soonest)
    found["inside"] = (middle >= found["p10_at"]) & (middle <= found["p90_at"])
    known = (found["state"] != stages.RUNNING) | (found["ended_after"] >= found["p90_at"])
    judged = (found["p90_at"] <= pd.Timestamp(now)) & known
    found = found.loc[judged, list(COLUMNS)].astype(_DTYPES)
    return found.sort_values(["predicted_at", "persona_id"], ignore_index=True)


def sentence(frame: pd.DataFrame) -> str:
    """Summarize how many arrivals fell in their range, with a warning when they are few.

    Ranges that rest on the vendor's claim alone are left out, as the account has taught nothing
    about them. Arrivals of one batch often fall in their range, or miss it, together, so the
    number of batches is given too.

    Args:
        frame: The frame of ``replay``. An arrival counts once, with the range of the first noon
            after it came into the log.
    """
    learned = _learned(frame)
    if not frame["first"].any():
        return "No arrival can be judged yet: no 80 % range has passed."
    if learned.empty:
        return "No arrival can be judged yet: each 80 % range so far was the vendor's claim."
    inside, batches = int(learned["inside"].sum()), learned["batch"].nunique()
    arrivals, their = ("arrival", "its") if len(learned) == 1 else ("arrivals", "their")
    sent = "1 batch" if batches == 1 else f"{batches:,} batches"
    text = f"Of {len(learned):,} {arrivals} in {sent}, {inside:,} fell in {their} 80 % range."
    if is_too_narrow(frame):
        text += " That is too few: expect ends before and after the ranges."
    return text


def is_too_narrow(frame: pd.DataFrame) -> bool:
    """Return whether so few arrivals fell in their range that ``sentence`` warns of it.

    Args:
        frame: The frame of ``replay``.
    """
    learned = _learned(frame)
    return int(learned["inside"].sum()) < EXPECTED * len(learned)


def _learned(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the first prediction of each persona, without those that were the claim alone."""
    is_learned = frame["first"] & (frame["basis"] != eta.CLAIM)
    return frame.loc[is_learned.to_numpy(dtype=bool)]


def _predictions(
    sightings: pd.DataFrame,
    lives: pd.DataFrame,
    now: pd.Timestamp,
    personas: pd.DataFrame | None,
    days: int | None,
) -> Iterator[tuple[pd.Timestamp, pd.DataFrame]]:
    """Yield each noon at which something was running, with the predictions of that moment."""
    if sightings.empty:
        return
    # Personas that had ended by a noon are left out of that noon's prediction, to save time.
    last = sightings.groupby("persona_id")["first_seen_at"].transform("max")
    ended = lives.loc[(lives["state"] != stages.RUNNING).to_numpy(dtype=bool), "persona_id"]
    ended_at = last.where(sightings["persona_id"].isin(ended))
    is_end = sightings["status"].isin(sorted(TERMINAL)).to_numpy(dtype=bool)
    ends = sightings.loc[is_end, "first_seen_at"]

    first_noon = sightings["first_seen_at"].min().tz_convert("UTC").floor("D") + _NOON
    if days is not None:
        first_noon = max(first_noon, now.tz_convert("UTC").floor("D") + _NOON - days * _DAY)
    model, known, fitted_at = None, -1, first_noon
    for noon in pd.date_range(first_noon, now, freq="D"):
        count = int((ends <= noon).sum())
        # When a model is fitted again must not depend on what runs, as that depends on later polls.
        if count >= max(known + 1, known * GROWTH):
            model, known, fitted_at = None, count, noon
        alive = (sightings["first_seen_at"] <= noon) & ~(ended_at <= noon)
        if not alive.any():
            continue
        if model is None:
            model = eta.fit_model(*_frames(sightings, fitted_at.to_pydatetime(), personas))
        moment = noon.to_pydatetime()
        visits, lives_then = _frames(sightings.loc[alive.to_numpy()], moment, personas)
        if (lives_then["state"] == stages.RUNNING).any():
            yield noon, eta.predict(model, visits, lives_then, now=moment)


def _frames(
    sightings: pd.DataFrame, now: datetime, personas: pd.DataFrame | None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    return (
        stages.visits(sightings, now=now, personas=personas),
        stages.lives(sightings, now=now, personas=personas),
    )
