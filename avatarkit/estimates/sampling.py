"""Select the visits to fit: those whose beginning is bounded, and not too many."""

from __future__ import annotations

import numpy as np
import pandas as pd

from avatarkit.history.frames import Flags, Floats, Integers, require_columns
from avatarkit.history.stages import BOUNDS, NEVER_SEEN, poll_bounds

MAX_FITTED = 2_500
"""Maximum of visits that are fitted for a stage; of more, a sample of this size."""

_COLUMNS = ("persona_id", "visit_no", "stage", "state", *BOUNDS, "min_h", "max_h")


class Sample:
    """The visits that the stages are fitted to.

    Args:
        visits: The frame of ``stages.visits``.

    Attributes:
        visits: The visits whose beginning is bounded, of all personas with a fitted visit, ordered
            by persona and number, with the bounds of ``stages.poll_bounds``.
        fitted: For each row of ``visits`` whether it is fitted; at most 2,500 of a stage.
        counts: The number of all visits by stage and state.
        usable: The number of visits that could be fitted, by stage.

    Raises:
        ValueError: A column is missing.
    """

    def __init__(self, visits: pd.DataFrame) -> None:
        require_columns(visits, _COLUMNS, "visits", "what stages.visits() returned")
        visits = poll_bounds(visits)
        self.counts: pd.Series[int] = visits.groupby(["stage", "state"]).size()
        persona = pd.factorize(visits["persona_id"])[0]
        exact = (visits["entered_after"] == visits["entered_before"]).to_numpy()
        usable = entry_observed(visits, persona, exact)
        self.usable: pd.Series[int] = visits.loc[usable, "stage"].value_counts()
        turn = pd.Series(_turn(visits["entered_before"], persona)[persona]).where(usable)
        place = turn.groupby(visits["stage"].to_numpy()).rank(method="first")
        fitted = usable & (place <= MAX_FITTED).to_numpy()
        kept = usable & np.isin(persona, persona[fitted])
        frame = visits.loc[kept].assign(fitted=fitted[kept])
        self.visits = frame.sort_values(["persona_id", "visit_no"], ignore_index=True)
        self.fitted = self.visits["fitted"].to_numpy(dtype=bool)

    def of(self, stage: str) -> pd.DataFrame:
        """Return the fitted visits of a stage."""
        return self.visits.loc[self.fitted & (self.visits["stage"] == stage).to_numpy()]


def entry_observed(visits: pd.DataFrame, persona: Integers, exact: Flags) -> Flags:
    """Return which visits began after the first poll of their persona, or at an exact moment.

    A persona is more likely to be found in a long stage than in a short one. So including the stage
    that it was found in, and those before, would overestimate durations (length-biased sampling).

    Args:
        visits: The frame of ``stages.visits``.
        persona: The number of each row's persona, from 0.
        exact: For each row whether the moment of its beginning is known.
    """
    number, seen = visits["visit_no"], visits["state"] != NEVER_SEEN
    first = number.where(seen).groupby(persona).transform("min")
    return np.asarray((number > first) | ((number == first) & exact), dtype=bool)


def _turn(entered: pd.Series[pd.Timestamp], persona: Integers) -> Floats:
    """Return each persona's place in the order of sampling, so that samples are even over time.

    Source:
        Van der Corput's sequence: the bits of the rank in time, reversed.
    """
    rank = entered.groupby(persona).min().rank(method="first").to_numpy().astype("int64") - 1
    turn = np.zeros(rank.size)
    for bit in range(rank.size.bit_length()):
        turn += ((rank >> bit) & 1) / 2.0 ** (bit + 1)
    return turn
