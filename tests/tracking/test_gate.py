"""The account makes hardly a call while nothing would come of it, and all at once after that."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from avatarkit import Client, PersonaCreate, Store, Tracker, errors
from avatarkit.models import Persona
from avatarkit.tracking.gate import Cause
from support.manual_clock import MONDAY, ManualClock
from support.tls import server_context

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
THREADS = 4
DUE = 12
ALL = {f"/api/personas/p{number}/" for number in range(DUE)}
WRONG_KEY = httpx.Response(401, json={"detail": "Invalid API ID or API key."})
LOGIN = httpx.Response(200, html="<title>Hotel</title>")
PORTALS = [
    LOGIN,
    httpx.Response(302, headers={"Location": "http://login.example"}),
    httpx.Response(403, html="<html>"),
    httpx.Response(404, html="<html>"),
    httpx.Response(511, html="<html>"),
]
Answer = Callable[[httpx.Request], httpx.Response]


class API:
    """Answers as ``answer`` says, by default as the API does; ``calls`` are the paths."""

    def __init__(self) -> None:
        self.answer: Answer | httpx.Response | Exception | None = None
        self.calls: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.calls.append(request.url.path)
        answer = self.answer(request) if callable(self.answer) else self.answer
        if isinstance(answer, Exception):
            raise answer
        if answer is None:
            return works(request)
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)


def works(request: httpx.Request) -> httpx.Response:
    if request.url.path.endswith("/count/"):
        return httpx.Response(200, json={"max_count": 9, "current_count": 0})
    if request.url.path == "/api/personas_v2/":
        created = {"id": "new", "process_status": "pending"}
        return httpx.Response(200, json=created if request.method == "POST" else [])
    persona_id = request.url.path.split("/")[3]
    return httpx.Response(200, json={"id": persona_id, "process_status": "pending"})


@pytest.fixture
def api() -> API:
    return API()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(MONDAY)


OpenTracker = Callable[..., Tracker]


@pytest.fixture
def open_tracker(api: API, clock: ManualClock, tmp_path: Path) -> Iterator[OpenTracker]:
    """Yield a function that opens a tracker on the same database, as another process does."""
    opened: list[Client | Store] = []

    def open_tracker(
        key: str = "key-key-key-key", url: str = "https://a.example", **options: Any
    ) -> Tracker:
        options = options or {"transport": httpx.MockTransport(api)}
        client = Client(url, "id", key, tries=1, **options)
        store = Store(f"sqlite:///{tmp_path / 'log.db'}")
        opened.extend((client, store))
        return Tracker(client, store, clock=clock, threads=THREADS)

    yield open_tracker
    for each in opened:
        each.close()


def fill(tracker: Tracker, count: int = DUE) -> Tracker:
    now = tracker.clock.now()
    with tracker.store.transaction():
        for number in range(count):
            persona = Persona(id=f"p{number}", process_status="pending")
            tracker.store.record(persona, asked_at=now, answered_at=now, source="list")
            tracker.store.plan(persona.id, now)
    return tracker


@pytest.fixture
def tracker(open_tracker: OpenTracker) -> Tracker:
    """A tracker with avatars that are due."""
    return fill(open_tracker())


def run_for(
    tracker: Tracker, clock: ManualClock, duration: timedelta, every: timedelta = 10 * MINUTE
) -> list[str]:
    """Run the tracker for this long, a pass in this time; return what it reports."""
    stop, end, reported = threading.Event(), clock.now() + duration, []
    sleep = clock.sleep

    def sleep_longer(_: float, until: threading.Event | None = None) -> None:
        sleep(every.total_seconds(), until)
        if clock.now() >= end:
            stop.set()

    clock.sleep = sleep_longer  # type: ignore[method-assign]
    try:
        tracker.run(stop, on_error=reported.append)
    finally:
        clock.sleep = sleep  # type: ignore[method-assign]
    return reported


def assert_untouched(tracker: Tracker, doubtful: int = 0) -> None:
    """No avatar has an error, and each is due, but for the first ones that were in doubt."""
    due = tracker.store.due(tracker.clock.now())
    assert sum(each.failures == 0 for each in due) >= DUE - doubtful
    assert tracker.store.personas()["last_error"].notna().sum() <= doubtful


@pytest.mark.long
def test_refused_keys_cost_a_call_an_hour_for_days(
    tracker: Tracker, api: API, clock: ManualClock
) -> None:
    """Three days of 401 cost 100 calls at most, quota and list included, and two sentences."""
    api.answer = WRONG_KEY
    reported = run_for(tracker, clock, timedelta(days=3), every=20 * MINUTE)
    assert 40 <= len(api.calls) <= 100
    [sentence] = reported
    assert sentence.startswith("The API refuses the keys (401); set AVATARKIT_API_ID and ")
    assert "it is asked again at 09:01 UTC" in sentence
    assert_untouched(tracker)
    # Within an hour it is found out that they work again, and all are polled in that pass.
    api.answer = None
    api.calls.clear()
    stop = threading.Event()
    while not any("/p" in path for path in api.calls):
        clock.advance(5 * MINUTE)
        tracker.run(stop, once=True)
    assert set(api.calls) >= ALL
    assert tracker.pause is None
    assert tracker.access.error is None


@pytest.mark.long
def test_an_uncertain_submission_costs_no_more(
    tracker: Tracker, api: API, clock: ManualClock
) -> None:
    """What becomes of it is not asked about while the keys are refused."""
    submission_id = tracker.prepare(PersonaCreate(creator_name="Ada", gender="f"))
    tracker.store.sending(submission_id, clock.now())
    tracker.store.uncertain(submission_id, clock.now(), "It broke.")
    tracker.store.release(submission_id)
    api.answer = WRONG_KEY
    run_for(tracker, clock, timedelta(days=3))
    assert 40 <= len(api.calls) <= 100
    # A person who asks finds out all the same.
    api.answer = None
    tracker.reconcile()
    assert tracker.pause is None


def test_it_is_said_when_it_is_over(tracker: Tracker, api: API, clock: ManualClock) -> None:
    """A run reports the cause once, and once that the API answers again."""
    until = MONDAY + 3 * HOUR
    api.answer = lambda request: WRONG_KEY if clock.now() < until else works(request)
    first, last = run_for(tracker, clock, 6 * HOUR)
    assert "refuses the keys" in first
    assert last == "The API answers again; the avatars are polled."


def test_other_keys_need_not_wait(
    tracker: Tracker, api: API, clock: ManualClock, open_tracker: OpenTracker
) -> None:
    """That keys are refused holds back no process with other keys, and it ends nothing for them."""
    api.answer = WRONG_KEY
    tracker.look()
    assert tracker.pause is not None
    assert tracker.pause.cause == Cause.REFUSED
    api.answer = None
    other = open_tracker(key="another-key")
    assert other.pause is None
    other.look()
    assert other.store.due(clock.now()) == []
    assert tracker.pause is not None


def test_a_run_or_a_wait_that_begins_asks_at_once_but_cron_does_not(
    tracker: Tracker, api: API, clock: ManualClock, open_tracker: OpenTracker
) -> None:
    """Their start may follow a repair; a pass of cron obeys the pause."""
    api.answer = WRONG_KEY
    for _ in range(8):
        tracker.look()
        assert tracker.pause is not None
        clock.advance(tracker.pause.until - clock.now())
    tracker.look()
    api.calls.clear()
    open_tracker().run(threading.Event(), once=True)
    assert api.calls == []
    with pytest.raises(errors.AuthError):
        open_tracker().wait("p1", timeout=10)
    assert api.calls == ["/api/personas/p1/"]
    api.answer = None
    api.calls.clear()
    assert run_for(open_tracker(), clock, MINUTE) == []
    assert tracker.pause is None
    assert set(api.calls) >= ALL


def test_what_a_person_asks_for_opens_it(tracker: Tracker, api: API, clock: ManualClock) -> None:
    """A poll by hand is sent; once it is answered all go on, and one that fails changes nothing."""
    api.answer = WRONG_KEY
    tracker.look()
    pause = tracker.pause
    for _ in range(5):
        with pytest.raises(errors.AuthError):
            tracker.poll("p3")
    assert tracker.pause == pause
    assert_untouched(tracker)
    api.answer = None
    tracker.poll("p3")
    assert tracker.pause is None
    tracker.look()
    assert tracker.store.due(clock.now()) == []


def test_a_submission_finds_out_before_the_upload(tracker: Tracker, api: API) -> None:
    """Refused keys are found out by the quota, also in the pause that they began."""
    api.answer = WRONG_KEY
    tracker.look()
    api.calls.clear()
    with pytest.raises(errors.AuthError):
        tracker.submit(PersonaCreate(creator_name="Ada", gender="f"))
    assert api.calls == ["/api/personas_v2/count/"]
    api.answer = None
    assert tracker.submit(PersonaCreate(creator_name="Ada", gender="f")).id == "new"
    assert tracker.pause is None


@pytest.mark.parametrize("portal", PORTALS, ids=lambda answer: str(answer.status_code))
def test_what_answers_in_its_place(
    tracker: Tracker, api: API, clock: ManualClock, portal: httpx.Response
) -> None:
    """After a few answers that are not the API's no more calls are made; a day costs few."""
    api.answer = portal
    tracker.look()
    assert len(api.calls) <= 3 + THREADS
    assert tracker.pause is not None
    assert tracker.pause.cause == Cause.FOREIGN
    assert f"not the API ({portal.status_code})" in tracker.pause.reason
    assert_untouched(tracker, doubtful=2)
    reported = run_for(tracker, clock, 8 * HOUR)
    assert len(reported) == 1
    assert len(api.calls) <= 25
    api.answer = None
    run_for(tracker, clock, HOUR + 10 * MINUTE)
    assert tracker.store.personas()["last_error"].isna().all()


