"""The outbox of notifications, on each database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avatarkit import Persona, Store
from avatarkit.store.notifications import Event
from support.manual_clock import MONDAY

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
SINCE = MONDAY - DAY


@pytest.fixture(params=["sqlite", "memory", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    url = {"sqlite": f"sqlite:///{tmp_path / 'log.db'}", "memory": "sqlite://"}.get(request.param)
    with Store(url or request.getfixturevalue("postgres"), account="mine") as opened:
        yield opened


def events(*subjects: str) -> list[Event]:
    return [Event("done", subject, f"{subject} is done") for subject in subjects]


def record(store: Store, persona_id: str, status: str, at: datetime) -> None:
    persona = Persona.model_validate({"id": persona_id, "process_status": status})
    store.record(persona, asked_at=at, answered_at=at, source="poll")


def test_an_event_is_in_the_outbox_once(store: Store) -> None:
    """However often it is found, the first text and time stay."""
    store.add_notifications(events("p1"), MONDAY, MONDAY)
    store.add_notifications([Event("done", "p1", "Again."), *events("p2")], MONDAY + DAY, MONDAY)
    found = {each.subject: each for each in store.last_notifications(9)}
    assert set(found) == {"p1", "p2"}
    assert found["p1"].text == "p1 is done"
    assert found["p1"].created_at == MONDAY


def test_a_claim_is_one_trackers(store: Store) -> None:
    """What is claimed is due again only after its delay, and not at all once it is sent."""
    store.add_notifications(events("p1", "p2"), MONDAY, MONDAY + MINUTE)

    def claim(minutes: float) -> list[str]:
        now = MONDAY + minutes * MINUTE
        claimed = store.claim_notifications(now, lambda _: 5 * MINUTE, since=SINCE)
        return [each.subject for each in claimed]

    assert claim(0) == []
    assert claim(1) == ["p1", "p2"]
    assert claim(5) == []
    first, second = store.claim_notifications(
        MONDAY + 7 * MINUTE, lambda _: 5 * MINUTE, since=SINCE
    )
    assert (first.attempts, second.attempts) == (1, 1)
    store.end_attempt(first, {"a"}, MONDAY + 8 * MINUTE, None)
    store.end_attempt(second, {"b", "a"}, None, "It is down.")
    assert store.notifications_state() == (MONDAY + 8 * MINUTE, 1, "It is down.")
    (left,) = store.claim_notifications(MONDAY + 13 * MINUTE, lambda _: None, since=SINCE)
    assert left.taken_by == {"a", "b"}
    assert store.notifications_state() == (MONDAY + 8 * MINUTE, 0, None)
    assert claim(9_999) == []


def test_what_was_planned_by_a_wrong_clock_is_due(store: Store) -> None:
    """A clock that was years ahead puts no message off for years."""
    store.add_notifications(events("p1"), MONDAY, MONDAY + 900 * DAY)
    assert len(store.claim_notifications(MONDAY, lambda _: MINUTE, since=SINCE)) == 1


def test_threads_that_claim_at_once_share(store: Store) -> None:
    """Each event is claimed by one of four, and none fails."""
    store.add_notifications(events(*(f"p{n}" for n in range(30))), MONDAY, MONDAY)

    def claim(_: int) -> list[str]:
        claimed = store.claim_notifications(MONDAY, lambda _: MINUTE, since=SINCE)
        return [each.subject for each in claimed]

    with ThreadPoolExecutor(4) as threads:
        claims = list(threads.map(claim, range(4)))
    assert sorted(subject for claim in claims for subject in claim) == sorted(
        f"p{n}" for n in range(30)
    )


def test_threads_that_find_at_once_write_it_once(store: Store) -> None:
    """Two trackers that see the same end at the same moment write one event."""
    with ThreadPoolExecutor(4) as threads:
        for _ in threads.map(
            lambda _: store.add_notifications(events("p1", "p2"), MONDAY, MONDAY), range(4)
        ):
            pass
    assert len(store.last_notifications(9)) == 2


def test_ends_are_those_since_it_was_switched_on(store: Store) -> None:
    """Of followed ones, unless they are told; others and older ones are no news."""
    for persona_id in ("old", "new", "unfollowed"):
        record(store, persona_id, "reviewing", MONDAY)
    record(store, "old", "done", MONDAY + MINUTE)
    assert store.unnotified_ends(SINCE) == []
    store.begin_notifying()
    record(store, "new", "failed", MONDAY + 2 * MINUTE)
    record(store, "adopted", "done", MONDAY + 2 * MINUTE)
    store.begin_notifying()
    (end,) = store.unnotified_ends(SINCE)
    assert (end.persona_id, end.status, end.since) == ("new", "failed", MONDAY + 2 * MINUTE)
    assert store.unnotified_ends(MONDAY + DAY) == []
    store.add_notifications([Event("failed", "new", "")], MONDAY, MONDAY)
    assert store.unnotified_ends(SINCE) == []


@given(st.lists(st.sampled_from(["find", "send", "crash", "refuse", "wait"]), max_size=30))
def test_in_any_order_each_event_is_told(steps: list[str]) -> None:
    """Once if no tracker dies while it sends, and else once for each death more at most."""
    now, told, found = MONDAY, Counter[str](), 0
    crashes = Counter[str]()
    with Store("sqlite://", account="mine") as store:

        def attempt(outcome: str) -> None:
            for event in store.claim_notifications(now, lambda _: MINUTE, since=SINCE):
                told[event.subject] += outcome != "refuse"
                crashes[event.subject] += outcome == "crash"
                if outcome == "send":
                    store.end_attempt(event, {"a"}, now, None)
                elif outcome == "refuse":
                    store.end_attempt(event, (), None, "It is down.")

        for step in steps:
            if step == "find":
                found += 1
                store.add_notifications(events(*(f"p{n}" for n in range(found))), now, now)
            elif step == "wait":
                now += MINUTE
            else:
                attempt(step)
        now += 2 * MINUTE
        attempt("send")
        now += 2 * MINUTE
        attempt("send")
    assert len(told) == found
    assert all(1 <= count <= 1 + crashes[subject] for subject, count in told.items())
