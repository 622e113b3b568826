"""Where each persona stands now, from its script, the verdict on its videos, and the clock."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from avatarkit.clock import Clock, SystemClock
from avatarkit.models import TERMINAL, ProcessStatus
from avatarkit.sandbox.personas import lifecycle
from avatarkit.sandbox.personas.lifecycle import Moment, Script
from avatarkit.sandbox.personas.records import Record
from avatarkit.sandbox.personas.video_checks import Verdict, Verdicts

logger = logging.getLogger("avatarkit")

PATIENCE_S = 30.0
"""Wall seconds for which a call waits for a verdict without which it cannot answer."""

_TICK_S = 0.01
_INSTANT = timedelta(microseconds=1)
_FOR_EVER = datetime.max.replace(tzinfo=UTC)


class Lives:
    """A pure function of scripts, verdicts and the clock.

    A persona cannot leave ``video_validating`` before the verdict is known. With a clock that runs
    faster than videos are looked at somebody may ask about a later moment: ``now`` then waits, and
    after ``PATIENCE_S`` shows the persona as still validating.
    """

    def __init__(self, verdicts: Verdicts, clock: Clock) -> None:
        self._verdicts = verdicts
        self._clock = clock

    async def now(self, records: Iterable[Record]) -> dict[str, Moment]:
        """Where those personas stand now, by id."""
        asked = list(records)
        wall = SystemClock()
        deadline = wall.monotonic() + PATIENCE_S
        while True:
            moment = self._clock.now()
            if not any(self._is_open(record, moment) for record in asked):
                break
            if wall.monotonic() > deadline:
                logger.warning("A video is still being looked at; its persona has to wait.")
                break
            await asyncio.sleep(_TICK_S)
        return {record.id: self.at(record, moment) for record in asked}

    def at(self, record: Record, moment: datetime) -> Moment:
        """Where that persona stands at ``moment``, as far as is known."""
        verdict, until = self._verdicts.get(record.id), _validated_at(record)
        if verdict is None and until is not None:
            moment = min(moment, until - _INSTANT)
        return lifecycle.moment(_judged(record, verdict), record.created_at, moment)

    def end(self, record: Record) -> Moment | None:
        """How and when that persona ends; None while that is not known, or if it never does."""
        verdict = self._verdicts.get(record.id)
        if verdict is None and _validated_at(record) is not None:
            return None
        end = lifecycle.moment(_judged(record, verdict), record.created_at, _FOR_EVER)
        return end if end.status in TERMINAL else None

    def stills(self, record: Record) -> tuple[str, ...]:
        """The previews that were made of the footage of that persona."""
        verdict = self._verdicts.get(record.id)
        return verdict.stills if verdict else ()

    def _is_open(self, record: Record, moment: datetime) -> bool:
        if self._verdicts.get(record.id) is not None:
            return False
        until = _validated_at(record)
        return until is not None and moment >= until


def _judged(record: Record, verdict: Verdict | None) -> Script:
    if verdict is None or verdict.flaw is None:
        return record.script
    return record.script.failing(verdict.flaw)


def _validated_at(record: Record) -> datetime | None:
    return lifecycle.left_at(record.script, record.created_at, ProcessStatus.VIDEO_VALIDATING)