@pytest.mark.parametrize(
    "own",
    [
        httpx.Response(404, json={"detail": "No."}),
        httpx.Response(500, json={}),
        httpx.Response(502, html="<html>"),
        httpx.ReadTimeout("x"),
        httpx.ReadError("x"),
    ],
    ids=["404", "500", "502", "timeout", "reset"],
)
def test_what_is_about_an_avatar_pauses_nothing(
    tracker: Tracker, api: API, own: httpx.Response | Exception
) -> None:
    """Every avatar is asked for after the list, and has its own error."""
    api.answer = own
    tracker.look()
    assert len(api.calls) == 1 + DUE
    assert tracker.pause is None
    assert tracker.store.personas()["last_error"].notna().all()


def test_an_avatar_that_a_firewall_blocks_holds_up_no_other(
    tracker: Tracker, api: API, clock: ManualClock
) -> None:
    """Though its calls always end at a page, the pauses that follow are ended by the others."""

    def block(request: httpx.Request) -> httpx.Response:
        return LOGIN if request.url.path.split("/")[3] in ("p0", "p1", "p2") else works(request)

    api.answer = LOGIN
    tracker.look()
    assert tracker.pause is not None
    api.answer = block
    for _ in range(4):
        clock.advance(10 * MINUTE)
        tracker.look()
    errors_by_id = tracker.store.personas().set_index("persona_id")["last_error"]
    assert set(errors_by_id.dropna().index) <= {"p0", "p1", "p2"}


