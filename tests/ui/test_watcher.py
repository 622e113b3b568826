"""A page is drawn again when something has changed that it shows, and only then."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import streamlit as st

from avatarkit import Persona, PersonaCreate, Store, Tracker, errors
from avatarkit.tracking.access import Access
from avatarkit.ui import banner, toasts, watcher
from avatarkit.ui.running import Running
from support.app_pages import HOUR, record, record_lives, submit_page
from support.manual_clock import ManualClock

ADA = PersonaCreate(creator_name="Ada", gender="f")


def settled_key(app: Running) -> Any:
    """Return the key of the watcher once nothing is computed any more."""
    app.estimates.arrivals(app.estimates.log(), wait_s=math.inf)
    return watcher._key()


def test_polls_that_find_nothing_new_draw_nothing(app: Running, app_clock: ManualClock) -> None:
    """While no status changes the page stays, however often it is polled."""
    [persona_id] = record_lives(app.session, 0, running=1)
    before = settled_key(app)
    for _ in range(3):
        app_clock.advance(HOUR / 60)
        record(app.session, Persona(id=persona_id, process_status="reviewing"))
    assert watcher._key() == before


def pause(app: Running) -> None:
    now = app.session.clock.now()
    app.session.store.begin_pause(now, now + HOUR, "Wait until {moment}.", 1)


def lose_lease(app: Running) -> None:
    other = Tracker(
        app.session.client,
        Store(app.session.settings.store_url),
        clock=app.session.clock,
    )
    assert other.lease.keep()
    app.session.tracker.start()


def make_uncertain(app: Running) -> None:
    store, now = app.session.store, app.session.clock.now()
    submission_id = store.prepare(ADA, now)
    store.sending(submission_id, now)
    store.uncertain(submission_id, now, "It broke.")


def refuse_keys(app: Running) -> None:
    refused = errors.AuthError("Check both keys.", method="GET", url="", status_code=401)
    app.session.tracker.access = Access(refused, app.session.clock.now())


def fail_poll(app: Running, persona_id: str = "lived-000") -> None:
    now = app.session.clock.now()
    app.session.store.record_error(persona_id, "No answer.", at=now, missing=False)


CHANGES: list[Callable[[Running], object]] = [
    lambda app: record(app.session, Persona(id="lived-000", process_status="done")),
    lambda app: app.session.tracker.unfollow("lived-000"),
    lambda app: app.session.store.set_unknown_count(3),
    fail_poll,
    pause,
    lose_lease,
    make_uncertain,
    refuse_keys,
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_draws_the_page_again(app: Running, change: Callable[[Running], object]) -> None:
    """A new status, and everything else that a page or its banner shows."""
    record_lives(app.session, 0, running=2)
    before = settled_key(app)
    app.session.clock.sleep(1)
    change(app)
    assert watcher._key() != before


def test_one_that_takes_the_place_of_another_is_a_change(app: Running) -> None:
    """Also if as many as before have it."""
    record_lives(app.session, 0, running=2)
    fail_poll(app)
    before = settled_key(app)
    app.session.clock.sleep(1)
    record(app.session, Persona(id="lived-000", process_status="reviewing"))
    fail_poll(app, "lived-001")
    assert app.session.store.personas()["last_error"].count() == 1
    assert watcher._key() != before


def test_a_database_that_fails_is_drawn_once(app: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page says it, and again what it has when it works again; the watcher goes on."""
    before = settled_key(app)

    def fail(_: Store) -> None:
        raise errors.StoreError("The database is locked.")

    with monkeypatch.context() as patch:
        patch.setattr(Store, "state_key", fail)
        assert watcher._key() == watcher._key() != before
    assert watcher._key() == before


