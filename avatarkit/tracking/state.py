"""``TrackerState``: what a tracker does at one moment, for ``track``, ``watch`` and the pages."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime

from avatarkit.store.account import Pause
from avatarkit.store.sightings import Change
from avatarkit.text import format_hours, printable

logger = logging.getLogger("avatarkit")


@dataclass(frozen=True)
class TrackerState:
    """What a tracker does at one moment, on the session's clock.

    Attributes:
        now: The moment.
        running: Whether this tracker polls, in ``run`` or in its background thread.
        total: How many avatars the log has.
        in_flight: How many of them are polled, without those that are gone.
        due: How many are due or are polled right now.
        next_poll_at: When the next poll is due, None when none is planned.
        last_pass_at: When the last pass began, None before the first.
        calls_last_hour: Calls that this tracker made in the last hour of the session's clock.
        pause: Why and until when the account is not called, None if it is.
        last_error: The last error, in one sentence; ``last_error_at`` is when it happened.
        calls_per_hour: The budget of calls, None if there is none.
        staleness_h: Within how many hours 95 % of the changes are seen on this budget, None if it
            is not known.
        warning: A sentence if the budget cannot be kept, else None.
        notify_error: A sentence if messages cannot be sent, else None.
        tracked_by: The name of another tracker that holds the lease of the account, else None.
        tracked_s: Wall seconds since that one last renewed the lease.
        is_standby: Whether this tracker runs and makes no calls, as the other one does.
        unknown: How many avatars of the account the log does not have, by the last list.
    """

    now: datetime
    running: bool
    total: int
    in_flight: int
    due: int
    next_poll_at: datetime | None
    last_pass_at: datetime | None
    calls_last_hour: int
    pause: Pause | None = None
    last_error: str | None = None
    last_error_at: datetime | None = None
    calls_per_hour: float | None = None
    staleness_h: float | None = None
    warning: str | None = None
    notify_error: str | None = None
    tracked_by: str | None = None
    tracked_s: float | None = None
    is_standby: bool = False
    unknown: int = 0

    def lines(self) -> list[str]:
        """Return the state as text: counts, then warning, pause and last error, if any.

        Times are absolute, in UTC, so that the text stays the same while nothing happens; while
        another tracker makes the calls, the counts tell how long ago it was heard of.
        """
        counts = [f"{self.in_flight} in flight", f"{self.due} due"]
        if self.next_poll_at is not None and self.next_poll_at > self.now:
            counts.append(f"next poll {format_moment(self.next_poll_at, self.now)}")
        budget = "" if self.calls_per_hour is None else f" of {self.calls_per_hour:,.0f}"
        calls = "call" if self.calls_last_hour == 1 and not budget else "calls"
        if self.tracked_by is None:
            counts.append(f"{self.calls_last_hour}{budget} {calls} in the last hour")
        if self.staleness_h is not None:
            counts.append(f"95 % of changes seen within {format_hours(self.staleness_h)}")
        if self.tracked_by is not None:
            counts.append(tracked_by(self.tracked_by, self.tracked_s or 0.0))
        elif not self.running:
            counts.append("the tracker does not run")
        reason = None if self.pause is None else self.pause.reason
        notes = (self.warning, reason, self.notify_error)
        lines = [" · ".join(counts), *filter(None, notes)]
        if self.unknown:
            lines.append(unknown_sentence(self.unknown))
        if self.last_error not in (None, reason):
            at = self.last_error_at
            time = "" if at is None else f" at {format_moment(at, self.now)}"
            lines.append(f"last error{time}: {self.last_error}")
        return [" ".join(printable(line).split()) for line in lines]


def tracked_by(name: str, age_s: float) -> str:
    """Format which tracker makes the calls: ``tracked by server-2 (app), 14 s ago``.

    Args:
        name: The tracker's name.
        age_s: Wall seconds since it was heard of.
    """
    return f"tracked by {name}, {format_hours(age_s / 3600)} ago"


def unknown_sentence(count: int) -> str:
    """Return a sentence about the avatars of the account that the log does not have."""
    avatars = (
        "1 avatar of this account is" if count == 1 else f"{count:,} avatars of this account are"
    )
    return f"{avatars} not followed here; 'adopt' lists them."


def format_moment(moment: datetime, now: datetime) -> str:
    """Format a moment in UTC: ``14:05:30``, with the date if it is on another day than ``now``."""
    return f"{moment:%H:%M:%S}" if moment.date() == now.date() else f"{moment:%Y-%m-%d %H:%M:%S}"


def format_minute(moment: datetime, now: datetime) -> str:
    """Format a moment for a sentence: ``12:04 UTC``, with the date if it is on another day."""
    return f"{moment:%H:%M} UTC" if moment.date() == now.date() else f"{moment:%Y-%m-%d %H:%M} UTC"


def log_change(change: Change) -> None:
    """Log a change of status, one line at level INFO."""
    logger.info("%s: %s -> %s", change.persona_id, change.before, change.after)


def format_change(change: Change) -> str:
    """Format a change of status as one line for a terminal."""
    reason = f" ({change.failed_reason})" if change.failed_reason else ""
    line = (
        f"{change.at:%Y-%m-%d %H:%M:%S}Z  {change.persona_id}  {change.creator_name or ''}  "
        f"{change.before or 'new'} -> {change.after}{reason}"
    )
    return printable(line)
