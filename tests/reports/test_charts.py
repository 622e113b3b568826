"""Charts: what they hold, in which order, and that any frame gives one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest

from avatarkit import charts, durations, stages
from avatarkit.models import STAGES
from avatarkit.text import stage_name
from support.chart_specs import check_house_style, layers, parts, words

DAY = datetime(2026, 3, 2, tzinfo=UTC)
NAMES = [
    *("Pending", "Processing", "Voice creating"),
    *("Video validating", "Crop and matte", "Reviewing"),
]


def log(*runs: tuple[str, str, float, float], source: str = "create") -> pd.DataFrame:
    """Sightings from (persona, status, first, last), moments in hours."""
    frame = pd.DataFrame(runs, columns=["persona_id", "status", "first", "last"])
    first = ~frame["persona_id"].duplicated()
    return frame.assign(
        first_seen_at=DAY + pd.to_timedelta(frame["first"].astype("float64"), unit="h"),
        last_seen_at=DAY + pd.to_timedelta(frame["last"].astype("float64"), unit="h"),
        reported_at=pd.NaT,
        source=first.map({True: source, False: "poll"}),
    )


def visits(*runs: tuple[str, str, float, float], source: str = "create") -> pd.DataFrame:
    """Visits of such sightings, looked at a long time after."""
    return stages.visits(log(*runs, source=source), now=DAY + timedelta(days=99))


def lives(number: int, *, running: int = 0) -> pd.DataFrame:
    """Visits of personas that were seen in each stage; the last ones still run in reviewing."""
    runs: list[tuple[str, str, float, float]] = []
    for i in range(number):
        for place, stage in enumerate(STAGES):
            begin = 10.0 * place
            runs.append((f"p{i:04d}", stage.value, begin, begin + 5 + i % 4))
        if i < number - running:
            runs.append((f"p{i:04d}", "done", 60, 60))
    return visits(*runs)


def summary(n: int, hours: list[float], *, running: int = 0) -> pd.DataFrame:
    """A summary in which half of a stage are through after ``hours``; NaN for "not enough yet"."""
    half = pd.Series(hours, dtype="float64")
    known = half.notna()
    return pd.DataFrame(
        {
            "stage": [stage.value for stage in STAGES][: len(hours)],
            "n": n,
            "finished": n - running,
            "running": running,
            "never_seen": 0,
            "p10_h": half / 4,
            "p25_h": half / 2,
            "p50_h": half,
            "p75_h": half * 1.5,
            "p90_h": half * 2,
            "note": [
                "" if one else f"not enough yet: {n - running} finished, {running} running"
                for one in known
            ],
        }
    )


def test_percentiles_are_bars_in_the_order_of_the_api() -> None:
    """Each stage is a row with its n; a bar p10 to p90, a thicker one p25 to p75, p50."""
    frame = summary(40, [2, 4, 6, 8, 10, 20])
    frame.loc[5, "running"] = 3
    chart = charts.stage_times(frame)

    order = layers(chart)[0]["encoding"]["y"]["sort"]
    assert [label.split("\n")[0] for label in order] == NAMES
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

    end = max(row["to_h"] for row in drawn["not known how far"])
    assert end > frame["p90_h"].max()
    assert bars("not known how far") == {
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
    legend = rules[0]["encoding"]["opacity"]["legend"]["values"]
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


def test_a_timeline_has_solid_certain_parts_and_faint_edges() -> None:
    """What is certain, what changed between two looks, and what nobody saw are told apart."""
    frame = visits(("a", "pending", 0, 1), ("a", "voice_creating", 3, 5), ("a", "done", 6, 6))
    chart = charts.timeline(frame.loc[frame["visit_no"] <= 3], now=DAY + timedelta(hours=8))

    def hours(part: str) -> list[tuple[str, float, float]]:
        rows = parts(chart)[part]
        spans = [
            tuple(
                (datetime.fromisoformat(row[end]) - DAY) / timedelta(hours=1)
                for end in ("from", "to")
            )
            for row in rows
        ]
        return sorted((row["stage"], *span) for row, span in zip(rows, spans, strict=True))

    assert hours("certain") == [("Pending", 0, 1), ("Voice creating", 3, 5)]
    assert hours("between looks") == [
        ("Pending", 1, 3),
        ("Voice creating", 1, 3),
        ("Voice creating", 5, 6),
    ]
    assert hours("never seen") == [("Processing", 1, 3)]
    assert set(parts(chart)) == {"certain", "between looks", "never seen"}
    sizes = {layer["mark"].get("size") for layer in layers(chart)}
    assert len(sizes) == 2
    assert layers(chart)[0]["encoding"]["y"]["sort"] == [
        *("Pending\n1 h to 3 h", "Processing\nat most 2 h", "Voice creating\n2 h to 5 h")
    ]


def test_the_last_date_of_a_timeline_is_not_cut_off() -> None:
    """A label near an end of the axis is set inwards, by more than half of a date's width."""
    chart = charts.timeline(visits(("a", "pending", 0, 96)), now=DAY + timedelta(hours=96))
    axis = next(layer["encoding"]["x"] for layer in layers(chart) if "x" in layer["encoding"])
    assert axis["axis"]["labelFlush"] >= 20


