"""Many polls at once: a call that hangs holds up no other, and one list does for many polls."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from avatarkit import Client, PersonaCreate, Store, Tracker, errors
from avatarkit.clock import ScaledClock, SystemClock
from avatarkit.models import Persona
from avatarkit.store.sightings import Change
from avatarkit.tracking import polls, run
from support.manual_clock import MONDAY, ManualClock
from support.sandbox_client import until

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
LIST = "/api/personas_v2/"


class API:
    """An account: statuses by id, a list in pages, and ids whose calls hang until ``release``."""

    def __init__(self) -> None:
        self.statuses: dict[str, str] = {}
        self.calls: list[str] = []
        self.page_size = 100
        self.list_status = 200
        self.hidden: set[str] = set()
        self.carries_status = True
        self.fields: dict[str, object] = {}
        self.odd_entries: list[dict[str, object]] = []
        self.list_hangs = False
        self.hanging: set[str] = set()
        self.release = threading.Event()
        self.lock = threading.Lock()
        self.most_at_once = self.at_once = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if path.endswith("/count/"):
            count = len(self.statuses)
            return httpx.Response(200, json={"max_count": 99, "current_count": count})
        with self.lock:
            self.calls.append(path)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            if path == LIST:
                if self.list_hangs:
                    self.release.wait(30)
                return self.page(int(request.url.params.get("page", 1)))
            persona_id = path.split("/")[-2]
            if persona_id in self.hanging:
                self.release.wait(30)
            return httpx.Response(200, json=self.body(persona_id))
        finally:
            with self.lock:
                self.at_once -= 1

    def page(self, number: int) -> httpx.Response:
        if self.list_status != 200:
            return httpx.Response(self.list_status)
        shown = [one for one in self.statuses if one not in self.hidden]
        first, end = (number - 1) * self.page_size, number * self.page_size
        bodies = [self.body(one) | self.fields for one in shown[first:end]]
        if not self.carries_status:
            for body in bodies:
                del body["process_status"]
        bodies += self.odd_entries
        following = f"https://a.example{LIST}?page={number + 1}" if end < len(shown) else None
        return httpx.Response(200, json={"count": len(shown), "next": following, "results": bodies})

    def body(self, persona_id: str) -> dict[str, object]:
        return {"id": persona_id, "process_status": self.statuses[persona_id]}


@pytest.fixture
def api() -> Iterator[API]:
    api = API()
    yield api
    api.release.set()


@pytest.fixture
def open_tracker(api: API, tmp_path: Path) -> Iterator[Callable[..., Tracker]]:
    """Yield a function that opens a tracker with this many avatars that are due."""
    opened: list[Client | Store] = []

    def open_tracker(count: int, clock: SystemClock | ManualClock) -> Tracker:
        transport = httpx.MockTransport(api)
        client = Client("https://a.example", "i", "k" * 16, transport=transport, tries=1)
        store = Store(f"sqlite:///{tmp_path / 'log.db'}")
        opened.extend((client, store))
        tracker = Tracker(client, store, clock=clock)
        for number in range(count):
            api.statuses[f"p{number}"] = "pending"
            add(tracker, f"p{number}")
        return tracker

    yield open_tracker
    api.release.set()
    for each in opened:
        each.close()


def add(tracker: Tracker, persona_id: str, status: str = "pending") -> None:
    """Log an avatar that is due."""
    now = tracker.clock.now()
    persona = Persona(id=persona_id, process_status=status)
    with tracker.store.transaction():
        tracker.store.record(persona, asked_at=now, answered_at=now, source="poll")
        tracker.store.plan(persona_id, now)


def make_all_due(tracker: Tracker, api: API) -> None:
    tracker.clock.sleep(3600)
    for persona_id in api.statuses:
        tracker.store.plan(persona_id, tracker.clock.now())
    api.calls.clear()


def real_clock() -> ScaledClock:
    return ScaledClock(MONDAY, 1)


class TestOneCallForMany:
    def test_a_list_that_shows_all_is_the_only_call(
        self, api: API, open_tracker: Callable[..., Tracker], manual_clock: ManualClock
    ) -> None:
        """What it shows with a status is a sighting, and a change is one of the pass."""
        tracker = open_tracker(30, manual_clock)
        api.statuses["p7"] = "processing"
        assert [change.persona_id for change in tracker.look()] == ["p7"]
        assert api.calls == [LIST]
        assert tracker.store.due(manual_clock.now()) == []
        assert tracker.store.sightings("p7")["source"].tolist() == ["poll", "list"]
        assert (tracker.store.sightings()["times_seen"] > 0).all()
        assert tracker.store.sightings("p8")["times_seen"].tolist() == [2]

    def test_one_is_polled_by_id(
        self, api: API, open_tracker: Callable[..., Tracker], manual_clock: ManualClock
    ) -> None:
        """A list saves nothing then."""
        open_tracker(1, manual_clock).look()
        assert api.calls == ["/api/personas/p0/"]

    def test_a_pass_makes_as_many_calls_as_the_list_has_pages_and_leaves_out(
        self, api: API, open_tracker: Callable[..., Tracker], manual_clock: ManualClock
    ) -> None:
        """Thirty due, three pages, two of them hidden: five calls."""
        tracker = open_tracker(30, manual_clock)
        api.page_size, api.hidden = 10, {"p3", "p4"}
        tracker.look()
        assert sorted(api.calls) == ["/api/personas/p3/", "/api/personas/p4/", *[LIST] * 3]
        assert tracker.store.due(manual_clock.now()) == []

    def test_a_list_with_more_pages_than_are_due_is_not_read(
        self, api: API, open_tracker: Callable[..., Tracker], manual_clock: ManualClock
    ) -> None:
        """Its first page says so; after that it is known."""
        tracker = open_tracker(30, manual_clock)
        api.page_size = 5
        for persona_id in sorted(api.statuses)[3:]:
            tracker.store.plan(persona_id, manual_clock.now() + HOUR)
        tracker.look()
        assert api.calls.count(LIST) == 1
        make_all_due(tracker, api)
        for persona_id in sorted(api.statuses)[3:]:
            tracker.store.plan(persona_id, manual_clock.now() + HOUR)
        tracker.look()
        assert sorted(api.calls) == [f"/api/personas/{each}/" for each in ("p0", "p1", "p10")]

    @pytest.mark.parametrize("fault", ["no status", "hidden", "hidden beside an odd one", "failed"])
    def test_a_list_that_saves_nothing_is_left_alone_for_a_while(
        self,
        api: API,
        open_tracker: Callable[..., Tracker],
        manual_clock: ManualClock,
        fault: str,
    ) -> None:
        """All are polled by id, and the list is tried again after hours at most."""
        tracker = open_tracker(5, manual_clock)
        api.carries_status = fault != "no status"
        api.hidden = set(api.statuses) if "hidden" in fault else set()
        if "odd" in fault:
            api.odd_entries = [{"id": "other", "process_status": "done"}, {"no": "id"}]
        api.list_status = 503 if fault == "failed" else 200
        lists = []
        for _ in range(24):
            make_all_due(tracker, api)
            tracker.look()
            lists.append(api.calls.count(LIST))
            assert len(api.calls) - lists[-1] == 5
        assert 3 <= sum(lists) <= 8

    def test_a_list_that_alone_is_refused_keeps_no_avatar_from_its_poll(
        self, api: API, open_tracker: Callable[..., Tracker], manual_clock: ManualClock
    ) -> None:
        """After the pause that its 429 began, the call that finds out is one by id."""
        tracker = open_tracker(5, manual_clock)
        api.list_status = 429
        for _ in range(3):
            tracker.look()
            manual_clock.advance(4 * MINUTE)
        assert {call for call in api.calls if call != LIST} == {
            f"/api/personas/{persona_id}/" for persona_id in api.statuses
        }
        assert api.calls.count(LIST) == 2

    def test_a_bug_that_the_list_triggers_keeps_no_avatar_from_its_poll(
        self,
        api: API,
        open_tracker: Callable[..., Tracker],
        manual_clock: ManualClock,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """All are polled by id, and the list is left alone for a while."""
        tracker = open_tracker(5, manual_clock)
        read: list[object] = []

        def list_personas(**_: object) -> None:
            read.append(None)
            raise RuntimeError("A bug.")

        monkeypatch.setattr(tracker.client, "list_personas", list_personas)
        tracker.look()
        assert tracker.store.due(manual_clock.now()) == []
        make_all_due(tracker, api)
        tracker.look()
        assert tracker.store.due(manual_clock.now()) == []
        assert len(read) == 2

    def test_a_list_that_was_cut_off_is_read_again(
        self, api: API, open_tracker: Callable[..., Tracker], manual_clock: ManualClock
    ) -> None:
        """That a pass was stopped says nothing of the list."""
        tracker = open_tracker(5, manual_clock)
        stop = threading.Event()
        page, api.page = api.page, lambda _: cut()  # type: ignore[method-assign]

        def cut() -> httpx.Response:
            stop.set()
            raise httpx.ReadError("x")

        tracker.look(stop)
        api.page = page  # type: ignore[method-assign]
        api.calls.clear()
        tracker.look()
        assert api.calls == [LIST]

    @pytest.mark.parametrize("status", ["reviewing", "dreaming"])
    def test_a_list_that_is_behind_takes_nothing_back(
        self,
        api: API,
        open_tracker: Callable[..., Tracker],
        manual_clock: ManualClock,
        status: str,
    ) -> None:
        """A status that is or may be earlier than the log's is polled by id, and no sighting."""
        tracker = open_tracker(3, manual_clock)
        manual_clock.advance(HOUR)
        add(tracker, "p1", status)
        tracker.look()
        # By id it is pending, which is believed.
        assert api.calls == [LIST, "/api/personas/p1/"]

    @pytest.mark.parametrize(
        ("end", "fields", "is_asked"),
        [
            ("done", {}, True),
            ("done", {"preview_image_1_1": "https://a.example/1.jpg"}, False),
            ("failed", {}, True),
            ("rejected", {"failed_reason": "No consent."}, False),
        ],
    )
    def test_an_end_is_polled_once_for_what_only_get_by_id_tells(
        self,
        api: API,
        open_tracker: Callable[..., Tracker],
        manual_clock: ManualClock,
        end: str,
        fields: dict[str, object],
        is_asked: bool,
    ) -> None:
        """Previews and reason are completed unless the list has them."""
        tracker = open_tracker(2, manual_clock)
        api.statuses["p1"], api.fields = end, fields
        assert [change.after for change in tracker.look()] == [end]
        assert ("/api/personas/p1/" in api.calls) is is_asked
        assert tracker.store.next_look_at("p1") is None

    def test_the_same_list_finds_what_was_deleted(
        self, api: API, open_tracker: Callable[..., Tracker], manual_clock: ManualClock
    ) -> None:
        """An avatar that has ended and is not listed is due, without another list."""
        tracker = open_tracker(3, manual_clock)
        add(tracker, "ended", "done")
        tracker.store.plan("ended", None)
        tracker.look()
        assert api.calls == [LIST]
        assert [due.persona_id for due in tracker.store.due(manual_clock.now())] == ["ended"]
        tracker.reconcile()
        assert api.calls == [LIST]


