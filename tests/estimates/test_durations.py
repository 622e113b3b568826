"""Percentiles of stages: what is given, what is not, and why."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import lognorm

from avatarkit import durations, eta, stages
from avatarkit.estimates import semi_markov, survival
from avatarkit.estimates.sampling import Sample
from avatarkit.models import STAGES
from avatarkit.text import format_hours
from support import simulated

DAY = pd.Timestamp("2026-03-02", tz="UTC")


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
    kinds = empty.dtypes.iloc[: len(made[0]) if made else 10].to_dict()
    return pd.DataFrame(made, columns=list(kinds)).astype(kinds)


def exact(*times: float) -> pd.DataFrame:
    """Visits whose length is known exactly; a negative one is still running after so long."""
    return visits(*(("finished" if t > 0 else "running", 0, abs(t), 0) for t in times))


def row(frame: pd.DataFrame, stage: str = "reviewing") -> Any:
    """Return the summary of one stage."""
    summary = durations.summarize(frame)
    return summary.loc[summary["stage"] == stage].iloc[0]


HOURS = ["p10_h", "p25_h", "p50_h", "p75_h", "p90_h"]


def log_normal(median: float, scale: float, many: int) -> list[float]:
    """Return times at even quantiles of a log-normal."""
    return list(lognorm(scale, scale=median).ppf((np.arange(many) + 0.5) / many))


def test_the_percentiles_of_known_times_are_those_of_their_distribution() -> None:
    """A hundred exact times at the quantiles of a log-normal give its percentiles back."""
    result = row(exact(*log_normal(20, 0.5, 100)))
    truth = lognorm(0.5, scale=20).ppf(list(durations.PERCENTILES.values()))
    assert result[HOURS].tolist() == pytest.approx(truth.tolist(), rel=0.03)
    assert (result["n"], result["finished"], result["running"]) == (100, 100, 0)
    assert result["note"] == ""


def test_running_visits_are_not_left_out() -> None:
    """Times cut off at 20 h give the same median; without the running ones it is far too low."""
    times = log_normal(20, 0.5, 100)
    cut = [time if time < 22 else -22 for time in times]
    assert row(exact(*cut))["p50_h"] == pytest.approx(20, rel=0.05)
    assert row(exact(*(time for time in cut if time > 0)))["p50_h"] < 16
    assert row(exact(*cut))["note"].startswith("p75 and p90 are beyond the longest time observed")


def test_a_length_known_between_bounds_lies_between_them() -> None:
    """Of visits polled every 2 h, 20 of 8 to 10 h and 21 longer, the median is about 10 h."""
    rows = [*[("finished", 0, 8, 2)] * 20, *[("finished", 0, 10, 2)] * 20, ("finished", 0, 12, 2)]
    assert row(visits(*rows))["p50_h"] == pytest.approx(10, rel=0.03)


def test_fewer_than_five_finished_give_a_reason_and_no_number() -> None:
    """A guess from a few visits is not shown, and the reason counts what is there."""
    few = row(exact(5, 6, 7, -8, -9))
    assert few[HOURS].isna().all()
    assert few["note"] == "not enough yet: 3 finished, 2 running"
    unseen = row(visits(("finished", 1, 5, 1), ("never_seen", 0, 0, 2)))
    assert unseen["note"] == "not enough yet: 1 finished, 0 running, 1 never seen"
    assert row(exact(1, 2, 3, 4, 5))["note"] == ""


def test_more_than_half_never_seen_gives_a_reason_and_no_number() -> None:
    """When most visits fell between two polls, the seen ones are the long ones."""
    seen = [("finished", 1, 20, 1)] * 6
    coarse = row(visits(*seen, *[("never_seen", 0, 0, 1)] * 7))
    assert coarse["note"] == "polls too coarse: 7 of 13 never seen"
    assert coarse[HOURS].isna().all()
    assert row(visits(*seen, *[("never_seen", 0, 0, 1)] * 6))["note"] != coarse["note"]
    assert row(visits(*seen, *[("never_seen", 0, 0, 1)] * 4))["p50_h"] > 3


def test_a_median_too_short_for_the_polls_is_not_given() -> None:
    """Below three quarters of the usual gap durations cannot be told apart."""
    coarse = row(visits(*[("finished", 0.5, 0, 3)] * 9, ("finished", 0.5, 9, 3)))
    assert coarse["note"] == "polls too coarse: half took under 2 h 15 min, polled every 3 h"
    assert coarse[HOURS].isna().all()
    enough = [("finished", 0.5, 3, 3)] * 5 + [("finished", 0.5, 6, 3)] * 5
    assert row(visits(*enough))["p50_h"] == pytest.approx(6, rel=0.1)


def test_several_reasons_stand_side_by_side() -> None:
    """A note names each percentile that is missing and why."""
    short = [("finished", 0.5, 0, 2)] * 6
    spread = [("finished", 0.5, 2 * hours, 2) for hours in range(1, 7)]
    result = row(visits(*short, *spread, *[("running", 1, 14, 0)] * 8))
    assert result["note"].split("; ") == [
        "p10 is too short for polls every 2 h",
        "p75 and p90 are beyond the longest time observed (14 h 30 min)",
    ]
    assert result[["p10_h", "p75_h", "p90_h"]].isna().all()
    assert 2 < result["p50_h"] <= 14


def test_a_fit_that_the_times_contradict_is_said_to_be_off() -> None:
    """Four fixed lengths have no fitted family; the note says where the curves part, and by what.

    With lengths that a family has, there is nothing to say.
    """
    steps = row(exact(*[10] * 200, *[20] * 200, *[30] * 200, *[40] * 200, *[50] * 200))
    assert re.search(
        r"the fit is off: by \d+ h \d+% had left by the nonparametric curve, \d+% by the fit",
        steps["note"],
    )
    assert "off" not in row(exact(*log_normal(20, 0.5, 800)))["note"]


def test_times_that_are_hardly_known_leave_no_curve_to_compare_with() -> None:
    """It is drawn where beginnings are known to a tenth of the median, and times to a fifth."""
    known = durations.survival(
        visits(*(("finished", 1, time, 1) for time in log_normal(40, 0.4, 50)))
    )
    assert set(known["curve"]) == {"fitted", "nonparametric"}
    for entry, leave in ((8, 1), (1, 15)):
        rows = (("finished", entry, time, leave) for time in log_normal(40, 0.4, 50))
        hardly = durations.survival(visits(*rows))
        assert set(hardly.loc[hardly["stage"] == "reviewing", "curve"]) == {"fitted"}


def test_the_curves_of_a_stage_come_down_together() -> None:
    """Both are rows ascending in time, and the fitted one stays within the other's band."""
    frame = durations.survival(exact(*log_normal(20, 0.5, 300)))
    fitted, counted = (frame.loc[frame["curve"] == name] for name in ("fitted", "nonparametric"))
    assert fitted["time_h"].is_monotonic_increasing
    assert counted["time_h"].is_monotonic_increasing
    assert fitted["survival"].iloc[0] == 1
    assert fitted[["low", "high"]].isna().all(axis=None)
    between = np.interp(counted["time_h"], fitted["time_h"], fitted["survival"])
    inside = (counted["low"] <= between + 0.02) & (between <= counted["high"] + 0.02)
    assert inside.mean() > 0.9
    empty = durations.survival(exact())
    pd.testing.assert_series_equal(empty.dtypes, frame.dtypes)