def test_a_running_visit_is_open_until_now() -> None:
    """After the last look nothing is known; a faint bar leads to now and ends in an arrow."""
    frame = visits(("a", "pending", 0, 2))
    now = DAY + timedelta(hours=5)
    drawn = parts(charts.timeline(frame, now=now))
    (since,) = drawn["since last look"]
    assert since["length"] == "3 h"
    (arrow,) = drawn["still running"]
    assert datetime.fromisoformat(arrow["at"]) == now
    early = parts(charts.timeline(frame, now=DAY + timedelta(hours=1)))
    assert "since last look" not in early
    assert datetime.fromisoformat(early["still running"][0]["at"]) == DAY + timedelta(hours=2)


def test_a_beginning_that_nothing_bounds_has_an_arrow() -> None:
    """A persona found midway began earlier, nobody knows when."""
    frame = visits(("a", "reviewing", 0, 2), ("a", "done", 3, 3), source="list")
    drawn = parts(charts.timeline(frame, now=DAY + timedelta(hours=5)))
    assert [datetime.fromisoformat(row["at"]) for row in drawn["began earlier"]] == [DAY]
    assert "\nat least 2 h" in drawn["certain"][0]["row"]


def test_a_visit_seen_once_is_a_tick_and_a_further_visit_has_a_number() -> None:
    """A single look has no length and is drawn all the same; rows stay apart by a number."""
    frame = visits(("a", "reviewing", 0, 0), ("a", "pending", 1, 2), ("a", "reviewing", 3, 4))
    chart = charts.timeline(frame, now=DAY + timedelta(hours=4))
    ticks = [layer for layer in layers(chart) if layer["mark"]["type"] == "tick"]
    assert [len(layer["rows"]) for layer in ticks] == [1]
    order = layers(chart)[0]["encoding"]["y"]["sort"]
    assert order[0].startswith("Reviewing\n")
    assert order[-1].startswith("Reviewing (2)\n")
    assert len(set(order)) == len(order)


def test_a_timeline_is_of_one_persona_and_may_have_its_own_title() -> None:
    """Visits of several are refused in a sentence; the title can be the caller's."""
    frame = visits(("a", "pending", 0, 1), ("b", "pending", 0, 1))
    with pytest.raises(ValueError, match="one persona; choose the visits of one persona_id"):
        charts.timeline(frame, now=DAY)
    chart = charts.timeline(frame.head(1), now=DAY, title="Anna")
    assert chart.to_dict()["title"]["text"] == "Anna"


def test_empty_frames_say_that_there_is_nothing_yet() -> None:
    """Without a visit a chart says so, under the question that it would have answered."""
    none = visits()
    for chart in (
        charts.stage_times(durations.summarize(none), none),
        charts.stage_times(durations.summarize(none).head(0)),
        charts.timeline(none, now=DAY),
    ):
        assert words(chart) == ["Nothing to show yet"]
        assert chart.to_dict()["title"]["text"].endswith("?")


def test_counts_without_percentiles_and_visits_still_give_rows() -> None:
    """A summary alone, of too few visits, lists the stages and their reasons."""
    frame = visits(("a", "pending", 0, 1))
    chart = charts.stage_times(durations.summarize(frame))
    (layer,) = layers(chart)
    assert layer["rows"][0]["Note"] == "not enough yet: 0 finished, 1 running"
    assert len(layer["rows"]) == 6


@pytest.mark.parametrize("number", [1, 12, 2000])
def test_a_chart_stays_small_and_colourless_at_any_size(number: int) -> None:
    """From 1 to 2,000 personas: the container's width, little data, colours left to the theme."""
    frame = lives(number, running=number // 4)
    one = frame.loc[frame["persona_id"] == "p0000"]
    for chart in (
        charts.stage_times(summary(number, [12] * 6), frame),
        charts.timeline(one, now=DAY + timedelta(days=9)),
    ):
        check_house_style(chart)
        assert len(chart.to_json()) < 40_000


@pytest.mark.parametrize(
    ("stage", "name"),
    [("crop_and_matte", "Crop and matte"), ("quality_check", "Quality check"), ("_", "_")],
)
def test_stages_are_named_as_people_read_them(stage: str, name: str) -> None:
    """Known and unknown statuses read as words."""
    assert stage_name(stage) == name
