"""The log of several trackers against the sandbox's own history, over a socket."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from avatarkit import Client, PersonaCreate, Sandbox, Store, Tracker
from support.manual_clock import ManualClock
from support.truth import check, history_of

MINUTE = timedelta(minutes=1)
ENDS = ["done", "failed", "rejected", "done"]


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.long)])
def test_what_several_trackers_log_at_once_is_true(
    manual_clock: ManualClock, tmp_path: Path, seed: int
) -> None:
    """Passes, polls by a person, waits and lists, while the time goes on: no bound is wrong."""
    rng = random.Random(seed)  # noqa: S311 - a test's
    with (
        Sandbox(tmp_path / "api", clock=manual_clock, seed=seed) as sandbox,
        Client(sandbox.url, sandbox.api_id, sandbox.api_key) as client,
        Store(f"sqlite:///{tmp_path / 'log.db'}") as store,
        Store(f"sqlite:///{tmp_path / 'log.db'}") as same_store,
        ThreadPoolExecutor(4) as threads,
    ):
        one, other = (Tracker(client, log, clock=manual_clock) for log in (store, same_store))
        ids = [
            one.submit(
                PersonaCreate(creator_name=f"a{n}", gender="f", labels=[f"sandbox:{end}"])
            ).id
            for n, end in enumerate(ENDS)
        ]
        for _ in range(40):
            manual_clock.advance(rng.randrange(1, 240) * MINUTE)
            working = [
                threads.submit(one.look),
                threads.submit(other.look),
                threads.submit(other.poll, rng.choice(ids)),
                threads.submit(one.reconcile),
            ]
            for _ in range(5):
                manual_clock.advance(rng.randrange(1, 600) * timedelta(seconds=1))
            for work in working:
                work.result()
        while store.next_look_at() is not None:
            manual_clock.advance(120 * MINUTE)
            one.look()
        assert store.clock_offset() is None
        check(store, history_of(sandbox), manual_clock.now())
        assert sorted(store.personas()["status"]) == sorted(ENDS)
