"""Arrivals: when running personas will end, on which basis, and how it is worded."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avatarkit import eta, stages
from avatarkit.estimates import claim, work_clock
from avatarkit.estimates.stage_model import StageModel
from avatarkit.models import STAGES

DAY = datetime(2026, 3, 2, tzinfo=UTC)
NAMES = [stage.value for stage in STAGES]
RANGE = ["p10_at", "p50_at", "p90_at"]
HOUR = pd.Timedelta(hours=1)

Life = tuple[float, list[tuple[str, float]], str | None]
"""When it began, its stages with their hours, and its end (None: still in the last stage)."""


def at(hours: float) -> pd.Timestamp:
    """Return the moment this many hours into the day on which everything begins."""
    return (pd.Timestamp(DAY) + pd.Timedelta(hours=hours)).round("us")


def log(lives: dict[str, Life], gap: float = 0.0) -> pd.DataFrame:
    """Sightings of these lives, each change seen ``gap`` hours after the last poll before it."""
    rows = []
    for persona, (begin, spells, end) in lives.items():
        since, source = begin, "create"
        for nth, (status, hours) in enumerate(spells):
            last = nth == len(spells) - 1 and end is None
            until = since + hours if last else since + hours - gap / 2
            rows.append((persona, status, since, max(until, since), source))
            since, source = since + hours + (0 if last else gap / 2), "poll"
        if end is not None:
            rows.append((persona, end, since, since, "poll"))
    frame = pd.DataFrame(rows, columns=["persona_id", "status", "first", "last", "source"])
    start = work_clock.since_monday(pd.Series([DAY]))[0]
    frame["first_seen_at"] = work_clock.to_moments(frame.pop("first").to_numpy() + start)
    frame["last_seen_at"] = work_clock.to_moments(frame.pop("last").to_numpy() + start)
    frame["reported_at"] = pd.Series(pd.NaT, frame.index, dtype="datetime64[us, UTC]")
    return frame.astype({"persona_id": "str", "status": "str", "source": "str"})


def reviews(
    *hours: float, end: str = "done", begin: float = 0.0, gap: float = 0.0
) -> dict[str, Life]:
    """Lives that began in review, ``gap`` hours apart, and ended after so long."""
    return {
        f"r{nth:04d}": (begin + gap * nth, [("reviewing", h)], end) for nth, h in enumerate(hours)
    }


def whole(seed: int, size: int, *, median: float = 10.0) -> dict[str, Life]:
    """Lives through all six stages, one begun every seven hours, a tenth of them failed."""
    rng = np.random.default_rng(seed)
    hours = median * np.exp(0.5 * rng.standard_normal((size, 6)))
    found: dict[str, Life] = {}
    for nth, took in enumerate(hours):
        spells = list(zip(NAMES, took.tolist(), strict=True))
        failed = rng.random() < 0.1
        found[f"w{nth:04d}"] = (
            nth * 7.0,
            spells[:4] if failed else spells,
            "failed" if failed else "done",
        )
    return found


def arrivals(lives: dict[str, Life], now: float, **options: Any) -> pd.DataFrame:
    """Return the arrivals of these lives at that hour, by persona."""
    none = pd.Series(dtype="float64")
    options = {"late_after": none, **options}
    found = eta.arrivals(log(lives), now=at(now).to_pydatetime(), **options)
    return found.set_index("persona_id")


def hours_of(row: pd.Series[Any], since: float = 0.0) -> list[float]:
    """p10, p50 and p90 in hours."""
    return [(row[name] - at(since)) / HOUR for name in RANGE]


# What can be worked out by hand


@pytest.fixture
def without_claim(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the vendor's claim weigh nothing."""
    monkeypatch.setattr(claim, "WEIGHT", 1e-9)


