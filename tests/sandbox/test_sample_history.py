"""The sample history that an analysis is tried with."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from avatarkit import Persona, Store, errors, outcomes, sample_history, stages
from support.manual_clock import MONDAY

WHERE = "open one of its own with open_session"


def store_in(folder: Path, kind: str = "sandbox") -> Store:
    """Return an empty log."""
    store = Store(f"sqlite:///{folder / f'{kind}.db'}", account="a")
    store.claim(kind)
    return store


@pytest.mark.parametrize("kind", ["live", "sandbox"])
def test_invented_avatars_are_written_into_no_log_of_others(tmp_path: Path, kind: str) -> None:
    """Neither into that of a live account nor into one that has avatars, with one sentence."""
    with store_in(tmp_path, kind) as store:
        known = Persona(id="p1", process_status="pending")
        store.record(known, asked_at=MONDAY, answered_at=MONDAY, source="poll")
        with pytest.raises(errors.ConfigError, match=WHERE):
            sample_history(store, until=MONDAY, weeks=1)
        assert store.known_ids() == {"p1"}


def test_a_moment_without_a_time_zone_is_refused(tmp_path: Path) -> None:
    """It gets one sentence, which names the way out."""
    with store_in(tmp_path) as store, pytest.raises(ValueError, match="time zone; use the session"):
        sample_history(store, until=MONDAY.replace(tzinfo=None))


def test_the_history_is_what_the_tracker_would_have_logged(tmp_path: Path) -> None:
    """The same arguments give the same rows, once, in order, and none from later than now."""
    with store_in(tmp_path) as store:
        for _ in range(2):
            sample_history(store, until=MONDAY, weeks=2)
        rows, personas = store.sightings(), store.personas()
        (tmp_path / "again").mkdir()
        with store_in(tmp_path / "again") as again:
            sample_history(again, until=MONDAY, weeks=2)
            assert again.sightings().equals(rows)
    assert 10 < len(personas) < 30
    assert rows.groupby("persona_id").size().gt(1).any()
    assert rows[["first_seen_at", "last_seen_at"]].max().max() <= MONDAY + timedelta(seconds=1)
    assert (rows["last_seen_at"] >= rows["first_seen_at"] - timedelta(seconds=1)).all()
    first = rows.groupby("persona_id").head(1)
    assert set(first["source"]) == {"create"}
    assert set(first["status"]) == {"pending"}
    assert personas["labels"].map(len).eq(1).all()
    visits = stages.visits(rows, now=MONDAY, personas=personas)
    assert (visits["min_h"] <= visits["max_h"]).all()


def test_an_analysis_finds_what_is_hidden_in_it(tmp_path: Path) -> None:
    """Avatars of one label fail more often, and the reviews of the last weeks take longer."""
    since = MONDAY - timedelta(weeks=8)
    with store_in(tmp_path) as store:
        sample_history(store, until=MONDAY, weeks=16, slower_weeks=8)
        log = {"sightings": store.sightings(), "personas": store.personas(), "now": MONDAY}
    chances = outcomes.chances(stages.lives(**log, carry=["labels"]), by="labels")
    failed = chances[chances["outcome"] == "failed"].set_index("group")["share"]
    assert failed["webcam"] > 2 * failed.drop("webcam").max()
    visits = stages.visits(**log)
    reviews = visits[(visits["stage"] == "reviewing") & (visits["state"] == "finished")]
    took_h = reviews.groupby(reviews["entered_before"] >= since)["max_h"].median()
    assert took_h[True] > 1.3 * took_h[False]
