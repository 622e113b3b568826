"""The SQLite file of the log: deleted, replaced, full, read-only, damaged, open to others."""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from avatarkit import Store, errors, open_session
from avatarkit.models import Persona
from avatarkit.store import database
from avatarkit.store.backup import backups
from support.manual_clock import MONDAY

HOUR = timedelta(hours=1)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    folder = tmp_path / "log"
    folder.mkdir()
    return folder / "my log #1.db"


@pytest.fixture
def store(file: Path) -> Iterator[Store]:
    with opened(file) as store:
        yield store


def opened(file: Path, account: str = "mine") -> Store:
    return Store(f"sqlite:///{file.as_posix().replace('#', '%23')}", account=account)


def see(store: Store, persona_id: str, hours: float = 0) -> None:
    persona = Persona.model_validate({"id": persona_id, "process_status": "pending"})
    at = MONDAY + hours * HOUR
    store.record(persona, asked_at=at, answered_at=at, source="poll")


def see_many(store: Store, count: int) -> None:
    for number in range(count):
        see(store, f"p{number}")


def seen(store: Store) -> set[str]:
    return set(store.personas()["persona_id"])


def journals(file: Path) -> list[Path]:
    return [file.with_name(f"{file.name}{suffix}") for suffix in ("-wal", "-shm")]


