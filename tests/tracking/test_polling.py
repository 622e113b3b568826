"""When a persona is polled next."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as some

from avatarkit.models import STAGES, TERMINAL
from avatarkit.tracking import polling

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)


@pytest.mark.parametrize("status", sorted(TERMINAL))
def test_what_has_ended_is_not_polled(status: str) -> None:
    """There is no next poll after a terminal status."""
    assert polling.next_poll_at(status, NOW, NOW, "a") is None


@given(
    status=some.sampled_from([stage.value for stage in STAGES] + ["unheard-of"]),
    age_s=some.integers(-3600, 30 * 86_400),
    persona_id=some.text(max_size=10),
)
def test_gaps_stay_within_bounds(status: str, age_s: int, persona_id: str) -> None:
    """The gap lies between the shortest and an hour, give or take the jitter."""
    next_at = polling.next_poll_at(status, NOW - timedelta(seconds=age_s), NOW, persona_id)
    assert next_at is not None
    gap = next_at - NOW
    assert polling.SHORTEST * 0.9 <= gap <= timedelta(hours=1) * 1.1
    assert next_at == polling.next_poll_at(status, NOW - timedelta(seconds=age_s), NOW, persona_id)


def test_gaps_grow_with_age() -> None:
    """A stage that has lasted for long is polled less often."""
    gaps = [
        polling.next_poll_at("reviewing", NOW - timedelta(hours=hours), NOW, "a") - NOW  # type: ignore[operator]
        for hours in (0, 2, 10, 40)
    ]
    assert gaps == sorted(gaps)
    assert gaps[0] < gaps[1] < gaps[2]


def test_a_batch_is_not_polled_all_at_once() -> None:
    """Personas of the same age are polled at different times."""
    moments = {polling.next_poll_at("pending", NOW, NOW, str(number)) for number in range(50)}
    assert len(moments) > 40


def test_errors_back_off_up_to_two_hours() -> None:
    """Each failure doubles the gap until two hours."""
    gaps = [polling.next_retry_at(failures, NOW, "a") - NOW for failures in range(12)]
    assert timedelta(minutes=4) < gaps[0] < timedelta(minutes=6)
    assert gaps[2] > gaps[1] > gaps[0]
    assert gaps[11] <= timedelta(hours=2) * 1.1
