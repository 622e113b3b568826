"""When a running persona will be ready: a range that keeps its word, and the chance of done.

A life is followed stage by stage from where it was last seen: how long a stage takes, on the clock
that its own ends have taught, and what comes after it is what earlier personas showed, those that
are still running counted as such. Before there is any history the vendor's claim speaks, and is
called that; it gives way as history grows. While nobody knows when the reviewers work, some of the
possible futures have office hours, the fewer the less that was seen speaks for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd

from avatarkit.estimates import business_hours, durations, stage_model
from avatarkit.estimates.stage_model import ENDS, Codes, Flags, Floats, Sojourn, Spans
from avatarkit.history import stages
from avatarkit.models import ProcessStatus

CLAIM = "the vendor's claim, not your data"
BLEND = "the vendor's claim and your data"
DATA = "your data"
BEYOND = "a guess: longer in its stage than any before"
"""The four values of ``basis``."""

RECENT = 3_000
"""The estimates rest on the personas that began last, up to so many."""

COLUMNS = (
    "persona_id",
    "stage",
    "in_stage_h",
    "age_h",
    "p10_at",
    "p50_at",
    "p90_at",
    "chance_done",
    "late",
    "basis",
    "n",
)

SHARES = {"p10_at": 0.1, "p50_at": 0.5, "p90_at": 0.9}

SOONEST = timedelta(seconds=1)
"""So long after now is the soonest moment of a range: what may have ended since the last look."""

_REVIEW = stage_model.KNOWN.index(ProcessStatus.REVIEWING.value)
_MIXED = 0.1
_DRAWS = 256
_LEAST_DRAWS = 16
_PASSES = 3
_LIKE_THE_STAGE = 5.0
_BLURRED = 0.5
_LEAST_PAIRS = 30
_NORMAL_P95 = 1.6448536269514722
_FURTHEST, _STEPS = 4.0, 801
_LEAST = 1e-12


@dataclass(frozen=True)
class Model:
    """What the history teaches; made by ``learn``.

    ``names`` are the stages and the three ends, in the order of the codes in ``sojourns``, one for
    each stage. ``chances[stage][i]`` is the chance of done for who leaves from the i-th piece of
    the sojourn on. ``alike`` is how much the stages of one life resemble each other in their pace,
    0 to 1. ``n`` is the number of finished lives. ``reviews`` are what the review may be
    while the clock of the reviewers is not known, each with its chance; then empty.
    """

    names: tuple[str, ...]
    sojourns: tuple[Sojourn, ...]
    chances: tuple[Floats, ...]
    alike: float
    n: int
    reviews: tuple[tuple[float, Sojourn], ...]


def arrivals(
    sightings: pd.DataFrame,
    *,
    now: datetime,
    personas: pd.DataFrame | None = None,
    late_after: pd.Series[float] | None = None,
) -> pd.DataFrame:
    """For every running persona when it will end, in 8 of 10 cases, and whether as done.

    ``sightings`` is ``store.sightings()``, ``now`` the moment on the session's clock, ``personas``
    ``store.personas()``: it says when those found midway were created and which are gone, and a
    persona that is gone has no row. ``late_after`` is what ``durations.late_after`` gave, for who
    has it already: it takes longer than all the rest. Nothing first seen after ``now`` is used.

    Returns a row a running persona, the soonest ``p50_at`` first, index 0…n-1; an empty frame has
    the same columns and dtypes:

    - ``persona_id``, ``stage`` (the status last seen): text.
    - ``in_stage_h``, ``age_h``: float64 hours in that stage so far, at least, as last seen; and
      since it began, at least.
    - ``p10_at``, ``p50_at``, ``p90_at``: datetime64[us, UTC], the moments of the end, of whatever
      kind, that are met in a tenth, half and nine tenths of the cases; in order, later than now.
    - ``chance_done``: float64, that the end is done; NaN while no finished life has been in the
      stage, as the vendor claims nothing of it. Few lives draw it to a half.
    - ``late``: bool, longer in its stage than 95 % of all visits (``durations.late_after``).
    - ``basis``: text; ``CLAIM`` (without a single finished life), ``DATA``, ``BLEND`` (the claim
      weighs more than a tenth in it), or ``BEYOND``.
    - ``n``: int64, the finished lives that it rests on, of the last 3,000 personas.

    The same log and moment give the same ranges.

    Raises ``ValueError`` when ``now`` has no time zone or a column is missing.

    Source: a semi-Markov process; Lagakos, Sommer and Zelen, "Semi-Markov models for partially
    censored data", Biometrika 65 (1978), 311-317. How well it does: ``bench/eta.py``.
    """
    visits = stages.visits(sightings, now=now, personas=personas)
    lives = stages.lives(sightings, now=now, personas=personas)
    found = predict(learn(visits, lives), visits, lives, now=now)
    if personas is not None and "gone" in personas.columns:
        gone = personas.loc[personas["gone"].to_numpy(dtype=bool), "persona_id"]
        found = found.loc[~found["persona_id"].isin(gone)].reset_index(drop=True)
    limits = durations.late_after(visits) if late_after is None else late_after
    limit = found["stage"].map(limits).to_numpy(dtype="float64")
    late = found["in_stage_h"].to_numpy() > limit
    return found.assign(late=late)[list(COLUMNS)]


def learn(visits: pd.DataFrame, lives: pd.DataFrame) -> Model:
    """The model of these lives; ``visits`` and ``lives`` of ``stages`` at the same moment."""
    if len(lives) > RECENT:
        began = business_hours.since_monday(lives["began_before"])
        lives = lives.iloc[np.sort(np.argsort(began, kind="stable")[-RECENT:])]
        visits = visits.loc[visits["persona_id"].isin(lives["persona_id"]).to_numpy()]
    over = (lives["state"] != stages.RUNNING).to_numpy(dtype=bool)
    # Without an end only the claim speaks, so that its name is true.
    seen = stage_model.spans(visits if over.any() else visits.iloc[:0], lives)
    found = tuple(stage_model.learn(seen, stage) for stage in range(len(seen.names) - len(ENDS)))
    finished = np.isin(seen.ids, lives["persona_id"].to_numpy()[over])
    # Few have shown neither nights nor weekends; the claim alone includes both.
    unknown = over.any() and found[_REVIEW].clock.is_flat
    return Model(
        names=seen.names,
        sojourns=found,
        chances=_chances(seen, found, finished),
        alike=_alike(found, seen),
        n=int(over.sum()),
        reviews=tuple(stage_model.suppose(seen, _REVIEW)) if unknown else (),
    )


def predict(
    model: Model, visits: pd.DataFrame, lives: pd.DataFrame, *, now: datetime
) -> pd.DataFrame:
    """The frame of ``arrivals`` without ``late``, by a model that may be older than the visits."""
    now_h = float(business_hours.since_monday(pd.Series([now]))[0])
    soonest = pd.Timestamp(now).tz_convert("UTC") + SOONEST
    running = lives.loc[(lives["state"] == stages.RUNNING).to_numpy(dtype=bool)]
    mine = visits.loc[visits["persona_id"].isin(running["persona_id"]).to_numpy()]
    seen = stage_model.spans(mine, lives, model.names)
    last = (mine["state"] == stages.RUNNING).to_numpy(dtype=bool)
    stage = seen.stage[last]
    begin, end = seen.begin[last], seen.end[last]
    ends, pieces = np.empty((stage.size, _DRAWS)), []
    for supposed, drawn in _supposed(model):
        pace = _pace(supposed, seen)
        ends[:, drawn], piece = _paths(supposed, stage, begin, end, pace, drawn)
        pieces.append(piece)

    age = now_h - business_hours.since_monday(running["began_before"])
    ranges, guessed = _ranges(ends, now_h, age)
    moments = [
        found.where(found > soonest, soonest) for found in map(business_hours.to_moments, ranges)
    ]
    told = list(zip(stage, pieces[0], strict=True))
    claimed = np.array([model.sojourns[code].claim[at] for code, at in told], dtype="float64")
    guessed |= np.array([model.sojourns[code].time.size == at for code, at in told], dtype=bool)
    chance = np.array([model.chances[code][at] for code, at in told], dtype="float64")
    basis = np.where(np.maximum(claimed, _weight(model)) < _MIXED, DATA, BLEND)
    basis = np.where(guessed, BEYOND, basis if model.n else CLAIM)
    frame = pd.DataFrame(
        {
            "persona_id": running["persona_id"].to_numpy(),
            "stage": running["status"].to_numpy(),
            "in_stage_h": mine["min_h"].to_numpy()[last],
            "age_h": np.maximum(age, 0.0),
            **dict(zip(SHARES, moments, strict=True)),
            "chance_done": chance,
            "basis": basis,
            "n": model.n,
        }
    )
    kinds = {"persona_id": "str", "stage": "str", "basis": "str", "n": "int64"}
    return frame.astype(kinds).sort_values(["p50_at", "persona_id"], ignore_index=True)


def _supposed(model: Model) -> Iterator[tuple[Model, Flags]]:
    """The model for each clock that the reviewers may have, and which draws it has; ours first."""
    if not model.reviews:
        yield model, np.ones(_DRAWS, dtype=bool)
        return
    place = (np.random.default_rng(21).permutation(_DRAWS) + 0.5) / _DRAWS
    least = 0.0
    for chance, review in model.reviews:
        known = (*model.sojourns[:_REVIEW], review, *model.sojourns[_REVIEW + 1 :])
        yield replace(model, sojourns=known), (place > least) & (place <= least + chance)
        least += chance


def _weight(model: Model) -> float:
    """How much of the model is the vendor's claim."""
    weight = stage_model.claim_weight(model.n)
    return weight / (weight + model.n)


