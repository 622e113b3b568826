"""Stage times: percentiles as bars, single visits while there are none."""

from __future__ import annotations

from avatarkit import charts, durations
from avatarkit.text import stage_name
from support.chart_frames import STAGE_NAMES, summary, visits
from support.chart_specs import check_house_style, layers, parts


def test_percentiles_are_bars_in_the_order_of_the_api() -> None:
    """Each stage is a row with its n; a bar p10 to p90, a thicker one p25 to p75, p50."""
    frame = summary(40, [2, 4, 6, 8, 10, 20])
    frame.loc[5, "running"] = 3
    chart = charts.stage_times(frame)

    order = layers(chart)[0]["encoding"]["y"]["sort"]
    assert [label.split("\n")[0] for label in order] == [stage_name(stage) for stage in STAGE_NAMES]
    assert order[0].endswith("\nn 40")
    assert order[-1].endswith("\nn 40, 3 running")
    drawn = parts(chart)
    for part, low, high in (("8 of 10 avatars", 10, 90), ("the middle half", 25, 75)):
        assert [row["from_h"] for row in drawn[part]] == frame[f"p{low}_h"].tolist()
        assert [row["to_h"] for row in drawn[part]] == frame[f"p{high}_h"].tolist()
    assert [row["p50_h"] for row in drawn["half are through"]] == frame["p50_h"].tolist()
    assert set(drawn) == {"8 of 10 avatars", "the middle half", "half are through"}
    sizes = {
        layer["rows"][0]["part"]: layer["mark"]["size"]
        for layer in layers(chart)
        if layer["mark"]["type"] == "bar"
    }
    assert sizes["the middle half"] > sizes["8 of 10 avatars"]
    named = [layer for layer in layers(chart) if layer["mark"]["type"] == "text"]
    assert [row["half"] for row in named[0]["rows"]][:2] == ["2 h", "4 h"]


def test_a_percentile_that_is_not_known_is_drawn_as_open() -> None:
    """Where percentiles are missing, a fainter bar says that it is not known how far."""
    frame = summary(9, [4, 4, 4, 4, 4, 8])
    frame.loc[0, "p90_h"] = float("nan")
    frame.loc[1, "p10_h"] = float("nan")
    frame.loc[2, ["p10_h", "p90_h"]] = float("nan")
    frame.loc[3, ["p75_h", "p90_h"]] = float("nan")
    frame.loc[4, ["p10_h", "p25_h", "p75_h", "p90_h"]] = float("nan")
    drawn = parts(charts.stage_times(frame))

    def bars(part: str) -> dict[str, list[tuple[float, float]]]:
        found: dict[str, list[tuple[float, float]]] = {}
        for row in drawn[part]:
            found.setdefault(row["stage"], []).append((row["from_h"], row["to_h"]))
        return found

    end = max(row["to_h"] for row in drawn["end unknown"])
    assert end > frame["p90_h"].max()
    assert bars("end unknown") == {
        "Pending": [(6, end)],
        "Processing": [(0, 2)],
        "Voice creating": [(0, 2), (6, end)],
        "Video validating": [(4, end)],
        "Crop and matte": [(0, 4), (4, end)],
    }
    assert bars("8 of 10 avatars") == {
        "Pending": [(1, 6)],
        "Processing": [(2, 8)],
        "Video validating": [(1, 4)],
        "Reviewing": [(2, 16)],
    }
    assert bars("the middle half")["Video validating"] == [(2, 4)]
    assert "Crop and matte" not in bars("the middle half")


def test_an_interval_of_the_median_is_a_line_below_the_bar() -> None:
    """With the columns of the interval, a line with two ends says how sure the median is."""
    frame = summary(40, [2, 4]).assign(p50_low_h=[1.5, float("nan")], p50_high_h=[3.0, 9.0])
    chart = charts.stage_times(frame)
    rules = [layer for layer in layers(chart) if layer["mark"].get("size") == 2]
    assert [(row["p50_low_h"], row["p50_high_h"]) for row in rules[0]["rows"]] == [(1.5, 3.0)]
    assert rules[0]["rows"][0]["median"] == "1 h 30 min to 3 h"
    assert rules[0]["mark"]["yOffset"] > 0
    assert len([layer for layer in layers(chart) if layer["mark"]["type"] == "tick"]) == 2
    legend = layers(chart)[0]["encoding"]["shape"]["legend"]["values"]
    assert "half, 95 % sure" in legend


