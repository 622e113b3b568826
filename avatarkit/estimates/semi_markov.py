"""Fit the distribution of each stage, in the order in which personas go through them.

With polls every six hours, the beginning of a visit is known to six hours. Not all moments in that
interval are equally likely: if the stage before takes about two hours and began at a known moment,
this one probably began two hours later. So the possible moments of a beginning are weighted by the
distribution fitted to the stage before.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from avatarkit.estimates import likelihood
from avatarkit.estimates.likelihood import Bounds, Distribution
from avatarkit.history.frames import Flags, Floats, Integers, hours
from avatarkit.history.stages import BOUNDS
from avatarkit.models import STAGES

CELLS = 8
"""The interval of a beginning is cut into this many equal parts."""

MIN_FINISHED = 5
"""A stage with fewer finished visits is not fitted."""

_KNOWN_WIDTH = 0.05
"""A beginning known to this share of the duration counts as exact."""


@dataclass(frozen=True)
class StageFit:
    """The distribution of one stage, the rows that it was fitted to, and their bounds."""

    distribution: Distribution
    rows: Integers
    bounds: Bounds


def fit_stages(visits: pd.DataFrame, fitted: Flags | None = None) -> dict[str, StageFit]:
    """Fit each stage of which at least 5 visits have finished.

    Args:
        visits: The frame of ``stages.visits``, in its order, without the visits whose beginning
            nothing bounds.
        fitted: For each row whether it counts; the others still say when the next ones began.

    Returns:
        The fits by stage, in the API's order, then undocumented stages by name.

    Source:
        The forward recursion of a semi-Markov chain whose states are known and whose times are
        hidden: Yu, "Hidden semi-Markov models", Artificial Intelligence 174 (2010), 215-243.
    """
    counted = np.ones(len(visits), dtype=bool) if fitted is None else fitted
    entered_after, entered_before, left_after, left_before = _since_start(visits)
    persona = pd.factorize(visits["persona_id"])[0]
    number = visits["visit_no"].to_numpy()
    follows = np.zeros(len(visits), dtype=bool)
    follows[1:] = (persona[1:] == persona[:-1]) & (number[1:] == number[:-1] + 1)

    width = entered_before - entered_after
    step = (width / CELLS)[:, None]
    begin = entered_after[:, None] + step * (np.arange(CELLS) + 0.5)
    weight = np.full((len(visits), CELLS), 1 / CELLS)
    stage, names = pd.factorize(visits["stage"])
    finished = (visits["state"] == "finished").to_numpy()
    order = {stage.value: rank for rank, stage in enumerate(STAGES)}
    fits: dict[str, StageFit] = {}
    for name in sorted(names, key=lambda name: (order.get(name, len(order)), name)):
        rows = np.flatnonzero(stage == names.get_loc(name))
        for previous, fit in fits.items():
            after = rows[follows[rows]]
            after = after[stage[after - 1] == names.get_loc(previous)]
            edges = entered_after[after][:, None] + step[after] * np.arange(CELLS + 1)
            before = after - 1
            weight[after] = _entry_weights(fit.distribution, begin[before], weight[before], edges)
        rows = rows[counted[rows]]
        if finished[rows].sum() >= MIN_FINISHED:
            bounds = _bounds(
                begin[rows], weight[rows], width[rows], left_after[rows], left_before[rows]
            )
            fits[str(name)] = StageFit(likelihood.fit(bounds), rows, bounds)
    return fits


def _entry_weights(previous: Distribution, begin: Floats, weight: Floats, edges: Floats) -> Floats:
    """Return how likely a visit began between each two edges, given when the previous one began."""
    survival = np.zeros(edges.shape)
    for cell in range(CELLS):
        survival += weight[:, [cell]] * previous.survival(edges - begin[:, [cell]])
    chance = np.maximum(survival[:, :-1] - survival[:, 1:], 0.0)
    total = chance.sum(axis=1, keepdims=True)
    # Where the fit gives it no chance, all parts of the interval count as equally likely.
    return np.where(total > 1e-12, chance / np.maximum(total, 1e-12), 1 / CELLS)


def _bounds(
    begin: Floats, weight: Floats, width: Floats, left_after: Floats, left_before: Floats
) -> Bounds:
    middle = (begin * weight).sum(axis=1)
    exact = width <= _KNOWN_WIDTH * (left_after - middle)
    count = np.where(exact, 1, CELLS)
    visit = np.repeat(np.arange(len(begin)), count)
    first = np.cumsum(count) - count
    moments, shares = begin.copy(), weight.copy()
    moments[exact, 0], shares[exact, 0] = middle[exact], 1.0
    used = np.arange(CELLS) < count[:, None]
    moment, share = moments[used], shares[used]
    lower = np.maximum(left_after[visit] - moment, 0.0)
    return Bounds(lower, left_before[visit] - moment, share, first, visit)


def _since_start(visits: pd.DataFrame) -> tuple[Floats, Floats, Floats, Floats]:
    """Return the four bounds in hours since the first; inf where not left yet."""
    start = visits["entered_after"].min()
    after, before, left_after, left_before = (hours(visits[side] - start) for side in BOUNDS)
    return after, before, left_after, np.where(np.isnan(left_before), np.inf, left_before)
