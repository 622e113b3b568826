"""Predict when each running persona will end, as a range, and the chance that it ends as done.

Futures are drawn stage by stage from the stage in which a persona was last seen. How long a stage
takes (on a clock learned from when it ends) and which status follows it are estimated from earlier
personas, with those that are still running as censored. Without history the vendor's claim of the
total time is used, and ``basis`` says so; then a part of the futures is drawn from it that falls
with each batch that ends, as lives sent together are one piece of evidence. While the reviewers'
business hours are not known, a part of the drawn futures assumes some, in proportion to the
evidence for them; that this helps is known from simulations alone. When the pace has clearly
changed, the lives before the change are forgotten.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd

from avatarkit.estimates import change, claim, durations, simulation, stage_model, work_clock
from avatarkit.estimates.semi_markov import MIN_FINISHED
from avatarkit.estimates.simulation import DRAWS, SHARES
from avatarkit.estimates.stage_model import ENDS, StageModel, VisitArrays
from avatarkit.history import groups, stages
from avatarkit.history.frames import Flags, Floats, Frame, require_aware
from avatarkit.models import ProcessStatus

__all__ = [
    *("BEYOND", "BLEND", "CLAIM", "COLUMNS", "DATA", "RECENT", "SOONEST", "Model"),
    *("arrivals", "fit_model", "predict"),
]

CLAIM = "the vendor's claim, not your data"
BLEND = "the vendor's claim and your data"
DATA = "your data"
BEYOND = "a guess: longer in its stage than any before"
"""The four values of ``basis``."""

RECENT = 3_000
"""The model is fitted to at most this many personas, those that began last."""

COLUMNS = (
    *("persona_id", "stage", "in_stage_h", "age_h", *SHARES),
    *("chance_done", "late", "late_after_h", "basis", "n"),
)

SOONEST = timedelta(seconds=1)
"""The earliest beginning of a range, after now: what may have ended unseen begins there."""

_REVIEW = stage_model.KNOWN.index(ProcessStatus.REVIEWING.value)
_BLEND_SHARE = 0.1
_PRIOR_LIVES = 5.0


@dataclass(frozen=True)
class Model:
    """The model of all stages; made by ``fit_model``.

    ``names`` are the stages and the three ends, in the order of the codes in ``stages``, one for
    each stage. ``chances[stage][i]`` is the chance of done for a persona that leaves from the i-th
    piece of the stage's model on. ``n`` is the number of finished lives, ``batches`` that of the
    batches that they were sent in. ``reviews`` are the models of the review on each candidate
    clock, with their probabilities, while its own is not known; then empty. ``claims`` are the
    vendor's claim of the total time on each of these clocks, or on the review's own.
    """

    names: tuple[str, ...]
    stages: tuple[StageModel, ...]
    chances: tuple[Floats, ...]
    n: int
    batches: int
    reviews: tuple[tuple[float, StageModel], ...]
    claims: tuple[StageModel, ...]

    @property
    def claim(self) -> float:
        """The weight of the vendor's claim in the model, 0 to 1; 1 while few lives have ended."""
        if self.n < MIN_FINISHED:
            return 1.0
        weight = claim.weight(self.batches)
        return weight / (weight + self.batches)