def _paths(
    model: Model,
    stage: Codes,
    begin: Floats,
    seen: Floats,
    pace: tuple[Floats, Floats],
    wanted: Flags,
) -> tuple[Floats, Codes]:
    """A row of ends for each persona, and the piece of its sojourn that it has come to.

    A persona is in ``stage`` since ``begin`` and was last seen there at ``seen``; ``wanted`` says
    which of the draws are.
    """
    from scipy.special import ndtr, ndtri

    claim = _weight(model)
    # The same chances for each persona and each time, so that ranges do not jump about.
    rng = np.random.default_rng(20)
    even = np.array([rng.permutation(_DRAWS) for _ in range(len(model.sojourns) + 2)])
    account, life, *own = ndtri((even[:, wanted] + 0.5) / _DRAWS)
    mean, spread = (np.sqrt((1 - claim) * model.alike) * part[:, None] for part in pace)
    common = np.sqrt(claim) * account + mean + spread * life
    alone = np.sqrt((1 - claim) * (1 - model.alike))
    scale = np.sqrt(claim + spread**2 + alone**2)

    ends = np.empty((stage.size, account.size))
    follows = np.empty((stage.size, account.size), dtype="int64")
    piece = np.empty(stage.size, dtype="int64")
    for number, sojourn in enumerate(model.sojourns):
        rows = stage == number
        if not rows.any():
            continue
        start = sojourn.clock.reading(begin[rows])
        age = sojourn.clock.reading(seen[rows]) - start
        # What is left of the sojourn, seen from the pace of this life.
        still = ndtri(np.maximum(sojourn.survival(age), _LEAST))[:, None]
        left = ndtr((still + mean[rows]) / scale[rows])
        drawn = (common[rows] + alone * own[number] - mean[rows]) / scale[rows]
        share = ndtr(ndtri(left * ndtr(-drawn)) * scale[rows] - mean[rows])
        took, follows[rows] = sojourn.leaving(np.minimum(share, ndtr(still)))
        ends[rows] = sojourn.clock.moment(start[:, None] + took)
        piece[rows] = np.searchsorted(sojourn.time, age, side="right")

    grid = np.linspace(-_FURTHEST, _FURTHEST, _STEPS)
    for _ in range(_PASSES):
        for number, sojourn in enumerate(model.sojourns):
            row, draw = np.nonzero(follows == number)
            if not row.size:
                continue
            score = common[row, draw] + alone * own[number][draw]
            place = np.clip((score + _FURTHEST) * (_STEPS - 1) / (2 * _FURTHEST), 0, _STEPS - 1)
            took, goes = sojourn.leaving(ndtr(-grid))
            time = sojourn.clock.reading(ends[row, draw])
            ends[row, draw] = sojourn.clock.moment(time + np.interp(score, grid, took))
            follows[row, draw] = goes[place.astype("int64")]
    return ends, piece


