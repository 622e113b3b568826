"""Avatars that the API does not find, and those that it finds again."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pandas as pd
import pytest

from avatarkit import Client, PersonaCreate, Store, Tracker, errors
from avatarkit.api.transport import cancel_on
from avatarkit.store.sightings import Change
from support.manual_clock import ManualClock

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
PROXY = httpx.Response(404, text="<html>Not Found</html>")
OTHER_JSON = httpx.Response(404, json={"message": "no Route matched with those values"})


class API:
    """An account: statuses by id, the ids that its list hides, and what a proxy answers instead."""

    def __init__(self) -> None:
        self.statuses: dict[str, str] = {}
        self.unlisted: set[str] = set()
        self.calls: list[str] = []
        self.instead: httpx.Response | None = None

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if request.method == "POST":
            if self.instead is not None:
                raise httpx.ReadError("broke")
            persona_id = f"p{len(self.statuses) + 1}"
            self.statuses[persona_id] = "pending"
            return httpx.Response(201, json=self.body(persona_id))
        if path.endswith("/count/"):
            return httpx.Response(200, json={"max_count": 999, "current_count": 99})
        if path == "/api/personas_v2/":
            listed = [self.body(one) for one in self.statuses if one not in self.unlisted]
            return httpx.Response(200, json=listed)
        persona_id = path.split("/")[-2]
        self.calls.append(persona_id)
        if self.instead is not None:
            return httpx.Response(self.instead.status_code, content=self.instead.content)
        if persona_id not in self.statuses:
            return httpx.Response(404, json={"detail": "No Creator matches the given query."})
        return httpx.Response(200, json=self.body(persona_id))

    def body(self, persona_id: str) -> dict[str, str]:
        return {"id": persona_id, "process_status": self.statuses[persona_id]}


@pytest.fixture
def api() -> API:
    return API()


@pytest.fixture
def tracker(api: API, manual_clock: ManualClock, tmp_path: Path) -> Iterator[Tracker]:
    transport = httpx.MockTransport(api)
    with (
        Client("https://a.example", "i", "k" * 16, transport=transport, backoff_s=0) as client,
        Store(f"sqlite:///{tmp_path / 'log.db'}") as store,
    ):
        yield Tracker(client, store, clock=manual_clock)


def submitted(tracker: Tracker) -> str:
    return tracker.submit(PersonaCreate(creator_name="Ada", gender="f")).id


def follow(tracker: Tracker, days: float) -> None:
    """Make a pass every half an hour."""
    for _ in range(round(days * 48)):
        tracker.clock.sleep(1800)
        tracker.look()


def row(tracker: Tracker, persona_id: str = "p1") -> pd.Series:
    return tracker.store.personas().set_index("persona_id").loc[persona_id]


def an_uncertain_submission(tracker: Tracker, api: API) -> None:
    """Leave a reason to list the account."""
    api.instead = PROXY
    with pytest.raises(errors.SubmissionUncertain):
        tracker.submit(PersonaCreate(creator_name="Lost", gender="m"))
    api.instead = None


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(PROXY, id="HTML"),
        pytest.param(OTHER_JSON, id="JSON of a gateway", marks=pytest.mark.long),
    ],
)
def test_three_days_of_a_proxys_404_lose_nobody(
    tracker: Tracker, api: API, answer: httpx.Response
) -> None:
    """A 404 that is not the API's JSON says nothing about an avatar, running or ended."""
    submitted(tracker)
    submitted(tracker)
    api.statuses["p2"] = "done"
    follow(tracker, 0.5)
    tracker.store.make_due("p2", tracker.clock.now())
    api.instead = answer
    follow(tracker, 3)
    assert not tracker.store.personas()["gone"].any()
    assert tracker.store.personas()["deleted_at"].isna().all()
    assert row(tracker)["last_error"]
    api.instead, api.statuses["p1"] = None, "processing"
    follow(tracker, 0.125)
    assert row(tracker)["status"] == "processing"
    assert pd.isna(row(tracker)["last_error"])


