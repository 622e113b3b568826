"""Compute the time of a persona's next poll from its status and the time spent in it.

The gap is a fraction of the time already spent in the status, within bounds. So the duration of a
stage is known to about that fraction, and long stages are polled less often.
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta

from avatarkit.models import TERMINAL, ProcessStatus, as_status
from avatarkit.store.plan import LONGEST_GAP, LONGEST_GAP_GONE

FRACTION = 0.05
"""The gap as a share of the time already spent in the status."""

SHORTEST = timedelta(minutes=2)
LONGEST: dict[ProcessStatus | None, timedelta] = {
    ProcessStatus.REVIEWING: timedelta(minutes=60),  # people review, in hours
    None: timedelta(minutes=60),  # an undocumented status
}
LONGEST_ELSEWHERE = timedelta(minutes=30)
"""The longest gap in a status that is not in ``LONGEST``."""

JITTER = 0.1
"""Gaps vary by up to this share, so that a batch is not polled all at once."""

ERROR_GAP = timedelta(minutes=5)
LONGEST_ERROR_GAP = LONGEST_GAP


def next_poll_at(status: str, since: datetime, now: datetime, persona_id: str) -> datetime | None:
    """Return when to poll a persona next after an answer.

    Args:
        status: The status as it came.
        since: When the persona was first seen in it.
        now: When the answer arrived.
        persona_id: The persona; it seeds the jitter.

    Returns:
        The time of the next poll, the same for the same arguments; None for a terminal status.
    """
    known = as_status(status)
    if known in TERMINAL:
        return None
    longest = LONGEST.get(known, LONGEST_ELSEWHERE)
    gap = min(max((now - since) * FRACTION, SHORTEST), longest)
    return now + gap * _jitter(persona_id, now)


def next_retry_at(failures: int, now: datetime, persona_id: str) -> datetime:
    """Return when to poll a persona again after a poll that failed.

    Args:
        failures: How many polls in a row had failed before this one.
        now: When this one failed.
        persona_id: The persona; it seeds the jitter.

    Returns:
        The time of the next poll, the same for the same arguments.
    """
    gap: timedelta = min(ERROR_GAP * float(2 ** min(failures, 10)), LONGEST_ERROR_GAP)
    return now + gap * _jitter(persona_id, now)


def next_poll_of_gone(now: datetime, persona_id: str) -> datetime:
    """Return when to poll a persona again that the API does not find: about a day later.

    Args:
        now: The moment.
        persona_id: The persona; it seeds the jitter.
    """
    return now + LONGEST_GAP_GONE * _jitter(persona_id, now)


def _jitter(persona_id: str, now: datetime) -> float:
    digest = hashlib.blake2b(f"{persona_id}|{now.isoformat()}".encode(), digest_size=4).digest()
    return 1 + JITTER * (2 * int.from_bytes(digest) / 0xFFFFFFFF - 1)
