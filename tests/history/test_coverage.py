"""How much of a life the log is certain of."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pytest

from avatarkit import coverage, stages
from support import simulated

START = datetime(2026, 3, 2, tzinfo=UTC)


def visits(*runs: tuple[str, str, float, float], now_h: float) -> pd.DataFrame:
    """Visits of runs (persona, status, first poll, last poll) in hours; the first is a create."""
    rows: list[dict[str, Any]] = []
    seen: set[str] = set()
    for persona, status, *hours in runs:
        first, last = (START + timedelta(hours=hour) for hour in hours)
        source = "poll" if persona in seen else "create"
        seen.add(persona)
        reported = first if source == "create" else pd.NaT
        rows.append(
            {
                "persona_id": persona,
                "status": status,
                "first_seen_at": first,
                "last_seen_at": last,
                "reported_at": reported,
                "source": source,
            }
        )
    return stages.visits(pd.DataFrame(rows), now=START + timedelta(hours=now_h))


def test_what_lies_between_looks_at_one_stage_is_certain() -> None:
    """Seen pending from 0 to 3 h, processing from 4 to 9 h and done at 10 h: 8 of 10 hours."""
    runs = [("a", "pending", 0, 3), ("a", "processing", 4, 9), ("a", "done", 10, 10)]
    row = coverage.certainty(visits(*runs, now_h=50), now=START + timedelta(hours=50)).iloc[0]
    assert (row["persona_id"], row["lived_h"], row["certain_h"]) == ("a", 10, 8)
    assert row["share"] == pytest.approx(0.8)


def test_what_runs_lives_until_now() -> None:
    """The hours since the last poll are lived, in an unknown stage."""
    runs = [("a", "pending", 0, 3)]
    row = coverage.certainty(visits(*runs, now_h=4), now=START + timedelta(hours=4)).iloc[0]
    assert (row["lived_h"], row["certain_h"]) == (4, 3)


def test_who_is_gone_lives_until_its_last_look() -> None:
    """Nothing more can be seen of it, and nothing is missed."""
    now = START + timedelta(hours=900)
    runs = [("a", "pending", 0, 3), ("b", "pending", 0, 3)]
    personas = pd.DataFrame({"persona_id": ["a", "b"], "gone": [True, False]})
    frame = coverage.certainty(visits(*runs, now_h=900), now=now, personas=personas)
    assert frame["lived_h"].tolist() == [3, 900]


def test_stages_never_seen_are_not_certain() -> None:
    """Seen pending until 1 h and reviewing from 11 h on, ten hours are uncertain, once."""
    runs = [("a", "pending", 0, 1), ("a", "reviewing", 11, 20), ("a", "done", 20, 20)]
    row = coverage.certainty(visits(*runs, now_h=30), now=START + timedelta(hours=30)).iloc[0]
    assert (row["lived_h"], row["certain_h"]) == (20, 10)


def test_more_looks_are_more_certain() -> None:
    """Of the same lives, the log is more certain the more often they are polled; never above 1."""
    these = simulated.lives("log-normal", seed=1, personas=30)
    shares = []
    for gap_h in (0.1, 2.0, 24.0):
        sightings, now = simulated.sightings(these, gap_h, seed=1)
        frame = coverage.certainty(stages.visits(sightings, now=now), now=now)
        assert frame["share"].dropna().between(0, 1).all()
        assert frame["persona_id"].is_monotonic_increasing
        shares.append(frame["certain_h"].sum() / frame["lived_h"].sum())
    assert shares[0] > 0.97
    assert shares[0] > shares[1] > shares[2]


def test_the_sentence() -> None:
    """It counts hours and avatars, and says so when there is nothing to count."""
    runs = [("a", "pending", 0, 3), ("a", "processing", 4, 9), ("a", "done", 10, 10)]
    now = START + timedelta(hours=40)
    one = coverage.certainty(visits(*runs, now_h=40), now=now)
    assert coverage.sentence(one) == (
        "The log is certain of the stage for 80% of the 10 hours that 1 avatar lived."
    )
    two = coverage.certainty(visits(*runs, ("b", "pending", 0, 30), now_h=40), now=now)
    assert coverage.sentence(two) == (
        "The log is certain of the stage for 76% of the 50 hours that 2 avatars lived; half of "
        "them above 78%."
    )
    nothing = coverage.certainty(visits(*runs, now_h=40).iloc[:0], now=now)
    assert coverage.sentence(nothing) == "Nothing has been followed for any time yet."
    pd.testing.assert_series_equal(nothing.dtypes, one.dtypes)


def test_what_was_created_this_moment_has_no_share() -> None:
    """Nothing lived is nothing to have a share of."""
    frame = visits(("a", "pending", 0, 0), now_h=0)
    row = coverage.certainty(frame, now=START).iloc[0]
    assert row["lived_h"] == 0
    assert pd.isna(row["share"])


def test_bad_arguments_are_refused_in_a_sentence() -> None:
    """A moment without a zone and a frame without its columns."""
    with pytest.raises(ValueError, match="now must carry a time zone"):
        coverage.certainty(pd.DataFrame(), now=datetime(2026, 1, 1))  # noqa: DTZ001
    with pytest.raises(ValueError, match="no column persona_id"):
        coverage.certainty(pd.DataFrame(), now=START)
