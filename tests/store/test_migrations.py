"""Upgrades of the tables, on SQLite and on a real PostgreSQL."""

from __future__ import annotations

import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from avatarkit import Store, errors
from avatarkit.models import Persona
from avatarkit.store import migrations, tables
from avatarkit.store.migrations import __main__ as command
from support.first_version import ACCOUNT, OLD_TABLES, make, make_first
from support.project import ROOT

PREVIEWS = {
    "ada": ("https://cdn.example/ada/16.jpg", "https://cdn.example/ada/1.mp4"),
    "dee": (None, "https://cdn.example/dee/9.mp4"),
}
NUMBER = str(tables.SCHEMA_VERSION)
HOW = 'run python -m avatarkit.store.migrations "Say what changes" to write the missing revision'

on_both = pytest.mark.parametrize("url", ["sqlite", "postgres"], indirect=True)

Rows = dict[str, list[dict[str, Any]]]


@pytest.fixture
def first(url: str) -> str:
    """The URL of a database of the first version."""
    make_first(url)
    return url


@pytest.fixture
def first_file(tmp_path: Path) -> Path:
    """A SQLite file of the first version."""
    make_first(f"sqlite:///{tmp_path / 'log.db'}")
    return tmp_path / "log.db"


def read(url: str) -> Rows:
    """Return all rows of all tables, as the database has them."""
    engine = sa.create_engine(url)
    found = sa.MetaData()
    found.reflect(engine)
    with engine.connect() as connection:
        rows = {
            table.name: sorted(
                (row._asdict() for row in connection.execute(sa.select(table))), key=repr
            )
            for table in found.tables.values()
        }
    engine.dispose()
    return rows


def differences(url: str, metadata: sa.MetaData = tables.metadata) -> list[Any]:
    """Return what a database has otherwise than the tables say."""
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        options = {"compare_server_default": True}
        context = MigrationContext.configure(connection, opts=options)
        found = compare_metadata(context, metadata)
    engine.dispose()
    return found