def test_late_is_what_nineteen_in_twenty_are_not() -> None:
    """The p95 of each stage; NaN where there was no visit or too many are still running."""
    late = durations.late_after(exact(*log_normal(20, 0.5, 100)))
    assert late["reviewing"] == pytest.approx(lognorm(0.5, scale=20).ppf(0.95), rel=0.05)
    assert late.drop(["pending", "reviewing"]).isna().all()
    assert list(late.index) == [stage.value for stage in STAGES]
    cut = durations.late_after(
        exact(*(time if time < 21 else -21 for time in log_normal(20, 0.5, 50)))
    )
    assert math.isnan(cut["reviewing"])


def test_late_is_said_however_coarse_the_polls() -> None:
    """Where stages pass between two polls, what is far too long is still known to be."""
    unseen = [("never_seen", 0, 0, 0.7)] * 195
    late = durations.late_after(visits(*unseen, ("running", 0, 480, 0)))
    assert late["reviewing"] == pytest.approx(0.7)
    few = durations.late_after(visits(*unseen[:4], ("running", 0, 480, 0)))
    assert math.isnan(few["reviewing"])
    stuck = durations.late_after(visits(*unseen[:20], *[("running", 0, 480, 0)] * 20))
    assert math.isnan(stuck["reviewing"])


