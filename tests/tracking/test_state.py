"""The state of a tracker, as everything live shows it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from avatarkit import Client, PersonaCreate, Store, Tracker
from avatarkit.tracking.state import TrackerState
from support.manual_clock import MONDAY, ManualClock

HOUR = timedelta(hours=1)
ADA = PersonaCreate(creator_name="Ada", gender="f")
IDLE = TrackerState(
    now=MONDAY,
    running=True,
    total=3,
    in_flight=2,
    due=1,
    next_poll_at=MONDAY + timedelta(minutes=5),
    last_pass_at=MONDAY,
    calls_last_hour=7,
)


class API:
    """Answers a create, the quota, an empty list, and gets with ``answer``."""

    def __init__(self) -> None:
        self.answer = httpx.Response(200, json={"id": "p1", "process_status": "reviewing"})
        self.created = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            self.created += 1
            body = {"id": f"p{self.created}", "process_status": "pending"}
            return httpx.Response(201, json=body)
        if request.url.path.endswith("/count/"):
            return httpx.Response(200, json={"max_count": 9, "current_count": 0})
        if request.url.path == "/api/personas_v2/":
            return httpx.Response(200, json=[])
        answer = self.answer
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)


@pytest.fixture
def api() -> API:
    return API()


@pytest.fixture
def tracker(api: API, manual_clock: ManualClock, tmp_path: Path) -> Iterator[Tracker]:
    transport = httpx.MockTransport(api)
    with (
        Client("https://a.example", "i", "k" * 16, transport=transport, tries=1) as client,
        Store(f"sqlite:///{tmp_path / 'log.db'}") as store,
    ):
        yield Tracker(client, store, clock=manual_clock)


def test_a_new_tracker_has_nothing_to_do(tracker: Tracker) -> None:
    """Without avatars there is no poll, no pass, no call and no error."""
    state = TrackerState(MONDAY, False, 0, 0, 0, None, None, 0, calls_per_hour=600.0)
    assert tracker.state() == state


def test_the_state_follows_a_pass(tracker: Tracker, manual_clock: ManualClock) -> None:
    """It tells what is in flight and due, when the next poll is, and the calls of the last hour."""
    tracker.submit(ADA)
    manual_clock.advance(HOUR)
    before = tracker.state()
    assert (before.in_flight, before.due, before.last_pass_at) == (1, 1, None)
    tracker.look()
    state = tracker.state()
    assert (state.total, state.in_flight, state.due) == (1, 1, 0)
    assert state.next_poll_at == tracker.store.next_look_at()
    assert state.last_pass_at == manual_clock.now()
    assert not state.running


def test_calls_older_than_an_hour_are_not_counted(
    tracker: Tracker, manual_clock: ManualClock
) -> None:
    """The count is of the last hour on the session's clock; a call that fails counts too."""
    tracker.submit(ADA)
    calls = tracker.state().calls_last_hour
    assert calls == 2  # the quota and the create
    manual_clock.advance(HOUR / 2)
    tracker.poll("p1")
    assert tracker.state().calls_last_hour == calls + 1
    manual_clock.advance(HOUR * 0.6)
    assert tracker.state().calls_last_hour == 1


def test_it_runs_while_run_is_busy(tracker: Tracker) -> None:
    """A run in this thread counts as running, as the background thread does."""
    tracker.submit(ADA)
    tracker.clock.sleep(3_600)
    running = []
    tracker.run(threading.Event(), on_change=lambda _: running.append(tracker.state().running),
                once=True)  # fmt: skip
    assert running == [True]
    assert not tracker.state().running


def test_a_pause_is_in_the_state_and_in_its_text(
    tracker: Tracker, api: API, manual_clock: ManualClock
) -> None:
    """Why the account is not called is said once, though it is the last error too."""
    tracker.submit(ADA)
    manual_clock.advance(HOUR)
    api.answer = httpx.Response(429, headers={"Retry-After": "600"})
    tracker.look()
    state = tracker.state()
    assert state.pause == tracker.pause
    assert state.due == 1
    assert "\n".join(state.lines()).count("asked to wait") == 1


def test_the_text_has_the_counts_and_times() -> None:
    """The first line has the counts; the time of the next poll is absolute, in UTC."""
    assert IDLE.lines() == ["2 in flight · 1 due · next poll 09:05:00 · 7 calls in the last hour"]
    assert "next poll" not in replace(IDLE, next_poll_at=MONDAY).lines()[0]
    tomorrow = replace(IDLE, next_poll_at=MONDAY + 24 * HOUR)
    assert "next poll 2026-01-06 09:00:00" in tomorrow.lines()[0]
    assert replace(IDLE, running=False).lines()[0].endswith("the tracker does not run")


def test_the_text_has_the_budget_where_there_is_one() -> None:
    """Calls of the hour stand against the budget, with the staleness that it promises."""
    state = replace(IDLE, calls_per_hour=240.0, staleness_h=0.5, warning="It is too small.")
    counts, warning = state.lines()
    assert "7 of 240 calls in the last hour · 95 % of changes seen within 30 min" in counts
    assert warning == "It is too small."


def test_the_last_error_has_its_time_and_drives_no_terminal() -> None:
    """An error is one line with its time, whatever characters the API put into it."""
    state = replace(IDLE, last_error="It\nbroke \x1b[31m.", last_error_at=MONDAY - HOUR)
    assert state.lines()[1] == "last error at 08:00:00: It broke \ufffd[31m."
