"""Charts of all personas together: who is late, what is in flight, ends, waiting times."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
import pytest

from avatarkit import charts, flow
from avatarkit.models import STAGES, ProcessStatus
from support.chart_specs import axes, check_house_style, layers, parts, words

MONDAY = pd.Timestamp("2026-03-02", tz="UTC")
NAN = float("nan")
NAMES = [stage.value for stage in STAGES]
SIZES = [1, 12, 2000]


def summary(**halves: float) -> pd.DataFrame:
    """Percentiles of the six stages, half of them through after so many hours, if given."""
    half = pd.Series([halves.get(name, NAN) for name in NAMES], dtype="float64")
    return pd.DataFrame({"stage": NAMES, "p50_h": half, "p90_h": half * 2})


def arrivals(*rows: tuple[str, str, float, bool]) -> pd.DataFrame:
    """Running personas from (persona, stage, hours in it, late)."""
    columns = ["persona_id", "stage", "in_stage_h", "late"]
    return pd.DataFrame(rows, columns=columns).astype({"in_stage_h": "float64", "late": "bool"})


def many(number: int) -> pd.DataFrame:
    """So many running personas, the tenth of them late."""
    hours = np.linspace(0, 60, number)
    rows = [(f"p{i:04}", NAMES[i % 6], float(h), i % 10 == 9) for i, h in enumerate(hours.tolist())]
    return arrivals(*rows)


def counts(*days: dict[str, int]) -> pd.DataFrame:
    """The frame of ``flow.cumulative`` from one dict a day."""
    statuses = [status.value for status in ProcessStatus]
    others = sorted({name for day in days for name in day} - set(statuses))
    rows = [
        (MONDAY + pd.Timedelta(days=n), status, day.get(status, 0))
        for n, day in enumerate(days)
        for status in [*statuses, *others]
    ]
    return pd.DataFrame(rows, columns=["day", "status", "personas"])


def incidence(**curves: list[tuple[float, float, int]]) -> pd.DataFrame:
    """Outcome curves from lists of (hours, share, at risk)."""
    rows = [
        (outcome, hours, share, max(share - 0.1, 0), min(share + 0.1, 1), at_risk)
        for outcome in ("done", "failed", "rejected")
        for hours, share, at_risk in [(0.0, 0.0, 9), *curves.get(outcome, [])]
    ]
    columns = ["outcome", "time_h", "share", "low", "high", "at_risk"]
    return pd.DataFrame(rows, columns=columns)


def totals(*rows: tuple[float, str, float, float]) -> pd.DataFrame:
    """The frame of ``flow.waiting`` from (day of submission, state, min_h, max_h)."""
    frame = pd.DataFrame(rows, columns=["day", "state", "min_h", "max_h"])
    submitted = MONDAY + pd.to_timedelta(frame["day"].astype("float64"), unit="D")
    ids = [f"p{i:04}" for i in range(len(frame))]
    return frame.assign(persona_id=ids, submitted_at=submitted).drop(columns="day")


def waits(number: int) -> pd.DataFrame:
    """So many personas over twenty weeks, the last eighth still running."""
    return totals(
        *(
            (140 * i / number, "running", 10.0, float("inf"))
            if i >= number - number // 8
            else (140 * i / number, "done", 40.0 + i % 30, 42.0 + i % 30)
            for i in range(number)
        )
    )


def test_empty_frames_say_that_there_is_nothing_yet() -> None:
    """Without a persona each chart says so, under the question that it would have answered."""
    none = totals().head(0)
    for chart in (
        charts.aging(arrivals(), summary()),
        charts.cumulative_flow(counts()),
        charts.cumulative_flow(counts({})),
        charts.outcomes(incidence()),
        charts.outcomes(incidence().head(0)),
        charts.waiting(none, flow.waiting_percentiles(none)),
    ):
        assert words(chart) == ["Nothing to show yet"]
        check_house_style(chart)


@pytest.mark.parametrize("number", SIZES)
def test_charts_stay_small_and_colourless_at_any_size(number: int) -> None:
    """From 1 to 2,000 personas: questions as titles, units, colours left to the theme, few rows."""
    days = [{"pending": 3, "reviewing": 5, "done": n} for n in range(min(number, 900))]
    steps = np.linspace(1, 200, number)
    curve = [(h, (i + 1) / number, number - i) for i, h in enumerate(steps.tolist())]
    waiting = waits(number)
    made = {
        "Hours": charts.aging(many(number), summary(reviewing=20)),
        "Day (UTC)": charts.cumulative_flow(counts(*days)),
        "Hours since": charts.outcomes(incidence(done=curve)),
        "Submitted (UTC)": charts.waiting(waiting, flow.waiting_percentiles(waiting)),
    }
    for unit, chart in made.items():
        check_house_style(chart)
        assert axes(chart)["x"].startswith(unit)


class TestAging:
    def test_a_point_a_persona_over_the_percentiles_of_its_stage(self) -> None:
        """Points stand at the hours so far, bars end where half and nine of ten are through."""
        frame = arrivals(("a", "pending", 1, False), ("b", "reviewing", 50, True))
        chart = charts.aging(
            frame.assign(creator_name=["Ada", "Bob"]), summary(pending=2, reviewing=10)
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
        assert (late["creator_name"], late["here"]) == ("Bob", "at least 2 d 2 h")
        order = layers(chart)[0]["encoding"]["y"]["sort"]
        assert order == ["Pending\n1 running", "Reviewing\n1 running, 1 late"]

    def test_late_is_told_by_shape_too(self) -> None:
        """Who reads no colours sees late ones by their shape, the bars by their opacity."""
        encoding = layers(charts.aging(many(30), summary(pending=5)))[-1]["encoding"]
        by_part = {
            name: dict(zip(encoding[name]["scale"]["domain"], scale, strict=True))
            for name in ("shape", "opacity")
            for scale in [encoding[name]["scale"]["range"]]
        }
        assert by_part["shape"]["late"] != by_part["shape"]["running"]
        assert by_part["opacity"]["half are through"] > by_part["opacity"]["9 of 10 are"]

    def test_of_many_an_even_part_is_drawn_and_said(self) -> None:
        """Of 1,000 in a stage 100 points are drawn, from the youngest to the oldest."""
        rows = [(f"p{i:04}", "reviewing", i / 100, i >= 950) for i in range(1000)]
        chart = charts.aging(arrivals(*rows), summary(reviewing=5))
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

    def test_one_very_old_persona_does_not_squeeze_the_others(self) -> None:
        """What is older than three times the longest percentile is a triangle at the end."""
        frame = arrivals(("a", "reviewing", 5, False), ("b", "reviewing", 900, True))
        chart = charts.aging(frame, summary(reviewing=10))
        (arrow,) = parts(chart)["late, beyond it"]
        end = layers(chart)[-1]["encoding"]["x"]["scale"]["domain"][1]
        assert arrow["at_h"] == end
        assert 60 <= end < 70
        assert "late" not in parts(chart)

    def test_the_axis_reaches_those_in_a_stage_that_nothing_is_known_of(self) -> None:
        """Several that are older than all percentiles are a part of the picture, not its edge."""
        ages = [45 + 2 * i for i in range(8)]
        reviewing = [(f"r{age}", "reviewing", float(age), False) for age in ages]
        chart = charts.aging(arrivals(("a", "pending", 1, False), *reviewing), summary(pending=7))
        assert set(parts(chart)) == {"half are through", "9 of 10 are", "running"}
        assert [row["at_h"] for row in parts(chart)["running"]] == [1, *ages]
        end = layers(chart)[-1]["encoding"]["x"]["scale"]["domain"][1]
        assert max(ages) < end < 65

    def test_what_is_clamped_says_so_late_or_not(self) -> None:
        """A point at the end of the axis is not taken for an age, and the legend names its mark."""
        two = [(f"r{n}", "reviewing", 50.0 + n, False) for n in range(2)]
        chart = charts.aging(arrivals(("a", "pending", 1, False), *two), summary(pending=7))
        end = layers(chart)[-1]["encoding"]["x"]["scale"]["domain"][1]
        drawn = parts(chart)
        assert [row["at_h"] for row in drawn["beyond the axis"]] == [end, end]
        assert [row["at_h"] for row in drawn["running"]] == [1]
        assert drawn["beyond the axis"][0]["here"] == "at least 2 d 2 h"
        shape = layers(chart)[-1]["encoding"]["shape"]
        assert "beyond the axis" in shape["legend"]["values"]
        assert len(set(shape["scale"]["range"][2:])) == len(shape["scale"]["range"][2:])

    def test_one_old_one_in_an_unknown_stage_does_not_squeeze_the_others(self) -> None:
        """Of several whose stage nothing is known of, the axis reaches to twice their middle."""
        hours = [50.0, 51.0, 52.0, 53.0, 4000.0]
        frame = arrivals(*((f"r{h:.0f}", "reviewing", h, False) for h in hours))
        chart = charts.aging(frame, summary(pending=7))
        assert len(parts(chart)["beyond the axis"]) == 1
        assert layers(chart)[-1]["encoding"]["x"]["scale"]["domain"][1] < 120

    def test_a_stage_that_nothing_is_known_of_is_there_with_its_personas(self) -> None:
        """Without percentiles the points stand alone; unknown stages come last."""
        frame = arrivals(("a", "unheard_of", 5, False), ("b", "reviewing", 0, False))
        chart = charts.aging(frame, summary())
        order = layers(chart)[0]["encoding"]["y"]["sort"]
        assert order == ["Reviewing\n1 running", "Unheard of\n1 running"]
        assert set(parts(chart)) == {"running"}


class TestCumulativeFlow:
    def bands(self, chart: alt.LayerChart) -> dict[str, list[tuple[float, float]]]:
        found: dict[str, list[tuple[float, float]]] = {}
        for row in layers(chart)[0]["rows"]:
            found.setdefault(row["status"], []).append((row["bottom"], row["top"]))
        return found

    def test_ends_are_at_the_bottom_and_the_last_stage_next(self) -> None:
        """What is above the ends is as thick as what is in flight, in the API's order."""
        chart = charts.cumulative_flow(
            counts(
                {"pending": 3},
                {"pending": 1, "reviewing": 2, "done": 1, "failed": 1},
            )
        )
        assert self.bands(chart) == {
            "Failed": [(0, 1)],
            "Done": [(1, 2)],
            "Reviewing": [(2, 4)],
            "Pending": [(0, 3), (4, 5)],
        }
        encoding = layers(chart)[0]["encoding"]
        assert encoding["color"]["legend"]["values"] == ["Pending", "Reviewing", "Done", "Failed"]
        assert axes(chart) == {"x": "Day (UTC)", "y": "Avatars"}
        assert [row["flying"] for row in layers(chart)[0]["rows"]][-1] == 3

    def test_a_status_has_one_colour_whichever_others_are_there(self) -> None:
        """Done is the same grey on a day of one status as on a day of nine."""
        scales = [
            layers(charts.cumulative_flow(counts(day)))[0]["encoding"]["color"]["scale"]["domain"]
            for day in ({"done": 2}, {"pending": 1, "done": 2, "polishing": 1})
        ]
        assert scales[0] == scales[1][:9]
        assert scales[1][9:] == ["Polishing"]

    def test_neighbours_differ_in_lightness_and_bands_are_named(self) -> None:
        """Who reads no colours has light and dark in turn, and the names beside the last day."""
        day = {"pending": 5, "reviewing": 9, "crop_and_matte": 4, "failed": 0, "done": 6}
        chart = charts.cumulative_flow(counts(day, {**day, "rejected": 1, "done": 5}))
        shades = layers(chart)[0]["encoding"]["opacity"]["scale"]["range"]
        assert all(one != other for one, other in pairwise(shades))
        axis = layers(chart)[2]["encoding"]["y"]["axis"]
        assert axis["orient"] == "right"
        names = json.loads(axis["labelExpr"].removeprefix("split(").partition("[")[0])
        assert names == {
            "3.5": "Done",
            "10.5": "Reviewing",
            "17": "Crop and matte",
            "21.5": "Pending",
        }
        assert [f"{value:g}" for value in axis["values"]] == list(names)
        assert chart.to_dict()["resolve"] == {"axis": {"y": "independent"}}

    def test_bands_that_touch_are_parted_without_colour(self) -> None:
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
            assert edges["rows"] == layers(chart)[0]["rows"]
        many = charts.cumulative_flow(counts(*days * 31))
        assert [layer["mark"]["type"] for layer in layers(many)] == ["area", "point"]

    def test_bars_that_are_thick_enough_are_named_within(self) -> None:
        """All days but the last, which has its names beside it, say where who is."""
        day = {"crop_and_matte": 30, "reviewing": 1, "done": 40}
        words = layers(charts.cumulative_flow(counts(day, {"pending": 9, **day})))[3]
        assert words["mark"]["type"] == "text"
        named = {row["status"]: row for row in words["rows"]}
        assert set(named) == {"Crop and matte", "Done"}
        assert {row["noon"] for row in words["rows"]} == {"2026-03-02T12:00:00+00:00"}
        assert named["Crop and matte"]["middle"] == 56
        assert named["Crop and matte"]["word"] == "Crop"
        # The width is the container's, so that only the page can tell what has room.
        text = words["mark"]["text"]["expr"]
        assert text.startswith("width * 0.46")
        assert text.index("name_px ? datum.status") < text.index("word_px ? datum.word")
        assert named["Done"]["name_px"] == named["Done"]["word_px"] < 40

    def test_days_without_anybody_in_flight_keep_their_place(self) -> None:
        """Where the ended are left out, an empty day is a gap, and has no names beside it."""
        chart = charts.cumulative_flow(
            counts(
                {"pending": 3, "done": 90}, {"done": 93}, {"pending": 1, "done": 93}, {"done": 94}
            )
        )
        bar = layers(chart)[0]
        assert [row["day"][:10] for row in bar["rows"]] == ["2026-03-02", "2026-03-04"]
        assert [layer["mark"]["type"] for layer in layers(chart)] == [
            "bar",
            "rule",
            "text",
            "point",
        ]
        span = [row["begin"][:10] for row in layers(chart)[-1]["rows"]]
        assert span == ["2026-03-02", "2026-03-06"]

    def test_one_day_is_a_bar(self) -> None:
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

    def test_many_days_are_bands_and_more_are_thinned(self) -> None:
        """Beyond 14 days bands, beyond 180 every so many days, the last one always there."""
        week = [{"pending": 1}] * 15
        assert layers(charts.cumulative_flow(counts(*week[:14])))[0]["mark"]["type"] == "bar"
        assert layers(charts.cumulative_flow(counts(*week)))[0]["mark"]["type"] == "area"
        chart = charts.cumulative_flow(counts(*([{"pending": 1}] * 999), {"pending": 7}))
        rows = layers(chart)[0]["rows"]
        assert len(rows) == 180
        assert rows[-1]["personas"] == 7
        assert 4 <= len(layers(chart)[0]["encoding"]["x"]["axis"]["values"]) <= 6

    def test_so_many_that_have_ended_are_left_out_and_said(self) -> None:
        """Where the ended would leave a thin line of what is in flight, only this is drawn."""
        chart = charts.cumulative_flow(counts({"pending": 10}, {"pending": 10, "done": 1500}))
        assert self.bands(chart) == {"Pending": [(0, 10), (0, 10)]}
        assert axes(chart) == {"x": "Day (UTC); without 1,500 ended", "y": "Avatars in flight"}
        over = charts.cumulative_flow(counts({"done": 1500}))
        assert self.bands(over) == {"Done": [(0, 1500)]}

    def test_a_status_that_nobody_has_heard_of_is_on_top(self) -> None:
        """It has not ended, and nothing tells its place."""
        chart = charts.cumulative_flow(counts({"pending": 1, "quality_check": 2, "done": 1}))
        assert self.bands(chart)["Quality check"] == [(2, 4)]


