"""What becomes of a create whose answer was lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from avatarkit import Client, PersonaCreate, Store, Tracker, errors
from avatarkit.models import STAGES, Persona, ProcessStatus
from avatarkit.store.clock_skew import Call
from avatarkit.store.submissions import Instant, Uncertain
from avatarkit.tracking.reconcile import SETTLING, Account, decide
from support.manual_clock import ManualClock
from support.project import ROOT

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
        "candidates": (),
        "reason": "",
        "absent": Instant("API", 0),
        "sent_by_api": T0,
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


def after(time: timedelta) -> Instant:
    """The moment so long after ``uncertain`` was first not found."""
    return Instant("API", time // timedelta(microseconds=1))


def account(*listed: Persona, **values: Any) -> Account:
    given: dict[str, Any] = {
        "listing": Call(1, T0, T0),
        "instant": after(SETTLING),
        "listed": listed,
        "taken": frozenset(),
        "sending": (),
        "unlisted": frozenset(),
        "count": None,
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
        soon = account(shown(**other), instant=after(MINUTE))
        [verdict] = decide([uncertain()], soon, T0 + 4 * MINUTE)
        assert verdict.state == "uncertain"

    def test_what_another_submission_became_does_not_fit(self) -> None:
        """A persona that belongs to another submission is not counted twice."""
        taken = account(shown(), taken=frozenset({"p1"}), instant=after(MINUTE))
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

    def test_one_that_is_being_sent_may_have_made_it(self) -> None:
        """What fits a create that is on its way as well settles nothing."""
        on_its_way = account(shown(), sending=(uncertain(2),))
        [verdict] = decide([uncertain()], on_its_way, LATER)
        assert (verdict.state, [one.id for one in verdict.candidates]) == ("uncertain", ["p1"])

    @pytest.mark.parametrize("hours", [-23, -3, 5, 23, 24 * 40])
    def test_one_of_another_time_is_for_a_person_to_choose(self, hours: float) -> None:
        """A clock may be set wrong: a namesake proves neither that it arrived nor that not."""
        stray = shown(created_at=T0 + timedelta(hours=hours))
        [verdict] = decide([uncertain()], account(stray, count=1), LATER)
        assert (verdict.state, verdict.candidates) == ("uncertain", (stray,))
        old = shown(created_at=T0 - timedelta(days=3))
        assert decide([uncertain()], account(old, count=1), LATER)[0].state == "refused"

    def test_a_clock_that_was_ahead_leaves_it_to_a_person_at_once(self) -> None:
        """Sent in a year from now: a namesake is a candidate, and absence is no proof."""
        ahead = timedelta(days=300)
        wrong = uncertain(sent_at=T0 + ahead, broke_at=T0 + ahead + MINUTE, sent_by_api=None)
        [verdict] = decide([wrong], account(shown(), count=1), LATER)
        assert (verdict.state, verdict.candidates) == ("uncertain", (shown(),))
        [verdict] = decide([wrong], account(bo(), count=1), LATER)
        assert (verdict.state, verdict.candidates) == ("uncertain", ())
        assert "look there yourself" in verdict.reason

    @pytest.mark.parametrize("minutes", [-10, 9 + 60])
    def test_clocks_may_differ_by_minutes(self, minutes: int) -> None:
        """Created a little before it was sent, or a while after it broke, it is the one."""
        fits = shown(created_at=T0 + min(minutes, 63) * MINUTE)
        assert decide([uncertain()], account(fits), LATER)[0].state == "accepted"

    def test_absence_before_the_settling_time_proves_nothing(self) -> None:
        """Soon after it was first not found, or by another clock, a list says nothing."""
        for instant in (after(SETTLING - MINUTE), Instant("another machine", 10**15)):
            knows_all = account(bo(), unlisted=frozenset({"bo"}), count=1, instant=instant)
            [verdict] = decide([uncertain()], knows_all, LATER)
            assert verdict.state == "uncertain"

    def test_absence_from_a_list_that_shows_pending_ones(self) -> None:
        """Later, absence from a list that shows what is pending means refused."""
        assert decide([uncertain()], account(bo()), LATER)[0].state == "refused"

    def test_absence_from_a_list_that_may_hide(self) -> None:
        """Absence from a list that shows none that is pending proves nothing, without a count."""
        for hides in (
            account(),
            account(unlisted=frozenset({"bo"})),
            *(account(bo(status), unlisted=frozenset({"bo"})) for status in LATE_STATUSES),
        ):
            assert decide([uncertain()], hides, LATER)[0].state == "uncertain"

    @pytest.mark.parametrize(
        ("listed", "unlisted", "count", "state"),
        [
            # All that count are known: none is left for the lost one.
            ((), (), 0, "refused"),
            (("reviewing",), ("bo",), 1, "refused"),
            ((), ("bo",), 1, "refused"),
            (("done",), (), 1, "refused"),
            # One more than is known, whatever the list shows.
            ((), (), 1, "uncertain"),
            (("pending",), (), 2, "uncertain"),
            (("reviewing",), ("bo",), 2, "uncertain"),
            (("done",), (), 2, "uncertain"),
            # Fewer: somebody deleted one, or not all count.
            (("done",), ("x",), 1, "uncertain"),
            (("pending",), ("x",), 1, "refused"),
            # Nobody knows whether one that failed counts.
            (("failed",), (), 1, "uncertain"),
            (("failed",), (), 0, "refused"),
            (("failed", "pending"), (), 2, "refused"),
            (("failed", "rejected", "pending"), (), 2, "uncertain"),
        ],
    )
    def test_a_count_of_those_that_are_known(
        self, listed: tuple[str, ...], unlisted: tuple[str, ...], count: int, state: str
    ) -> None:
        """A count that is all known personas leaves none; one more speaks for the lost one."""
        seen = account(
            *(
                bo(status, "bo" if place == 0 else f"bo{place}")
                for place, status in enumerate(listed)
            ),
            unlisted=frozenset(unlisted),
            count=count,
        )
        assert decide([uncertain()], seen, LATER)[0].state == state


LATE_STATUSES = [status.value for status in ProcessStatus if status is not ProcessStatus.PENDING]


def bo(status: str = "pending", persona_id: str = "bo") -> Persona:
    """A persona that is not the lost one."""
    return shown(persona_id, creator_name="Bo", process_status=status)


class Account_:
    """An account that may make a persona without the answer getting through."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.personas: list[dict[str, Any]] = []
        self.creates = 0
        self.gets = 0
        self.lose: str | None = None
        self.room = 9
        self.hides: tuple[str, ...] = ()
        self.meanwhile: Callable[[], object] | None = None

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
            self.happens()
            if self.lose == "after":
                raise httpx.ReadError("broke")
            return httpx.Response(201, json=made)
        if path.endswith("/count/"):
            return httpx.Response(
                200, json={"max_count": self.room, "current_count": len(self.personas)}
            )
        if path == "/api/personas_v2/":
            listed = [one for one in self.personas if one["process_status"] not in self.hides]
            self.happens()
            return httpx.Response(200, json=listed)
        self.gets += request.method == "GET"
        found = [one for one in self.personas if one["id"] == path.split("/")[-2]]
        if request.method == "DELETE":
            self.personas.remove(found[0])
            return httpx.Response(204)
        return httpx.Response(200, json=found[0]) if found else httpx.Response(404)

    def happens(self) -> None:
        """What somebody else does between the API's decision and its answer."""
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()


