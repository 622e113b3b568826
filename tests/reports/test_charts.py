"""All charts: one style at any size, and a sentence where there is nothing."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from avatarkit import charts, durations, flow
from avatarkit.text import stage_name
from support.chart_frames import (
    MONDAY,
    arrivals,
    counts,
    incidence,
    lives,
    many,
    medians,
    summary,
    totals,
    visits,
    waits,
)
from support.chart_specs import axes, check_house_style, words


def test_empty_frames_say_that_there_is_nothing_yet() -> None:
    """Without data each chart says so, under the question that it would have answered."""
    none, unseen = totals().head(0), visits()
    for chart in (
        charts.aging(arrivals(), medians()),
        charts.cumulative_flow(counts()),
        charts.cumulative_flow(counts({})),
        charts.outcomes(incidence()),
        charts.outcomes(incidence().head(0)),
        charts.stage_times(durations.summarize(unseen), unseen),
        charts.stage_times(durations.summarize(unseen).head(0)),
        charts.survival(durations.survival(unseen)),
        charts.timeline(unseen, now=MONDAY),
        charts.waiting(none, flow.waiting_percentiles(none)),
    ):
        assert words(chart) == [charts.NOTHING] == ["Nothing to show yet"]
        check_house_style(chart)


@pytest.mark.parametrize(
    "number", [1, *(pytest.param(n, marks=pytest.mark.long) for n in (12, 2000))]
)
def test_charts_stay_small_and_quiet_at_any_size(number: int) -> None:
    """From 1 to 2,000 personas: questions, units, the statuses' colours, few rows."""
    days = [{"pending": 3, "reviewing": 5, "done": n} for n in range(min(number, 900))]
    steps = np.linspace(1, 200, number)
    curve = [(h, (i + 1) / number, number - i) for i, h in enumerate(steps.tolist())]
    waiting, frame = waits(number), lives(number, running=number // 4)
    one = frame.loc[frame["persona_id"] == "p0000"]
    drawn = [
        ("Hours in the stage", charts.aging(many(number), medians(reviewing=20))),
        ("Day (UTC)", charts.cumulative_flow(counts(*days))),
        ("Hours since", charts.outcomes(incidence(done=curve))),
        ("Hours", charts.stage_times(summary(number, [12] * 6), frame)),
        ("Time (UTC)", charts.timeline(one, now=MONDAY + timedelta(days=9))),
        ("Submitted (UTC)", charts.waiting(waiting, flow.waiting_percentiles(waiting))),
    ]
    for unit, chart in drawn:
        check_house_style(chart)
        assert axes(chart)["x"].startswith(unit)


@pytest.mark.parametrize(
    ("stage", "name"),
    [("crop_and_matte", "Crop and matte"), ("quality_check", "Quality check"), ("_", "_")],
)
def test_stages_are_named_as_people_read_them(stage: str, name: str) -> None:
    """Known and unknown statuses read as words."""
    assert stage_name(stage) == name
