"""When each visit may have begun, from the visit before it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from avatarkit import stages
from avatarkit.estimates import semi_markov
from support import simulated

START = pd.Timestamp("2026-03-02", tz="UTC")


def frame(*lives: list[tuple[Any, ...]]) -> pd.DataFrame:
    """Lives as lists of (stage, state, entered_after, entered_before, left_after, left_before)."""
    names = ("entered_after", "entered_before", "left_after", "left_before")
    rows = []
    for number, life in enumerate(lives):
        for visit_no, (stage, state, *hours) in enumerate(life, start=1):
            at = [pd.NaT if h is None else START + pd.Timedelta(hours=h) for h in hours]
            rows.append((f"p{number:03}", visit_no, stage, state, *at))
    return pd.DataFrame(rows, columns=["persona_id", "visit_no", "stage", "state", *names])


def two_hours_then(*rest: list[tuple[Any, ...]]) -> pd.DataFrame:
    """Twenty lives whose pending is known to take two hours, give or take, and ``rest``."""
    known = [
        [("pending", "finished", 0, 0, t, t), ("processing", "finished", t, t, t + 5, t + 5)]
        for t in np.linspace(1.9, 2.1, 20)
    ]
    return frame(*known, *rest)


def began(found: semi_markov.StageFit, row: int, left_after: float) -> float:
    """Return the mean moment at which the visit in that row of the frame began."""
    visit = int(np.flatnonzero(found.rows == row)[0])
    its = found.bounds.visit == visit
    return left_after - float((found.bounds.lower[its] * found.bounds.weight[its]).sum())


def test_a_visit_begins_where_the_one_before_it_ends() -> None:
    """Between polls at 0 and 6 h a stage after a pending of two hours began at about two."""
    visits = two_hours_then(
        [("pending", "finished", 0, 0, 0, 6), ("processing", "finished", 0, 6, 12, 13)]
    )
    found = semi_markov.fit_stages(visits)
    assert began(found["processing"], 41, 12) == pytest.approx(2, abs=0.5)


def test_stages_never_seen_take_their_time_too() -> None:
    """After a pending of two and an unseen processing of five hours, the next began at seven."""
    life = [
        ("pending", "finished", 0, 0, 0, 12),
        ("processing", "never_seen", 0, 12, 0, 12),
        ("voice_creating", "finished", 0, 12, 20, 21),
    ]
    visits = two_hours_then(*[life] * 6)
    found = semi_markov.fit_stages(visits)
    assert began(found["voice_creating"], 42, 20) == pytest.approx(7, abs=0.8)


def test_without_a_visit_before_it_a_beginning_is_anywhere() -> None:
    """A visit whose predecessor is not in the frame began evenly within its interval."""
    visits = two_hours_then(
        [("pending", "finished", 0, 0, 0, 6), ("processing", "finished", 0, 6, 12, 13)]
    )
    alone = visits.drop(index=40).reset_index(drop=True)
    found = semi_markov.fit_stages(alone)
    assert began(found["processing"], 40, 12) == pytest.approx(3, abs=0.01)


def test_what_the_fit_has_impossible_is_taken_as_it_was_seen() -> None:
    """A pending that took a hundred hours leaves the next beginning even within its interval."""
    visits = two_hours_then(
        [("pending", "finished", 0, 0, 100, 106), ("processing", "finished", 100, 106, 112, 113)]
    )
    usual = np.arange(len(visits)) != 40
    found = semi_markov.fit_stages(visits, usual)
    assert began(found["processing"], 41, 112) == pytest.approx(103, abs=0.01)


def test_only_what_counts_is_fitted() -> None:
    """Visits that do not count still say when the next ones began."""
    visits = two_hours_then(
        [("pending", "finished", 0, 0, 0, 6), ("processing", "finished", 0, 6, 12, 13)]
    )
    counted = np.ones(len(visits), dtype=bool)
    counted[40] = False
    found = semi_markov.fit_stages(visits, counted)
    assert 40 not in found["pending"].rows
    assert began(found["processing"], 41, 12) == pytest.approx(2, abs=0.5)


def test_few_finished_visits_are_not_fitted() -> None:
    """Four finished visits give no fit, five do; without visits there is none."""
    visits = two_hours_then()
    assert semi_markov.fit_stages(visits.iloc[:8]) == {}
    assert set(semi_markov.fit_stages(visits.iloc[:10])) == {"pending", "processing"}
    assert semi_markov.fit_stages(visits.iloc[:0]) == {}


def test_stages_are_fitted_in_the_order_of_the_api_and_unknown_ones_after() -> None:
    """An undocumented status is fitted too."""
    these = simulated.lives("log-normal", seed=0, personas=60, stages=["pending", "processing"])
    sightings, now = simulated.sightings(these, 0.5, seed=0)
    renamed = sightings.replace({"status": {"pending": "polishing"}})
    assert list(semi_markov.fit_stages(stages.visits(renamed, now=now))) == [
        "processing",
        "polishing",
    ]
