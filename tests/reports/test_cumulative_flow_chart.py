"""Cumulative flow: how much is in flight."""

from __future__ import annotations

import json

import altair as alt
import pandas as pd

from avatarkit import charts
from avatarkit.reports.charts import style
from support.chart_frames import counts
from support.chart_specs import axes, layers


def bands(chart: alt.LayerChart) -> dict[str, list[tuple[float, float]]]:
    found: dict[str, list[tuple[float, float]]] = {}
    for row in layers(chart)[0]["rows"]:
        found.setdefault(row["status"], []).append((row["bottom"], row["top"]))
    return found


def test_ends_are_at_the_bottom_and_the_last_stage_next() -> None:
    """What is above the ends is as thick as what is in flight, in the API's order."""
    chart = charts.cumulative_flow(
        counts(
            {"pending": 3},
            {"pending": 1, "reviewing": 2, "done": 1, "failed": 1},
        )
    )
    assert bands(chart) == {
        "Failed": [(0, 1)],
        "Done": [(1, 2)],
        "Reviewing": [(2, 4)],
        "Pending": [(0, 3), (4, 5)],
    }
    encoding = layers(chart)[0]["encoding"]
    assert encoding["color"]["legend"] is None
    assert axes(chart) == {"x": "Day (UTC)", "y": "Avatars"}
    zoned = charts.cumulative_flow(counts({"pending": 3}), zone="EST")
    assert axes(zoned)["x"] == "Day (EST)"
    assert layers(chart)[0]["rows"][0]["date"] == "2026-03-02"
    assert [row["flying"] for row in layers(chart)[0]["rows"]][-1] == 3


def test_a_status_has_one_colour_whichever_others_are_there() -> None:
    """Done is the same colour on a day of one status as on a day of nine."""
    scales = [
        layers(charts.cumulative_flow(counts(day)))[0]["encoding"]["color"]["scale"]["domain"]
        for day in ({"done": 2}, {"pending": 1, "done": 2, "polishing": 1})
    ]
    assert scales[0] == scales[1][:9]
    assert scales[1][9:] == ["Polishing"]


def test_every_band_is_named_beside_the_last_day() -> None:
    """Who reads no colours has all names, in the order of the stack, also of an empty status."""
    day = {"pending": 5, "reviewing": 9, "crop_and_matte": 4, "failed": 0, "done": 6}
    chart = charts.cumulative_flow(counts(day, {**day, "rejected": 1, "done": 5}))
    axis = layers(chart)[2]["encoding"]["y"]["axis"]
    assert axis["orient"] == "right"
    names = json.loads(axis["labelExpr"].removeprefix("split(").partition("[")[0])
    assert list(names.values()) == ["Rejected", "Done", "Reviewing", "Crop and matte", "Pending"]
    swatches = {
        item["test"].split("'")[-2]: item["value"] for item in axis["tickColor"]["condition"]
    }
    assert swatches == {
        place: style.STATUS_COLORS[name.lower().replace(" ", "_")] for place, name in names.items()
    }
    assert [f"{value:g}" for value in axis["values"]] == list(names)
    assert chart.to_dict()["resolve"] == {"axis": {"y": "independent"}}


def test_bands_that_touch_are_parted_without_colour() -> None:
    """A line in the page's colour lies on every edge, also between two of one lightness."""
    days = [{"crop_and_matte": 3, "done": 4}, {"pending": 2, "reviewing": 1, "done": 5}]
    for chart, mark in (
        (charts.cumulative_flow(counts(*days)), "rule"),
        (charts.cumulative_flow(counts(*days * 10)), "line"),
    ):
        edges = layers(chart)[1]
        assert edges["mark"]["type"] == mark
        assert edges["encoding"]["color"] == {"value": {"expr": "background"}}
        assert edges["encoding"]["y"]["field"] == "top"
        bands = [row | {"_layer": 0} for row in layers(chart)[0]["rows"]]
        assert [row | {"_layer": 0} for row in edges["rows"]] == bands
    many = charts.cumulative_flow(counts(*days * 31))
    assert [layer["mark"]["type"] for layer in layers(many)] == ["area", "point"]


