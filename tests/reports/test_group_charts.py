"""Charts of groups: side by side, named, with their n; never one drawn over another."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd
import pytest

from avatarkit import charts, durations, flow, outcomes, stages
from support import chart_frames

NOW = chart_frames.MONDAY + pd.Timedelta(days=99)
GENDERS = ("f", "m", "f")


def log() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Thirty personas, two thirds of them women, who took four to seven hours in each stage."""
    runs: list[tuple[str, str, float, float]] = []
    for i in range(30):
        at = 10.0 * i
        for place, stage in enumerate(chart_frames.STAGE_NAMES):
            took = 4 + (5 * i + 3 * place) % 7 / 2
            runs.append((f"p{i:02}", stage, at, at + took - 0.3))
            at += took
        runs.append((f"p{i:02}", "done", at, at))
    sightings = chart_frames.log(*runs)
    ids = [f"p{i:02}" for i in range(30)]
    created = chart_frames.MONDAY + pd.to_timedelta([10.0 * i for i in range(30)], unit="h")
    personas = pd.DataFrame({"persona_id": ids, "gender": GENDERS * 10, "created_at": created})
    return sightings, personas


def frames(**chosen: Any) -> dict[str, tuple[pd.DataFrame, ...]]:
    """What each chart takes."""
    sightings, personas = log()
    known: dict[str, Any] = {"now": NOW, "personas": personas}
    visits = stages.visits(sightings, **known, carry=["gender"])
    lives = stages.lives(sightings, **known, carry=["gender"])
    curves = durations.survival(visits, **chosen)
    totals = flow.waiting(lives, **chosen)
    return {
        "stage_times": (durations.summarize(visits, **chosen),),
        "survival": (curves[curves["stage"] == "reviewing"],),
        "outcomes": (outcomes.incidence(lives, **chosen),),
        "waiting": (totals, flow.waiting_percentiles(totals, freq="W")),
        "cumulative_flow": (flow.cumulative(sightings, **known, **chosen),),
    }


@pytest.fixture(scope="module")
def grouped() -> dict[str, tuple[pd.DataFrame, ...]]:
    return frames(by="gender")


@pytest.fixture(scope="module")
def plain() -> dict[str, tuple[pd.DataFrame, ...]]:
    return frames()


NAMES = ["stage_times", "survival", "outcomes", "waiting", "cumulative_flow"]


@pytest.mark.parametrize("name", NAMES)
def test_groups_are_in_one_picture_with_their_n(
    name: str, grouped: dict[str, tuple[pd.DataFrame, ...]]
) -> None:
    """Every chart names each group and says how many avatars or visits it stands for."""
    spec = json.dumps(getattr(charts, name)(*grouped[name]).to_dict())
    named = {
        "stage_times": ("Reviewing, f\\\\nn 20", "Reviewing, m\\\\nn 10"),
        "survival": ("f (n 20)", "m (n 10)"),
    }.get(name, ("? f, n 20", "? m, n 10"))
    for words in named:
        assert words.replace("\\\\", "\\") in spec.replace("\\\\", "\\")


@pytest.mark.parametrize("name", NAMES)
def test_two_rows_of_the_same_without_a_group_are_refused(
    name: str, plain: dict[str, tuple[pd.DataFrame, ...]]
) -> None:
    """Two frames one below the other would be drawn over each other; a sentence says so."""
    twice = [pd.concat([frame, frame], ignore_index=True) for frame in plain[name]]
    with pytest.raises(ValueError, match=r"twice.* drawn over itself; compute .* by="):
        getattr(charts, name)(*twice)
    getattr(charts, name)(*plain[name])


def test_groups_of_a_stage_are_side_by_side(
    grouped: dict[str, tuple[pd.DataFrame, ...]],
) -> None:
    """The rows are by stage, then by group; stages that no group has visited have none."""
    (summary,) = grouped["stage_times"]
    summary = summary.loc[summary["stage"] != "pending"]
    summary = pd.concat([summary, summary.tail(1).assign(stage="new", finished=0)])
    spec = charts.stage_times(summary).to_dict()
    orders = [layer["encoding"]["y"]["sort"] for layer in spec["layer"]]
    assert [row.split("\n")[0] for row in orders[0]] == [
        f"{stage}, {group}"
        for stage in (
            *("Processing", "Voice creating", "Video validating", "Crop and matte", "Reviewing"),
        )
        for group in "fm"
    ]


def test_groups_have_one_scale(grouped: dict[str, tuple[pd.DataFrame, ...]]) -> None:
    """Charts one below the other can be compared: hours and moments have the same domains."""
    axes = [("outcomes", "x"), ("waiting", "y"), ("waiting", "x"), ("cumulative_flow", "y")]
    for name, channel in axes:
        spec = getattr(charts, name)(*grouped[name]).to_dict()
        domains = [
            next(
                layer["encoding"][channel]["scale"]["domain"]
                for layer in part["layer"]
                if "domain" in layer["encoding"].get(channel, {}).get("scale", {})
            )
            for part in spec["vconcat"]
        ]
        assert len(domains) == 2
        assert domains[0] == domains[1]


def test_a_summary_of_groups_is_no_background_for_single_avatars(
    grouped: dict[str, tuple[pd.DataFrame, ...]],
) -> None:
    """The ageing chart needs one summary, and says so."""
    arrivals = chart_frames.arrivals(("p1", "reviewing", 3.0, False))
    with pytest.raises(ValueError, match="twice"):
        charts.aging(arrivals, *grouped["stage_times"])


def test_both_frames_of_waiting_have_the_groups(
    grouped: dict[str, tuple[pd.DataFrame, ...]], plain: dict[str, tuple[pd.DataFrame, ...]]
) -> None:
    """Percentiles of all below points of groups would be compared wrongly."""
    with pytest.raises(ValueError, match="Both frames must have groups"):
        charts.waiting(grouped["waiting"][0], plain["waiting"][1])
