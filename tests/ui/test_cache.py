"""Values computed beside the pages: once for all tabs, and at most 10 % of the time."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from avatarkit import Persona
from avatarkit.clock import ScaledClock
from avatarkit.ui import cache
from avatarkit.ui.cache import FIRST_WAIT_S, PAUSE, REFRESH_WAIT_S, BackgroundValue
from avatarkit.ui.running import Running
from support.app_pages import record, record_lives
from support.manual_clock import MONDAY, ManualClock


class Computation:
    """Counts its calls; ``gate`` holds it up, and it takes ``takes_s`` of the clock."""

    def __init__(self, clock: ManualClock, *, takes_s: float = 2.0) -> None:
        self.clock, self.takes_s = clock, takes_s
        self.gate = threading.Event()
        self.gate.set()
        self.calls = 0

    def __call__(self) -> int:
        assert self.gate.wait(300)
        self.clock.sleep(self.takes_s)
        self.calls += 1
        return self.calls


def get(value: BackgroundValue[int], key: str, compute: Callable[[], int]) -> int | None:
    return value.get(key, compute, wait_s=math.inf)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Record the wall seconds that pages would have waited, instead of waiting."""
    waits: list[float] = []
    wait = cache.wait

    def record(futures: Any, timeout: float | None) -> None:
        if timeout is None:
            wait(futures)
        else:
            waits.append(timeout)

    monkeypatch.setattr(cache, "wait", record)
    return waits


def test_the_same_log_is_computed_once(manual_clock: ManualClock) -> None:
    """As long as the key is the same the value is, however long that is."""
    value, compute = BackgroundValue[int](manual_clock), Computation(manual_clock)
    assert [get(value, "a", compute) for _ in range(3)] == [1, 1, 1]
    manual_clock.sleep(1_000_000)
    assert get(value, "a", compute) == 1


def test_another_key_waits_until_ten_times_as_long_has_passed(manual_clock: ManualClock) -> None:
    """An estimate takes at most about a tenth of the machine's time."""
    value, compute = BackgroundValue[int](manual_clock), Computation(manual_clock, takes_s=2.0)
    assert get(value, "a", compute) == 1
    manual_clock.sleep(2.0 * PAUSE - 0.1)
    assert get(value, "b", compute) == 1
    manual_clock.sleep(0.2)
    assert get(value, "b", compute) == 2
    assert get(value, "b", compute) == 2


def test_a_page_does_not_wait_for_long(manual_clock: ManualClock, waits: list[float]) -> None:
    """Without a value in time there is none; while a newer one is made there is the one before."""
    value, compute = BackgroundValue[int](manual_clock), Computation(manual_clock, takes_s=0.0)
    compute.gate.clear()
    assert value.get("a", compute) is None
    compute.gate.set()
    assert get(value, "a", compute) == 1
    compute.gate.clear()
    assert value.get("b", compute) == 1
    compute.gate.set()
    assert get(value, "b", compute) == 2
    assert waits == [FIRST_WAIT_S, REFRESH_WAIT_S]


def test_a_second_call_does_not_wait_again(manual_clock: ManualClock, waits: list[float]) -> None:
    """The wait is counted from the beginning of the computation, so that waits do not add up."""
    value, compute = BackgroundValue[int](manual_clock), Computation(manual_clock)
    compute.gate.clear()
    for _ in range(3):
        assert value.get("a", compute) is None
        manual_clock.sleep(2.0)
    compute.gate.set()
    assert get(value, "a", compute) == 1
    assert waits == pytest.approx([FIRST_WAIT_S, FIRST_WAIT_S - 2.0, 0.0])


def test_two_tabs_share_one_computation(manual_clock: ManualClock) -> None:
    """A tab that asks while the value is computed waits for the same one."""
    value, compute = BackgroundValue[int](manual_clock), Computation(manual_clock, takes_s=0.0)
    compute.gate.clear()
    with ThreadPoolExecutor(4) as tabs:
        found = [tabs.submit(get, value, "a", compute) for _ in range(4)]
        compute.gate.set()
    assert [tab.result() for tab in found] == [1, 1, 1, 1]
    assert compute.calls == 1


