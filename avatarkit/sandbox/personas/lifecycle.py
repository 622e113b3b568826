"""Draw the script of a persona, and compute its status from the script. Pure functions.

The tables are invented so that a persona that ends as done takes the two to five days that the
vendor states.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated

from pydantic import AllowInfNan, NonNegativeFloat

from avatarkit.estimates.business_hours import BusinessHours
from avatarkit.models import STAGES, ProcessStatus

MEDIAN_H: Mapping[ProcessStatus, float] = {
    ProcessStatus.PENDING: 2.0,
    ProcessStatus.PROCESSING: 5.0,
    ProcessStatus.VOICE_CREATING: 4.0,
    ProcessStatus.VIDEO_VALIDATING: 4.0,
    ProcessStatus.CROP_AND_MATTE: 8.0,
    ProcessStatus.REVIEWING: 12.0,
}
"""The median hours of each stage as drawn; those of the review are business hours.

Scripts outside ``SHORTEST_H`` to ``LONGEST_H`` are drawn again.
"""

SIGMA = 0.4
"""The standard deviation of the logarithm of the hours of every stage."""

REVIEW_HOURS = BusinessHours(opens_h=9, closes_h=18, utc_offset_h=-8.0)
"""The business hours of reviewers: Monday to Friday, 9 to 18 o'clock in the vendor's time zone."""

LONGEST_AUTOMATIC_H = 44.0
"""The longest time of the stages before the review, so that it fits into ``LONGEST_H``."""

SHORTEST_H, LONGEST_H = 48.0, 120.0
"""The limits of a whole script that ends as done, in hours, nights and weekends included.

