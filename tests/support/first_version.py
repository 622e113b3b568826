"""A database of the first version, kept as ``tests/store/first_version.sql``."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import sqlalchemy as sa

from avatarkit.store import migrations
from support.project import ROOT

FIRST_VERSION = ROOT / "tests" / "store" / "first_version.sql"
OLD_TABLES = ("meta", "submissions", "personas", "sightings")
ACCOUNT = "live-account-0001"
"""Most rows are of this account."""


def make_first(url: str) -> None:
    """Fill an empty database, a SQLite file or a PostgreSQL, as the first version did."""
    database = str(sa.make_url(url).database) if url.startswith("sqlite") else ":memory:"
    with closing(sqlite3.connect(database)) as source:
        source.executescript(FIRST_VERSION.read_text("utf-8"))
        if database != ":memory:":
            source.execute("PRAGMA journal_mode = WAL")
            return
        source.row_factory = sqlite3.Row
        engine = sa.create_engine(url)
        with engine.begin() as connection:
            make(connection, "0001")
            for name in OLD_TABLES:
                table = sa.Table(name, sa.MetaData(), autoload_with=connection)
                rows = [dict(row) for row in source.execute(f"SELECT * FROM {name}")]  # noqa: S608
                connection.execute(table.insert(), rows)
            # The server counts only rows that it numbered itself.
            connection.exec_driver_sql("SELECT setval('sightings_id_seq', max(id)) FROM sightings")
        engine.dispose()


def make(connection: sa.Connection, revision: str) -> None:
    """Create the tables of a version from before Alembic in an empty database."""
    migrations.upgrade(connection, revision)
    connection.exec_driver_sql("DROP TABLE alembic_version")
