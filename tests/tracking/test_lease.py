"""Several trackers of one account: one makes the calls, the others stand by and take over."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from unittest.mock import Mock

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avatarkit import Client, PersonaCreate, Store, Tracker
from avatarkit.errors import WaitTimeout
from avatarkit.store import lease as store_lease
from avatarkit.store.lease import LENGTH_S
from avatarkit.tracking.lease import RENEW_EVERY_S, TrackerLease
from avatarkit.tracking.run import LONGEST_PAUSE_S, STAND_BY_S
from avatarkit.tracking.state import TrackerState
from support.manual_clock import MONDAY, ManualClock
from support.sandbox_client import until

SECOND = timedelta(seconds=1)
ADA = PersonaCreate(creator_name="Ada", gender="f")
MOVES = st.tuples(
    st.integers(0, 2), st.sampled_from(["keep", "keep", "release", "wait", "stop", "die"])
)


class API:
    """Answers every call, and counts them; the status is ``status``."""

    def __init__(self) -> None:
        self.status, self.calls, self.created = "pending", 0, 0
        self.on_get: Callable[[], None] = lambda: None

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.calls += 1
        if request.method == "POST":
            self.created += 1
            body = {"id": f"p{self.created}", "process_status": "pending"}
            return httpx.Response(201, json=body)
        if request.url.path.endswith("/count/"):
            return httpx.Response(200, json={"max_count": 9, "current_count": 0})
        if request.url.path == "/api/personas_v2/":
            return httpx.Response(200, json=[])
        self.on_get()
        persona_id = request.url.path.rstrip("/").rpartition("/")[2]
        return httpx.Response(200, json={"id": persona_id, "process_status": self.status})


@pytest.fixture
def api() -> API:
    return API()


@pytest.fixture
def trackers(api: API, manual_clock: ManualClock, tmp_path: Path) -> Iterator[list[Tracker]]:
    """Two trackers of one account, as in two processes, each with a store of its own."""
    url, transport = f"sqlite:///{tmp_path / 'log.db'}", httpx.MockTransport(api)
    with (
        Client("https://a.example", "i", "k" * 16, transport=transport, tries=1) as client,
        Store(url) as store,
        Store(url) as same_store,
    ):
        trackers = [Tracker(client, each, clock=manual_clock) for each in (store, same_store)]
        for number, tracker in enumerate(trackers, 1):
            tracker.lease.name = f"server-{number}"
        yield trackers


@given(moves=st.lists(MOVES, max_size=40), steps=st.lists(st.integers(1, 80), min_size=40))
def test_at_most_one_holds_it_and_it_is_never_lost(
    tmp_path_factory: pytest.TempPathFactory, moves: list[tuple[int, str]], steps: list[int]
) -> None:
    """Three trackers keep, release, stop and die at any time: never two hold it.

    And one that asks gets it, unless another one took or renewed it within the lease's length.
    """
    clock = ManualClock(MONDAY)
    url = f"sqlite:///{tmp_path_factory.mktemp('lease') / 'log.db'}"
    with Store(url, account="mine") as store:
        leases = [TrackerLease(store, clock) for _ in range(3)]
        for lease, owner in zip(leases, "abc", strict=True):
            lease.owner = owner
        renewed = dict.fromkeys("abc", MONDAY - timedelta(days=1))
        for (number, move), seconds in zip(moves, steps, strict=False):
            lease = leases[number]
            if move == "keep":
                is_held = lease.keep()
                stored = store.lease(clock.wall_now)
                assert stored is not None
                assert is_held == (stored.owner == lease.owner)
                if is_held:
                    renewed[lease.owner] = clock.now() - timedelta(seconds=stored.age_s)
                else:
                    assert clock.now() - renewed[stored.owner] < LENGTH_S * SECOND
            elif move == "release":
                with lease.kept():
                    pass
                assert not lease.is_held
            elif move == "die":  # and a new process starts in its place
                leases[number] = TrackerLease(store, clock)
                leases[number].owner = lease.owner
            else:
                clock.advance(seconds * SECOND)
            assert sum(each.is_held for each in leases) <= 1


def test_one_makes_the_calls_and_the_other_none(
    trackers: list[Tracker], api: API, manual_clock: ManualClock
) -> None:
    """While the first one renews its lease, the second one calls nothing, and says who tracks."""
    first, second = trackers
    first.submit(ADA)
    first.store.make_due("p1", MONDAY)
    assert first.lease.keep()
    notices, before = [], api.calls
    stop = StopAfter(manual_clock, 300)
    stop.on_check = first.lease.keep
    second.run(stop, on_notice=notices.append)
    assert api.calls == before
    assert first.has_lease
    assert not second.has_lease
    assert notices == ["This account is tracked by server-1, 0 s ago; this tracker stands by."]
    assert set(manual_clock.slept) == {STAND_BY_S}


def test_changes_that_another_one_logs_are_reported_once(
    trackers: list[Tracker], api: API, manual_clock: ManualClock
) -> None:
    """A tracker that stands by reports them as its own; a new avatar is none."""
    first, second = trackers
    assert first.lease.keep()
    stop, changes = StopAfter(manual_clock, 30), []

    def act() -> None:
        first.lease.keep()
        if api.created == 0:
            first.submit(ADA)
        elif api.status == "pending":
            api.status = "reviewing"
            first.poll("p1")

    stop.on_check = act
    second.run(stop, on_change=changes.append)
    assert [(change.before, change.after) for change in changes] == [("pending", "reviewing")]


def test_it_takes_over_from_one_that_is_silent(
    trackers: list[Tracker], api: API, manual_clock: ManualClock
) -> None:
    """After the first one was stopped, the second one polls within the length of a lease."""
    first, second = trackers
    first.submit(ADA)
    assert first.lease.keep()
    first.store.make_due("p1", MONDAY)
    called_at, notices = [], []
    api.on_get = lambda: called_at.append(manual_clock.now())
    second.run(StopAfter(manual_clock, 600), on_notice=notices.append)
    assert LENGTH_S <= (called_at[0] - MONDAY) / SECOND <= LENGTH_S + 2 * STAND_BY_S
    assert notices[-1] == "This tracker makes the calls from now on."
    assert second.store.lease(manual_clock.wall_now) is None, "released at the end"


def test_one_whose_process_ended_on_this_machine_delays_by_seconds(
    trackers: list[Tracker], manual_clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that was killed is recognised, and its lease is not waited for."""
    first, second = trackers
    process = f"{store_lease.this_process()}1"
    with monkeypatch.context() as patch:
        patch.setattr(store_lease, "this_process", lambda: process)
        assert first.lease.keep()
    assert second.lease.keep()
    assert second.state().tracked_by is None


