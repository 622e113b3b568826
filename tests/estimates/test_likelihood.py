"""The likelihood of bounds: solved by hand, and against scipy's distributions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from avatarkit.estimates import likelihood
from avatarkit.estimates.likelihood import Bounds, Distribution

STANDARD = {
    "log-normal": lambda location, scale: stats.lognorm(scale, scale=math.exp(location)),
    "Weibull": lambda location, scale: stats.weibull_min(1 / scale, scale=math.exp(location)),
}


def bounds(least: Any, most: Any) -> Bounds:
    """Visits whose beginning is known."""
    visit = np.arange(len(least))
    low, high = np.asarray(least, dtype="float64"), np.asarray(most, dtype="float64")
    return Bounds(low, high, np.ones(len(visit)), visit, visit)


def keeping(family: str) -> Distribution:
    """Return a fit that only says which family to keep to."""
    return Distribution(family, ((1.0, 0.5, 0.7),), 0.0, 0.0)


@pytest.mark.parametrize("family", likelihood.FAMILIES)
def test_two_bounds_that_all_share_are_solved_by_hand(family: str) -> None:
    """2 in (0, 1], 5 in (1, 4], 3 longer: the fit goes through S(1) = 0.8 and S(4) = 0.3."""
    data = bounds([0] * 2 + [1] * 5 + [4] * 3, [1] * 2 + [4] * 5 + [math.inf] * 3)
    one = likelihood.fit(data, like=keeping(family))
    assert one.survival(np.array([1.0, 4.0])) == pytest.approx([0.8, 0.3], abs=1e-3)
    assert one.n == 7


def test_exact_log_normal_times_by_hand() -> None:
    """Of times whose logarithms are 1, 2 and 3 the location is 2 and the scale √(2/3)."""
    times = np.exp([1.0, 2.0, 3.0])
    one = likelihood.fit(bounds(times, times), like=keeping("log-normal"))
    (_, location, scale), *_ = one.parts
    assert (location, scale) == pytest.approx((2, math.sqrt(2 / 3)), abs=1e-3)
    assert one.percentile(0.5) == pytest.approx(math.exp(2), rel=1e-3)


def test_times_that_are_cut_off_are_not_taken_for_their_length() -> None:
    """Times at the quantiles of an exponential of mean 10, cut off at 8 hours, give it back."""
    times = stats.expon(scale=10).ppf((np.arange(400) + 0.5) / 400)
    most = np.where(times > 8, math.inf, times)
    one = likelihood.fit(bounds(np.minimum(times, 8), most), like=keeping("Weibull"))
    (_, location, scale), *_ = one.parts
    assert (math.exp(location), scale) == pytest.approx((10, 1), rel=0.02)


@pytest.mark.parametrize("family", likelihood.FAMILIES)
def test_the_family_is_found(family: str) -> None:
    """Of times at the quantiles of a family, that family has the least AIC."""
    times = STANDARD[family](1.5, 0.4).ppf((np.arange(2_000) + 0.5) / 2_000)
    one = likelihood.fit(bounds(times * 0.99, times * 1.01))
    assert one.family == family
    (_, location, scale), *_ = one.parts
    assert (location, scale) == pytest.approx((1.5, 0.4), abs=0.01)


def test_two_speeds_need_a_mixture() -> None:
    """A stage that is quick or slow is fitted by two log-normals with both medians."""
    share = (np.arange(500) + 0.5) / 500
    times = np.concatenate(
        [
            2 * np.exp(0.2 * stats.norm.ppf(share)),
            40 * np.exp(0.2 * stats.norm.ppf(share)),
        ]
    )
    one = likelihood.fit(bounds(times, times))
    assert len(one.parts) >= 2
    assert one.percentile(0.25) == pytest.approx(2, rel=0.03)
    assert one.percentile(0.75) == pytest.approx(40, rel=0.03)


@pytest.mark.parametrize("family", likelihood.FAMILIES)
def test_survival_and_percentiles_are_those_of_scipy(family: str) -> None:
    """Each family is the distribution that scipy has under that name."""
    one = Distribution(family, ((1.0, 1.2, 0.6),), 0.0, 10)
    reference = STANDARD[family](1.2, 0.6)
    hours = np.array([-1.0, 0.0, 0.1, 1.0, 3.3, 20.0, math.inf])
    assert one.survival(hours) == pytest.approx(reference.sf(hours), abs=1e-12)
    for share in (0.01, 0.1, 0.5, 0.95):
        assert one.percentile(share) == pytest.approx(reference.ppf(share), rel=1e-6)


@settings(deadline=None, max_examples=25)
@given(
    family=st.sampled_from(likelihood.FAMILIES),
    visits=st.lists(
        st.tuples(st.floats(0.1, 50), st.floats(0.1, 20), st.floats(0.1, 5), st.booleans()),
        min_size=6,
        max_size=20,
    ),
)
def test_the_loss_is_the_likelihood_and_nothing_near_is_likelier(
    family: str, visits: list[tuple[float, float, float, bool]]
) -> None:
    """It sums over moments as defined, and is a maximum where the scale is within bounds."""
    least, most, weight, first = [], [], [], []
    for certain, gap, entry, running in visits:
        first.append(len(least))
        for share, since in ((0.25, 0.0), (0.75, entry)):
            least.append(certain + since)
            most.append(math.inf if running else certain + since + gap)
            weight.append(share)
    data = Bounds(
        *(np.array(values) for values in (least, most, weight)),
        np.array(first),
        np.repeat(np.arange(len(visits)), 2),
    )

    def loss(location: float, scale: float) -> float:
        reference = STANDARD[family](location, scale)
        chance = (reference.sf(data.lower) - reference.sf(data.upper)) * data.weight
        return -float(np.log(chance.reshape(-1, 2).sum(axis=1)).sum())

    one = likelihood.fit(data, like=keeping(family))
    (_, location, scale), *_ = one.parts
    assert one.loss == pytest.approx(loss(location, scale), rel=1e-6, abs=1e-6)
    for by in ((0.05, 0), (-0.05, 0), (0, 0.05), (0, -0.05)):
        if math.exp(-3) <= scale * math.exp(by[1]) <= math.exp(2.5):
            assert loss(location + by[0], scale * math.exp(by[1])) >= one.loss - 1e-3


def test_a_visit_that_counts_twice_is_two_visits() -> None:
    """A count is the same as the visit written down so often; zero leaves it out."""
    times = np.array([2.0, 3.0, 5.0, 8.0, 13.0, 1_000.0])
    counts = np.array([2.0, 1.0, 1.0, 3.0, 1.0, 0.0])
    counted = likelihood.fit(bounds(times, times), count=counts, like=keeping("log-normal"))
    written = np.repeat(times, counts.astype(int))
    again = likelihood.fit(bounds(written, written), like=keeping("log-normal"))
    assert counted.parts[0] == pytest.approx(again.parts[0], abs=1e-3)
    assert counted.n == again.n == 8


def test_few_visits_are_not_cut_into_parts() -> None:
    """Where a mixture would have as many parameters as visits, it is not tried."""
    times = np.array([1.0, 1.1, 1.2, 90.0, 100.0, 110.0])
    assert likelihood.fit(bounds(times, times)).family in likelihood.FAMILIES
    assert Distribution("log-normal", ((1.0, 0.0, 1.0),), 0.0, 3).aic == math.inf


def test_times_that_are_all_the_same_or_nothing() -> None:
    """What no distribution fits well still gives finite numbers."""
    for hours in (0.0, 3.0, 1e5):
        one = likelihood.fit(bounds([hours] * 6, [hours] * 6))
        assert math.isfinite(one.loss)
        assert one.percentile(0.5) == pytest.approx(hours, rel=0.1, abs=1e-3)
    apart = likelihood.fit(bounds([1e-6] * 5 + [1e6] * 5, [1e-6] * 5 + [1e6] * 5))
    assert math.isfinite(apart.percentile(0.99))


def test_chosen_visits_and_the_mean_of_their_moments() -> None:
    """A thinned and an averaged set keep each visit's moments together."""
    data = Bounds(
        np.array([1.0, 2.0, 5.0, 7.0, 8.0]),
        np.array([3.0, 4.0, math.inf, 9.0, 10.0]),
        np.array([0.25, 0.75, 1.0, 0.5, 0.5]),
        np.array([0, 2, 3]),
        np.array([0, 0, 1, 2, 2]),
    )
    thin = data.of(np.array([True, False, True]))
    assert thin.lower.tolist() == [1, 2, 7, 8]
    assert (thin.first.tolist(), thin.visit.tolist()) == ([0, 2], [0, 0, 1, 1])
    mean = data.averaged()
    assert mean.lower.tolist() == [1.75, 5, 7.5]
    assert mean.upper.tolist() == [3.75, math.inf, 9.5]


def test_a_moment_without_weight_counts_for_nothing_in_the_average() -> None:
    """An endless bound of a moment that cannot be does not make the average NaN."""
    data = Bounds(
        np.array([1.0, 2.0]),
        np.array([3.0, math.inf]),
        np.array([1.0, 0.0]),
        np.array([0]),
        np.array([0, 0]),
    )
    assert data.averaged().upper.tolist() == [3.0]
