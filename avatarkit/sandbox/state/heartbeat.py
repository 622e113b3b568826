"""Keeps on disk what a kill would lose: from where the clock has to go on, and its jumps."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import datetime, timedelta

from avatarkit.clock import Clock, ScaledClock
from avatarkit.sandbox.state.clocks import ServedClock
from avatarkit.sandbox.state.files import Folder, Reading

logger = logging.getLogger("avatarkit")

INTERVAL_S = 1.0
AHEAD_S = 2.0
"""The clock is written down this many wall seconds ahead, so that it never goes back."""


def reading_of(clock: Clock) -> Reading:
    """What another process needs to show the same time, as far as this clock can tell."""
    if isinstance(clock, ScaledClock):
        return Reading(*clock.reading())
    return Reading(clock.now(), None, 1.0)


class Heartbeat:
    """Does so once a wall second, in a thread, and before each jump of the sandbox's own clock.

    ``announce`` is called whenever the reading of ``clock`` has changed. Of a clock that is not
    the sandbox's own only that is done.
    """

    def __init__(self, folder: Folder, clock: Clock, announce: Callable[[], None]) -> None:
        self._folder = folder
        self._clock = clock
        self._announce = announce
        self._announced = reading_of(clock)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sandbox-clock", daemon=True)

    def start(self) -> None:
        """Write the clock down, then again and again."""
        if isinstance(self._clock, ServedClock):
            self._keep(self._clock.now())
            self._clock.before_jump = self._keep
            self._clock.after_jump = self.beat
        self._thread.start()

    def stop(self) -> None:
        """Return when the thread has ended."""
        if isinstance(self._clock, ServedClock):
            self._clock.forget_hooks()
        self._ended.set()
        self._thread.join()

    def beat(self) -> None:
        """Write down what has changed."""
        if isinstance(self._clock, ServedClock):
            self._keep(self._clock.now())
        reading = reading_of(self._clock)
        if reading != self._announced:
            self._announce()
            self._announced = reading

    def _keep(self, moment: datetime) -> None:
        speed = reading_of(self._clock).speed
        self._folder.keep_clock(moment + timedelta(seconds=AHEAD_S * speed))

    def _run(self) -> None:
        while not self._ended.wait(INTERVAL_S):
            try:
                self.beat()
            except OSError as error:
                logger.warning("The sandbox cannot keep its clock: %s.", error.strerror or error)
