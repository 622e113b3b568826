"""The vendor's claim of the total time, and how lives correct it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from test_eta import at, log, reviews

from avatarkit import stages
from avatarkit.estimates import claim, work_clock


def percentiles(lives: pd.DataFrame) -> list[float]:
    """Return p10, p50 and p90 of the claim that these lives correct, in hours."""
    time, share = claim.total_time(lives, work_clock.WALL)
    return np.interp([0.1, 0.5, 0.9], share, time).tolist()


def ended(*hours: float, gap: float, end: str = "done") -> pd.DataFrame:
    """Return the lives of reviews of so many hours, sent that many hours apart."""
    frame = log(reviews(*hours, gap=gap, end=end))
    return stages.lives(frame, now=at(9_000).to_pydatetime())


def test_lives_within_an_hour_of_each_other_are_one_batch() -> None:
    """A batch goes on while the next life follows within an hour, in any order of the rows."""
    assert claim.batches(np.array([9.0, 0.0, 0.5, 1.4, 2.5])).tolist() == [3, 1, 1, 1, 2]
    assert claim.batches(np.array([])).size == 0


def test_without_lives_it_is_the_claim() -> None:
    """The percentiles are those that the vendor claims."""
    low, _, high = percentiles(ended(gap=0.0))
    assert (low, high) == pytest.approx(claim.CLAIMED_H, rel=0.02)


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_with_each_batch_it_moves_to_the_pace_that_was_seen(factor: float) -> None:
    """Batches of ten that take half or twice as long move the median there, and narrow the range.

    As many lives of one batch move it less.
    """
    hours = [claim.MEDIAN_H * factor] * 60
    together = percentiles(ended(*hours, gap=0.0))
    apart = percentiles(ended(*hours, gap=10.0))
    assert apart[1] == pytest.approx(claim.MEDIAN_H * factor, rel=0.1)
    assert abs(np.log(together[1] / claim.MEDIAN_H)) < abs(np.log(apart[1] / claim.MEDIAN_H))
    assert apart[2] / apart[0] < together[2] / together[0] < claim.CLAIMED_H[1] / claim.CLAIMED_H[0]


def test_early_failures_do_not_make_it_quicker() -> None:
    """A failure says only that the life would have taken longer."""
    assert percentiles(ended(*[3.0] * 20, gap=2.0, end="failed"))[1] >= claim.MEDIAN_H * 0.99
