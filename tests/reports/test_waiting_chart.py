"""Cycle time: whether waiting times have changed."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

import altair as alt
import numpy as np
import pandas as pd
import pytest

from avatarkit import charts, flow
from support.chart_frames import MONDAY, totals, waits
from support.chart_specs import axes, layers


def draw(frame: pd.DataFrame) -> alt.LayerChart:
    return charts.waiting(frame, flow.waiting_percentiles(frame))


def rows_of(chart: alt.LayerChart, mark: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for layer in layers(chart):
        if layer["mark"]["type"] == mark:
            found += [row for row in layer["rows"] if mark != "point" or "submitted" in row]
    return found


def test_few_are_points_with_their_bounds() -> None:
    """Up to sixty, each total stands in the middle of a line from its least to its most."""
    chart = draw(totals((0, "done", 10, 20), (1, "failed", 4, 4), (2, "running", 6, float("inf"))))
    points = {row["part"]: row for row in rows_of(chart, "point") if "part" in row}
    assert {part: row["at_h"] for part, row in points.items()} == {
        "Done": 15,
        "Failed": 4,
        "Running": 6,
    }
    assert points["Done"]["took"] == "10 h to 20 h"
    assert points["Running"]["took"] == "6 h so far"
    assert [(row["low"], row["high"]) for row in rows_of(chart, "rule")] == [(10, 20)]
    assert axes(chart) == {"x": "Submitted (UTC)", "y": "Total time in hours"}


def test_percentiles_are_lines_of_their_own_dashes() -> None:
    """Each period has a line for half, nine of ten and one in ten, told apart by dashes."""
    frame = waits(2000)
    chart = draw(frame)
    expected = flow.waiting_percentiles(frame)
    lines = [row for row in rows_of(chart, "rule") if "hours" in row]
    for part, name in (
        ("half took at most", "p50_h"),
        ("9 of 10 took at most", "p90_h"),
        ("1 in 10 took at most", "p10_h"),
    ):
        drawn = [row["hours"] for row in lines if row["part"] == part]
        assert drawn == expected[name].dropna().tolist()
    scale = layers(chart)[-2]["encoding"]["strokeDash"]["scale"]
    dashes = dict(zip(scale["domain"], map(tuple, scale["range"]), strict=True))
    assert len({dashes[part] for part in {row["part"] for row in lines}}) == 3
    shapes = layers(chart)[1]["encoding"]["shape"]["scale"]["range"]
    assert len(set(shapes)) == len(shapes)
    names = layers(chart)[-1]["encoding"]["y"]["axis"]["labelExpr"]
    assert [name for name in ("half by", "9 of 10 by", "1 in 10 by") if name not in names] == []


def test_of_many_some_are_drawn_evenly_over_time_and_said() -> None:
    """Of 2,000 six hundred points are drawn, in no month more than in others."""
    chart = draw(waits(2000))
    points = rows_of(chart, "point")
    days = [(pd.Timestamp(row["submitted_at"]) - MONDAY).days for row in points]
    by_month = np.bincount(np.array(days) // 28)
    assert by_month.tolist() == pytest.approx([120] * 5, abs=2)
    assert axes(chart)["x"] == "Submitted (UTC); 600 of 2,000 drawn"


def test_an_endless_wait_is_an_arrow_at_the_end() -> None:
    """One that takes far longer than the others does not squeeze them."""
    others = [(n / 10, "done", 10.0, 12.0) for n in range(20)]
    chart = draw(totals(*others, (3, "running", 999, float("inf"))))
    (beyond,) = [row for row in rows_of(chart, "point") if row.get("beyond")]
    end = layers(chart)[0]["encoding"]["y"]["scale"]["domain"][1]
    assert 20 < beyond["at_h"] < end < 30
    assert beyond["took"] == "41 d 15 h so far"
    assert axes(chart)["x"] == "Submitted (UTC)\nArrows: longer than shown"


def test_the_axis_spans_whole_days() -> None:
    """One persona alone stands within its day; lines end with the last day."""
    chart = draw(totals((0.5, "done", 10, 11)))
    point = layers(chart)[-1]
    assert point["encoding"]["x"]["scale"]["domain"] == [
        *("2026-03-02T00:00:00Z", "2026-03-03T00:00:00Z")
    ]
    frame = totals(*((n / 10, "done", 10.0, 12.0) for n in range(1, 20)))
    ends = {row["until"] for row in rows_of(draw(frame), "rule") if "until" in row}
    assert {pd.Timestamp(end) for end in ends} == {pd.Timestamp("2026-03-04", tz="UTC")}


def test_submissions_are_in_utc_or_in_the_zone_of_the_browser() -> None:
    """The axis names the zone, and the tooltips are of the same one."""
    frame = totals(*((n / 10, "done", 10.0, 12.0) for n in range(20)))
    chart = charts.waiting(frame, flow.waiting_percentiles(frame), zone=ZoneInfo("Asia/Dubai"))
    x = layers(chart)[0]["encoding"]["x"]
    assert (x["title"], x["scale"]["type"]) == ("Submitted (UTC+04)", "time")
    assert "timeFormat" in x["axis"]["labelExpr"]
    assert min(row["submitted"] for row in rows_of(chart, "point")) == "2026-03-02 04:00:00 +04"
    assert "submitted" in [tip["field"] for tip in layers(chart)[1]["encoding"]["tooltip"]]
