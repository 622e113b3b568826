"""Model how long a persona stays in a stage and which status follows.

The model combines the visits that were seen with the vendor's claim. The claim counts as a few more
batches: without history it is everything, and its weight falls with each batch of which lives have
ended.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from avatarkit.estimates import claim, work_clock
from avatarkit.estimates.sampling import entry_observed
from avatarkit.estimates.work_clock import WorkClock
from avatarkit.history import stages
from avatarkit.history.frames import Flags, Floats, Integers
from avatarkit.models import STAGES, TERMINAL, UNKNOWN, ProcessStatus

CLAIMED_REVIEW_H = 18.0
"""The median hours of the review by the vendor's claim: two of three then end within a day.

Source:
    "reviews typically within 24 hours" (another page). How the rest divides is not documented; the
    other five stages have equal parts of it.
"""

TAIL = 2.0
"""Beyond the longest time seen or claimed, survival falls with this power of time (Pareto).

Of three personas that stayed that long, two will stay 1.2 times and one 1.7 times as long.
"""

KNOWN = tuple(stage.value for stage in STAGES)
ENDS = tuple(status.value for status in ProcessStatus if status in TERMINAL)

_OTHER_H = (claim.MEDIAN_H - CLAIMED_REVIEW_H) / (len(STAGES) - 1)
_PIECES = 64
_SMALLEST_SURVIVAL = 1e-12


@dataclass(frozen=True)
class StageModel:
    """The distribution of the time in one stage, on the stage's clock, and the status that follows.

    By ``time[i]`` hours on ``clock`` the share ``cdf[i]`` has left; both rise from 0, linear
    between the points. Those who left in the piece that ends there went on to the status of the
    code ``follows[i]``; ``claimed[i]`` says that the piece is the vendor's claim.
    """

    clock: WorkClock
    time: Floats
    cdf: Floats
    follows: Integers
    claimed: Flags

    @cached_property
    def claim_share(self) -> Floats:
        """For each piece, the weight of the vendor's claim from there on."""
        mass = np.append(np.diff(self.cdf, prepend=0.0), 1 - self.cdf[-1])
        claimed = np.append(self.claimed, True) * mass
        share: Floats = np.cumsum(claimed[::-1])[::-1] / np.cumsum(mass[::-1])[::-1]
        return share

    def survival(self, time: Floats) -> Floats:
        """Return the share that stays longer than ``time``, with Pareto's tail at the end."""
        last = self.time[-1]
        within = 1 - np.interp(time, self.time, self.cdf)
        reached = np.maximum(time, last)
        # Where both are 0, time has not passed the last one.
        share = np.divide(last, reached, out=np.ones_like(reached), where=reached > 0)
        beyond: Floats = share**TAIL
        return within * beyond

    def inverse_survival(self, survival: Floats) -> tuple[Floats, Integers]:
        """Return the times that these shares exceed, and the codes of the statuses that follow."""
        share = np.maximum(survival, _SMALLEST_SURVIVAL)
        rest = 1 - self.cdf[-1]
        time = np.interp(1 - share, self.cdf, self.time)
        time *= (rest / np.minimum(share, rest)) ** (1 / TAIL)
        piece = np.searchsorted(self.cdf, 1 - share, side="left")
        return time, self.follows[np.minimum(piece, self.cdf.size - 1)]


@dataclass(frozen=True)
class VisitArrays:
    """The visits of ``stages.visits`` as arrays, an element a visit; moments as hours.

    ``stage`` and ``follows`` are positions in ``names``: the stages, ``unknown``, the three ends;
    ``follows`` is -1 for what is still running. ``persona`` are positions in ``ids``, and ``batch``
    has the number of the batch of each of ``ids``. ``bounds`` has a row for each of
    ``stages.BOUNDS``. ``observed`` says that the beginning is bounded and after the persona's first
    poll, or exact.
    """

    names: tuple[str, ...]
    ids: pd.Index[Any]
    batch: Integers
    persona: Integers
    stage: Integers
    follows: Integers
    bounds: Floats
    observed: Flags

    @property
    def begin(self) -> Floats:
        """The middle of the beginning's bounds; the upper one where there is no lower one."""
        return np.asarray(np.nanmean(self.bounds[:2], axis=0), dtype="float64")

    @property
    def ended(self) -> Flags:
        """True for visits that have ended."""
        return np.asarray(~np.isnan(self.bounds[3]))

    @property
    def end(self) -> Floats:
        """The middle of the end's bounds, or the last poll."""
        return np.asarray(np.nanmean(self.bounds[2:], axis=0), dtype="float64")

    def evidence(self, rows: Integers) -> float:
        """Return the number of batches for each visit that has ended, 1 or less."""
        ended = rows[self.ended[rows]]
        return np.unique(self.batch[self.persona[ended]]).size / ended.size if ended.size else 1.0


