"""What the ``Date`` header of the API's answers says about this machine's clock."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from avatarkit import Client, PersonaCreate, Store, Tracker, errors, stages
from avatarkit.tracking.reconcile import SETTLING
from support.manual_clock import MONDAY, SetClock
from support.truth import Truth, check

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)
ADA = PersonaCreate(creator_name="Ada", gender="f")


class API:
    """An account whose server has a right clock, and tells it if ``has_date``."""

    def __init__(self, clock: SetClock) -> None:
        self.clock = clock
        self.personas: dict[str, dict[str, Any]] = {}
        self.headers: dict[str, str] = {}
        self.has_date = True
        self.loses = self.lags = self.is_down = False
        self.call_takes = timedelta(0)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        status, body = self.answer(request)
        headers = dict(self.headers)
        if self.has_date:
            headers["Date"] = format_datetime(self.clock.truth, usegmt=True)
        self.clock.advance(self.call_takes)
        return httpx.Response(status, json=body, headers=headers)

    def answer(self, request: httpx.Request) -> tuple[int, Any]:
        path = request.url.path
        if request.method == "POST":
            number = len(self.personas) + 1
            made = {"id": f"p{number}", "process_status": "pending", **json.loads(request.read())}
            self.personas[made["id"]] = made | {"created_at": self.clock.truth.isoformat()}
            if self.loses:
                raise httpx.ReadError("broke")
            return 201, self.personas[made["id"]]
        if path.endswith("/count/"):
            return 200, {"max_count": 9, "current_count": 0 if self.lags else len(self.personas)}
        if path == "/api/personas_v2/":
            return 200, [] if self.lags else list(self.personas.values())
        if self.is_down:
            return 500, {}
        return 200, self.personas[path.split("/")[-2]]


@pytest.fixture
def clock() -> SetClock:
    return SetClock(MONDAY)


@pytest.fixture
def api(clock: SetClock) -> API:
    return API(clock)


@pytest.fixture
def tracker(api: API, clock: SetClock, tmp_path: Path) -> Iterator[Tracker]:
    transport = httpx.MockTransport(api)
    with (
        Client("https://a.example", "i", "key-key-key", transport=transport, backoff_s=0) as client,
        Store(f"sqlite:///{tmp_path / 'log.db'}") as store,
    ):
        yield Tracker(client, store, clock=clock)


def states(tracker: Tracker) -> list[str]:
    return tracker.store.submissions()["state"].tolist()


def lose(tracker: Tracker, api: API) -> str:
    api.loses = True
    with pytest.raises(errors.SubmissionUncertain) as caught:
        tracker.submit(ADA)
    api.loses = False
    return caught.value.submission_id


@pytest.mark.parametrize("off", [-3 * HOUR, 3 * HOUR, -20 * SECOND])
def test_a_wrong_clock_is_said_once_and_counted_into_the_bounds(
    tracker: Tracker,
    api: API,
    clock: SetClock,
    off: timedelta,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Each change lies between its bounds by the API's clock, and by this machine's."""
    clock.off = off
    tracker.submit(ADA)
    truth = {"pending": clock.truth}
    for status in ("processing", "reviewing", "done"):
        clock.advance(HOUR)
        tracker.poll("p1")
        clock.advance(HOUR)
        api.personas["p1"]["process_status"] = status
        truth[status] = clock.truth
        clock.advance(HOUR)
        tracker.poll("p1")
    rows = tracker.store.sightings()
    assert rows["status"].tolist() == list(truth)
    ends = [*list(truth.values())[1:], None]
    for run, begun, end in zip(rows.to_dict("records"), truth.values(), ends, strict=True):
        for by_clock in (timedelta(0), off):
            assert begun + by_clock <= run["first_seen_at"]
            assert end is None or run["last_seen_at"] <= end + by_clock
    check(tracker.store, {"p1": Truth(list(truth), list(truth.values()))}, clock.now() + 3 * HOUR)
    direction = "behind" if off < timedelta(0) else "ahead of"
    offset = tracker.clock_offset
    assert offset is not None
    assert abs(offset.offset + off) <= SECOND
    assert str(offset).startswith("This machine's clock is ")
    assert direction in str(offset)
    assert [record.getMessage() for record in caplog.records].count(str(offset)) == 1
    clock.off = timedelta(0)
    tracker.poll("p1")
    assert tracker.clock_offset is None


@pytest.mark.parametrize("headers", [{"Age": "3"}, {"Date": "yesterday"}, {}])
def test_what_does_not_tell_the_time_says_nothing(
    tracker: Tracker, api: API, clock: SetClock, headers: dict[str, str]
) -> None:
    """Not an answer from a cache, nor one whose date cannot be read, nor one without."""
    clock.off = 3 * HOUR
    api.headers, api.has_date = headers, "Age" in headers
    tracker.submit(ADA)
    assert tracker.clock_offset is None
    assert tracker.store.sightings().loc[0, "first_seen_at"] == clock.now()