@pytest.mark.usefixtures("without_claim", "round_the_clock")
def test_one_stage_is_kaplan_meier_given_the_age() -> None:
    """Ends at 10, 20, 21, 30 and 40 h, two running at 25: who is at 15 h ends at 20, 30, 40 h.

    Of the six that are known to be older than 15 h, 5/6 are left after 20 h, 2/3 after 21 h, 1/3
    after 30 h and none after 40 h. Without the running ones the median would be 21 h.
    """
    lives = reviews(10, 20, 21, 30, 40)
    lives |= {name: (20.0, [("reviewing", 25.0)], None) for name in ("one", "two")}
    lives |= {"new": (30.0, [("reviewing", 15.0)], None)}
    found = arrivals(lives, 45)
    assert hours_of(found.loc["new"], since=30) == pytest.approx([20, 30, 40], abs=1.2)
    assert found.loc["new", "n"] == 5
    assert found.loc["new", "stage"] == "reviewing"
    assert found.loc["new", "in_stage_h"] == pytest.approx(15)
    assert found.loc["new", "age_h"] == pytest.approx(15)


@pytest.fixture
def round_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Suppose no business hours."""
    monkeypatch.setattr(work_clock, "_WALL_PRIOR", 1.0)


@pytest.mark.usefixtures("without_claim", "round_the_clock")
def test_the_stages_to_come_are_added() -> None:
    """Who has just begun a stage of 5 h before one of 7 h ends after 12 h, and in no other time."""
    spells = [("crop_and_matte", 5.0), ("reviewing", 7.0)]
    lives: dict[str, Life] = {f"d{nth}": (nth * 1.1, spells, "done") for nth in range(40)}
    lives["new"] = (100.0, [("crop_and_matte", 0.0)], None)
    # Each step of the curve is a short slope, from the last point of the claim on.
    _, p50, p90 = hours_of(arrivals(lives, 100).loc["new"], since=100)
    assert 11.5 < p50 <= 12.0
    assert p90 == pytest.approx(12.0, abs=0.1)


def test_the_chance_of_done_is_that_of_the_stage_and_of_who_is_as_old() -> None:
    """Failures after 30 h count for who is younger than that, and no more for who is older."""
    lives = reviews(*np.linspace(10, 20, 40), end="done") | {
        f"f{nth}": (0.0, [("reviewing", 30.0 + nth / 9)], "failed") for nth in range(40)
    }
    lives["young"] = (200.0, [("reviewing", 1.0)], None)
    lives["older"] = (200.0 - 24, [("reviewing", 25.0)], None)
    lives["begun"] = (200.0, [("pending", 1.0)], None)
    chance = arrivals(lives, 201)["chance_done"]
    assert chance["young"] == pytest.approx(0.5, abs=0.01)
    assert chance["older"] < 0.1
    assert np.isnan(chance["begun"])


def test_few_lives_prove_neither_always_nor_never() -> None:
    """After one done the chance is two thirds, after one rejected a third, after 98 done 99 %."""
    new: dict[str, Life] = {"new": (99.0, [("reviewing", 0.5)], None)}
    for hours, end, chance in (([20], "done", 2 / 3), ([20], "rejected", 1 / 3)):
        found = arrivals(reviews(*hours, end=end) | new, 99.5)
        assert found.loc["new", "chance_done"] == pytest.approx(chance, abs=1e-6)
    found = arrivals(reviews(*np.linspace(9, 30, 98)) | new, 99.5)
    assert found.loc["new", "chance_done"] == pytest.approx(0.99)


def test_failures_while_many_are_running_do_not_pass_for_the_usual_end() -> None:
    """Two failed early of a hundred that are halfway: the chance of done is not zero of two."""
    spells = [("processing", 10.0), ("reviewing", 20.0)]
    lives: dict[str, Life] = {f"p{n:03d}": (0.0, [*spells[:1], ("reviewing", 5.0)], None)
                              for n in range(100)}  # fmt: skip
    lives |= {f"f{n}": (0.0, [("processing", 5.0)], "failed") for n in range(2)}
    lives["new"] = (14.0, [("processing", 1.0)], None)
    assert arrivals(lives, 15).loc["new", "chance_done"] > 0.6


# From the vendor's claim to one's own data


@pytest.mark.usefixtures("round_the_clock")
def test_before_any_history_the_claim_speaks_and_is_called_that() -> None:
    """A persona ends after 1 to 5 days, 8 times in 10, in whichever stage it begins."""
    lives: dict[str, Life] = {
        "new": (0.0, [("pending", 0.0)], None),
        "review": (0.0, [("reviewing", 0.0)], None),
    }
    found = arrivals(lives, 0)
    for persona in lives:
        p10, p50, p90 = hours_of(found.loc[persona])
        assert p10 == pytest.approx(28, rel=0.03)
        assert p50 == pytest.approx(np.sqrt(28 * 130), rel=0.03)
        assert p90 == pytest.approx(130, rel=0.03)
    assert set(found["basis"]) == {"the vendor's claim, not your data"}
    assert found["n"].tolist() == [0, 0]
    assert found["chance_done"].isna().all()
    assert not found["late"].any()


def test_before_any_history_the_range_reaches_over_the_weekend() -> None:
    """What is sent on a Friday may take longer than what is sent on a Monday."""
    reach = []
    for day in (0, 4):
        new: dict[str, Life] = {"new": (24.0 * day + 12, [("pending", 0.0)], None)}
        found = arrivals(new, 24.0 * day + 12).loc["new"]
        reach.append(hours_of(found, since=24.0 * day + 12)[1])
    assert reach[1] > reach[0] + 6


def test_lives_that_are_sent_together_are_one_piece_of_evidence() -> None:
    """After 60 lives of one batch the claim still counts; after 60 sent one by one it does not."""
    widths, bases = [], []
    for gap in (0.0, 7.0):
        lives = reviews(*(18 + np.arange(60) * 37 % 60 / 15), gap=gap)
        lives["new"] = (800.0, [("reviewing", 0.0)], None)
        found = arrivals(lives, 800).loc["new"]
        p10, _, p90 = hours_of(found, since=800)
        widths.append(p90 - p10)
        bases.append(found["basis"])
        assert found["n"] == 60
    assert bases == [eta.BLEND, eta.DATA]
    assert widths[0] > 2 * widths[1]


def test_after_a_clear_change_of_pace_only_the_lives_since_then_count() -> None:
    """A vendor who becomes twice as slow is known three weeks later; who does not, keeps all."""
    rng = np.random.default_rng(5)
    medians, counts = [], []
    for factor in (1.0, 2.0):
        hours = 20 * np.exp(0.3 * rng.standard_normal(240))
        hours[120:] *= factor
        lives = reviews(*hours, gap=4.2)
        lives["new"] = (1008.0, [("reviewing", 0.0)], None)
        found = arrivals(lives, 1008).loc["new"]
        medians.append(hours_of(found, since=1008)[1])
        counts.append(found["n"])
    assert medians == pytest.approx([20, 40], rel=0.15)
    assert counts[0] > 220
    assert 80 < counts[1] <= 120


def test_without_an_end_nothing_but_the_claim_speaks() -> None:
    """What stages took of lives that have not ended moves nothing, as the basis says."""
    new: dict[str, Life] = {"new": (50.0, [("pending", 1.0)], None)}
    others: dict[str, Life] = {
        f"o{nth}": (0.0, [("pending", 40.0), ("processing", 5.0)], None) for nth in range(30)
    }
    alone, among = arrivals(new, 51), arrivals(new | others, 51)
    assert among.loc["new", RANGE].tolist() == alone.loc["new", RANGE].tolist()
    assert set(among["basis"]) == {eta.CLAIM}


def test_a_stage_that_took_no_time_has_a_survival() -> None:
    """Where all left at once, nothing is longer than that, and it is no warning."""
    nothing, follows = np.zeros(1), np.zeros(1, dtype="int64")
    clock = work_clock.WorkClock(np.ones(work_clock.WEEK))
    model = StageModel(clock, nothing, np.full(1, 0.5), follows, nothing.astype(bool))
    assert model.survival(np.array([0.0, 1.0])).tolist() == [0.5, 0.0]


def test_the_claim_gives_way_as_history_grows() -> None:
    """With each review of 100 h the median moves from 60 h to 100 h, and the basis says it."""
    medians, bases = [], []
    for count in (0, 1, 3, 200):
        lives = reviews(*np.linspace(95, 105, count), gap=2.0) if count else {}
        lives["new"] = (504.0, [("reviewing", 0.0)], None)
        found = arrivals(lives, 504).loc["new"]
        medians.append(hours_of(found, since=504)[1])
        bases.append(found["basis"])
    assert medians == sorted(medians)
    assert medians[0] == pytest.approx(60, rel=0.15)
    assert medians[-1] == pytest.approx(100, rel=0.05)
    assert bases == [eta.CLAIM, eta.BLEND, eta.BLEND, eta.DATA]


def test_only_the_personas_that_began_last_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the limit older lives are forgotten, and n says how many are left."""
    monkeypatch.setattr(eta, "RECENT", 60)
    lives = {f"a{p}": life for p, life in reviews(*np.linspace(190, 210, 80)).items()}
    later = reviews(*np.linspace(9, 11, 59), begin=300.0, gap=2.0)
    lives |= {f"b{p}": life for p, life in later.items()}
    lives["new"] = (500.0, [("reviewing", 0.0)], None)
    found = arrivals(lives, 500).loc["new"]
    assert found["n"] == 59
    assert 8 < hours_of(found, since=500)[1] < 12