class TestDeletedOrReplaced:
    def test_a_deleted_file_is_said_with_the_way_out(self, store: Store, file: Path) -> None:
        """Reading and writing end in a sentence that names the newest backup; no file is made."""
        see(store, "a")
        backup = store.back_up(MONDAY)
        file.unlink()
        for use in (lambda: see(store, "b"), store.personas):
            with pytest.raises(errors.StoreError, match="deleted") as caught:
                use()
            assert str(backup) in str(caught.value)
            assert "\n" not in str(caught.value)
        assert not file.exists()

    def test_a_file_that_is_put_back_is_used_as_before(self, store: Store, file: Path) -> None:
        """Moved away and back, nothing is lost, not even what only the journal holds."""
        see(store, "a")
        file.rename(file.with_suffix(".away"))
        with pytest.raises(errors.StoreError):
            see(store, "b")
        file.with_suffix(".away").rename(file)
        see(store, "c")
        assert seen(store) == {"a", "c"}
        with opened(file) as other:
            assert seen(other) == {"a", "c"}

    @pytest.mark.parametrize("is_clean", [True, False])
    def test_a_backup_in_its_place_is_used(
        self, store: Store, file: Path, caplog: pytest.LogCaptureFixture, is_clean: bool
    ) -> None:
        """It is opened again, also when the journals of the deleted file were left beside it."""
        see(store, "a")
        backup = store.back_up(MONDAY)
        for number in range(50):
            see(store, f"lost {number}")
        file.unlink()
        if is_clean:
            for path in journals(file):
                path.unlink()
        shutil.copy(backup, file)
        with caplog.at_level(logging.WARNING):
            see(store, "b")
        assert ["was replaced by another file" in text for text in caplog.messages] == [True]
        assert seen(store) == {"a", "b"}
        with opened(file) as other, other.transaction() as connection:
            assert seen(other) == {"a", "b"}
            assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"

    @pytest.mark.parametrize("content", ["other", "sandbox", "new", "empty", "text", "foreign"])
    def test_what_is_not_this_log_is_refused_and_left_alone(
        self, store: Store, file: Path, content: str
    ) -> None:
        """A database of another account or kind, a new one, or another file is not written to."""
        store.claim("live")
        see(store, "a")
        backup = store.back_up(MONDAY)
        other = file.with_suffix(".other")
        if content == "empty":
            other.touch()
        elif content == "text":
            other.write_text("notes " * 500)
        elif content == "foreign":
            with closing(sqlite3.connect(other)) as connection:
                connection.execute("CREATE TABLE notes (text TEXT)")
        else:
            with opened(other, "other" if content == "other" else "mine") as made:
                made.claim("sandbox" if content == "sandbox" else "live")
                if content != "new":
                    see(made, "x")
        before = other.read_bytes()
        other.replace(file)
        for _ in range(2):
            with pytest.raises(errors.StoreError, match="was replaced by a file that"):
                see(store, "b")
        assert file.read_bytes() == before
        file.unlink()
        shutil.copy(backup, file)
        assert seen(store) == {"a"}

    def test_a_log_that_is_put_back_with_its_journals_is_whole(
        self, store: Store, file: Path, tmp_path: Path
    ) -> None:
        """Also after another file was in its place for a while."""
        see_many(store, 3)
        moved = [file, *(path for path in journals(file) if path.exists())]
        assert len(moved) == 3
        for path in moved:
            path.rename(tmp_path / path.name)
        with opened(file, "other"):
            pass
        for _ in range(2):
            with pytest.raises(errors.StoreError, match="was replaced by a file that"):
                see(store, "p3")
        for path in (file, *journals(file)):
            path.unlink(missing_ok=True)
        for path in reversed(moved):
            (tmp_path / path.name).rename(path)
        see(store, "p3")
        assert seen(store) == {f"p{number}" for number in range(4)}
        assert not list(file.parent.glob("*.replaced"))

    def test_a_file_deleted_within_a_transaction_is_noticed_at_its_end(
        self, store: Store, file: Path
    ) -> None:
        """What went into a file that is gone does not count as written."""

        def see_and_delete() -> None:
            with store.transaction():
                see(store, "a")
                file.unlink()

        with pytest.raises(errors.StoreError, match="deleted"):
            see_and_delete()

    def test_a_new_log_beside_old_backups_is_said(
        self, file: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Who starts without the file learns that there is a backup of it."""
        with opened(file) as store:
            backup = store.back_up(MONDAY)
        file.unlink()
        with caplog.at_level(logging.WARNING), opened(file):
            assert str(backup) in caplog.text


class TestNotWritable:
    def test_a_full_disk_is_a_sentence_and_passes(self, store: Store) -> None:
        """It says to make room; nothing is half written, and it works once there is room."""
        see(store, "a")
        is_full = True

        @sa.event.listens_for(store._engine, "connect")
        def limit(connection: sqlite3.Connection, _: object) -> None:
            if is_full:
                connection.execute("PRAGMA max_page_count = 1")

        store._engine.dispose()
        with pytest.raises(errors.StoreError, match=r"disk is full\).*make room"):
            see_many(store, 1_000)
        kept = seen(store)
        is_full = False
        store._engine.dispose()
        see(store, "b")
        assert seen(store) == kept | {"b"}

    def test_a_read_only_file_is_a_sentence_and_passes(self, store: Store) -> None:
        """A connection that could only read is not used any more once the file can be written."""
        see(store, "a")
        is_read_only = True

        @sa.event.listens_for(store._engine, "connect")
        def limit(connection: sqlite3.Connection, _: object) -> None:
            connection.execute(f"PRAGMA query_only = {is_read_only}")

        store._engine.dispose()
        with pytest.raises(errors.StoreError, match=r"readonly database\).*right to write"):
            see(store, "b")
        is_read_only = False
        see(store, "b")
        assert seen(store) == {"a", "b"}

    def test_a_log_can_be_read_while_another_program_writes(
        self, file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Opening, claiming again and reading need no lock."""
        monkeypatch.setattr(database, "BUSY_TIMEOUT_MS", 1)
        with opened(file) as store:
            store.claim("live")
            see(store, "a")
        with closing(sqlite3.connect(file)) as holder:
            holder.execute("BEGIN IMMEDIATE")
            with opened(file) as store:
                store.claim("live")
                assert seen(store) == {"a"}
                assert store.back_up(MONDAY).exists()
                with pytest.raises(errors.StoreError, match=r"locked\).*another program"):
                    see(store, "b")


class TestDamaged:
    @pytest.fixture
    def damage(self, file: Path) -> Callable[[], None]:
        """Overwrite the end of the file, where the rows lie."""

        def damage() -> None:
            content = bytearray(file.read_bytes())
            content[-(len(content) // 4) :] = b"\xff" * (len(content) // 4)
            file.write_bytes(content)

        with opened(file) as store, store.transaction():
            see_many(store, 300)
        return damage

    def test_a_damaged_page_names_the_newest_backup(
        self, file: Path, damage: Callable[[], None]
    ) -> None:
        """The sentence says which file is damaged, and what to copy where."""
        with opened(file) as store:
            store.back_up(MONDAY - HOUR)
            backup = store.back_up(MONDAY)
        damage()
        with opened(file) as store, pytest.raises(errors.StoreError, match="malformed") as caught:
            store.personas()
        assert f"copy the newest backup {backup} to {file}" in str(caught.value)

    def test_without_a_backup_it_says_so(self, file: Path, damage: Callable[[], None]) -> None:
        """It points to what SQLite itself can still read."""
        damage()
        with opened(file) as store, pytest.raises(errors.StoreError, match=r"none in .*\.recover"):
            store.personas()

    def test_a_damaged_file_is_no_backup(self, file: Path, damage: Callable[[], None]) -> None:
        """The good ones stay, and the sentence names the newest of them."""
        with opened(file) as store:
            kept = [store.back_up(MONDAY + days * 24 * HOUR) for days in range(5)]
        damage()
        with (
            opened(file) as store,
            pytest.raises(errors.StoreError, match="could not be made") as caught,
        ):
            store.back_up_daily(MONDAY + 9 * 24 * HOUR)
        assert f"copy the newest backup {kept[-1]}" in str(caught.value)
        assert sorted(kept[0].parent.iterdir()) == kept

    def test_a_backup_that_is_copied_back_works(
        self, file: Path, damage: Callable[[], None]
    ) -> None:
        """Following the sentence brings the log back."""
        with opened(file) as store:
            backup = store.back_up(MONDAY)
        damage()
        for path in [file, *journals(file)]:
            path.unlink(missing_ok=True)
        shutil.copy(backup, file)
        with opened(file) as store:
            assert len(seen(store)) == 300


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
class TestPermissions:
    def test_files_are_their_users_only(self, file: Path) -> None:
        """A new database, its journals and its backups have mode 600, their folder 700."""
        with opened(file) as store:
            see(store, "a")
            backup = store.back_up(MONDAY)
            assert [mode(path) for path in [file, backup, *journals(file)]] == [0o600] * 4
        assert mode(backup.parent) == 0o700

    def test_older_files_are_closed_and_other_folders_left(self, file: Path) -> None:
        """Files that others could read are closed when they are opened; their folder is not."""
        file.parent.chmod(0o755)
        with opened(file) as store:
            see(store, "a")
            backup = store.back_up(MONDAY)
            paths = [file, backup, *journals(file)]
            for path in paths:
                path.chmod(0o644)
            backup.parent.chmod(0o755)
            with opened(file):
                assert [mode(path) for path in paths] == [0o600] * 4
        assert mode(backup.parent) == 0o700
        assert mode(file.parent) == 0o755
        backup.parent.chmod(0o755)
        (backup.parent / "holiday.jpg").touch()
        with opened(file):
            assert mode(backup.parent) == 0o755

    def test_the_data_folder_is_closed_unless_it_holds_other_things(self, tmp_path: Path) -> None:
        """The folders of avatarkit get mode 700 again; a home that is the data folder stays."""
        data = tmp_path / "home" / "data"
        for expected in (0o700, 0o755):
            with open_session(data_dir=data) as session:
                assert mode(session.settings.folder / "avatarkit.db") == 0o600
                assert mode(session.settings.folder) == 0o700
                assert mode(data) == expected
            session.settings.folder.chmod(0o755)
            data.chmod(0o755)
            (data / "notes.txt").touch()

    def test_no_right_is_given(self, file: Path) -> None:
        """A file that its user made read-only is closed to others, and stays read-only."""
        opened(file).close()
        file.chmod(0o444)
        opened(file).close()
        assert mode(file) == 0o400

    def test_the_journals_of_a_link_lie_beside_the_file(self, file: Path, tmp_path: Path) -> None:
        """A link is followed: they are made private where SQLite puts them."""
        opened(file).close()
        link = tmp_path / "link.db"
        link.symlink_to(file)
        with opened(link) as store:
            see(store, "a")
            for path in [file, *journals(file)]:
                path.chmod(0o644)
            with opened(link):
                assert [mode(path) for path in [file, *journals(file)]] == [0o600] * 3
            file.unlink()
            with pytest.raises(errors.StoreError, match="deleted"):
                see(store, "b")

    def test_a_file_of_another_user_is_left(
        self, file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whose file it is decides who may read it."""
        opened(file).close()
        file.chmod(0o640)
        monkeypatch.setattr(os, "geteuid", lambda: 12_345)
        opened(file).close()
        assert mode(file) == 0o640


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_no_backup_of_a_database_in_memory() -> None:
    """It says that there is no file, and none is due."""
    with Store("sqlite://", account="mine") as store:
        assert store.back_up_daily(MONDAY) is None
        with pytest.raises(errors.StoreError, match="no SQLite file"):
            store.back_up(MONDAY)


def test_the_newest_backup_is_the_newest_by_name(file: Path, store: Store) -> None:
    """Files that only look like backups do not count."""
    backup = store.back_up(MONDAY)
    for name in ("my log #1-20261399T000000Z.db", "my log #1-.db", "other-20270101T000000Z.db"):
        (backup.parent / name).touch()
    assert list(backups(file)) == [backup]
