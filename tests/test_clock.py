"""Clocks: the system's, the sandbox's, and that of the tests."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avatarkit.clock import Clock, ScaledClock, SystemClock
from support.manual_clock import ManualClock

START = datetime(2026, 1, 5, 9, tzinfo=UTC)


class Wall:
    """Wall seconds that a test sets."""

    def __init__(self, seconds: float = 1_000.0) -> None:
        self.seconds = seconds

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def wall() -> Wall:
    return Wall()


def scaled(wall: Wall, speed: float = 60.0) -> ScaledClock:
    return ScaledClock(START, speed, wall=wall)


# The system's clock


def test_system_now_is_aware_utc() -> None:
    """The system's clock shows the machine's time as an aware UTC moment."""
    before = datetime.now(UTC)
    shown = SystemClock().now()
    assert before <= shown <= datetime.now(UTC)
    assert shown.tzinfo is UTC


def test_system_monotonic_never_falls() -> None:
    """Two readings of the deadline clock are in order."""
    clock = SystemClock()
    assert clock.monotonic() <= clock.monotonic()


def test_sleep_ends_at_once_when_stopped() -> None:
    """A sleep of an hour is over at once when its stop event is already set."""
    stop = threading.Event()
    stop.set()
    clock = SystemClock()
    began = clock.monotonic()
    clock.sleep(3600, stop)
    assert clock.monotonic() - began < 5


def test_sleep_is_woken_by_stop() -> None:
    """Setting the event from another thread ends a sleep that has begun."""
    stop = threading.Event()
    sleeper = threading.Thread(target=SystemClock().sleep, args=(3600, stop))
    sleeper.start()
    stop.set()
    sleeper.join(timeout=5)
    assert not sleeper.is_alive()


@pytest.mark.parametrize("seconds", [0.0, -5.0])
@pytest.mark.parametrize("stop", [None, threading.Event()], ids=["plain", "with stop"])
def test_no_time_and_less_is_no_sleep(seconds: float, stop: threading.Event | None) -> None:
    """A sleep of zero or a negative time returns instead of raising."""
    clock = SystemClock()
    began = clock.monotonic()
    clock.sleep(seconds, stop)
    assert clock.monotonic() - began < 5


def test_wall_seconds_until_past_is_zero() -> None:
    """There is nothing to wait for until a moment that has passed."""
    clock = SystemClock()
    assert clock.wall_seconds_until(clock.now() - timedelta(days=1)) == 0


def test_wall_seconds_until_future() -> None:
    """The system's clock counts the seconds that remain."""
    clock = SystemClock()
    assert 3590 < clock.wall_seconds_until(clock.now() + timedelta(hours=1)) <= 3600


# The scaled clock


@pytest.mark.parametrize("speed", [0, -1, float("nan"), float("inf")])
def test_impossible_speed_is_refused(speed: float) -> None:
    """A speed that is not a positive number is a ValueError that says so."""
    with pytest.raises(ValueError, match="speed must be positive"):
        ScaledClock(START, speed)


def test_scaled_begins_at_start(wall: Wall) -> None:
    """A new clock shows its start, in UTC, whatever offset the start came with."""
    start = START.astimezone(timezone(timedelta(hours=-8)))
    clock = ScaledClock(start, 60, wall=wall)
    assert clock.now() == START
    assert clock.now().tzinfo is UTC


def test_scaled_runs_at_its_speed(wall: Wall) -> None:
    """At a speed of 60, a wall second is a minute."""
    clock = scaled(wall, 60)
    wall.seconds += 90
    assert clock.now() == START + timedelta(minutes=90)
    assert clock.speed == 60


def test_scaled_waits_in_wall_seconds(wall: Wall) -> None:
    """At a speed of 60, an hour of the clock is a minute's wait; the past is none."""
    clock = scaled(wall, 60)
    assert clock.wall_seconds_until(START + timedelta(hours=1)) == pytest.approx(60)
    assert clock.wall_seconds_until(START - timedelta(hours=1)) == 0


def test_scaled_joins_one_that_started_earlier(wall: Wall) -> None:
    """A clock made from another's reading shows the same time."""
    clock = scaled(wall)
    wall.seconds += 100
    start, started_s, speed = clock.reading()
    other = ScaledClock(start, speed, started_s=started_s, wall=wall)
    wall.seconds += 23
    assert other.now() == clock.now()


def test_stopped_clock_stands_still(wall: Wall) -> None:
    """A stopped clock shows the moment at which it was stopped, which stop() returns."""
    clock = scaled(wall)
    wall.seconds += 10
    stood = clock.stop()
    wall.seconds += 1_000
    assert clock.now() == stood == START + timedelta(minutes=10)