# Lives that go their own way


@pytest.mark.usefixtures("round_the_clock")
def test_who_stays_longer_than_any_before_is_a_guess_that_widens_with_age() -> None:
    """Beyond all that was seen or claimed the range reaches on in proportion to the age."""
    widths = []
    for age in (200.0, 800.0):
        lives = reviews(*np.linspace(10, 30, 50))
        lives["stuck"] = (100.0, [("reviewing", age)], None)
        found = arrivals(lives, 100 + age).loc["stuck"]
        assert found["basis"] == eta.BEYOND
        p10, p50, p90 = hours_of(found, since=100 + age)
        assert 0 < p10 < p50 < p90
        assert p50 == pytest.approx(age * (2**0.5 - 1), rel=0.1)
        widths.append(p90 - p10)
    assert widths[1] == pytest.approx(4 * widths[0], rel=0.1)


def test_a_look_long_ago_does_not_put_the_end_into_the_past() -> None:
    """Not seen for weeks, in a stage of an hour: the range is a guess and later than now."""
    lives = reviews(*np.linspace(0.8, 1.2, 50))
    lives["unseen"] = (10.0, [("reviewing", 0.5)], None)
    found = arrivals(lives, 700).loc["unseen"]
    assert found["basis"] == eta.BEYOND
    assert hours_of(found, since=700)[0] > 0
    assert found["in_stage_h"] == pytest.approx(0.5)
    assert found["age_h"] == pytest.approx(690)