def arrivals(
    sightings: pd.DataFrame,
    *,
    now: datetime,
    personas: pd.DataFrame | None = None,
    late_after: pd.Series[float] | None = None,
    visits: pd.DataFrame | None = None,
    lives: pd.DataFrame | None = None,
    carry: Iterable[str] = (),
) -> pd.DataFrame:
    """Return for every running persona an 80 % range of its end, and the chance of done.

    The same log and moment give the same ranges. ``bench/eta.py`` measures their calibration.

    Args:
        sightings: ``store.sightings()``. What was first seen after ``now`` is not used.
        now: The moment on the session's clock.
        personas: ``store.personas()``: when those found midway were created, and which are
            ``gone`` or not ``followed``; those have no row.
        late_after: The hours of ``durations.late_after`` or ``Fit.late_after``, if computed before;
            they take longer than everything else here.
        visits: The frame of ``stages.visits`` of these sightings and personas, if computed before.
        lives: The frame of ``stages.lives`` of these sightings and personas, if computed before.
        carry: Columns of ``personas`` to add at the end, such as ``["creator_name", "labels"]``.

    Returns:
        A row a running persona, by ``p50_at``, then ``persona_id``; index 0…n-1; an empty frame has
        the same columns and dtypes:

        - ``persona_id``, ``stage`` (the status last seen): text.
        - ``in_stage_h``, ``age_h``: float64 hours, lower bounds: in that stage until the last poll,
          and since its creation.
        - ``p10_at``, ``p50_at``, ``p90_at``: datetime64[us, UTC], the percentiles of the moment at
          which it ends as done, failed or rejected; in order, later than now.
        - ``chance_done``: float64, the chance that the end is done; NaN while no finished life has
          been in the stage, as the vendor makes no claim about it. Near 0.5 with few lives.
        - ``late``: bool, longer in its stage than 95 % of all visits.
        - ``late_after_h``: float64 hours, the limit: that of its stage in
          ``durations.late_after``; NaN where that is not known, and then none is late.
        - ``basis``: text; ``CLAIM`` (without a single finished life), ``DATA``, ``BLEND`` (the
          claim has a weight of more than a tenth), or ``BEYOND``.
        - ``n``: int64, the number of finished lives among the last 3,000 personas, since the last
          change of the vendor's pace (``change.last_change``).

    Raises:
        ValueError: ``now`` has no time zone, or a column is missing.

    Source:
        A semi-Markov process; Lagakos, Sommer and Zelen, "Semi-Markov models for partially censored
        data", Biometrika 65 (1978), 311-317.
    """
    require_aware(now)
    if visits is None:
        visits = stages.visits(sightings, now=now, personas=personas)
    if lives is None:
        lives = stages.lives(sightings, now=now, personas=personas)
    not_gone = lives.loc[~lives["gone"].to_numpy(dtype=bool)]
    found = predict(fit_model(visits, lives), visits, not_gone, now=now)
    limits = durations.late_after(visits) if late_after is None else late_after
    limit = found["stage"].map(limits).to_numpy(dtype="float64")
    late = found["in_stage_h"].to_numpy() > limit
    return groups.carry(found.assign(late=late, late_after_h=limit)[list(COLUMNS)], personas, carry)


def fit_model(visits: pd.DataFrame, lives: pd.DataFrame) -> Model:
    """Fit the model of all stages.

    Args:
        visits: The frame of ``stages.visits``.
        lives: The frame of ``stages.lives`` of the same moment.
    """
    if len(lives) > RECENT:
        visits, lives = _since(-RECENT, visits, lives)
    # Without an end only the claim counts, so that ``basis`` is true.
    known = visits if _ended(lives).any() else visits.iloc[:0]
    arrays = stage_model.visit_arrays(known, lives)
    if (changed := change.last_change(arrays)) > -np.inf:
        began = work_clock.since_monday(lives["began_before"])
        visits, lives = _since(-int((began >= changed).sum()), visits, lives)
        arrays = stage_model.visit_arrays(visits, lives)
    ended = _ended(lives)
    count = len(arrays.names) - len(ENDS)
    models = tuple(stage_model.fit_stage(arrays, code) for code in range(count))
    finished = np.isin(arrays.ids, lives["persona_id"].to_numpy()[ended])
    batch = claim.batches(work_clock.since_monday(lives["began_before"]))
    # A few lives may not cover nights and weekends; the claim includes both.
    unknown = models[_REVIEW].clock.is_flat
    reviews = stage_model.candidates(arrays, _REVIEW) if unknown else ()
    clocks = [review.clock for _, review in reviews] or [models[_REVIEW].clock]
    return Model(
        names=arrays.names,
        stages=models,
        chances=_chances(arrays, models, finished),
        n=int(ended.sum()),
        batches=np.unique(batch[ended]).size,
        reviews=reviews,
        claims=tuple(stage_model.total_claim(lives, clock) for clock in clocks),
    )


