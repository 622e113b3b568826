"""When to look at a persona next: pure functions of its status, its age in it, and chance.

A look is free but not without cost to others, and what it can teach shrinks as a stage drags on:
the gap is a fraction of the time already spent in the status, so that a stage's length is known
to about that fraction, within bounds.
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta

from avatarkit.models import TERMINAL, ProcessStatus, as_status

FRACTION = 0.05
SHORTEST = timedelta(minutes=2)
LONGEST: dict[ProcessStatus | None, timedelta] = {
    ProcessStatus.REVIEWING: timedelta(minutes=60),  # people review, in hours
    None: timedelta(minutes=60),  # a status that nobody has heard of
}
LONGEST_ELSEWHERE = timedelta(minutes=30)
JITTER = 0.1
"""Gaps differ by up to this share either way, so that a batch does not march in step."""

ERROR_GAP = timedelta(minutes=5)
LONGEST_ERROR_GAP = timedelta(hours=2)


def next_look_at(status: str, since: datetime, now: datetime, persona_id: str) -> datetime | None:
    """The moment of the next look at a persona seen in ``status`` since ``since``.

    None for a terminal status: it is not looked at again. The same arguments give the same
    moment.
    """
    known = as_status(status)
    if known in TERMINAL:
        return None
    longest = LONGEST.get(known, LONGEST_ELSEWHERE)
    gap = min(max((now - since) * FRACTION, SHORTEST), longest)
    return now + gap * _jitter(persona_id, now)


def next_try_at(failures: int, now: datetime, persona_id: str) -> datetime:
    """The moment of the next look after ``failures`` looks in a row ended in an error."""
    gap: timedelta = min(ERROR_GAP * float(2 ** min(failures, 10)), LONGEST_ERROR_GAP)
    return now + gap * _jitter(persona_id, now)


def _jitter(persona_id: str, now: datetime) -> float:
    digest = hashlib.blake2b(f"{persona_id}|{now.isoformat()}".encode(), digest_size=4).digest()
    return 1 + JITTER * (2 * int.from_bytes(digest) / 0xFFFFFFFF - 1)