def test_one_that_is_stuck_does_not_decide_how_late_is_late() -> None:
    """Among sixteen that took a day, one of a fortnight would stretch the p95 to itself."""
    took = log_normal(20, 0.4, 16)
    limit = lognorm(0.4, scale=20).ppf(0.95)
    for stuck in ([-300], [-2000]):
        late = durations.late_after(exact(*took, *stuck))
        assert late["reviewing"] == pytest.approx(limit, rel=0.1)
    # Where many are running for longer than any that ended, they are the rule.
    many = durations.late_after(exact(*took[:5], *[-100] * 10))
    assert not many["reviewing"] < 100


def test_polls_in_step_with_the_creates_give_no_number() -> None:
    """A batch at nine, a poll at every full hour: all ends lie in the same hour."""
    in_step = [("finished", 0, 1, 1)] * 90
    told = row(visits(*in_step, *[("finished", 0, 0, 1)] * 40))
    assert math.isnan(told["p50_h"])
    assert "same gap between polls" in told["note"]
    apart = [("finished", 0, 1 - shift, 1) for shift in np.linspace(0, 0.99, 90)]
    assert row(visits(*apart))["p50_h"] == pytest.approx(1, abs=0.35)


def test_the_interval_is_wider_with_fewer_days() -> None:
    """It lies around the median, shrinks with the days, and needs at least five of them."""

    def over_days(days: int) -> Any:
        frame = exact(*log_normal(20, 0.5, 100))
        shift = pd.to_timedelta(np.repeat(np.arange(100) % days, 2), unit="D")
        for name in ("entered_after", "entered_before", "left_after", "left_before"):
            frame[name] = frame[name] + shift
        summary = durations.summarize(frame, interval=True)
        return summary.loc[summary["stage"] == "reviewing"].iloc[0]

    many, some, few = over_days(50), over_days(6), over_days(4)
    assert many["p50_low_h"] < many["p50_h"] < many["p50_high_h"]
    assert some["p50_low_h"] < some["p50_h"] < some["p50_high_h"]
    assert math.isnan(few["p50_low_h"])
    assert few["note"] == "no interval: submissions of fewer than 5 days"
    assert over_days(50).equals(many)


def test_of_very_many_visits_a_sample_even_over_time_is_fitted() -> None:
    """Of 12,000 visits 2,500 are fitted, as many of each part of the time, and the note says so."""
    times = lognorm(0.5, scale=20).rvs(12_000, random_state=1)
    frame = exact(*times)
    result = row(frame)
    assert (result["n"], result["finished"]) == (2_500, 12_000)
    assert result["note"] == "fitted to 2,500 of 12,000 visits, even over time"
    assert result["p50_h"] == pytest.approx(20, rel=0.05)

    shift = pd.to_timedelta(np.repeat(np.arange(12_000), 2), unit="h")
    for name in ("entered_after", "entered_before", "left_after", "left_before"):
        frame[name] = frame[name] + shift
    chosen = Sample(frame)
    begun = chosen.visits.loc[chosen.fitted & (chosen.visits["stage"] == "reviewing").to_numpy()]
    spread = np.sort((begun["entered_before"] - DAY) / pd.Timedelta(hours=1))
    assert np.diff(spread).max() <= 2 * 12_000 / 2_500


