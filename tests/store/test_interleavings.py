"""The log against the truth, however askings and answers of several trackers interleave."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from avatarkit import PersonaCreate, Store
from avatarkit.models import STAGES, TERMINAL, Persona
from avatarkit.store import clock_skew
from avatarkit.store.clock_skew import Call
from support.manual_clock import MONDAY
from support.truth import Truth, check

SECOND = timedelta(seconds=1)
ENDS = sorted(status.value for status in TERMINAL)
ORDER = [status.value for status in STAGES[1:]]
ORDER.insert(3, "dreaming")
"""The statuses between ``pending`` and the end, an undocumented one among them."""


@dataclass(frozen=True)
class Timed:
    """A call of one machine, whose clock is ``ahead`` of the API's, in the API's time."""

    asked: datetime
    handled: datetime
    answered: datetime
    ahead: timedelta
    has_date: bool


_numbers = count()


# The tables are made once a test; each example has an account of its own in them.
in_one_database = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
pytestmark = pytest.mark.parametrize(
    "url", ["memory", pytest.param("postgres", marks=pytest.mark.long)], indirect=True
)


def renew(store: Store) -> None:
    """Make a store that of an account that has no rows yet."""
    store.account = f"account {next(_numbers)}"


@some.composite
def truths(draw: some.DrawFn) -> Truth:
    names = [name for name in ORDER if draw(some.booleans())]
    statuses = ["pending", *names, draw(some.sampled_from(ENDS))]
    since = [MONDAY]
    for _ in statuses[1:]:
        since.append(since[-1] + draw(some.sampled_from([1, 5, 50, 500])) * SECOND)
    return Truth(statuses, since)


@some.composite
def calls(draw: some.DrawFn, clocks: tuple[int, ...] = (0,)) -> list[Timed]:
    timed, asked = [], MONDAY
    delays = some.sampled_from([0, 0, 1, 20, 300])
    for _ in range(draw(some.integers(1, 12))):
        asked += draw(some.sampled_from([1, 1, 10, 100, 900])) * SECOND
        handled = asked + draw(delays) * SECOND
        answered = handled + draw(delays) * SECOND
        ahead = draw(some.sampled_from(clocks)) * SECOND
        # Without a date, only an answer to a machine whose clock is right can be trusted.
        has_date = bool(ahead) or draw(some.booleans())
        timed.append(Timed(asked, handled, answered, ahead, has_date))
    return timed


def replay(store: Store, truth: Truth, timed: list[Timed]) -> list[int]:
    """Log the answers as they arrive; return the numbers of the calls that were logged as news."""
    submission_id = store.prepare(PersonaCreate(creator_name="Ada", gender="f"), MONDAY - SECOND)
    creating = store.ask()
    store.sending(submission_id, MONDAY - SECOND)
    created = Call(creating, MONDAY - SECOND, MONDAY + SECOND)
    store.accepted(submission_id, answer_at(truth, MONDAY), MONDAY + SECOND, call=created)
    numbers: dict[int, int] = {}
    moments = [(call.asked, 0, index) for index, call in enumerate(timed)]
    moments += [(call.answered, 1, index) for index, call in enumerate(timed)]
    logged = []
    for _, is_answer, index in sorted(moments):
        call = timed[index]
        if not is_answer:
            numbers[index] = store.ask()
            continue
        recorded = store.record(
            answer_at(truth, call.handled),
            asked_at=call.asked + call.ahead,
            answered_at=call.answered + call.ahead,
            source="poll",
            asked_no=numbers[index],
            dates=[call.handled] if call.has_date else [],
        )
        if recorded.change is not None:
            logged.append(numbers[index])
    return logged


def answer_at(truth: Truth, moment: datetime) -> Persona:
    values: dict[str, Any] = {"id": "p1", "process_status": truth.at(moment)}
    return Persona.model_validate(values | {"created_at": MONDAY})


@in_one_database
@given(truths(), calls())
def test_however_calls_interleave_the_log_holds_the_truth(
    store: Store, truth: Truth, timed: list[Timed]
) -> None:
    """Every change is logged once, in order, and lies between its bounds."""
    renew(store)
    logged = replay(store, truth, timed)
    now = max(call.answered for call in timed)
    assert logged == sorted(logged)
    # Nothing that was left out is lost: the next call finds what is so now.
    later = now + SECOND
    replayed = store.record(
        answer_at(truth, later),
        asked_at=later,
        answered_at=later,
        source="poll",
        asked_no=store.ask(),
    )
    assert replayed.status == truth.at(later)
    check(store, {"p1": truth}, later)


def test_an_answer_without_a_date_arrived_not_before_its_clock_says(store: Store) -> None:
    """After an answer to a clock that is ahead, one to a right clock keeps its own later time."""
    truth = Truth(["pending", "done"], [MONDAY, MONDAY + 500 * SECOND])
    ahead, right = timedelta(hours=3), timedelta(0)
    asked, handled = MONDAY + 100 * SECOND, MONDAY + 400 * SECOND
    first = Timed(asked, handled, handled, ahead, has_date=True)
    later = 100 * SECOND
    second = Timed(asked + later, handled + later, handled + later, right, has_date=False)
    replay(store, truth, [first, second])
    assert store.sightings()["first_seen_at"].iloc[-1] == handled + later


@in_one_database
@given(truths(), calls(clocks=(0, -10_800, 10_800, 7)))
def test_the_bounds_hold_though_the_clocks_of_trackers_differ(
    store: Store, truth: Truth, timed: list[Timed]
) -> None:
    """Where the API's answers tell its time, a wrong clock widens the bounds, and no more."""
    renew(store)
    replay(store, truth, timed)
    now = max(call.answered for call in timed) + timedelta(hours=6)
    # A clock that is wrong by less than the tolerance is taken to be right.
    check(store, {"p1": truth}, now, within=clock_skew.TOLERANCE + clock_skew.PRECISION)


