"""Define the sandbox's clock, and the clock of a process that is attached to it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import psutil

from avatarkit.clock import ScaledClock
from avatarkit.errors import ConfigError
from avatarkit.sandbox.state.files import Reading, read_serving


class ServedClock(ScaledClock):
    """The clock of a running sandbox, with hooks that write a jump to disk before it is visible."""

    def __init__(self, start: datetime, speed: float) -> None:
        super().__init__(start, speed)
        self.forget_hooks()

    def forget_hooks(self) -> None:
        """Remove the hooks."""
        self.before_jump: Callable[[datetime], None] = lambda _: None
        self.after_jump: Callable[[], None] = lambda: None

    def advance(self, by: timedelta) -> datetime:
        """Move the clock ahead, and return its new moment.

        Raises:
            ValueError: The step is negative.
        """
        if by > timedelta(0):
            self.before_jump(self.now() + by)
        moment = super().advance(by)
        self.after_jump()
        return moment


class FollowedClock(ScaledClock):
    """The clock of a sandbox in another process, as its folder announces it.

    It follows the jumps of that sandbox, stands still while no process serves the folder, also if
    the one that did was killed, and never runs backwards.
    """

    def __init__(self, path: Path, reading: Reading) -> None:
        super().__init__(reading.start, reading.speed, started_s=reading.started_s)
        self._path = path
        self._stamp: tuple[int, int] | None = (-1, -1)
        self._pid: int | None = None

    def now(self) -> datetime:
        """Return the moment on this clock: aware, UTC."""
        self._follow()
        return super().now()

    def advance(self, by: timedelta) -> datetime:  # noqa: ARG002 - the signature of a clock
        """Raise ``ConfigError``: the clock belongs to the sandbox that serves the folder."""
        raise ConfigError(
            "This clock belongs to the sandbox in another process; advance it in that process."
        )

    def _follow(self) -> None:
        try:
            stat = self._path.stat()
            stamp = (stat.st_mtime_ns, stat.st_ino)
        except OSError:
            stamp = None
        if stamp == self._stamp and (self._pid is None or psutil.pid_exists(self._pid)):
            return
        serving = read_serving(self._path)
        if serving is not None and not psutil.pid_exists(serving.pid):
            serving = None  # it was killed, and withdrew no announcement
        with self._lock:
            self._stamp = stamp if serving else None  # read again as long as it is not served
            self._pid = serving.pid if serving else None
            reading = serving.clock if serving else Reading(self._latest, None, self.speed)
            self._start, self._started_s = reading.start, reading.started_s
            self.speed = reading.speed
            if reading.started_s is None:
                self._latest = max(self._latest, reading.start)
