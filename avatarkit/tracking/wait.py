"""Wait for one persona: poll it when it is due, until it ends or the time is over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from avatarkit.errors import (
    AuthError,
    ConfigError,
    PersonaFailed,
    PersonaRejected,
    StoreError,
    WaitTimeout,
)
from avatarkit.models import Persona, ProcessStatus
from avatarkit.store.plan import LONGEST_GAP
from avatarkit.store.store import Store
from avatarkit.text import format_hours
from avatarkit.tracking import gate
from avatarkit.tracking.delete import require_not_deleted
from avatarkit.tracking.poll import Poller, is_missing
from avatarkit.tracking.polling import SHORTEST
from avatarkit.tracking.state import format_minute, log_change

SHORTEST_WAIT_S = 0.1
RESERVE_S = 20.0
"""Wall seconds for which other processes leave a persona alone that is being asked for."""
LONGEST_WAIT_S = 5.0
"""Wall seconds between two reads of the log, at most, as other processes write to it too."""


@dataclass
class WaitReports:
    """Where a wait reports.

    Attributes:
        on_error: Called with what went wrong in a poll.
        on_progress: Called with the persona when the wait begins and at each new status.
        on_step: Called with the persona and what is in the way each time the log was read.
    """

    on_error: Callable[[str], None]
    on_progress: Callable[[Persona], None] | None = None
    on_step: Callable[[Persona, str | None], None] | None = None


def wait(
    poller: Poller,
    persona_id: str,
    *,
    timeout: float,
    before_poll: Callable[[], None],
    reports: WaitReports,
) -> Persona:
    """Return the persona once it is done; see ``Tracker.wait``.

    Args:
        poller: Polls the persona.
        persona_id: The persona.
        timeout: Wall seconds.
        before_poll: Called before each call; what it raises ends the wait.
        reports: Where it reports.
    """
    awaited = poller.schedule.awaited
    awaited.add(persona_id)
    try:
        return _Wait(poller, persona_id, timeout, before_poll, reports).persona()
    finally:
        awaited.discard(persona_id)


class _Wait:
    """One wait: its deadline, and what went wrong since the last answer."""

    def __init__(
        self,
        poller: Poller,
        persona_id: str,
        timeout: float,
        before_poll: Callable[[], None],
        reports: WaitReports,
    ) -> None:
        self._poller = poller
        self._store, self._clock = poller.store, poller.clock
        self._id = persona_id
        self._timeout = timeout
        self._before_poll = before_poll
        self._reports = reports
        self._began_s = self._clock.monotonic()
        self._not_written: StoreError | None = None
        self._failing_since: datetime | None = None

    def persona(self) -> Persona:
        """Return the persona once it is done."""
        self._before_poll()
        persona = self._begin()
        status: str | None = None
        probe = True  # the caller may have mended what was in the way
        while True:
            if self._reports.on_progress is not None and persona.status_text != status:
                self._reports.on_progress(persona)
            status = persona.status_text
            trouble = self._trouble()
            if self._reports.on_step is not None:
                self._reports.on_step(persona, trouble)
            if persona.is_terminal:
                return _done(persona)
            require_not_deleted(self._store, self._id)
            waited_s = self._clock.monotonic() - self._began_s
            if waited_s >= self._timeout:
                raise self._not_written or self._timed_out(status, waited_s)
            left_s = self._timeout - waited_s
            self._before_poll()
            try:
                self._poll_if_due(left_s, probe=probe)
                self._not_written, probe = None, False
            except StoreError as error:  # such as a lock or a full disk, which pass
                self._not_written = error
                self._reports.on_error(str(error))
            persona = _logged(self._store, self._id)
            if not persona.is_terminal:
                self._clock.sleep(self._pause_s(left_s))
                persona = _logged(self._store, self._id)

    def _begin(self) -> Persona:
        """Return the persona from the log, polled soon; request it if the log does not have it."""
        poller, clock = self._poller, self._clock
        persona = self._store.persona(self._id)
        if persona is None:
            # A person's own call, which a pause of the account does not hold up.
            asking = poller.api.ask(by_person=True)
            persona = poller.request(self._id, asking, self._timeout)
            poller.log_answer(persona, asking, clock.now())
            return _logged(self._store, self._id)
        if not persona.is_terminal:
            if self._store.next_look_at(self._id) is None:
                self._store.set_followed(self._id, True, clock.now())
            plan_soon(poller, self._id)
        return persona

    def _pause_s(self, left_s: float) -> float:
        """Return the wall seconds until the log is read again."""
        pause = self._poller.api.pause()
        next_at = self._store.next_look_at(self._id) if pause is None else pause.until
        pause_s = self._clock.wall_seconds_until(next_at) if next_at else 0.0
        shortest_s = SHORTEST_WAIT_S if self._not_written is None else LONGEST_WAIT_S
        return min(max(pause_s, shortest_s), LONGEST_WAIT_S, left_s)

    def _poll_if_due(self, deadline_s: float, *, probe: bool) -> None:
        store, persona_id, now = self._store, self._id, self._clock.now()
        if not store.is_due(persona_id, now):
            return
        planned_at = store.next_look_at(persona_id)
        until = now + min(gate.on_clock(self._clock, RESERVE_S), LONGEST_GAP)
        if not store.begin_poll(persona_id, now, until):
            return  # a tracker, or another wait, asks: its answer is read from the log
        for due in store.due(now, persona_id):
            try:
                outcome = self._poller.poll(due, deadline_s=deadline_s, probe=probe)
            finally:  # such as in a pause, in which nothing is learned of this persona
                store.end_poll(persona_id, until, planned_at)
            if outcome.change is not None:
                log_change(outcome.change)
            if outcome.error is not None:
                self._reports.on_error(outcome.error)
            error = outcome.raised
            if isinstance(error, AuthError) or is_missing(error):
                raise error

    def _trouble(self) -> str | None:
        """Return what went wrong since the last answer about the persona, None if nothing."""
        poll = self._store.last_poll(self._id)
        pause = self._poller.api.trouble()
        error = poll.error if pause is None else pause.reason
        if error is None:
            self._failing_since = None
        elif self._failing_since is None:
            moments = [poll.error_at, None if pause is None else pause.began_at]
            known = [moment for moment in moments if moment is not None]
            self._failing_since = min(known, default=self._clock.now())
        return error

    def _timed_out(self, status: str, waited_s: float) -> WaitTimeout:
        error, now = self._trouble(), self._clock.now()
        state = f"{self._id} is still {status} after {format_hours(waited_s / 3600)}"
        if error is not None and self._failing_since is not None:
            since = format_minute(self._failing_since, now)
            seen = format_minute(self._store.last_poll(self._id).seen_at, now)
            state = (
                f"It is not known whether {self._id} has ended, as it cannot be reached since "
                f"{since}, last seen {status} at {seen} ({error.rstrip('.')})"
            )
        return WaitTimeout(
            f"{state}; wait for the same id again to go on.",
            persona_id=self._id,
            waited_s=waited_s,
            last_error=error,
        )


def _logged(store: Store, persona_id: str) -> Persona:
    persona = store.persona(persona_id)
    if persona is None:
        raise ConfigError(
            f"{persona_id} is in the log no longer: it was forgotten, or carried over to another "
            "API id, while it was waited for."
        )
    return persona


def plan_soon(poller: Poller, persona_id: str) -> None:
    """Bring the next poll forward to the shortest gap from now; it may be hours away."""
    now = poller.clock.now()
    soon, next_at = now + SHORTEST, poller.store.next_look_at(persona_id)
    if next_at is not None and next_at > soon:
        poller.store.plan(persona_id, soon, now)


def _done(persona: Persona) -> Persona:
    reason = persona.failed_reason or "no reason was given"
    if persona.status is ProcessStatus.FAILED:
        raise PersonaFailed(f"{persona.id} failed: {reason}", persona=persona)
    if persona.status is ProcessStatus.REJECTED:
        raise PersonaRejected(f"{persona.id} was rejected: {reason}", persona=persona)
    return persona
