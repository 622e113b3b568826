"""The timeline of one persona: what is certain, and what is not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from avatarkit import charts, stages
from support.chart_frames import MONDAY, log, visits
from support.chart_specs import layers, parts


def test_a_timeline_has_solid_certain_parts_and_faint_edges() -> None:
    """What is certain, what changed between two polls, and what was never seen differ."""
    frame = visits(("a", "pending", 0, 1), ("a", "voice_creating", 3, 5), ("a", "done", 6, 6))
    chart = charts.timeline(frame.loc[frame["visit_no"] <= 3], now=MONDAY + timedelta(hours=8))

    def hours(part: str) -> list[tuple[str, float, float]]:
        rows = parts(chart)[part]
        spans = [
            tuple(
                (datetime.fromisoformat(row[end]) - MONDAY) / timedelta(hours=1)
                for end in ("from", "to")
            )
            for row in rows
        ]
        return sorted((row["stage"], *span) for row, span in zip(rows, spans, strict=True))

    assert hours("certain") == [("Pending", 0, 1), ("Voice creating", 3, 5)]
    assert hours("between polls") == [
        ("Pending", 1, 3),
        ("Voice creating", 1, 3),
        ("Voice creating", 5, 6),
    ]
    assert hours("never seen") == [("Processing", 1, 3)]
    assert set(parts(chart)) == {"certain", "between polls", "never seen"}
    bars = [layer["mark"] for layer in layers(chart) if layer["mark"]["type"] == "bar"]
    assert len({bar["size"] for bar in bars}) == 2
    assert layers(chart)[0]["encoding"]["y"]["sort"] == [
        *("Pending\n1 h to 3 h", "Processing\nat most 2 h", "Voice creating\n2 h to 5 h")
    ]


def test_labels_of_moments_are_centred_on_their_ticks() -> None:
    """A label at an end of the axis is not moved inwards, nor left out."""
    chart = charts.timeline(visits(("a", "pending", 0, 96)), now=MONDAY + timedelta(hours=96))
    axis = next(layer["encoding"]["x"] for layer in layers(chart) if "x" in layer["encoding"])
    assert axis["axis"]["labelAlign"] == "center"
    assert (axis["axis"]["labelFlush"], axis["axis"]["labelBound"]) == (False, False)


def test_a_timeline_is_in_utc_or_in_the_zone_of_the_browser() -> None:
    """The axis and the tooltips are of one zone, which the axis names."""
    frame, now = visits(("a", "pending", 0, 2)), MONDAY + timedelta(hours=5)
    for zone, name, scale, since in (
        (UTC, "UTC", "utc", "2026-03-02 00:00:00 UTC"),
        (ZoneInfo("America/New_York"), "EST", "time", "2026-03-01 19:00:00 EST"),
    ):
        chart = charts.timeline(frame, now=now, zone=zone)
        x = next(layer["encoding"]["x"] for layer in layers(chart) if "x" in layer["encoding"])
        assert x["title"] == f"Time ({name}), from {since[:10]}"
        assert x["scale"]["type"] == scale
        assert ("utcFormat" in x["axis"]["labelExpr"]) == (zone == UTC)
        (certain,) = parts(chart)["certain"]
        assert (certain["since"], certain["from"]) == (since, "2026-03-02T00:00:00+00:00")


def test_a_running_visit_is_open_until_now() -> None:
    """After the last poll nothing is known; a faint bar leads to now and ends in an arrow."""
    frame = visits(("a", "pending", 0, 2))
    now = MONDAY + timedelta(hours=5)
    drawn = parts(charts.timeline(frame, now=now))
    (since,) = drawn["since last poll"]
    assert since["length"] == "3 h"
    (arrow,) = drawn["still running"]
    assert datetime.fromisoformat(arrow["at"]) == now
    early = parts(charts.timeline(frame, now=MONDAY + timedelta(hours=1)))
    assert "since last poll" not in early
    assert datetime.fromisoformat(early["still running"][0]["at"]) == MONDAY + timedelta(hours=2)


def test_a_beginning_that_nothing_bounds_has_an_arrow() -> None:
    """A persona found midway began earlier, at an unknown moment."""
    frame = visits(("a", "reviewing", 0, 2), ("a", "done", 3, 3), source="list")
    drawn = parts(charts.timeline(frame, now=MONDAY + timedelta(hours=5)))
    assert [datetime.fromisoformat(row["at"]) for row in drawn["began earlier"]] == [MONDAY]
    assert "\nat least 2 h" in drawn["certain"][0]["row"]


def test_a_visit_seen_once_is_a_tick_and_a_further_visit_has_a_number() -> None:
    """A single poll has no length and is drawn all the same; rows stay apart by a number."""
    frame = visits(("a", "reviewing", 0, 0), ("a", "pending", 1, 2), ("a", "reviewing", 3, 4))
    chart = charts.timeline(frame, now=MONDAY + timedelta(hours=4))
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
        charts.timeline(frame, now=MONDAY)
    chart = charts.timeline(frame.head(1), now=MONDAY, title="Anna")
    assert chart.to_dict()["title"]["text"] == "Anna"


def test_the_end_is_the_last_row() -> None:
    """Of one that failed early, too, and of one that had ended when it was first seen."""
    for last in (1, 0):
        runs = [("a", "pending", 0, 1), ("a", "failed", 3, 3)][1 - last :]
        frame, now = log(*runs), MONDAY + timedelta(hours=5)
        lives = stages.lives(frame, now=now)
        chart = charts.timeline(stages.visits(frame, now=now), now=now, lives=lives)
        (end,) = parts(chart)["the end"]
        assert datetime.fromisoformat(end["at"]) == MONDAY + timedelta(hours=3)
        assert layers(chart)[0]["encoding"]["y"]["sort"][last:] == ["Failed\nby 2 Mar, 03:00"]
        spans = [row for row in parts(chart).get("between polls", []) if row["stage"] == "Failed"]
        assert [row["length"] for row in spans] == ["2 h"][:last]
    running = log(("a", "pending", 0, 1))
    lives = stages.lives(running, now=MONDAY)
    chart = charts.timeline(stages.visits(running, now=MONDAY), now=MONDAY, lives=lives)
    assert "the end" not in parts(chart)