def _ranges(ends: Floats, now_h: float, age: Floats) -> tuple[list[Floats], Flags]:
    """The percentiles of the ends, and where too few of them are still to come to tell.

    An end before now is not ruled out, as nobody has looked since.
    """
    few = (ends > now_h).sum(axis=1) < _LEAST_DRAWS
    found = np.quantile(ends, list(SHARES.values()), axis=1, method="hazen")
    left = np.array([(1 - share) ** (-1 / stage_model.TAIL) - 1 for share in SHARES.values()])
    guess = now_h + np.maximum(age, 1.0) * left[:, None]
    return list(np.where(few, guess, found)), few


def _pace(model: Model, seen: Spans) -> tuple[Floats, Floats]:
    """How slow each life has been so far, as the mean and spread of a normal score."""
    count, total, _ = _scores(model.sojourns, seen)
    rest = 1 - model.alike
    precision = rest + count * model.alike
    return np.sqrt(model.alike) * total / precision, np.sqrt(rest / precision)


def _scores(found: tuple[Sojourn, ...], seen: Spans) -> tuple[Floats, Floats, Floats]:
    """Of each life the number of its finished sojourns, the sum of their normal scores, of squares.

    The score of a sojourn is that of the share of sojourns in its stage that are shorter.
    """
    from scipy.special import ndtri

    score = np.zeros(seen.stage.size)
    blur = seen.entered[1] - seen.entered[0] + seen.left[1] - seen.left[0]
    counts = seen.watched & seen.ended
    for number, sojourn in enumerate(found):
        rows = counts & (seen.stage == number)
        hours = seen.end[rows] - seen.begin[rows]
        if rows.any() and np.median(blur[rows]) > _BLURRED * np.median(hours):
            counts &= ~rows
            continue
        took = sojourn.clock.reading(seen.end[rows]) - sojourn.clock.reading(seen.begin[rows])
        score[rows] = -ndtri(np.clip(sojourn.survival(np.maximum(took, 0.0)), 0.001, 0.999))
    size = len(seen.ids)
    score *= counts
    count, total, squares = (
        np.bincount(seen.persona, each, size).astype("float64")
        for each in (counts, score, score**2)
    )
    return count, total, squares


