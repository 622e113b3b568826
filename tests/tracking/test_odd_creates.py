"""An avatar that was created is never uncertain for the sake of a field that nothing depends on."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avatarkit import Client, PersonaCreate, Store, Tracker, errors
from avatarkit.tracking.reconcile import SETTLING
from support.manual_clock import MONDAY, ManualClock
from support.odd_answers import JSON_VALUES, check_kept, odd_answers

FEW = settings(max_examples=8)
"""Each example opens a log of its own."""

REQUEST = PersonaCreate(creator_name="Ada", gender="f", labels=["a"])


class OddAccount:
    """An account of one persona, which answers a create with it or breaks off."""

    def __init__(self, answer: dict[str, Any], *, loses: bool = False) -> None:
        self.answer, self.loses = answer, loses
        self.listed: list[Any] = [answer]

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if request.method == "POST":
            if self.loses:
                raise httpx.ReadError("broke")
            return httpx.Response(201, content=json.dumps(self.answer))
        if path.endswith("/count/"):
            return httpx.Response(404, json={"detail": "Not found."})
        listed = path == "/api/personas_v2/"
        return httpx.Response(200, content=json.dumps(self.listed if listed else self.answer))


class Opened:
    """A tracker on an account, a clock that stands, and a store in memory."""

    def __init__(self, account: OddAccount) -> None:
        self.clock = ManualClock(MONDAY)
        transport = httpx.MockTransport(account)
        self.client = Client("https://a.example", "i", "the-key-of-it", transport=transport)
        self.store = Store("sqlite://")

    def __enter__(self) -> Tracker:
        return Tracker(self.client, self.store, clock=self.clock)

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self.store.close()


def lose(tracker: Tracker) -> str:
    """Send a create whose answer is lost; return the submission's id."""
    with pytest.raises(errors.SubmissionUncertain) as caught:
        tracker.submit(REQUEST)
    return caught.value.submission_id


def state(tracker: Tracker) -> tuple[str, str]:
    row = tracker.store.submissions().iloc[0]
    return row["state"], row["persona_id"]


@FEW
@given(odd_answers())
def test_a_created_answer_with_an_id_is_accepted(answer: dict[str, Any]) -> None:
    """Whatever a 201 holds beside an id, it is accepted, logged and polled."""
    with Opened(OddAccount(answer)) as tracker:
        persona = tracker.submit(REQUEST)
        check_kept(persona, answer)
        assert state(tracker) == ("accepted", str(answer["id"]))
        stored = tracker.store.persona(persona.id)
        assert stored is not None
        check_kept(stored, answer)
        assert tracker.store.personas().iloc[0]["status"] == persona.status_text
        is_polled = tracker.store.next_look_at(persona.id) is not None
        assert is_polled is not persona.is_terminal
        tracker.clock.sleep(86_400)
        tracker.look()
        assert tracker.store.personas()["last_error"].isna().all()


@FEW
@given(odd_answers())
def test_an_odd_answer_is_found_again(answer: dict[str, Any]) -> None:
    """Reconcile finds a persona by its name, whatever else its entry in the list holds."""
    compared = {"creator_name": "Ada", "gender": "f", "video_scene": None, "created_at": None}
    answer = answer | compared
    with Opened(OddAccount(answer, loses=True)) as tracker:
        lose(tracker)
        [verdict] = tracker.reconcile()
        assert verdict.state == "accepted"
        assert state(tracker) == ("accepted", str(answer["id"]))
        stored = tracker.store.persona(str(answer["id"]))
        assert stored is not None
        check_kept(stored, answer)


@FEW
@given(odd_answers(), JSON_VALUES.filter(lambda value: not isinstance(value, str)))
def test_a_persona_whose_name_cannot_be_read_is_a_candidate(
    answer: dict[str, Any], name: Any
) -> None:
    """It may be the lost one: that is never refused, and a person can settle it."""
    answer = answer | {"creator_name": name, "gender": [name], "video_scene": [name]}
    answer = answer | {"created_at": [name]}
    with Opened(OddAccount(answer, loses=True)) as tracker:
        submission_id = lose(tracker)
        tracker.clock.sleep(SETTLING.total_seconds() + 1)
        [verdict] = tracker.reconcile()
        assert verdict.state == "uncertain"
        assert [candidate.id for candidate in verdict.candidates] == [str(answer["id"])]
        tracker.settle(submission_id, str(answer["id"]))
        assert state(tracker) == ("accepted", str(answer["id"]))
        stored = tracker.store.persona(str(answer["id"]))
        assert stored is not None
        check_kept(stored, answer)


@FEW
@given(odd_answers())
def test_a_person_can_settle_what_the_list_does_not_show(answer: dict[str, Any]) -> None:
    """Settle reads the persona by its id, whatever its answer holds."""
    account = OddAccount(answer, loses=True)
    account.listed = []
    with Opened(account) as tracker:
        submission_id = lose(tracker)
        tracker.settle(submission_id, str(answer["id"]))
        assert state(tracker) == ("accepted", str(answer["id"]))


@given(st.sampled_from([{"no": "id"}, None, 7, {"id": None}]))
def test_an_entry_that_cannot_be_read_proves_no_absence(entry: Any) -> None:
    """A list with such an entry may hide the lost one, so that it is not refused."""
    pending = {"id": "bo", "creator_name": "Bo", "process_status": "pending"}
    account = OddAccount(pending, loses=True)
    account.listed = [pending, entry]
    with Opened(account) as tracker:
        lose(tracker)
        tracker.reconcile()
        tracker.clock.sleep(SETTLING.total_seconds() + 1)
        assert tracker.reconcile()[0].state == "uncertain"
        account.listed = [pending]
        assert tracker.reconcile()[0].state == "refused"
