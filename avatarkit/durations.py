"""How long stages take: percentiles that count the visits which are still running.

An average of the finished visits is too short, as the long ones are still running; nothing here
gives one. Pure functions of the frame of ``stages.visits``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from avatarkit.models import STAGES
from avatarkit.words import in_words

LEAST_FINISHED = 5
"""Fewer finished visits than this give no percentiles."""

LEAST_GAPS = 1.0
"""A percentile shorter than this many typical gaps between looks is not given."""

PERCENTILES = {"p10_h": 0.1, "p50_h": 0.5, "p90_h": 0.9}

_PLACES = 4

Floats = np.ndarray[Any, np.dtype[np.float64]]
Flags = np.ndarray[Any, np.dtype[np.bool_]]

_COLUMNS = ("persona_id", "visit_no", "stage", "state", "min_h", "max_h")
_BOUNDS = ("entered_after", "entered_before", "left_after", "left_before")


def summarize(visits: pd.DataFrame) -> pd.DataFrame:
    """For each stage, within how many hours a tenth, half and nine tenths had left it.

    ``visits`` is the frame of ``stages.visits``. Returns one row a stage: the six of the API in
    its order, then any that it does not document, by name. Columns:

    - ``stage``: text.
    - ``finished``, ``running``, ``never_seen``: int64, all visits of that state.
    - ``n``: int64, the visits that the percentiles rest on: all, but those that began before the
      persona was first looked at and whose beginning is therefore not known. Of a persona found
      midway, these are the stage it was found in and the ones before; a long stage is more likely
      to be found in than a short one, so counting them would make every stage look longer.
    - ``p10_h``, ``p50_h``, ``p90_h``: float64 hours, NaN where the visits do not say.
    - ``note``: text, the reason for what is NaN or left out; empty when all is well.

    The percentiles are read off the Kaplan-Meier curve. A running visit counts as longer than its
    ``min_h``. A finished one may have begun and ended anywhere within its bounds and counts in
    equal parts with durations spread evenly over both; one never seen is spread over its gap.

    Visits shorter than a gap between two looks are seen or not by chance, so a percentile below
    the typical gap (the median of ``left_before`` - ``left_after``) is not given. There is no
    number at all, but the reason in ``note``, when fewer than 5 visits finished, when more than
    half of those that ended were never seen, and when the median is below the typical gap. A
    single percentile is NaN also when it is beyond the longest time observed.

    Measured on simulated log-normal stages looked at in even gaps: medians of 1.25 typical gaps
    and more are at most 11 % off, of 3 and more at most 3 %; below one gap the error reaches 100 %.

    Raises ``ValueError`` when a column is missing.

    Source: Kaplan and Meier, "Nonparametric estimation from incomplete observations", JASA 53
    (1958), 457-481. The percentile is the least time by which the curve has come down to 1 - p:
    Klein and Moeschberger, "Survival Analysis" (2003), section 4.5.
    """
    if missing := [name for name in (*_COLUMNS, *_BOUNDS) if name not in visits.columns]:
        raise ValueError(
            f"visits has no column {', '.join(missing)}; pass what stages.visits() returned."
        )
    watched = _watched(visits)
    known = [stage.value for stage in STAGES]
    others = sorted(set(visits["stage"].unique()) - set(known))
    counts = visits.groupby(["stage", "state"]).size()
    rows = [
        _summary(stage, visits.loc[(visits["stage"] == stage).to_numpy() & watched], counts)
        for stage in (*known, *others)
    ]
    frame = pd.DataFrame(rows)
    return frame.astype({"stage": "str", "note": "str"})


def kaplan_meier(hours: Any, ended: Any) -> pd.DataFrame:
    """The Kaplan-Meier curve of times of which some had not ended when last seen.

    ``hours`` are non-negative times, ``ended`` says of each whether it ended then (True) or was
    still going on (False). Returns a row for each different time, ascending: ``time_h``,
    ``survival`` (the share that takes longer), ``at_risk`` and ``ended`` (counts).

    Source: Kaplan and Meier (1958), as computed by ``scipy.stats.ecdf``.
    """
    from scipy.stats import CensoredData, ecdf

    times = np.asarray(hours, dtype="float64")
    over = np.asarray(ended, dtype=bool)
    if times.size == 0:
        empty = pd.DataFrame(columns=["time_h", "survival", "at_risk", "ended"])
        return empty.astype(dict.fromkeys(empty.columns[:2], "float64")).astype(
            dict.fromkeys(empty.columns[2:], "int64")
        )
    survival = ecdf(CensoredData(uncensored=times[over], right=times[~over])).sf
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

    ``curve`` is what ``kaplan_meier`` returned.
    """
    # 1 - 0.9 and a product of fractions may miss each other in the last digit.
    reached = curve["survival"].to_numpy() <= 1 - share + 1e-12
    return float(curve["time_h"].to_numpy()[reached.argmax()]) if reached.any() else float("nan")


