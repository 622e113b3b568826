"""Batches: each row is sent once, also after a kill, a stop or a full plan."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from avatarkit import Client, PersonaCreate, Sandbox, Store, Tracker, errors
from avatarkit.models import Persona
from avatarkit.store.batches import SubmitResult, to_frame
from avatarkit.tracking import batch
from avatarkit.tracking.batch import BatchInterrupted
from support.manual_clock import MONDAY, ManualClock
from support.sandbox_client import FILES, call, until


class API:
    """A fake account that counts creates by name, with a plan and answers that may be set."""

    def __init__(self) -> None:
        self.names: Counter[str] = Counter()
        self.limit = 99
        self.counts = True
        self.faults: dict[str, httpx.Response | Exception] = {}
        self.once: list[httpx.Response | Exception] = []
        self.before: Callable[[str], None] = lambda _: None
        self.running = self.most = 0
        self.lock = threading.Lock()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/count/"):
            if not self.counts:
                return httpx.Response(500)
            count = {"max_count": self.limit, "current_count": self.names.total()}
            return httpx.Response(200, json=count)
        if request.method == "GET":
            return httpx.Response(200, json=[])
        with self.lock:
            self.running += 1
            self.most = max(self.most, self.running)
        try:
            return self.create(json.loads(request.read()))
        finally:
            with self.lock:
                self.running -= 1

    def create(self, sent: dict[str, Any]) -> httpx.Response:
        name = sent["creator_name"]
        self.before(name)
        with self.lock:
            fault = self.once.pop(0) if self.once else self.faults.get(name)
            if isinstance(fault, Exception):
                raise fault
            if fault is not None:
                return httpx.Response(fault.status_code, content=fault.content)
            if self.names.total() >= self.limit:
                return httpx.Response(403, json={"detail": "Your plan allows no more avatars."})
            self.names[name] += 1
            answer = {"id": f"p-{name}-{self.names[name]}", "process_status": "pending"}
            return httpx.Response(201, json=sent | answer)


@pytest.fixture
def api() -> API:
    return API()


@pytest.fixture(params=["sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """The log, in a file or on a server."""
    urls = {"sqlite": f"sqlite:///{tmp_path / 'log.db'}", "memory": "sqlite://"}
    with Store(urls.get(request.param) or request.getfixturevalue("postgres")) as log:
        yield log


on_both = pytest.mark.parametrize("store", ["sqlite", "postgres"], indirect=True)


def tracker_of(api: API, store: Store, clock: ManualClock, **options: Any) -> Tracker:
    transport = httpx.MockTransport(api)
    client = Client("https://a.example", "i", "k", transport=transport, backoff_s=0, tries=1)
    return Tracker(client, store, clock=clock, **options)


@pytest.fixture
def tracker(api: API, store: Store, manual_clock: ManualClock) -> Tracker:
    return tracker_of(api, store, manual_clock)


def requests(*names: str, **fields: Any) -> list[PersonaCreate]:
    return [PersonaCreate(creator_name=name, gender="f", **fields) for name in names]


def names(count: int) -> list[str]:
    return [f"n{number}" for number in range(1, count + 1)]


def states(results: list[SubmitResult]) -> list[str]:
    return [result.state for result in results]


@on_both
def test_each_is_sent_once_and_found_again(tracker: Tracker, api: API) -> None:
    """Results come in order with ids, the log has them by batch, and a rerun sends nothing."""
    wanted = requests(*names(5))
    results = tracker.submit_many(wanted)
    assert [(r.number, r.creator_name, r.persona_id) for r in results] == [
        (number, name, f"p-{name}-1") for number, name in enumerate(names(5), 1)
    ]
    assert api.names == Counter(names(5))
    [logged] = tracker.store.batches()
    assert (logged.prepared_at, dict(logged.counts), logged.waiting) == (
        MONDAY,
        {"accepted": 5},
        0,
    )
    assert tracker.store.batch(logged.batch_id) == results
    assert tracker.submit_many(wanted) == results
    assert len(tracker.store.batches()) == 1
    assert api.names == Counter(names(5))
    for again, why in ((wanted, "sent before"), ([], "No request")):
        with pytest.raises(errors.ConfigError, match=why):
            tracker.prepare_many(again)
    frame = to_frame(results)
    assert list(frame["persona_id"]) == [f"p-{name}-1" for name in names(5)]
    assert dict(to_frame([]).dtypes) == dict(frame.dtypes)


def test_two_are_sent_at_a_time(tracker: Tracker, api: API) -> None:
    """The second goes out while the first does, and a third never."""
    both = threading.Barrier(2, timeout=20)
    api.before = lambda _: both.wait() and None
    assert states(tracker.submit_many(requests(*names(6)))) == ["accepted"] * 6
    assert api.most == batch.UPLOADS == 2


def test_files_go_out_over_a_socket(sandbox: Sandbox, tmp_path: Path) -> None:
    """Each row's own file arrives under its name, and progress reaches its size."""
    wanted = []
    for name in names(4):
        path = tmp_path / f"{name}.mp4"
        path.write_bytes(name.encode() * 50_000)
        wanted += requests(name, lipsync_input=path)
    seen: dict[str, set[tuple[str, int]]] = {}

    def on_progress(result: SubmitResult, sent: int, total: int) -> None:
        seen.setdefault(result.creator_name, set()).add((result.state, sent - total))

    client = Client(sandbox.url, sandbox.api_id, sandbox.api_key)
    with client, Store(f"sqlite:///{tmp_path / 'log.db'}") as store:
        tracker = Tracker(client, store, clock=sandbox.clock)
        results = tracker.submit_many(wanted, on_progress=on_progress)
        stored = {p["id"]: p for p in call(sandbox, "GET", FILES).json()}
    assert {r.persona_id: r.creator_name for r in results} == {
        persona_id: persona["creator_name"] for persona_id, persona in stored.items()
    }
    for name in names(4):
        size = 50_000 * len(name)
        assert {("sending", -size), ("sending", 0), ("accepted", 0)} <= seen[name]