class TestNoBarrier:
    def test_calls_that_hang_hold_up_no_other(
        self,
        api: API,
        open_tracker: Callable[..., Tracker],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Twenty of sixty hang, with four threads: the others are polled all the same."""
        monkeypatch.setattr(polls, "SLOW_S", 0.05)
        tracker = open_tracker(60, real_clock())
        api.list_status = 404
        api.hanging = {f"p{number}" for number in range(20)}
        stop, seen = threading.Event(), threading.Event()
        for persona_id in api.statuses:
            api.statuses[persona_id] = "processing"

        def on_change(_: Change) -> None:
            if len(tracker.store.due(tracker.clock.now())) == 20:
                seen.set()

        thread = threading.Thread(target=tracker.run, args=(stop,), kwargs={"on_change": on_change})
        thread.start()
        assert seen.wait(20)
        # What is submitted meanwhile does not wait either.
        api.statuses["new"] = "processing"
        seen.clear()
        add(tracker, "new")
        while not seen.wait(0.05) and "/api/personas/new/" not in api.calls:
            assert thread.is_alive()
        assert sum(call == "/api/personas/p1/" for call in api.calls) == 1
        stop.set()
        thread.join(10)
        assert not thread.is_alive()

    def test_no_second_list_is_read_while_one_hangs(
        self,
        api: API,
        open_tracker: Callable[..., Tracker],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """What becomes due meanwhile is polled by id."""
        monkeypatch.setattr(run, "READ_DUE_EVERY_S", 0.1)
        tracker = open_tracker(3, real_clock())
        api.list_hangs = True
        stop = threading.Event()
        thread = threading.Thread(target=tracker.run, args=(stop,))
        thread.start()
        until(lambda: LIST in api.calls)
        for persona_id in ("new1", "new2"):
            api.statuses[persona_id] = "processing"
        with tracker.store.transaction():
            add(tracker, "new1")
            add(tracker, "new2")
        until(lambda: {"/api/personas/new1/", "/api/personas/new2/"} <= set(api.calls), 10)
        assert api.calls.count(LIST) == 1
        stop.set()
        thread.join(10)
        assert not thread.is_alive()

    def test_a_list_that_hangs_holds_up_no_poll_of_the_reconciling(
        self, api: API, open_tracker: Callable[..., Tracker], manual_clock: ManualClock
    ) -> None:
        """To find out what became of a create goes on beside the polls, and asks no one by one."""
        tracker = open_tracker(1, manual_clock)
        lost(tracker)
        reconciled = threading.Event()
        api.statuses["p0"] = "done"
        changes: list[Change] = []

        def list_personas(**_: Any) -> Any:
            reconciled.wait(20)
            raise errors.ServerError("Down.", method="GET", url="u", status_code=503)

        def on_change(change: Change) -> None:
            changes.append(change)
            reconciled.set()

        tracker.client.list_personas = list_personas  # type: ignore[method-assign]
        reported: list[str] = []
        tracker.run(threading.Event(), on_change=on_change, on_error=reported.append, once=True)
        assert [change.after for change in changes] == ["done"]
        assert reported == ["Down."]

    def test_a_poll_has_a_deadline_of_its_own(
        self,
        api: API,
        open_tracker: Callable[..., Tracker],
        manual_clock: ManualClock,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """A pass, a wait and a person wait twenty seconds for one call, retries included."""
        tracker = open_tracker(1, manual_clock)
        deadlines: list[float] = []
        get = tracker.client.get_persona

        def get_persona(persona_id: str, *, deadline_s: float) -> Persona:
            deadlines.append(deadline_s)
            return get(persona_id, deadline_s=deadline_s)

        monkeypatch.setattr(tracker.client, "get_persona", get_persona)
        tracker.look()
        tracker.poll("p0")
        make_all_due(tracker, api)
        with pytest.raises(errors.WaitTimeout):
            tracker.wait("p0", timeout=60)
        assert deadlines == [20.0, 20.0, 20.0]

    def test_no_more_threads_call_at_once_than_wished(
        self, api: API, open_tracker: Callable[..., Tracker], manual_clock: ManualClock
    ) -> None:
        """Numbers are given out ahead, calls are not."""
        api.list_status = 404
        open_tracker(100, manual_clock).look()
        assert api.most_at_once <= 4
        assert len(api.calls) == 101


class TestBatches:
    def test_many_answers_are_few_transactions(
        self,
        api: API,
        open_tracker: Callable[..., Tracker],
        manual_clock: ManualClock,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Eighty polls are logged in a fraction of as many transactions."""
        tracker = open_tracker(80, manual_clock)
        api.list_status = 404
        begun: list[str] = []
        monkeypatch.setattr(
            "avatarkit.store.database.sa.Connection.exec_driver_sql",
            _counting(begun),
        )
        tracker.look()
        assert len(tracker.store.due(manual_clock.now())) == 0
        assert begun.count("BEGIN IMMEDIATE") < 80  # two a poll without batches

    def test_one_answer_that_cannot_be_logged_undoes_no_other(
        self,
        api: API,
        open_tracker: Callable[..., Tracker],
        manual_clock: ManualClock,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """The others are logged and reported before the error of the log is raised."""
        tracker = open_tracker(8, manual_clock)
        api.list_status = 404
        for persona_id in api.statuses:
            api.statuses[persona_id] = "processing"
        record = tracker.store.record

        def fail(persona: Persona, **values: Any) -> Any:
            if persona.id == "p3":
                raise errors.StoreError("It does not fit.")
            return record(persona, **values)

        monkeypatch.setattr(tracker.store, "record", fail)
        changes: list[Change] = []
        reported: list[str] = []
        on_change, on_error = changes.append, reported.append
        tracker.run(threading.Event(), on_change=on_change, on_error=on_error, once=True)
        assert len(changes) == 7
        assert reported == ["It does not fit."]
        assert [due.persona_id for due in tracker.store.due(manual_clock.now())] == ["p3"]

    def test_nothing_is_reported_before_it_is_written(
        self, api: API, open_tracker: Callable[..., Tracker], manual_clock: ManualClock
    ) -> None:
        """At each report another connection reads the new status."""
        tracker = open_tracker(20, manual_clock)
        api.list_status = 404
        for persona_id in api.statuses:
            api.statuses[persona_id] = "processing"
        logged: list[str] = []

        def on_change(change: Change) -> None:
            with Store(tracker.store.url, account=tracker.store.account) as other:
                persona = other.persona(change.persona_id)
            logged.append("" if persona is None else persona.status_text)

        tracker.run(threading.Event(), on_change=on_change, once=True)
        assert logged == ["processing"] * 20


def _counting(begun: list[str]) -> Any:
    import sqlalchemy as sa

    run = sa.Connection.exec_driver_sql

    def exec_driver_sql(connection: sa.Connection, statement: str, *given: Any) -> Any:
        begun.append(statement)
        return run(connection, statement, *given)

    return exec_driver_sql


def lost(tracker: Tracker) -> None:
    """Leave an uncertain submission."""
    request = PersonaCreate(creator_name="Ada", gender="f")
    submission_id = tracker.prepare(request)
    tracker.store.sending(submission_id, tracker.clock.now())
    tracker.store.uncertain(submission_id, tracker.clock.now(), "It broke.")
    tracker.store.release(submission_id)


def test_it_stops_at_once_while_a_call_hangs_that_cannot_be_cancelled(
    api: API, open_tracker: Callable[..., Tracker]
) -> None:
    """stop() waits about a second for such a call, and then leaves it to itself."""
    tracker = open_tracker(1, real_clock())
    api.hanging = {"p0"}
    tracker.start()
    while "/api/personas/p0/" not in api.calls:
        assert tracker.alive
    clock = SystemClock()
    began_s = clock.monotonic()
    tracker.stop()
    assert not tracker.alive
    # A second or two where nothing else runs.
    assert clock.monotonic() - began_s < 10
