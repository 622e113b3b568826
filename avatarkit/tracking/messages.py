"""Write the texts of messages: a line for each event, and one message for many events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

from avatarkit.store.account import Pause
from avatarkit.store.notifications import Event, Stay
from avatarkit.store.submissions import Uncertain
from avatarkit.text import format_hours, printable, stage_name

MOST_LINES = 20
"""How many events a message lists; services cut longer ones, or split them into many."""

LONGEST_NAME, LONGEST_REASON = 80, 300


class Kind(StrEnum):
    """The kinds of events; the first are listed first, as they ask for something to be done."""

    KEYS = "keys"
    UNCERTAIN = "uncertain"
    FAILED = "failed"
    REJECTED = "rejected"
    LATE = "late"
    DONE = "done"


_ENDS = (Kind.DONE, Kind.FAILED, Kind.REJECTED)
_ORDER = [kind.value for kind in Kind]


def ended(stay: Stay) -> Event:
    """Return the event that a persona ended; its kind is the status."""
    reason = f": {_line(stay.failed_reason, LONGEST_REASON)}" if stay.failed_reason else ""
    seen = f"seen {stay.since:%Y-%m-%d %H:%M} UTC"
    text = f"{_name(stay.creator_name)}: {stay.status}{reason} ({stay.persona_id}, {seen})"
    return Event(stay.status, stay.persona_id, _line(text))


def late(stay: Stay, late_h: float) -> Event:
    """Return the event that a persona is in its status for longer than ``late_h`` hours."""
    age_h = (stay.until - stay.since).total_seconds() / 3600
    text = (
        f"{_name(stay.creator_name)}: {stage_name(stay.status)} for {format_hours(age_h)}, where "
        f"95 % take at most {format_hours(late_h)} ({stay.persona_id})"
    )
    return Event(Kind.LATE, late_subject(stay), _line(text))


def late_subject(stay: Stay) -> str:
    """Return what the event that a persona is late in its status is about."""
    return f"{stay.persona_id} {stay.status}"


def uncertain(submission: Uncertain) -> Event:
    """Return the event that it is not known whether a submission arrived."""
    text = (
        f"{_name(submission.creator_name)}: sent {submission.sent_at:%Y-%m-%d %H:%M} UTC, and it "
        "is not known whether it was created; do not send it again: 'python -m avatarkit "
        f"reconcile' finds out (submission {submission.submission_id})"
    )
    return Event(Kind.UNCERTAIN, submission.submission_id, _line(text))


def keys_refused(pause: Pause) -> Event:
    """Return the event that the API refuses the keys; a later refusal is another event."""
    return Event(Kind.KEYS, f"{pause.keys} {pause.began_at.isoformat()}", _line(pause.reason))


def compose(events: Sequence[Event], *, is_sandbox: bool) -> tuple[str, str]:
    """Return the title and the body of one message about events, both plain text.

    Args:
        events: At least one event.
        is_sandbox: Whether they happened in the sandbox.
    """
    counts = Counter(event.event for event in events)
    parts = []
    if total := sum(counts[kind] for kind in _ENDS):
        avatars = "1 avatar" if total == 1 else f"{total:,} avatars"
        ends = ", ".join(f"{counts[kind]:,} {kind}" for kind in _ENDS if counts[kind])
        parts.append(f"{avatars} ended: {ends}")
    if count := counts[Kind.LATE]:
        parts.append(f"{count:,} late")
    if count := counts[Kind.UNCERTAIN]:
        parts.append(f"{count:,} uncertain")
    if counts[Kind.KEYS]:
        parts.append("the API refuses all calls")
    title = "; ".join(parts) + (" (sandbox)" if is_sandbox else "")
    lines = [event.text for event in sorted(events, key=lambda event: _ORDER.index(event.event))]
    if (more := len(lines) - MOST_LINES) > 0:
        lines[MOST_LINES:] = [f"and {more:,} more"]
    return title[0].upper() + title[1:], "\n".join(lines)


def trial(moment: datetime, *, is_sandbox: bool) -> tuple[str, str]:
    """Return the title and the body of a message that only tries the addresses."""
    title = "A test of avatarkit" + (" (sandbox)" if is_sandbox else "")
    body = f"Messages about avatars arrive here. Sent {moment:%Y-%m-%d %H:%M} UTC."
    return title, body


def _name(creator_name: str | None) -> str:
    return _line(creator_name or "An avatar", LONGEST_NAME)


def _line(text: str | None, longest: int = 1_000) -> str:
    line = " ".join(printable(text or "").split())
    return line if len(line) <= longest else f"{line[: longest - 1]}…"
