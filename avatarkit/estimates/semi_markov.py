"""Stage after stage along each persona's life: where one ends, the next one begins.

A look every six hours says of the beginning of a stage only within which six hours it was. Where
in them is not all the same: if the stage before takes about two hours and began at a known moment,
it was likely two hours later. So the stages are fitted in their order, and the moments at which a
visit may have begun are weighted by the fitted distribution of the visit before it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from avatarkit.estimates import likelihood
from avatarkit.estimates.likelihood import Bounds, Fit
from avatarkit.models import STAGES

CELLS = 8
"""Into so many equal parts the interval of a beginning is cut."""

LEAST_FINISHED = 5
"""A stage of which fewer visits have finished is not fitted."""

_FINE = 0.05
"""A beginning known to this share of the duration is as good as known."""

Floats = np.ndarray[Any, np.dtype[np.float64]]
Rows = np.ndarray[Any, np.dtype[np.int64]]
Flags = np.ndarray[Any, np.dtype[np.bool_]]


@dataclass(frozen=True)
class StageFit:
    """The fit of one stage, and what it rests on: rows of the frame and the bounds of each."""

    fit: Fit
    rows: Rows
    bounds: Bounds


def fit_stages(visits: pd.DataFrame, fitted: Flags | None = None) -> dict[str, StageFit]:
    """A fit for each stage of which at least 5 visits have finished, in the API's order.

    ``visits`` is the frame of ``stages.visits`` without the visits whose beginning nothing bounds.
    ``fitted`` says which of its rows count; the others still say when the next ones began.

    Source: the forward recursion of a semi-Markov chain whose states are known and whose times are
    hidden: Yu, "Hidden semi-Markov models", Artificial Intelligence 174 (2010), 215-243.
    """
    counted = np.ones(len(visits), dtype=bool) if fitted is None else fitted
    begin, begun, last, gone = _since_start(visits)
    persona = pd.factorize(visits["persona_id"])[0]
    number = visits["visit_no"].to_numpy()
    follows = np.zeros(len(visits), dtype=bool)
    follows[1:] = (persona[1:] == persona[:-1]) & (number[1:] == number[:-1] + 1)

    step = ((begun - begin) / CELLS)[:, None]
    at = begin[:, None] + step * (np.arange(CELLS) + 0.5)
    weight = np.full((len(visits), CELLS), 1 / CELLS)
    stage, names = pd.factorize(visits["stage"])
    finished = (visits["state"] == "finished").to_numpy()
    order = {one.value: rank for rank, one in enumerate(STAGES)}
    found: dict[str, StageFit] = {}
    for name in sorted(names, key=lambda name: (order.get(name, len(order)), name)):
        rows = np.flatnonzero(stage == names.get_loc(name))
        for other, its in found.items():
            here = rows[follows[rows]]
            here = here[stage[here - 1] == names.get_loc(other)]
            edges = begin[here][:, None] + step[here] * np.arange(CELLS + 1)
            weight[here] = _beginnings(its.fit, at[here - 1], weight[here - 1], edges)
        rows = rows[counted[rows]]
        if finished[rows].sum() < LEAST_FINISHED:
            continue
        bounds = _bounds(at[rows], weight[rows], begun[rows] - begin[rows], last[rows], gone[rows])
        found[str(name)] = StageFit(likelihood.fit(bounds), rows, bounds)
    return found


def _beginnings(before: Fit, since: Floats, weight: Floats, edges: Floats) -> Floats:
    """How likely a visit began in each cell: that the one before, begun ``since``, ended there."""
    survival = np.zeros_like(edges)
    for cell in range(CELLS):
        survival += weight[:, [cell]] * before.survival(edges - since[:, [cell]])
    chance = np.maximum(survival[:, :-1] - survival[:, 1:], 0.0)
    total = chance.sum(axis=1, keepdims=True)
    # Where the fit has it impossible, the interval is all that is known.
    return np.where(total > 1e-12, chance / np.maximum(total, 1e-12), 1 / CELLS)


def _bounds(at: Floats, weight: Floats, width: Floats, last: Floats, gone: Floats) -> Bounds:
    middle = (at * weight).sum(axis=1)
    known = width <= _FINE * (last - middle)
    many = np.where(known, 1, CELLS)
    visit = np.repeat(np.arange(len(at)), many)
    first = np.cumsum(many) - many
    moments, shares = at.copy(), weight.copy()
    moments[known, 0], shares[known, 0] = middle[known], 1.0
    used = np.arange(CELLS) < many[:, None]
    since, share = moments[used], shares[used]
    least = np.maximum(last[visit] - since, 0.0)
    return Bounds(least, gone[visit] - since, share, first, visit)


def _since_start(visits: pd.DataFrame) -> tuple[Floats, Floats, Floats, Floats]:
    """entered_after, entered_before, left_after, left_before in hours; inf while running."""
    names = ("entered_after", "entered_before", "left_after", "left_before")
    start = visits["entered_after"].min()
    columns = [((visits[name] - start) / pd.Timedelta(hours=1)).to_numpy() for name in names]
    columns[3] = np.where(np.isnan(columns[3]), np.inf, columns[3])
    return columns[0], columns[1], columns[2], columns[3]
