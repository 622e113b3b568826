"""What will become of a persona: drawn once, stored, and then only computed. Pure.

The tables are the sandbox's own invention, shaped so that a life that ends as done takes the two
to five days of which the vendor speaks.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from avatarkit.estimates.business_hours import BusinessHours
from avatarkit.models import STAGES, ProcessStatus

MEDIAN_H: Mapping[ProcessStatus, float] = MappingProxyType(
    {
        ProcessStatus.PENDING: 2.0,
        ProcessStatus.PROCESSING: 5.0,
        ProcessStatus.VOICE_CREATING: 4.0,
        ProcessStatus.VIDEO_VALIDATING: 4.0,
        ProcessStatus.CROP_AND_MATTE: 8.0,
        ProcessStatus.REVIEWING: 12.0,
    }
)
"""The median of each stage in hours, of the review in office hours.

It is that of the draws; lives outside the two limits are drawn again.
"""

SIGMA = 0.4
"""The spread of every stage: the standard deviation of the logarithm of its hours."""

OFFICE = BusinessHours(opens_h=9, closes_h=18, utc_offset_h=-8.0)
"""When a review goes on: Monday to Friday, 9 to 18 o'clock in the vendor's own time zone."""

LONGEST_AUTOMATIC_H = 44.0
"""All stages before the review together: what is longer might leave it no time on a weekend."""

SHORTEST_H, LONGEST_H = 48.0, 120.0
"""Source: "It may take up to 2 ~ 5 days to create a custom avatar." (the contract)

