"""Draw the ends of running personas stage by stage, and compute percentiles of the draws."""

from __future__ import annotations

import numpy as np

from avatarkit.estimates.stage_model import TAIL, StageModel
from avatarkit.history.frames import Flags, Floats, Integers

DRAWS = 256
SHARES = {"p10_at": 0.1, "p50_at": 0.5, "p90_at": 0.9}

_MIN_DRAWS = 16
_PASSES = 3


def draw_ends(
    models: tuple[StageModel, ...],
    claim: float,
    running: tuple[Integers, Floats, Floats],
    chosen: Flags,
) -> Floats:
    """Draw the ends of running personas.

    The random numbers are the same for each persona and each call, so that ranges are stable. The
    vendor's claim is right or wrong for all stages together, so its part of the random numbers is
    common to all stages of a draw.

    Args:
        models: The model of each stage, by its code.
        claim: The weight of the vendor's claim in the models, 0 to 1.
        running: For each persona the code of its stage, the hour at which it entered that, and the
            hour at which it was last seen in it.
        chosen: Which of the ``DRAWS`` to make.

    Returns:
        The ends in hours since Monday, a row for each persona and a column for each draw.
    """
    from scipy.special import ndtr, ndtri

    stage, begin, seen = running
    rng = np.random.default_rng(20)
    even = np.array([rng.permutation(DRAWS) for _ in range(len(models) + 1)])
    common, *own = ndtri((even[:, chosen] + 0.5) / DRAWS)
    stays = ndtr(-np.sqrt(claim) * common - np.sqrt(1 - claim) * np.array(own))

    ends = np.empty((stage.size, common.size))
    follows = np.empty((stage.size, common.size), dtype="int64")
    for code, model in enumerate(models):
        rows = stage == code
        start = model.clock.reading(begin[rows])
        age = model.clock.reading(seen[rows]) - start
        took, follows[rows] = model.inverse_survival(model.survival(age)[:, None] * stays[code])
        ends[rows] = model.clock.moment(start[:, None] + took)

    for _ in range(_PASSES):
        for code, model in enumerate(models):
            took, goes = model.inverse_survival(stays[code])
            row, draw = np.nonzero(follows == code)
            time = model.clock.reading(ends[row, draw])
            ends[row, draw] = model.clock.moment(time + took[draw])
            follows[row, draw] = goes[draw]
    return ends


def pieces(models: tuple[StageModel, ...], running: tuple[Integers, Floats, Floats]) -> Integers:
    """Return for each persona the piece of its stage's model in which it is.

    Args:
        models: As for ``draw_ends``.
        running: As for ``draw_ends``.
    """
    stage, begin, seen = running
    piece = np.empty(stage.size, dtype="int64")
    for code, model in enumerate(models):
        rows = stage == code
        age = model.clock.reading(seen[rows]) - model.clock.reading(begin[rows])
        piece[rows] = np.searchsorted(model.time, age, side="right")
    return piece


def draw_claimed(claim: StageModel, began: Floats, seen: Floats, chosen: Flags) -> Floats:
    """Draw the ends of running personas by the vendor's claim of the total time.

    Args:
        claim: The model of the total time.
        began: The hour at which each persona was created.
        seen: The hour at which it was last seen running.
        chosen: Which of the ``DRAWS`` to make.
    """
    rng = np.random.default_rng(22)
    share = (rng.permutation(DRAWS)[chosen].argsort().argsort() + 0.5) / max(chosen.sum(), 1)
    start = claim.clock.reading(began)
    age = np.maximum(claim.clock.reading(seen) - start, 0.0)
    took, _ = claim.inverse_survival(claim.survival(age)[:, None] * share)
    ends: Floats = claim.clock.moment(start[:, None] + took)
    return ends


def ranges(ends: Floats, now_h: float, age_h: Floats) -> tuple[list[Floats], Flags]:
    """Return the percentiles of the drawn ends, and where they are a guess.

    An end before now is possible, as no poll was made since. Where fewer than 16 draws end later
    than now, the percentiles are a guess from the age by Pareto's tail.

    Args:
        ends: What ``draw_ends`` returned.
        now_h: The moment, in hours since Monday.
        age_h: The age of each persona in hours.

    Returns:
        For each of ``SHARES`` the hours since Monday of each persona; and for each persona whether
        they are a guess.
    """
    few = (ends > now_h).sum(axis=1) < _MIN_DRAWS
    found = np.quantile(ends, list(SHARES.values()), axis=1, method="hazen")
    left = np.array([(1 - share) ** (-1 / TAIL) - 1 for share in SHARES.values()])
    guess = now_h + np.maximum(age_h, 1.0) * left[:, None]
    return list(np.where(few, guess, found)), few
