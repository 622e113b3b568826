"""Groups: what a label, a column, a function or a period divides, and what it refuses."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import pandas as pd
import pytest

from avatarkit import durations, flow, groups, outcomes, stages
from avatarkit.models import STAGES
from support.chart_frames import MONDAY, log

NOW = MONDAY + pd.Timedelta(days=99)
PEOPLE = [
    ("p1", ["vip"], "f", 0),
    ("p2", ["vip", "new"], "m", 24),
    ("p3", [], "f", 24 * 40),
    ("p4", ["new"], None, 24 * 41),
]


def personas() -> pd.DataFrame:
    """Four personas with labels and a gender, the last two sent in April."""
    frame = pd.DataFrame(PEOPLE, columns=["persona_id", "labels", "gender", "sent"])
    sent = MONDAY + pd.to_timedelta(frame["sent"], unit="h")
    return frame.assign(created_at=sent, gender=frame["gender"].astype("str"))


def sightings() -> pd.DataFrame:
    """Each of them five hours in every stage, then done."""
    runs = []
    for name, _, _, sent in PEOPLE:
        for place, stage in enumerate(STAGES):
            runs.append((name, stage.value, sent + 5 * place, sent + 5 * place + 4))
        runs.append((name, "done", sent + 30, sent + 30))
    return log(*runs)


def visits(**values: Any) -> pd.DataFrame:
    values = {"carry": ["labels", "gender"], **values}
    return stages.visits(sightings(), now=NOW, personas=personas(), **values)


def lives() -> pd.DataFrame:
    return stages.lives(sightings(), now=NOW, personas=personas(), carry=["labels", "gender"])


def finished(frame: pd.DataFrame) -> dict[str, int]:
    """How many finished visits of reviewing each group has."""
    rows = frame.loc[frame["stage"] == "reviewing"]
    return dict(zip(rows["group"], rows["finished"], strict=True))


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ({"by": "vip"}, {"vip": 2, "without vip": 2}),
        ({"by": "labels"}, {"new": 2, "vip": 2, "no label": 1}),
        ({"by": "gender"}, {"f": 2, "m": 1, "none": 1}),
        ({"by": lambda rows: rows["labels"].map(len)}, {"0": 1, "1": 2, "2": 1}),
        ({"freq": "M"}, {"2026-03": 2, "2026-04": 2}),
        ({"freq": "W", "until": "2026-03-30"}, {"week of 2026-03-02": 2}),
        ({"by": "vip", "freq": "M"}, {"vip, 2026-03": 2, "without vip, 2026-04": 2}),
        ({"by": "gender", "since": "2026-04-12"}, {"none": 1}),
        ({"by": "gender", "since": date(2026, 4, 12)}, {"none": 1}),
    ],
)
def test_a_question_in_one_line(chosen: dict[str, Any], expected: dict[str, int]) -> None:
    """Labels, columns, functions and periods make groups in order, each with its own counts."""
    assert finished(durations.summarize(visits(), **chosen)) == expected


def test_a_group_has_the_numbers_of_its_avatars_alone() -> None:
    """The rows of a group are those of a summary of its avatars; its name stands in front."""
    both = durations.summarize(visits(), by="vip")
    vip = visits().loc[visits()["persona_id"].isin(["p1", "p2"])]
    alone = durations.summarize(vip)
    of_group = both.loc[both["group"] == "vip"].drop(columns="group")
    pd.testing.assert_frame_equal(of_group.reset_index(drop=True), alone)
    assert both.columns[0] == "group"


def test_a_period_without_groups_is_no_group() -> None:
    """``since`` and ``until`` alone choose avatars by their submission, and add no column."""
    rows = durations.summarize(visits(), since="2026-04-01", until="2026-04-12")
    assert "group" not in rows
    assert rows["finished"].max() == 1
    assert durations.summarize(visits(), until="2026-01-01")["n"].sum() == 0


def test_outcomes_and_flow_take_the_same_words() -> None:
    """Chances, curves, totals, their percentiles and counts by day are divided alike."""
    chances = outcomes.chances(lives(), by="vip")
    assert chances.groupby("group")["n"].first().to_dict() == {"vip": 2, "without vip": 2}
    assert set(outcomes.incidence(lives(), freq="M")["group"]) == {"2026-03", "2026-04"}
    totals = flow.waiting(lives(), by="labels")
    assert totals["group"].value_counts().to_dict() == {"new": 2, "vip": 2, "no label": 1}
    periods = flow.waiting_percentiles(totals, freq="M")
    assert periods.groupby("group")["n"].sum().to_dict() == {"new": 2, "vip": 2, "no label": 1}
    assert set(periods["from"].dt.day) == {1}
    days = flow.cumulative(sightings(), now=NOW, personas=personas(), by="gender", freq="M")
    last = days.loc[(days["day"] == days["day"].max()) & (days["status"] == "done")]
    assert last.set_index("group")["personas"].to_dict() == {"f": 2, "m": 1, "none": 1}
    assert days["day"].dt.strftime("%m-%d").unique().tolist() == [
        *("03-31", "04-30", "05-31", "06-09")
    ]


def test_nothing_chosen_has_the_columns_of_something() -> None:
    """Groups of no avatar are an empty frame with the columns and dtypes of a full one."""
    for compute, frame in [
        (durations.summarize, visits()),
        (durations.survival, visits()),
        (outcomes.incidence, lives()),
        (flow.waiting, lives()),
    ]:
        empty = compute(frame, by="gender", since="2030-01-01")
        assert empty.empty
        assert empty.dtypes.to_dict() == compute(frame, by="gender").dtypes.to_dict()
    none = flow.waiting(lives(), by="gender", since="2030-01-01")
    full = flow.waiting_percentiles(flow.waiting(lives(), by="gender"))
    assert flow.waiting_percentiles(none).dtypes.to_dict() == full.dtypes.to_dict()


@pytest.mark.parametrize(
    ("chosen", "sentence"),
    [
        ({"by": "vpi"}, "neither a column nor a label; the labels are: new, vip"),
        ({"by": "stage"}, "differs within an avatar"),
        ({"by": lambda rows: [1]}, "a value for each row"),
        ({"freq": "month"}, r"no period; choose one of D \(days\), W \(weeks\)"),
        ({"since": "yesterday-ish"}, "since='yesterday-ish' is no moment"),
        ({"until": datetime(2026, 3, 1)}, "until must carry a time zone"),  # noqa: DTZ001
    ],
)
def test_what_does_not_fit_is_one_sentence(chosen: dict[str, Any], sentence: str) -> None:
    """A misspelt label, a column of visits or a strange period is a ValueError that says so."""
    with pytest.raises(ValueError, match=sentence):
        durations.summarize(visits(), **chosen)


def test_labels_that_were_not_carried_are_named() -> None:
    """Without labels in the frame the sentence says how to get them."""
    with pytest.raises(ValueError, match=r"no column labels; pass .*carry=\['labels'\]"):
        durations.summarize(visits(carry=()), by="vip")
    with pytest.raises(ValueError, match="personas has no column vip"):
        visits(carry=["vip"])
    with pytest.raises(ValueError, match="by needs personas"):
        flow.cumulative(sightings(), now=NOW, by="gender")


def test_carried_columns_stand_at_the_end() -> None:
    """Visits keep their columns, rows and order, and gain what was asked for."""
    bare, carrying = visits(carry=()), visits(carry=["gender"])
    assert list(carrying.columns) == [*bare.columns, "gender"]
    pd.testing.assert_frame_equal(carrying[bare.columns], bare)


def test_labels_are_exploded() -> None:
    """Each label has a row, an avatar without labels one with a missing label."""
    rows = groups.explode_labels(personas())
    assert list(zip(rows["persona_id"], rows["label"].fillna("-"), strict=True)) == [
        *(("p1", "vip"), ("p2", "vip"), ("p2", "new"), ("p3", "-"), ("p4", "new"))
    ]
    assert groups.explode_labels(personas().head(0)).empty