Source: "It may take up to 2 ~ 5 days to create a custom avatar." (the contract)
"""


class Scenario(StrEnum):
    """An outcome that the label ``sandbox:<value>`` requests."""

    DONE = "done"
    FAILED = "failed"
    REJECTED = "rejected"
    STUCK = "stuck"
    UNKNOWN_STATUS = "unknown-status"
    SLOW_REVIEW = "slow-review"
    SKIPS_STAGES = "skips-stages"


LABELS: Mapping[str, Scenario] = {f"sandbox:{scenario.value}": scenario for scenario in Scenario}
"""The labels that request an outcome, like test card numbers for payments."""

SHARES: Mapping[Scenario, float] = {
    Scenario.DONE: 0.85,
    Scenario.FAILED: 0.08,
    Scenario.REJECTED: 0.07,
}
"""The shares of outcomes among personas without such a label."""

FAILURES: tuple[tuple[ProcessStatus, float, str], ...] = (
    (ProcessStatus.PROCESSING, 0.2, "The video could not be processed."),
    (ProcessStatus.VOICE_CREATING, 0.2, "No clear voice was found in the video."),
    (ProcessStatus.VIDEO_VALIDATING, 0.4, "The face is not visible in every part of the video."),
    (ProcessStatus.CROP_AND_MATTE, 0.2, "The person could not be separated from the background."),
)
"""The stages in which personas fail: stage, weight, reason."""

REJECTIONS = (
    "The consent video does not match the person in the footage.",
    "The consent statement is incomplete.",
    "The footage does not meet the content guidelines.",
)
"""The reasons of rejections."""

NO_FOOTAGE = "No footage was given."
"""The reason of a persona that was created without footage, unless a label requests an outcome."""

STUCK_STAGE = ProcessStatus.PROCESSING
"""The stage that ``sandbox:stuck`` never leaves."""

UNDOCUMENTED_STATUS = "quality_check"
"""The status that ``sandbox:unknown-status`` shows in the second half of ``crop_and_matte``."""

SKIPPED_STAGES = (ProcessStatus.VOICE_CREATING, ProcessStatus.CROP_AND_MATTE)
"""The stages that ``sandbox:skips-stages`` never shows; the stage before lasts longer instead."""

SLOW_REVIEW_H = 45.0
"""Business hours that ``sandbox:slow-review`` adds to the review: one working week."""

_HOUR = timedelta(hours=1)
_TRIES = 1000

Stages = tuple[tuple[str, Annotated[NonNegativeFloat, AllowInfNan(False)]], ...]


@dataclass(frozen=True)
class Script:
    """The future of a persona: the stages with their hours, in order, then the status ``end``.

    ``reason`` is that of a failure or rejection. A persona that never ends has a stage as ``end``.
    """

    stages: Stages
    end: str
    reason: str | None

    def failing(self, reason: str) -> Script:
        """Return the script that fails at the end of ``video_validating`` for ``reason``.

        A script without that stage is returned as it is.
        """
        names = [status for status, _ in self.stages]
        if ProcessStatus.VIDEO_VALIDATING not in names:
            return self
        count = names.index(ProcessStatus.VIDEO_VALIDATING) + 1
        return Script(self.stages[:count], ProcessStatus.FAILED.value, reason)


@dataclass(frozen=True)
class State:
    """A status, the moment it began, and the reason once the persona has failed."""

    status: str
    since: datetime
    reason: str | None


def scenario_of(labels: Iterable[str]) -> Scenario | None:
    """Return the scenario that the first label of ``LABELS`` requests, or None."""
    return next((LABELS[label] for label in labels if label in LABELS), None)


def draw(persona_id: str, created_at: datetime, *, scenario: Scenario | None = None) -> Script:
    """Return the script of a persona; the same arguments always give the same script.

    The hours of a stage depend on the id alone. Those of the review, which pauses at night and on
    weekends, also depend on when it begins. Of the scenarios only ``slow-review`` changes them.
    """
    rng = random.Random(f"life of {persona_id}")  # noqa: S311 - the same script each time
    drawn = rng.choices(list(SHARES), weights=list(SHARES.values()))[0]
    stage, _, failure = rng.choices(FAILURES, weights=[weight for _, weight, _ in FAILURES])[0]
    rejection = rng.choice(REJECTIONS)
    hours = _hours(rng, created_at)
    full = tuple((status.value, hours[status]) for status in STAGES)
    match scenario or drawn:
        case Scenario.FAILED:
            full = full[: STAGES.index(stage) + 1]
            return Script(full, ProcessStatus.FAILED.value, failure)
        case Scenario.REJECTED:
            return Script(full, ProcessStatus.REJECTED.value, rejection)
        case Scenario.STUCK:
            return Script(full[: STAGES.index(STUCK_STAGE)], STUCK_STAGE.value, None)
        case Scenario.UNKNOWN_STATUS:
            full = _with_undocumented_status(full)
        case Scenario.SKIPS_STAGES:
            full = _skipping(full)
        case Scenario.SLOW_REVIEW:
            full = _slow(full, created_at)
    return Script(full, ProcessStatus.DONE.value, None)


def state_at(script: Script, created_at: datetime, now: datetime) -> State:
    """Return the state at ``now``; before ``created_at`` it is the first one."""
    since = created_at
    for status, hours in script.stages:
        until = since + timedelta(hours=hours)
        if now < until:
            return State(status, since, None)
        since = until
    return State(script.end, since, script.reason)


def states_until(script: Script, created_at: datetime, now: datetime) -> list[State]:
    """Return all states that have begun by ``now``, in order."""
    moments = [created_at]
    for _, hours in script.stages:
        moments.append(moments[-1] + timedelta(hours=hours))
    states = [state_at(script, created_at, moment) for moment in moments if moment <= now]
    # A stage of no time was never shown.
    return [state for number, state in enumerate(states) if state not in states[:number]]


def stage_end(script: Script, created_at: datetime, stage: ProcessStatus) -> datetime | None:
    """Return when ``stage`` ends, or None when it never ends or never begins."""
    since = created_at
    for status, hours in script.stages:
        since += timedelta(hours=hours)
        if status == stage:
            return since
    return None


def _hours(rng: random.Random, created_at: datetime) -> dict[ProcessStatus, float]:
    automatic: list[ProcessStatus] = [stage for stage in STAGES if stage != ProcessStatus.REVIEWING]
    # Drawn again rather than cut off, so that scripts do not pile up at the limits.
    for _ in range(_TRIES):
        hours = {stage: _drawn(rng, stage) for stage in automatic}
        if sum(hours.values()) <= LONGEST_AUTOMATIC_H:
            break
    begins = created_at + sum(hours.values()) * _HOUR
    for _ in range(_TRIES):
        business_h = _drawn(rng, ProcessStatus.REVIEWING)
        review_h = (REVIEW_HOURS.after(begins, business_h) - begins) / _HOUR
        if SHORTEST_H <= sum(hours.values()) + review_h <= LONGEST_H:
            break
    else:  # pragma: no cover - on the worst weekday one in ten fits
        review_h = max(1.0, SHORTEST_H - sum(hours.values()))
    return {**hours, ProcessStatus.REVIEWING: review_h}


def _drawn(rng: random.Random, stage: ProcessStatus) -> float:
    return rng.lognormvariate(math.log(MEDIAN_H[stage]), SIGMA)


def _with_undocumented_status(stages: Stages) -> Stages:
    number = [status for status, _ in stages].index(ProcessStatus.CROP_AND_MATTE)
    status, hours = stages[number]
    halves = ((status, hours / 2), (UNDOCUMENTED_STATUS, hours / 2))
    return stages[:number] + halves + stages[number + 1 :]


def _skipping(stages: Stages) -> Stages:
    merged: dict[str, float] = {}
    for status, hours in stages:
        name = list(merged)[-1] if status in SKIPPED_STAGES else status
        merged[name] = merged.get(name, 0.0) + hours
    return tuple(merged.items())


def _slow(stages: Stages, created_at: datetime) -> Stages:
    *automatic, (status, review_h) = stages
    begins = created_at + sum(hours for _, hours in automatic) * _HOUR
    ends = REVIEW_HOURS.after(begins + review_h * _HOUR, SLOW_REVIEW_H)
    return (*automatic, (status, (ends - begins) / _HOUR))
