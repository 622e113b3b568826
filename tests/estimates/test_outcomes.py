"""Competing risks: by hand, against a library, and against what must always hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from avatarkit import outcomes, stages
from avatarkit.estimates import survival

START = pd.Timestamp("2026-03-02", tz="UTC")
COLUMNS = ["outcome", "time_h", "share", "low", "high", "at_risk", "n"]


def lives(*rows: tuple[Any, ...]) -> pd.DataFrame:
    """Lives from (state, ended_after, ended_before, seen_from), hours since the creation."""
    made = []
    for state, *hours in rows:
        after, before, seen = [*hours, 0][:3]
        at = (START + pd.Timedelta(hours=after), START + pd.Timedelta(hours=seen))
        end = pd.NaT if state == "running" else START + pd.Timedelta(hours=before)
        made.append((state, START, START, at[1], at[0], end))
    columns = ["state", *outcomes._COLUMNS[1:]]
    frame = pd.DataFrame(made, columns=columns)
    return frame.assign(**{name: pd.to_datetime(frame[name], utc=True) for name in columns[1:]})


def exact(*rows: tuple[str, float]) -> pd.DataFrame:
    """Return lives whose end, or last poll, is known exactly."""
    return lives(*((state, hours, hours) for state, hours in rows))


def at(frame: pd.DataFrame, outcome: str) -> pd.DataFrame:
    return frame.loc[frame["outcome"] == outcome].reset_index(drop=True)


def test_three_ends_by_hand() -> None:
    """1 done, 2 failed, 3 running, 4 done: 1/4; 3/4 · 1/3; then 1/2 · 1/1 of what is left."""
    frame = outcomes.incidence(exact(("done", 1), ("failed", 2), ("running", 3), ("done", 4)))
    assert at(frame, "done")[["time_h", "share"]].to_numpy().tolist() == [
        [0, 0],
        [1, 0.25],
        [4, 0.75],
    ]
    failed = at(frame, "failed")
    assert failed["time_h"].tolist() == [0, 2, 4]
    assert failed["share"].tolist() == pytest.approx([0, 0.25, 0.25])
    assert at(frame, "rejected")["share"].tolist() == [0]
    assert at(frame, "done")["at_risk"].tolist() == [4, 4, 1]


def test_a_share_of_the_finished_would_be_too_dark() -> None:
    """Two of four have failed early and the rest still runs: failed is a half, and done unknown."""
    frame = exact(("failed", 1), ("failed", 2), ("running", 50), ("running", 60))
    result = outcomes.chances(frame).set_index("outcome")
    assert result["share"].tolist() == pytest.approx([0, 0.5, 0])
    assert (result["running"] == 2).all()
    assert result["ended"].tolist() == [0, 2, 0]
    assert (result["by_h"].to_dict()["failed"], result["n"].iloc[0]) == (60, 4)


def test_shares_and_bands_are_those_of_a_library() -> None:
    """Source: AalenJohansenFitter of lifelines 0.30.3, of the same times."""
    times = [1, 2, 2.5, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]
    codes = [1, 2, 0, 1, 1, 0, 2, 1, 3, 1, 0, 2, 1, 0, 1]
    names = ["running", "done", "failed", "rejected"]
    frame = outcomes.incidence(exact(*zip((names[c] for c in codes), times, strict=True)))
    done, failed = (at(frame, name).set_index("time_h") for name in ("done", "failed"))
    assert done.loc[4, ["share", "low", "high"]].tolist() == pytest.approx(
        [0.211111, 0.05119, 0.44312], abs=1e-5
    )
    assert done.loc[9, ["share", "low", "high"]].tolist() == pytest.approx(
        [0.371605, 0.13401, 0.61412], abs=1e-5
    )
    assert failed.loc[6, ["share", "low", "high"]].tolist() == pytest.approx(
        [0.146914, 0.02339, 0.37551], abs=1e-5
    )
    assert done.loc[14, "share"] == pytest.approx(0.672531, abs=1e-6)


def test_an_end_between_two_looks_is_in_their_middle() -> None:
    """Last seen running at 4 h and first seen done at 10 h counts at 7 h."""
    frame = outcomes.incidence(lives(("done", 4, 10)))
    assert at(frame, "done")["time_h"].tolist() == [0, 7]


def test_who_was_found_midway_counts_from_then_on() -> None:
    """By hand: at 2 h one of one followed, and later ones to come: left out; at 6 h one of two."""
    frame = lives(("done", 6, 6, 3), ("running", 9, 9, 4))
    assert at(outcomes.incidence(frame), "done")["share"].tolist() == [0, 0.5, 0.5]
    early = lives(("failed", 2, 2), ("done", 6, 6, 3), ("running", 9, 9, 4))
    assert at(outcomes.incidence(early), "failed")["share"].max() == 0
    assert at(outcomes.incidence(early), "done")["share"].max() == 0.5


def test_who_is_gone_is_not_still_running() -> None:
    """It counts as long as it was followed, like one that is still running, but is none."""
    frame = lives(("done", 6, 6), ("running", 9, 9), ("running", 9, 9))
    marked = outcomes.chances(frame.assign(gone=[False, True, False]))
    assert marked["running"].tolist() == [1, 1, 1]
    assert marked["share"].tolist() == outcomes.chances(frame)["share"].tolist()


def test_what_nobody_followed_does_not_count() -> None:
    """Found already ended, or of unknown creation, it says nothing of when."""
    frame = lives(("done", 0, 50, 50), ("done", 5, 5))
    unknown = lives(("failed", 5, 5)).assign(began_after=pd.NaT)
    unknown["began_after"] = pd.to_datetime(unknown["began_after"], utc=True)
    result = outcomes.chances(pd.concat([frame, unknown], ignore_index=True)).set_index("outcome")
    assert (result["n"] == 1).all()
    assert result["share"].tolist() == [1, 0, 0]


def test_who_failed_in_the_answer_to_the_create_counts() -> None:
    """Of six that were submitted three failed at once, two are done and one runs: 3 of 6 failed."""
    hours = pd.Timedelta(hours=1)
    rows = []
    for number, (first, end) in enumerate(
        [("pending", "done"), ("pending", "done"), ("pending", None), *[("failed", None)] * 3]
    ):
        last = START + (60 * hours if (first, end) == ("pending", None) else 0 * hours)
        rows.append((f"p{number}", first, START, last, START, "create"))
        if end is not None:
            rows.append((f"p{number}", end, START + 50 * hours, START + 50 * hours, pd.NaT, "poll"))
    # One that was found when it had failed already says nothing of when.
    rows.append(("found", "failed", START, START, pd.NaT, "poll"))
    names = ["persona_id", "status", "first_seen_at", "last_seen_at", "reported_at", "source"]
    sightings = pd.DataFrame(rows, columns=names)
    created = pd.DataFrame({"persona_id": ["found"], "created_at": [START + 9 * hours]})
    frame = stages.lives(sightings, now=START + 60 * hours, personas=created)
    result = outcomes.chances(frame).set_index("outcome")
    assert (result["n"] == 6).all()
    assert result["ended"].to_dict() == {"done": 2, "failed": 3, "rejected": 0}
    assert result.loc["failed", "share"] == pytest.approx(0.5)
    assert result.loc["done", "share"] == pytest.approx(0.5 * 2 / 3)
    failed = at(outcomes.incidence(frame), "failed")
    assert failed["at_risk"].tolist()[:2] == [6, 6]
    assert failed["time_h"].iloc[1] == pytest.approx(0, abs=1e-3)
    # The same of a frame that somebody has made.
    by_hand = outcomes.chances(lives(("failed", 0, 0), ("running", 9, 9))).set_index("outcome")
    assert by_hand.loc["failed", "share"] == 0.5


def test_without_a_life_there_are_no_chances() -> None:
    """The frames of nothing have the columns and dtypes of full ones, and no number."""
    nothing, something = lives(), exact(("done", 3), ("running", 4))
    empty, full = outcomes.incidence(nothing), outcomes.incidence(something)
    assert list(empty.columns) == COLUMNS
    pd.testing.assert_series_equal(empty.dtypes, full.dtypes)
    assert empty["share"].tolist() == [0, 0, 0]
    none, some = outcomes.chances(nothing), outcomes.chances(something)
    assert none["share"].isna().all()
    pd.testing.assert_series_equal(none.dtypes, some.dtypes)


def test_another_frame_is_refused_in_a_sentence() -> None:
    """What is not a frame of lives is refused, with the name of the missing column."""
    with pytest.raises(ValueError, match=r"no column began_after, .* pass what stages\.lives"):
        outcomes.incidence(pd.DataFrame({"state": []}))


ENDS = st.lists(
    st.tuples(
        st.sampled_from(["running", *outcomes.OUTCOMES]),
        st.integers(1, 40).map(float),
    ),
    min_size=1,
    max_size=40,
)


@given(ENDS)
def test_the_shares_add_up_to_what_has_ended(rows: list[tuple[str, float]]) -> None:
    """Together they are one minus the Kaplan-Meier curve of any end."""
    frame = outcomes.incidence(exact(*rows))
    total = sum(at(frame, name)["share"].iloc[-1] for name in outcomes.OUTCOMES)
    ended = np.array([state != "running" for state, _ in rows])
    curve = survival.kaplan_meier([hours for _, hours in rows], ended)
    assert total == pytest.approx(1 - curve["survival"].iloc[-1], abs=1e-9)


@given(ENDS)
@example([("running", 3.0), *(("failed", float(hour)) for hour in (1, 2, 3, 4))])  # sums to 1 + ε
def test_curves_rise_within_their_bands(rows: list[tuple[str, float]]) -> None:
    """Time and share never fall, and low, share and high stay in order between 0 and 1."""
    frame = outcomes.incidence(exact(*rows))
    for name in outcomes.OUTCOMES:
        one = at(frame, name)
        assert one["time_h"].is_monotonic_increasing
        assert one["share"].diff().fillna(0).ge(-1e-12).all()
    assert (frame["low"] <= frame["share"] + 1e-9).all()
    assert (frame["share"] <= frame["high"] + 1e-9).all()
    assert frame[["low", "high"]].stack().between(-1e-9, 1 + 1e-9).all()


def test_the_band_holds_the_truth() -> None:
    """Of 200 accounts of 80 avatars the band at 60 h holds the true share of done in 90 to 99 %."""
    random = np.random.default_rng(4)
    truth = 0.8 * (1 - np.exp(-60 / 40))
    held = 0
    for _ in range(200):
        hours = random.exponential(40, 80)
        state = np.where(random.random(80) < 0.8, "done", "failed")
        cut = random.uniform(20, 150, 80)
        rows = [
            ("running", stop) if stop < end else (name, end)
            for name, end, stop in zip(state, hours, cut, strict=True)
        ]
        done = at(outcomes.incidence(exact(*rows)), "done")
        low, high = done.loc[done["time_h"] <= 60].iloc[-1][["low", "high"]]
        held += low <= truth <= high
    assert 180 <= held <= 198
