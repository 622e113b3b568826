"""Limit the rate of calls with a token bucket."""

from __future__ import annotations

from collections.abc import Callable


class RateLimiter:
    """A token bucket of ``burst`` calls that is refilled by ``per_s`` calls a wall second.

    Without ``per_s`` there is no limit. ``wall`` returns wall seconds.
    """

    def __init__(self, per_s: float | None, burst: int, wall: Callable[[], float]) -> None:
        self._per_s = per_s
        self._burst = float(max(1, burst))
        self._wall = wall
        self._tokens = self._burst
        self._filled_at = wall()

    def wait_s(self) -> float:
        """Take a token; return 0, or the wall seconds until there is one."""
        if self._per_s is None:
            return 0.0
        now = self._wall()
        self._tokens = min(self._burst, self._tokens + (now - self._filled_at) * self._per_s)
        self._filled_at = now
        if self._tokens >= 1:
            self._tokens -= 1
            return 0.0
        return (1 - self._tokens) / self._per_s