@pytest.mark.long
def test_a_proxys_404_does_not_end_a_wait(tracker: Tracker, api: API) -> None:
    """It is waited out like any other trouble; the API's own 404 is raised."""
    submitted(tracker)
    api.instead = PROXY
    with pytest.raises(errors.WaitTimeout):
        tracker.wait("p1", timeout=3600)
    api.instead = None
    del api.statuses["p1"]
    with pytest.raises(errors.NotFound):
        tracker.wait("p1", timeout=86_400)


def test_a_gone_avatar_is_polled_daily_and_back_when_it_is_seen(tracker: Tracker, api: API) -> None:
    """Nothing is given up: a call a day, and the first answer brings it back."""
    submitted(tracker)
    del api.statuses["p1"]
    follow(tracker, 1)
    assert row(tracker)["gone"]
    assert row(tracker)["status"] == "pending"
    calls = len(api.calls)
    follow(tracker, 10)
    assert 8 <= len(api.calls) - calls <= 11
    api.statuses["p1"] = "reviewing"
    follow(tracker, 1.25)
    assert not row(tracker)["gone"]
    assert row(tracker)["status"] == "reviewing"
    calls = len(api.calls)
    follow(tracker, 1)
    assert len(api.calls) - calls > 10


@pytest.mark.parametrize(
    "answer", [PROXY, httpx.Response(500), httpx.Response(200, text="?")], ids=["404", "500", "200"]
)
def test_a_gone_avatar_stays_gone_while_the_api_cannot_be_asked(
    tracker: Tracker, api: API, answer: httpx.Response
) -> None:
    """Other errors do not bring it back, nor is it polled more often for them."""
    submitted(tracker)
    del api.statuses["p1"]
    follow(tracker, 1)
    api.instead = answer
    api.calls.clear()
    follow(tracker, 3)
    assert row(tracker)["gone"]
    assert len(set(api.calls)) == 1
    assert len(api.calls) <= 4 * 4  # a server error is tried four times
    api.instead = None
    follow(tracker, 2)
    assert row(tracker)["gone"]


@pytest.mark.long
def test_to_wait_for_a_gone_avatar_keeps_to_its_plan(tracker: Tracker, api: API) -> None:
    """A daily plan is no wrong clock's; it is not polled whenever the log is read."""
    submitted(tracker)
    del api.statuses["p1"]
    follow(tracker, 1)
    api.instead = PROXY
    api.calls.clear()
    with pytest.raises(errors.WaitTimeout):
        tracker.wait("p1", timeout=1800)
    assert len(api.calls) <= 1


def test_a_run_until_all_are_done_does_not_wait_for_a_gone_one(tracker: Tracker, api: API) -> None:
    """What is polled daily, perhaps for ever, keeps no script from its end."""
    submitted(tracker)
    submitted(tracker)
    del api.statuses["p1"]
    follow(tracker, 1)
    stop, changes = threading.Event(), list[Change]()
    api.statuses["p2"] = "done"
    began_at = tracker.clock.now()
    tracker.run(stop, on_change=changes.append, until_done=True)
    assert [change.after for change in changes] == ["done"]
    assert tracker.clock.now() - began_at < 3 * HOUR


def test_a_list_that_shows_it_brings_it_back_at_once(tracker: Tracker, api: API) -> None:
    """A gone avatar that is listed is due now, not when its day is over."""
    submitted(tracker)
    del api.statuses["p1"]
    follow(tracker, 1)
    assert row(tracker)["gone"]
    an_uncertain_submission(tracker, api)
    api.statuses["p1"] = "processing"
    tracker.reconcile()
    assert not row(tracker)["gone"]
    [change] = tracker.look()
    assert change.after == "processing"


def test_a_person_can_ask_for_it(tracker: Tracker, api: API) -> None:
    """One poll by hand finds a gone avatar that has come back, and says if it has not."""
    submitted(tracker)
    del api.statuses["p1"]
    follow(tracker, 1)
    with pytest.raises(errors.NotFound):
        tracker.poll("p1")
    assert row(tracker)["gone"]
    api.statuses["p1"] = "done"
    change = tracker.poll("p1")
    assert change is not None
    assert change.after == "done"
    assert not row(tracker)["gone"]


