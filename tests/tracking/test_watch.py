"""``Tracker.watch``: a table in a notebook, lines elsewhere."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from IPython import display as ipython
from IPython.core import getipython
from IPython.core.formatters import DisplayFormatter

from avatarkit import Client, Sandbox, Store, Tracker, errors
from avatarkit.models import Persona
from avatarkit.reports.live_table import LiveTable
from avatarkit.tracking import watch
from support.manual_clock import MONDAY, ManualClock

HOUR = timedelta(hours=1)
MARKUP = "<img src=x onerror=alert(1)> & \x1b[31m"


class Cells(HTMLParser):
    """The texts in the cells of a table, by row."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.tags: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data: str) -> None:
        if data.strip() and self.rows:
            self.rows[-1][-1] += data


class Display:
    """Stands in for IPython's ``display``; ``shown`` lists what was displayed and updated."""

    def __init__(self) -> None:
        self.shown: list[LiveTable] = []

    def __call__(self, table: LiveTable, *, display_id: bool) -> Display:
        assert display_id
        assert not self.shown
        self.update(table)
        return self

    def update(self, table: LiveTable) -> None:
        self.shown.append(table)


class StoppedClock(ManualClock):
    """A clock whose sleeps are ``steps``, one after the other; after the last it is interrupted."""

    def __init__(self, *steps: Callable[[], object]) -> None:
        super().__init__(MONDAY)
        self.steps = list(steps)

    def sleep(self, seconds: float, stop: threading.Event | None = None) -> None:
        if stop is not None:  # the tracker's own thread
            stop.wait()
            return
        if not self.steps:
            raise KeyboardInterrupt
        super().sleep(seconds)
        self.steps.pop(0)()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(f"sqlite:///{tmp_path / 'log.db'}") as opened:
        yield opened


@pytest.fixture
def open_tracker(store: Store) -> Iterator[Callable[[ManualClock], Tracker]]:
    """A function that opens a tracker whose API knows no avatar, and has no thread."""
    transport = httpx.MockTransport(lambda request: httpx.Response(200, json=[]))
    with Client("https://a.example", "i", "k" * 16, transport=transport, tries=1) as client:

        def open_tracker(clock: ManualClock) -> Tracker:
            tracker = Tracker(client, store, clock=clock)
            tracker.start = lambda: None  # type: ignore[method-assign]
            return tracker

        yield open_tracker


@pytest.fixture
def display(monkeypatch: pytest.MonkeyPatch) -> Display:
    shown = Display()
    monkeypatch.setattr(watch, "notebook_display", lambda: shown)
    return shown


def record(store: Store, persona_id: str, status: str, *, minutes: int = 0, **values: Any) -> None:
    """Log an answer; what has not ended is polled an hour after the beginning."""
    answer = {"id": persona_id, "process_status": status, **values}
    persona = Persona.model_validate(answer)
    at = MONDAY + timedelta(minutes=minutes)
    store.record(persona, asked_at=at, answered_at=at, source="poll")
    store.plan(persona_id, None if persona.is_terminal else MONDAY + HOUR)


def ignore() -> None:
    """Let time pass, and nothing else."""


