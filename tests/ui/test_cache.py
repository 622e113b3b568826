"""Estimates for the pages: worked out once, beside the reruns, and not all the time."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from avatarkit.ui.cache import PAUSE, Kept
from conftest import ManualClock


class Work:
    """Counts how often it was done; ``gate`` holds it up, ``takes_s`` is what it takes."""

    def __init__(self, clock: ManualClock, *, takes_s: float = 2.0) -> None:
        self.clock, self.takes_s = clock, takes_s
        self.gate = threading.Event()
        self.gate.set()
        self.done = 0

    def __call__(self) -> int:
        assert self.gate.wait(30)
        self.clock.sleep(self.takes_s)
        self.done += 1
        return self.done


def get(kept: Kept[int], state: str, work: Callable[[], int]) -> int | None:
    return kept.get(state, work, first_s=None, next_s=None)


def test_the_same_log_is_worked_out_once(manual_clock: ManualClock) -> None:
    """As long as the state is the same the value is, however long that is."""
    kept, work = Kept[int](manual_clock), Work(manual_clock)
    assert [get(kept, "a", work) for _ in range(3)] == [1, 1, 1]
    manual_clock.sleep(1_000_000)
    assert get(kept, "a", work) == 1


def test_another_state_waits_until_ten_times_as_long_has_passed(manual_clock: ManualClock) -> None:
    """An estimate takes at most about a tenth of the machine's time."""
    kept, work = Kept[int](manual_clock), Work(manual_clock, takes_s=2.0)
    assert get(kept, "a", work) == 1
    manual_clock.sleep(2.0 * PAUSE - 0.1)
    assert get(kept, "b", work) == 1
    manual_clock.sleep(0.2)
    assert get(kept, "b", work) == 2
    assert get(kept, "b", work) == 2


def test_a_page_does_not_wait_for_long(manual_clock: ManualClock) -> None:
    """Without a value in time there is none; while a newer one is made there is the one before."""
    kept, work = Kept[int](manual_clock), Work(manual_clock, takes_s=0.0)
    work.gate.clear()
    assert kept.get("a", work, first_s=0.01) is None
    assert kept.get("a", work, first_s=0.01) is None
    work.gate.set()
    assert get(kept, "a", work) == 1
    work.gate.clear()
    manual_clock.sleep(1)
    assert kept.get("b", work, next_s=0.01) == 1
    work.gate.set()
    assert get(kept, "b", work) == 2
    assert work.done == 2


def test_who_asks_again_in_the_same_rerun_does_not_wait_again(manual_clock: ManualClock) -> None:
    """The wait is from the beginning of the work, so that waits do not add up."""
    kept, work = Kept[int](manual_clock), Work(manual_clock)
    work.gate.clear()
    assert kept.get("a", work, first_s=0.0) is None
    manual_clock.sleep(60)
    # Would take a minute of the wall if it were waited for anew.
    assert kept.get("a", work, first_s=60.0) is None
    work.gate.set()
    assert get(kept, "a", work) == 1


def test_two_tabs_share_one_piece_of_work(manual_clock: ManualClock) -> None:
    """Who asks while it is worked out waits for the same value."""
    kept, work = Kept[int](manual_clock), Work(manual_clock, takes_s=0.0)
    work.gate.clear()
    found: list[int | None] = []
    tabs = [threading.Thread(target=lambda: found.append(get(kept, "a", work))) for _ in range(4)]
    for tab in tabs:
        tab.start()
    work.gate.set()
    for tab in tabs:
        tab.join(30)
    assert found == [1, 1, 1, 1]
    assert work.done == 1


def test_what_the_work_raised_is_raised_and_tried_again(manual_clock: ManualClock) -> None:
    """An error reaches the page; the next rerun tries anew."""
    kept = Kept[int](manual_clock)

    def fail() -> int:
        raise OSError("The disk is full.")

    with pytest.raises(OSError, match="disk is full"):
        get(kept, "a", fail)
    assert get(kept, "a", Work(manual_clock)) == 1
