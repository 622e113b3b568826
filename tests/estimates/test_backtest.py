"""The replay of past predictions, and how they are judged."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from test_eta import DAY, RANGE, Life, at, histories, log, reviews, whole

from avatarkit import backtest, eta, stages
from avatarkit.estimates import work_clock

NOON = 12.0


def replay(frame: pd.DataFrame, now: float, **options: Any) -> pd.DataFrame:
    """Replay these sightings as seen from that hour."""
    return backtest.replay(frame, now=at(now).to_pydatetime(), **options)


def judged(*inside: bool, basis: str = eta.DATA, batches: int = 1) -> pd.DataFrame:
    """First predictions that came out like this, each followed by a later one that missed."""
    rows = [
        (hit and first, first, basis, nth % batches)
        for nth, hit in enumerate(inside)
        for first in (True, False)
    ]
    return pd.DataFrame(rows, columns=["inside", "first", "basis", "batch"])


# What is predicted


def test_each_noon_says_what_would_have_been_said_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """A prediction of the replay is that of ``eta.arrivals`` at that noon, of the log so far."""
    # The model is older than the noon; the chance of business hours moves with each hour without
    # end, and so does the pace, by up to two hours here.
    monkeypatch.setattr(work_clock, "_WALL_PRIOR", 1.0)
    lives = {f"a{p}": life for p, life in reviews(20.0, 30.0, 25.0).items()}
    lives |= {"new": (100.0, [("processing", 30.0), ("reviewing", 20.0)], "done")}
    frame = log(lives)
    found = replay(frame, 900)
    of_new = found.loc[found["persona_id"] == "new"]
    assert of_new["predicted_at"].tolist() == [at(24 * day + NOON) for day in (4, 5)]
    assert of_new["first"].tolist() == [True, False]
    for _, row in of_new.iterrows():
        noon = row["predicted_at"]
        then = eta.arrivals(frame, now=noon.to_pydatetime()).set_index("persona_id").loc["new"]
        assert row[["basis", "n"]].tolist() == then[["basis", "n"]].tolist()
        for name in RANGE:
            assert abs(row[name] - then[name]) < pd.Timedelta(hours=2)
        assert row["ended_before"] == at(150)


@settings(max_examples=8, deadline=None)
@given(histories(), histories(), st.integers(0, 6), st.floats(0, 0.3))
@example(
    # What ended alone and was later seen again: at its noon a model is due, though nothing runs.
    lives={
        "p0": (13.0, [("pending", 1.0)], None),
        "p1": (0.0, [("pending", 1.0)], "done"),
        "p2": (13.0, [("pending", 2.0)], None),
    },
    others={"p0": (0.0, [("pending", 1.0)], None)},
    day=1,
    gap=0.0,
)
def test_nothing_that_was_seen_later_changes_a_prediction(
    lives: dict[str, Life], others: dict[str, Life], day: int, gap: float
) -> None:
    """Whatever the log says after a noon, the predictions until that noon are the same."""
    noon = at(24 * day + NOON)
    frame = log(lives, gap)
    before = frame.loc[frame["first_seen_at"] <= noon].reset_index(drop=True)
    later = log({f"x{p}": (b + 24 * day + 13, s, e) for p, (b, s, e) in others.items()}, gap)
    again = frame.groupby("persona_id").tail(1)
    again = again.assign(
        first_seen_at=noon + pd.Timedelta("1h"), status="rejected", source="poll"
    ).assign(last_seen_at=lambda rows: rows["first_seen_at"])
    again = again.loc[again["persona_id"].isin(before["persona_id"])]
    # Each run that lasted until the noon is known to have lasted until then.
    lasted = before["last_seen_at"] > noon
    cut = before.assign(last_seen_at=before["last_seen_at"].where(~lasted, noon))
    changed = pd.concat([cut, later, again], ignore_index=True)

    ours, theirs = (predicted_until(each, noon) for each in (frame, changed))
    pd.testing.assert_frame_equal(ours, theirs)


def predicted_until(frame: pd.DataFrame, noon: pd.Timestamp) -> pd.DataFrame:
    """All that is predicted until that noon, also of what cannot be judged in the end."""
    now = noon + pd.Timedelta(days=2)
    lives = stages.lives(frame, now=now.to_pydatetime())
    parts = [
        predicted.assign(predicted_at=when)
        for when, predicted in backtest._predictions(frame, lives, now, None, None)
        if when <= noon
    ]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def test_what_still_runs_after_its_range_is_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """A persona that still runs after its p90 missed a range that began at once."""
    noon = at(NOON)
    hours = (eta.SOONEST, *(pd.Timedelta(hours=hour) for hour in (1, 2)))
    moments = {name: [noon + after] for name, after in zip(RANGE, hours, strict=True)}
    predicted = pd.DataFrame({"persona_id": ["slow"], **moments, "basis": eta.DATA, "n": 9})
    monkeypatch.setattr(backtest, "_predictions", lambda *_: [(noon, predicted)])
    found = replay(log({"slow": (0.0, [("reviewing", 500.0)], None)}), 500)
    assert found["inside"].tolist() == [False]


@pytest.mark.long
def test_a_model_is_kept_until_a_fifth_more_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 60 days with one end each far fewer than 60 lead to a new model; the first ones do."""
    fitted = []

    def fit_model(visits: pd.DataFrame, lives: pd.DataFrame) -> eta.Model:
        fitted.append(int((lives["state"] != "running").sum()))
        return real(visits, lives)

    real = eta.fit_model
    monkeypatch.setattr(eta, "fit_model", fit_model)
    lives = {f"d{day:02d}": (24.0 * day, [("reviewing", 30.0)], "done") for day in range(60)}
    replay(log(lives), 24.0 * 70, days=None)
    assert fitted[:6] == [0, 1, 2, 3, 4, 5]
    assert len(fitted) < 20


