"""What has changed since a browser's last visit, and the hints that it has dismissed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from avatarkit import Persona
from avatarkit.ui import visits, watcher
from avatarkit.ui.running import Running
from avatarkit.ui.uploads import FORGET_AFTER
from support.app_pages import BROWSER, record, submit_page, texts
from support.manual_clock import ManualClock

MINUTE = timedelta(minutes=1)
OTHER = "a" * 32


@pytest.fixture(autouse=True)
def browser(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return a function that chooses the browser outside of pages."""

    def choose(browser_id: str) -> None:
        monkeypatch.setattr(visits, "browser_id", lambda: browser_id)

    choose(BROWSER)
    return choose


def change(app: Running, persona_id: str, status: str) -> None:
    """Log another status of an avatar, a second later."""
    app.session.clock.sleep(1)
    record(app.session, Persona(id=persona_id, process_status=status))


def draw(app: Running) -> None:
    """Let a person open or click a page."""
    visits.note(app.session.store.last_run_id())


def test_a_first_visit_marks_nothing(app: Running) -> None:
    """What was there before a browser came for the first time is not new to it alone."""
    change(app, "a", "pending")
    draw(app)
    change(app, "a", "reviewing")
    assert visits.changed_ids() == set()


def test_what_changed_since_the_last_visit_is_marked(
    app: Running, app_clock: ManualClock, browser: Callable[[str], None]
) -> None:
    """A visit ends when no tab was drawn for half an hour; each browser has visits of its own."""
    for persona_id in "abc":
        change(app, persona_id, "pending")
    draw(app)
    change(app, "a", "reviewing")
    app_clock.advance(29 * MINUTE)
    draw(app)
    assert visits.changed_ids() == set()
    change(app, "b", "reviewing")
    app_clock.advance(30 * MINUTE)
    draw(app)
    change(app, "c", "reviewing")
    app_clock.advance(MINUTE)
    draw(app)
    assert visits.changed_ids() == {"b", "c"}
    browser(OTHER)
    assert visits.changed_ids() == set()


def test_it_survives_a_restart(
    app: Running, app_clock: ManualClock, restart: Callable[..., Running]
) -> None:
    """What a browser has seen lies on disk."""
    change(app, "a", "pending")
    draw(app)
    change(app, "a", "reviewing")
    app_clock.advance(60 * MINUTE)
    draw(restart())
    assert visits.changed_ids() == {"a"}


def test_what_is_on_disk_may_be_anything(app: Running) -> None:
    """A file that cannot be read is that of a first visit."""
    path = visits._path()
    for content in ("", "[]", "{}", '{"dismissed": 1}', '{"last_run": "x", "dismissed": []}'):
        draw(app)
        path.write_text(content, encoding="utf-8")
        assert visits.changed_ids() == set()
        assert not visits.is_dismissed("x")


def test_a_log_that_was_replaced_marks_nothing(app: Running, app_clock: ManualClock) -> None:
    """An older copy of the log has fewer runs: its next ones are not those that were seen."""
    app_clock.advance(MINUTE)
    visits.note(100)
    app_clock.advance(60 * MINUTE)
    visits.note(100)
    change(app, "a", "pending")
    draw(app)
    assert visits.changed_ids() == set()


def test_what_the_watcher_draws_is_no_visit(app: Running, app_clock: ManualClock) -> None:
    """An open tab does not see for its person, who finds the changes of the night marked."""
    change(app, "a", "pending")
    test = submit_page()
    for status in ("reviewing", "done"):
        app_clock.advance(60 * MINUTE)
        change(app, "a", status)
        test.session_state[watcher._BY_WATCHER] = True
        test.run()
    assert visits.changed_ids() == set()
    test.run()
    assert visits.changed_ids() == {"a"}


def test_the_sandbox_is_explained_once(app: Running, browser: Callable[[str], None]) -> None:
    """Its sentence can be dismissed for this browser, also after a reload; a badge stays."""
    assert "times as fast" in texts(submit_page())
    submit_page().button(key="main_dismiss_sandbox").click().run()
    shown = texts(submit_page())
    assert "times as fast" not in shown
    assert "Sandbox" in shown
    browser(OTHER)
    assert "times as fast" in texts(submit_page(OTHER))


def test_a_browser_that_does_not_come_back_is_forgotten(
    app: Running, app_clock: ManualClock
) -> None:
    """Its file goes with its draft."""
    draw(app)
    app.outbox.sweep(app_clock.now())
    assert visits._path().exists()
    from datetime import UTC, datetime

    changed_at = datetime.fromtimestamp(visits._path().stat().st_mtime, UTC)
    app.outbox.sweep(changed_at + FORGET_AFTER)
    assert not visits._path().exists()
