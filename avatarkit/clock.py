"""The one place that asks what time it is.

Everything stored, paced and shown is on the session's clock. The system's clock is the live
account's; the sandbox's clock is a ``ScaledClock`` that runs faster and can stand still. No other
code knows about speed: it asks ``now()`` and sleeps until a moment of the clock.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """What every part that needs the time is given."""

    def now(self) -> datetime:
        """The moment on this clock: aware, UTC."""
        ...

    def monotonic(self) -> float:
        """Wall seconds since some fixed moment, for deadlines."""
        ...

    def sleep(self, seconds: float, stop: threading.Event | None = None) -> None:
        """Sleep wall seconds, less when ``stop`` is set meanwhile."""
        ...

    def wall_seconds_until(self, moment: datetime) -> float:
        """Wall seconds until this clock shows ``moment``; 0 when it has passed."""
        ...


class SystemClock:
    """The machine's own time."""

    def now(self) -> datetime:
        """The moment on this clock: aware, UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Wall seconds since some fixed moment."""
        return time.monotonic()

    def sleep(self, seconds: float, stop: threading.Event | None = None) -> None:
        """Sleep wall seconds, less when ``stop`` is set meanwhile."""
        if stop is not None:
            stop.wait(max(0.0, seconds))
        else:
            time.sleep(max(0.0, seconds))

    def wall_seconds_until(self, moment: datetime) -> float:
        """Wall seconds until this clock shows ``moment``; 0 when it has passed."""
        return max(0.0, (moment - self.now()).total_seconds())


class ScaledClock(SystemClock):
    """A clock that shows ``start`` now and runs ``speed`` times as fast as the wall.

    ``stop()`` makes it stand still, ``resume()`` lets it go on from where it stood. It never
    runs backwards. ``wall`` gives wall seconds; the default is shared by all processes of the
    machine, so that two processes with the same (start, started_s, speed) agree.
    """

    def __init__(
        self,
        start: datetime,
        speed: float,
        *,
        started_s: float | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        if not 0 < speed < float("inf"):
            raise ValueError("speed must be positive; 1 is as fast as the wall.")
        self._wall = wall
        self._lock = threading.Lock()
        self._start = start.astimezone(UTC)
        self._started_s: float | None = wall() if started_s is None else started_s
        self._latest = self._start
        self._speed = speed

    @property
    def speed(self) -> float:
        """Clock seconds for each wall second."""
        return self._speed

    def now(self) -> datetime:
        """The moment on this clock: aware, UTC."""
        with self._lock:
            return self._now()

    def _now(self) -> datetime:
        if self._started_s is not None:
            passed = (self._wall() - self._started_s) * self._speed
            # The wall may be set back; this clock stands still then.
            self._latest = max(self._latest, self._start + timedelta(seconds=passed))
        return self._latest

    def wall_seconds_until(self, moment: datetime) -> float:
        """Wall seconds until this clock shows ``moment``; 0 when it has passed."""
        return max(0.0, (moment - self.now()).total_seconds() / self._speed)

    def stop(self) -> datetime:
        """Stand still from now on; the moment it stands at."""
        with self._lock:
            self._start = self._now()
            self._started_s = None
            return self._start

    def resume(self) -> None:
        """Go on from where it stands."""
        with self._lock:
            if self._started_s is None:
                self._started_s = self._wall()

    def advance(self, by: timedelta) -> datetime:
        """Jump ahead; the moment it shows then. Raises ``ValueError`` for a step back."""
        if by < timedelta(0):
            raise ValueError("A clock cannot be set back; advance it by a positive time.")
        with self._lock:
            self._start = self._now() + by
            self._latest = self._start
            if self._started_s is not None:
                self._started_s = self._wall()
            return self._latest

    def reading(self) -> tuple[datetime, float | None, float]:
        """(start, started_s, speed): what another process needs to show the same time."""
        with self._lock:
            return self._start, self._started_s, self._speed
