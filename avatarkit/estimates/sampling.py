"""Which visits the estimates rest on: those whose beginning is bounded, and not too many."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from avatarkit.history.stages import by_looks

MOST_FITTED = 5_000
"""Of more visits of a stage than this, so many are fitted, even over time."""

Floats = np.ndarray[Any, np.dtype[np.float64]]
Flags = np.ndarray[Any, np.dtype[np.bool_]]
Rows = np.ndarray[Any, np.dtype[np.int64]]

_COLUMNS = ("persona_id", "visit_no", "stage", "state", "min_h", "max_h")
_BOUNDS = ("entered_after", "entered_before", "left_after", "left_before")


class Sample:
    """The visits of which stages can be fitted, in order, and the counts of all.

    ``visits`` are whole lives, ordered by persona and number, without the visits that nothing
    bounds the beginning of; ``fitted`` says which of them count, at most 5,000 of a stage.
    ``counts`` are of all visits by stage and state, ``watched`` of those that could be fitted, by
    stage.

    Raises ``ValueError`` when a column is missing.
    """

    def __init__(self, visits: pd.DataFrame) -> None:
        if missing := [name for name in (*_COLUMNS, *_BOUNDS) if name not in visits.columns]:
            raise ValueError(
                f"visits has no column {', '.join(missing)}; pass what stages.visits() returned."
            )
        visits = by_looks(visits)
        stage = visits["stage"].to_numpy()
        self.counts: pd.Series[int] = visits.groupby(["stage", "state"]).size()
        persona = pd.factorize(visits["persona_id"])[0]
        watched = _watched(visits, persona)
        self.watched: pd.Series[int] = visits.loc[watched, "stage"].value_counts()
        fitted = watched.copy()
        if (self.watched > MOST_FITTED).any():
            turn = _turn(visits["entered_before"], persona)
            for name in self.watched.index[self.watched > MOST_FITTED]:
                rows = np.flatnonzero(watched & (stage == name))
                fitted[rows] = False
                fitted[rows[np.argsort(turn[persona[rows]], kind="stable")[:MOST_FITTED]]] = True
        chosen = np.zeros(persona.max(initial=-1) + 1, dtype=bool)
        chosen[persona[fitted]] = True
        kept = watched & chosen[persona]
        frame = visits.loc[kept].assign(fitted=fitted[kept])
        self.visits = frame.sort_values(["persona_id", "visit_no"], ignore_index=True)
        self.fitted = self.visits["fitted"].to_numpy(dtype=bool)

    def of(self, stage: str) -> pd.DataFrame:
        """The fitted visits of a stage."""
        return self.visits.loc[self.fitted & (self.visits["stage"] == stage).to_numpy()]


def _watched(visits: pd.DataFrame, persona: Rows) -> Flags:
    """False for what began before the persona was first looked at, unless its begin is known."""
    number = visits["visit_no"].to_numpy()
    seen = (visits["state"] != "never_seen").to_numpy()
    first = np.full(persona.max(initial=-1) + 1, np.iinfo("int64").max)
    np.minimum.at(first, persona[seen], number[seen])
    exact = (visits["entered_after"] == visits["entered_before"]).to_numpy()
    begun = first[persona]
    watched: Flags = (number > begun) | ((number == begun) & exact)
    return watched


def _turn(entered: pd.Series[pd.Timestamp], persona: Rows) -> Floats:
    """When it is each persona's turn to be chosen, so that those chosen are even over time.

    Source: van der Corput's sequence: the bits of the rank in time, reversed.
    """
    begun = np.full(persona.max() + 1, np.iinfo("int64").max)
    np.minimum.at(begun, persona, entered.astype("int64").to_numpy())
    rank = np.empty(begun.size, dtype="int64")
    rank[np.argsort(begun, kind="stable")] = np.arange(begun.size)
    turn = np.zeros(begun.size)
    for bit in range(int(begun.size).bit_length()):
        turn += ((rank >> bit) & 1) / 2.0 ** (bit + 1)
    return turn