@in_one_database
@given(truths(), calls())
def test_an_api_that_handles_calls_in_order_is_logged_like_one_call_at_a_time(
    store: Store, truth: Truth, timed: list[Timed]
) -> None:
    """However late the answers arrive, the newest one is what the log ends with."""
    in_order = [
        Timed(call.asked, call.asked, call.answered, call.ahead, call.has_date) for call in timed
    ]
    renew(store)
    replay(store, truth, in_order)
    newest = max(in_order, key=lambda call: call.asked)
    status = store.personas().loc[0, "status"]
    assert status == truth.at(newest.asked) or "dreaming" in truth.statuses


def test_an_older_call_does_not_undo_the_error_of_a_newer_one(store: Store) -> None:
    """Whichever arrives first, the log ends with the newest error, and with the older status."""
    for is_late in (True, False):
        renew(store)
        ask_and_record(store, "done", MONDAY)
        numbers = [store.ask() for _ in range(3)]

        def answer(store: Store = store, number: int = numbers[0]) -> None:
            ask_and_record(store, "done", MONDAY + SECOND, number)

        def refuse(store: Store = store, numbers: list[int] = numbers) -> None:
            at = MONDAY + 2 * SECOND
            store.record_error("p1", "New.", at=at, missing=True, asked_no=numbers[2])
            store.record_error("p1", "Old.", at=at, missing=False, asked_no=numbers[1])

        for step in (refuse, answer) if is_late else (answer, refuse):
            step()
        row = store.personas().iloc[0]
        assert (row["gone"], row["last_error"], row["status"]) == (True, "New.", "done")
        assert row["deleted_at"] == MONDAY + 2 * SECOND
        assert row["last_seen_at"] == MONDAY + SECOND
        ask_and_record(store, "done", MONDAY + 3 * SECOND)
        assert not store.personas().loc[0, "gone"]


def ask_and_record(store: Store, status: str, at: datetime, number: int | None = None) -> None:
    persona = Persona.model_validate({"id": "p1", "process_status": status})
    asked_no = store.ask() if number is None else number
    store.record(persona, asked_at=at, answered_at=at, source="poll", asked_no=asked_no)