def visit_arrays(
    visits: pd.DataFrame, lives: pd.DataFrame, names: tuple[str, ...] = ()
) -> VisitArrays:
    """Return the visits as arrays.

    Args:
        visits: The frame of ``stages.visits``.
        lives: The frame of ``stages.lives`` of the same moment.
        names: The ``names`` of earlier arrays, to keep their codes. A status that is not among them
            gets the code of ``unknown``.
    """
    visits = stages.poll_bounds(visits)
    statuses = visits["stage"]
    if not names:
        others = sorted(set(statuses.unique()) - {*KNOWN, UNKNOWN})
        names = (*KNOWN, *others, UNKNOWN, *ENDS)
    codes = pd.Index(names)
    stage = np.asarray(codes.get_indexer(pd.Index(statuses)), dtype="int64")
    stage[stage < 0] = names.index(UNKNOWN)
    persona, ids = pd.factorize(visits["persona_id"])
    last = np.append(persona[1:] != persona[:-1], True)[: len(visits)]
    follows = np.append(stage[1:], -1)[: len(visits)]
    state = pd.Series(lives["state"].to_numpy(), index=pd.Index(lives["persona_id"]))
    follows[last] = codes.get_indexer(pd.Index(state.reindex(ids)))
    bounds = np.array([work_clock.since_monday(visits[side]) for side in stages.BOUNDS])
    observed = entry_observed(visits, persona, bounds[0] == bounds[1]) & ~np.isnan(bounds[0])
    numbers = np.asarray(persona, dtype="int64")
    began = work_clock.since_monday(lives["began_before"])
    persona_ids = pd.Index(lives["persona_id"])
    batch = claim.batches(began)[persona_ids.get_indexer(ids)]
    return VisitArrays(names, pd.Index(ids), batch, numbers, stage, follows, bounds, observed)


def total_claim(lives: pd.DataFrame, clock: WorkClock) -> StageModel:
    """Return the vendor's claim of the total time as the model of a stage, on its clock.

    Args:
        lives: The frame of ``stages.lives`` to correct it by.
        clock: The clock on which the claim counts.
    """
    time, share = claim.total_time(lives, clock)
    done = np.zeros(time.size, dtype="int64")
    return StageModel(clock, time, share, done, np.ones(time.size, dtype=bool))


def candidates(visits: VisitArrays, stage: int) -> tuple[tuple[float, StageModel], ...]:
    """Return the model of a stage on each candidate clock, with the clock's probability."""
    rows = (visits.stage == stage) & visits.observed
    share = visits.evidence(np.flatnonzero(rows))
    chances = work_clock.probabilities(*visits.bounds[:, rows], evidence=share).tolist()
    return tuple(
        (chance, fit_stage(visits, stage, clock))
        for chance, clock in zip(chances, work_clock.CANDIDATES, strict=True)
    )


def fit_stage(visits: VisitArrays, stage: int, clock: WorkClock | None = None) -> StageModel:
    """Fit the model of a stage to its visits and the vendor's claim.

    Args:
        visits: All visits.
        stage: The code of the stage.
        clock: The stage's clock; by default it is learned from these visits.

    Source:
        Kaplan and Meier (1958) with each end's destination kept, as Aalen and Johansen do, "An
        empirical transition matrix", Scandinavian Journal of Statistics 5 (1978), 141-150; the
        claim as observations of its own, as in Susarla and Van Ryzin, "Nonparametric Bayesian
        estimation of survival curves from incomplete observations", JASA 71 (1976), 897-902.
    """
    rows = np.flatnonzero((visits.stage == stage) & visits.observed)
    evidence = visits.evidence(rows)
    clock = clock or work_clock.fit(*visits.bounds[:, rows], evidence=evidence)
    took = np.maximum(clock.reading(visits.end[rows]) - clock.reading(visits.begin[rows]), 0.0)
    claimed, after = _claim(visits.names[stage])
    goes = visits.names.index(after)

    times = np.append(took, claimed)
    ended = np.append(visits.ended[rows], np.ones(_PIECES, dtype=bool))
    follows = np.append(visits.follows[rows], np.full(_PIECES, goes))
    batches = round(visits.ended[rows].sum() * evidence)
    piece = claim.weight(batches) / evidence / _PIECES
    weight = np.append(np.ones(rows.size), np.full(_PIECES, piece))
    order = np.lexsort((~ended, times))
    # Half a piece of the claim never ends, so that survival is positive at any age.
    at_risk = np.cumsum(weight[order][::-1])[::-1] + piece / 2
    cdf = 1 - np.cumprod(1 - weight[order] * ended[order] / at_risk)
    kept = order[ended[order]]
    return StageModel(
        clock,
        np.append(0.0, times[kept]),
        np.append(0.0, cdf[ended[order]]),
        np.append(goes, follows[kept]).astype("int64"),
        np.append(True, kept >= rows.size),
    )


def _claim(stage: str) -> tuple[Floats, str]:
    """Return equally likely hours of a stage by the vendor's claim, and the status that follows."""
    from scipy.special import ndtri

    review = ProcessStatus.REVIEWING.value
    median = CLAIMED_REVIEW_H if stage == review else _OTHER_H
    hours: Floats = median * np.exp(claim.SPREAD * ndtri((np.arange(_PIECES) + 0.5) / _PIECES))
    if stage == review:
        return hours, ProcessStatus.DONE.value
    # An undocumented status is taken to come before the review.
    return hours, KNOWN[KNOWN.index(stage) + 1] if stage in KNOWN else review