class TestOutcomes:
    def labels(self, layer: dict[str, Any]) -> dict[str, str]:
        """The labels at the right, outside of the plot, by their height."""
        axis = layer["encoding"]["y"]["axis"]
        assert axis["orient"] == "right"
        found: dict[str, str] = json.loads(axis["labelExpr"].removeprefix("split(").split("[")[0])
        assert [f"{value:g}" for value in axis["values"]] == list(found)
        return found

    def test_no_line_goes_through_a_label(self) -> None:
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

    def test_a_short_time_is_said_in_words(self) -> None:
        """By 1 h 30 min, and not by 2 h."""
        chart = charts.outcomes(incidence(failed=[(1.5, 0.2, 8)]))
        assert list(self.labels(layers(chart)[-1]).values()) == ["Failed\n20% by 1 h 30 min"]

    def test_a_step_curve_an_outcome_with_its_band(self) -> None:
        """Curves, bands and numbers are told apart by dashes and names as well as by colour."""
        chart = charts.outcomes(incidence(done=[(10, 0.5, 8), (30, 0.8, 5)], failed=[(5, 0.1, 9)]))
        line, band, dot, label = layers(chart)
        assert (line["mark"]["type"], band["mark"]["type"]) == ("line", "area")
        assert line["mark"]["interpolate"] == band["mark"]["interpolate"] == "step-after"
        dashes = line["encoding"]["strokeDash"]["scale"]
        assert dashes["domain"] == ["Done", "Rejected", "Failed"]
        assert len({tuple(dash) for dash in dashes["range"]}) == 3
        assert line["encoding"]["strokeDash"]["legend"]["values"] == ["Done", "Failed"]
        done = [row for row in line["rows"] if row["outcome"] == "Done"]
        assert [(row["time_h"], row["share"]) for row in done[:3]] == [(0, 0), (10, 0.5), (30, 0.8)]
        assert band["encoding"]["y"]["field"] == "low"
        assert band["encoding"]["y2"] == {"field": "high"}
        assert self.labels(label) == {"0.1": "Failed\n10% by 30 h", "0.8": "Done\n80% by 30 h"}
        assert [(row["time_h"], row["share"]) for row in dot["rows"]] == [(30, 0.1), (30, 0.8)]
        assert axes(chart) == {"x": "Hours since submission", "y": "Share of all avatars"}

    def test_where_few_are_left_the_curve_is_faint(self) -> None:
        """With fewer than five at risk it goes on faintly, and the axis says so."""
        chart = charts.outcomes(incidence(done=[(10, 0.5, 8), (12, 0.6, 4), (99, 1.0, 1)]))
        solid, _, faint, _, dot, label = layers(chart)
        assert solid["mark"]["opacity"] > faint["mark"]["opacity"]
        assert solid["rows"][-1]["time_h"] == 10 == faint["rows"][0]["time_h"]
        assert [row["time_h"] for row in faint["rows"]] == [10, 12, 15]
        assert [row["share"] for row in faint["rows"]] == [0.5, 0.6, 0.6]
        assert [(row["time_h"], row["share"]) for row in dot["rows"]] == [(10, 0.5)]
        # Where the faint curve ends, and with the hour up to which its number is counted.
        assert self.labels(label) == {"0.6": "Done\n50% by 10 h"}
        assert "faint: fewer than 5 left" in axes(chart)["x"]

    def test_one_persona_gives_a_faint_curve_without_a_number(self) -> None:
        """A single end is drawn, but nobody should quote its share."""
        frame = incidence(done=[(10, 1.0, 1)]).assign(at_risk=1)
        chart = charts.outcomes(frame)
        assert [layer["mark"]["type"] for layer in layers(chart)] == ["line", "area"]
        assert layers(chart)[0]["mark"]["opacity"] < 0.5
        assert layers(chart)[0]["rows"][-1]["share"] == 1

    def test_labels_keep_apart(self) -> None:
        """Shares that are close to each other are still read one by one."""
        chart = charts.outcomes(
            incidence(done=[(9, 0.05, 9)], failed=[(9, 0.06, 9)], rejected=[(9, 0.07, 9)])
        )
        labels = self.labels(layers(chart)[-1])
        # Two lines of 11 pixels and a little between them, of 280.
        assert min(np.diff([float(place) for place in labels])) > 0.1
        assert [label.split(" by")[0] for label in labels.values()] == [
            *("Done\n5%", "Failed\n6%", "Rejected\n7%")
        ]

    def test_many_steps_are_thinned_where_they_stand(self) -> None:
        """Of thousands of steps two hundred are left, each at its own time and share."""
        curve = [(h / 10, h / 5000, 5000) for h in range(1, 4001)]
        rows = layers(charts.outcomes(incidence(done=curve)))[0]["rows"]
        assert 190 <= len(rows) <= 202
        assert all(row["share"] == pytest.approx(row["time_h"] / 500) for row in rows)
        assert rows[-1]["time_h"] == 400


