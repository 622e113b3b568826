"""What is learned of the stages, and the budget of calls."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as some

from avatarkit import Store
from avatarkit.models import STAGES, Persona
from avatarkit.tracking import polling
from avatarkit.tracking import schedule as rooms
from avatarkit.tracking.schedule import AWAITED, OTHER_CALLS_PER_HOUR, Schedule, learn
from support import simulated

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
MONTH = timedelta(days=30)
STATUSES = [stage.value for stage in STAGES]


@pytest.fixture
def store() -> Iterator[Store]:
    with Store("sqlite://", account="mine") as store:
        yield store


def calls_per_hour(schedule: Schedule, stays: list[tuple[str, datetime]]) -> float:
    """Return how many polls an hour these personas take, from the gaps that are planned."""
    hours = [
        (schedule.next_poll_at(status, since, NOW, str(number)) - NOW) / HOUR  # type: ignore[operator]
        for number, (status, since) in enumerate(stays)
    ]
    return sum(1 / each for each in hours)


@given(
    stays=some.lists(
        some.tuples(some.sampled_from(STATUSES), some.floats(0, 100)), min_size=1, max_size=40
    ),
    copies=some.integers(1, 20),
    budget=some.floats(OTHER_CALLS_PER_HOUR + 60, 2_000),
)
def test_the_budget_is_kept(stays: list[tuple[str, float]], copies: int, budget: float) -> None:
    """One multiplier keeps the polls, with the quota and the list, within the calls an hour."""
    in_flight = [(status, NOW - age_h * HOUR) for status, age_h in stays] * copies
    schedule = Schedule(budget)
    schedule.balance(in_flight, NOW)
    promise = schedule.staleness()
    assert "cannot be kept" not in str(promise.warning)
    assert promise.calls_per_hour <= budget * 1.05
    # Ages are counted in steps of a fifth, and the jitter is a tenth.
    assert calls_per_hour(schedule, in_flight) <= 1.15 * budget


def test_a_few_avatars_are_polled_at_the_usual_pace() -> None:
    """A budget that is not used up slows down nothing."""
    schedule = Schedule()
    schedule.balance([("reviewing", NOW - 9 * HOUR)] * 100, NOW)
    assert schedule.share == 1
    promise = schedule.staleness()
    assert 0.1 < promise.mean_h < 0.5
    assert promise.mean_h < promise.p95_h < 2 * promise.mean_h
    assert promise.warning is None
    assert "late on average, 95 % within" in promise.sentence
    assert "slowed down" not in promise.sentence


def test_ten_thousand_avatars_are_polled_less_often_each() -> None:
    """The staleness that the budget leaves is given as numbers and as a sentence."""
    schedule = Schedule(1_000)
    schedule.balance([("reviewing", NOW - 9 * HOUR)] * 10_000, NOW)
    promise = schedule.staleness()
    assert promise.mean_h == pytest.approx(10_000 / 988 / 2, rel=0.1)
    assert promise.p95_h == pytest.approx(1.9 * promise.mean_h, rel=0.01)
    assert "1,000 of 1,000 calls an hour, polls slowed down to" in promise.sentence
    assert str(promise.warning).startswith("The budget of 1,000 calls an hour makes polls rare")
    assert promise.usual_calls_per_hour > 10_000


def test_a_budget_that_cannot_be_kept_is_warned_about(caplog: pytest.LogCaptureFixture) -> None:
    """Each avatar is polled once a day all the same; the warning is logged once."""
    schedule = Schedule(20)
    stays = [("pending", NOW - HOUR)] * 1_000
    for _ in range(2):
        schedule.balance(stays, NOW)
    assert [record.message for record in caplog.records] == [schedule.staleness().warning]
    assert "budget of 20 calls an hour cannot be kept" in caplog.text
    assert "AVATARKIT_CALLS_PER_HOUR" in caplog.text
    next_at = schedule.next_poll_at("pending", NOW - HOUR, NOW, "a")
    assert next_at == NOW + timedelta(days=1)


def test_without_an_avatar_nothing_is_promised() -> None:
    """There is no staleness while no avatar is in flight."""
    schedule = Schedule()
    schedule.balance([], NOW)
    assert math.isnan(schedule.staleness().mean_h)
    assert schedule.staleness().sentence == "No avatar is in flight."


def test_the_budget_does_not_delay_what_a_person_waits_for() -> None:
    """A persona that is awaited is polled more often than usual, though the budget is used up."""
    schedule = Schedule(13)
    schedule.balance([("reviewing", NOW - HOUR)] * 1_000, NOW)
    schedule.awaited.add("mine")
    mine, other = (
        schedule.next_poll_at("reviewing", NOW - HOUR, NOW, name) for name in ("mine", "other")
    )
    usual = polling.next_poll_at("reviewing", NOW - HOUR, NOW, "mine")
    assert mine is not None
    assert other is not None
    assert usual is not None
    assert mine - NOW <= (usual - NOW) / AWAITED * 1.2
    assert other - NOW == timedelta(days=1)


def test_with_a_list_polls_fall_on_the_same_moments() -> None:
    """A batch is due at a few moments, each at most five minutes from its own."""
    schedule = Schedule()
    apart = [schedule.next_poll_at("pending", NOW, NOW, str(number)) for number in range(50)]
    schedule.together = True
    together = [schedule.next_poll_at("pending", NOW, NOW, str(number)) for number in range(50)]
    assert len(set(together)) < 8 < len(set(apart))
    for alone, shared in zip(apart, together, strict=True):
        assert alone is not None
        assert shared is not None
        assert abs(shared - alone) <= polling.SHORTEST <= shared - NOW


class TestLearn:
    @pytest.mark.parametrize("business_hours", [False, True])
    def test_medians_and_business_hours_are_those_of_the_history(
        self, business_hours: bool
    ) -> None:
        """Stages are paced by the account's own times; business hours only where it has some."""
        lives = simulated.lives("log-normal", seed=3, business_hours=business_hours)
        sightings, now = simulated.sightings(lives, 0.5, seed=3)
        paces = learn(sightings, None, now)
        for name in simulated.NAMES[:-1]:
            assert paces[name].median_h == pytest.approx(simulated.MEDIAN_H[name], rel=0.15)
            assert not paces[name].speeds
        assert bool(paces["reviewing"].speeds) == business_hours
        assert paces["reviewing"].weight == polling.prior("reviewing").weight
        if not business_hours:
            assert paces["reviewing"].median_h == pytest.approx(22, rel=0.15)

    def test_without_history_nothing_is_learned(self) -> None:
        """While fewer than five lives have ended, the declared medians hold."""
        lives = simulated.lives("log-normal", seed=3, personas=4)
        sightings, now = simulated.sightings(lives, 0.5, seed=3, until_h=10_000)
        assert learn(sightings, None, now) == {}


