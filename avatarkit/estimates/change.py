"""Find since when a vendor has been quicker or slower than before."""

from __future__ import annotations

import numpy as np

from avatarkit.estimates.stage_model import ENDS, VisitArrays
from avatarkit.history.frames import Flags, Floats

WINDOWS_D = (7, 14, 21, 28)
"""The last days that are compared with all earlier ones: whole weeks, as weekends are slow."""

CLEAR = 4.0
"""Number of standard errors by which the pace must differ."""

RATIO = 1.25
"""Smaller changes of the pace are left to the model, which has more lives without a cut."""

MIN_DAYS = 5
"""Number of days with submissions that have ended which each side must have."""

_SMALLEST_ERROR = 1e-3


def last_change(visits: VisitArrays) -> float:
    """Return the hour from which on visits tell the present pace; -inf without a clear change.

    Args:
        visits: All visits.

    Source:
        The log-rank test, stratified by stage, with the variance between days: visits of one day
        are one piece of evidence. Lin and Wei, "The robust inference for the Cox proportional
        hazards model", JASA 84 (1989), 1074-1078.
    """
    rows = np.flatnonzero(visits.observed)
    if not rows.size:
        return -np.inf
    begin, end, ended = visits.begin[rows], visits.end[rows], visits.ended[rows]
    stage = visits.stage[rows]
    expected = np.zeros(rows.size)
    for code in np.unique(stage):
        own = stage == code
        expected[own] = _expected(np.maximum(end - begin, 0.0)[own], ended[own])
    days, day = np.unique(np.floor(begin / 24), return_inverse=True)
    observed, awaited = np.bincount(day, ended), np.bincount(day, expected)
    is_end = visits.follows[rows] >= len(visits.names) - len(ENDS)
    with_ends = np.bincount(day, is_end) > 0
    found, strongest = -np.inf, CLEAR
    for window in WINDOWS_D:
        cut = np.floor(end.max() / 24) - window
        recent = days >= cut
        if min(with_ends[recent].sum(), with_ends[~recent].sum()) < MIN_DAYS:
            continue
        (late, late_error), (early, early_error) = (
            _log_pace(observed[side], awaited[side]) for side in (recent, ~recent)
        )
        clear = abs(late - early) / max(np.hypot(late_error, early_error), _SMALLEST_ERROR)
        if clear > strongest and abs(late - early) > np.log(RATIO):
            found, strongest = cut * 24, clear
    return float(found)


def _expected(took: Floats, ended: Flags) -> Floats:
    """Return the cumulative hazard (Nelson and Aalen) of each visit at its end."""
    at, place = np.unique(took, return_inverse=True)
    at_risk = np.cumsum(np.bincount(place)[::-1])[::-1]
    hazard: Floats = np.cumsum(np.bincount(place, ended, at.size) / at_risk)
    return hazard[place]


def _log_pace(observed: Floats, expected: Floats) -> tuple[float, float]:
    """Return the log of the ratio of ends to expected ends, and its standard error over days."""
    pace = (observed.sum() + 0.5) / (expected.sum() + 0.5)
    error = np.sqrt(((observed - pace * expected) ** 2).sum()) / max(observed.sum(), 1.0)
    return float(np.log(pace)), float(error)