@pytest.mark.parametrize("by_quota", [True, False])
def test_a_full_plan_keeps_the_rest(tracker: Tracker, api: API, by_quota: bool) -> None:
    """No row is lost or refused: the rest waits, says why, and is sent once there is a place."""
    api.limit, api.counts = 3, by_quota
    wanted = requests(*names(5))
    results = tracker.submit_many(wanted)
    waiting = [result for result in results if result.state == "prepared"]
    assert sorted(states(results)) == ["accepted"] * 3 + ["prepared"] * 2
    assert all("plan" in str(result.error) for result in waiting)
    [logged] = tracker.store.batches()
    assert logged.waiting == 2
    api.limit = 5
    assert states(tracker.send_many(logged.batch_id)) == ["accepted"] * 5
    assert api.names == Counter(names(5))
    assert [result.error for result in tracker.store.batch(logged.batch_id)] == [None] * 5


def test_the_last_place_is_not_uploaded_for_twice(tracker: Tracker, api: API) -> None:
    """With one place left, the second upload waits until it is known who got it."""
    api.limit = 1
    attempts: list[str] = []
    api.before = attempts.append
    assert sorted(states(tracker.submit_many(requests(*names(3))))) == [
        "accepted", "prepared", "prepared",
    ]  # fmt: skip
    assert len(attempts) == 1


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (httpx.Response(401, json={"detail": "No."}), "did not accept the API id and key"),
        (httpx.ConnectError("refused"), "No connection to https://a.example"),
        (httpx.Response(407), "proxy"),
        (httpx.Response(403, text="<html>Blocked</html>"), "Something between"),
    ],
)
def test_what_is_no_fault_of_a_row_stops_the_batch(
    tracker: Tracker, api: API, fault: Any, sentence: str
) -> None:
    """Keys, network and proxies: every row waits and says why, and is sent when that is over."""
    api.faults = dict.fromkeys(names(4), fault)
    attempts: list[str] = []
    api.before = attempts.append
    wanted = requests(*names(4))
    results = tracker.submit_many(wanted)
    assert states(results) == ["prepared"] * 4
    assert all(sentence in str(result.error) for result in results)
    assert len(attempts) <= 2
    api.faults = {}
    assert states(tracker.submit_many(wanted)) == ["accepted"] * 4


