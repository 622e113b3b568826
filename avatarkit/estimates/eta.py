"""When each running persona will be ready, as a range, and the chance that it ends as done.

A life is followed stage by stage from where it was last seen. How long a stage takes, on the clock
that its own ends have taught, and which status follows it, is what earlier personas showed, those
still running included as censored. Before there is any history the vendor's claim stands in, and is
called that; it gives way as history grows. While the reviewers' business hours are not known, some
of the drawn futures have business hours, according to the evidence for them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd

from avatarkit.estimates import durations, simulation, stage_model, work_clock
from avatarkit.estimates.simulation import DRAWS, SHARES
from avatarkit.estimates.stage_model import ENDS, StageModel, VisitArrays
from avatarkit.history import stages
from avatarkit.history.frames import Flags, Floats, require_aware
from avatarkit.models import ProcessStatus

CLAIM = "the vendor's claim, not your data"
BLEND = "the vendor's claim and your data"
DATA = "your data"
BEYOND = "a guess: longer in its stage than any before"
"""The four values of ``basis``."""

RECENT = 3_000
"""The estimates rest on the personas that began last, up to this many."""

COLUMNS = (
    *("persona_id", "stage", "in_stage_h", "age_h", *SHARES),
    *("chance_done", "late", "basis", "n"),
)

SOONEST = timedelta(seconds=1)
"""A range begins this long after now at the earliest, as what may have ended unseen."""

_REVIEW = stage_model.KNOWN.index(ProcessStatus.REVIEWING.value)
_BLEND_SHARE = 0.1
_PRIOR_LIVES = 5.0


@dataclass(frozen=True)
class Model:
    """What the history teaches; made by ``fit_model``.

    ``names`` are the stages and the three ends, in the order of the codes in ``stages``, one for
    each stage. ``chances[stage][i]`` is the chance of done for a persona that leaves from the i-th
    piece of the stage's model on. ``n`` is the number of finished lives. ``reviews`` are the models
    of the review on each candidate clock, with their probabilities, while its own is not known;
    then empty.
    """

    names: tuple[str, ...]
    stages: tuple[StageModel, ...]
    chances: tuple[Floats, ...]
    n: int
    reviews: tuple[tuple[float, StageModel], ...]

    @property
    def claim(self) -> float:
        """How much of the model is the vendor's claim, 0 to 1."""
        weight = stage_model.claim_weight(self.n)
        return weight / (weight + self.n)