@pytest.fixture
def reruns(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count the reruns that are asked for, with a session state outside of a page."""
    reruns: list[int] = []
    monkeypatch.setattr(st, "rerun", lambda: reruns.append(1))
    monkeypatch.setattr(st, "session_state", {})
    return reruns


def test_the_watcher_asks_for_a_run_of_the_app(app: Running, reruns: list[int]) -> None:
    """Not in the run that draws the page, but after a change, and not while a dialog holds it."""
    app.estimates.arrivals(app.estimates.log(), wait_s=math.inf)
    watch = watcher._watch.__wrapped__  # type: ignore[attr-defined]
    drawn = watcher.Drawn()
    for _ in range(2):
        watch(drawn)
    assert not reruns
    record(app.session, Persona(id="a", process_status="pending"))
    watcher.hold()
    watch(drawn)
    assert not reruns
    st.session_state[watcher._HELD] = False
    watch(drawn)
    assert reruns == [1]
    assert watcher.draws()
    assert not watcher.draws()


def test_an_error_of_a_page_goes_with_its_cause(
    app: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if the database works again before the watcher looks for the first time."""
    app.estimates.arrivals(app.estimates.log(), wait_s=math.inf)
    drawn: list[watcher.Drawn] = []
    show = watcher.show
    monkeypatch.setattr(watcher, "show", lambda: drawn.append(show()) or drawn[-1])

    def fail() -> None:
        raise errors.StoreError("The database is locked.")

    with monkeypatch.context() as patch:
        patch.setattr(banner, "show", fail)
        assert [error.value for error in submit_page().error] == ["The database is locked."]
    assert drawn[0].key != watcher._key()
    submit_page()
    assert drawn[1].key == watcher._key()


class TestToasts:
    def toasts_after(self, app: Running, change: Callable[[], object]) -> list[str]:
        """Return the toasts of an open page after a change, each of which is shown once."""
        test = submit_page()
        assert not test.toast
        app.session.clock.sleep(1)
        change()
        test.run()
        shown = [toast.value for toast in test.toast]
        test.run()
        assert not test.toast
        return shown

    def end(self, app: Running, persona_id: str, status: str, reason: str | None = None) -> None:
        record(app.session, Persona(id=persona_id, process_status=status, failed_reason=reason))

    def test_an_end_is_told_once(self, app: Running) -> None:
        """With name and reason, while the page is open; not again, and not at the first look."""
        record_lives(app.session, 0, running=2)

        def change() -> None:
            self.end(app, "lived-000", "failed", "No *face*.")
            self.end(app, "lived-001", "generating")

        assert self.toasts_after(app, change) == [r"Ada 0: failed: No \*face\*."]

    def test_what_the_api_has_deleted_is_told(self, app: Running, app_clock: ManualClock) -> None:
        """By its name."""
        ids = record_lives(app.session, 1)

        def change() -> None:
            store, now = app.session.store, app_clock.now()
            store.record_error(ids[0], "404", at=now, missing=True)

        assert self.toasts_after(app, change) == ["The API has deleted Ada 0."]

    def test_many_ends_are_counted(self, app: Running) -> None:
        """Hundreds at once are one toast."""
        ids = record_lives(app.session, 0, running=5)

        def change() -> None:
            for place, persona_id in enumerate(ids):
                self.end(app, persona_id, "failed" if place == 0 else "done")

        assert toasts.MOST < 5
        told = self.toasts_after(app, change)
        assert told == ["5 avatars have ended: 4 done, 1 failed."]

    def test_what_was_imported_has_not_just_ended(self, app: Running) -> None:
        """An avatar that is new in the log and done is no news."""
        record_lives(app.session, 1)
        assert self.toasts_after(app, lambda: self.end(app, "imported", "done")) == []


def test_the_tab_counts_what_needs_attention(app: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its title has the number of failed avatars and uncertain submissions, if there are any."""
    titles: list[str] = []
    monkeypatch.setattr(st, "set_page_config", lambda **config: titles.append(config["page_title"]))
    record_lives(app.session, 1)
    submit_page()
    record(app.session, Persona(id="a", process_status="failed"))
    make_uncertain(app)
    submit_page()
    assert titles == ["avatarkit", "(2) avatarkit"]