@on_both
class TestFirstVersion:
    def test_all_its_rows_are_kept(self, first: str) -> None:
        """Each row has the values that it had; the avatar that was given up is due again."""
        expected = read(first)
        assert [len(expected[name]) for name in OLD_TABLES] == [2, 7, 7, 13]
        Store(first, account=ACCOUNT).close()
        after = read(first)
        for row in expected["personas"]:
            if row["persona_id"] == "cy":
                row["next_look_us"] = row["last_seen_us"]
        for row in expected["meta"]:
            if row["key"] == "schema_version":
                row["value"] = NUMBER
        for name in OLD_TABLES:
            old_columns = expected[name][0].keys()
            kept = [{column: row[column] for column in old_columns} for row in after[name]]
            assert sorted(kept, key=repr) == sorted(expected[name], key=repr)
        assert after["alembic_version"] == [{"version_num": migrations.HEAD}]
        assert differences(first) == []

    def test_its_frames_are_read_and_its_work_goes_on(self, first: str) -> None:
        """Previews are filled, what was gone is polled again, and new answers are logged."""
        with Store(first, account=ACCOUNT) as store:
            store.claim("live")
            rows = store.personas().set_index("persona_id").astype(object)
            assert set(rows.index) == {"ada", "bo", "cy", "dee", "eve", "zoe"}
            for persona_id, row in rows.iterrows():
                found = row[["preview_image", "preview_video"]]
                expected = PREVIEWS.get(str(persona_id), (None, None))
                assert tuple(found.where(found.notna(), None)) == expected
            assert sorted(store.submissions()["state"]) == [
                "accepted", "accepted", "accepted", "accepted", "prepared", "refused", "uncertain",
            ]  # fmt: skip
            now = datetime(2026, 1, 9, tzinfo=UTC)
            assert {each.persona_id for each in store.due(now)} == {"bo", "cy", "eve"}
            answer = Persona.model_validate({"id": "cy", "process_status": "processing"})
            store.record(answer, asked_at=now, answered_at=now, source="poll")
            assert store.sightings("cy")["status"].tolist() == ["pending", "processing"]
            assert not store.personas().set_index("persona_id").loc["cy", "gone"]

    def test_a_revision_is_applied_once(self, first: str) -> None:
        """What was changed after a revision stays as it is when later ones are applied."""
        engine = sa.create_engine(first)
        with engine.begin() as connection:
            migrations.upgrade(connection, "0003")
            connection.exec_driver_sql(
                "UPDATE personas SET next_look_us = NULL WHERE persona_id = 'cy'"
            )
        engine.dispose()
        Store(first, account=ACCOUNT).close()
        rows = {row["persona_id"]: row for row in read(first)["personas"]}
        assert rows["cy"]["gone"]
        assert rows["cy"]["next_look_us"] is None

    def test_an_upgrade_that_breaks_off_is_undone_and_done_again(
        self, first: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A process that ends before the last step leaves the old database as it was."""
        before = read(first)
        upgrade = migrations.upgrade

        def killed(connection: sa.Connection) -> None:
            upgrade(connection)
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(migrations, "upgrade", killed)
            with pytest.raises(KeyboardInterrupt):
                Store(first, account=ACCOUNT)
        assert read(first) == before
        with Store(first, account=ACCOUNT) as store:
            assert len(store.personas()) == 6
        assert differences(first) == []


@on_both
class TestRevisions:
    def test_they_lead_to_the_tables(self, url: str) -> None:
        """All revisions together make what ``tables.py`` says, and the last one is its number."""
        engine = sa.create_engine(url)
        with engine.begin() as connection:
            migrations.upgrade(connection)
            scripts = ScriptDirectory.from_config(migrations.config(connection))
        engine.dispose()
        assert differences(url) == [], HOW
        assert scripts.get_current_head() == migrations.HEAD, "raise tables.SCHEMA_VERSION by one"

    def test_a_new_database_has_the_same_tables(self, url: str) -> None:
        """Today's tables are made at once, as the revisions would make them."""
        Store(url).close()
        assert differences(url) == []
        assert read(url) == {
            **{name: [] for name in tables.metadata.tables},
            "alembic_version": [{"version_num": migrations.HEAD}],
            "meta": [{"key": "schema_version", "value": NUMBER}],
        }

    def test_a_column_without_a_revision_is_found_and_written(
        self, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The comparison sees it, and the command writes a revision that adds it."""
        Store(url, backups=0).close()
        more = sa.MetaData()
        for table in tables.metadata.tables.values():
            table.to_metadata(more)
        more.tables["personas"].append_column(sa.Column("mood", sa.String(20)))
        [(what, _, name, column)] = differences(url, more)
        assert (what, name, column.name) == ("add_column", "personas", "mood")
        folder = tmp_path / "migrations"
        shutil.copytree(ROOT / "avatarkit" / "store" / "migrations", folder)
        config = migrations.config

        def elsewhere(connection: sa.Connection) -> Any:
            found = config(connection)
            found.set_main_option("script_location", str(folder))
            return found

        monkeypatch.setattr(tables, "metadata", more)
        monkeypatch.setattr(migrations, "config", elsewhere)
        command.main("Add a mood")
        [written] = folder.glob("versions/*_add_a_mood.py")
        assert written.name == f"v{tables.SCHEMA_VERSION + 1:04}_add_a_mood.py"
        engine = sa.create_engine(url)
        with engine.begin() as connection:
            migrations.upgrade(connection)
        engine.dispose()
        assert differences(url, more) == []

    @pytest.mark.parametrize(
        ("revision", "number"),
        [("0001", "1"), ("0001", "4"), ("0002", None), ("0003", "3"), ("0003", "1"), ("0004", "4")],
    )
    def test_the_tables_count_and_not_the_number(
        self, url: str, revision: str, number: str | None
    ) -> None:
        """A database from before Alembic gets what it lacks, whichever version it says it is."""
        engine = sa.create_engine(url)
        with engine.begin() as connection:
            make(connection, revision)
            # As by an upgrade that was not finished.
            connection.exec_driver_sql("DROP INDEX sightings_by_persona")
            if revision == "0001":
                connection.exec_driver_sql("ALTER TABLE personas ADD COLUMN preview_image TEXT")
            if number is not None:
                row = {"key": "schema_version", "value": number}
                connection.execute(tables.meta.insert().values(**row))
        engine.dispose()
        Store(url).close()
        assert differences(url) == []
        assert {"key": "schema_version", "value": NUMBER} in read(url)["meta"]

    def test_a_log_that_lost_a_table_gets_it_again(self, first: str) -> None:
        """Though it is no new database, and has rows in other tables."""
        engine = sa.create_engine(first)
        with engine.begin() as connection:
            connection.exec_driver_sql("DROP TABLE personas")
        engine.dispose()
        with Store(first, account=ACCOUNT) as store:
            assert len(store.submissions()) == 7
        assert differences(first) == []


class TestFiles:
    """What only SQLite files have, or what needs to be tested on one database only."""

    def test_one_is_backed_up_before(self, first_file: Path) -> None:
        """The backup is the old database, named after its version; a new one needs none."""
        url = f"sqlite:///{first_file}"
        before = read(url)
        for _ in range(2):
            Store(url, account=ACCOUNT).close()
        backups = list((first_file.parent / "backups").iterdir())
        assert [path.name for path in backups] == ["log-schema-1.db"]
        assert read(f"sqlite:///{backups[0]}") == before
        other = first_file.parent / "new" / "log.db"
        other.parent.mkdir()
        Store(f"sqlite:///{other}", account=ACCOUNT).close()
        assert not (other.parent / "backups").exists()

    def test_without_the_backup_nothing_is_changed(self, first_file: Path) -> None:
        """Where it cannot be made, the sentence says so; with backups off, none is made."""
        url = f"sqlite:///{first_file}"
        before = read(url)
        (first_file.parent / "backups").touch()
        with pytest.raises(errors.StoreError, match=r"log-schema-1\.db could not be made"):
            Store(url, account=ACCOUNT)
        assert read(url) == before
        Store(url, account=ACCOUNT, backups=0).close()
        assert differences(url) == []

    def test_the_first_revision_makes_the_tables_of_the_first_version(
        self, first_file: Path
    ) -> None:
        """So that the next ones find what they were written for, on PostgreSQL too."""
        first = sa.MetaData()
        source = sa.create_engine(f"sqlite:///{first_file}")
        first.reflect(source)
        source.dispose()
        url = f"sqlite:///{first_file.parent / 'revised.db'}"
        engine = sa.create_engine(url)
        with engine.begin() as connection:
            make(connection, "0001")
        engine.dispose()
        assert differences(url, first) == []

    def test_only_an_upgrade_imports_alembic(self, tmp_path: Path) -> None:
        """To create a database and to open one that lacks nothing needs no library that is slow."""
        program = (
            "import sys; from avatarkit import Store\n"
            "for _ in range(2): Store(sys.argv[1]).close()\n"
            "sys.exit('alembic' in sys.modules)"
        )
        command = [sys.executable, "-c", program, f"sqlite:///{tmp_path / 'log.db'}"]
        assert subprocess.run(command, cwd=ROOT).returncode == 0
