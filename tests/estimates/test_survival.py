"""Nonparametric curves: against published answers, and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avatarkit.estimates import survival

# Freireich et al. 1963, remission of leukaemia in weeks under 6-MP; negative: still in remission.
REMISSION = [
    *(6, 6, 6, -6, 7, -9, 10, -10, -11, 13, 16),
    *(-17, -19, -20, 22, 23, -25, -32, -32, -34, -35),
]
# Finkelstein and Wolfe 1985, months to cosmetic deterioration of the breast after radiotherapy.
COSMESIS = [
    *((0, 7), (0, 8), (0, 5), (4, 11), (5, 12), (5, 11), (6, 10), (7, 16), (7, 14), (11, 15)),
    *((11, 18), (17, 25), (17, 25), (19, 35), (18, 26), (25, 37), (26, 40), (27, 34), (36, 44)),
    *((36, 48), (37, 44)),
]
COSMESIS_WITHOUT = [
    *(15, 17, 18, 22, 24, 24, 32, 33, 34, 36, 36, 37, 37, 37, 38, 40, 45),
    *[46] * 8,
]


def test_kaplan_meier_of_published_data() -> None:
    """The 6-MP arm of Freireich's trial: S(10) = .7529, S(22) = .5378, median 23 weeks."""
    curve = survival.kaplan_meier(np.abs(REMISSION), np.array(REMISSION) > 0)
    share = curve.set_index("time_h")["survival"]
    published = {6: 0.8571, 7: 0.8067, 10: 0.7529, 13: 0.6902, 16: 0.6275, 22: 0.5378, 23: 0.4482}
    for week, expected in published.items():
        assert share[week] == pytest.approx(expected, abs=5e-5)
    assert curve["at_risk"].tolist()[:4] == [21, 17, 16, 15]
    assert curve["ended"].tolist()[:4] == [3, 1, 0, 1]
    assert survival.percentile(curve, 0.5) == 23
    assert survival.percentile(curve, 0.1) == 6
    assert math.isnan(survival.percentile(curve, 0.9))


def test_kaplan_meier_of_nothing_and_of_nothing_ended() -> None:
    """Without times there is no curve; when nothing has ended it stays at one."""
    empty = survival.kaplan_meier([], [])
    assert empty.empty
    assert math.isnan(survival.percentile(empty, 0.5))
    flat = survival.kaplan_meier([1, 2], [False, False])
    assert flat["survival"].tolist() == [1, 1]
    assert flat["ended"].tolist() == [0, 0]


def test_turnbull_of_published_data() -> None:
    """The radiotherapy arm of the cosmesis data has the published mass in each interval.

    Source: Finkelstein and Wolfe, Biometrics 41 (1985), 933-945; the masses as Fay and Shaw print
    them, Journal of Statistical Software 36 (2010), issue 2, section 3.
    """
    pairs = [*COSMESIS, *((month, math.inf) for month in COSMESIS_WITHOUT)]
    curve = survival.turnbull(*zip(*pairs, strict=True))

    mass = -curve.set_index("time_h")["survival"].diff().fillna(0)
    months, shares = (5, 7, 8, 12, 25, 34, 40, 48), (463, 334, 887, 708, 926, 818, 1209, 4656)
    published = {month: share / 10_000 for month, share in zip(months, shares, strict=True)}
    for month, share in published.items():
        assert mass[month] == pytest.approx(share, abs=6e-5)
    assert mass.drop(list(published)).abs().max() < 1e-4


def test_turnbull_by_hand() -> None:
    """Two in (0, 1], one in (1, 2] and one in (0, 2]: the likelihood p²(1 - p) has p = 2/3."""
    curve = survival.turnbull([0, 0, 1, 0], [1, 1, 2, 2]).set_index("time_h")["survival"]
    assert curve[1] == pytest.approx(1 / 3, abs=1e-6)
    assert curve[2] == pytest.approx(0, abs=1e-6)


def test_turnbull_of_nothing() -> None:
    """Without times there is no curve, and its columns are the same."""
    empty = survival.turnbull([], [])
    assert empty.empty
    assert list(empty.columns) == list(survival.turnbull([0.0, 1.0], [1.0, 2.0]).columns)


def test_the_band_is_the_published_one_where_times_are_exact() -> None:
    """6-MP: at ten weeks the log-log band of .7529 is .5032 to .8894 (as R's survfit prints it)."""
    times = np.abs(REMISSION).astype("float64")
    most = np.where(np.array(REMISSION) > 0, times, math.inf)
    curve = survival.turnbull(times, most)
    at = curve.loc[curve["time_h"] <= 10].iloc[-1]
    assert at["survival"] == pytest.approx(0.7529, abs=5e-5)
    assert (at["low"], at["high"]) == pytest.approx((0.5032, 0.8894), abs=2e-3)


@given(
    st.lists(
        st.tuples(st.floats(0, 1e4), st.one_of(st.floats(0.01, 1e3), st.just(math.inf))),
        min_size=1,
        max_size=30,
    )
)
def test_a_curve_comes_down_within_its_band(pairs: list[tuple[float, float]]) -> None:
    """Whatever the bounds, the curve never rises, and stays within a band within 0 and 1."""
    least = np.array([low for low, _ in pairs])
    curve = survival.turnbull(least, least + np.array([width for _, width in pairs]))
    share = curve["survival"].to_numpy()
    assert (np.diff(share) <= 1e-9).all()
    assert ((curve["low"] <= share + 1e-9) & (share <= curve["high"] + 1e-9)).all()
    assert curve[["low", "high"]].stack().between(0, 1).all()