def _alike(found: tuple[Sojourn, ...], seen: Spans) -> float:
    """The correlation of the scores of one life, as far as it is beyond chance."""
    count, total, squares = _scores(found, seen)
    pairs = float((count * (count - 1)).sum()) / 2
    if pairs < _LEAST_PAIRS:
        return 0.0
    mean = float((total**2 - squares).sum()) / 2 / pairs
    return float(np.clip(mean - _NORMAL_P95 / np.sqrt(pairs), 0.0, 0.9))


def _chances(seen: Spans, found: tuple[Sojourn, ...], finished: Flags) -> tuple[Floats, ...]:
    """For each stage the chance of done for who leaves it from each of its pieces on."""
    size = len(found)
    share = np.zeros((size, len(seen.names)))
    for number, sojourn in enumerate(found):
        mass = np.diff(sojourn.gone, prepend=0.0)
        told = ~sojourn.claimed if not sojourn.claimed.all() else np.ones(mass.size, dtype=bool)
        share[number] = np.bincount(sojourn.follows, mass * told, len(seen.names))
    share /= share.sum(axis=1, keepdims=True)
    done = share[:, seen.names.index(ENDS[0])]
    # Stages that follow each other in a circle would have no solution.
    reached = np.linalg.solve((1 + 1e-9) * np.eye(size) - share[:, :size], done)
    by_status = np.append(reached, [1.0, 0.0, 0.0])
    chances = []
    for number, sojourn in enumerate(found):
        lives = int(finished[np.unique(seen.persona[seen.stage == number])].sum())
        mass = np.diff(sojourn.gone, prepend=0.0) * ~sojourn.claimed
        beyond, count = _from_here_on(mass), _from_here_on((~sojourn.claimed).astype("float64"))
        good = _from_here_on(mass * by_status[sojourn.follows])
        later = np.divide(good, beyond, out=np.zeros_like(good), where=beyond > 0)
        own = (count * later + _LIKE_THE_STAGE * reached[number]) / (count + _LIKE_THE_STAGE)
        # Laplace's rule of succession: few lives prove neither always nor never.
        chances.append((lives * own + 1) / (lives + 2) if lives else np.full(own.size, np.nan))
    return tuple(chances)


def _from_here_on(values: np.ndarray[Any, Any]) -> Floats:
    """The sums of the values from each one on, and 0 after the last."""
    return np.append(np.cumsum(values[::-1])[::-1], 0.0)