class TestInANotebook:
    def test_it_is_updated_only_when_something_changed_and_ends_by_itself(
        self, store: Store, open_tracker: Callable[[ManualClock], Tracker], display: Display
    ) -> None:
        """One table is shown, changed once for each change, until no avatar is left to poll."""
        clock = StoppedClock(
            ignore,
            ignore,
            lambda: record(store, "p1", "reviewing", minutes=1),
            ignore,
            lambda: record(store, "p1", "done", minutes=2),
        )
        tracker = open_tracker(clock)
        record(store, "p1", "pending", creator_name="Ada")
        tracker.watch()
        assert [table.rows[0][2] for table in display.shown] == ["Pending", "Reviewing", "Done"]
        assert display.shown[0].rows[0][:2] == ("Ada", "p1")
        assert display.shown[0].rows[0][3:5] == ("2026-01-05 09:00", "10:00:00")
        assert clock.slept == [watch.READ_EVERY_S] * 5

    def test_one_that_is_gone_does_not_keep_it_open(
        self, store: Store, open_tracker: Callable[[ManualClock], Tracker], display: Display
    ) -> None:
        """A gone avatar is still polled daily, and is shown as gone."""
        tracker = open_tracker(StoppedClock())
        record(store, "p1", "pending")
        for hours in (0, 30, 60):
            store.record_error("p1", "Not there.", at=MONDAY + hours * HOUR, missing=True)
        store.plan("p1", MONDAY + 90 * HOUR)
        tracker.watch()
        assert "gone from the API" in display.shown[-1].rows[0][2]

    def test_the_stop_button_ends_it_quietly(
        self, store: Store, open_tracker: Callable[[ManualClock], Tracker], display: Display
    ) -> None:
        """The interrupt of the kernel ends the watching, without a traceback."""
        tracker = open_tracker(StoppedClock(ignore))
        record(store, "p1", "pending")
        tracker.watch()
        assert len(display.shown) == 1

    def test_it_ends_after_its_timeout(
        self, store: Store, open_tracker: Callable[[ManualClock], Tracker], display: Display
    ) -> None:
        """The timeout is in wall seconds; the last sleep is no longer than what is left."""
        clock = StoppedClock(ignore, ignore, ignore, ignore)
        tracker = open_tracker(clock)
        record(store, "p1", "pending")
        tracker.watch(timeout=2.5)
        assert clock.slept == [1.0, 1.0, 0.5]

    def test_texts_of_the_api_are_shown_as_they_are(
        self, store: Store, open_tracker: Callable[[ManualClock], Tracker], display: Display
    ) -> None:
        """Markup in a name, a status, a reason or an error is text, and drives no terminal."""
        tracker = open_tracker(StoppedClock())
        record(store, MARKUP, MARKUP, creator_name=MARKUP, failed_reason=MARKUP)
        store.record_error(MARKUP, MARKUP, at=MONDAY, missing=False)
        tracker.last_error = MARKUP
        tracker.watch()
        html = display.shown[0]._repr_html_()
        cells = Cells(html)
        assert cells.tags == {"div", "table", "thead", "tbody", "tr", "th", "td"}
        assert cells.rows[1][0] == MARKUP.replace("\x1b", "\ufffd")
        assert "\x1b" not in html + repr(display.shown[0])

    def test_a_long_list_is_cut(
        self,
        store: Store,
        open_tracker: Callable[[ManualClock], Tracker],
        display: Display,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """What is left out is counted."""
        monkeypatch.setattr(watch, "MOST_ROWS", 2)
        tracker = open_tracker(StoppedClock())
        for number in range(5):
            record(store, f"p{number}", "pending")
        tracker.watch()
        assert len(display.shown[0].rows) == 2
        for text in (display.shown[0]._repr_html_(), repr(display.shown[0])):
            assert "and 3 more" in text

    def test_a_database_that_fails_is_said_and_waited_for(
        self,
        store: Store,
        open_tracker: Callable[[ManualClock], Tracker],
        display: Display,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """The avatars stay as they were shown last, until it answers again."""

        def fail(limit: int) -> None:
            raise errors.StoreError("The database is locked.")

        clock = StoppedClock(
            lambda: monkeypatch.setattr(store, "shown", fail), monkeypatch.undo, ignore
        )
        monkeypatch.setattr(watch, "notebook_display", lambda: display)
        record_first = open_tracker(clock)
        record(store, "p1", "pending")
        watch.watch(store, clock, record_first.state)
        first, failed = display.shown[:2]
        assert failed.rows == first.rows
        assert failed.lines == ("The database is locked.",)
        assert display.shown[2] == first

    def test_ipython_shows_both_forms(self) -> None:
        """IPython takes the HTML for a notebook and the text for everything else."""
        table = LiveTable((("Ada", "p1", "Pending", "2026-01-05 09:00:00", "due", ""),), ("1 due",))
        formatted, _ = DisplayFormatter().format(table)
        assert Cells(formatted["text/html"]).rows[1][1] == "p1"
        assert formatted["text/plain"].splitlines()[1:] == [
            "Ada     p1  Pending  2026-01-05 09:00:00  due",
            "1 due",
        ]

    def test_a_kernel_gets_the_table(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where IPython runs in a kernel its own display is used, and not in IPython's terminal."""
        monkeypatch.setattr(getipython, "get_ipython", lambda: SimpleNamespace(kernel=object()))
        assert watch.notebook_display() is ipython.display
        monkeypatch.setattr(getipython, "get_ipython", lambda: SimpleNamespace())
        assert watch.notebook_display() is None


class TestElsewhere:
    def test_a_terminal_gets_lines(
        self,
        store: Store,
        open_tracker: Callable[[ManualClock], Tracker],
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """Each change is a line, as ``track`` prints it; several in one second are all there."""

        def change_twice() -> None:
            record(store, "p1", "reviewing", minutes=1)
            record(store, "p1", "failed", minutes=2, failed_reason="Too \x1bdark.")

        tracker = open_tracker(StoppedClock(ignore, change_twice))
        record(store, "p1", "pending", creator_name="Ada")
        tracker.watch()
        assert capsys.readouterr().out.splitlines() == [
            "1 in flight · 0 due · next poll 10:00:00 · 0 of 600 calls in the last hour"
            " · the tracker does not run",
            "2026-01-05 09:01:00Z  p1  Ada  pending -> reviewing",
            "2026-01-05 09:02:00Z  p1  Ada  reviewing -> failed (Too \ufffddark.)",
        ]

    def test_an_error_is_printed_once_while_it_repeats(
        self,
        store: Store,
        open_tracker: Callable[[ManualClock], Tracker],
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """Also an error of the tracker that stays."""
        clock = StoppedClock(ignore, ignore)
        tracker = open_tracker(clock)
        record(store, "p1", "pending")
        tracker.last_error = "No answer."
        tracker.watch()
        assert capsys.readouterr().out.count("No answer.") == 1

    def test_plain_python_needs_no_ipython(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """IPython is not loaded where it was not before."""
        monkeypatch.delitem(sys.modules, "IPython")
        assert watch.notebook_display() is None
        assert "IPython" not in sys.modules


def test_the_tracker_goes_on_when_the_watching_ends(sandbox: Sandbox, tmp_path: Path) -> None:
    """watch() starts the background thread, which polls on after it."""
    keys = {"api_id": sandbox.api_id, "api_key": sandbox.api_key}
    with (
        Client(base_url=sandbox.url, **keys) as client,
        Store(f"sqlite:///{tmp_path / 'log.db'}") as store,
    ):
        tracker = Tracker(client, store, clock=sandbox.clock)
        tracker.watch(timeout=5)
        assert tracker.alive
        tracker.stop()