def test_bars_that_are_thick_enough_are_named_within() -> None:
    """All days but the last, which has its names beside it, name their statuses."""
    day = {"crop_and_matte": 30, "reviewing": 1, "done": 40}
    words = layers(charts.cumulative_flow(counts(day, {"pending": 9, **day})))[3]
    assert words["mark"]["type"] == "text"
    named = {row["status"]: row for row in words["rows"]}
    assert set(named) == {"Crop and matte", "Done"}
    assert {row["noon"] for row in words["rows"]} == {"2026-03-02T12:00:00+00:00"}
    assert named["Crop and matte"]["middle"] == 56
    assert named["Crop and matte"]["word"] == "Crop"
    # The width is the page's, so that only the page can tell what has room.
    text = words["mark"]["text"]["expr"]
    assert text.startswith("(width || 600) * 0.46")
    assert text.index("name_px ? datum.status") < text.index("word_px ? datum.word")
    assert named["Done"]["name_px"] == named["Done"]["word_px"] < 40


def test_days_without_a_persona_in_flight_keep_their_place() -> None:
    """Where the ended are left out, an empty day is a gap; the names stay beside it."""
    chart = charts.cumulative_flow(
        counts({"pending": 3, "done": 90}, {"done": 93}, {"pending": 1, "done": 93}, {"done": 94})
    )
    bar = layers(chart)[0]
    assert [row["day"][:10] for row in bar["rows"]] == ["2026-03-02", "2026-03-04"]
    assert [layer["mark"]["type"] for layer in layers(chart)] == [
        "bar",
        "rule",
        "point",
        "text",
        "point",
    ]
    span = [row["begin"][:10] for row in layers(chart)[-1]["rows"]]
    assert span == ["2026-03-02", "2026-03-06"]


def test_one_day_is_a_bar() -> None:
    """A single day is a bar as wide as the day, and not an area without width."""
    chart = charts.cumulative_flow(counts({"pending": 1}))
    (bar, edge, _, _) = layers(chart)
    assert edge["encoding"]["x2"] == {"field": "until"}
    assert bar["mark"]["type"] == "bar"
    assert bar["encoding"]["x2"] == {"field": "until"}
    (row,) = bar["rows"]
    width = pd.Timestamp(row["until"]) - pd.Timestamp(row["begin"])
    assert width > pd.Timedelta(hours=20)
    assert bar["encoding"]["y"]["axis"]["values"] == [0, 1]
    assert bar["encoding"]["x"]["axis"]["values"] == ["2026-03-02T12:00:00Z"]


def test_many_days_are_bands_and_more_are_thinned() -> None:
    """Beyond 14 days bands, beyond 180 evenly spaced days, the last one always there."""
    week = [{"pending": 1}] * 15
    assert layers(charts.cumulative_flow(counts(*week[:14])))[0]["mark"]["type"] == "bar"
    assert layers(charts.cumulative_flow(counts(*week)))[0]["mark"]["type"] == "area"
    chart = charts.cumulative_flow(counts(*([{"pending": 1}] * 999), {"pending": 7}))
    rows = layers(chart)[0]["rows"]
    assert len(rows) == 180
    assert rows[-1]["personas"] == 7
    assert 4 <= len(layers(chart)[0]["encoding"]["x"]["axis"]["values"]) <= 6


def test_so_many_that_have_ended_are_left_out_and_said() -> None:
    """Where the ended would leave a thin line of what is in flight, only this is drawn."""
    chart = charts.cumulative_flow(counts({"pending": 10}, {"pending": 10, "done": 1500}))
    assert bands(chart) == {"Pending": [(0, 10), (0, 10)]}
    assert axes(chart) == {"x": "Day (UTC); without 1,500 ended", "y": "Avatars in flight"}
    over = charts.cumulative_flow(counts({"done": 1500}))
    assert bands(over) == {"Done": [(0, 1500)]}


def test_an_undocumented_status_is_on_top() -> None:
    """It has not ended, and nothing tells its place."""
    chart = charts.cumulative_flow(counts({"pending": 1, "quality_check": 2, "done": 1}))
    assert bands(chart)["Quality check"] == [(2, 4)]
