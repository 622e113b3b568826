"""Avatars that a person deletes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avatarkit import Client, PersonaCreate, Store, Tracker, errors, eta, stages
from avatarkit.models import Persona
from support.manual_clock import MONDAY, ManualClock

HOUR = timedelta(hours=1)
MISSING = httpx.Response(404, json={"detail": "No Creator matches the given query."})


class API:
    """An account: statuses by id, what it lists though it is deleted, and faults of a DELETE."""

    def __init__(self) -> None:
        self.statuses: dict[str, str] = {}
        self.lagging: dict[str, str] = {}
        self.calls: list[str] = []
        self.fault: httpx.Response | Exception | None = None

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if request.method == "POST":
            persona_id = f"p{len(self.statuses) + 1}"
            self.statuses[persona_id] = "pending"
            return httpx.Response(201, json=self.body(persona_id))
        if path.endswith("/count/"):
            return httpx.Response(200, json={"max_count": 9, "current_count": len(self.statuses)})
        if path == "/api/personas_v2/":
            return httpx.Response(200, json=[self.body(p) for p in self.statuses | self.lagging])
        persona_id = path.split("/")[-2]
        self.calls.append(f"{request.method} {persona_id}")
        if request.method == "DELETE":
            if isinstance(self.fault, Exception):
                raise self.fault
            if self.fault is not None:
                return httpx.Response(self.fault.status_code, content=self.fault.content)
            found = self.statuses.pop(persona_id, None)
            return httpx.Response(204) if found else MISSING
        if persona_id not in self.statuses:
            return MISSING
        return httpx.Response(200, json=self.body(persona_id))

    def body(self, persona_id: str) -> dict[str, str]:
        status = (self.statuses | self.lagging)[persona_id]
        return {"id": persona_id, "process_status": status, "creator_name": "Ada"}


@pytest.fixture
def api() -> API:
    return API()


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    url = f"sqlite:///{tmp_path / 'log.db'}"
    if request.param == "postgres":
        url = request.getfixturevalue("postgres")
    with Store(url) as opened:
        yield opened


@pytest.fixture
def tracker(api: API, manual_clock: ManualClock, store: Store) -> Iterator[Tracker]:
    transport = httpx.MockTransport(api)
    with Client("https://a.example", "i", "k" * 16, transport=transport, backoff_s=0) as client:
        yield Tracker(client, store, clock=manual_clock)


def submitted(tracker: Tracker) -> str:
    return tracker.submit(PersonaCreate(creator_name="Ada", gender="f")).id


def row(tracker: Tracker, persona_id: str = "p1") -> pd.Series:
    return tracker.store.personas().set_index("persona_id").loc[persona_id]


def test_a_deleted_avatar_keeps_its_history_and_is_never_polled(
    tracker: Tracker, api: API, manual_clock: ManualClock
) -> None:
    """It is deleted by one call, the quota is read again, and days of passes never ask for it."""
    submitted(tracker)
    submitted(tracker)
    manual_clock.advance(HOUR)
    assert tracker.delete("p1") is True
    assert api.calls.count("DELETE p1") == 1
    assert tracker.quota is not None
    assert tracker.quota.current_count == 1
    assert row(tracker)["deleted_at"] == manual_clock.now()
    assert pd.isna(row(tracker)["next_look_at"])
    before = tracker.store.sightings("p1")
    for _ in range(20):
        manual_clock.advance(6 * HOUR)
        tracker.look()
        tracker.reconcile()
    assert "GET p1" not in api.calls
    assert "GET p2" in api.calls or row(tracker, "p2")["last_seen_at"] > MONDAY + 5 * HOUR
    pd.testing.assert_frame_equal(tracker.store.sightings("p1"), before)
    assert not tracker.store.make_due("p1", manual_clock.now())


def test_a_list_that_is_behind_does_not_bring_it_back(
    tracker: Tracker, api: API, manual_clock: ManualClock
) -> None:
    """A list that still shows it makes it neither due nor seen."""
    for _ in range(3):
        submitted(tracker)
    tracker.delete("p1")
    api.lagging["p1"] = "processing"
    tracker.store.compare_with_list({"p1", "p2", "p3"}, manual_clock.now())
    for _ in range(4):
        manual_clock.advance(6 * HOUR)
        tracker.look()
    assert row(tracker)["status"] == "pending"
    assert pd.notna(row(tracker)["deleted_at"])
    assert pd.isna(row(tracker)["next_look_at"])
    assert "GET p1" not in api.calls


def test_what_the_api_has_not_any_more_counts_as_deleted(tracker: Tracker, api: API) -> None:
    """The API's own 404 settles it, and it can be deleted twice."""
    submitted(tracker)
    del api.statuses["p1"]
    assert tracker.delete("p1") is False
    deleted_at = row(tracker)["deleted_at"]
    assert tracker.delete("p1") is False
    assert row(tracker)["deleted_at"] == deleted_at


