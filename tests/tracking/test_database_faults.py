"""The tracker while the database is locked, full, deleted or replaced."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from avatarkit import Client, PersonaCreate, Store, Tracker, errors
from avatarkit.clock import SystemClock
from avatarkit.store import database
from support.manual_clock import MONDAY, ManualClock

HOUR = timedelta(hours=1)


class BusyClock(ManualClock):
    """A clock on which something happens at the n-th sleep."""

    def __init__(self) -> None:
        super().__init__(MONDAY)
        self.at_sleep: dict[int, Callable[[], object]] = {}

    def sleep(self, seconds: float, stop: threading.Event | None = None) -> None:
        super().sleep(seconds, stop)
        self.at_sleep.pop(len(self.slept), lambda: None)()


class API:
    """A fake account; ``during`` is called while a request is out."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.status = "processing"
        self.create: httpx.Response | Exception | None = None
        self.during: Callable[[], object] = lambda: None

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/count/"):
            return httpx.Response(200, json={"max_count": 9, "current_count": 0})
        self.calls.append(request.method)
        self.during()
        if request.method == "POST":
            if isinstance(self.create, Exception):
                raise self.create
            return self.create or httpx.Response(201, json=self.body("pending"))
        if request.url.path == "/api/personas_v2/":
            return httpx.Response(200, json=[self.body(self.status)])
        return httpx.Response(200, json=self.body(self.status))

    def body(self, status: str) -> dict[str, Any]:
        return {"id": "p1", "creator_name": "James", "gender": "m", "process_status": status}


@pytest.fixture
def api() -> API:
    return API()


@pytest.fixture
def clock() -> BusyClock:
    return BusyClock()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


@pytest.fixture
def tracker(
    request: pytest.FixtureRequest,
    api: API,
    clock: BusyClock,
    file: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Tracker]:
    if "holder" in request.fixturenames:  # which a lock of the tracker's own threads is not
        monkeypatch.setattr(database, "BUSY_TIMEOUT_MS", 1)
    client = Client(
        "https://a.example", "i", "k", transport=httpx.MockTransport(api), backoff_s=0, tries=1
    )
    with client, Store(f"sqlite:///{file}") as store:
        yield Tracker(client, store, clock=clock)


@pytest.fixture
def holder(file: Path, tracker: Tracker) -> Iterator[sqlite3.Connection]:
    """Another program's connection to the database."""
    with closing(sqlite3.connect(file, check_same_thread=False)) as connection:
        yield connection


def request() -> PersonaCreate:
    return PersonaCreate(creator_name="James", gender="m")


def submissions(tracker: Tracker) -> list[tuple[str, str | None]]:
    frame = tracker.store.submissions()
    return list(zip(frame["state"], frame["error"], strict=True))


def run(tracker: Tracker, clock: BusyClock, passes: int) -> list[str]:
    """Run the tracker for some passes; return the errors that it said."""
    stop, said = threading.Event(), list[str]()
    clock.at_sleep[len(clock.slept) + passes] = stop.set
    tracker.run(stop, on_error=said.append)
    return said


class TestACreate:
    def test_its_answer_is_kept_while_the_database_is_locked(
        self, tracker: Tracker, api: API, clock: BusyClock, holder: sqlite3.Connection
    ) -> None:
        """Locked for a minute after the create was sent, it is accepted, as of its answer."""
        api.during = lambda: holder.execute("BEGIN IMMEDIATE")
        clock.at_sleep[60] = holder.rollback
        assert tracker.submit(request()).id == "p1"
        assert api.calls == ["POST"]
        assert submissions(tracker)[0][0] == "accepted"
        assert tracker.store.sightings()["first_seen_at"].tolist() == [MONDAY]

    @pytest.mark.parametrize(
        ("answer", "state"),
        [(httpx.ReadError("broke"), "uncertain"), (httpx.Response(400, json={}), "refused")],
    )
    def test_so_is_its_error(
        self,
        tracker: Tracker,
        api: API,
        clock: BusyClock,
        holder: sqlite3.Connection,
        answer: httpx.Response | Exception,
        state: str,
    ) -> None:
        """An uncertain one stays uncertain with its reason, a refused one can be sent again."""
        api.create = answer
        api.during = lambda: holder.execute("BEGIN IMMEDIATE")
        clock.at_sleep[60] = holder.rollback
        with pytest.raises(errors.AvatarkitError) as caught:
            tracker.submit(request())
        assert isinstance(caught.value, errors.SubmissionUncertain) == (state == "uncertain")
        assert submissions(tracker)[0][0] == state
        assert "program ended" not in str(submissions(tracker)[0][1])

    def test_a_file_that_is_put_back_meanwhile(
        self, tracker: Tracker, api: API, clock: BusyClock, file: Path
    ) -> None:
        """Moved away while the create was out, the log has its answer when it is there again."""
        away = file.with_suffix(".away")
        api.during = lambda: file.rename(away)
        clock.at_sleep[30] = lambda: away.rename(file)
        tracker.submit(request())
        assert submissions(tracker)[0][0] == "accepted"

    def test_when_it_stays_locked_it_is_uncertain_and_found(
        self, tracker: Tracker, api: API, clock: BusyClock, holder: sqlite3.Connection
    ) -> None:
        """After two minutes it says not to send it again; reconcile finds it in the list."""
        api.during = lambda: holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(errors.SubmissionUncertain, match=r"created p1.*locked.*Do not send"):
            tracker.submit(request())
        assert len(clock.slept) == 120
        holder.rollback()
        api.during = lambda: None
        assert [verdict.state for verdict in tracker.reconcile()] == ["accepted"]

    def test_an_interruption_meanwhile_says_that_it_was_created(
        self, tracker: Tracker, api: API, clock: BusyClock, holder: sqlite3.Connection
    ) -> None:
        """Ctrl-C must not look like a create that was not sent."""

        def interrupt() -> None:
            raise KeyboardInterrupt

        api.during = lambda: holder.execute("BEGIN IMMEDIATE")
        clock.at_sleep[3] = interrupt
        with pytest.raises(errors.SubmissionUncertain, match="created p1"):
            tracker.submit(request())