def test_an_error_is_raised_and_the_value_computed_again(manual_clock: ManualClock) -> None:
    """An error reaches the page; the next rerun computes again."""
    value = BackgroundValue[int](manual_clock)

    def fail() -> int:
        raise OSError("The disk is full.")

    with pytest.raises(OSError, match="disk is full"):
        get(value, "a", fail)
    assert get(value, "a", Computation(manual_clock)) == 1


def test_the_first_estimates_are_there_before_a_page(
    app: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Begun at the server's start, they are those that the first page shows."""
    record_lives(app.session, 3, running=1)
    app.estimates.start().join()
    log = app.estimates.log()
    # Nothing is computed from now on.
    monkeypatch.setattr(cache, "durations", None)
    monkeypatch.setattr(cache, "eta", None)
    assert app.estimates.get(cache.Log.stage_times, log) is not None
    assert app.estimates.arrivals(log) is not None


def test_a_server_does_not_wait_for_long(app: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """It answers while its first estimates are computed; they are not begun again."""
    gate, fit = threading.Event(), cache.durations.fit
    calls: list[int] = []

    def slow(visits: pd.DataFrame) -> Any:
        calls.append(1)
        assert gate.wait(300)
        return fit(visits)

    monkeypatch.setattr(cache, "START_WAIT_S", 0.0)
    monkeypatch.setattr(cache.durations, "fit", slow)
    record_lives(app.session, 3, running=1)
    thread = app.estimates.start()
    assert thread.is_alive()
    gate.set()
    thread.join()
    assert app.estimates.arrivals(app.estimates.log()) is not None
    assert calls == [1]


def test_a_change_of_the_log_is_seen_at_once(app: Running) -> None:
    """While nothing is computed for long, a page shows the log as it is."""
    record_lives(app.session, 3)
    assert len(app.estimates.log().personas) == 3
    record_lives(app.session, 4)
    log = app.estimates.log()
    assert len(log.personas) == 4


def test_a_change_is_seen_while_estimates_are_computed(app: Running, waits: list[float]) -> None:
    """However many of them there are, and however long they take."""
    estimates, gate = app.estimates, threading.Event()
    log = estimates.log()
    try:
        for _ in range(4):
            estimates.get(lambda _: gate.wait(300), log)
        record(app.session, Persona(id="a", process_status="pending"))
        until(lambda: list(estimates.log().personas["persona_id"]) == ["a"], seconds=60)
    finally:
        gate.set()


def test_another_data_folder_has_estimates_of_its_own(
    app: Running, restart: Callable[..., Running], tmp_path: Path
) -> None:
    """What was computed for one account or folder is never shown for another."""
    record_lives(app.session, 3)
    assert len(app.estimates.log().personas) == 3
    assert restart(data_dir=tmp_path / "other").estimates.log().personas.empty
    assert len(restart().estimates.log().personas) == 3


def test_a_newer_value_is_drawn_once_if_an_older_one_was_shown(
    manual_clock: ManualClock, waits: list[float]
) -> None:
    """A page that did not wait for it is drawn again, one that got it is not."""
    drawn: list[int] = []
    value = BackgroundValue[int](manual_clock, on_newer=lambda: drawn.append(1))
    compute = Computation(manual_clock, takes_s=0.0)
    assert get(value, "a", compute) == 1
    assert not drawn
    compute.gate.clear()
    assert value.get("b", compute) == 1
    compute.gate.set()
    assert get(value, "b", compute) == 2
    until(lambda: drawn == [1])
    value.resume()
    assert drawn == [1]


def test_what_was_not_due_is_computed_later(manual_clock: ManualClock) -> None:
    """No page has to ask again."""
    value, compute = BackgroundValue[int](manual_clock), Computation(manual_clock, takes_s=2.0)
    assert get(value, "a", compute) == 1
    assert get(value, "b", compute) == 1
    value.resume()
    assert compute.calls == 1
    manual_clock.sleep(2.0 * PAUSE)
    value.resume()
    assert get(value, "b", compute) == 2


def compared(clock: ManualClock) -> tuple[BackgroundValue[int], list[int]]:
    """Return a value that looks new when it has grown by 2, and a list that grows with that."""
    drawn: list[int] = []
    value = BackgroundValue[int](
        clock,
        on_newer=lambda: drawn.append(1),
        looks_new=lambda before, after: after - before > 1,
    )
    return value, drawn


def test_a_value_that_looks_the_same_draws_nothing(
    manual_clock: ManualClock, waits: list[float]
) -> None:
    """It is compared with what was shown, not with the last one, so that small steps add up."""
    value, drawn = compared(manual_clock)
    compute = Computation(manual_clock, takes_s=0.0)
    assert get(value, "a", compute) == 1
    for key, is_new in (("b", False), ("c", True)):
        value.prepare(key, compute)
        until(lambda key=key: value._key == key)  # type: ignore[misc]
        assert bool(drawn) == is_new


def test_what_one_tab_has_got_is_drawn_in_the_others(
    manual_clock: ManualClock, waits: list[float]
) -> None:
    """A tab that is opened, or a sentence that renews itself, gets a value; the tables have not."""
    value, drawn = compared(manual_clock)
    compute = Computation(manual_clock, takes_s=0.0)
    for key, times in (("a", 0), ("b", 0), ("c", 1), ("d", 1), ("e", 2)):
        get(value, key, compute)
        assert len(drawn) == times


def test_polls_that_find_nothing_new_are_read_every_five_minutes(
    app: Running, app_clock: ManualClock
) -> None:
    """How long an avatar has been in its stage is known from them; a fit is not made again."""
    [persona_id] = record_lives(app.session, 0, running=1)
    log = app.estimates.log()
    app_clock.advance(timedelta(seconds=299))
    assert app.estimates.log() is log
    record(app.session, Persona(id=persona_id, process_status="reviewing"))
    app_clock.advance(timedelta(seconds=1))
    later = app.estimates.log()
    assert later.sightings["last_seen_at"].max() > log.sightings["last_seen_at"].max()
    assert later.key == log.key


def test_time_alone_makes_an_avatar_late(app: Running, app_clock: ManualClock) -> None:
    """Nothing is asked for and no status changes; the pages are drawn again."""
    record_lives(app.session, 8, running=1)
    estimates = app.estimates

    def is_late() -> bool:
        arrivals = estimates.arrivals(estimates.log(), wait_s=math.inf)
        assert arrivals is not None
        return bool(arrivals["late"].any())

    assert not is_late()
    before = estimates.version
    for _ in range(100):
        app_clock.advance(timedelta(hours=1))
        record(app.session, Persona(id="lived-008", process_status="reviewing"))
    state = app.session.store.state_key()
    until(lambda: (estimates.refresh(state), estimates.version > before)[1])
    assert is_late()


@pytest.mark.parametrize(("speed", "every_s"), [(2.0, 150), (2_400.0, 60)])
def test_a_log_without_a_change_is_read_again_after_minutes(
    app: Running, speed: float, every_s: int
) -> None:
    """After five minutes of the session's clock, but not more often than once a minute of ours."""
    wall_s = 0.0

    class Clock(ScaledClock):
        def monotonic(self) -> float:
            return wall_s

    estimates = cache.Estimates(app.session.store, Clock(MONDAY, speed))
    first = estimates.log()
    wall_s = every_s - 1
    assert estimates.log() is first
    wall_s = every_s
    assert estimates.log() is not first


def test_what_has_ended_has_no_arrival(app: Running, app_clock: ManualClock) -> None:
    """Until the arrivals of the newest log are computed, those of the log before are shown."""
    ended, moved, same = record_lives(app.session, 0, running=3)
    estimates = app.estimates
    before = estimates.arrivals(estimates.log(), wait_s=math.inf)
    assert before is not None
    before["late"] = True
    app_clock.advance(timedelta(minutes=1))
    record(app.session, Persona(id=ended, process_status="done"))
    record(app.session, Persona(id=moved, process_status="processing"))
    estimates._arrivals._due_s = float("inf")  # so that they are not computed yet
    log = estimates.log()
    arrivals = estimates.arrivals(log)
    assert arrivals is not None
    assert arrivals.set_index("persona_id")["late"].to_dict() == {moved: False, same: True}
    assert estimates.arrivals(log) is arrivals


def until(is_true: Callable[[], bool], seconds: int = 300) -> None:
    """Wait for a thread."""
    for _ in range(100 * seconds):
        if is_true():
            return
        threading.Event().wait(0.01)
    pytest.fail("It did not come about.")
