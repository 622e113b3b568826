"""Compute the current status of personas from scripts, video checks and the clock."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta

from avatarkit.clock import Clock, SystemClock
from avatarkit.models import TERMINAL, ProcessStatus
from avatarkit.sandbox.personas import lifecycle
from avatarkit.sandbox.personas.lifecycle import Script, State
from avatarkit.sandbox.personas.records import Record
from avatarkit.sandbox.personas.video_checks import VideoChecks

logger = logging.getLogger("avatarkit")

PATIENCE_S = 30.0
"""Wall seconds that a call waits for a video check on which its answer depends."""

_TICK_S = 0.01
_INSTANT = timedelta(microseconds=1)
_FOR_EVER = datetime.max.replace(tzinfo=UTC)


class Statuses:
    """The states of personas: a pure function of scripts, video checks and the clock.

    A persona cannot leave ``video_validating`` before its videos are checked. If the clock is
    faster than the check, ``current`` waits up to ``PATIENCE_S``; then the persona is still
    validating.
    """

    def __init__(self, checks: VideoChecks, clock: Clock) -> None:
        self._checks = checks
        self._clock = clock

    async def current(self, records: list[Record]) -> dict[str, State]:
        """Return the current states of ``records`` by id; wait until they are known."""
        wall = SystemClock()
        deadline = wall.monotonic() + PATIENCE_S
        while True:
            now = self._clock.now()
            if all(now < self._known_until(record) for record in records):
                break
            if wall.monotonic() > deadline:
                logger.warning("A video is still being checked; its persona has to wait.")
                break
            await asyncio.sleep(_TICK_S)
        return {record.id: self.at(record, now) for record in records}

    def at(self, record: Record, moment: datetime) -> State:
        """Return the state of ``record`` at ``moment``, as far as it is known."""
        return self._state(record, min(moment, self._known_until(record) - _INSTANT))

    def history(self, record: Record, moment: datetime) -> list[State]:
        """Return the states of ``record`` until ``moment``, as far as they are known, in order."""
        known = min(moment, self._known_until(record) - _INSTANT)
        return lifecycle.states_until(self._script(record), record.created_at, known)

    def end(self, record: Record) -> State | None:
        """Return the terminal state of ``record``, or None if there is none or it is not known."""
        if self._known_until(record) < _FOR_EVER:
            return None
        end = self._state(record, _FOR_EVER)
        return end if end.status in TERMINAL else None

    def previews(self, record: Record) -> tuple[str, ...]:
        """Return the names of the preview images that were made of the footage."""
        result = self._checks.get(record.id)
        return result.previews if result else ()

    def _known_until(self, record: Record) -> datetime:
        """Return from when on the status depends on an unfinished check, or ``_FOR_EVER``."""
        if self._checks.get(record.id) is not None:
            return _FOR_EVER
        stage = ProcessStatus.VIDEO_VALIDATING
        return lifecycle.stage_end(record.script, record.created_at, stage) or _FOR_EVER

    def _state(self, record: Record, moment: datetime) -> State:
        return lifecycle.state_at(self._script(record), record.created_at, moment)

    def _script(self, record: Record) -> Script:
        result = self._checks.get(record.id)
        if result is not None and result.flaw is not None:
            return record.script.failing(result.flaw)
        return record.script