def test_what_was_not_looked_at_lately_may_be_ready_already() -> None:
    """Seen in review 20 h ago, where two of three end within that time: ready now, or soon."""
    lives = {p: (nth * 11.0, *life[1:]) for nth, (p, life) in
             enumerate(reviews(*np.linspace(5, 35, 200)).items())}  # fmt: skip
    lives["unseen"] = (3000.0, [("reviewing", 5.0)], None)
    p10, p50, p90 = hours_of(arrivals(lives, 3025).loc["unseen"], since=3025)
    assert p10 == p50 == pytest.approx(1 / 3600)
    assert p90 == pytest.approx(7.0, abs=1.0)


def test_before_a_weekend_was_seen_the_range_reaches_over_it() -> None:
    """On the first Friday, after ends by day, Monday is possible; not so if they end on Sundays."""
    reach = []
    for days in (4, 60):
        lives: dict[str, Life] = {}
        for nth in range(2 * days):
            begin, end = nth // 2 * 24.0 + nth * 7 % 24, nth // 2 * 24.0 + 34 + nth * 3 % 8
            lives[f"e{nth:03d}"] = (begin, [("reviewing", end - begin)], "done")
        now = 24.0 * 4 + 15 + (24 * 56 if days > 4 else 0)
        lives["new"] = (now - 1, [("reviewing", 1.0)], None)
        reach.append(hours_of(arrivals(lives, now).loc["new"], since=now)[2])
    assert reach[0] > 48
    assert reach[1] < 48


