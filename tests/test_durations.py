"""Percentiles of stages: against published answers, by hand, and on simulated lives."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest

from avatarkit import durations, stages
from avatarkit.models import STAGES
from avatarkit.words import in_words

DAY = pd.Timestamp("2026-03-02", tz="UTC")
# Freireich et al. 1963, remission of leukaemia in weeks under 6-MP; negative: still in remission.
REMISSION = [
    *(6, 6, 6, -6, 7, -9, 10, -10, -11, 13, 16),
    *(-17, -19, -20, 22, 23, -25, -32, -32, -34, -35),
]
PLACEBO = [1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23]


def visits(*rows: tuple[Any, ...], stage: str = "reviewing") -> pd.DataFrame:
    """Visits, one persona each, from (state, entry gap, certain hours, exit gap), all in hours."""
    made = []
    for number, (state, entry, certain, leave) in enumerate(rows):
        edges = np.cumsum([0, entry, certain, leave])
        if state == "never_seen":
            edges = np.array([0, leave, 0, leave])
        bounds = [DAY + pd.Timedelta(hours=float(edge)) for edge in edges]
        least, most = max(0.0, certain), entry + certain + leave
        if state == "running":
            bounds[3], most = pd.NaT, math.inf
        if state == "never_seen":
            least, most = 0.0, leave
        persona = f"p{number}"
        made.append((persona, 1, "pending", "finished", DAY, DAY, DAY, DAY, 0.0, 0.0))
        made.append((persona, 2, stage, state, *bounds, least, most))
    empty = stages.visits(
        pd.DataFrame(
            columns=[
                *("persona_id", "status", "first_seen_at", "last_seen_at", "reported_at", "source")
            ]
        ),
        now=datetime(2026, 1, 1, tzinfo=UTC),
    )
    return pd.DataFrame(made, columns=empty.columns).astype(empty.dtypes.to_dict())


def exact(*times: float) -> pd.DataFrame:
    """Visits whose length is known exactly; a negative one is still running after so long."""
    return visits(*(("finished" if t > 0 else "running", 0, abs(t), 0) for t in times))


def row(frame: pd.DataFrame, stage: str = "reviewing") -> Any:
    """The summary of one stage."""
    summary = durations.summarize(frame)
    return summary.loc[summary["stage"] == stage].iloc[0]


def test_the_curve_of_published_data_has_the_published_values() -> None:
    """The 6-MP arm of Freireich's trial: S(10) = .7529, S(22) = .5378, median 23 weeks."""
    curve = durations.kaplan_meier(np.abs(REMISSION), np.array(REMISSION) > 0)

    survival = curve.set_index("time_h")["survival"]
    published = {6: 0.8571, 7: 0.8067, 10: 0.7529, 13: 0.6902, 16: 0.6275, 22: 0.5378, 23: 0.4482}
    for week, share in published.items():
        assert survival[week] == pytest.approx(share, abs=5e-5)
    assert curve["at_risk"].tolist()[:4] == [21, 17, 16, 15]
    assert curve["ended"].tolist()[:4] == [3, 1, 0, 1]
    assert durations.percentile(curve, 0.5) == 23
    assert durations.percentile(curve, 0.1) == 6
    assert math.isnan(durations.percentile(curve, 0.9))


def test_published_data_through_summarize() -> None:
    """The same trial as visits: medians 23 and 8 weeks, and no p90 where the curve ends above."""
    treated = row(exact(*REMISSION))
    assert (treated["n"], treated["finished"], treated["running"]) == (21, 9, 12)
    assert (treated["p10_h"], treated["p50_h"]) == pytest.approx((6, 23))
    assert math.isnan(treated["p90_h"])
    assert treated["note"] == "p90 is beyond the longest time observed (1 d 11 h)"
    placebo = row(exact(*PLACEBO))
    assert (placebo["p10_h"], placebo["p50_h"], placebo["p90_h"]) == pytest.approx((2, 8, 17))
    assert placebo["note"] == ""


def test_running_visits_are_not_left_out() -> None:
    """By hand: 1, 2, 3+, 4, 5, 6 gives S = 5/6, 2/3, 4/9, …, so half are through at 4, not 3."""
    result = row(exact(1, 2, -3, 4, 5, 6))
    assert result["p50_h"] == pytest.approx(4)
    assert row(exact(1, 2, 4, 5, 6))["p50_h"] == pytest.approx(4)
    assert row(exact(1, 2, 3, 4, 5, -9, -9, -9, -9))["p50_h"] == pytest.approx(5)