UNFINISHED = tuple(stage.value for stage in STAGES)


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
    @pytest.mark.parametrize("hides", [("pending",), ("pending", "reviewing"), UNFINISHED])
    def test_a_list_that_hides_pending_personas(
        self,
        tracker: Tracker,
        fake: Account_,
        clock: ManualClock,
        hides: tuple[str, ...],
        lose: str,
    ) -> None:
        """Where the list hides what is in flight, only the count can tell."""
        tracker.submit(PersonaCreate(creator_name="Bo", gender="m"))
        fake.personas[0]["process_status"] = "reviewing"
        clock.advance(2 * SETTLING)
        tracker.look()
        fake.hides, fake.lose = hides, lose
        lost(tracker)
        tracker.reconcile()
        clock.advance(SETTLING + MINUTE)
        fake.gets = 0
        tracker.reconcile()
        if "reviewing" in hides:
            assert states(tracker) == ["accepted", "uncertain"]
        assert not fake.gets
        # It takes a poll of each one that is not listed, and another look at the account.
        clock.advance(timedelta(hours=2))
        tracker.look()
        tracker.reconcile()
        settled = "refused" if lose == "before" else "uncertain"
        assert states(tracker) == ["accepted", settled]
        # What the log does not know yet: it is done by now, and so it is listed.
        fake.personas[0]["process_status"] = "done"
        tracker.reconcile()
        assert states(tracker) == ["accepted", settled]

    @pytest.mark.parametrize("status", ["done", "processing"])
    def test_a_count_is_not_trusted_when_one_was_deleted(
        self, tracker: Tracker, fake: Account_, clock: ManualClock, status: str
    ) -> None:
        """The lost one may have taken the place of one that was deleted meanwhile."""
        bo = tracker.submit(PersonaCreate(creator_name="Bo", gender="m"))
        fake.personas[0]["process_status"] = status
        clock.advance(2 * SETTLING)
        tracker.look()
        fake.hides, fake.lose = UNFINISHED, "after"
        lost(tracker)
        tracker.reconcile()
        tracker.client.delete_persona(bo.id)
        clock.advance(SETTLING + MINUTE)
        tracker.look()
        tracker.reconcile()
        assert states(tracker) == ["accepted", "uncertain"]

    def test_a_running_one_that_was_deleted_since_its_poll_is_not_counted(
        self, tracker: Tracker, fake: Account_, clock: ManualClock
    ) -> None:
        """What the log takes to be in flight proves nothing before it was polled again."""
        bo = tracker.submit(PersonaCreate(creator_name="Bo", gender="m"))
        fake.hides, fake.lose = UNFINISHED, "after"
        lost(tracker)
        tracker.reconcile()
        clock.advance(SETTLING + MINUTE)
        tracker.client.delete_persona(bo.id)
        for _ in range(3):
            tracker.reconcile()
            assert states(tracker) == ["accepted", "uncertain"]
            clock.advance(timedelta(hours=2))
            tracker.look()

    def test_an_uncertain_create_is_not_refused_by_sending_it_again(
        self, tracker: Tracker, fake: Account_
    ) -> None:
        """Though the plan is full by now, of the very avatar that it may have become."""
        fake.lose, fake.room = "after", 1
        submission = lost(tracker)
        with pytest.raises(errors.StoreError, match="was sent before"):
            tracker.submit(PersonaCreate(creator_name="Ada", gender="f"), submission_id=submission)
        assert states(tracker) == ["uncertain"]
        assert fake.creates == 1

    def test_who_may_not_send_it_does_not_release_it(
        self, tracker: Tracker, fake: Account_, clock: ManualClock
    ) -> None:
        """A second call for a create that is on its way leaves the first one in hand."""
        request = PersonaCreate(creator_name="Ada", gender="f")
        submission = tracker.prepare(request)

        def again() -> None:
            with pytest.raises(errors.StoreError, match="was sent before"):
                tracker.submit(request, submission_id=submission)
            tracker.store.settle_abandoned(clock.now())
            assert states(tracker) == ["sending"]

        fake.meanwhile = again
        tracker.submit(request, submission_id=submission)
        assert states(tracker) == ["accepted"]
        assert fake.creates == 1

    def test_what_is_created_while_it_is_listed_confuses_nobody(
        self, tracker: Tracker, fake: Account_, clock: ManualClock
    ) -> None:
        """A count and a list of two moments prove nothing together."""
        fake.hides, fake.lose = ("pending",), "after"
        lost(tracker)
        tracker.reconcile()
        clock.advance(SETTLING + MINUTE)
        other = {"id": "x", "creator_name": "X", "process_status": "done"}
        fake.meanwhile = lambda: fake.personas.append(other)
        tracker.reconcile()
        assert states(tracker) == ["uncertain"]

    def test_no_two_submissions_become_one_persona(
        self, tracker: Tracker, fake: Account_, clock: ManualClock
    ) -> None:
        """A namesake that is answered just while another process settles keeps its persona."""
        fake.lose = "before"
        lost(tracker)
        fake.lose = None
        clock.advance(5 * MINUTE)
        other = Tracker(tracker.client, tracker.store, clock=clock)
        fake.meanwhile = other.reconcile
        tracker.submit(PersonaCreate(creator_name="Ada", gender="f"))
        rows = tracker.store.submissions()
        assert rows["state"].tolist() == ["uncertain", "accepted"]
        assert rows["persona_id"].dropna().tolist() == ["p1"]
        # The other way about: answered after it was listed and before it is written down.
        fake.lose = "before"
        third = lost(tracker, "Cy")
        fake.lose = None
        answered = tracker.submit(PersonaCreate(creator_name="Cy", gender="f"))
        assert not tracker.store.may_become(third, answered.id)

    def test_a_stale_verdict_changes_nothing(
        self, tracker: Tracker, fake: Account_, clock: ManualClock
    ) -> None:
        """What the user settled while another process was listing stays so."""
        fake.lose = "after"
        submission = lost(tracker)
        fake.personas[0]["creator_name"] = "renamed"
        clock.advance(SETTLING + MINUTE)
        fake.meanwhile = lambda: tracker.settle(submission, "p1")
        tracker.reconcile()
        row = tracker.store.submissions().iloc[0]
        assert (row["state"], row["persona_id"]) == ("accepted", "p1")
        with pytest.raises(errors.ConfigError, match="No uncertain submission"):
            tracker.settle(submission, None)

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

    def test_what_a_person_chooses_is_logged_as_it_stands_now(
        self, tracker: Tracker, fake: Account_, clock: ManualClock
    ) -> None:
        """The status of hours ago, when it was listed, is not logged as that of now."""
        fake.lose = "after"
        first, _ = lost(tracker), lost(tracker)
        tracker.reconcile()
        clock.sleep(7200)
        fake.personas[0]["process_status"] = "reviewing"
        tracker.settle(first, "p1")
        assert tracker.store.sightings("p1")["status"].tolist() == ["reviewing"]

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

    @pytest.mark.skipif(not hasattr(os, "waitid"), reason="nobody can wait without burying it")
    def test_one_that_nobody_has_buried_is_dead(
        self, tracker: Tracker, clock: ManualClock, tmp_path: Path
    ) -> None:
        """A killed process stays in the process table until its parent asks for it."""
        url = f"sqlite:///{tmp_path / 'log.db'}"
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, url, tracker.client.account], cwd=ROOT
        )
        try:
            # Until it has ended, and without asking for it.
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
            assert psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE
            tracker.reconcile()
            assert states(tracker) == ["uncertain"]
        finally:
            process.wait()

    def test_a_system_clock_that_is_set_kills_nobody(
        self, tracker: Tracker, clock: ManualClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Another living process keeps what it sends, though the clock was set meanwhile."""
        url = f"sqlite:///{tmp_path / 'log.db'}"
        living = KILLED.replace("os.kill(os.getpid(), 9)", "print('sent', flush=True); input()")
        process = subprocess.Popen(
            [sys.executable, "-c", living, url, tracker.client.account],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        with process:
            assert process.stdout is not None
            process.stdout.readline()
            boot = psutil.boot_time()
            monkeypatch.setattr("psutil.boot_time", lambda: boot + 5)
            monkeypatch.setattr("psutil._pslinux.boot_time", lambda: boot + 5, raising=False)
            tracker.reconcile()
            assert states(tracker) == ["sending"]
            process.communicate(b"\n")
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
