"""Wait for one persona: poll it when it is due, until it ends or the time is over."""

from __future__ import annotations

from collections.abc import Callable

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

SHORTEST_WAIT_S = 0.1
RESERVE_S = 20.0
"""Wall seconds for which other processes leave a persona alone that is being asked for."""
LONGEST_WAIT_S = 5.0
"""Wall seconds between two reads of the log, at most, as other processes write to it too."""


def wait(
    poller: Poller,
    persona_id: str,
    *,
    timeout: float,
    on_error: Callable[[str], None],
    on_progress: Callable[[Persona], None] | None = None,
) -> Persona:
    """Return the persona once it is done; see ``Tracker.wait``.

    ``on_error`` is called with what went wrong in a poll.
    """
    awaited = poller.schedule.awaited
    awaited.add(persona_id)
    try:
        return _wait(poller, persona_id, timeout, on_error, on_progress)
    finally:
        awaited.discard(persona_id)


def _wait(
    poller: Poller,
    persona_id: str,
    timeout: float,
    on_error: Callable[[str], None],
    on_progress: Callable[[Persona], None] | None,
) -> Persona:
    store, clock = poller.store, poller.clock
    began_s = clock.monotonic()
    persona = store.persona(persona_id)
    if persona is None:
        # A person's own call, which a pause of the account does not hold up.
        asking = poller.api.ask(by_person=True)
        persona = poller.request(persona_id, asking, timeout)
        poller.log_answer(persona, asking, clock.now())
        persona = _logged(store, persona_id)
    elif not persona.is_terminal:
        if store.next_look_at(persona_id) is None:
            store.set_followed(persona_id, True, clock.now())
        plan_soon(poller, persona_id)
    status: str | None = None
    not_written: StoreError | None = None
    probe = True  # the caller may have mended what was in the way
    while True:
        if on_progress is not None and persona.status_text != status:
            on_progress(persona)
        status = persona.status_text
        if persona.is_terminal:
            return _done(persona)
        require_not_deleted(store, persona_id)
        waited_s = clock.monotonic() - began_s
        if waited_s >= timeout:
            if not_written is not None:
                raise not_written
            raise WaitTimeout(
                f"{persona_id} is still {status} after {format_hours(waited_s / 3600)}; wait for "
                "the same id again to go on.",
                persona_id=persona_id,
                waited_s=waited_s,
            )
        try:
            _poll_if_due(poller, persona_id, timeout - waited_s, on_error, probe=probe)
            not_written, probe = None, False
        except StoreError as error:  # such as a lock or a full disk, which pass
            not_written = error
            on_error(str(error))
        pause = poller.api.pause()
        next_at = store.next_look_at(persona_id) if pause is None else pause.until
        pause_s = clock.wall_seconds_until(next_at) if next_at else 0.0
        shortest_s = SHORTEST_WAIT_S if not_written is None else LONGEST_WAIT_S
        pause_s = min(max(pause_s, shortest_s), LONGEST_WAIT_S, timeout - waited_s)
        persona = _logged(store, persona_id)
        if not persona.is_terminal:
            clock.sleep(pause_s)
            persona = _logged(store, persona_id)


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


def _poll_if_due(
    poller: Poller,
    persona_id: str,
    deadline_s: float,
    on_error: Callable[[str], None],
    *,
    probe: bool,
) -> None:
    store, now = poller.store, poller.clock.now()
    if not store.is_due(persona_id, now):
        return
    planned_at = store.next_look_at(persona_id)
    until = now + min(gate.on_clock(poller.clock, RESERVE_S), LONGEST_GAP)
    if not store.begin_poll(persona_id, now, until):
        return  # a tracker, or another wait, asks: its answer is read from the log
    for due in store.due(now, persona_id):
        try:
            outcome = poller.poll(due, deadline_s=deadline_s, probe=probe)
        finally:  # such as in a pause, in which nothing is learned of this persona
            store.end_poll(persona_id, until, planned_at)
        if outcome.error is not None:
            on_error(outcome.error)
        error = outcome.raised
        if isinstance(error, AuthError) or is_missing(error):
            raise error


def _done(persona: Persona) -> Persona:
    reason = persona.failed_reason or "no reason was given"
    if persona.status is ProcessStatus.FAILED:
        raise PersonaFailed(f"{persona.id} failed: {reason}", persona=persona)
    if persona.status is ProcessStatus.REJECTED:
        raise PersonaRejected(f"{persona.id} was rejected: {reason}", persona=persona)
    return persona
