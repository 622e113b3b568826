"""The clock that runs while the work is done, and how it is learned."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avatarkit.estimates import work_clock
from avatarkit.estimates.business_hours import BusinessHours
from avatarkit.estimates.work_clock import WALL, WEEK, WorkClock

rates = st.lists(st.floats(0.01, 9), min_size=WEEK, max_size=WEEK).map(np.array)
hours = st.floats(-1e5, 1e6)


OPEN = work_clock.calendar_clock(BusinessHours(16, 24, 0), closed_rate=0.0)


def spells(size: int, seed: int, *, in_business_hours: bool) -> tuple[np.ndarray, np.ndarray]:
    """When things began and ended: 10 hours in the median, of the office's or the wall's."""
    rng = np.random.default_rng(seed)
    begin = np.sort(rng.uniform(0, size * 4, size))
    took = 10 * np.exp(0.5 * rng.standard_normal(size))
    if not in_business_hours:
        return begin, begin + took
    # The week has 40 business hours, in which this clock shows 168.
    return begin, OPEN.moment(OPEN.reading(begin) + took * WEEK / 40)


@given(rates, hours, hours)
def test_the_clock_never_runs_backwards_and_its_inverse_is_exact(
    speeds: np.ndarray, one: float, other: float
) -> None:
    """A later moment has a later reading, and a reading's moment is where it was read."""
    clock = WorkClock(speeds)
    early, late = sorted((one, other))
    assert clock.reading(early) <= clock.reading(late)
    assert clock.moment(clock.reading(one)) == pytest.approx(one, abs=1e-4)


def test_an_hour_counts_as_fast_as_its_rate() -> None:
    """From Monday 1:30 to 3:00 half an hour at rate 2 and an hour at rate 0.5 make 1.5 hours."""
    speeds = np.ones(WEEK)
    speeds[1], speeds[2] = 2.0, 0.5
    clock = WorkClock(speeds)
    for week in (0, WEEK * 3000):
        assert clock.reading(week + 3) - clock.reading(week + 1.5) == pytest.approx(1.5)


def test_the_clock_on_the_wall_is_the_identity() -> None:
    """With a rate of 1 in each hour readings are moments, to the last digit."""
    moments = np.array([-3.3, 0.0, 1e6 / 7])
    assert (WALL.reading(moments) == moments).all()
    assert (WALL.moment(moments) == moments).all()


def test_moments_become_hours_since_a_monday_and_back() -> None:
    """Monday 00:00 UTC is hour 0 of a week, whatever zone the moment comes in; NaT is NaN."""
    monday = pd.Timestamp(datetime(2026, 3, 2, tzinfo=UTC))
    moments = pd.Series([monday, monday + pd.Timedelta("1us"), pd.NaT, monday]).astype(
        "datetime64[us, UTC]"
    )
    told = work_clock.since_monday(moments)
    assert told[0] % WEEK == 0
    assert np.isnan(told[2])
    elsewhere = work_clock.since_monday(moments.dt.tz_convert("Asia/Tokyo"))
    np.testing.assert_array_equal(elsewhere, told)
    back = work_clock.to_moments(told[[0, 1, 3]])
    assert back.tolist() == moments[[0, 1, 3]].tolist()
    assert back.dtype == "datetime64[us, UTC]"


@pytest.mark.parametrize("seed", range(3))
def test_business_hours_are_learned_from_when_things_end(seed: int) -> None:
    """From 300 ends in unknown business hours, the closed hours are found to be slow."""
    begin, end = spells(300, seed, in_business_hours=True)
    clock = work_clock.fit(begin, begin, end - 0.25, end + 0.25)
    week = clock.rates.reshape(7, 24)
    assert clock.rates.mean() == pytest.approx(1)
    assert week[:5, 16:].mean() > 3
    assert week[:5, 1:16].mean() < 0.2
    assert week[5:, 1:].mean() < 0.3
    took = clock.reading(end) - clock.reading(begin)
    assert np.log(took).std() < 0.75 * np.log(end - begin).std()


def test_without_a_calendar_effect_the_clock_is_the_wall() -> None:
    """Of ten histories of 300 ends at any hour at least nine teach nothing at all."""
    flat = []
    for seed in range(10):
        begin, end = spells(300, seed, in_business_hours=False)
        flat.append(work_clock.fit(begin, begin, end - 0.25, end + 0.25).is_flat)
    assert sum(flat) >= 9


def test_beginnings_at_one_hour_do_not_make_business_hours() -> None:
    """Where all begins at 14 o'clock ends crowd at night, and the clock is still the wall's."""
    rng = np.random.default_rng(5)
    begin = 24.0 * np.arange(300) + 14
    end = begin + 10 * np.exp(0.3 * rng.standard_normal(300))
    assert work_clock.fit(begin, begin, end, end).is_flat


def test_a_look_a_day_teaches_no_hour_of_the_day() -> None:
    """Ends known to a day only leave every hour of a day much as fast as the others."""
    begin, end = spells(400, 7, in_business_hours=True)
    looked = np.floor((end - 8) / 24) * 24 + 8
    clock = work_clock.fit(begin, begin, np.maximum(looked, begin), looked + 24)
    by_hour = clock.rates.reshape(7, 24)[:5].mean(axis=0)
    assert by_hour.max() < 3 * by_hour.min()


def test_what_is_still_running_counts_as_running() -> None:
    """A hundred that run on slow no hour down beyond the longest that ended, and stop nothing."""
    begin, end = spells(300, 2, in_business_hours=True)
    alone = work_clock.fit(begin, begin, end, end)
    after = np.append(end, begin[:100] + 5000)
    before = np.append(end, np.full(100, np.nan))
    begins = np.append(begin, begin[:100])
    along = work_clock.fit(begins, begins, after, before)
    assert not along.is_flat
    assert np.corrcoef(along.rates, alone.rates)[0, 1] > 0.9


def test_few_ends_teach_nothing() -> None:
    """Fewer than ten ends leave the clock on the wall, and so does nothing at all."""
    begin, end = spells(9, 1, in_business_hours=True)
    assert work_clock.fit(begin, begin, end, end) is WALL
    assert work_clock.fit([], [], [], []) is WALL