def test_business_hours_shape_the_range() -> None:
    """Reviews that end at 17 o'clock on working days: on a Friday night Monday is likeliest."""
    rng = np.random.default_rng(4)
    lives: dict[str, Life] = {}
    for nth in range(150):
        begin = float(nth // 5 * 24 + rng.uniform(8, 16))
        end = nth // 5 * 24 + 24 * int(rng.integers(1, 3)) + float(rng.uniform(16, 18))
        while end // 24 % 7 > 4:
            end += 24
        lives[f"o{nth:03d}"] = (begin, [("reviewing", end - begin)], "done")
    friday = 24 * 4 + 24 * 7 * 6
    lives["new"] = (friday + 10.0, [("reviewing", 10.0)], None)
    found = arrivals(lives, friday + 20).loc["new"]
    assert found["p50_at"].weekday() == 0
    assert found["p10_at"] > at(friday + 24 * 3)


def test_a_status_nobody_has_heard_of_comes_before_the_review() -> None:
    """An undocumented status counts as a stage of its own; when seen often, by its own times."""
    lives = whole(2, 60)
    lives["new"] = (1000.0, [("polishing", 1.0)], None)
    one = arrivals(lives, 1001).loc["new"]
    assert one["stage"] == "polishing"
    assert one["basis"] == eta.BLEND
    assert np.isnan(one["chance_done"])
    for nth in range(60):
        spells = [("polishing", 90.0 + nth * 37 % 60 / 9), ("reviewing", 10.0)]
        lives[f"x{nth:02d}"] = (nth * 7.0, spells, "done")
    known = arrivals(lives, 1001).loc["new"]
    assert known["p10_at"] > at(1000 + 85)
    assert known["chance_done"] > 0.9


def test_a_stage_that_comes_again_and_again_has_an_end() -> None:
    """Personas sent back and forth without an end in sight still get a range."""
    circle = [("processing", 1.0), ("reviewing", 1.0)] * 30
    lives: dict[str, Life] = {f"c{nth}": (nth * 1.0, circle, None) for nth in range(30)}
    lives |= reviews(5.0, 6.0)
    found = arrivals(lives, 95)
    assert len(found) == 30
    assert (found["p90_at"] > at(95)).all()
    assert found["chance_done"].between(0, 1).all()


def test_who_was_found_midway_is_predicted_from_its_least_age() -> None:
    """A persona of unknown beginning is as old as it was seen to be, and is not learned from."""
    frame = log({"found": (0.0, [("reviewing", 6.0)], None)} | reviews(*np.linspace(9, 11, 30)))
    frame.loc[frame["persona_id"] == "found", "source"] = "list"
    none = pd.Series(dtype="float64")
    found = eta.arrivals(frame, now=at(12).to_pydatetime(), late_after=none)
    assert found["persona_id"].tolist() == ["found"]
    assert found.loc[0, "in_stage_h"] == pytest.approx(6)


def test_what_is_gone_does_not_arrive() -> None:
    """A persona that the API no longer knows has no row; one that it knows has."""
    lives: dict[str, Life] = {name: (0.0, [("pending", 1.0)], None) for name in ("here", "away")}
    personas = pd.DataFrame(
        {"persona_id": ["here", "away"], "created_at": [at(0), at(0)], "gone": [False, True]}
    )
    assert arrivals(lives, 2, personas=personas).index.tolist() == ["here"]
    assert len(arrivals(lives, 2, personas=personas.drop(columns="gone"))) == 2


# Late


def test_older_than_19_of_20_in_its_stage_is_late() -> None:
    """A persona in a stage for longer than 95 % of all visits is late, and no other is."""
    lives = reviews(*np.linspace(10, 20, 100))
    lives["late"] = (100.0, [("reviewing", 30.0)], None)
    lives["fine"] = (115.0, [("reviewing", 15.0)], None)
    lives["other"] = (60.0, [("pending", 70.0)], None)
    found = eta.arrivals(log(lives), now=at(130).to_pydatetime()).set_index("persona_id")
    assert found["late"].to_dict() == {"late": True, "fine": False, "other": False}
    by_limits = arrivals(lives, 130, late_after=pd.Series({"pending": 60.0, "reviewing": 14.0}))
    assert by_limits["late"].all()


# Promises about every log


@st.composite
def histories(draw: st.DrawFn) -> dict[str, Life]:
    """Draw a few lives of any kind, some of them running."""
    stage = st.sampled_from([*NAMES, "polishing", "unknown"])
    spell = st.tuples(stage, st.floats(0.2, 60))
    lives = {}
    for nth in range(draw(st.integers(1, 12))):
        spells = draw(st.lists(spell, min_size=1, max_size=5))
        end = draw(st.sampled_from([None, None, "done", "failed", "rejected"]))
        lives[f"p{nth}"] = (draw(st.floats(0, 300)), spells, end)
    return lives


@settings(max_examples=15, deadline=None)
@given(histories(), st.floats(0, 900), st.floats(0, 0.3))
def test_ranges_are_in_order_later_than_now_and_always_the_same(
    lives: dict[str, Life], now: float, gap: float
) -> None:
    """Each running persona has one row, whose range is in order and the same in any row order."""
    frame, moment = log(lives, gap), at(now).to_pydatetime()
    none = pd.Series(dtype="float64")
    found = eta.arrivals(frame, now=moment, late_after=none)
    lives_then = stages.lives(frame, now=moment)
    running = lives_then.loc[lives_then["state"] == "running", "persona_id"]
    assert sorted(found["persona_id"]) == sorted(running)
    assert (found["p10_at"] > at(now)).all()
    assert (found["p10_at"] <= found["p50_at"]).all()
    assert (found["p50_at"] <= found["p90_at"]).all()
    assert found["p50_at"].is_monotonic_increasing
    assert (found["chance_done"].isna() | found["chance_done"].between(0, 1)).all()
    assert set(found["basis"]) <= {eta.CLAIM, eta.BLEND, eta.DATA, eta.BEYOND}
    again = eta.arrivals(frame.sample(frac=1, random_state=1), now=moment, late_after=none)
    pd.testing.assert_frame_equal(found, again)


def test_two_seconds_later_the_range_is_nearly_the_same() -> None:
    """A page that is refreshed after two seconds shows the same range."""
    lives = whole(3, 80)
    lives["new"] = (600.0, [("pending", 2.0), ("processing", 1.0)], None)
    first, second = (arrivals(lives, 603 + later / 1800).loc["new"] for later in (0, 1))
    for name in RANGE:
        assert abs(first[name] - second[name]) < timedelta(minutes=1)


def test_an_empty_log_gives_the_same_columns_and_dtypes() -> None:
    """Without personas, or with ended ones only, the frame is empty and a page can compute."""
    lives = reviews(5.0) | {"new": (0.0, [("pending", 1.0)], None)}
    full = eta.arrivals(log(lives), now=at(9).to_pydatetime())
    for frame in (log({}), log(reviews(5.0))):
        empty = eta.arrivals(frame, now=at(9).to_pydatetime())
        assert empty.empty
        pd.testing.assert_series_equal(empty.dtypes, full.dtypes)
    assert tuple(full.columns) == eta.COLUMNS
    kinds = {name: str(kind) for name, kind in full.dtypes.items()}
    assert {kinds[name] for name in RANGE} == {"datetime64[us, UTC]"}
    assert (kinds["late"], kinds["n"], kinds["chance_done"]) == ("bool", "int64", "float64")


def test_bad_arguments_are_told_in_a_sentence() -> None:
    """A naive now and a frame of another kind are refused with what to do instead."""
    with pytest.raises(ValueError, match=r"now must carry a time zone"):
        eta.arrivals(log({}), now=datetime(2026, 1, 1))  # noqa: DTZ001 the mistake itself
    with pytest.raises(ValueError, match=r"no column status; pass store\.sightings"):
        eta.arrivals(log({}).drop(columns="status"), now=DAY)