@pytest.mark.parametrize(
    "fault",
    [
        httpx.Response(404, text="<html>Not Found</html>"),
        httpx.Response(404, json={"message": "no Route matched with those values"}),
        httpx.Response(500, text="broken"),
        httpx.ConnectError("refused"),
    ],
    ids=["a proxy's 404", "JSON of a gateway", "500", "no connection"],
)
def test_a_delete_that_failed_changes_nothing(tracker: Tracker, api: API, fault: Any) -> None:
    """It is raised, the avatar is followed as before, and the delete can be repeated."""
    submitted(tracker)
    api.fault = fault
    with pytest.raises(errors.APIError):
        tracker.delete("p1")
    assert pd.isna(row(tracker)["deleted_at"])
    assert pd.notna(row(tracker)["next_look_at"])
    api.fault = None
    assert tracker.delete("p1") is True


def test_an_id_that_the_log_does_not_have_is_said(tracker: Tracker, api: API) -> None:
    """Nothing is called."""
    with pytest.raises(errors.ConfigError, match="The log has no avatar"):
        tracker.delete("unknown")
    assert api.calls == []


def test_a_crash_before_it_was_logged_is_settled_by_the_next_polls(
    tracker: Tracker, api: API, manual_clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sentence says to delete it again; if that is not done, the 404s make it gone."""

    def fail(*_: object) -> None:
        raise errors.StoreError("The disk is full.")

    submitted(tracker)
    with monkeypatch.context() as patched:
        patched.setattr(tracker.store, "mark_deleted", fail)
        with pytest.raises(errors.StoreError, match="delete it again"):
            tracker.delete("p1")
    for _ in range(60):
        manual_clock.advance(HOUR)
        tracker.look()
    assert row(tracker)["gone"]
    assert tracker.delete("p1") is False
    assert pd.notna(row(tracker)["deleted_at"])


def test_one_that_ran_is_censored_and_left_out_of_what_is_to_come(
    tracker: Tracker, manual_clock: ManualClock
) -> None:
    """Its life ran at least until it was last seen; no arrival, count or wait includes it."""
    submitted(tracker)
    submitted(tracker)
    manual_clock.advance(6 * HOUR)
    tracker.look()
    tracker.delete("p1")
    manual_clock.advance(24 * HOUR)
    now, personas, sightings = (
        manual_clock.now(), tracker.store.personas(), tracker.store.sightings(),
    )  # fmt: skip
    life = stages.lives(sightings, now=now, personas=personas).set_index("persona_id").loc["p1"]
    assert life["state"] == "running"
    assert life["gone"]
    assert life["ended_after"] == row(tracker)["last_seen_at"]
    arrivals = eta.arrivals(sightings, now=now, personas=personas)
    assert list(arrivals["persona_id"]) == ["p2"]
    assert tracker.store.counts(now)[1] == 1
    assert list(tracker.store.running()) == ["p2"]
    shown = {each.persona_id: each for each in tracker.store.shown(9)}
    assert shown["p1"].deleted
    for call in (tracker.poll, lambda persona_id: tracker.wait(persona_id, timeout=9)):
        with pytest.raises(errors.ConfigError, match="was deleted here"):
            call("p1")


def test_a_wait_for_one_that_ended_and_was_deleted_returns_it(tracker: Tracker, api: API) -> None:
    """Its end is in the log."""
    submitted(tracker)
    api.statuses["p1"] = "done"
    tracker.poll("p1")
    tracker.delete("p1")
    assert tracker.wait("p1", timeout=1).status_text == "done"


def test_one_that_the_api_deleted_comes_back_when_it_is_seen(
    tracker: Tracker, api: API, manual_clock: ManualClock
) -> None:
    """Only what was deleted here stays deleted."""
    submitted(tracker)
    api.statuses["p1"] = "done"
    tracker.poll("p1")
    del api.statuses["p1"]
    with pytest.raises(errors.NotFound):
        tracker.poll("p1")
    assert pd.notna(row(tracker)["deleted_at"])
    api.statuses["p1"] = "done"
    tracker.store.compare_with_list({"p1"}, manual_clock.now())
    tracker.look()
    assert pd.isna(row(tracker)["deleted_at"])


def test_a_run_until_done_does_not_wait_for_it(tracker: Tracker) -> None:
    """An account whose only running avatar was deleted has nothing left to poll."""
    submitted(tracker)
    tracker.delete("p1")
    tracker.run(threading.Event(), until_done=True)


@pytest.mark.long
@given(st.lists(st.sampled_from(["pending", "processing", "done", "404", "delete"]), max_size=8))
def test_in_any_order_of_answers_it_stays_deleted(events: list[str]) -> None:
    """Calls from before the delete may be answered after it, with anything."""
    with Store("sqlite://", account="a") as store:
        at = MONDAY
        first = Persona.model_validate({"id": "p1", "process_status": "pending"})
        store.record(first, asked_at=at, answered_at=at, source="poll", asked_no=store.ask())
        asked = [(store.ask(), at + timedelta(seconds=n)) for n, _ in enumerate(events)]
        deleted = False
        for (no, asked_at), event in zip(asked, events, strict=True):
            now = MONDAY + timedelta(minutes=1)
            if event == "delete":
                store.mark_deleted("p1", now)
                deleted = True
            elif event == "404":
                store.record_error("p1", "Missing.", at=now, missing=True, asked_no=no)
                store.plan("p1", now, now)
            else:
                answer = Persona.model_validate({"id": "p1", "process_status": event})
                store.record(answer, asked_at=asked_at, answered_at=now, source="poll", asked_no=no)
                store.plan("p1", now, now)
            found = store.personas().iloc[0]
            if deleted:
                assert pd.notna(found["deleted_at"])
                assert pd.isna(found["next_look_at"])
                assert found["gone"]
                assert store.due(now) == store.due(now, "p1") == []
        last = [event for event in events if event in ("pending", "processing", "done")]
        if "done" in last:
            assert found["status"] == "done"


def test_following_it_is_refused(tracker: Tracker) -> None:
    """It would not be polled, whatever was said."""
    submitted(tracker)
    tracker.delete("p1")
    tracker.unfollow("p1")
    with pytest.raises(errors.ConfigError, match="deleted here"):
        tracker.follow("p1")
    assert not row(tracker)["followed"]


def test_a_wait_that_was_about_to_poll_does_not_plan_it_again(
    tracker: Tracker, manual_clock: ManualClock
) -> None:
    """A plan of a deleted one would never be over, and be a call in each pass."""
    submitted(tracker)
    tracker.delete("p1")
    now = manual_clock.now()
    assert not tracker.store.begin_poll("p1", now, now + timedelta(seconds=20))
    assert tracker.store.next_look_at() is None
