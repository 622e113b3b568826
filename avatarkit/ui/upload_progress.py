"""Measure how far an upload is, and how fast it goes."""

from __future__ import annotations

WINDOW_S = 5.0
"""Wall seconds over which the rate is measured."""

_MARK_EVERY_S = 0.5


class UploadProgress:
    """How far one upload is; pages read it while the thread that sends it writes.

    Args:
        total_bytes: The size of its files.
    """

    def __init__(self, total_bytes: int = 0) -> None:
        self.sent_bytes = 0
        self.total_bytes = total_bytes
        # Replaced as a whole, as a page may be reading it.
        self._marks: tuple[tuple[float, int], ...] = ()

    def update(self, sent_bytes: int, total_bytes: int, at_s: float) -> None:
        """Take note of how many bytes were sent, at a moment in wall seconds."""
        self.sent_bytes, self.total_bytes = sent_bytes, total_bytes
        if not self._marks or at_s - self._marks[-1][0] >= _MARK_EVERY_S:
            before = [mark for mark in self._marks if mark[0] <= at_s - WINDOW_S]
            within = [mark for mark in self._marks if mark[0] > at_s - WINDOW_S]
            self._marks = (*before[-1:], *within, (at_s, sent_bytes))

    def rate(self, now_s: float) -> float | None:
        """Return bytes per second over the last ``WINDOW_S``; None before anything was sent."""
        marks = self._marks
        before = [mark for mark in marks if mark[0] <= now_s - WINDOW_S]
        if not marks:
            return None
        started_s, sent_bytes = before[-1] if before else marks[0]
        passed_s = now_s - started_s
        return (self.sent_bytes - sent_bytes) / passed_s if passed_s > 0 else None