Nights and weekends included; whatever the weekday of its creation, a life of that length exists.
"""


class Scenario(StrEnum):
    """How a life can go; the label ``sandbox:`` and its name asks for it."""

    DONE = "done"
    FAILED = "failed"
    REJECTED = "rejected"
    STUCK = "stuck"
    UNKNOWN_STATUS = "unknown-status"
    SLOW_REVIEW = "slow-review"
    SKIPS_STAGES = "skips-stages"


LABELS: Mapping[str, Scenario] = MappingProxyType(
    {f"sandbox:{scenario.value}": scenario for scenario in Scenario}
)
"""Outcomes on demand, as test cards are for payments."""

SHARES: Mapping[Scenario, float] = MappingProxyType(
    {Scenario.DONE: 0.85, Scenario.FAILED: 0.08, Scenario.REJECTED: 0.07}
)
"""How personas without such a label live."""

FAILURES: tuple[tuple[ProcessStatus, float, str], ...] = (
    (ProcessStatus.PROCESSING, 0.2, "The video could not be processed."),
    (ProcessStatus.VOICE_CREATING, 0.2, "No clear voice was found in the video."),
    (ProcessStatus.VIDEO_VALIDATING, 0.4, "The face is not visible in every part of the video."),
    (ProcessStatus.CROP_AND_MATTE, 0.2, "The person could not be separated from the background."),
)
"""The stage in which a life fails, its weight, and the reason."""

REJECTIONS = (
    "The consent video does not match the person in the footage.",
    "The consent statement is incomplete.",
    "The footage does not meet the content guidelines.",
)

STUCK_IN = ProcessStatus.PROCESSING
"""The stage that ``sandbox:stuck`` never leaves."""

UNHEARD_OF = "quality_check"
"""The status of ``sandbox:unknown-status``: the second half of ``crop_and_matte``."""

SKIPPED = (ProcessStatus.VOICE_CREATING, ProcessStatus.CROP_AND_MATTE)
"""What ``sandbox:skips-stages`` never shows; their time passes in the stage before."""

SLOW_REVIEW_H = 45.0
"""Office hours by which the review of ``sandbox:slow-review`` is longer: one working week."""

_HOUR = timedelta(hours=1)
_TRIES = 1000

Stages = tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Script:
    """One life: the stages with their hours, in order, then ``end``, for ``reason`` or None.

    ``end`` is a stage itself in a life that never comes to an end.
    """

    stages: Stages
    end: str
    reason: str | None

    def failing(self, reason: str) -> Script:
        """The same life with a flaw in the video: it gets no further than ``video_validating``.

        It fails at the end of that stage, for ``reason``.
        """
        names = [status for status, _ in self.stages]
        if ProcessStatus.VIDEO_VALIDATING not in names:
            return self
        count = names.index(ProcessStatus.VIDEO_VALIDATING) + 1
        return Script(self.stages[:count], ProcessStatus.FAILED.value, reason)

    def to_json(self) -> dict[str, Any]:
        """The script as JSON values; ``from_json`` reads them."""
        return {"stages": [list(s) for s in self.stages], "end": self.end, "reason": self.reason}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Script:
        """The script that ``to_json`` wrote. Raises ``ValueError`` or the like otherwise."""
        stages = tuple((str(status), float(hours)) for status, hours in value["stages"])
        if not all(math.isfinite(hours) and hours >= 0 for _, hours in stages):
            raise ValueError("A stage takes a finite time.")
        return cls(stages, str(value["end"]), value["reason"])


@dataclass(frozen=True)
class Moment:
    """Where a life stands: its status, since when, and the reason once it has failed."""

    status: str
    since: datetime
    reason: str | None


def scenario_of(labels: Iterable[str]) -> Scenario | None:
    """The scenario that the first such label asks for, or None."""
    return next((LABELS[label] for label in labels if label in LABELS), None)


def draw(persona_id: str, created_at: datetime, *, scenario: Scenario | None = None) -> Script:
    """The life of the persona of that id; the same arguments always give the same.

    The hours of a stage depend on the id alone, and those of the review, which rests at night and
    on weekends, on when it begins too; neither depends on ``scenario``, ``slow-review`` aside.
    """
    rng = random.Random(f"life of {persona_id}")  # noqa: S311 - the same life each time
    drawn = rng.choices(list(SHARES), weights=list(SHARES.values()))[0]
    stage, _, failure = rng.choices(FAILURES, weights=[weight for _, weight, _ in FAILURES])[0]
    rejection = rng.choice(REJECTIONS)
    hours = _hours(rng, created_at)
    full = tuple((each.value, hours[each]) for each in STAGES)
    match scenario or drawn:
        case Scenario.FAILED:
            last, end, reason = stage, ProcessStatus.FAILED, failure
            return Script(full[: STAGES.index(last) + 1], end.value, reason)
        case Scenario.REJECTED:
            return Script(full, ProcessStatus.REJECTED.value, rejection)
        case Scenario.STUCK:
            return Script(full[: STAGES.index(STUCK_IN)], STUCK_IN.value, None)
        case Scenario.UNKNOWN_STATUS:
            full = _with_unheard_of(full)
        case Scenario.SKIPS_STAGES:
            full = _skipping(full)
        case Scenario.SLOW_REVIEW:
            full = _slow(full, created_at)
    return Script(full, ProcessStatus.DONE.value, None)


def moment(script: Script, created_at: datetime, now: datetime) -> Moment:
    """Where that life stands at ``now``. ``since`` is never later than ``now``.

    Before ``created_at`` it stands where it begins.
    """
    since = created_at
    for status, hours in script.stages:
        until = since + timedelta(hours=hours)
        if now < until:
            return Moment(status, since, None)
        since = until
    return Moment(script.end, since, script.reason)


def left_at(script: Script, created_at: datetime, stage: ProcessStatus) -> datetime | None:
    """When that life leaves ``stage``, or None when it never does or never gets there."""
    since = created_at
    for status, hours in script.stages:
        since += timedelta(hours=hours)
        if status == stage:
            return since
    return None


def total_h(script: Script) -> float:
    """Hours from creation to the end."""
    return sum(hours for _, hours in script.stages)


def _hours(rng: random.Random, created_at: datetime) -> dict[ProcessStatus, float]:
    automatic: list[ProcessStatus] = [each for each in STAGES if each != ProcessStatus.REVIEWING]
    # Drawn again rather than cut off, so that lives do not pile up at the limits.
    for _ in range(_TRIES):
        hours = {each: _drawn(rng, each) for each in automatic}
        if sum(hours.values()) <= LONGEST_AUTOMATIC_H:
            break
    begins = created_at + sum(hours.values()) * _HOUR
    for _ in range(_TRIES):
        office_h = _drawn(rng, ProcessStatus.REVIEWING)
        review_h = (OFFICE.after(begins, office_h) - begins) / _HOUR
        if SHORTEST_H <= sum(hours.values()) + review_h <= LONGEST_H:
            break
    else:  # pragma: no cover - on the worst weekday one in ten fits
        review_h = max(1.0, SHORTEST_H - sum(hours.values()))
    return {**hours, ProcessStatus.REVIEWING: review_h}


def _drawn(rng: random.Random, stage: ProcessStatus) -> float:
    return rng.lognormvariate(math.log(MEDIAN_H[stage]), SIGMA)


def _with_unheard_of(stages: Stages) -> Stages:
    found: list[tuple[str, float]] = []
    for status, hours in stages:
        if status == ProcessStatus.CROP_AND_MATTE:
            found += [(status, hours / 2), (UNHEARD_OF, hours / 2)]
        else:
            found.append((status, hours))
    return tuple(found)


def _skipping(stages: Stages) -> Stages:
    found: list[tuple[str, float]] = []
    for status, hours in stages:
        if status in SKIPPED:
            before, passed = found[-1]
            found[-1] = (before, passed + hours)
        else:
            found.append((status, hours))
    return tuple(found)


def _slow(stages: Stages, created_at: datetime) -> Stages:
    *automatic, (status, review_h) = stages
    begins = created_at + sum(hours for _, hours in automatic) * _HOUR
    ends = OFFICE.after(begins + review_h * _HOUR, SLOW_REVIEW_H)
    return (*automatic, (status, (ends - begins) / _HOUR))
