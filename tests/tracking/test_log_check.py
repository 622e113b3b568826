"""The comparison of a log with the truth finds what is wrong; the tests of kills rest on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pandas as pd
import pytest

from support.log_check import Log, Truth, compare

START = pd.Timestamp("2026-01-05 09:00", tz="UTC")


def at(hours: float) -> pd.Timestamp:
    return START + pd.Timedelta(hours=hours)


TRUTH = Truth(
    {
        "1": [
            ("pending", at(0)),
            ("processing", at(2)),
            ("voice_creating", at(5)),
            ("failed", at(9)),
        ]
    },
    Counter(Ada=1),
)


def log() -> Log:
    """Return a true log: ``voice_creating`` was not seen."""
    runs = [("pending", 0, 1.5), ("processing", 2.5, 4.5), ("failed", 9.5, 9.4)]
    sightings = pd.DataFrame(
        {
            "persona_id": "1",
            "status": [status for status, _, _ in runs],
            "first_seen_at": [at(first) for _, first, _ in runs],
            "last_seen_at": [at(last) for _, _, last in runs],
            "reported_at": [START, pd.NaT, pd.NaT],
            "source": ["create", "poll", "poll"],
        }
    )
    personas = pd.DataFrame(
        {"persona_id": ["1"], "status": "failed", "created_at": START, "submitted_at": START}
    )
    submissions = pd.DataFrame(
        {"state": ["accepted"], "persona_id": ["1"], "creator_name": ["Ada"]}
    )
    return Log(sightings, personas, submissions, at(10).to_pydatetime())


def changed(log: Log, row: int, **values: object) -> Log:
    """Return a log with other values in one row of its sightings."""
    sightings = log.sightings.copy()
    for name, value in values.items():
        sightings.loc[row, name] = value
    return replace(log, sightings=sightings)


def test_a_true_log() -> None:
    """A true log has no fault."""
    compared = compare(log(), TRUTH, up_to_date=True)
    assert compared.faults == ()
    assert (compared.changes, compared.ended) == (2, 1)


@pytest.mark.parametrize(
    ("spoil", "fault"),
    [
        (lambda log: changed(log, 0, last_seen_at=at(2.25)), "pending seen until"),
        (lambda log: changed(log, 1, first_seen_at=at(1.75)), "processing seen"),
        (lambda log: changed(log, 1, first_seen_at=at(1.75)), "processing, entered at"),
        (lambda log: changed(log, 1, reported_at=at(1.75)), "processing, entered at"),
        (lambda log: changed(log, 1, reported_at=at(1.75)), "pending lasted"),
        (lambda log: changed(log, 2, first_seen_at=at(8.5)), "life, ended at"),
        (lambda log: changed(log, 2, first_seen_at=at(8.5)), "life lasted"),
        (lambda log: changed(log, 2, status="reviewing"), "in truth"),
        (lambda log: changed(log, 1, status="failed"), "in truth"),
        (lambda log: replace(log, sightings=log.sightings[:2]), "and it is failed"),
        (lambda log: replace(log, personas=log.personas[:0]), "is not in the log"),
        (lambda log: replace(log, submissions=log.submissions[:0]), "1 in the sandbox"),
        (
            lambda log: replace(log, submissions=pd.concat([log.submissions] * 2)),
            "2 submissions became it",
        ),
    ],
)
def test_a_false_log(spoil: Callable[[Log], Log], fault: str) -> None:
    """Each way in which a log can be wrong is found."""
    faults = compare(spoil(log()), TRUTH, up_to_date=True).faults
    assert any(fault in text for text in faults), faults


@pytest.mark.parametrize(
    ("truth", "fault"),
    [
        (replace(TRUTH, names=Counter(Ada=2)), "2 in the sandbox"),
        (replace(TRUTH, names=Counter()), "0 in the sandbox"),
        (replace(TRUTH, states={}), "the sandbox has no such persona"),
    ],
)
def test_an_account_that_has_more_or_less(truth: Truth, fault: str) -> None:
    """What was sent twice, or never arrived, is found."""
    assert any(fault in text for text in compare(log(), truth).faults)