def test_a_row_that_the_api_refuses_ends_alone(tracker: Tracker, api: API) -> None:
    """A 400 and a 413 end their rows, which say why; the others are sent."""
    api.faults = {
        "n2": httpx.Response(400, json={"gender": ["Not one."]}),
        "n3": httpx.Response(413, text="<html>"),
    }
    wanted = requests(*names(4))
    results = tracker.submit_many(wanted)
    assert states(results) == ["accepted", "refused", "refused", "accepted"]
    assert "Not one." in str(results[1].error)
    assert "too large" in str(results[2].error)
    api.faults = {}
    assert states(tracker.submit_many(wanted)) == ["accepted"] * 4
    assert api.names == Counter(names(4))


def test_a_429_is_waited_for(tracker: Tracker, api: API, manual_clock: ManualClock) -> None:
    """The batch goes on by itself after the time that the API asks, and sends each once."""
    api.once = [httpx.Response(429, headers={"Retry-After": "60"})]
    api.once[0].read()
    results = tracker.submit_many(requests(*names(4)))
    assert states(results) == ["accepted"] * 4
    assert api.names == Counter(names(4))
    assert manual_clock.now() > MONDAY


def test_what_may_have_arrived_is_not_sent_again(tracker: Tracker, api: API) -> None:
    """Its row is uncertain, the others go on, and the same call again leaves it alone."""
    api.faults = {"n2": httpx.ReadError("broke off")}
    wanted = requests(*names(3))
    assert states(tracker.submit_many(wanted)) == ["accepted", "uncertain", "accepted"]
    api.faults = {}
    assert states(tracker.submit_many(wanted)) == ["accepted", "uncertain", "accepted"]
    assert "n2" not in api.names


def test_a_batch_stops_when_row_after_row_is_uncertain(tracker: Tracker, api: API) -> None:
    """An API that breaks down does not leave fifty uncertain rows; the rest goes out later."""
    wanted = requests(*names(9))
    api.faults = {name: httpx.Response(502) for name in names(9)}
    results = tracker.submit_many(wanted)
    count = Counter(states(results))
    # The other thread may be sending one by then.
    assert count["uncertain"] in (3, 4)
    assert count["prepared"] == 9 - count["uncertain"]
    assert "in a row are uncertain" in (results[-1].error or "")
    api.faults = {}
    assert Counter(states(tracker.submit_many(wanted)))["accepted"] == count["prepared"]


def test_it_stops_and_goes_on(tracker: Tracker, api: API) -> None:
    """After ``stop`` no row is begun, those in progress end, and the same call sends the rest."""
    stop = threading.Event()
    api.before = lambda _: stop.set()
    wanted = requests(*names(5))
    counts = Counter(states(tracker.submit_many(wanted, stop=stop)))
    assert counts["accepted"] in (1, 2)
    assert counts["prepared"] == 5 - counts["accepted"]
    # A later start of the program does not take what waits for abandoned.
    tracker.store.settle_abandoned(MONDAY)
    assert states(tracker.submit_many(wanted)) == ["accepted"] * 5
    assert api.names == Counter(names(5))


