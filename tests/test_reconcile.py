"""What becomes of a create whose answer was lost."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import ROOT, ManualClock

from avatarkit import Client, PersonaCreate, Store, Tracker, errors
from avatarkit.journal import Uncertain
from avatarkit.models import Persona
from avatarkit.reconcile import SETTLING, Account, decide

T0 = datetime(2026, 1, 5, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def uncertain(number: int = 1, **values: Any) -> Uncertain:
    given = {
        "submission_id": f"s{number}",
        "creator_name": "Ada",
        "gender": "f",
        "video_scene": "office",
        "sent_at": T0,
        "broke_at": T0 + 3 * MINUTE,
        "quota_before": 1,
        "candidates": (),
        "reason": "",
    }
    return Uncertain(**given | values)


def shown(persona_id: str = "p1", **values: Any) -> Persona:
    given = {
        "id": persona_id,
        "creator_name": "Ada",
        "gender": "f",
        "video_scene": "office",
        "process_status": "pending",
        "created_at": T0 + MINUTE,
    }
    return Persona.model_validate(given | values)


def account(*listed: Persona, **values: Any) -> Account:
    given: dict[str, Any] = {
        "listed": listed,
        "taken": frozenset(),
        "running": frozenset(),
        "count": None,
        "accepted_at": (),
    }
    return Account(**given | values)


LATER = T0 + 3 * MINUTE + SETTLING


class TestDecide:
    def test_one_that_fits_proves_it(self) -> None:
        """A persona of the same name, gender, scene and time is the submission's own."""
        [verdict] = decide([uncertain()], account(shown()), T0 + 4 * MINUTE)
        assert verdict.state == "accepted"
        assert verdict.persona is not None
        assert verdict.persona.id == "p1"

    @pytest.mark.parametrize(
        "other",
        [
            {"creator_name": "Bo"},
            {"gender": "m"},
            {"video_scene": "street"},
            {"created_at": T0 - timedelta(hours=1)},
            {"created_at": T0 + timedelta(hours=3)},
        ],
    )
    def test_what_differs_does_not_fit(self, other: dict[str, Any]) -> None:
        """Another name, gender, scene or time is another persona."""
        [verdict] = decide([uncertain()], account(shown(**other)), T0 + 4 * MINUTE)
        assert verdict.state == "uncertain"

    def test_what_another_submission_became_does_not_fit(self) -> None:
        """A persona that belongs to another submission is not counted twice."""
        taken = account(shown(), taken=frozenset({"p1"}))
        assert decide([uncertain()], taken, T0 + 4 * MINUTE)[0].state == "uncertain"

    def test_two_that_fit_are_for_a_person_to_choose(self) -> None:
        """Two personas that fit stay uncertain, with both as candidates."""
        [verdict] = decide([uncertain()], account(shown("p1"), shown("p2")), LATER)
        assert verdict.state == "uncertain"
        assert [one.id for one in verdict.candidates] == ["p1", "p2"]

    def test_one_persona_for_two_submissions(self) -> None:
        """When two submissions fit one persona, neither is settled."""
        verdicts = decide([uncertain(1), uncertain(2)], account(shown()), LATER)
        assert {verdict.state for verdict in verdicts} == {"uncertain"}

    def test_absence_before_the_settling_time_proves_nothing(self) -> None:
        """Right after the break an empty list says nothing, whatever else is known."""
        knows_all = account(shown("x", creator_name="X"), running=frozenset({"x"}), count=1)
        [verdict] = decide([uncertain()], knows_all, LATER - MINUTE)
        assert verdict.state == "uncertain"

    def test_absence_from_a_list_that_shows_running_ones(self) -> None:
        """Later, absence from a list that shows what is in flight means refused."""
        knows = account(shown("x", creator_name="X"), running=frozenset({"x"}))
        assert decide([uncertain()], knows, LATER)[0].state == "refused"

    @pytest.mark.parametrize(
        "hides",
        [
            account(),
            account(shown("x", creator_name="X")),
            account(running=frozenset({"x"})),
            account(shown("x", creator_name="X"), running=frozenset({"x", "y"})),
        ],
    )
    def test_absence_from_a_list_that_may_hide(self, hides: Account) -> None:
        """Absence from a list that is not known to show what is in flight proves nothing."""
        assert decide([uncertain()], hides, LATER)[0].state == "uncertain"

    @pytest.mark.parametrize(
        ("count", "accepted_at", "state"),
        [
            (1, (), "refused"),
            (2, (), "uncertain"),
            (2, (T0 + MINUTE,), "refused"),
            (2, (T0 - MINUTE,), "uncertain"),
            (None, (), "uncertain"),
        ],
    )
    def test_a_count_that_did_not_grow(
        self, count: int | None, accepted_at: tuple[datetime, ...], state: str
    ) -> None:
        """A count that did not grow, but for what was accepted since, means refused."""
        seen = account(count=count, accepted_at=accepted_at)
        assert decide([uncertain()], seen, LATER)[0].state == state