def test_the_order_of_the_rows_does_not_matter() -> None:
    """Visits in any order give the same summary."""
    frame = exact(*log_normal(20, 0.5, 40), -5, -30)
    mixed = frame.sample(frac=1, random_state=3)
    pd.testing.assert_frame_equal(durations.summarize(frame), durations.summarize(mixed))


def test_what_began_before_anyone_looked_is_counted_but_not_estimated_from() -> None:
    """A persona is likelier to be found in a long stage, so the one it was found in is left out."""
    watched = exact(*log_normal(3, 0.5, 20))
    found = exact(500, 500, 500, 500).assign(persona_id=["x", "x", "y", "y", "z", "z", "w", "w"])
    found = found.loc[found["stage"] == "reviewing"]
    found["entered_after"] -= pd.Timedelta(hours=1)
    result = row(pd.concat([watched, found], ignore_index=True))
    assert (result["n"], result["finished"]) == (20, 24)
    assert result["p50_h"] == pytest.approx(3, rel=0.05)
    assert result["note"] == "4 more began before the first poll"

    exactly = found.assign(entered_after=found["entered_before"])
    assert row(pd.concat([watched, exactly], ignore_index=True))["n"] == 24

    unseen = found.assign(state="never_seen", entered_after=found["entered_before"])
    alone = row(unseen)
    assert (alone["n"], alone["never_seen"]) == (0, 4)
    assert alone["note"].endswith("0 finished, 0 running; 4 more began before the first poll")


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
        *("stage", "n", "finished", "running", "never_seen", *HOURS, "note")
    ]
    both = durations.summarize(exact(1, 2, 3, 4, 5), interval=True)
    assert list(both.columns)[-3:] == [*durations.INTERVAL, "note"]


def test_another_frame_is_refused_in_a_sentence() -> None:
    """What is not a frame of visits is refused, with the name of the missing column."""
    with pytest.raises(ValueError, match=r"no column persona_id, .* pass what stages\.visits"):
        durations.summarize(pd.DataFrame({"stage": []}))


def test_one_state_of_the_log_is_fitted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Summary, interval, late_after, survival and arrivals share one fit and the given frames."""
    sightings, now = simulated.sightings(
        simulated.lives("log-normal", seed=1, personas=60, stages=["pending", "reviewing"]),
        1.0,
        seed=1,
    )
    visits_, lives = (build(sightings, now=now) for build in (stages.visits, stages.lives))
    expected = (
        durations.summarize(visits_, interval=True),
        durations.survival(visits_),
        eta.arrivals(sightings, now=now),
    )
    late = durations.late_after(visits_)

    calls: list[str] = []

    def counted(module: Any, name: str) -> None:
        real = getattr(module, name)

        def call(*args: Any, **options: Any) -> Any:
            calls.append(name)
            return real(*args, **options)

        monkeypatch.setattr(module, name, call)

    for module, name in (
        (semi_markov, "fit_stages"),
        (survival, "turnbull"),
        (stages, "visits"),
        (stages, "lives"),
    ):
        counted(module, name)
    fit = durations.fit(visits_)
    fit.summary()
    found = (
        fit.summary(interval=True),
        fit.survival(),
        eta.arrivals(sightings, now=now, visits=visits_, lives=lives, late_after=fit.late_after()),
    )
    for frame, same in zip(found, expected, strict=True):
        pd.testing.assert_frame_equal(frame, same)
    pd.testing.assert_series_equal(fit.late_after(), late)
    assert calls.count("fit_stages") == 1
    assert calls.count("turnbull") <= 2
    assert not {"visits", "lives"} & set(calls)


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
    assert format_hours(hours) == words
