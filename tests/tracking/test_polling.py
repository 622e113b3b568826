"""When a persona is polled next."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as some

from avatarkit.estimates.business_hours import BusinessHours
from avatarkit.estimates.work_clock import calendar_clock
from avatarkit.models import STAGES, TERMINAL
from avatarkit.tracking import polling
from avatarkit.tracking.polling import Pace

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
STATUSES = [stage.value for stage in STAGES] + ["unheard-of"]
SPEEDS = tuple(calendar_clock(BusinessHours(9, 18, 0), closed_rate=0.01).rates.tolist())


def gap_h(status: str, age_h: float, pace: Pace | None = None, share: float = 1.0) -> float:
    """Return the gap after an answer, in hours."""
    since = NOW - timedelta(hours=age_h)
    next_at = polling.next_poll_at(status, since, NOW, "a", pace, share)
    assert next_at is not None
    return (next_at - NOW) / HOUR


@pytest.mark.parametrize("status", sorted(TERMINAL))
def test_what_has_ended_is_not_polled(status: str) -> None:
    """There is no next poll after a terminal status."""
    assert polling.next_poll_at(status, NOW, NOW, "a") is None


@given(
    status=some.sampled_from(STATUSES),
    age_s=some.integers(-3600, 300 * 86_400),
    persona_id=some.text(max_size=10),
    share=some.floats(1e-6, 8.0),
    median_h=some.floats(0.02, 1e4),
    sigma=some.floats(0.25, 1.0),
    speeds=some.sampled_from([(), SPEEDS]),
)
def test_gaps_stay_within_bounds(
    status: str,
    age_s: int,
    persona_id: str,
    share: float,
    median_h: float,
    sigma: float,
    speeds: tuple[float, ...],
) -> None:
    """Whatever is known of a stage, its gaps lie between five minutes and a day."""
    pace = Pace(median_h, sigma, speeds=speeds)
    since = NOW - timedelta(seconds=age_s)
    next_at = polling.next_poll_at(status, since, NOW, persona_id, pace, share)
    assert next_at is not None
    assert polling.SHORTEST <= next_at - NOW <= timedelta(days=1)
    assert next_at == polling.next_poll_at(status, since, NOW, persona_id, pace, share)


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("age_h", [0.0, 1.0, 6.0, 24.0])
def test_gaps_of_the_first_day_are_three_hours_at_most(status: str, age_h: float) -> None:
    """Without a budget, no gap of the first day is longer."""
    assert gap_h(status, age_h) <= 3


def test_what_is_refused_at_once_is_seen_within_an_hour() -> None:
    """The first poll comes within an hour of the create."""
    gaps = [polling.next_poll_at("pending", NOW, NOW, str(n)) - NOW for n in range(50)]  # type: ignore[operator]
    assert max(gaps) < HOUR


def test_polls_are_many_where_a_change_is_likely() -> None:
    """At the median age a stage is polled more often than at its beginning."""
    pace = Pace(10.0, 0.4)
    assert gap_h("processing", 10, pace) < 0.7 * gap_h("processing", 0, pace)


def test_the_end_of_a_life_is_polled_more_than_a_stage_on_the_way() -> None:
    """With equal medians the review, which ends lives, has the shorter gaps."""
    review = replace(polling.prior("reviewing"), median_h=7.0)
    assert gap_h("reviewing", 5, review) < gap_h("processing", 5) / 3


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("factor", [0.25, 4.0])
def test_a_wrong_prior_starves_nothing(status: str, factor: float) -> None:
    """With four times or a quarter of the median, gaps are at most four times as long."""
    right = polling.prior(status)
    wrong = replace(right, median_h=right.median_h * factor)
    for share_of_median in (0.0, 0.25, 0.5, 1.0, 2.0, 4.0):
        age_h = share_of_median * right.median_h
        assert gap_h(status, age_h, wrong) <= 4 * gap_h(status, age_h)


@pytest.mark.parametrize("status", STATUSES)
def test_what_is_stuck_costs_ever_less_and_never_nothing(status: str) -> None:
    """Each week of a stuck avatar takes fewer polls than the one before, down to one a day."""
    age_h, polls = 0.0, [0] * 20
    while age_h < 20 * 168:
        polls[int(age_h / 168)] += 1
        age_h += gap_h(status, age_h)
    assert polls[0] > polls[1] > polls[2] > polls[3]
    assert sum(polls[:4]) < 800
    assert min(polls) >= 7


def test_nights_and_weekends_take_few_polls() -> None:
    """Where the history tells business hours, most polls fall into them, and others still come."""
    pace = Pace(20.0, 0.6, 1.0, SPEEDS)
    monday = datetime(2026, 1, 5, 15, tzinfo=UTC)
    at, hours = monday, []
    while at < monday + timedelta(days=7):
        next_at = polling.next_poll_at("reviewing", monday, at, "a", pace)
        assert next_at is not None
        at = next_at
        hours.append(at.weekday() < 5 and 9 <= at.hour < 18)
    assert sum(hours) > 3 * (len(hours) - sum(hours))
    assert len(hours) - sum(hours) > 7


def test_a_batch_is_not_polled_all_at_once() -> None:
    """Personas of the same age are polled at different times."""
    moments = {polling.next_poll_at("pending", NOW, NOW, str(number)) for number in range(50)}
    assert len(moments) > 40


def test_a_smaller_share_of_the_budget_makes_gaps_longer() -> None:
    """Half the polls are half as many, until a day."""
    assert gap_h("reviewing", 18, share=0.5) == pytest.approx(2 * gap_h("reviewing", 18), rel=0.2)
    assert gap_h("reviewing", 18, share=1e-9) == 24


def test_errors_back_off_up_to_two_hours() -> None:
    """Each failure doubles the gap until two hours."""
    gaps = [polling.next_retry_at(failures, NOW, "a") - NOW for failures in range(12)]
    assert timedelta(minutes=4) < gaps[0] < timedelta(minutes=6)
    assert gaps[2] > gaps[1] > gaps[0]
    assert gaps[11] <= timedelta(hours=2) * 1.1