class TestRefresh:
    def see(self, store: Store, number: int, status: str, at: datetime) -> None:
        persona = Persona(id=f"p{number}", process_status=status)
        store.record(persona, asked_at=at, answered_at=at, source="poll")
        store.plan(persona.id, None if status == "done" else at + HOUR)

    def test_the_log_is_counted_once_a_minute(self, store: Store) -> None:
        """What is in flight is counted again after a minute, or an hour on the session's clock."""
        schedule = Schedule()

        def refresh(now: datetime, now_s: float) -> float:
            schedule.refresh(store, now, now_s)
            return schedule.staleness().calls_per_hour - OTHER_CALLS_PER_HOUR

        assert refresh(NOW, 0) == 0
        self.see(store, 1, "pending", NOW)
        assert refresh(NOW, 59) == 0
        assert refresh(NOW, 60) > 0
        self.see(store, 1, "done", NOW)
        assert refresh(NOW + HOUR, 64) > 0
        assert refresh(NOW + HOUR, 65) == 0

    def test_stages_are_fitted_hourly_when_more_lives_have_ended(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A fit needs five ends, a wall hour since the last one, and ends that are new."""
        fits: list[int] = []
        monkeypatch.setattr(rooms, "learn", lambda *_: fits.append(1) or {})
        schedule = Schedule()
        for number in range(4):
            self.see(store, number, "done", NOW)
        schedule.refresh(store, NOW, 0)
        assert not fits
        self.see(store, 4, "done", NOW)
        schedule.refresh(store, NOW, 3_599)
        assert not fits
        schedule.refresh(store, NOW, 3_600)
        assert len(fits) == 1
        schedule.refresh(store, NOW, 7_200)
        assert len(fits) == 1
        self.see(store, 5, "done", NOW)
        schedule.refresh(store, NOW, 10_800)
        assert len(fits) == 2
