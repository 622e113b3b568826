"""Write the clock to disk regularly, so that it does not go back after a kill."""

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
"""Wall seconds between two writes."""

AHEAD_S = 2.0
"""Wall seconds by which the written moment is ahead of the clock."""


def reading_of(clock: Clock) -> Reading:
    """Return the reading from which another process can compute the same time."""
    if isinstance(clock, ScaledClock):
        return Reading(*clock.reading())
    return Reading(clock.now(), None, 1.0)


class Heartbeat:
    """A thread that writes the sandbox's own clock to disk, each second and before each jump.

    ``announce`` is called whenever the reading of ``clock`` has changed, also of a given clock.
    """

    def __init__(self, folder: Folder, clock: Clock, announce: Callable[[], None]) -> None:
        self._folder = folder
        self._clock = clock
        self._announce = announce
        self._last_announced = reading_of(clock)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sandbox-clock", daemon=True)

    def start(self) -> None:
        """Write the clock to disk, and start the thread."""
        if isinstance(self._clock, ServedClock):
            self._keep(self._clock.now())
            self._clock.before_jump = self._keep
            self._clock.after_jump = self.beat
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread, and wait for it."""
        if isinstance(self._clock, ServedClock):
            self._clock.forget_hooks()
        self._ended.set()
        self._thread.join()

    def beat(self) -> None:
        """Write the clock to disk, and announce a changed reading."""
        if isinstance(self._clock, ServedClock):
            self._keep(self._clock.now())
        reading = reading_of(self._clock)
        if reading != self._last_announced:
            self._announce()
            self._last_announced = reading

    def _keep(self, moment: datetime) -> None:
        speed = reading_of(self._clock).speed
        self._folder.keep_clock(moment + timedelta(seconds=AHEAD_S * speed))

    def _run(self) -> None:
        while not self._ended.wait(INTERVAL_S):
            try:
                self.beat()
            except OSError as error:
                logger.warning("The sandbox cannot keep its clock: %s.", error.strerror or error)