@pytest.mark.parametrize("end", ["done", "failed", "rejected"])
def test_what_has_ended_and_is_missing_from_the_list_was_deleted_if_the_api_says_so(
    tracker: Tracker, api: API, end: str
) -> None:
    """Absence from a list only makes it due; the API's own 404 by id is its deletion."""
    submitted(tracker)
    submitted(tracker)
    api.statuses.update(p1=end, p2=end)
    follow(tracker, 0.5)
    assert tracker.store.next_look_at() is None
    an_uncertain_submission(tracker, api)
    api.calls.clear()
    # One is hidden by the list, the other does not exist any longer.
    api.unlisted.add("p1")
    del api.statuses["p2"]
    tracker.reconcile()
    tracker.look()
    assert sorted(api.calls) == ["p1", "p2"]
    assert pd.isna(row(tracker, "p1")["deleted_at"])
    assert not row(tracker, "p1")["gone"]
    assert row(tracker, "p2")["deleted_at"] == tracker.clock.now()
    assert row(tracker, "p2")["status"] == end
    assert tracker.store.next_look_at() is None
    # The list that hides one is not a reason to ask for it all the time, and none is to ask for
    # what was deleted.
    api.calls.clear()
    for _ in range(46):
        tracker.clock.sleep(3600)
        tracker.reconcile()
        tracker.look()
    assert api.calls == ["p1"]


def test_the_list_is_compared_with_the_log_every_hour(
    tracker: Tracker, api: API, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once for all processes, also without an uncertain submission."""
    lists: list[int] = []
    listing = tracker.client.list_personas
    monkeypatch.setattr(
        tracker.client, "list_personas", lambda **given: lists.append(1) or listing(**given)
    )
    submitted(tracker)
    api.statuses["p1"] = "done"
    follow(tracker, 0.5)
    del api.statuses["p1"]
    for _ in range(24):
        for _ in range(4):
            tracker.reconcile()
            tracker.look()
            tracker.clock.sleep(900)
        # As in a cron job, where each pass is a process of its own.
        tracker = Tracker(tracker.client, tracker.store, clock=tracker.clock)
    assert len(lists) == 24
    assert pd.notna(row(tracker)["deleted_at"])
    api.statuses["p1"] = "done"
    tracker.reconcile()
    tracker.look()
    assert pd.isna(row(tracker)["deleted_at"])


def test_a_list_that_was_cancelled_is_not_reported(
    tracker: Tracker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A tracker that is stopped while it lists logs no error of that call."""
    stop = threading.Event()

    def cancelled(**_: object) -> None:
        stop.set()
        raise errors.ConnectionFailed("It broke off.", method="GET", url="/", maybe_sent=True)

    monkeypatch.setattr(tracker.client, "list_personas", cancelled)
    caplog.set_level("INFO", "avatarkit")
    with cancel_on(stop):
        tracker.reconcile()
    assert stop.is_set()
    assert caplog.messages == []


def test_what_was_deleted_is_back_when_a_list_shows_it(tracker: Tracker, api: API) -> None:
    """A 404 that was wrong is undone by the list and the next poll."""
    submitted(tracker)
    api.statuses["p1"] = "done"
    follow(tracker, 0.5)
    an_uncertain_submission(tracker, api)
    del api.statuses["p1"]
    tracker.reconcile()
    tracker.look()
    assert pd.notna(row(tracker)["deleted_at"])
    api.statuses["p1"] = "done"
    tracker.reconcile()
    tracker.look()
    assert pd.isna(row(tracker)["deleted_at"])
    assert not row(tracker)["gone"]


def test_an_error_of_an_ended_avatar_is_tried_again(tracker: Tracker, api: API) -> None:
    """A server that is down while it is asked says nothing, and is asked again."""
    submitted(tracker)
    api.statuses["p1"] = "done"
    follow(tracker, 0.5)
    tracker.store.make_due("p1", tracker.clock.now())
    api.instead = httpx.Response(500)
    tracker.look()
    assert row(tracker)["last_error"]
    api.instead = None
    follow(tracker, 0.5)
    assert pd.isna(row(tracker)["last_error"])
    assert tracker.store.next_look_at() is None
