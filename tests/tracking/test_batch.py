"""Batches: every row is sent once, whatever comes in between."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from avatarkit import Client, PersonaCreate, Store, Tracker, errors
from avatarkit.store.batches import SubmitResult, to_frame
from support.manual_clock import MONDAY, ManualClock


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
    url = f"sqlite:///{tmp_path / 'log.db'}"
    with Store(request.getfixturevalue("postgres") if request.param == "postgres" else url) as log:
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
    with pytest.raises(errors.ConfigError, match="sent before"):
        tracker.prepare_many(wanted)
    frame = to_frame(results)
    assert list(frame["persona_id"]) == [f"p-{name}-1" for name in names(5)]
    assert dict(to_frame([]).dtypes) == dict(frame.dtypes)
