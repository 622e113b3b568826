"""What a live view reads of the log, on SQLite and on a real PostgreSQL."""

from __future__ import annotations

from datetime import timedelta

from avatarkit import Change, PersonaCreate, Store
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


def test_the_state_changes_with_what_a_page_shows(store: Store) -> None:
    """A poll that finds nothing new keeps it; a status, an error and another account do not."""
    empty = store.state_key()
    assert empty.last_run_id == empty.personas == 0
    record(store, "a", "pending")
    record(store, "b", "pending", hours=1)
    keys = [store.state_key()]
    record(store, "a", "pending", hours=2)
    assert store.state_key() == keys[0]
    for change in (
        lambda: record(store, "a", "reviewing", hours=3),
        lambda: store.record_error("a", "No.", at=MONDAY + 4 * HOUR, missing=False),
        lambda: store.set_followed("b", False, MONDAY),
    ):
        change()
        keys.append(store.state_key())
    assert len(set(keys)) == 4
    assert keys[-1].last_run_id == store.last_run_id() == keys[1].last_run_id
    store.account = "another"
    assert store.state_key() == empty


def test_uncertain_submissions_are_counted_in_the_state(store: Store) -> None:
    """Apart from the others."""
    submission_id = store.prepare(PersonaCreate(creator_name="Ada", gender="f"), MONDAY)
    prepared = store.state_key()
    store.sending(submission_id, MONDAY)
    store.uncertain(submission_id, MONDAY, "It broke.")
    assert (prepared.uncertain, store.state_key().uncertain) == (0, 1)
    assert store.state_key() != prepared


def test_which_have_changed_since_a_run(store: Store) -> None:
    """Those with a newer run of a status, each once; of this account only."""
    record(store, "a", "pending")
    record(store, "b", "pending")
    seen = store.last_run_id()
    assert store.changed_after(seen) == set()
    record(store, "b", "reviewing", hours=1)
    record(store, "b", "done", hours=2)
    record(store, "c", "pending")
    assert store.changed_after(seen) == {"b", "c"}
    store.account = "another"
    assert store.changed_after(seen) == set()


def test_which_the_api_has_deleted(store: Store) -> None:
    """One that had ended and is not found, and none that was deleted from here."""
    record(store, "a", "done")
    record(store, "b", "done")
    assert store.deleted_by_api() == {}
    miss(store, "a", 1)
    assert store.deleted_by_api() == {"a": "name of a"}