def _watched(visits: pd.DataFrame) -> Flags:
    """False for what began before the persona was first looked at, unless its begin is known."""
    seen = visits["state"] != "never_seen"
    number = visits["visit_no"].astype("float64")
    first = number.where(seen).groupby(visits["persona_id"]).transform("min").fillna(np.inf)
    exact = visits["entered_after"] == visits["entered_before"]
    return ((number > first) | ((number == first) & exact)).to_numpy(dtype=bool)


def _summary(stage: str, visits: pd.DataFrame, counts: pd.Series[int]) -> dict[str, object]:
    everything = {
        state: int(counts.get((stage, state), 0)) for state in ("finished", "running", "never_seen")
    }
    summary: dict[str, object] = {"stage": stage, "n": len(visits), **everything}
    values, note = _percentiles(visits)
    left_out = sum(everything.values()) - len(visits)
    if left_out:
        note = "; ".join(filter(None, (note, f"{left_out} more began before anyone looked")))
    return {**summary, **values, "note": note}


def _percentiles(visits: pd.DataFrame) -> tuple[dict[str, float], str]:
    none = dict.fromkeys(PERCENTILES, float("nan"))
    state = visits["state"]
    finished, running, unseen = (
        int((state == name).sum()) for name in ("finished", "running", "never_seen")
    )
    if unseen > finished and finished + unseen >= LEAST_FINISHED:
        return none, f"polls too coarse: {unseen} of {finished + unseen} never seen"
    if finished < LEAST_FINISHED:
        also = f", {unseen} never seen" if unseen else ""
        return none, f"not enough yet: {finished} finished, {running} running{also}"

    gaps = _hours(visits["left_before"] - visits["left_after"])
    gap = float(np.median(gaps[~np.isnan(gaps)]))
    curve = kaplan_meier(*_spread(visits))
    values = {name: percentile(curve, share) for name, share in PERCENTILES.items()}
    short = [name for name, value in values.items() if value < LEAST_GAPS * gap]
    if "p50_h" in short:
        return none, f"polls too coarse: half took less than {in_words(gap)}, the usual gap"
    beyond = [name for name, value in values.items() if np.isnan(value)]
    notes = []
    if short:
        notes.append(f"{_names(short)} below the usual gap of {in_words(gap)} between looks")
    if beyond:
        longest = in_words(float(curve["time_h"].iloc[-1]))
        notes.append(f"{_names(beyond)} beyond the longest time observed ({longest})")
    return values | dict.fromkeys(short, float("nan")), "; ".join(notes)


def _spread(visits: pd.DataFrame) -> tuple[Floats, Flags]:
    """(hours, ended) for ``kaplan_meier``, with ``_PLACES``² entries for each visit."""
    least = visits["min_h"].to_numpy(dtype="float64")
    unseen = (visits["state"] == "never_seen").to_numpy(dtype=bool)
    ended = np.isfinite(visits["max_h"].to_numpy(dtype="float64"))
    entry = _hours(visits["entered_before"] - visits["entered_after"])
    exit_ = _hours(visits["left_before"] - visits["left_after"])

    places = (np.arange(_PLACES) + 0.5) / _PLACES
    fine = (np.arange(_PLACES**2) + 0.5) / _PLACES**2
    early, late = (grid.ravel() for grid in np.meshgrid(places, places))
    hours = np.repeat(least[:, None], _PLACES**2, axis=1)
    both = ended & ~unseen
    hours[both] += np.outer(entry[both], early) + np.outer(exit_[both], late)
    hours[unseen] = np.outer(exit_[unseen], fine)
    return hours.ravel(), np.repeat(ended, _PLACES**2)


def _hours(span: pd.Series[pd.Timedelta]) -> Floats:
    return np.asarray(span / pd.Timedelta(hours=1), dtype="float64")


def _names(columns: list[str]) -> str:
    names = [name.removesuffix("_h") for name in columns]
    return f"{' and '.join(names)} {'is' if len(names) == 1 else 'are'}"
