"""Cumulative incidence: how personas end, and when."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from avatarkit import charts
from support.chart_frames import incidence
from support.chart_specs import axes, layers


def labels_of(layer: dict[str, Any]) -> dict[str, str]:
    """The labels at the right, outside of the plot, by their height."""
    axis = layer["encoding"]["y"]["axis"]
    assert axis["orient"] == "right"
    found: dict[str, str] = json.loads(axis["labelExpr"].removeprefix("split(").split("[")[0])
    assert [f"{value:g}" for value in axis["values"]] == list(found)
    return found


def test_no_line_goes_through_a_label() -> None:
    """Curves end at the plot's right edge, labels stand beyond it, none within."""
    chart = charts.outcomes(incidence(done=[(10, 0.2, 8), (12, 0.6, 4), (99, 1.0, 1)]))
    *drawn, label = layers(chart)
    assert drawn[0]["encoding"]["x"]["scale"]["domain"] == [0, 15]
    assert max(row["time_h"] for layer in drawn for row in layer["rows"]) == 15
    assert "text" not in {layer["mark"]["type"] for layer in layers(chart)}
    assert label["encoding"]["y"]["axis"]["labelOverlap"] is False
    assert chart.to_dict()["resolve"] == {"axis": {"y": "independent"}}
    with_axis = [one for one in drawn if one["encoding"]["y"].get("axis", {}) is not None]
    assert len(with_axis) == 1


def test_a_short_time_is_said_in_words() -> None:
    """By 1 h 30 min, and not by 2 h."""
    chart = charts.outcomes(incidence(failed=[(1.5, 0.2, 8)]))
    assert list(labels_of(layers(chart)[-1]).values()) == ["Failed\n20% by 1 h 30 min"]


def test_a_step_curve_an_outcome_with_its_band() -> None:
    """Curves, bands and numbers are told apart by dashes and names as well as by colour."""
    chart = charts.outcomes(incidence(done=[(10, 0.5, 8), (30, 0.8, 5)], failed=[(5, 0.1, 9)]))
    line, band, dot, label = layers(chart)
    assert (line["mark"]["type"], band["mark"]["type"]) == ("line", "area")
    assert line["mark"]["interpolate"] == band["mark"]["interpolate"] == "step-after"
    dashes = line["encoding"]["strokeDash"]["scale"]
    assert dashes["domain"] == ["Done", "Rejected", "Failed"]
    assert len({tuple(dash) for dash in dashes["range"]}) == 3
    assert line["encoding"]["strokeDash"]["legend"] is None
    done = [row for row in line["rows"] if row["outcome"] == "Done"]
    assert [(row["time_h"], row["share"]) for row in done[:3]] == [(0, 0), (10, 0.5), (30, 0.8)]
    assert band["encoding"]["y"]["field"] == "low"
    assert band["encoding"]["y2"] == {"field": "high"}
    assert labels_of(label) == {"0.1": "Failed\n10% by 30 h", "0.8": "Done\n80% by 30 h"}
    assert [(row["time_h"], row["share"]) for row in dot["rows"]] == [(30, 0.1), (30, 0.8)]
    assert axes(chart) == {"x": "Hours since submission", "y": "Share of all avatars"}


def test_where_few_are_left_the_curve_is_faint() -> None:
    """With fewer than five at risk it goes on faintly, and the axis says so."""
    chart = charts.outcomes(incidence(done=[(10, 0.5, 8), (12, 0.6, 4), (99, 1.0, 1)]))
    solid, _, faint, _, dot, label = layers(chart)
    assert solid["mark"]["opacity"] > faint["mark"]["opacity"]
    assert solid["rows"][-1]["time_h"] == 10 == faint["rows"][0]["time_h"]
    assert [row["time_h"] for row in faint["rows"]] == [10, 12, 15]
    assert [row["share"] for row in faint["rows"]] == [0.5, 0.6, 0.6]
    assert [(row["time_h"], row["share"]) for row in dot["rows"]] == [(10, 0.5)]
    # Where the faint curve ends, and with the hour up to which its number is counted.
    assert labels_of(label) == {"0.6": "Done\n50% by 10 h"}
    assert "faint: fewer than 5 left" in axes(chart)["x"]


def test_one_persona_gives_a_faint_curve_without_a_number() -> None:
    """A single end is drawn, but its share is not quoted."""
    frame = incidence(done=[(10, 1.0, 1)]).assign(at_risk=1)
    chart = charts.outcomes(frame)
    assert [layer["mark"]["type"] for layer in layers(chart)] == ["line", "area", "point"]
    assert list(labels_of(layers(chart)[-1]).values()) == ["Done"]
    assert layers(chart)[0]["mark"]["opacity"] < 0.5
    assert layers(chart)[0]["rows"][-1]["share"] == 1


def test_labels_keep_apart() -> None:
    """Shares that are close to each other are still read one by one."""
    chart = charts.outcomes(
        incidence(done=[(9, 0.05, 9)], failed=[(9, 0.06, 9)], rejected=[(9, 0.07, 9)])
    )
    labels = labels_of(layers(chart)[-1])
    # Two lines of 11 pixels and a little between them, of 280.
    assert min(np.diff([float(place) for place in labels])) > 0.1
    assert [label.split(" by")[0] for label in labels.values()] == [
        *("Done\n5%", "Failed\n6%", "Rejected\n7%")
    ]


def test_many_steps_are_thinned_where_they_stand() -> None:
    """Of thousands of steps two hundred are left, each at its own time and share."""
    curve = [(h / 10, h / 5000, 5000) for h in range(1, 4001)]
    rows = layers(charts.outcomes(incidence(done=curve)))[0]["rows"]
    assert 190 <= len(rows) <= 202
    assert all(row["share"] == pytest.approx(row["time_h"] / 500) for row in rows)
    assert rows[-1]["time_h"] == 400
