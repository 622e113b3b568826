"""Backups of the log: daily, a few kept, each one whole."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from avatarkit import Store, errors, open_session
from avatarkit.models import Persona
from avatarkit.store import backup
from support.manual_clock import MONDAY

DAY = timedelta(days=1)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


@pytest.fixture
def store(file: Path) -> Iterator[Store]:
    with Store(f"sqlite:///{file}", account="mine", backups=3) as store:
        yield store


def see(store: Store, persona_id: str) -> None:
    persona = Persona.model_validate({"id": persona_id, "process_status": "pending"})
    store.record(persona, asked_at=MONDAY, answered_at=MONDAY, source="poll")


def names(file: Path) -> list[str]:
    return sorted(path.name for path in backup.folder_of(file).iterdir())


def test_once_a_day_and_a_few_are_kept(store: Store, file: Path) -> None:
    """Hourly chances for ten days make ten backups, of which the newest three stay."""
    made = [store.back_up_daily(MONDAY + hours * DAY / 24) for hours in range(240)]
    assert [hours for hours, path in enumerate(made) if path] == list(range(0, 240, 24))
    assert names(file) == [f"log-202601{day}T090000Z.db" for day in (12, 13, 14)]


def test_a_clock_that_was_ahead_stops_no_backup(store: Store, file: Path) -> None:
    """A backup of next year does not count as today's, and goes before the others."""
    store.back_up(MONDAY + 400 * DAY)
    for days in range(3):
        assert store.back_up_daily(MONDAY + days * DAY) is not None
    assert names(file) == [f"log-202601{day}T090000Z.db" for day in ("05", "06", "07")]


def test_none_are_wanted(file: Path) -> None:
    """With 0 nothing is copied by itself, and what a person asks for is kept."""
    with Store(f"sqlite:///{file}", account="mine", backups=0) as store:
        assert store.back_up_daily(MONDAY) is None
        assert store.back_up(MONDAY).exists()
        assert store.back_up(MONDAY + DAY).exists()


def test_how_many_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    """AVATARKIT_BACKUPS goes from the settings to the store."""
    monkeypatch.setenv("AVATARKIT_BACKUPS", "2")
    with open_session() as session:
        assert session.store.backups == 2
    with open_session(backups=0) as session:
        assert session.store.backups == 0


def test_a_backup_is_one_whole_file(store: Store, file: Path) -> None:
    """It holds what was committed, not what is being written, and needs no journal beside it."""
    see(store, "a")
    with store.transaction():
        see(store, "b")
        copy = store.back_up(MONDAY)
    with closing(sqlite3.connect(f"{copy.as_uri()}?mode=ro", uri=True)) as connection:
        assert connection.execute("SELECT persona_id FROM personas").fetchall() == [("a",)]
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    assert names(file) == [copy.name]
    with Store(f"sqlite:///{copy}", account="mine") as restored:
        see(restored, "c")
        assert set(restored.personas()["persona_id"]) == {"a", "c"}


def test_a_path_of_ones_own(store: Store, file: Path, tmp_path: Path) -> None:
    """A file that is there is never overwritten, least of all the database."""
    see(store, "a")
    target = tmp_path / "mine.db"
    assert store.back_up(MONDAY, target) == target
    assert not backup.folder_of(file).exists()
    for taken in (target, file, tmp_path):
        with pytest.raises(errors.StoreError, match="exists already"):
            store.back_up(MONDAY, taken)
    with pytest.raises(errors.StoreError, match=r"could not be made \(No such file"):
        store.back_up(MONDAY, tmp_path / "nowhere" / "x.db")


def test_what_a_killed_backup_left_is_deleted_a_day_later(store: Store, file: Path) -> None:
    """Not before: another process may be writing it."""
    copy = store.back_up(MONDAY)
    for name, days in (("old", 2.0), ("young", 0.5)):
        path = copy.parent / f".{name}.tmp"
        path.touch()
        at = (MONDAY - days * DAY).timestamp()
        os.utime(path, (at, at))
    store.back_up(MONDAY)
    assert names(file) == [".young.tmp", copy.name]


def test_a_backup_that_cannot_be_written_leaves_nothing(
    store: Store, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sentence says which and why, and the backups before stay."""
    copy = store.back_up(MONDAY)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(errors.StoreError, match=r"20260106.*No space left on device\); check"):
        store.back_up_daily(MONDAY + DAY)
    assert names(file) == [copy.name]


def test_a_server_has_its_own_way(postgres: str) -> None:
    """For PostgreSQL the sentence names pg_dump, and none is due."""
    with Store(postgres, account="mine") as store:
        assert store.back_up_daily(MONDAY) is None
        with pytest.raises(errors.StoreError, match="pg_dump"):
            store.back_up(MONDAY)
