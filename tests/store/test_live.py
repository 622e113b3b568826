"""What a live view reads of the log, on SQLite and on a real PostgreSQL."""

from __future__ import annotations

from datetime import timedelta

from avatarkit import Change, Store
from avatarkit.models import Persona
from support.manual_clock import MONDAY

HOUR = timedelta(hours=1)


def record(store: Store, persona_id: str, status: str, hours: float = 0) -> None:
    """Log an answer, and plan the next poll an hour later if it has not ended."""
    at = MONDAY + hours * HOUR
    persona = Persona.model_validate(
        {"id": persona_id, "process_status": status, "creator_name": f"name of {persona_id}"}
    )
    store.record(persona, asked_at=at, answered_at=at, source="poll")
    store.plan(persona_id, None if persona.is_terminal else at + HOUR)


def miss(store: Store, persona_id: str, hours: float) -> None:
    """Log that the API says that it has no such persona."""
    store.record_error(persona_id, "It is not there.", at=MONDAY + hours * HOUR, missing=True)


def test_personas_in_flight_and_due_are_counted(store: Store) -> None:
    """Those that have ended or are gone are not in flight; other accounts are not counted."""
    record(store, "new", "pending")
    record(store, "later", "reviewing", hours=2)
    record(store, "done", "done")
    record(store, "gone", "pending")
    for hours in (1, 30, 60):
        miss(store, "gone", hours)
    assert store.counts(MONDAY + 2 * HOUR) == (4, 2, 2)
    store.plan("gone", MONDAY + 70 * HOUR)
    assert store.counts(MONDAY + 2 * HOUR) == (4, 2, 2 if store.due(MONDAY + 2 * HOUR)[1:] else 1)
    store.account = "another"
    assert store.counts(MONDAY) == (0, 0, 0)


def test_what_needs_attention_is_first_and_what_has_ended_last(store: Store) -> None:
    """Within each of the three groups the newest is first; no more rows than asked for."""
    record(store, "done", "done", hours=5)
    record(store, "older", "pending", hours=1)
    record(store, "newer", "reviewing", hours=2)
    record(store, "failing", "pending")
    store.record_error("failing", "No answer.", at=MONDAY + 3 * HOUR, missing=False)
    rows = store.shown(9)
    assert [row.persona_id for row in rows] == ["failing", "newer", "older", "done"]
    failing, newer = rows[:2]
    assert (failing.last_error, failing.last_error_at) == ("No answer.", MONDAY + 3 * HOUR)
    assert (newer.creator_name, newer.since) == ("name of newer", MONDAY + 2 * HOUR)
    assert (newer.next_poll_at, rows[-1].next_poll_at) == (MONDAY + 3 * HOUR, None)
    assert [row.persona_id for row in store.shown(2)] == ["failing", "newer"]


def test_a_status_is_since_its_first_sighting(store: Store) -> None:
    """A poll that finds the same status does not move it."""
    record(store, "p", "pending")
    record(store, "p", "reviewing", hours=1)
    record(store, "p", "reviewing", hours=4)
    assert store.shown(1)[0].since == MONDAY + HOUR


def test_changes_after_a_run_are_all_those_that_came_later(store: Store) -> None:
    """Each change is there once, with the status before it, also several of one persona."""
    assert store.last_run_id() == 0
    record(store, "p", "pending")
    before = store.last_run_id()
    assert store.changes_after(before) == []
    record(store, "p", "processing", hours=1)
    record(store, "q", "pending", hours=2)
    record(store, "p", "reviewing", hours=3)
    changes = [(each.persona_id, each.before, each.after) for each in store.changes_after(before)]
    assert changes == [("p", "pending", "processing"), ("q", None, "pending"),
                       ("p", "processing", "reviewing")]  # fmt: skip
    newest = store.changes_after(before)[-1]
    assert newest == Change("p", "name of p", "processing", "reviewing", MONDAY + 3 * HOUR)
    assert store.changes_after(store.last_run_id()) == []
