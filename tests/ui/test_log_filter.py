"""The part of a log that a filter chooses."""

from __future__ import annotations

from datetime import UTC, date, timedelta
from zoneinfo import ZoneInfo

import pandas as pd
import pytest

from avatarkit.ui.cache import Log
from avatarkit.ui.log_filter import LogFilter
from avatarkit.ui.running import Running
from support.app_pages import record_lives

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.fixture
def log(app: Running) -> Log:
    """Return a log of three, submitted at 23:30 UTC of three days in July; two have labels."""
    record_lives(app.session, 3)
    log = app.estimates.log()
    evening = pd.Timestamp("2026-07-01T23:30Z")
    log.personas["submitted_at"] = [evening + timedelta(days=day) for day in range(3)]
    log.personas["labels"] = [["a", "b"], [], ["b"]]
    return log


def test_labels_and_dates_are_both_met(log: Log) -> None:
    """An avatar with one of the labels is chosen if it was submitted on one of the days."""
    ids = log.personas["persona_id"].tolist()

    def chosen(chosen: LogFilter) -> list[int]:
        return [ids.index(name) for name in chosen(log).personas["persona_id"]]

    assert LogFilter().is_empty
    assert chosen(LogFilter()) == [0, 1, 2]
    assert chosen(LogFilter(labels=("b",))) == [0, 2]
    assert chosen(LogFilter(labels=("a", "c"))) == [0]
    assert chosen(LogFilter(labels=("b",), since=date(2026, 7, 2))) == [2]
    assert chosen(LogFilter(since=date(2026, 7, 2), until=date(2026, 7, 2))) == [1]
    assert chosen(LogFilter(since=date(2026, 7, 3), until=date(2026, 7, 2))) == []


def test_days_are_those_of_the_viewers_zone(log: Log) -> None:
    """At 23:30 UTC it is the next day in Berlin."""
    day = {"since": date(2026, 7, 2), "until": date(2026, 7, 2)}
    berlin, utc = LogFilter(**day, zone=BERLIN)(log), LogFilter(**day, zone=UTC)(log)  # type: ignore[arg-type]
    assert berlin.personas["persona_id"].tolist() == log.personas["persona_id"].tolist()[:1]
    assert utc.personas["persona_id"].tolist() == log.personas["persona_id"].tolist()[1:2]


def test_all_frames_are_of_the_chosen_avatars(log: Log) -> None:
    """Sightings, visits and lives are of the same avatars, and its key is of log and filter."""
    chosen = LogFilter(labels=("a",))
    part = chosen(log)
    (persona_id,) = part.personas["persona_id"]
    for frame in (part.sightings, part.visits, part.lives):
        assert set(frame["persona_id"]) == {persona_id}
    assert len(part.sightings) == 7
    assert part.key == (log.key, LogFilter(labels=("a",)))
    assert part.key != log.key
