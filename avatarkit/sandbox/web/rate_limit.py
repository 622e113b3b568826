"""How many calls a second are let through: a bucket of tokens."""

from __future__ import annotations

from collections.abc import Callable


class Throttle:
    """Lets ``burst`` calls through at once, and then ``per_s`` a wall second.

    Without ``per_s`` it lets everything through. ``wall`` gives wall seconds.
    """

    def __init__(self, per_s: float | None, burst: int, wall: Callable[[], float]) -> None:
        self._per_s = per_s
        self._burst = float(max(1, burst))
        self._wall = wall
        self._tokens = self._burst
        self._filled_at = wall()

    def wait_s(self) -> float:
        """Take a token: 0 when there is one, else the wall seconds until there will be."""
        if self._per_s is None:
            return 0.0
        now = self._wall()
        self._tokens += (now - self._filled_at) * self._per_s
        self._tokens = min(self._burst, self._tokens)
        self._filled_at = now
        if self._tokens >= 1:
            self._tokens -= 1
            return 0.0
        return (1 - self._tokens) / self._per_s