@pytest.mark.parametrize("kind", ["refused", "name", "tls"])
def test_a_connection_that_is_not_made(
    kind: str, clock: ManualClock, open_tracker: OpenTracker, tmp_path: Path
) -> None:
    """The name is not known, nothing listens, or it does not speak TLS: a call tells for all."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        if kind == "refused":
            listener.close()
        if kind == "tls":
            context, over = server_context(tmp_path), threading.Event()
            listener.settimeout(0.05)

            def serve() -> None:
                while not over.is_set():
                    try:
                        connection, _ = listener.accept()
                        context.wrap_socket(connection, server_side=True).close()
                    except OSError:
                        pass

            thread = threading.Thread(target=serve)
            thread.start()
        url, sentence = {
            "refused": (f"http://127.0.0.1:{port}", "No server listens at 127.0.0.1"),
            "name": ("https://no-such-host.invalid", "The name no-such-host.invalid is not known"),
            "tls": (f"https://127.0.0.1:{port}", "The certificate of 127.0.0.1 is not trusted"),
        }[kind]
        tracker = fill(open_tracker(url=url, deadline_s=60.0))
        try:
            tracker.look()
        finally:
            if kind == "tls":
                over.set()
                thread.join()
    assert tracker.pause is not None
    assert tracker.pause.cause == Cause.UNREACHABLE
    assert tracker.pause.reason.startswith(sentence)
    assert "asked again at 09:0" in tracker.pause.reason
    assert_untouched(tracker)


@pytest.mark.long
def test_a_connection_is_tried_soon_and_then_ever_less_often(
    tracker: Tracker, api: API, clock: ManualClock
) -> None:
    """A short break costs seconds, a day few calls."""
    api.answer = httpx.ConnectError("x")
    tracker.look()
    assert tracker.pause is not None
    assert tracker.pause.until - clock.now() < timedelta(seconds=10)
    api.calls.clear()
    assert len(run_for(tracker, clock, timedelta(days=1))) == 1
    assert len(api.calls) <= 50


def test_a_tracker_that_is_stopped_pauses_nothing(tracker: Tracker, api: API) -> None:
    """Calls that are cut off by stop() tell nothing of the API."""
    stop = threading.Event()

    def cut(_: httpx.Request) -> httpx.Response:
        stop.set()
        raise httpx.ConnectError("x")

    api.answer = cut
    tracker.look(stop)
    assert tracker.pause is None


def test_the_pause_that_the_api_asks_for_is_obeyed_first(
    tracker: Tracker, api: API, clock: ManualClock
) -> None:
    """A refusal of the keys does not replace it, and it replaces one of those."""
    api.answer = httpx.Response(429, headers={"Retry-After": "3600"})
    tracker.look()
    asked = tracker.pause
    api.answer = WRONG_KEY
    with pytest.raises(errors.AuthError):
        tracker.poll("p1")
    assert tracker.pause == asked
    clock.advance(HOUR)
    tracker.look()
    assert tracker.pause is not None
    assert tracker.pause.cause == Cause.REFUSED
    api.answer = httpx.Response(429, headers={"Retry-After": "7200"})
    with pytest.raises(errors.RateLimited):
        tracker.poll("p1")
    assert tracker.pause is not None
    assert (tracker.pause.cause, tracker.pause.until) == (Cause.THROTTLED, clock.now() + 2 * HOUR)