def test_stopping_twice_changes_nothing(wall: Wall) -> None:
    """The second stop shows the same moment as the first."""
    clock = scaled(wall)
    wall.seconds += 10
    first = clock.stop()
    wall.seconds += 10
    assert clock.stop() == first


def test_resumed_clock_goes_on_from_where_it_stood(wall: Wall) -> None:
    """The wall time between stop and resume does not exist on the clock."""
    clock = scaled(wall)
    wall.seconds += 10
    clock.stop()
    wall.seconds += 1_000
    clock.resume()
    wall.seconds += 5
    assert clock.now() == START + timedelta(minutes=15)


def test_resuming_a_running_clock_changes_nothing(wall: Wall) -> None:
    """resume() on a running clock neither jumps nor loses time."""
    clock = scaled(wall)
    wall.seconds += 10
    clock.resume()
    wall.seconds += 10
    assert clock.now() == START + timedelta(minutes=20)


def test_reading_of_a_stopped_clock_is_where_it_stands(wall: Wall) -> None:
    """A stopped clock's reading has no wall moment and the moment at which it stands."""
    clock = scaled(wall)
    wall.seconds += 10
    stood = clock.stop()
    assert clock.reading() == (stood, None, 60.0)


def test_wall_set_back_does_not_set_the_clock_back(wall: Wall) -> None:
    """When the machine's time is set back the clock waits until it is caught up with."""
    clock = scaled(wall)
    wall.seconds += 10
    shown = clock.now()
    wall.seconds -= 8
    assert clock.now() == shown
    wall.seconds += 9
    assert clock.now() == START + timedelta(minutes=11)


@pytest.mark.parametrize("running", [True, False], ids=["running", "stopped"])
def test_advance_jumps_ahead(wall: Wall, running: bool) -> None:
    """advance() moves a clock at once, whether it runs or stands, and says where to."""
    clock = scaled(wall)
    if not running:
        clock.stop()
    assert clock.advance(timedelta(days=2)) == START + timedelta(days=2)
    wall.seconds += 1
    assert clock.now() == START + timedelta(days=2, minutes=1 if running else 0)


def test_advance_refuses_a_step_back(wall: Wall) -> None:
    """Advancing by a negative time is a ValueError, and the clock stays."""
    clock = scaled(wall)
    with pytest.raises(ValueError, match="cannot be set back"):
        clock.advance(timedelta(seconds=-1))
    assert clock.now() == START


def test_default_wall_is_the_machines() -> None:
    """Without a wall of its own the clock moves with the machine's time."""
    clock = ScaledClock(START, 1_000.0)
    first = clock.now()
    clock.sleep(0.002)
    assert START <= first < clock.now()


moves = st.lists(
    st.one_of(
        st.tuples(st.just("wall"), st.floats(-50, 500)),
        st.tuples(st.just("advance"), st.floats(0, 500)),
        st.tuples(st.just("stop"), st.just(0.0)),
        st.tuples(st.just("resume"), st.just(0.0)),
    ),
    max_size=30,
)


@given(moves)
def test_scaled_clock_never_runs_backwards(steps: list[tuple[str, float]]) -> None:
    """Whatever is done to clock and wall, what the clock shows never falls."""
    wall = Wall()
    clock = scaled(wall, 7.0)
    shown = clock.now()
    for step, amount in steps:
        if step == "wall":
            wall.seconds += amount
        elif step == "advance":
            clock.advance(timedelta(seconds=amount))
        elif step == "stop":
            clock.stop()
        else:
            clock.resume()
        assert clock.now() >= shown
        shown = clock.now()


# The tests' own clock


def test_manual_clock_is_a_clock(manual_clock: ManualClock) -> None:
    """The clock of the tests stands still but for sleeps, which take no time."""
    clock: Clock = manual_clock
    start = clock.now()
    assert clock.now() == start
    clock.sleep(90)
    assert clock.now() == start + timedelta(seconds=90)
    assert clock.monotonic() == 90
    assert clock.wall_seconds_until(start + timedelta(seconds=100)) == 10
    assert clock.wall_seconds_until(start) == 0
    stop = threading.Event()
    stop.set()
    clock.sleep(90, stop)
    assert manual_clock.advance(timedelta(hours=1)) == start + timedelta(hours=1, seconds=90)
    assert manual_clock.slept == [90]
    with pytest.raises(ValueError, match="set back"):
        manual_clock.advance(timedelta(seconds=-1))