@pytest.mark.long
def test_only_the_last_days_are_replayed() -> None:
    """With ``days`` the replay begins that many days ago; with None at the first sighting."""
    lives = {f"d{day:02d}": (24.0 * day, [("reviewing", 20.0)], "done") for day in range(60)}
    frame = log(lives)
    found = replay(frame, 24.0 * 70, days=30)
    assert found["predicted_at"].min() == at(24 * 40 + NOON)
    everything = replay(frame, 24.0 * 70, days=None)
    assert everything["predicted_at"].min() == at(NOON)
    assert len(everything) == 60
    assert everything["first"].all()


def test_who_came_at_noon_has_one_first_prediction() -> None:
    """A persona first seen at the very noon is predicted then for the first time, and only then."""
    lives: dict[str, Life] = {"new": (NOON, [("reviewing", 60.0)], "done")}
    assert replay(log(lives), 900)["first"].tolist() == [True, False, False]


# What is judged


def test_a_prediction_is_judged_when_its_range_has_passed() -> None:
    """Until p90 neither a hit nor a miss counts; then who still runs has missed."""
    lives: dict[str, Life] = {
        "quick": (0.0, [("reviewing", 40.0)], "done"),
        "stuck": (0.0, [("reviewing", 900.0)], None),
    }
    frame = log(lives)
    p90 = (eta.arrivals(frame, now=at(NOON).to_pydatetime())["p90_at"] - at(0)).max()
    passed = p90 / pd.Timedelta(hours=1)
    assert not replay(frame, passed - 0.1)["first"].any()
    found = replay(frame, passed + 0.1)
    first = found.loc[found["first"]].set_index("persona_id")
    assert first["inside"].to_dict() == {"quick": True, "stuck": False}
    assert pd.isna(first.loc["stuck", "ended_before"])


@pytest.mark.long
def test_what_was_not_looked_at_again_is_not_judged() -> None:
    """Without a later poll it is not known whether the range held."""
    lives: dict[str, Life] = {"away": (0.0, [("reviewing", 14.0)], None)}
    assert replay(log(lives), 2000).empty


def test_an_end_known_to_an_interval_counts_by_its_middle() -> None:
    """The last poll before the end and the first after it may lie on two sides of p90."""
    start: dict[str, Life] = {"one": (0.0, [("reviewing", 13.0)], None)}
    predicted = eta.arrivals(log(start), now=at(NOON).to_pydatetime()).loc[0, "p90_at"]
    p90 = (predicted - at(0)) / pd.Timedelta(hours=1)
    for middle, inside in ((p90 - 0.5, True), (p90 + 0.5, False)):
        lives: dict[str, Life] = {"one": (0.0, [("reviewing", middle)], "done")}
        row = replay(log(lives, gap=4.0), 900).iloc[0]
        assert row["ended_after"] < predicted < row["ended_before"]
        assert row["inside"] == inside