def test_a_slow_call_neither_shows_nor_hides_a_wrong_clock(
    tracker: Tracker, api: API, clock: SetClock
) -> None:
    """During an upload of an hour the API may have answered at any time."""
    clock.off, api.call_takes = 20 * MINUTE, HOUR
    tracker.submit(ADA)
    offset = tracker.clock_offset
    assert offset is not None  # asked after the API had answered
    clock.off = -20 * MINUTE
    api.call_takes = timedelta(0)
    tracker.poll("p1")
    offset = tracker.clock_offset
    assert offset is not None
    assert offset.offset > timedelta(0)
    api.call_takes = HOUR
    tracker.poll("p1")
    assert tracker.clock_offset == offset


def test_a_run_is_sure_as_of_asking(tracker: Tracker, api: API, clock: SetClock) -> None:
    """Also one that was seen once, and an avatar that was submitted or found."""
    api.call_takes = MINUTE
    tracker.submit(ADA)
    api.personas["p1"]["process_status"] = "done"
    asked = clock.now()
    tracker.poll("p1")
    rows = tracker.store.sightings()
    assert rows.loc[1, "last_seen_at"] == asked
    assert rows.loc[1, "first_seen_at"] == asked + MINUTE
    assert rows.loc[0, "last_seen_at"] < rows.loc[0, "first_seen_at"]


@pytest.mark.parametrize("has_date", [True, False])
def test_a_clock_that_is_set_makes_no_create_safe_to_send_again(
    tracker: Tracker, api: API, clock: SetClock, has_date: bool
) -> None:
    """Three hours pass on this machine's clock, and seconds by the API's: it is not refused."""
    api.has_date = has_date
    clock.off = -3 * HOUR
    lose(tracker, api)
    api.lags = True
    tracker.reconcile()
    clock.advance(SECOND)
    clock.off = timedelta(0)
    for _ in range(5):
        clock.advance(10 * SECOND)
        tracker.reconcile()
    assert states(tracker) == ["uncertain"]
    clock.advance(SETTLING)
    tracker.reconcile()
    assert states(tracker) == ["refused"]


@pytest.mark.parametrize("has_date", [True, pytest.param(False, marks=pytest.mark.long)])
@pytest.mark.parametrize(
    ("sent", "reconciled"),
    [
        (48, 48),
        pytest.param(48, 0, marks=pytest.mark.long),
        pytest.param(-48, -48, marks=pytest.mark.long),
        (-48, 0),
    ],
)
def test_what_arrived_is_never_refused_however_wrong_the_clock_was(
    tracker: Tracker, api: API, clock: SetClock, has_date: bool, sent: float, reconciled: float
) -> None:
    """Days ahead when it was sent, and corrected or not, the clock says nothing of namesakes."""
    api.has_date = has_date
    clock.off = sent * HOUR
    lose(tracker, api)
    clock.off = reconciled * HOUR
    for _ in range(60):
        clock.advance(HOUR)
        tracker.reconcile()
        assert states(tracker) == ["uncertain"]
    [uncertain] = tracker.store.open_submissions()
    assert [candidate.id for candidate in uncertain.candidates] == ["p1"]


def test_an_old_namesake_is_not_taken_for_what_never_arrived(
    tracker: Tracker, api: API, clock: SetClock
) -> None:
    """By the API's own clock it was created days before, whatever this machine's shows."""
    made = {"id": "old", "creator_name": "Ada", "gender": "f", "process_status": "done"}
    created = {"created_at": clock.truth.isoformat()}
    clock.advance(72 * HOUR)
    clock.off = 48 * HOUR
    lose(tracker, api)
    api.personas = {"old": made | created}
    for _ in range(3):
        clock.advance(HOUR)
        tracker.reconcile()
    assert states(tracker) == ["refused"]


