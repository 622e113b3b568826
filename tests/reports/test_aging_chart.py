"""Ageing work in progress: who is late."""

from __future__ import annotations

import numpy as np

from avatarkit import charts
from support.chart_frames import arrivals, many, medians
from support.chart_specs import axes, layers, parts


def test_a_point_a_persona_over_the_percentiles_of_its_stage() -> None:
    """Points stand at the hours so far, bars end where half and nine of ten are through."""
    frame = arrivals(("a", "pending", 1, False), ("b", "reviewing", 50, True))
    chart = charts.aging(
        frame.assign(creator_name=["Ada", "Bob"]), medians(pending=2, reviewing=10)
    )
    drawn = parts(chart)
    bars = {
        part: [(row["stage"], row["from_h"], row["to_h"]) for row in drawn[part]]
        for part in ("half are through", "9 of 10 are")
    }
    assert bars == {
        "half are through": [("Pending", 0, 2), ("Reviewing", 0, 10)],
        "9 of 10 are": [("Pending", 2, 4), ("Reviewing", 10, 20)],
    }
    (fine,), (late,) = drawn["running"], drawn["late"]
    assert (fine["persona_id"], fine["at_h"], fine["place"]) == ("a", 1, 0.5)
    assert (late["creator_name"], late["in_stage"]) == ("Bob", "at least 2 d 2 h")
    order = layers(chart)[0]["encoding"]["y"]["sort"]
    assert order == ["Pending\n1 running", "Reviewing\n1 running, 1 late"]


def test_late_is_told_by_shape_too() -> None:
    """Who reads no colours sees late ones by their shape, the bars by their opacity."""
    encoding = layers(charts.aging(many(30), medians(pending=5)))[-1]["encoding"]
    by_part = {
        name: dict(zip(encoding[name]["scale"]["domain"], scale, strict=True))
        for name in ("shape", "fillOpacity")
        for scale in [encoding[name]["scale"]["range"]]
    }
    assert by_part["shape"]["late"] != by_part["shape"]["running"]
    assert by_part["fillOpacity"]["half are through"] > by_part["fillOpacity"]["9 of 10 are"]


def test_of_many_an_even_part_is_drawn_and_said() -> None:
    """Of 1,000 in a stage 100 points are drawn, from the youngest to the oldest."""
    rows = [(f"p{i:04}", "reviewing", i / 100, i >= 950) for i in range(1000)]
    chart = charts.aging(arrivals(*rows), medians(reviewing=5))
    drawn = parts(chart)
    hours = sorted(row["at_h"] for row in drawn["running"])
    assert len(hours) == 100
    assert (hours[0], hours[-1]) == (0, 9.49)
    assert max(np.diff(hours)) < 0.2
    assert len(drawn["late"]) == 50
    assert "150 of 1,000 drawn" in axes(chart)["x"]
    places = [row["place"] for row in drawn["running"]]
    assert 0 < min(places) < 0.1 < 0.9 < max(places) < 1
    assert layers(chart)[0]["encoding"]["y"]["sort"] == ["Reviewing\n1,000 running, 50 late"]


def test_one_very_old_persona_does_not_squeeze_the_others() -> None:
    """What is older than three times the longest percentile is a triangle at the end."""
    frame = arrivals(("a", "reviewing", 5, False), ("b", "reviewing", 900, True))
    chart = charts.aging(frame, medians(reviewing=10))
    (arrow,) = parts(chart)["late, beyond it"]
    end = layers(chart)[-1]["encoding"]["x"]["scale"]["domain"][1]
    assert arrow["at_h"] == end
    assert 60 <= end < 70
    assert "late" not in parts(chart)


def test_the_axis_reaches_those_in_a_stage_that_nothing_is_known_of() -> None:
    """Several that are older than all percentiles stand within the axis, not at its end."""
    ages = [45 + 2 * i for i in range(8)]
    reviewing = [(f"r{age}", "reviewing", float(age), False) for age in ages]
    chart = charts.aging(arrivals(("a", "pending", 1, False), *reviewing), medians(pending=7))
    assert set(parts(chart)) == {"half are through", "9 of 10 are", "running"}
    assert [row["at_h"] for row in parts(chart)["running"]] == [1, *ages]
    end = layers(chart)[-1]["encoding"]["x"]["scale"]["domain"][1]
    assert max(ages) < end < 65


def test_what_is_clamped_says_so_late_or_not() -> None:
    """A point at the end of the axis is not taken for an age, and the legend names its mark."""
    two = [(f"r{n}", "reviewing", 50.0 + n, False) for n in range(2)]
    chart = charts.aging(arrivals(("a", "pending", 1, False), *two), medians(pending=7))
    end = layers(chart)[-1]["encoding"]["x"]["scale"]["domain"][1]
    drawn = parts(chart)
    assert [row["at_h"] for row in drawn["beyond the axis"]] == [end, end]
    assert [row["at_h"] for row in drawn["running"]] == [1]
    assert drawn["beyond the axis"][0]["in_stage"] == "at least 2 d 2 h"
    shape = layers(chart)[-1]["encoding"]["shape"]
    assert "beyond the axis" in shape["legend"]["values"]
    assert len(set(shape["scale"]["range"][2:])) == len(shape["scale"]["range"][2:])


def test_one_old_one_in_an_unknown_stage_does_not_squeeze_the_others() -> None:
    """Of several whose stage nothing is known of, the axis reaches to twice their middle."""
    hours = [50.0, 51.0, 52.0, 53.0, 4000.0]
    frame = arrivals(*((f"r{h:.0f}", "reviewing", h, False) for h in hours))
    chart = charts.aging(frame, medians(pending=7))
    assert len(parts(chart)["beyond the axis"]) == 1
    assert layers(chart)[-1]["encoding"]["x"]["scale"]["domain"][1] < 120


def test_a_stage_that_nothing_is_known_of_is_there_with_its_personas() -> None:
    """Without percentiles the points stand alone; unknown stages come last."""
    frame = arrivals(("a", "unheard_of", 5, False), ("b", "reviewing", 0, False))
    chart = charts.aging(frame, medians())
    order = layers(chart)[0]["encoding"]["y"]["sort"]
    assert order == ["Reviewing\n1 running", "Unheard of\n1 running"]
    assert set(parts(chart)) == {"running"}