def test_a_curve_of_nothing_and_of_nothing_ended() -> None:
    """Without times there is no curve; when nothing has ended it stays at one."""
    empty = durations.kaplan_meier([], [])
    assert empty.empty
    assert math.isnan(durations.percentile(empty, 0.5))
    flat = durations.kaplan_meier([1, 2], [False, False])
    assert flat["survival"].tolist() == [1, 1]
    assert flat["ended"].tolist() == [0, 0]


def test_a_length_known_between_bounds_counts_with_all_of_them() -> None:
    """By hand: of five visits of 10 to 12 h the percentiles lie in the middle and near the ends."""
    result = row(visits(*[("finished", 0, 10, 2)] * 5))
    assert (result["p10_h"], result["p50_h"], result["p90_h"]) == pytest.approx(
        (10.25, 10.75, 11.75)
    )
    both = row(visits(*[("finished", 2, 10, 2)] * 5))
    assert both["p50_h"] == pytest.approx(12)
    assert 10 < both["p10_h"] < 11.5 < 12.5 < both["p90_h"] < 14


def test_fewer_than_five_finished_give_a_reason_and_no_number() -> None:
    """A guess from a few visits is not shown, and the reason counts what is there."""
    few = row(exact(5, 6, 7, -8, -9))
    assert few[["p10_h", "p50_h", "p90_h"]].isna().all()
    assert few["note"] == "not enough yet: 3 finished, 2 running"
    unseen = row(visits(("finished", 1, 5, 1), ("never_seen", 0, 0, 2)))
    assert unseen["note"] == "not enough yet: 1 finished, 0 running, 1 never seen"
    assert row(exact(1, 2, 3, 4, 5))["note"] == ""


def test_more_than_half_never_seen_gives_a_reason_and_no_number() -> None:
    """When most visits fell between two looks, the seen ones are the long ones."""
    seen = [("finished", 1, 20, 1)] * 6
    coarse = row(visits(*seen, *[("never_seen", 0, 0, 1)] * 7))
    assert coarse["note"] == "polls too coarse: 7 of 13 never seen"
    assert coarse[["p10_h", "p50_h", "p90_h"]].isna().all()
    assert row(visits(*seen, *[("never_seen", 0, 0, 1)] * 6))["note"] != coarse["note"]
    assert row(visits(*seen, *[("never_seen", 0, 0, 1)] * 5))["p50_h"] > 19


def test_percentiles_below_the_gap_between_looks_are_not_given() -> None:
    """Shorter than the usual gap is nothing that such polls can measure."""
    just = row(visits(*[("finished", 2, 0, 2)] * 9, ("finished", 6, 0, 6)))
    assert just["p50_h"] == pytest.approx(2)
    coarse = row(visits(*[("finished", 0.5, 0, 3)] * 10))
    assert coarse["note"] == "polls too coarse: half took less than 3 h, the usual gap"
    assert coarse[["p10_h", "p50_h", "p90_h"]].isna().all()
    mixed = row(visits(*[("finished", 0, 0, 2)] * 4, *[("finished", 0, 30, 2)] * 6))
    assert mixed["note"] == "p10 is below the usual gap of 2 h between looks"
    assert math.isnan(mixed["p10_h"])
    assert mixed["p50_h"] > 30


def test_several_reasons_stand_side_by_side() -> None:
    """A note names each percentile that is missing and why."""
    frame = visits(
        *[("finished", 0, 0, 2)] * 3, *[("finished", 0, 5, 2)] * 2, *[("running", 0, 9, 0)] * 6
    )
    result = row(frame)
    assert result["note"] == (
        "p10 is below the usual gap of 2 h between looks; "
        "p50 and p90 are beyond the longest time observed (9 h)"
    )


def test_what_began_before_anyone_looked_is_counted_but_not_estimated_from() -> None:
    """A persona is likelier to be found in a long stage, so the one it was found in is left out."""
    watched = exact(1, 2, 3, 4, 5)
    found = exact(500, 500, 500, 500).assign(persona_id=["x", "x", "y", "y", "z", "z", "w", "w"])
    found = found.loc[found["stage"] == "reviewing"]
    found["entered_after"] -= pd.Timedelta(hours=1)
    result = row(pd.concat([watched, found], ignore_index=True))
    assert (result["n"], result["finished"]) == (5, 9)
    assert result["p50_h"] == pytest.approx(3)
    assert result["note"] == "4 more began before anyone looked"

    exactly = found.assign(entered_after=found["entered_before"])
    assert row(pd.concat([watched, exactly], ignore_index=True))["n"] == 9

    unseen = found.assign(state="never_seen", entered_after=found["entered_before"])
    alone = row(unseen)
    assert (alone["n"], alone["never_seen"]) == (0, 4)
    assert alone["note"].endswith("0 finished, 0 running; 4 more began before anyone looked")


