"""How the tracker obeys an API that asks to wait."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest

from avatarkit import Client, PersonaCreate, Store, Tracker, errors
from avatarkit.clock import ScaledClock
from avatarkit.models import Persona
from support.manual_clock import MONDAY, ManualClock

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
THREADS = 4
WORDS = "Request was throttled. Expected available in 3600 seconds."


class Server:
    """An API on a loopback socket that answers every call with the same status; the list is off."""

    def __init__(self) -> None:
        self.status = 429
        self.headers: dict[str, str] = {}
        self.body: object = {"detail": "Request was throttled."}
        self.calls: list[str] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                if self.path.startswith("/_sandbox/"):
                    self.answer(404, {}, {})
                    return
                if self.path == "/api/personas_v2/":
                    self.answer(404, {}, {"detail": "No list."})
                    return
                server.calls.append(f"{self.command} {self.path}")
                body = server.body
                if server.status == 200:
                    body = {"id": self.path.split("/")[3], "process_status": "pending"}
                self.answer(server.status, server.headers, body)

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                server.calls.append(f"{self.command} {self.path}")
                self.answer(201, {}, {"id": "new", "process_status": "pending"})

            def answer(self, status: int, headers: dict[str, str], body: object) -> None:
                content = json.dumps(body).encode()
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._http.server_port}"

    def close(self) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(MONDAY)


@pytest.fixture
def open_tracker(
    server: Server, clock: ManualClock, tmp_path: Path
) -> Iterator[Callable[[], Tracker]]:
    """Yield a function that opens a tracker on the same database, as another process does."""
    opened: list[Client | Store] = []

    def open_tracker() -> Tracker:
        client = Client(server.url, "id", "key-key-key-key", backoff_s=0)
        store = Store(f"sqlite:///{tmp_path / 'log.db'}")
        opened.extend((client, store))
        return Tracker(client, store, clock=clock, threads=THREADS)

    yield open_tracker
    for each in opened:
        each.close()


@pytest.fixture
def tracker(open_tracker: Callable[[], Tracker], clock: ManualClock) -> Tracker:
    """A tracker with thirty avatars that are due."""
    tracker = open_tracker()
    now = clock.now()
    for number in range(30):
        persona = Persona(id=f"p{number}", process_status="pending")
        tracker.store.record(persona, asked_at=now, answered_at=now, source="list")
        tracker.store.plan(persona.id, now)
    return tracker


def look_for_an_hour(tracker: Tracker, clock: ManualClock, server: Server) -> list[int]:
    """Return the minute of each call in an hour of a pass a minute."""
    minutes: list[int] = []
    for minute in range(60):
        before = len(server.calls)
        tracker.look()
        minutes += [minute] * (len(server.calls) - before)
        clock.advance(MINUTE)
    return minutes


@pytest.mark.parametrize("said", ["seconds", "date", "words", "fraction", "twice", "other words"])
@pytest.mark.parametrize("status", [429, 503])
def test_an_hour_is_an_hour_for_every_avatar(
    tracker: Tracker, server: Server, clock: ManualClock, said: str, status: int
) -> None:
    """Of thirty avatars only those are polled that were out already when the first 429 came."""
    server.status = status
    # Two servers in a row may each add one, and httpx joins them.
    given = {"fraction": "3600.5", "twice": "3600, 3600", "other words": "soon", "seconds": "3600"}
    if said == "words":
        server.body = {"detail": WORDS}
    elif said in given:
        server.headers = {"Retry-After": given[said]}
        server.body = {"detail": WORDS} if said == "other words" else {}
    else:
        # A date has no fractions, and is read on the machine's own clock.
        date = formatdate(ScaledClock(MONDAY, 1)._wall() + 3602, usegmt=True)
        server.headers = {"Retry-After": date}
    minutes = look_for_an_hour(tracker, clock, server)
    assert 1 <= len(minutes) <= THREADS
    assert set(minutes) == {0}
    # When it is over, all are polled.
    server.status, server.headers = 200, {}
    server.calls.clear()
    clock.advance(MINUTE)
    tracker.look()
    assert len(server.calls) == 30
    assert tracker.pause is None


def test_without_a_number_the_account_backs_off_as_a_whole(
    tracker: Tracker, server: Server, clock: ManualClock
) -> None:
    """After the first pass one call a pause finds out; each pause is twice as long."""
    minutes = look_for_an_hour(tracker, clock, server)
    first, later = minutes.count(0), [minute for minute in minutes if minute]
    assert 1 <= first <= THREADS
    assert len(later) <= 7
    gaps = [after - before for before, after in pairwise(later)]
    assert gaps == sorted(gaps)
    server.status = 200
    clock.advance(HOUR)
    tracker.look()
    # The next refusal is the first one again.
    server.status = 429
    tracker.store.make_due("p1", clock.now())
    tracker.look()
    assert tracker.pause is not None
    assert tracker.pause.until - clock.now() < MINUTE


def test_a_503_without_a_number_is_about_one_avatar(tracker: Tracker, server: Server) -> None:
    """It is no word on pace: every avatar is polled, and has its error."""
    server.status, server.body = 503, {}
    tracker.look()
    assert tracker.pause is None
    assert {call.split("/")[3] for call in server.calls} == {f"p{n}" for n in range(30)}
    assert tracker.store.personas()["last_error"].notna().all()


def test_it_is_no_error_of_an_avatar(tracker: Tracker, server: Server, clock: ManualClock) -> None:
    """No avatar has an error, and each stays due; the tracker says until when it waits."""
    server.headers = {"Retry-After": "3600"}
    told: list[str] = []
    tracker.run(threading.Event(), once=True, on_error=told.append)
    assert told == ["The API asked to wait until 10:00 UTC; no avatar is polled before."]
    assert tracker.last_error == told[0]
    assert tracker.store.personas()["last_error"].isna().all()
    assert len(tracker.store.due(clock.now())) == 30
    assert all(due.failures == 0 for due in tracker.store.due(clock.now()))


def test_it_survives_a_restart_and_holds_for_every_process(
    tracker: Tracker, server: Server, clock: ManualClock, open_tracker: Callable[[], Tracker]
) -> None:
    """The pause lies in the database: another tracker on it makes no call either."""
    beside = open_tracker()
    server.headers = {"Retry-After": "3600"}
    tracker.look()
    calls = len(server.calls)
    later = open_tracker()
    clock.advance(HOUR - MINUTE)
    for other in (beside, later):
        assert other.look() == []
        assert other.pause is not None
        assert other.pause.until == MONDAY + HOUR
    assert len(server.calls) == calls


def test_lists_and_quotas_wait_too(tracker: Tracker, server: Server, clock: ManualClock) -> None:
    """Neither reconcile nor the quota is asked; one that was being asked for ends the rest."""
    submission_id = tracker.prepare(PersonaCreate(creator_name="Ada", gender="f"))
    tracker.store.sending(submission_id, clock.now())
    tracker.store.release(submission_id)
    server.headers = {"Retry-After": "3600"}
    with pytest.raises(errors.RateLimited, match="asked to wait until 10:00 UTC"):
        tracker.reconcile()
    assert server.calls == ["GET /api/personas_v2/count/"]
    with pytest.raises(errors.RateLimited):
        tracker.reconcile()
    assert tracker.ask_quota() is None
    assert tracker.look() == []
    assert len(server.calls) == 1


def test_an_old_refusal_of_the_keys_stops_no_submission_in_a_pause(
    tracker: Tracker, server: Server
) -> None:
    """While the quota may not be read, what it said before the pause is not said again."""
    server.status = 401
    assert tracker.ask_quota() is None
    server.status, server.headers = 429, {"Retry-After": "3600"}
    tracker.ask_quota()
    assert tracker.pause is not None
    assert tracker.submit(PersonaCreate(creator_name="A", gender="f")).id == "new"


def test_what_a_person_sends_is_sent(tracker: Tracker, server: Server, clock: ManualClock) -> None:
    """A submission goes out in a pause, as does the poll of one avatar, each as one call."""
    server.headers = {"Retry-After": "3600"}
    tracker.look()
    server.calls.clear()
    tracker.submit(PersonaCreate(creator_name="Ada", gender="f"))
    assert server.calls == ["POST /api/personas_v2/"]
    server.status = 200
    assert tracker.poll("p7") is None
    assert server.calls[1:] == ["GET /api/personas/p7/"]
    assert tracker.pause is not None
    with pytest.raises(errors.ConfigError, match="no avatar p99"):
        tracker.poll("p99")


@pytest.mark.long
def test_who_waits_for_an_avatar_waits_for_the_api(
    tracker: Tracker, server: Server, clock: ManualClock
) -> None:
    """wait() makes no call in a pause but the first one of an avatar that the log lacks."""
    server.headers = {"Retry-After": "3600"}
    tracker.look()
    server.calls.clear()
    with pytest.raises(errors.WaitTimeout):
        tracker.wait("p1", timeout=600)
    assert server.calls == []
    with pytest.raises(errors.RateLimited):
        tracker.wait("elsewhere", timeout=600)
    assert server.calls == ["GET /api/personas/elsewhere/"]


def test_a_year_is_cut_to_a_day(
    tracker: Tracker, server: Server, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    """A number that nobody can mean does not stop the tracking for ever, and is said."""
    server.headers = {"Retry-After": str(365 * 86_400)}
    tracker.look()
    assert tracker.pause is not None
    assert tracker.pause.until == MONDAY + timedelta(days=1)
    assert "asked to wait for 365 d; after a day, at 2026-01-06 09:00 UTC" in tracker.pause.reason
    assert tracker.pause.reason in caplog.text
    server.status = 200
    clock.advance(timedelta(days=1))
    tracker.look()
    assert tracker.pause is None


@pytest.mark.parametrize("days", [-300, 300])
def test_a_pause_of_a_wrong_clock_does_not_last(
    tracker: Tracker, server: Server, clock: ManualClock, days: int
) -> None:
    """After the clock was set the pause that it stored is not obeyed for months."""
    wrong = clock.now() + timedelta(days=days)
    tracker.store.begin_pause(wrong, wrong + HOUR, "Wait.", 1)
    server.status = 200
    assert tracker.pause is None
    tracker.look()
    assert len(server.calls) == 30


def test_a_machine_whose_clock_is_a_little_behind_obeys(
    tracker: Tracker, server: Server, clock: ManualClock
) -> None:
    """A pause that another machine began ten minutes from now holds already."""
    ahead = clock.now() + 10 * MINUTE
    tracker.store.begin_pause(ahead, ahead + HOUR, "Wait.", 1)
    assert tracker.look() == []
    assert server.calls == []


def test_seconds_are_wall_seconds_on_the_clock_of_a_sandbox(server: Server, tmp_path: Path) -> None:
    """On a clock that runs 2,400 times as fast a minute of Retry-After is 40 hours."""
    wall_s = 0.0
    clock = ScaledClock(MONDAY, 2_400, wall=lambda: wall_s)
    server.headers = {"Retry-After": "60"}
    with (
        Client(server.url, "id", "key-key-key-key") as client,
        Store(f"sqlite:///{tmp_path / 'fast.db'}") as store,
    ):
        tracker = Tracker(client, store, clock=clock)
        now = clock.now()
        store.record(
            Persona(id="p0", process_status="pending"),
            asked_at=now, answered_at=now, source="list",
        )  # fmt: skip
        store.plan("p0", now)
        tracker.look()
        assert tracker.pause is not None
        assert tracker.pause.until == MONDAY + timedelta(hours=40)
        assert "until 2026-01-07 01:00 UTC" in tracker.pause.reason
        wall_s = 59.0
        tracker.look()
        assert len(server.calls) == 1
        wall_s = 61.0
        tracker.look()
        assert len(server.calls) == 2


def test_calls_that_were_out_together_are_one_refusal(
    tracker: Tracker, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four threads that are refused at once do not make the pause sixteen times as long."""
    together = threading.Barrier(THREADS)

    def refuse(*_: object, **__: object) -> Persona:
        together.wait(60)
        raise errors.RateLimited("No.", method="GET", url="u", status_code=429)

    monkeypatch.setattr(tracker.client, "get_persona", refuse)
    tracker.look()
    pause = tracker.store.last_pause()
    assert pause is not None
    assert pause.refusals == 1
    assert pd.Timedelta(pause.until - clock.now()) < MINUTE


def test_a_log_that_fails_hides_no_answer(
    tracker: Tracker, server: Server, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A create that was answered is accepted though the end of a pause cannot be written down."""
    tracker.look()
    clock.advance(HOUR)

    def fail(*_: object) -> None:
        raise errors.StoreError("Disk full.")

    monkeypatch.setattr(tracker.store, "forget_refusals", fail)
    assert tracker.submit(PersonaCreate(creator_name="Ada", gender="f")).id == "new"
    assert tracker.store.submissions()["state"].tolist() == ["accepted"]