def test_without_percentiles_single_visits_are_drawn_with_their_bounds() -> None:
    """One persona is enough to see how long its stages took, and how sure that is."""
    frame = visits(
        ("a", "pending", 0, 1), ("a", "voice_creating", 3, 5), ("a", "video_validating", 6, 7)
    )
    chart = charts.stage_times(durations.summarize(frame), frame)
    check_house_style(chart)
    drawn = parts(chart)

    spans = {
        part: [(row["stage"], row["from_h"], row["to_h"]) for row in drawn[part]]
        for part in ("at least", "at most")
    }
    assert spans["at least"] == [
        ("Pending", 0, 1),
        ("Voice creating", 0, 2),
        ("Video validating", 0, 1),
    ]
    assert sorted(spans["at most"]) == [
        ("Pending", 1, 3),
        ("Processing", 0, 2),
        ("Voice creating", 2, 5),
    ]
    arrow = drawn["still running"]
    assert [(row["stage"], row["min_h"], row["Took"]) for row in arrow] == [
        ("Video validating", 1, "1 h so far")
    ]
    assert {row["Took"] for row in drawn["at most"]} == {"1 h to 3 h", "at most 2 h", "2 h to 5 h"}
    labels = layers(chart)[0]["encoding"]["y"]["sort"]
    assert labels[0] == "Pending\nn 1, not enough yet"
    assert labels[-1] == "Reviewing\nn 0"


def test_at_most_six_single_visits_are_drawn_and_ended_ones_first() -> None:
    """Many visits without percentiles stay readable, and what has ended is preferred."""
    runs: list[tuple[str, str, float, float]] = []
    for i in range(4):
        runs += [(f"e{i}", "pending", i, i + 1), (f"e{i}", "failed", i + 2, i + 2)]
    runs += [(f"r{i}", "pending", 50 + i, 51 + i) for i in range(9)]
    frame = visits(*runs)
    drawn = parts(charts.stage_times(durations.summarize(frame), frame))

    assert len(drawn["at most"]) == 4
    assert len(drawn["still running"]) == 2
    lanes = sorted(row["lane"] for row in drawn["at least"])
    assert lanes == [0, 2, 4, 6, 8, 10]
    chart = charts.stage_times(durations.summarize(frame), frame)
    offsets = [
        layer["encoding"]["yOffset"] for layer in layers(chart) if "yOffset" in layer["encoding"]
    ]
    for offset in offsets:
        assert (min(offset["scale"]["domain"]), max(offset["scale"]["domain"])) == (-2, 12)
    few = frame.loc[frame["persona_id"] == "e0"]
    alone = parts(charts.stage_times(durations.summarize(few), few))["at least"]
    assert [row["lane"] for row in alone] == [5]


def test_the_hours_axis_has_a_unit_and_few_round_ticks() -> None:
    """Hours stand on the axis, in days when it is long, and the axis begins at 0."""
    for scale, ticks in ((1, [0, 3, 6, 9, 12]), (0.02, None), (24, None), (1000, None)):
        frame = summary(9, [6 * scale] * 6)
        x = next(
            layer["encoding"]["x"]
            for layer in layers(charts.stage_times(frame))
            if layer["mark"]["type"] == "bar"
        )
        assert x["title"] == "Hours"
        values = x["axis"]["values"]
        assert values[0] == 0 == x["scale"]["domain"][0]
        assert 2 <= len(values) <= 7
        assert values[-1] < x["scale"]["domain"][1]
        if scale >= 24:
            assert all(value % 24 == 0 for value in values)
        assert ticks is None or values == ticks


def test_counts_without_percentiles_and_visits_still_give_rows() -> None:
    """A summary alone, of too few visits, lists the stages and their reasons."""
    frame = visits(("a", "pending", 0, 1))
    chart = charts.stage_times(durations.summarize(frame))
    (layer,) = layers(chart)
    assert layer["rows"][0]["Note"] == "not enough yet: 0 finished, 1 running"
    assert len(layer["rows"]) == 6


def test_a_long_reason_does_not_take_the_place_of_the_chart() -> None:
    """Beside a stage without a median stands a few words; the whole reason is in the tooltip."""
    seen = visits(("a", "pending", 0, 1))
    stages = durations.summarize(seen)
    stages["p50_h"] = float("nan")
    reason = "p50 and p75 and p90 are beyond the longest time observed (2 d 5 h)"
    spec = charts.stage_times(stages.assign(n=9, note=reason), seen).to_dict()
    text = str(spec)
    assert "n 9, no median yet" in text
    assert f"n 9, {reason}" not in text