def test_the_stages_come_in_the_order_of_the_api_and_unknown_ones_after() -> None:
    """Six rows always, with the dtypes of a full frame; what the API does not document follows."""
    empty = durations.summarize(exact())
    assert empty["stage"].tolist() == [stage.value for stage in STAGES]
    assert (empty["note"] == "not enough yet: 0 finished, 0 running").all()
    full = durations.summarize(
        pd.concat([exact(1, 2, 3, 4, 5), visits(("running", 0, 1, 0), stage="polishing")])
    )
    assert full["stage"].tolist() == [*(stage.value for stage in STAGES), "polishing"]
    pd.testing.assert_series_equal(empty.dtypes, full.dtypes)
    assert list(full.columns) == [
        *("stage", "n", "finished", "running", "never_seen", "p10_h", "p50_h", "p90_h", "note")
    ]


def test_another_frame_is_refused_in_a_sentence() -> None:
    """What is not a frame of visits is told apart by the column that it lacks."""
    with pytest.raises(ValueError, match=r"no column persona_id, .* pass what stages\.visits"):
        durations.summarize(pd.DataFrame({"stage": []}))


def simulated(gap_h: float, medians_h: list[float], *, seed: int, personas: int) -> pd.DataFrame:
    """Visits of log-normal lives, looked at about every ``gap_h``; a quarter of them still runs."""
    rng = np.random.default_rng(seed)
    names = [stage.value for stage in STAGES][: len(medians_h)]
    rows = []
    for number in range(personas):
        ends = np.cumsum(np.exp(rng.normal(np.log(medians_h), 0.6)))
        stop = rng.uniform(0, 4) * ends[-1]
        looks = np.cumsum(gap_h * rng.uniform(0.8, 1.2, int(ends[-1] / gap_h * 1.4) + 3))
        looks = np.append(0, looks[looks < stop])
        index = np.searchsorted(ends, looks, side="right")
        for place in np.unique(index):
            seen = looks[index == place]
            name = names[place] if place < len(names) else "done"
            source = "create" if place == 0 else "poll"
            rows.append((f"p{number}", name, seen[0], seen[-1], source))
    frame = pd.DataFrame(rows, columns=["persona_id", "status", "first", "last", "source"])
    moments = {
        f"{name}_seen_at": DAY + pd.to_timedelta(frame[name], unit="h")
        for name in ("first", "last")
    }
    return stages.visits(
        frame.assign(**moments, reported_at=pd.NaT), now=datetime(2030, 1, 1, tzinfo=UTC)
    )


@pytest.mark.parametrize("gap_h", [0.25, 1.0, 3.0])
def test_medians_are_right_where_they_are_given_and_the_naive_ones_are_not(gap_h: float) -> None:
    """On lives with a known truth a median is within 15 %, or not given; averages are far off."""
    truth = [0.5, 2.0, 6.0, 20.0]
    frame = simulated(gap_h, truth, seed=7, personas=500)
    summary = durations.summarize(frame).head(4)

    assert (frame["state"] == "running").mean() > 0.03
    given = summary["p50_h"].notna().to_numpy()
    assert given.tolist() == [median > gap_h for median in truth]
    error = (summary["p50_h"] / truth - 1).abs()[given]
    assert (error <= 0.15).all()
    seen = frame.loc[frame["state"] == "finished"]
    naive = ((seen["min_h"] + seen["max_h"]) / 2).groupby(seen["stage"]).mean()
    assert naive["video_validating"] / 20 - 1 > 0.10 or naive["pending"] / 0.5 - 1 > 0.10


@pytest.mark.parametrize(
    ("hours", "words"),
    [
        (0, "0 s"),
        (40 / 3600, "40 s"),
        (59.7 / 3600, "1 min"),
        (90 / 3600, "1 min 30 s"),
        (9.9999 / 60, "10 min"),
        (0.2, "12 min"),
        (59.7 / 60, "1 h"),
        (25 / 12, "2 h 5 min"),
        (23.999, "1 d"),
        (28.4, "1 d 4 h"),
        (47.7, "2 d"),
        (24 * 40 + 12, "40 d 12 h"),
        (-2, "-2 h"),
        (math.inf, "no end"),
        (math.nan, "unknown"),
    ],
)
def test_hours_in_words(hours: float, words: str) -> None:
    """Hours read as people say them, and never as 60 minutes or 24 hours."""
    assert in_words(hours) == words
