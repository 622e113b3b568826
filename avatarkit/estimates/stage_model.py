"""How long a persona stays in a stage and where it goes from there: learned, or the vendor's claim.

The claim counts as a few lives among those that were seen: alone it speaks for itself, and the
more lives there are, the less it weighs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from avatarkit.estimates import business_hours
from avatarkit.estimates.business_hours import OfficeHours
from avatarkit.history import stages
from avatarkit.models import STAGES, TERMINAL, UNKNOWN, ProcessStatus

CLAIMED_H = (24.0, 120.0)
"""By the vendor's claim a tenth of all lives ends before the first, a tenth after the second.

Source: "2 ~ 5 days" (the contract) and "1 ~ 2 days" (a newer page) together.
"""

CLAIMED_REVIEW_H = 18.0
"""The median of the review by the vendor's claim: with its spread two of three end in a day.

Source: "reviews typically within 24 hours" (another page). How the rest divides is not documented;
the other five stages have equal parts of it.
"""

CLAIM_WEIGHT, CLAIM_FADES = 8.0, 10.0
"""The claim counts as much as 8 lives before there are any, half that when there are 10."""

TAIL = 2.0
"""Beyond the longest time, seen or claimed, the share that stays falls by this power of time.

Of three who stayed that long, two will stay 1.2 times and one 1.7 times as long.
"""

_NORMAL_P90 = 1.2815515655446004
_SPREAD = float(np.log(CLAIMED_H[1] / CLAIMED_H[0])) / (2 * _NORMAL_P90)
_TOTAL_H = float(np.sqrt(CLAIMED_H[0] * CLAIMED_H[1]))
_OTHER_H = (_TOTAL_H - CLAIMED_REVIEW_H) / (len(STAGES) - 1)
_PIECES = 64
_LEAST_SURVIVAL = 1e-12

KNOWN = tuple(stage.value for stage in STAGES)
ENDS = tuple(status.value for status in ProcessStatus if status in TERMINAL)

Floats = np.ndarray[Any, np.dtype[np.float64]]
Codes = np.ndarray[Any, np.dtype[np.int64]]
Flags = np.ndarray[Any, np.dtype[np.bool_]]


@dataclass(frozen=True)
class Sojourn:
    """The time in one stage on its own clock, and what follows.

    By ``time[i]`` hours on ``clock`` the share ``gone[i]`` has left; both rise from 0, straight
    between the points. Who left in the piece that ends there went on to the status of the code
    ``follows[i]``; ``claimed[i]`` says that the piece is the vendor's claim, ``claim[i]`` how much
    of all from there on is.
    """

    clock: OfficeHours
    time: Floats
    gone: Floats
    follows: Codes
    claimed: Flags
    claim: Floats = field(init=False)

    def __post_init__(self) -> None:
        mass = np.append(np.diff(self.gone, prepend=0.0), 1 - self.gone[-1])
        claimed = np.append(self.claimed, True) * mass
        share = np.cumsum(claimed[::-1])[::-1] / np.cumsum(mass[::-1])[::-1]
        object.__setattr__(self, "claim", share)

    def survival(self, time: Floats) -> Floats:
        """The share that stays longer than this.

        Beyond the longest time, seen or claimed, it follows Pareto's tail.
        """
        last = self.time[-1]
        within = 1 - np.interp(time, self.time, self.gone)
        beyond: Floats = (last / np.maximum(time, last)) ** TAIL
        return within * beyond

    def leaving(self, survival: Floats) -> tuple[Floats, Codes]:
        """The times that these shares stay longer than, and the codes of what follows then."""
        share = np.maximum(survival, _LEAST_SURVIVAL)
        rest = 1 - self.gone[-1]
        time = np.interp(1 - share, self.gone, self.time)
        time *= (rest / np.minimum(share, rest)) ** (1 / TAIL)
        piece = np.searchsorted(self.gone, 1 - share, side="left")
        return time, self.follows[np.minimum(piece, self.gone.size - 1)]


@dataclass(frozen=True)
class Spans:
    """The visits of ``stages.visits`` as arrays, an element a visit; moments as hours.

    ``stage`` and ``follows`` are positions in ``names``: the stages, ``unknown``, the three ends;
    ``follows`` is -1 for what is still running. ``persona`` are positions in ``ids``. ``watched``
    says that the beginning is bounded and was not before anybody looked.
    """

    names: tuple[str, ...]
    ids: pd.Index[Any]
    persona: Codes
    stage: Codes
    follows: Codes
    entered: tuple[Floats, Floats]
    left: tuple[Floats, Floats]
    watched: Flags

    @property
    def begin(self) -> Floats:
        """The middle of where it began; its latest moment where the earliest is not known."""
        after, before = self.entered
        return np.where(np.isnan(after), before, (after + before) / 2)

    @property
    def ended(self) -> Flags:
        """True for what is over."""
        return ~np.isnan(self.left[1])

    @property
    def end(self) -> Floats:
        """The middle of where it ended, or the last look."""
        after, before = self.left
        return np.where(np.isnan(before), after, (after + before) / 2)


def spans(visits: pd.DataFrame, lives: pd.DataFrame, names: tuple[str, ...] = ()) -> Spans:
    """The visits as arrays.

    ``names`` are those of an earlier ``Spans`` to keep to: a status that is not among them gets
    the code of ``unknown``, as all have that nobody has heard of.
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
    sides = ("entered_after", "entered_before", "left_after", "left_before")
    entered_after, entered_before, left_after, left_before = (
        business_hours.since_monday(visits[side]) for side in sides
    )

    # Of a persona found midway, what it was found in is more likely long than short.
    number = visits["visit_no"].to_numpy(dtype="int64")
    first = np.full(len(ids), np.iinfo("int64").max)
    seen = (visits["state"] != stages.NEVER_SEEN).to_numpy(dtype=bool)
    np.minimum.at(first, persona[seen], number[seen])
    exact = entered_after == entered_before
    watched = (number > first[persona]) | ((number == first[persona]) & exact)
    return Spans(
        names=names,
        ids=pd.Index(ids),
        persona=np.asarray(persona, dtype="int64"),
        stage=stage,
        follows=follows,
        entered=(entered_after, entered_before),
        left=(left_after, left_before),
        watched=watched & ~np.isnan(entered_after),
    )


