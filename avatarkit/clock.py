"""Clocks: the only module that reads the machine's time.

Everything that is stored, scheduled or shown is on the session's clock: the system's clock for the
live account; for the sandbox a ``ScaledClock``, which runs faster and can be stopped.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Tells the time and sleeps; passed to every part that needs one of them."""

    def now(self) -> datetime:
        """Return the moment on this clock: aware, UTC."""
        ...

    def monotonic(self) -> float:
        """Return wall seconds since a fixed moment, for deadlines."""
        ...

    def wall_now(self) -> datetime:
        """Return the moment on the machine's clock: aware, UTC."""
        ...

    def sleep(self, seconds: float, stop: threading.Event | None = None) -> None:
        """Sleep wall seconds, or until ``stop`` is set."""
        ...

    def wall_seconds_until(self, moment: datetime) -> float:
        """Return wall seconds until this clock shows ``moment``; 0 if it has passed."""
        ...


class SystemClock:
    """The machine's clock."""

    speed = 1.0
    """Clock seconds for each wall second."""

    def now(self) -> datetime:
        """Return the moment on this clock: aware, UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return wall seconds since a fixed moment, for deadlines."""
        return time.monotonic()

    def wall_now(self) -> datetime:
        """Return the moment on the machine's clock: aware, UTC."""
        return datetime.now(UTC)

    def sleep(self, seconds: float, stop: threading.Event | None = None) -> None:
        """Sleep wall seconds, or until ``stop`` is set."""
        wait: Callable[[float], object] = time.sleep if stop is None else stop.wait
        wait(max(0.0, seconds))

    def wall_seconds_until(self, moment: datetime) -> float:
        """Return wall seconds until this clock shows ``moment``; 0 if it has passed."""
        return max(0.0, (moment - self.now()).total_seconds() / self.speed)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.now():%Y-%m-%d %H:%M} UTC)"


class ScaledClock(SystemClock):
    """A clock that runs ``speed`` times as fast as wall time, can be stopped, and never runs back.

    Two processes with the same (start, started_s, speed) agree, as the default ``wall`` is shared
    by all processes of the machine.

    Args:
        start: The moment that it shows at ``started_s``.
        speed: Clock seconds for each wall second.
        started_s: Wall seconds at which it began to run; now by default.
        wall: Returns wall seconds.

    Raises:
        ValueError: ``speed`` is not positive.
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
        self._lock = threading.RLock()
        self._start = start.astimezone(UTC)
        self._started_s: float | None = wall() if started_s is None else started_s
        self._latest = self._start
        self.speed = speed

    def now(self) -> datetime:
        """Return the moment on this clock: aware, UTC."""
        with self._lock:
            if self._started_s is not None:
                passed = (self._wall() - self._started_s) * self.speed
                # This clock stands still while the wall is behind where it was.
                self._latest = max(self._latest, self._start + timedelta(seconds=passed))
            return self._latest

    def stop(self) -> datetime:
        """Stop the clock; return the moment that it shows."""
        with self._lock:
            self._start = self.now()
            self._started_s = None
            return self._start

    def resume(self) -> None:
        """Let the clock run on from the moment that it shows."""
        with self._lock:
            if self._started_s is None:
                self._started_s = self._wall()

    def advance(self, by: timedelta) -> datetime:
        """Move the clock ahead, and return its new moment.

        Raises:
            ValueError: ``by`` is negative.
        """
        if by < timedelta(0):
            raise ValueError("A clock cannot be set back; advance it by a positive time.")
        with self._lock:
            self._start += by
            self._latest += by
            return self.now()

    def reading(self) -> tuple[datetime, float | None, float]:
        """Return (start, started_s, speed), with which another process can show the same time."""
        with self._lock:
            return self._start, self._started_s, self.speed

    def __repr__(self) -> str:
        pace = "stopped" if self._started_s is None else f"{self.speed:,g} times as fast"
        return f"{type(self).__name__}({self.now():%Y-%m-%d %H:%M} UTC, {pace})"
