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
from types import MappingProxyType
from typing import Any

from avatarkit.models import STAGES, ProcessStatus

MEDIAN_H: Mapping[ProcessStatus, float] = MappingProxyType(
    {
        ProcessStatus.PENDING: 2.0,
        ProcessStatus.PROCESSING: 5.0,
        ProcessStatus.VOICE_CREATING: 4.0,
        ProcessStatus.VIDEO_VALIDATING: 4.0,
        ProcessStatus.CROP_AND_MATTE: 8.0,
        ProcessStatus.REVIEWING: 30.0,
    }
)
"""The median of each stage in hours, before lives outside the two limits are drawn again."""

SIGMA = 0.4
"""The spread of every stage: the standard deviation of the logarithm of its hours."""

SHORTEST_H, LONGEST_H = 48.0, 120.0
"""Source: "It may take up to 2 ~ 5 days to create a custom avatar." (the contract)"""

SHARES: Mapping[ProcessStatus, float] = MappingProxyType(
    {ProcessStatus.DONE: 0.85, ProcessStatus.FAILED: 0.08, ProcessStatus.REJECTED: 0.07}
)
"""How personas without an outcome label end."""

LABELS: Mapping[str, ProcessStatus] = MappingProxyType(
    {f"sandbox:{outcome.value}": outcome for outcome in SHARES}
)
"""Outcomes on demand, as test cards are for payments."""

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

_TRIES = 200


@dataclass(frozen=True)
class Script:
    """One life: the stages with their hours, in order, then ``end``, for ``reason`` or None."""

    stages: tuple[tuple[str, float], ...]
    end: str
    reason: str | None

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


def outcome_of(labels: Iterable[str]) -> ProcessStatus | None:
    """The outcome that the first outcome label asks for, or None."""
    return next((LABELS[label] for label in labels if label in LABELS), None)


def draw(
    persona_id: str, *, outcome: ProcessStatus | None = None, flaw: str | None = None
) -> Script:
    """The life of the persona of that id; the same arguments always give the same.

    ``flaw`` says what is wrong with its video: it then fails in ``video_validating`` with that
    reason, whatever ``outcome`` asks for. The hours of a stage depend on the id alone.
    """
    rng = random.Random(f"life of {persona_id}")  # noqa: S311 - the same life each time
    hours = _hours(rng)
    drawn = rng.choices(list(SHARES), weights=list(SHARES.values()))[0]
    weights = [weight for _, weight, _ in FAILURES]
    stage, _, failure = rng.choices(FAILURES, weights=weights)[0]
    rejection = rng.choice(REJECTIONS)
    if flaw is not None:
        last, end, reason = ProcessStatus.VIDEO_VALIDATING, ProcessStatus.FAILED, flaw
    else:
        end = outcome or drawn
        if end is ProcessStatus.FAILED:
            last, reason = stage, failure
        elif end is ProcessStatus.REJECTED:
            last, reason = ProcessStatus.REVIEWING, rejection
        else:
            return Script(_until(ProcessStatus.REVIEWING, hours), end.value, None)
    return Script(_until(last, hours), end.value, reason)


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


def total_h(script: Script) -> float:
    """Hours from creation to the end."""
    return sum(hours for _, hours in script.stages)


def _hours(rng: random.Random) -> list[float]:
    # Drawn again rather than cut off, so that lives do not pile up at the two limits.
    for _ in range(_TRIES):
        hours = [rng.lognormvariate(math.log(MEDIAN_H[stage]), SIGMA) for stage in STAGES]
        if SHORTEST_H <= sum(hours) <= LONGEST_H:
            return hours
    middle = (SHORTEST_H + LONGEST_H) / 2 / sum(hours)  # pragma: no cover - about 1 in 10**100
    return [middle * each for each in hours]  # pragma: no cover


def _until(last: ProcessStatus, hours: list[float]) -> tuple[tuple[str, float], ...]:
    count = STAGES.index(last) + 1
    return tuple((stage.value, each) for stage, each in zip(STAGES, hours, strict=True))[:count]
