"""The lease of an account: one tracker holds it at any moment, and a dead one loses it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from avatarkit import Store
from avatarkit.store import lease as store_lease
from avatarkit.store import process, tables
from avatarkit.store.lease import LENGTH_S
from avatarkit.store.process import this_process
from support.manual_clock import MONDAY, ManualClock

SECOND = timedelta(seconds=1)
ELSEWHERE = "server-2|7|7"


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgres":
        return str(request.getfixturevalue("postgres"))
    return f"sqlite:///{tmp_path / 'log.db'}"


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with Store(url, account="mine") as store:
        yield store


@pytest.fixture
def sqlite_store(tmp_path: Path) -> Iterator[Store]:
    with Store(f"sqlite:///{tmp_path / 'log.db'}", account="mine") as store:
        yield store


def take(store: Store, owner: str, clock: ManualClock) -> bool:
    return store.take_lease(owner, f"name of {owner}", clock.wall_now).owner == owner


def test_one_takes_it_and_others_do_not(store: Store, manual_clock: ManualClock) -> None:
    """It is the first one's until that one releases it, which another one cannot do."""
    assert store.lease(manual_clock.wall_now) is None
    assert take(store, "a", manual_clock)
    assert not take(store, "b", manual_clock)
    store.release_lease("b")
    lease = store.lease(manual_clock.wall_now)
    assert lease is not None
    assert (lease.owner, lease.name, lease.is_free) == ("a", "name of a", False)
    assert 0 <= lease.age_s < LENGTH_S
    store.release_lease("a")
    assert take(store, "b", manual_clock)


def test_each_account_has_its_own(url: str, store: Store, manual_clock: ManualClock) -> None:
    """A tracker of another account in the same database takes nothing away."""
    with Store(url, account="other") as other:
        assert take(store, "a", manual_clock)
        assert take(other, "b", manual_clock)
        other.release_lease("b")
    assert not take(store, "c", manual_clock)


def test_of_many_at_once_one_takes_it(url: str, store: Store, manual_clock: ManualClock) -> None:
    """Eight threads that start together agree on the owner."""
    start = threading.Barrier(8)
    stores = [Store(url, account="mine") for _ in range(8)]

    def race(number: int) -> str:
        start.wait()
        return stores[number].take_lease(f"t{number}", "t", manual_clock.wall_now).owner

    with ThreadPoolExecutor(8) as threads:
        owners = set(threads.map(race, range(8)))
    for other in stores:
        other.close()
    assert len(owners) == 1


def test_one_that_is_not_renewed_lapses(store: Store, manual_clock: ManualClock) -> None:
    """On PostgreSQL the server's clock counts, however wrong this machine's is."""
    assert take(store, "a", manual_clock)
    manual_clock.advance(10 * LENGTH_S * SECOND)
    is_postgres = not store.url.startswith("sqlite")
    assert take(store, "b", manual_clock) is not is_postgres
    if is_postgres:
        lapse(store)
        assert take(store, "b", manual_clock)


def test_a_renewed_one_lasts(sqlite_store: Store, manual_clock: ManualClock) -> None:
    """Renewed in time it is never free, however long it is held; since when is kept."""
    for _ in range(20):
        assert take(sqlite_store, "a", manual_clock)
        assert not take(sqlite_store, "b", manual_clock)
        manual_clock.advance((LENGTH_S - 1) * SECOND)
    with sqlite_store.transaction(reading=True) as connection:
        taken_us = connection.scalar(sa.select(tables.leases.c.taken_us))
    assert taken_us == tables.to_us(MONDAY)


@pytest.mark.parametrize("hours", [-3, 3])
def test_a_clock_that_is_set_locks_none_out(
    sqlite_store: Store, manual_clock: ManualClock, hours: int
) -> None:
    """Set forward or back by hours, the next one takes it at once."""
    assert take(sqlite_store, "a", manual_clock)
    moved = manual_clock.now() + timedelta(hours=hours)
    assert sqlite_store.take_lease("b", "b", lambda: moved).owner == "b"


def test_one_that_is_set_back_a_little_waits_less_than_two_minutes(
    sqlite_store: Store, manual_clock: ManualClock
) -> None:
    """Whatever the clock is set back by, a dead owner holds it for two lengths at most."""
    assert take(sqlite_store, "a", manual_clock)
    back = manual_clock.now() - (LENGTH_S - 1) * SECOND
    assert sqlite_store.take_lease("b", "b", lambda: back).owner == "a"
    later = back + 2 * LENGTH_S * SECOND
    assert sqlite_store.take_lease("b", "b", lambda: later).owner == "b"


def test_a_process_that_has_ended_here_holds_nothing(
    store: Store, manual_clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next one takes it at once; of another machine's process it is not known."""
    here, ended = this_process(), f"{this_process()}1"
    monkeypatch.setattr(store_lease, "this_process", lambda: ended)
    assert take(store, "a", manual_clock)
    monkeypatch.setattr(store_lease, "this_process", lambda: ELSEWHERE)
    lease = store.lease(manual_clock.wall_now)
    assert lease is not None
    assert lease.is_free
    assert take(store, "b", manual_clock)
    monkeypatch.setattr(store_lease, "this_process", lambda: here)
    assert not take(store, "c", manual_clock)


def test_trackers_in_containers_of_one_name_do_not_take_it_from_each_other(
    store: Store, manual_clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither sees the other's process, which is no proof that it has ended."""
    assert take(store, "a", manual_clock)
    boot = this_process().split("|")[2].split("+")[0]
    monkeypatch.setattr(process, "_place", lambda: [boot, "pid:[1]"])
    lease = store.lease(manual_clock.wall_now)
    assert lease is not None
    assert not lease.is_free
    assert not take(store, "b", manual_clock)


def lapse(store: Store) -> None:
    """Let the lease lapse on the server's clock."""
    with store.transaction() as connection:
        past = tables.leases.c.expires_us - int(LENGTH_S * 1e6)
        connection.execute(tables.leases.update().values(expires_us=past))
