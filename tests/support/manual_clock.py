"""A clock that a test moves."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta


class ManualClock:
    """A clock that moves only by ``advance`` and by sleeping on it.

    ``now()`` and ``monotonic()`` advance together; ``slept`` lists the sleeps, in seconds.
    """

    def __init__(self, start: datetime) -> None:
        self._lock = threading.Lock()
        self._start = start.astimezone(UTC)
        self._passed = timedelta(0)
        self.slept: list[float] = []

    def now(self) -> datetime:
        """Return the moment on this clock: aware, UTC."""
        with self._lock:
            return self._start + self._passed

    def monotonic(self) -> float:
        """Return the seconds that have passed on this clock."""
        with self._lock:
            return self._passed.total_seconds()

    def wall_now(self) -> datetime:
        """Return the moment on this clock, which is that of the machine, too."""
        return self.now()

    def sleep(self, seconds: float, stop: threading.Event | None = None) -> None:
        """Advance by ``seconds`` at once; not at all when ``stop`` is set."""
        if stop is not None and stop.is_set():
            return
        with self._lock:
            self.slept.append(seconds)
            self._passed += timedelta(seconds=max(0.0, seconds))

    def wall_seconds_until(self, moment: datetime) -> float:
        """Return the seconds until this clock shows ``moment``; 0 when it has passed."""
        return max(0.0, (moment - self.now()).total_seconds())

    def advance(self, by: timedelta) -> datetime:
        """Jump ahead; return the moment it shows then."""
        if by < timedelta(0):
            raise ValueError("A clock cannot be set back; advance it by a positive time.")
        with self._lock:
            self._passed += by
            return self._start + self._passed


class StandingClock(ManualClock):
    """A ``ManualClock`` on which a thread that can be stopped sleeps until it is stopped."""

    def sleep(self, seconds: float, stop: threading.Event | None = None) -> None:
        """Advance at once, or wait until ``stop`` is set."""
        if stop is None:
            super().sleep(seconds)
        else:
            stop.wait()


class SetClock(ManualClock):
    """A manual clock that can be set wrong, ahead or behind, and right again."""

    def __init__(self, start: datetime) -> None:
        super().__init__(start)
        self.off = timedelta(0)

    def now(self) -> datetime:
        """Return the moment on this clock, right or wrong."""
        return super().now() + self.off

    @property
    def truth(self) -> datetime:
        """The moment that it would show if it was right."""
        return super().now()


MONDAY = datetime(2026, 1, 5, 9, tzinfo=UTC)