class TestWaiting:
    def chart(self, frame: pd.DataFrame) -> alt.LayerChart:
        return charts.waiting(frame, flow.waiting_percentiles(frame))

    def rows(self, chart: alt.LayerChart, mark: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for layer in layers(chart):
            if layer["mark"]["type"] == mark:
                found += layer["rows"]
        return found

    def test_few_are_points_with_their_bounds(self) -> None:
        """Up to sixty, each total stands in the middle of a line from its least to its most."""
        chart = self.chart(
            totals((0, "done", 10, 20), (1, "failed", 4, 4), (2, "running", 6, float("inf")))
        )
        points = {row["part"]: row for row in self.rows(chart, "point")}
        assert {part: row["at_h"] for part, row in points.items()} == {
            "Done": 15,
            "Failed": 4,
            "still running, so far": 6,
        }
        assert points["Done"]["took"] == "10 h to 20 h"
        assert points["still running, so far"]["took"] == "6 h so far"
        assert [(row["low"], row["high"]) for row in self.rows(chart, "rule")] == [(10, 20)]
        assert axes(chart) == {"x": "Submitted (UTC)", "y": "Total time in hours"}

    def test_percentiles_are_lines_of_their_own_dashes(self) -> None:
        """Each period has a line for half, nine of ten and one in ten, told apart by dashes."""
        frame = waits(2000)
        chart = self.chart(frame)
        expected = flow.waiting_percentiles(frame)
        lines = [row for row in self.rows(chart, "rule") if "hours" in row]
        for part, name in (
            ("half took at most", "p50_h"),
            ("9 of 10 took at most", "p90_h"),
            ("1 in 10 took at most", "p10_h"),
        ):
            drawn = [row["hours"] for row in lines if row["part"] == part]
            assert drawn == expected[name].dropna().tolist()
        scale = layers(chart)[-1]["encoding"]["strokeDash"]["scale"]
        dashes = dict(zip(scale["domain"], map(tuple, scale["range"]), strict=True))
        assert len({dashes[part] for part in {row["part"] for row in lines}}) == 3
        shapes = layers(chart)[0]["encoding"]["shape"]["scale"]["range"]
        assert len(set(shapes[3:])) == len(shapes[3:])

    def test_of_many_some_are_drawn_evenly_over_time_and_said(self) -> None:
        """Of 2,000 six hundred points are drawn, in no month more than in others."""
        chart = self.chart(waits(2000))
        points = self.rows(chart, "point")
        days = [(pd.Timestamp(row["submitted_at"]) - MONDAY).days for row in points]
        by_month = np.bincount(np.array(days) // 28)
        assert by_month.tolist() == pytest.approx([120] * 5, abs=2)
        assert axes(chart)["x"] == "Submitted (UTC); 600 of 2,000 drawn"

    def test_an_endless_wait_is_an_arrow_at_the_end(self) -> None:
        """One that takes far longer than the others does not squeeze them."""
        others = [(n / 10, "done", 10.0, 12.0) for n in range(20)]
        chart = self.chart(totals(*others, (3, "running", 999, float("inf"))))
        (beyond,) = [row for row in self.rows(chart, "point") if row["part"] == "beyond the axis"]
        end = layers(chart)[0]["encoding"]["y"]["scale"]["domain"][1]
        assert 20 < beyond["at_h"] < end < 30
        assert beyond["took"] == "41 d 15 h so far"

    def test_the_axis_spans_whole_days(self) -> None:
        """One persona alone stands within its day; lines end with the last day."""
        chart = self.chart(totals((0.5, "done", 10, 11)))
        (point,) = layers(chart)[1:] if len(layers(chart)) > 1 else layers(chart)
        assert point["encoding"]["x"]["scale"]["domain"] == [
            *("2026-03-02T00:00:00Z", "2026-03-03T00:00:00Z")
        ]
        frame = totals(*((n / 10, "done", 10.0, 12.0) for n in range(1, 20)))
        ends = {row["until"] for row in self.rows(self.chart(frame), "rule") if "until" in row}
        assert {pd.Timestamp(end) for end in ends} == {pd.Timestamp("2026-03-04", tz="UTC")}
