"""What a clock that was wrong does to the log and to the plan."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as some

from avatarkit import Client, PersonaCreate, Store, Tracker, stages
from avatarkit.models import STAGES
from avatarkit.store.clock_skew import Call
from avatarkit.store.plan import LONGEST_GAP
from support.manual_clock import MONDAY, ManualClock, SetClock

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)


class API:
    """One avatar, its status, and the calls about it."""

    def __init__(self, clock: SetClock) -> None:
        self.clock = clock
        self.answer: dict[str, Any] = {"id": "p1", "process_status": "pending"}
        self.calls = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/count/"):
            return httpx.Response(200, json={"max_count": 9, "current_count": 1})
        self.calls += 1
        return httpx.Response(201 if request.method == "POST" else 200, json=self.answer)


@pytest.fixture
def clock() -> SetClock:
    return SetClock(MONDAY)


@pytest.fixture
def api(clock: SetClock) -> API:
    return API(clock)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(f"sqlite:///{tmp_path / 'log.db'}") as store:
        yield store


def tracker_of(api: API, store: Store, clock: ManualClock) -> Tracker:
    transport = httpx.MockTransport(api)
    client = Client("https://a.example", "i", "key-key-key-key", transport=transport, backoff_s=0)
    return Tracker(client, store, clock=clock)


def first_and_last(store: Store) -> list[tuple[str, datetime, datetime]]:
    rows = store.sightings()
    return list(zip(rows["status"], rows["first_seen_at"], rows["last_seen_at"], strict=True))


@pytest.mark.parametrize("days", [0.5, 300])
def test_after_a_clock_was_ahead_avatars_are_polled_within_the_usual_gap(
    api: API, store: Store, clock: SetClock, days: float
) -> None:
    """A plan far ahead counts as due, and the answer is logged though the log lies ahead."""
    tracker = tracker_of(api, store, clock)
    tracker.submit(PersonaCreate(creator_name="Ada", gender="f"))
    clock.advance(HOUR)
    clock.off = timedelta(days=days)
    tracker.look()
    clock.off = timedelta(0)
    api.answer["process_status"] = "done"
    calls = api.calls
    for _ in range(4):
        clock.advance(30 * MINUTE)
        tracker.look()
    assert store.personas()["status"].tolist() == ["done"]
    assert api.calls - calls == 1
    assert store.next_look_at() is None
    [visit, *_] = stages.visits(store.sightings(), now=clock.now()).to_dict("records")
    assert (visit["stage"], visit["state"]) == ("pending", "finished")
    assert visit["min_h"] <= 1.5 <= visit["max_h"] < 2.1
    assert tracker.last_error is not None
    assert "One clock is wrong" in tracker.last_error


def test_polling_goes_on_though_nothing_has_changed(
    api: API, store: Store, clock: SetClock
) -> None:
    """After the clock was put right the same status is seen by the right time, at the usual gap."""
    tracker = tracker_of(api, store, clock)
    clock.off = timedelta(days=300)
    tracker.submit(PersonaCreate(creator_name="Ada", gender="f"))
    clock.off = timedelta(0)
    for _ in range(120):
        clock.advance(MINUTE)
        tracker.look()
    assert 2 < api.calls < 60
    [(status, first, last)] = first_and_last(store)
    assert status == "pending"
    assert first <= MONDAY + 30 * MINUTE
    assert MONDAY + HOUR < last <= clock.now()


def test_of_two_machines_the_slower_one_logs_too(api: API, store: Store, clock: SetClock) -> None:
    """Ten minutes apart, each change is logged by the machine that sees it, in the true order."""
    behind = SetClock(MONDAY)
    behind.off = -10 * MINUTE
    fast, slow = tracker_of(api, store, clock), tracker_of(api, store, behind)
    fast.submit(PersonaCreate(creator_name="Ada", gender="f"))
    for number, status in enumerate(["processing", "voice_creating", "reviewing", "done"]):
        clock.advance(3 * MINUTE)
        behind.advance(3 * MINUTE)
        api.answer["process_status"] = status
        assert (fast, slow)[number % 2].poll("p1") is not None
    rows = store.sightings()
    assert rows["status"].tolist() == [
        "pending", "processing", "voice_creating", "reviewing", "done",
    ]  # fmt: skip
    assert rows["first_seen_at"].is_monotonic_increasing


def test_the_machine_whose_clock_is_behind_does_not_undo_the_log(
    api: API, store: Store, clock: SetClock
) -> None:
    """The API's own times tell that it is this clock that is wrong; then the log's are kept."""
    tracker = tracker_of(api, store, clock)
    api.answer["created_at"] = clock.now().isoformat()
    tracker.submit(PersonaCreate(creator_name="Ada", gender="f"))
    for _ in range(10):
        clock.advance(HOUR)
        tracker.look()
    [before] = first_and_last(store)
    clock.off = timedelta(days=-300)
    api.answer |= {"process_status": "done", "updated_at": clock.truth.isoformat()}
    assert tracker.poll("p1") is not None
    assert first_and_last(store) == [before, ("done", clock.truth, clock.truth)]


def test_a_slow_answer_does_not_undo_a_newer_one(api: API, store: Store, clock: SetClock) -> None:
    """Which of two answers is newer is told by the order in which they were asked for."""
    tracker = tracker_of(api, store, clock)
    persona = tracker.submit(PersonaCreate(creator_name="Ada", gender="f"))
    slow_no, slow_at = store.ask(), clock.now()
    clock.advance(MINUTE)
    api.answer["process_status"] = "done"
    tracker.poll("p1")
    clock.advance(MINUTE)
    recorded = store.record(
        persona, asked_at=slow_at, answered_at=clock.now(), source="poll", asked_no=slow_no
    )
    assert (recorded.status, recorded.change) == ("done", None)
    assert store.sightings()["status"].tolist() == ["pending", "done"]
    store.record_error("p1", "No.", at=clock.now(), missing=True, asked_no=slow_no)
    assert not store.personas()["gone"].any()


def test_a_create_that_was_overtaken_keeps_what_was_sent(
    store: Store, api: API, clock: SetClock
) -> None:
    """Name and labels are known though a poll had logged the avatar before the create's answer."""
    tracker = tracker_of(api, store, clock)
    request = PersonaCreate(creator_name="Ada", gender="f", labels=["a"])
    submission_id = store.prepare(request, clock.now())
    create_no = store.ask()
    store.sending(submission_id, clock.now())
    api.answer["process_status"] = "done"
    clock.advance(MINUTE)
    polled = tracker.client.get_persona("p1")
    now, number = clock.now(), store.ask()
    store.record(polled, asked_at=now, answered_at=now, source="poll", asked_no=number)
    store.accepted(submission_id, polled, now, call=Call(create_no, MONDAY, now))
    row = store.personas().iloc[0]
    assert (row["creator_name"], row["labels"], row["status"]) == ("Ada", ["a"], "done")
    assert row["submitted_at"] == MONDAY