def test_another_process_without_the_apis_time_waits_for_itself(
    tracker: Tracker, api: API, clock: SetClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The uptime of one process says nothing in another, and setting the clock nothing in any."""
    api.has_date, api.lags = False, True
    lose(tracker, api)
    tracker.reconcile()
    monkeypatch.setattr("avatarkit.store.submissions.this_process", lambda: "host|7|7")
    clock.advance(SETTLING + MINUTE)
    tracker.reconcile()
    assert states(tracker) == ["uncertain"]
    clock.advance(SETTLING + MINUTE)
    tracker.reconcile()
    assert states(tracker) == ["refused"]


def test_a_candidate_is_logged_as_of_when_it_was_listed(
    tracker: Tracker, api: API, clock: SetClock
) -> None:
    """Listed sixty hours ago and not found by its id now, it was not seen now."""
    lost = [lose(tracker, api) for _ in range(2)]
    clock.advance(MINUTE)
    tracker.reconcile()
    listed_at = clock.now()
    clock.advance(60 * HOUR)
    api.is_down = True
    tracker.settle(lost[0], "p1")
    row = tracker.store.sightings("p1").iloc[0]
    assert (row["status"], row["first_seen_at"], row["last_seen_at"]) == (
        "pending", listed_at, listed_at,
    )  # fmt: skip
    settled = tracker.store.submissions().set_index("submission_id").loc[lost[0]]
    assert settled["ended_at"] == clock.now()
    # Any later answer is newer than that list.
    api.is_down = False
    api.personas["p1"]["process_status"] = "reviewing"
    assert tracker.poll("p1") is not None
    [pending, *_] = stages.visits(
        tracker.store.sightings(), now=clock.now(), personas=tracker.store.personas()
    ).to_dict("records")
    assert pending["left_after"] == listed_at


def test_what_reconcile_finds_is_logged_as_of_its_list(
    tracker: Tracker, api: API, clock: SetClock
) -> None:
    """The quota that is read after the list, slowly, moves nothing."""
    lose(tracker, api)
    clock.advance(MINUTE)
    api.call_takes = MINUTE
    began = clock.now()
    tracker.reconcile()
    row = tracker.store.sightings().iloc[0]
    assert (row["last_seen_at"], row["first_seen_at"]) == (began + MINUTE, began + 2 * MINUTE)


class TestLastError:
    def test_it_has_its_time_and_goes_with_the_next_good_pass(
        self, tracker: Tracker, api: API, clock: SetClock
    ) -> None:
        """A pass with nothing to poll says nothing about the error of a poll."""
        tracker.submit(ADA)
        clock.advance(HOUR)
        api.is_down = True
        tracker.look()
        assert "500" in str(tracker.last_error)
        assert tracker.last_error_at == clock.now()
        api.is_down = False
        clock.advance(SECOND)
        tracker.look()
        # Reconciles and reads the quota, which answers.
        tracker.run(threading.Event(), once=True)
        assert tracker.last_error is not None
        clock.advance(HOUR)
        tracker.look()
        assert (tracker.last_error, tracker.last_error_at) == (None, None)

    def test_it_goes_when_another_process_saw_the_last_avatar_end(
        self, tracker: Tracker, api: API, clock: SetClock
    ) -> None:
        """No poll of this tracker will take it back."""
        tracker.submit(ADA)
        clock.advance(HOUR)
        api.is_down = True
        tracker.look()
        api.is_down = False
        api.personas["p1"]["process_status"] = "done"
        Tracker(tracker.client, tracker.store, clock=clock).poll("p1")
        tracker.run(threading.Event(), once=True)
        assert tracker.last_error is None


class TestOverlap:
    """Two calls are out at once, and the API may handle the later one first."""

    @pytest.mark.parametrize(
        ("first", "second", "log"),
        [
            ("processing", "pending", ["processing"]),
            ("done", "reviewing", ["done"]),
            ("processing", "dreaming", ["processing"]),
            ("processing", "reviewing", ["processing", "reviewing"]),
            ("reviewing", "failed", ["reviewing", "failed"]),
        ],
    )
    def test_an_answer_that_may_be_older_is_asked_for_again(
        self, tracker: Tracker, api: API, clock: SetClock, first: str, second: str, log: list[str]
    ) -> None:
        """A status that is not a later one is not logged, and polled again at once."""
        tracker.submit(ADA)
        clock.advance(MINUTE)
        one, other = tracker._api.ask(), tracker._api.ask()
        for asking, status in ((one, first), (other, second)):
            api.personas["p1"]["process_status"] = status
            persona = tracker._poller.request("p1", asking)
            tracker._poller.log_answer(persona, asking, tracker.clock.now())
        assert tracker.store.sightings()["status"].tolist() == ["pending", *log]
        is_disputed = log == [first]
        assert tracker.store.is_due("p1", clock.now()) or not is_disputed
        if is_disputed:
            tracker.look()
            assert tracker.store.sightings()["status"].tolist() == ["pending", first, second]

    def test_of_answers_that_come_late_the_newer_one_is_polled_for(
        self, tracker: Tracker, api: API, clock: SetClock
    ) -> None:
        """An older call whose answer has a later status: it is asked again, not logged."""
        tracker.submit(ADA)
        one, other = tracker._api.ask(), tracker._api.ask()
        early = tracker._poller.request("p1", other)
        api.personas["p1"]["process_status"] = "done"
        late = tracker._poller.request("p1", one)
        tracker._poller.log_answer(early, other, tracker.clock.now())
        assert tracker._poller.log_answer(late, one, tracker.clock.now()).change is None
        assert tracker.store.is_due("p1", clock.now())
        [change] = tracker.look()
        assert change.after == "done"