def test_most_arrivals_fall_in_their_range() -> None:
    """Of the arrivals of 120 lives of one kind about 80 % are inside once some have ended."""
    found = replay(log(whole(8, 120), gap=0.5), 2000, days=None)
    known = found.loc[found["n"] >= 20]
    assert len(known) > 200
    assert 0.68 < known["inside"].mean() < 0.92


@pytest.mark.long
def test_ranges_keep_their_word_between_looks_once_a_day() -> None:
    """Looked at each day at 18 o'clock, at noon many have ended unseen, and count as ready then."""
    lives = {p: (24.0 * int(b / 24) + 18, s, e) for p, (b, s, e) in whole(8, 200).items()}
    frame = log(lives)
    look = pd.Timedelta(hours=18)
    frame["first_seen_at"] = (frame["first_seen_at"] - look).dt.ceil("D") + look
    frame["last_seen_at"] = (frame["last_seen_at"] - look).dt.floor("D") + look
    frame = frame.loc[frame["first_seen_at"] <= frame["last_seen_at"].where(
        ~frame["status"].isin(["done", "failed"]), frame["first_seen_at"])]  # fmt: skip
    frame = frame.assign(last_seen_at=frame[["first_seen_at", "last_seen_at"]].max(axis=1))
    ends = {p: at(b + sum(hours for _, hours in s)) for p, (b, s, _) in lives.items()}
    found = replay(frame, 4000, days=None)
    found = found.loc[found["n"] >= 50]
    truth = pd.to_datetime(found["persona_id"].map(ends), utc=True)
    soonest = found["predicted_at"] + eta.SOONEST
    truth = truth.where(truth > soonest, soonest)
    inside = (truth >= found["p10_at"]) & (truth <= found["p90_at"])
    assert len(found) > 200
    assert 0.68 < inside.mean() < 0.92
    assert 0.68 < found["inside"].mean() < 0.92


# The sentence


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        (judged(), "No arrival can be judged yet: no 80 % range has passed."),
        (judged(True), "Of 1 arrival in 1 batch, 1 fell in its 80 % range."),
        (
            judged(*[True] * 33, *[False] * 7, batches=9),
            "Of 40 arrivals in 9 batches, 33 fell in their 80 % range.",
        ),
        (
            judged(*[True] * 27, *[False] * 13, batches=2),
            "Of 40 arrivals in 2 batches, 27 fell in their 80 % range."
            " That is too few: expect ends before and after the ranges.",
        ),
        (
            judged(False, False, basis=eta.CLAIM),
            "No arrival can be judged yet: each 80 % range so far was the vendor's claim.",
        ),
        (
            pd.concat([judged(*[False] * 200, basis=eta.CLAIM), judged(True, basis=eta.BLEND)]),
            "Of 1 arrival in 1 batch, 1 fell in its 80 % range.",
        ),
    ],
)
def test_the_sentence_counts_each_arrival_once(frame: pd.DataFrame, expected: str) -> None:
    """Only first predictions are counted, and one arrival is in the singular."""
    assert backtest.sentence(frame) == expected


def test_an_empty_log_gives_the_same_columns_and_dtypes() -> None:
    """With nothing to judge the frame is empty and a page can say so."""
    full = replay(log(reviews(20.0, 30.0)), 2000)
    assert tuple(full.columns) == backtest.COLUMNS
    assert not full.empty
    for empty in (replay(log({}), 9), replay(log(reviews(20.0)), 13)):
        assert empty.empty
        pd.testing.assert_series_equal(empty.dtypes, full.dtypes)
        assert backtest.sentence(empty).startswith("No arrival can be judged yet")


def test_bad_arguments_are_told_in_a_sentence() -> None:
    """A naive now and a frame of another kind are refused with what to do instead."""
    with pytest.raises(ValueError, match=r"now must carry a time zone"):
        backtest.replay(log({}), now=datetime(2026, 1, 1))  # noqa: DTZ001 the mistake itself
    with pytest.raises(ValueError, match=r"no column source; pass store\.sightings"):
        backtest.replay(log({}).drop(columns="source"), now=DAY)
