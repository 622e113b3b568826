"""The tracker, on a fake of the API and a clock that never sleeps."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest

from avatarkit import Client, PersonaCreate, Store, Tracker, errors
from avatarkit.models import Persona
from avatarkit.store import database
from avatarkit.tracking.tracker import Change
from support.manual_clock import ManualClock

Handler = Callable[[httpx.Request], httpx.Response]


class API:
    """A fake account: statuses by id, a log of calls, and faults that may be set."""

    def __init__(self) -> None:
        self.statuses: dict[str, str] = {}
        self.calls: list[str] = []
        self.fault: httpx.Response | Exception | None = None
        self.faults: dict[str, httpx.Response | Exception] = {}
        self.limit = 9

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/api/personas_v2/count/":
            return httpx.Response(
                200, json={"max_count": self.limit, "current_count": len(self.statuses)}
            )
        if request.method == "GET" and request.url.path == "/api/personas_v2/":
            return httpx.Response(200, json=[])
        self.calls.append(f"{request.method} {request.url.path}")
        fault = self.faults.get(request.url.path.split("/")[-2], self.fault)
        if isinstance(fault, Exception):
            raise fault
        if fault is not None:
            return httpx.Response(fault.status_code, content=fault.content)
        if request.method == "POST":
            sent = json.loads(request.read())
            persona_id = f"p{len(self.statuses) + 1}"
            self.statuses[persona_id] = "pending"
            return httpx.Response(201, json=self.body(persona_id) | sent)
        persona_id = request.url.path.split("/")[-2]
        if persona_id not in self.statuses:
            return httpx.Response(404, json={"detail": "No Creator matches the given query."})
        return httpx.Response(200, json=self.body(persona_id))

    def body(self, persona_id: str) -> dict[str, Any]:
        status = self.statuses[persona_id]
        reason = "Because." if status in ("failed", "rejected") else None
        return {"id": persona_id, "process_status": status, "failed_reason": reason}


class LivingClock(ManualClock):
    """A manual clock on which something may happen after each sleep."""

    on_sleep: Callable[[float], None] | None = None

    def sleep(self, seconds: float, stop: threading.Event | None = None) -> None:
        super().sleep(seconds, stop)
        if self.on_sleep is not None:
            self.on_sleep(seconds)


@pytest.fixture
def api() -> API:
    return API()


@pytest.fixture
def clock() -> LivingClock:
    return LivingClock(datetime(2026, 1, 5, 12, tzinfo=UTC))


@pytest.fixture
def tracker(api: API, clock: LivingClock, tmp_path: Path) -> Any:
    client = Client(
        "https://a.example", "i", "k", transport=httpx.MockTransport(api), backoff_s=0, tries=1
    )
    with client, Store(f"sqlite:///{tmp_path / 'log.db'}") as store:
        yield Tracker(client, store, clock=clock)


def request(name: str = "James") -> PersonaCreate:
    return PersonaCreate(creator_name=name, gender="m")


def state(tracker: Tracker) -> str:
    return str(tracker.store.submissions().iloc[-1]["state"])


def test_sandbox_and_live_never_share_a_database(tmp_path: Path) -> None:
    """Not even where they are wired by hand: the second one is refused."""
    answer = httpx.MockTransport(lambda _: httpx.Response(200, json={"instance": "a"}))
    with Store(f"sqlite:///{tmp_path / 'log.db'}") as store:
        Tracker(Client("http://127.0.0.1:9", "i", "k", transport=answer), store)
    with (
        Store(f"sqlite:///{tmp_path / 'log.db'}") as store,
        pytest.raises(errors.StoreError, match="sandbox data"),
    ):
        Tracker(Client("https://a.example", "i", "k", transport=answer), store)


class TestSubmit:
    def test_a_create_is_logged_before_during_and_after(self, tracker: Tracker, api: API) -> None:
        """A submission ends as accepted, with the persona's id and a first sighting."""
        persona = tracker.submit(request())
        assert persona.id == "p1"
        assert state(tracker) == "accepted"
        assert list(tracker.store.sightings()["source"]) == ["create"]
        assert api.calls == ["POST /api/personas_v2/"]

    @pytest.mark.parametrize(
        ("fault", "kind", "ends_as"),
        [
            (httpx.ConnectError("x"), errors.ConnectionFailed, "refused"),
            (httpx.Response(400, json={"gender": ["Bad."]}), errors.InvalidRequest, "refused"),
            (httpx.Response(401), errors.AuthError, "refused"),
            (httpx.Response(403, json={"detail": "No."}), errors.AuthError, "refused"),
            (httpx.Response(403, html="<html>"), errors.StatusError, "refused"),
            (httpx.Response(413, html="<html>"), errors.TooLarge, "refused"),
            (httpx.Response(429), errors.RateLimited, "refused"),
            (httpx.Response(301), errors.StatusError, "refused"),
            (httpx.Response(500), errors.SubmissionUncertain, "uncertain"),
            (httpx.Response(502), errors.SubmissionUncertain, "uncertain"),
            (httpx.ReadError("x"), errors.SubmissionUncertain, "uncertain"),
            (httpx.ReadTimeout("x"), errors.SubmissionUncertain, "uncertain"),
            (httpx.WriteError("x"), errors.SubmissionUncertain, "uncertain"),
            (httpx.Response(200, json=[]), errors.SubmissionUncertain, "uncertain"),
            (httpx.Response(201, text="<html>"), errors.SubmissionUncertain, "uncertain"),
        ],
    )
    def test_each_failure_ends_as_refused_or_uncertain(
        self, tracker: Tracker, api: API, fault: Any, kind: type[Exception], ends_as: str
    ) -> None:
        """What surely did not happen is refused, what may have happened uncertain; sent once."""
        api.fault = fault
        with pytest.raises(kind):
            tracker.submit(request())
        row = tracker.store.submissions().iloc[0]
        assert row["state"] == ends_as
        assert row["error"]
        assert len(api.calls) == 1
        assert tracker.store.personas().empty

    def test_uncertain_carries_its_submission(self, tracker: Tracker, api: API) -> None:
        """SubmissionUncertain names the row of the journal."""
        api.fault = httpx.ReadError("x")
        with pytest.raises(errors.SubmissionUncertain) as caught:
            tracker.submit(request())
        assert caught.value.submission_id == tracker.store.submissions().iloc[0]["submission_id"]

    def test_an_interrupted_upload_is_uncertain(self, tracker: Tracker, tmp_path: Path) -> None:
        """Ctrl-C in the middle of an upload leaves an uncertain submission."""
        video = tmp_path / "v.mp4"
        video.write_bytes(b"x" * 10_000)

        def interrupt(sent: int, total: int) -> None:
            raise KeyboardInterrupt

        create = PersonaCreate(creator_name="James", gender="m", lipsync_input=video)
        with pytest.raises(KeyboardInterrupt):
            tracker.submit(create, progress=interrupt)
        assert state(tracker) == "uncertain"

    def test_an_interruption_before_it_left_is_safe_to_send_again(
        self, tracker: Tracker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Ctrl-C while the quota is asked, or as it is written down, leaves no open submission."""

        def interrupt(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        for owner, name in ((tracker.client, "persona_quota"), (tracker.store, "sending")):
            with monkeypatch.context() as patch:
                patch.setattr(owner, name, interrupt)
                with pytest.raises(KeyboardInterrupt):
                    tracker.submit(request())
        assert tracker.store.submissions()["state"].tolist() == ["refused", "refused"]
        assert tracker.reconcile() == []

    def test_what_was_prepared_is_sent_under_its_own_row(self, tracker: Tracker) -> None:
        """A submission may be written down long before it is sent, and stays one."""
        submission_id = tracker.prepare(request())
        assert state(tracker) == "prepared"
        tracker.submit(request(), submission_id=submission_id)
        rows = tracker.store.submissions()
        assert rows["submission_id"].tolist() == [submission_id]
        assert rows["state"].tolist() == ["accepted"]

    def test_a_sender_on_another_machine_is_given_time(
        self, tracker: Tracker, clock: LivingClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Nobody can ask whether it lives; after half a day its create is uncertain."""
        submission_id = tracker.prepare(request())
        tracker.store.sending(submission_id, clock.now())
        tracker.store.release(submission_id)
        monkeypatch.setattr("socket.gethostname", lambda: "another-machine")
        clock.advance(timedelta(hours=11))
        assert tracker.reconcile() == []
        assert state(tracker) == "sending"
        clock.advance(timedelta(hours=2))
        assert [verdict.submission_id for verdict in tracker.reconcile()] == [submission_id]

    def test_a_log_that_fails_after_the_create_names_the_id(
        self, tracker: Tracker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """When the answer cannot be written down, the sentence has the id; it is found later."""

        def fail(*_: Any, **__: Any) -> None:
            raise errors.StoreError("The disk is full.")

        with monkeypatch.context() as patch:
            patch.setattr(tracker.store, "accepted", fail)
            with pytest.raises(errors.SubmissionUncertain, match=r"p1.*disk is full"):
                tracker.submit(request())
        assert state(tracker) == "sending"
        # Nobody sends it any more, though this process lives.
        tracker.store.settle_abandoned(tracker.clock.now())
        assert state(tracker) == "uncertain"

    def test_what_was_sent_is_not_sent_again_under_the_same_row(
        self, tracker: Tracker, api: API
    ) -> None:
        """A submission leaves once, and a later word does not undo that it was accepted."""
        submission_id = tracker.prepare(request())
        tracker.submit(request(), submission_id=submission_id)
        with pytest.raises(errors.StoreError, match="was sent before"):
            tracker.submit(request(), submission_id=submission_id)
        assert api.calls == ["POST /api/personas_v2/"]
        tracker.store.refused(submission_id, tracker.clock.now(), "Nobody saw it.")
        tracker.store.uncertain(submission_id, tracker.clock.now(), "It broke.")
        assert state(tracker) == "accepted"

    def test_a_full_plan_is_said_before_anything_is_sent(self, tracker: Tracker, api: API) -> None:
        """When the quota says that the plan is full, nothing is sent and nothing made."""
        api.limit = 1
        tracker.submit(request())
        with pytest.raises(errors.PlanFull, match="1 of 1"):
            tracker.submit(request("Bo"))
        assert sorted(tracker.store.submissions()["state"]) == ["accepted", "refused"]
        assert api.calls == ["POST /api/personas_v2/"]

    def test_an_unlimited_plan_is_not_full(self, tracker: Tracker, api: API) -> None:
        """A limit of 0 is no limit; the API has the last word."""
        api.limit = 0
        assert tracker.submit(request()).id == "p1"


class TestLook:
    def test_only_what_is_due_is_polled(
        self, tracker: Tracker, api: API, clock: LivingClock
    ) -> None:
        """Right after the create nothing is due; an hour later it is."""
        tracker.submit(request())
        assert tracker.look() == []
        assert len(api.calls) == 1
        clock.advance(timedelta(hours=1))
        api.statuses["p1"] = "processing"
        changes = tracker.look()
        assert [(c.before, c.after, c.creator_name) for c in changes] == [
            ("pending", "processing", "James")
        ]

    def test_what_has_ended_is_not_polled_again(
        self, tracker: Tracker, api: API, clock: LivingClock
    ) -> None:
        """After done there are no more calls."""
        tracker.submit(request())
        api.statuses["p1"] = "done"
        clock.advance(timedelta(hours=1))
        tracker.look()
        calls = len(api.calls)
        clock.advance(timedelta(days=9))
        assert tracker.look() == []
        assert len(api.calls) == calls

    def test_an_error_on_one_stops_no_other(
        self, tracker: Tracker, api: API, clock: LivingClock
    ) -> None:
        """One persona fails to answer, the others are seen; the error is kept on the one."""
        for number in range(6):
            tracker.submit(request(f"n{number}"))
        api.faults["p3"] = httpx.Response(500)
        api.faults["p4"] = httpx.ReadError("x")
        for persona_id in api.statuses:
            api.statuses[persona_id] = "processing"
        clock.advance(timedelta(hours=1))
        assert len(tracker.look()) == 4
        rows = tracker.store.personas().set_index("persona_id")
        assert rows["last_error"].notna().to_dict() == {f"p{n}": n in (3, 4) for n in range(1, 7)}
        assert tracker.last_error is not None
        assert rows.loc["p3", "next_look_at"] > clock.now()

    def test_an_answer_that_nobody_foresaw_stops_no_other(
        self, tracker: Tracker, api: API, clock: LivingClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A bug in reading one answer is kept on that persona; a broken log is raised."""
        for number in range(3):
            tracker.submit(request(f"n{number}"))
        for persona_id in api.statuses:
            api.statuses[persona_id] = "processing"
        clock.advance(timedelta(hours=1))
        record = tracker.store.record

        def fail(persona: Persona, **values: Any) -> Any:
            if persona.id == "p2":
                raise RuntimeError("bug")
            return record(persona, **values)

        monkeypatch.setattr(tracker.store, "record", fail)
        assert len(tracker.look()) == 2
        errors_by_id = tracker.store.personas().set_index("persona_id")["last_error"]
        assert errors_by_id["p2"] == "The answer could not be kept (RuntimeError)."

        def broken(*_: object, **__: object) -> Any:
            raise errors.StoreError("Disk full.")

        clock.advance(timedelta(days=1))
        monkeypatch.setattr(tracker.store, "record", broken)
        with pytest.raises(errors.StoreError):
            tracker.look()

    def test_half_a_surrogate_in_an_answer_is_written_down(
        self, tracker: Tracker, api: API, clock: LivingClock
    ) -> None:
        """JSON may hold it and no text file may: it becomes the sign for what is not known."""
        tracker.submit(request())
        clock.advance(timedelta(hours=1))
        api.faults["p1"] = httpx.Response(400, content=b'{"detail": "bad \\ud800"}')
        tracker.look()
        assert "bad \ufffd" in tracker.store.personas().iloc[0]["last_error"]
        api.faults.clear()
        api.fault = httpx.Response(400, content=b'["bad \\udfff"]')
        with pytest.raises(errors.InvalidRequest, match="bad \ufffd"):
            tracker.submit(request("another"))

    def test_a_404_keeps_the_history(self, tracker: Tracker, api: API, clock: LivingClock) -> None:
        """Only 404s over hours make a persona gone, and then it is left alone."""
        tracker.submit(request())
        del api.statuses["p1"]
        for _ in range(12):
            clock.advance(timedelta(hours=3))
            tracker.look()
        row = tracker.store.personas().iloc[0]
        assert row["gone"]
        assert row["status"] == "pending"
        assert 3 <= len(api.calls) - 1 < 12


class TestOneTransaction:
    @pytest.fixture
    def no_plan(self, tracker: Tracker, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
        """Make planning fail from now on."""

        def fail(*_: object) -> None:
            raise errors.StoreError("The disk is full.")

        return lambda: monkeypatch.setattr(tracker.store, "plan", fail)

    def test_a_poll_is_logged_with_its_plan_or_not_at_all(
        self, tracker: Tracker, api: API, clock: LivingClock, no_plan: Callable[[], None]
    ) -> None:
        """A failure between an answer or an error and the next poll's plan leaves neither."""
        tracker.submit(request("answers"))
        tracker.submit(request("breaks"))
        clock.advance(timedelta(hours=1))
        api.statuses["p1"] = "processing"
        api.faults["p2"] = httpx.Response(500)
        before = tracker.store.personas(), tracker.store.sightings()
        no_plan()
        for persona_id in ("p1", "p2"):
            with pytest.raises(errors.StoreError):
                tracker.wait(persona_id, timeout=1)
        pd.testing.assert_frame_equal(tracker.store.personas(), before[0])
        pd.testing.assert_frame_equal(tracker.store.sightings(), before[1])

    def test_a_create_is_logged_with_its_plan_or_not_at_all(
        self, tracker: Tracker, no_plan: Callable[[], None]
    ) -> None:
        """The submission stays open, and neither persona nor sighting is there."""
        no_plan()
        with pytest.raises(errors.SubmissionUncertain):
            tracker.submit(request())
        assert state(tracker) == "sending"
        assert tracker.store.personas().empty
        assert tracker.store.sightings().empty

    def test_a_settled_create_is_logged_with_its_plan_or_not_at_all(
        self, tracker: Tracker, api: API, no_plan: Callable[[], None]
    ) -> None:
        """A submission that is found in the list stays uncertain."""
        api.fault = httpx.ReadError("x")
        with pytest.raises(errors.SubmissionUncertain) as caught:
            tracker.submit(request())
        api.fault = None
        api.statuses["p1"] = "pending"
        no_plan()
        with pytest.raises(errors.StoreError):
            tracker.settle(caught.value.submission_id, "p1")
        assert state(tracker) == "uncertain"
        assert tracker.store.personas().empty


class TestRun:
    def test_one_pass_reports_changes_and_errors(
        self, tracker: Tracker, api: API, clock: LivingClock
    ) -> None:
        """once=True ends after a pass, in which each change and the error are reported."""
        for name in "abc":
            tracker.submit(request(name))
        clock.advance(timedelta(hours=1))
        api.statuses.update(p1="processing", p2="done")
        api.faults["p3"] = httpx.Response(500)
        changes: list[Change] = []
        told: list[str] = []
        tracker.run(threading.Event(), on_change=changes.append, on_error=told.append, once=True)
        assert {each.persona_id: each.after for each in changes} == {
            "p1": "processing",
            "p2": "done",
        }
        assert told == [tracker.last_error]

    def test_a_list_that_fails_stops_no_poll(
        self, tracker: Tracker, api: API, clock: LivingClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """An uncertain create that cannot be settled now keeps no persona from being polled."""
        tracker.submit(request())
        clock.advance(timedelta(hours=1))
        api.statuses["p1"] = "done"

        def fail(**_: object) -> None:
            raise errors.ServerError("Down.", method="GET", url="u", status_code=500)

        monkeypatch.setattr(tracker, "reconcile", fail)
        changes: list[Change] = []
        told: list[str] = []
        tracker.run(
            threading.Event(), on_change=changes.append, on_error=told.append, until_done=True
        )
        assert [each.after for each in changes] == ["done"]
        assert told == ["Down."]

    def test_a_locked_database_does_not_end_it(
        self, api: API, clock: LivingClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Another program holds the database for many passes; the run goes on after it."""
        monkeypatch.setattr(database, "BUSY_TIMEOUT_MS", 1)
        path = tmp_path / "locked.db"
        transport = httpx.MockTransport(api)
        client = Client("https://a.example", "i", "k", transport=transport, backoff_s=0, tries=1)
        with client, Store(f"sqlite:///{path}") as store, closing(sqlite3.connect(path)) as holder:
            tracker = Tracker(client, store, clock=clock)
            tracker.submit(request())
            api.statuses["p1"] = "done"
            holder.execute("BEGIN IMMEDIATE")
            sleeps: list[float] = []

            def live(seconds: float) -> None:
                sleeps.append(seconds)
                if len(sleeps) == 9:
                    holder.rollback()

            clock.on_sleep = live
            clock.advance(timedelta(hours=1))
            changes: list[Change] = []
            told: list[str] = []
            tracker.run(
                threading.Event(), on_change=changes.append, on_error=told.append, until_done=True
            )
        assert [each.after for each in changes] == ["done"]
        assert len(told) == 1
        assert "locked" in told[0]

    def test_run_follows_to_the_end(self, tracker: Tracker, api: API, clock: LivingClock) -> None:
        """run() polls what is due in pass after pass, until it is stopped."""
        tracker.submit(request())
        stop = threading.Event()
        began = clock.now()

        def live(seconds: float) -> None:
            clock.advance(timedelta(minutes=3))
            hours = (clock.now() - began) / timedelta(hours=1)
            api.statuses["p1"] = "done" if hours > 8 else "processing" if hours > 3 else "pending"
            if hours > 12:
                stop.set()

        clock.on_sleep = live
        tracker.run(stop)
        rows = tracker.store.sightings()
        assert list(rows["status"]) == ["pending", "processing", "done"]
        assert rows.iloc[0]["times_seen"] > 2

    def test_run_keeps_the_budget(self, tracker: Tracker, clock: LivingClock) -> None:
        """Before each pass, what is in flight is counted, so that many are polled less often."""
        tracker.submit(request())
        tracker.schedule.calls_per_hour = 20.1
        tracker.run(threading.Event(), once=True)
        assert tracker.schedule.share < 0.2
        assert "makes polls rare" in str(tracker.schedule.staleness().warning)

    def test_a_fit_that_fails_stops_no_poll(
        self, tracker: Tracker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A bug or an error of the log in the fit leaves the plans as they are."""
        tracker.submit(request())
        for error in (ValueError("bug"), errors.StoreError("Disk full.")):

            def fail(*_: object, error: Exception = error) -> None:
                raise error

            monkeypatch.setattr(tracker.schedule, "refresh", fail)
            tracker.run(threading.Event(), once=True)
        assert tracker.last_error == "Disk full."

    def test_run_survives_what_nobody_foresaw(
        self, tracker: Tracker, clock: LivingClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Errors of the store and bugs are kept in last_error; the run goes on."""
        stop = threading.Event()
        raised: list[Exception] = [errors.StoreError("Disk full."), RuntimeError("bug")]
        said: list[str | None] = []

        def fail(*_: object) -> Any:
            if not raised:
                stop.set()
                return []
            raise raised.pop(0)

        clock.on_sleep = lambda _: said.append(tracker.last_error)
        monkeypatch.setattr(tracker.store, "due", fail)
        tracker.run(stop)
        assert said[:2] == ["Disk full.", "RuntimeError in a pass of the tracker."]

    def test_start_and_stop(self, tracker: Tracker) -> None:
        """The background thread starts once, lives, and ends with stop()."""
        tracker.clock = _Idle()
        assert not tracker.alive
        tracker.start()
        thread = tracker.background._thread
        tracker.start()
        assert tracker.background._thread is thread
        assert tracker.alive
        tracker.stop()
        assert not tracker.alive
        tracker.stop()


class _Idle(ManualClock):
    """A clock on which a sleep lasts until the stop is set."""

    def __init__(self) -> None:
        super().__init__(datetime(2026, 1, 5, tzinfo=UTC))

    def sleep(self, seconds: float, stop: threading.Event | None = None) -> None:
        assert stop is not None
        stop.wait(10)


class TestWait:
    def live(self, api: API, clock: LivingClock, story: list[tuple[float, str]]) -> None:
        began = clock.now()

        def on_sleep(_: float) -> None:
            tenths = (clock.now() - began) / timedelta(minutes=6)
            for after, status in story:
                if tenths >= after:
                    api.statuses["p1"] = status

        clock.on_sleep = on_sleep

    def test_wait_gives_the_done_persona(
        self, tracker: Tracker, api: API, clock: LivingClock
    ) -> None:
        """wait() returns the persona when it is done, and tells each status on the way."""
        tracker.submit(request())
        self.live(api, clock, [(1, "processing"), (5, "reviewing"), (10, "done")])
        told: list[str] = []
        persona = tracker.wait(
            "p1", timeout=1e6, on_progress=lambda one: told.append(one.status_text)
        )
        assert persona.is_terminal
        assert told == ["pending", "processing", "reviewing", "done"]

    @pytest.mark.parametrize(
        ("end", "kind"), [("failed", errors.PersonaFailed), ("rejected", errors.PersonaRejected)]
    )
    def test_a_bad_end_is_raised(
        self,
        tracker: Tracker,
        api: API,
        clock: LivingClock,
        end: str,
        kind: type[errors.PersonaEnded],
    ) -> None:
        """failed and rejected are raised with the persona and the API's reason."""
        tracker.submit(request())
        self.live(api, clock, [(1, end)])
        with pytest.raises(kind, match="Because") as caught:
            tracker.wait("p1", timeout=1e6)
        assert caught.value.persona.id == "p1"

    def test_a_timeout_can_be_resumed(self, tracker: Tracker, api: API, clock: LivingClock) -> None:
        """After WaitTimeout the same call goes on where it was."""
        tracker.submit(request())
        self.live(api, clock, [(5, "done")])
        with pytest.raises(errors.WaitTimeout) as caught:
            tracker.wait("p1", timeout=360)
        assert caught.value.persona_id == "p1"
        assert 360 <= caught.value.waited_s < 370
        assert tracker.wait("p1", timeout=1e6).status_text == "done"

    @pytest.mark.long
    def test_the_budget_delays_no_wait(
        self, tracker: Tracker, api: API, clock: LivingClock
    ) -> None:
        """A person waits: the next polls come in minutes though the budget puts them off a day."""
        tracker.schedule.share = 1e-6
        tracker.submit(request())
        tracker.poll("p1")
        assert tracker.store.next_look_at() == clock.now() + timedelta(days=1)
        self.live(api, clock, [(4, "done")])
        assert tracker.wait("p1", timeout=3_600).status_text == "done"

    def test_a_persona_that_the_log_does_not_know_is_fetched(
        self, tracker: Tracker, api: API
    ) -> None:
        """Waiting for an id from elsewhere adopts it."""
        api.statuses["p9"] = "done"
        assert tracker.wait("p9", timeout=1).id == "p9"
        assert list(tracker.store.sightings()["source"]) == ["poll"]

    def test_an_id_that_does_not_exist(self, tracker: Tracker) -> None:
        """An id that the API does not know is NotFound at once, and no record."""
        with pytest.raises(errors.NotFound, match="no such persona"):
            tracker.wait("nobody", timeout=1e6)
        assert tracker.store.personas().empty

    def test_trouble_on_the_way_is_waited_out(
        self, tracker: Tracker, api: API, clock: LivingClock
    ) -> None:
        """A server that is down for a while does not end the wait; wrong keys do."""
        tracker.submit(request())
        began = clock.now()

        def on_sleep(_: float) -> None:
            tenths = (clock.now() - began) / timedelta(minutes=6)
            api.fault = httpx.Response(503) if 1 < tenths < 3 else None
            api.statuses["p1"] = "done" if tenths > 4 else "pending"

        clock.on_sleep = on_sleep
        assert tracker.wait("p1", timeout=1e6).status_text == "done"
        assert "503" in str(tracker.last_error)

    def test_keys_that_are_refused_end_the_wait(
        self, tracker: Tracker, api: API, clock: LivingClock
    ) -> None:
        """A 401 is raised, as waiting on makes no sense."""
        tracker.submit(request())
        api.fault = httpx.Response(401)
        with pytest.raises(errors.AuthError):
            tracker.wait("p1", timeout=1e6)

    def test_another_process_may_poll(self, tracker: Tracker, api: API, clock: LivingClock) -> None:
        """A sighting that somebody else logged ends the wait without a call."""
        tracker.submit(request())

        def on_sleep(_: float) -> None:
            now = clock.now()
            done = Persona(id="p1", process_status="done")
            tracker.store.record(done, asked_at=now, answered_at=now, source="poll")

        clock.on_sleep = on_sleep
        tracker.wait("p1", timeout=1e6)
        assert api.calls == ["POST /api/personas_v2/"]