def test_one_that_was_stopped_finds_that_it_lost_it(
    trackers: list[Tracker], api: API, manual_clock: ManualClock
) -> None:
    """Stopped in a call for longer than the lease, it logs the answer and calls no more."""
    first, second = trackers
    for _ in range(3):
        first.submit(ADA)
    api.status, first._threads = "reviewing", 1
    first.ask_quota()
    for persona_id in ("p1", "p2", "p3"):
        first.store.make_due(persona_id, MONDAY)
    stop, notices = StopAfter(manual_clock, 300), []

    is_asking, goes_on = threading.Event(), threading.Event()
    calls: list[int] = []

    def on_get() -> None:
        is_asking.set()
        assert goes_on.wait(20)

    def be_stopped() -> None:
        if calls:
            second.lease.keep()
        elif is_asking.is_set():
            manual_clock.advance(2 * LENGTH_S * SECOND)
            assert second.lease.keep()
            calls.append(api.calls)
            goes_on.set()

    api.on_get, stop.on_check = on_get, be_stopped
    first.run(stop, on_notice=notices.append)
    assert api.calls == calls[0], "no call after the one in which it was stopped"
    assert "stands by" in notices[0]
    assert (first.store.personas()["status"] == "reviewing").sum() == 1


def test_a_run_of_cron_ends_while_another_one_tracks(
    trackers: list[Tracker], api: API, manual_clock: ManualClock
) -> None:
    """``once`` says who tracks, without error and calls; else it makes its pass and lets go."""
    first, second = trackers
    first.submit(ADA)
    assert first.lease.keep()
    calls, notices, errors = api.calls, [], []
    second.run(threading.Event(), once=True, on_notice=notices.append, on_error=errors.append)
    assert api.calls == calls
    assert len(notices) == 1
    assert not errors
    with first.lease.kept():
        pass
    manual_clock.advance(timedelta(hours=1))
    second.run(threading.Event(), once=True)
    assert api.calls > calls
    assert not second.has_lease
    assert first.lease.keep()


def test_until_done_ends_when_the_log_says_so(
    trackers: list[Tracker], api: API, manual_clock: ManualClock
) -> None:
    """One that stands by ends when the other one has seen the last avatar end."""
    first, second = trackers
    first.submit(ADA)
    assert first.lease.keep()
    stop = StopAfter(manual_clock, 100)

    def end() -> None:
        first.lease.keep()
        if manual_clock.now() > MONDAY + 30 * SECOND and api.status != "done":
            api.status = "done"
            first.poll("p1")

    stop.on_check = end
    second.run(stop, until_done=True)
    assert manual_clock.now() < MONDAY + 60 * SECOND