@pytest.mark.skipif(os.name == "nt", reason="a signal to the process ends it on Windows")
def test_ctrl_c_ends_the_uploads_first(tracker: Tracker, api: API) -> None:
    """It says how many wait, carries the results, and the same call sends the rest."""
    once = threading.Lock()

    def interrupt(_: str) -> None:
        if once.acquire(blocking=False):  # by the first of two threads
            os.kill(os.getpid(), signal.SIGINT)

    api.before = interrupt
    wanted = requests(*names(9))
    with pytest.raises(BatchInterrupted, match="of 9 wait; do it again") as raised:
        tracker.submit_many(wanted)
    counts = Counter(states(raised.value.results))
    assert counts["accepted"] + counts["prepared"] == 9
    assert states(tracker.submit_many(wanted)) == ["accepted"] * 9
    assert api.names == Counter(names(9))


def test_a_second_ctrl_c_cancels_the_uploads(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are uncertain, as they may have arrived; nothing is sent twice by doing it again."""
    # One whose avatar has failed would be sent again.
    wanted = requests(*names(4), labels=["sandbox:done"])
    presses = [1, 2]
    wait_for = batch.wait_for

    def press(ends: Sequence[threading.Event]) -> None:
        if not presses:
            wait_for(ends)
            return
        until(lambda: len(call(sandbox, "GET", FILES).json()) == 2)
        presses.pop()
        raise KeyboardInterrupt

    client = Client(sandbox.url, sandbox.api_id, sandbox.api_key)
    with client, Store(f"sqlite:///{tmp_path / 'log.db'}") as store:
        tracker = Tracker(client, store, clock=sandbox.clock)
        sandbox.fail_next("endless", 2, method="POST")
        with monkeypatch.context() as patch:
            patch.setattr(batch, "wait_for", press)
            with pytest.raises(BatchInterrupted) as raised:
                tracker.submit_many(wanted)
        assert states(raised.value.results) == ["uncertain"] * 2 + ["prepared"] * 2
        tracker.reconcile()
        assert states(tracker.submit_many(wanted)) == ["accepted"] * 4
        created = [each["creator_name"] for each in call(sandbox, "GET", FILES).json()]
    assert sorted(created) == names(4)


def test_a_file_that_vanished_ends_its_row(tracker: Tracker, api: API, tmp_path: Path) -> None:
    """It is refused with its name, no similar file is sent in its place, and the others go on."""
    path, similar = tmp_path / "a\\ b.mp4", tmp_path / "a b.mp4"
    for each in (path, similar):
        each.write_bytes(b"film")
    wanted = [*requests("n1", lipsync_input=path), *requests("n2")]
    batch_id = tracker.prepare_many(wanted)
    path.unlink()
    results = tracker.send_many(batch_id)
    assert states(results) == ["refused", "accepted"]
    assert f"lipsync_input: {path} does not exist" in str(results[0].error)


def test_the_very_same_create_is_sent_once(tracker: Tracker, api: API) -> None:
    """Also if it is given twice, or in another batch; another field makes another create."""
    first, other = requests("Ada")[0], requests("Ada", keywords="calm")[0]
    results = tracker.submit_many([first, other, first])
    assert [result.persona_id for result in results] == ["p-Ada-1", "p-Ada-2", "p-Ada-1"] or [
        result.persona_id for result in results
    ] == ["p-Ada-2", "p-Ada-1", "p-Ada-2"]
    assert [result.number for result in results] == [1, 2, 3]
    waiting = tracker.prepare_many(requests("Bo", "Cy"), numbers=[4, 8])
    assert [result.number for result in tracker.store.batch(waiting)] == [4, 8]
    moved = tracker.prepare_many(requests("Cy"))
    assert [r.creator_name for r in tracker.store.batch(waiting)] == ["Bo"]
    assert states(tracker.send_many(moved)) == ["accepted"]
    assert states(tracker.send_many(waiting)) == ["accepted"]
    assert api.names == Counter(["Ada", "Ada", "Bo", "Cy"])


def test_one_whose_avatar_failed_may_be_sent_again(tracker: Tracker, api: API) -> None:
    """A rerun makes another avatar in place of one that failed, and of no other."""
    wanted = requests("Ada", "Bo")
    failed, _ = tracker.submit_many(wanted)
    persona = Persona.model_validate({"id": failed.persona_id, "process_status": "failed"})
    now = tracker.clock.now()
    tracker.store.record(
        persona, asked_at=now, answered_at=now, source="poll", asked_no=tracker.store.ask()
    )
    again, same = tracker.submit_many(wanted)
    assert (again.persona_id, same.persona_id) == ("p-Ada-2", "p-Bo-1")


def test_our_address_of_webhooks_makes_no_difference(
    api: API, store: Store, manual_clock: ManualClock
) -> None:
    """With another public URL, what was sent before is still known."""
    wanted = requests(*names(2))
    first = tracker_of(api, store, manual_clock, webhook_base="https://a.example")
    later = tracker_of(api, store, manual_clock, webhook_base="https://b.example")
    assert first.submit_many(wanted) == later.submit_many(wanted)
    assert api.names == Counter(names(2))


def test_a_batch_is_cancelled(tracker: Tracker, api: API) -> None:
    """Its rows that wait are refused, never sent, and may be submitted again."""
    batch_id = tracker.prepare_many(requests(*names(2)))
    assert tracker.store.cancel_batch(batch_id, MONDAY) == 2
    results = tracker.send_many(batch_id)
    assert states(results) == ["refused"] * 2
    assert "cancelled before it was sent" in str(results[0].error)
    assert not api.names
    assert states(tracker.submit_many(requests("n1"))) == ["accepted"]
    with pytest.raises(errors.ConfigError, match="no batch x"):
        tracker.send_many("x")


def test_a_callback_that_fails_fails_no_upload(tracker: Tracker, api: API) -> None:
    """What is only shown does not decide whether a row is sent."""

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    assert states(tracker.submit_many(requests("n1"), on_progress=fail)) == ["accepted"]


@on_both
def test_two_programs_send_one_batch(
    api: API, store: Store, manual_clock: ManualClock, request: pytest.FixtureRequest
) -> None:
    """Both work on it at once, each row goes out once, and none is lost."""
    wanted = requests(*names(20))
    trackers = [tracker_of(api, store, manual_clock) for _ in range(3)]
    threads = [threading.Thread(target=each.submit_many, args=(wanted,)) for each in trackers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert api.names == Counter(names(20))
    assert len(store.submissions()) == 20


ANSWERS = {
    "fine": None,
    "full": httpx.Response(403, json={"detail": "The plan's limit of avatars is reached."}),
    "throttled": httpx.Response(429, json={}),
    "keys": httpx.Response(401, json={}),
    "refused": httpx.Response(400, json={"gender": ["No."]}),
    "broken": httpx.Response(500, text="down"),
    "lost": httpx.ReadError("lost"),
    "unreachable": httpx.ConnectError("no"),
}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=12)
@pytest.mark.parametrize("store", ["memory"], indirect=True)
@given(faults=some.lists(some.lists(some.sampled_from(sorted(ANSWERS)), max_size=5), max_size=4))
def test_no_answer_makes_a_row_go_out_twice(
    store: Store, manual_clock: ManualClock, faults: list[list[str]]
) -> None:
    """After any faults and reruns each row was created once, or is uncertain and was not."""
    api = API()
    store.account = None
    tracker = tracker_of(api, store, manual_clock)
    marker = f"{len(store.submissions())}"
    wanted = requests(*names(4), keywords=marker)
    for answers in [*faults, []]:
        api.once = [answer for name in answers if (answer := ANSWERS[name]) is not None]
        results = tracker.submit_many(wanted)
    uncertain = {r.creator_name for r in results if r.state == "uncertain"}
    assert set(states(results)) <= {"accepted", "uncertain"}
    assert api.names == Counter(set(names(4)) - uncertain)