def claim_weight(n: int) -> float:
    """As how many lives the claim counts beside ``n`` that ended."""
    return CLAIM_WEIGHT * CLAIM_FADES / (CLAIM_FADES + n)


def suppose(seen: Spans, stage: int) -> list[tuple[float, Sojourn]]:
    """The sojourn on each of the clocks that are supposed, and the chance of each."""
    rows = (seen.stage == stage) & seen.watched
    bounds = (bound[rows] for bound in (*seen.entered, *seen.left))
    chances = business_hours.suppose(*bounds).tolist()
    return [
        (chance, learn(seen, stage, clock))
        for chance, clock in zip(chances, business_hours.SUPPOSED, strict=True)
    ]


def learn(seen: Spans, stage: int, clock: OfficeHours | None = None) -> Sojourn:
    """What these visits of one stage and the vendor's claim say together.

    ``clock`` is the stage's own unless one is given.

    Source: Kaplan and Meier (1958) with each end's destination kept, as Aalen and Johansen do,
    "An empirical transition matrix", Scandinavian Journal of Statistics 5 (1978), 141-150; the
    claim as observations of its own, as in Susarla and Van Ryzin, "Nonparametric Bayesian
    estimation of survival curves from incomplete observations", JASA 71 (1976), 897-902.
    """
    rows = np.flatnonzero((seen.stage == stage) & seen.watched)
    bounds = (bound[rows] for bound in (*seen.entered, *seen.left))
    clock = clock or business_hours.learn(*bounds)
    took = np.maximum(clock.reading(seen.end[rows]) - clock.reading(seen.begin[rows]), 0.0)
    claim, after = _claim(seen.names[stage])
    goes = seen.names.index(after)

    times = np.append(took, claim)
    over = np.append(seen.ended[rows], np.ones(_PIECES, dtype=bool))
    follows = np.append(seen.follows[rows], np.full(_PIECES, goes))
    piece = claim_weight(int(seen.ended[rows].sum())) / _PIECES
    weight = np.append(np.ones(rows.size), np.full(_PIECES, piece))
    order = np.lexsort((~over, times))
    # A last half piece of the claim never ends, so that something is left at any age.
    at_risk = np.cumsum(weight[order][::-1])[::-1] + piece / 2
    gone = 1 - np.cumprod(1 - weight[order] * over[order] / at_risk)
    kept = order[over[order]]
    return Sojourn(
        clock,
        np.append(0.0, times[kept]),
        np.append(0.0, gone[over[order]]),
        np.append(goes, follows[kept]).astype("int64"),
        np.append(True, kept >= rows.size),
    )


def _claim(stage: str) -> tuple[Floats, str]:
    """Equally likely hours of this stage by the vendor's claim, and what follows it."""
    from scipy.special import ndtri

    review = ProcessStatus.REVIEWING.value
    median = CLAIMED_REVIEW_H if stage == review else _OTHER_H
    hours: Floats = median * np.exp(_SPREAD * ndtri((np.arange(_PIECES) + 0.5) / _PIECES))
    if stage == review:
        return hours, ProcessStatus.DONE.value
    # What nobody has heard of is taken to come before the review.
    return hours, KNOWN[KNOWN.index(stage) + 1] if stage in KNOWN else review
