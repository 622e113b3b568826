"""The chart of the fit beside what was counted."""

from __future__ import annotations

from functools import cache

import pandas as pd
import pytest

from avatarkit import charts, durations, stages
from support import simulated
from support.chart_specs import layers


@cache
def curves() -> pd.DataFrame:
    """Return the curves of lives that were polled every half an hour."""
    these = simulated.lives("log-normal", seed=3, personas=60)
    sightings, now = simulated.sightings(these, 0.5, seed=3)
    return durations.survival(stages.visits(sightings, now=now))


def of(stage: str) -> pd.DataFrame:
    return curves().loc[curves()["stage"] == stage]


def test_both_curves_are_drawn_over_hours_with_a_band() -> None:
    """A line and dashed steps, told apart without colour, and the band around the steps."""
    chart = charts.survival(of("reviewing"))
    assert chart.to_dict()["title"]["text"] == "Does the fit agree with what was counted?"
    steps, line, band = layers(chart)
    assert steps["mark"]["interpolate"] == "step-after"
    assert line["encoding"]["strokeDash"]["field"] == "curve"
    assert (band["encoding"]["y"]["field"], band["encoding"]["y2"]["field"]) == ("low", "high")
    assert line["encoding"]["x"]["title"] == "Hours in reviewing"
    assert line["encoding"]["y"]["title"] == "Share that takes longer"
    rows = steps["rows"]
    assert (rows[0]["time_h"], rows[0]["survival"]) == (0, 1)
    assert len(rows) < 300


def test_where_times_are_hardly_known_only_the_fit_is_drawn() -> None:
    """The legend names what is there and no more."""
    fitted = of("reviewing").loc[of("reviewing")["curve"] == "fitted"]
    spec = charts.survival(fitted).to_dict()
    assert len(spec["layer"]) == 1
    assert spec["layer"][0]["encoding"]["strokeDash"]["legend"]["values"] == ["Fitted"]


def test_it_is_of_one_stage() -> None:
    """Curves of several stages are refused in a sentence."""
    with pytest.raises(ValueError, match="choose the rows of one stage"):
        charts.survival(curves())