def _since(
    first: int, visits: pd.DataFrame, lives: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return what belongs to the lives from that position on, in the order of their beginnings."""
    began = work_clock.since_monday(lives["began_before"])
    lives = lives.iloc[np.sort(np.argsort(began, kind="stable")[first:])]
    return visits.loc[visits["persona_id"].isin(lives["persona_id"]).to_numpy()], lives


def _ended(lives: pd.DataFrame) -> Flags:
    return np.asarray(lives["state"] != stages.RUNNING, dtype=bool)


def predict(
    model: Model, visits: pd.DataFrame, lives: pd.DataFrame, *, now: datetime
) -> pd.DataFrame:
    """Return the frame of ``arrivals`` without ``late``.

    Args:
        model: A model, which may be older than the visits.
        visits: The frame of ``stages.visits``.
        lives: The frame of ``stages.lives`` of the same moment.
        now: The moment, aware.
    """
    now_h = float(work_clock.since_monday(pd.Series([now]))[0])
    soonest = pd.Timestamp(now).tz_convert("UTC") + SOONEST
    running = lives.loc[(lives["state"] == stages.RUNNING).to_numpy(dtype=bool)]
    visits = visits.loc[visits["persona_id"].isin(running["persona_id"]).to_numpy()]
    arrays = stage_model.visit_arrays(visits, lives, model.names)
    last = (visits["state"] == stages.RUNNING).to_numpy(dtype=bool)
    stage, began, seen = arrays.stage[last], arrays.begin[last], arrays.end[last]
    created = work_clock.since_monday(running["began_before"])
    place = (stage, began, seen)
    ends, piece = np.empty((stage.size, DRAWS)), simulation.pieces(model.stages, place)
    # The claim says nothing about those that are longer in their stage than any before.
    beyond = piece == np.array([each.time.size for each in model.stages])[stage]
    by_claim = np.random.default_rng(23).permutation(DRAWS) < round(model.claim * DRAWS)
    for (models, chosen), total in zip(_on_each_clock(model), model.claims, strict=True):
        if beyond.any() or not by_claim.all():
            ends[:, chosen] = simulation.draw_ends(models, model.claim, place, chosen)
        claimed = chosen & by_claim
        ends[np.ix_(~beyond, claimed)] = simulation.draw_claimed(
            total, created[~beyond], seen[~beyond], claimed
        )

    age = now_h - created
    ranges, guessed = simulation.ranges(ends, now_h, age)
    moments = [
        found.where(found > soonest, soonest) for found in map(work_clock.to_moments, ranges)
    ]
    at = list(zip(stage, piece, strict=True))
    share = np.array([model.stages[code].claim_share[piece] for code, piece in at], "float64")
    guessed |= beyond
    chance = np.array([model.chances[code][piece] for code, piece in at], dtype="float64")
    basis = np.where(np.maximum(share, model.claim) < _BLEND_SHARE, DATA, BLEND)
    basis = np.where(guessed, BEYOND, basis if model.n else CLAIM)
    frame = Frame(
        {
            "persona_id": running["persona_id"].to_numpy(),
            "stage": running["status"].to_numpy(),
            "in_stage_h": visits["min_h"].to_numpy()[last],
            "age_h": np.maximum(age, 0.0),
            **dict(zip(SHARES, moments, strict=True)),
            "chance_done": chance,
            "basis": basis,
            "n": model.n,
        }
    )
    kinds = {"persona_id": "str", "stage": "str", "basis": "str", "n": "int64"}
    return frame.astype(kinds).sort_values(["p50_at", "persona_id"], ignore_index=True)


def _on_each_clock(model: Model) -> Iterator[tuple[tuple[StageModel, ...], Flags]]:
    """Yield the models for each clock that the reviewers may have, the wall clock first.

    With each, yield which draws use it: a share equal to the clock's probability.
    """
    place = (np.random.default_rng(21).permutation(DRAWS) + 0.5) / DRAWS
    lower = 0.0
    for chance, review in model.reviews or [(1.0, model.stages[_REVIEW])]:
        models = (*model.stages[:_REVIEW], review, *model.stages[_REVIEW + 1 :])
        yield models, (place > lower) & (place <= lower + chance)
        lower += chance


def _chances(
    visits: VisitArrays, models: tuple[StageModel, ...], finished: Flags
) -> tuple[Floats, ...]:
    """Return for each stage the chance of done, given that it lasts to each of its pieces."""
    size = len(models)
    share = np.zeros((size, len(visits.names)))
    for code, model in enumerate(models):
        mass = np.diff(model.cdf, prepend=0.0)
        counted = ~model.claimed if not model.claimed.all() else np.ones(mass.size, dtype=bool)
        share[code] = np.bincount(model.follows, mass * counted, len(visits.names))
    share /= share.sum(axis=1, keepdims=True)
    done = share[:, visits.names.index(ENDS[0])]
    # Without the 1e-9, stages that follow each other in a circle would have no solution.
    reached = np.linalg.solve((1 + 1e-9) * np.eye(size) - share[:, :size], done)
    by_status = np.append(reached, [1.0, 0.0, 0.0])
    chances = []
    for code, model in enumerate(models):
        lives = int(finished[np.unique(visits.persona[visits.stage == code])].sum())
        mass = np.diff(model.cdf, prepend=0.0) * ~model.claimed
        beyond, count = _sums_from(mass), _sums_from((~model.claimed).astype("float64"))
        good = _sums_from(mass * by_status[model.follows])
        later = np.divide(good, beyond, out=np.zeros_like(good), where=beyond > 0)
        own = (count * later + _PRIOR_LIVES * reached[code]) / (count + _PRIOR_LIVES)
        # Laplace's rule of succession: a few lives do not make a chance 0 or 1.
        chances.append((lives * own + 1) / (lives + 2) if lives else np.full(own.size, np.nan))
    return tuple(chances)


def _sums_from(values: np.ndarray[Any, Any]) -> Floats:
    """Return the sum of the values from each position to the end, and a final 0."""
    return np.append(np.cumsum(values[::-1])[::-1], 0.0)