class Account_:
    """An account that may make a persona without the answer getting through."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.personas: list[dict[str, Any]] = []
        self.creates = 0
        self.lose: str | None = None
        self.hides_pending = False

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if request.method == "POST":
            self.creates += 1
            made = {
                "id": f"p{len(self.personas) + 1}",
                "process_status": "pending",
                "created_at": self.clock.now().isoformat(),
                **json.loads(request.read()),
            }
            if self.lose == "before":
                raise httpx.WriteError("broke")
            self.personas.append(made)
            if self.lose == "after":
                raise httpx.ReadError("broke")
            return httpx.Response(201, json=made)
        if path.endswith("/count/"):
            return httpx.Response(200, json={"max_count": 9, "current_count": len(self.personas)})
        if path == "/api/personas_v2/":
            return httpx.Response(200, json=[] if self.hides_pending else self.personas)
        found = [one for one in self.personas if one["id"] == path.split("/")[-2]]
        return httpx.Response(200, json=found[0]) if found else httpx.Response(404)


@pytest.fixture
def clock(manual_clock: ManualClock) -> ManualClock:
    return manual_clock


@pytest.fixture
def fake(clock: ManualClock) -> Account_:
    return Account_(clock)


@pytest.fixture
def tracker(fake: Account_, clock: ManualClock, tmp_path: Path) -> Any:
    transport = httpx.MockTransport(fake)
    with (
        Client("https://a.example", "i", "k", transport=transport, backoff_s=0, tries=1) as client,
        Store(f"sqlite:///{tmp_path / 'log.db'}") as store,
    ):
        yield Tracker(client, store, clock=clock)


def lost(tracker: Tracker, name: str = "Ada") -> str:
    tracker.clock.sleep(1)
    with pytest.raises(errors.SubmissionUncertain) as caught:
        tracker.submit(PersonaCreate(creator_name=name, gender="f"))
    return caught.value.submission_id


def states(tracker: Tracker) -> list[str]:
    return list(tracker.store.submissions()["state"])


class TestReconcile:
    def test_nothing_uncertain_asks_nothing(self, tracker: Tracker) -> None:
        """Without uncertain submissions there is no verdict and no call."""
        assert tracker.reconcile() == []

    def test_what_arrived_is_found_and_followed(
        self, tracker: Tracker, fake: Account_, clock: ManualClock
    ) -> None:
        """A create whose answer was lost ends as accepted, with its id, and is tracked."""
        fake.lose = "after"
        lost(tracker)
        [verdict] = tracker.reconcile()
        assert verdict.state == "accepted"
        row = tracker.store.submissions().iloc[0]
        assert (row["state"], row["persona_id"]) == ("accepted", "p1")
        assert tracker.store.sightings().iloc[0]["source"] == "list"
        assert tracker.store.next_look_at("p1") is not None
        assert fake.creates == 1

    def test_what_never_arrived_is_safe_to_send_again_only_later(
        self, tracker: Tracker, fake: Account_, clock: ManualClock
    ) -> None:
        """Absence settles it after the settling time, not before."""
        fake.lose = "before"
        lost(tracker)
        tracker.reconcile()
        assert states(tracker) == ["uncertain"]
        clock.advance(SETTLING + MINUTE)
        tracker.reconcile()
        assert states(tracker) == ["refused"]

    @pytest.mark.parametrize("lose", ["before", "after"])
    def test_a_list_that_hides_pending_personas(
        self, tracker: Tracker, fake: Account_, clock: ManualClock, lose: str
    ) -> None:
        """Where the list hides what is in flight, only the count can tell."""
        fake.hides_pending = True
        fake.lose = lose
        lost(tracker)
        clock.advance(SETTLING + MINUTE)
        tracker.reconcile()
        assert states(tracker) == ["refused" if lose == "before" else "uncertain"]

    def test_a_count_is_not_trusted_when_one_is_missing(
        self, tracker: Tracker, fake: Account_, clock: ManualClock
    ) -> None:
        """A persona that was deleted meanwhile makes the count useless."""
        tracker.submit(PersonaCreate(creator_name="Bo", gender="m"))
        fake.hides_pending = True
        fake.lose = "after"
        lost(tracker)
        fake.personas = [one for one in fake.personas if one["creator_name"] != "Bo"]
        clock.advance(SETTLING + MINUTE)
        tracker.look()
        tracker.reconcile()
        assert states(tracker) == ["accepted", "uncertain"]

    def test_a_person_may_choose(
        self, tracker: Tracker, fake: Account_, clock: ManualClock
    ) -> None:
        """Of two that fit a person chooses one; of the other they say that it never came."""
        fake.lose = "after"
        first, second = lost(tracker), lost(tracker)
        tracker.reconcile()
        [one, other] = tracker.store.open_submissions()
        assert [persona.id for persona in one.candidates] == ["p1", "p2"]
        assert other.reason.startswith("Several")
        tracker.settle(first, "p1")
        with pytest.raises(errors.ConfigError, match="Another submission"):
            tracker.settle(second, "p1")
        tracker.settle(second, None)
        assert states(tracker) == ["accepted", "refused"]
        assert tracker.store.submissions()["persona_id"].dropna().tolist() == ["p1"]
        with pytest.raises(errors.ConfigError, match="No uncertain submission"):
            tracker.settle(first, None)

    def test_a_person_may_name_one_that_was_not_found(
        self, tracker: Tracker, fake: Account_, clock: ManualClock
    ) -> None:
        """A persona that the list did not offer is fetched by its id."""
        fake.lose = "after"
        submission = lost(tracker)
        tracker.settle(submission, "p1")
        assert states(tracker) == ["accepted"]

    def test_nothing_is_settled_while_the_api_is_down(
        self, tracker: Tracker, fake: Account_, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """An error of the listing leaves everything as it was."""
        fake.lose = "after"
        lost(tracker)

        def down(**_: Any) -> Any:
            raise errors.ServerError("Down.", method="GET", url="u", status_code=500)

        monkeypatch.setattr(tracker.client, "list_personas", down)
        with pytest.raises(errors.ServerError):
            tracker.reconcile()
        assert states(tracker) == ["uncertain"]


KILLED = """
import os, sys
from datetime import UTC, datetime
from avatarkit import PersonaCreate, Store
store = Store(sys.argv[1], account=sys.argv[2])
submission = store.prepare(PersonaCreate(creator_name="Ada", gender="f"), datetime.now(UTC))
store.sending(submission, datetime.now(UTC))
os.kill(os.getpid(), 9)
"""


class TestAfterAKill:
    def test_what_a_dead_process_was_sending_becomes_uncertain(
        self, tracker: Tracker, fake: Account_, clock: ManualClock, tmp_path: Path
    ) -> None:
        """After kill -9 in the middle of sending, the next start makes it uncertain."""
        url = f"sqlite:///{tmp_path / 'log.db'}"
        command = [sys.executable, "-c", KILLED, url, tracker.client.account]
        subprocess.run(command, cwd=ROOT, check=False)
        assert states(tracker) == ["sending"]
        tracker.reconcile()
        assert states(tracker) == ["uncertain"]

    def test_what_a_living_process_sends_is_left_alone(
        self, tracker: Tracker, clock: ManualClock
    ) -> None:
        """A submission that this very process is sending is not touched."""
        request = PersonaCreate(creator_name="Ada", gender="f")
        submission = tracker.store.prepare(request, clock.now())
        tracker.store.sending(submission, clock.now())
        assert tracker.reconcile() == []
        assert states(tracker) == ["sending"]