def arrivals(
    sightings: pd.DataFrame,
    *,
    now: datetime,
    personas: pd.DataFrame | None = None,
    late_after: pd.Series[float] | None = None,
    visits: pd.DataFrame | None = None,
    lives: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Return for every running persona when it will end, in 8 of 10 cases, and whether as done.

    The same log and moment give the same ranges. How well they do: ``bench/eta.py``.

    Args:
        sightings: ``store.sightings()``. What was first seen after ``now`` is not used.
        now: The moment on the session's clock.
        personas: ``store.personas()``: when those found midway were created, and which are
            ``gone``; those have no row.
        late_after: The hours of ``durations.late_after`` or ``Fit.late_after``, if they are there
            already; they take longer than all the rest.
        visits: The frame of ``stages.visits`` of these sightings and personas, if it is there.
        lives: The frame of ``stages.lives`` of these sightings and personas, if it is there.

    Returns:
        A row a running persona, by ``p50_at``, then ``persona_id``; index 0…n-1; an empty frame has
        the same columns and dtypes:

        - ``persona_id``, ``stage`` (the status last seen): text.
        - ``in_stage_h``, ``age_h``: float64 hours in that stage so far, at least, as last seen; and
          since its creation, at least.
        - ``p10_at``, ``p50_at``, ``p90_at``: datetime64[us, UTC], the percentiles of the moment of
          the end, of whatever kind; in order, later than now.
        - ``chance_done``: float64, that the end is done; NaN while no finished life has been in the
          stage, as the vendor claims nothing of it. With few lives it is near a half.
        - ``late``: bool, longer in its stage than 95 % of all visits (``durations.late_after``).
        - ``basis``: text; ``CLAIM`` (without a single finished life), ``DATA``, ``BLEND`` (the
          claim weighs more than a tenth in it), or ``BEYOND``.
        - ``n``: int64, the finished lives that it rests on, of the last 3,000 personas.

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
    return found.assign(late=late)[list(COLUMNS)]


def fit_model(visits: pd.DataFrame, lives: pd.DataFrame) -> Model:
    """Return the model that these lives teach.

    Args:
        visits: The frame of ``stages.visits``.
        lives: The frame of ``stages.lives`` of the same moment.
    """
    if len(lives) > RECENT:
        began = work_clock.since_monday(lives["began_before"])
        lives = lives.iloc[np.sort(np.argsort(began, kind="stable")[-RECENT:])]
        visits = visits.loc[visits["persona_id"].isin(lives["persona_id"]).to_numpy()]
    ended = (lives["state"] != stages.RUNNING).to_numpy(dtype=bool)
    # Without an end the claim alone counts, so that its name is true.
    arrays = stage_model.visit_arrays(visits if ended.any() else visits.iloc[:0], lives)
    count = len(arrays.names) - len(ENDS)
    models = tuple(stage_model.fit_stage(arrays, code) for code in range(count))
    finished = np.isin(arrays.ids, lives["persona_id"].to_numpy()[ended])
    # Few lives have shown neither nights nor weekends; the claim alone includes both.
    unknown = ended.any() and models[_REVIEW].clock.is_flat
    return Model(
        names=arrays.names,
        stages=models,
        chances=_chances(arrays, models, finished),
        n=int(ended.sum()),
        reviews=stage_model.candidates(arrays, _REVIEW) if unknown else (),
    )


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
    ends, pieces = np.empty((stage.size, DRAWS)), []
    for models, chosen in _on_each_clock(model):
        ends[:, chosen], piece = simulation.draw_ends(
            models, model.claim, (stage, began, seen), chosen
        )
        pieces.append(piece)

    age = now_h - work_clock.since_monday(running["began_before"])
    ranges, guessed = simulation.ranges(ends, now_h, age)
    moments = [
        found.where(found > soonest, soonest) for found in map(work_clock.to_moments, ranges)
    ]
    at = list(zip(stage, pieces[0], strict=True))
    claimed = np.array([model.stages[code].claim_share[piece] for code, piece in at], "float64")
    guessed |= np.array([model.stages[code].time.size == piece for code, piece in at], dtype=bool)
    chance = np.array([model.chances[code][piece] for code, piece in at], dtype="float64")
    basis = np.where(np.maximum(claimed, model.claim) < _BLEND_SHARE, DATA, BLEND)
    basis = np.where(guessed, BEYOND, basis if model.n else CLAIM)
    frame = pd.DataFrame(
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
    """Yield the models with each clock that the reviewers may have, the wall clock first.

    With each come the draws that have it, as many as it is probable.
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
    """Return for each stage the chance of done from each of its model's pieces on."""
    size = len(models)
    share = np.zeros((size, len(visits.names)))
    for code, model in enumerate(models):
        mass = np.diff(model.cdf, prepend=0.0)
        counted = ~model.claimed if not model.claimed.all() else np.ones(mass.size, dtype=bool)
        share[code] = np.bincount(model.follows, mass * counted, len(visits.names))
    share /= share.sum(axis=1, keepdims=True)
    done = share[:, visits.names.index(ENDS[0])]
    # Stages that follow each other in a circle would have no solution.
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
        # Laplace's rule of succession: few lives prove neither always nor never.
        chances.append((lives * own + 1) / (lives + 2) if lives else np.full(own.size, np.nan))
    return tuple(chances)


def _sums_from(values: np.ndarray[Any, Any]) -> Floats:
    """Return the sums of the values from each one on, and 0 after the last."""
    return np.append(np.cumsum(values[::-1])[::-1], 0.0)