class TestPolling:
    def test_a_locked_database_is_said_once_and_polling_goes_on(
        self, tracker: Tracker, api: API, clock: BusyClock, holder: sqlite3.Connection
    ) -> None:
        """What was answered meanwhile is asked again, and is in the log."""
        tracker.submit(request())
        clock.advance(HOUR)
        tracker.store.make_due("p1", clock.now())
        # Locked while the first poll is out.
        api.during = lambda: holder.in_transaction or holder.execute("BEGIN IMMEDIATE")

        def release() -> None:
            api.during = lambda: None
            holder.rollback()

        clock.at_sleep[6] = release
        said = run(tracker, clock, 10)
        assert len(said) == 1
        assert "locked" in said[0]
        assert tracker.store.sightings()["status"].tolist() == ["pending", "processing"]

    def test_a_wait_outlasts_a_lock(
        self, tracker: Tracker, api: API, clock: BusyClock, holder: sqlite3.Connection
    ) -> None:
        """It goes on when the database can be written again, and ends with the avatar."""
        tracker.submit(request())
        api.status = "done"
        clock.advance(HOUR)
        holder.execute("BEGIN IMMEDIATE")
        clock.at_sleep[6] = holder.rollback
        assert tracker.wait("p1", timeout=600).status_text == "done"
        assert clock.slept == [5.0] * 6
        assert "locked" in str(tracker.last_error)

    def test_a_deleted_database_stops_nothing_that_a_backup_brings_back(
        self, tracker: Tracker, api: API, clock: BusyClock, file: Path
    ) -> None:
        """It is said once at the next pass, nothing is asked meanwhile, and tracking goes on."""
        tracker.submit(request())
        backup = tracker.store.back_up(MONDAY)
        file.unlink()
        calls = len(api.calls)

        def restore() -> None:
            assert len(api.calls) == calls
            shutil.copy(backup, file)

        clock.at_sleep[5] = restore
        clock.advance(HOUR)
        said = run(tracker, clock, 10)
        assert len(said) == 1
        assert str(backup) in said[0]
        assert tracker.store.sightings()["status"].tolist() == ["pending", "processing"]


class TestDailyBackup:
    @pytest.fixture(autouse=True)
    def machine(self, monkeypatch: pytest.MonkeyPatch) -> ManualClock:
        """The clock of the machine, which the session's need not agree with."""
        machine = ManualClock(MONDAY)
        monkeypatch.setattr(SystemClock, "now", lambda _: machine.now())
        return machine

    def test_the_run_makes_one_a_day_of_the_machine(
        self, tracker: Tracker, clock: BusyClock, file: Path, machine: ManualClock
    ) -> None:
        """The session's days do not count, which pass in seconds in a sandbox."""
        for _ in range(3):
            for _ in range(4):
                run(tracker, clock, 1)
                clock.advance(timedelta(days=1))
            machine.advance(timedelta(days=1))
        names = sorted(path.name for path in (file.parent / "backups").iterdir())
        assert names == [f"log-2026010{day}T090000Z.db" for day in (5, 6, 7)]

    def test_one_that_fails_is_a_sentence_and_tried_again_in_an_hour(
        self, tracker: Tracker, api: API, clock: BusyClock, file: Path
    ) -> None:
        """Polling goes on all the same."""
        tracker.submit(request())
        (file.parent / "backups").touch()
        clock.advance(HOUR)
        said = run(tracker, clock, 20)
        assert len(said) == 1
        assert "could not be made" in said[0]
        assert tracker.store.sightings()["status"].tolist() == ["pending", "processing"]
        (file.parent / "backups").unlink()
        clock.advance(HOUR)
        assert run(tracker, clock, 2) == []
        assert len(list((file.parent / "backups").iterdir())) == 1