@pytest.mark.parametrize("offset_h", [-8, -300])
@pytest.mark.parametrize("personas", [True, False])
def test_nothing_is_created_before_it_was_sent(
    api: API, store: Store, clock: SetClock, offset_h: int, personas: bool
) -> None:
    """An API that writes local times without an offset makes no stage longer by that offset."""
    tracker = tracker_of(api, store, clock)
    local = (clock.now() + offset_h * HOUR).replace(tzinfo=None)
    api.answer["created_at"] = local.isoformat()
    tracker.submit(PersonaCreate(creator_name="Ada", gender="f"))
    clock.advance(HOUR)
    api.answer["process_status"] = "processing"
    tracker.look()
    frame = store.personas() if personas else None
    visits = stages.visits(store.sightings(), now=clock.now(), personas=frame)
    assert visits.loc[0, "stage"] == "pending"
    assert visits.loc[0, "max_h"] == pytest.approx(1)
    lives = stages.lives(store.sightings(), now=clock.now(), personas=frame)
    assert lives.loc[0, "began_before"] == MONDAY


@pytest.mark.long
@given(
    story=some.lists(
        some.tuples(
            some.integers(0, len(STAGES) - 1),
            some.sampled_from([0, 0, 0, 1, 12, -1, 400, -400, 24 * 300, -24 * 300]),
            some.integers(1, 300),
        ),
        min_size=1,
        max_size=12,
    ),
    says_when=some.booleans(),
)
def test_however_the_clocks_are_set_the_log_is_in_order(
    story: list[tuple[int, int, int]], says_when: bool
) -> None:
    """Every change is logged once and in order, and the next poll is never far away."""
    clock = SetClock(MONDAY)
    api = API(clock)
    with Store("sqlite://") as store:
        tracker = tracker_of(api, store, clock)
        if says_when:
            api.answer["created_at"] = clock.now().isoformat()
        tracker.submit(PersonaCreate(creator_name="Ada", gender="f"))
        seen = ["pending"]
        for stage, off_h, minutes in story:
            clock.advance(minutes * MINUTE)
            clock.off = off_h * HOUR
            status = STAGES[stage].value
            if says_when and status != seen[-1]:
                api.answer["updated_at"] = clock.truth.isoformat()
            api.answer["process_status"] = status
            tracker.poll("p1")
            if status != seen[-1]:
                seen.append(status)
        clock.off = timedelta(0)
        due = {each.persona_id for each in store.due(clock.now() + LONGEST_GAP * 1.2)}
        assert due == {"p1"}
        clock.advance(MINUTE)
        tracker.poll("p1")
        rows = store.sightings()
        assert rows["status"].tolist() == seen
        assert rows["first_seen_at"].is_monotonic_increasing
        assert (rows["last_seen_at"] <= rows["first_seen_at"].shift(-1)).iloc[:-1].all()
        visits = stages.visits(rows, now=clock.now(), personas=store.personas())
        assert (visits["min_h"] <= visits["max_h"]).all()
