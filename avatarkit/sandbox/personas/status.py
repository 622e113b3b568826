"""Compute the current status of personas from scripts, video checks and the clock."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from avatarkit.clock import Clock, SystemClock
from avatarkit.models import TERMINAL, ProcessStatus
from avatarkit.sandbox.personas import lifecycle
from avatarkit.sandbox.personas.lifecycle import Script, State
from avatarkit.sandbox.personas.records import Record
from avatarkit.sandbox.personas.video_checks import CheckResult, VideoChecks

logger = logging.getLogger("avatarkit")

PATIENCE_S = 30.0
"""Wall seconds for which a call waits for a video check that decides its answer."""

_TICK_S = 0.01
_INSTANT = timedelta(microseconds=1)
_FOR_EVER = datetime.max.replace(tzinfo=UTC)


class Statuses:
    """The states of personas: a pure function of scripts, video checks and the clock.

    A persona cannot leave ``video_validating`` before its videos are checked. A clock can be faster
    than the check: ``current`` then waits, and after ``PATIENCE_S`` it is still validating.
    """

    def __init__(self, checks: VideoChecks, clock: Clock) -> None:
        self._checks = checks
        self._clock = clock

    async def current(self, records: Iterable[Record]) -> dict[str, State]:
        """Return the current states of ``records`` by id, once they are known."""
        records = list(records)
        wall = SystemClock()
        deadline = wall.monotonic() + PATIENCE_S
        while True:
            now = self._clock.now()
            if not any(self._waits_for_check(record, now) for record in records):
                break
            if wall.monotonic() > deadline:
                logger.warning("A video is still being checked; its persona has to wait.")
                break
            await asyncio.sleep(_TICK_S)
        return {record.id: self.at(record, now) for record in records}

    def at(self, record: Record, moment: datetime) -> State:
        """Return the state of ``record`` at ``moment``, as far as it is known."""
        result, validated_at = self._checks.get(record.id), _validated_at(record)
        if result is None and validated_at is not None:
            moment = min(moment, validated_at - _INSTANT)
        return lifecycle.state_at(_script(record, result), record.created_at, moment)

    def end(self, record: Record) -> State | None:
        """Return the terminal state of ``record``, or None if there is none or it is not known."""
        result = self._checks.get(record.id)
        if result is None and _validated_at(record) is not None:
            return None
        end = lifecycle.state_at(_script(record, result), record.created_at, _FOR_EVER)
        return end if end.status in TERMINAL else None

    def previews(self, record: Record) -> tuple[str, ...]:
        """Return the names of the preview images that were made of the footage."""
        result = self._checks.get(record.id)
        return result.previews if result else ()

    def _waits_for_check(self, record: Record, now: datetime) -> bool:
        validated_at = _validated_at(record)
        is_checked = self._checks.get(record.id) is not None
        return not is_checked and validated_at is not None and now >= validated_at


def _script(record: Record, result: CheckResult | None) -> Script:
    if result is None or result.flaw is None:
        return record.script
    return record.script.failing(result.flaw)


def _validated_at(record: Record) -> datetime | None:
    return lifecycle.stage_end(record.script, record.created_at, ProcessStatus.VIDEO_VALIDATING)