def test_what_a_person_asks_for_is_asked(trackers: list[Tracker], api: API) -> None:
    """``poll``, ``look`` and ``submit`` call also while another tracker holds the lease."""
    first, second = trackers
    assert first.lease.keep()
    second.submit(ADA)
    calls = api.calls
    second.poll("p1")
    assert api.calls == calls + 1
    second.store.make_due("p1", MONDAY)
    second.look()
    assert api.calls == calls + 2


def test_what_one_waits_for_is_asked_once(
    trackers: list[Tracker], api: API, manual_clock: ManualClock
) -> None:
    """While a ``wait`` asks, neither another wait nor a pass of a tracker asks for the same."""
    first, second = trackers
    first.submit(ADA)
    first.store.make_due("p1", MONDAY)
    asked: list[int] = []

    def ask_twice() -> None:
        asked.append(api.calls)
        if len(asked) == 1:
            with pytest.raises(WaitTimeout):
                second.wait("p1", timeout=2)
            second.look()

    api.on_get, api.status = ask_twice, "done"
    assert first.wait("p1", timeout=60).status_text == "done"
    assert len(asked) == 1


def test_a_wait_that_dies_holds_nothing_up(
    trackers: list[Tracker], api: API, manual_clock: ManualClock
) -> None:
    """The persona of a call that was never logged is due again within half a minute."""
    first, second = trackers
    first.submit(ADA)
    first.store.make_due("p1", MONDAY)
    api.on_get = Mock(side_effect=KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        first.wait("p1", timeout=60)
    manual_clock.advance(30 * SECOND)
    api.on_get, api.status = Mock(), "reviewing"
    assert [change.after for change in second.look()] == ["reviewing"]


def test_the_state_says_who_tracks(trackers: list[Tracker], manual_clock: ManualClock) -> None:
    """Of another tracker it has the name, and how long ago that was heard of."""
    first, second = trackers
    assert first.lease.keep()
    manual_clock.advance(14 * SECOND)
    state = second.state()
    assert (state.tracked_by, state.tracked_s, state.is_standby) == ("server-1", 14.0, False)
    assert state.lines()[0].endswith("tracked by server-1, 14 s ago")
    assert first.state().tracked_by is None
    seen: list[TrackerState] = []
    second.run(threading.Event(), once=True, on_notice=lambda _: seen.append(second.state()))
    assert seen[0].is_standby


def test_the_sandbox_is_served_on_by_one_that_stands_by(
    trackers: list[Tracker], manual_clock: ManualClock
) -> None:
    """``before_pass`` is called also while another tracker holds the lease."""
    first, second = trackers
    assert first.lease.keep()
    called: list[None] = []
    second.before_pass = lambda: called.append(None)
    second.run(StopAfter(manual_clock, 10))
    assert len(called) >= 10 / STAND_BY_S


def test_it_is_renewed_while_a_pass_hangs(
    trackers: list[Tracker], manual_clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread renews it while a fit or a backup keeps the run busy."""
    monkeypatch.setattr("avatarkit.tracking.lease.RENEW_EVERY_S", 0.03)
    first, second = trackers
    with first.lease.kept():
        assert first.lease.keep()
        for _ in range(3):
            manual_clock.advance(40 * SECOND)
            until(lambda: second.lease.read().age_s == 0)
        assert not second.lease.keep()
    assert second.lease.keep()


def test_what_is_due_is_read_often_enough() -> None:
    """A webhook makes an avatar due in the store; the holder of the lease reads it in seconds."""
    assert LONGEST_PAUSE_S <= 5
    assert 2 * RENEW_EVERY_S < LENGTH_S
    assert LENGTH_S + STAND_BY_S < 120, "a crash delays by less than two minutes"


class StopAfter(threading.Event):
    """Is set after some seconds of a clock; ``on_check`` is called whenever it is looked at."""

    def __init__(self, clock: ManualClock, seconds: float) -> None:
        super().__init__()
        self._clock, self._end = clock, clock.now() + seconds * SECOND
        self._thread = threading.current_thread()
        self.on_check: Callable[[], object] = lambda: None

    def is_set(self) -> bool:
        if threading.current_thread() is self._thread:
            self.on_check()
        if self._clock.now() >= self._end:
            self.set()
        return super().is_set()
