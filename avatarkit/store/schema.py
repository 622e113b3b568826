"""Create the tables of a new database, and upgrade those of an older one."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from avatarkit.errors import StoreError
from avatarkit.store import backup, migrations, tables

_PREPARING = 0x617661746172
"""The number of the lock under which the tables of a PostgreSQL are created."""

_META = tables.meta.c


def prepare(engine: sa.Engine, shown: str, file: Path | None) -> None:
    """Create the tables of a database, or upgrade them.

    Nothing is written, and no lock is taken, if they are those of this version.

    Args:
        engine: The database.
        shown: Its URL without a password.
        file: Its file, which is backed up before it is upgraded; None: it is not backed up.

    Raises:
        StoreError: A newer avatarkit made it, or it cannot be backed up.
    """
    with engine.connect() as connection:
        connection = connection.execution_options(reading=True)
        with connection.begin():
            is_current = _is_current(connection, shown)
    if not is_current:
        with engine.begin() as connection:
            _upgrade(connection, shown, file)


def _upgrade(connection: sa.Connection, shown: str, file: Path | None) -> None:
    if connection.dialect.name == "postgresql":
        # Else two processes that open an empty database at once both create the tables.
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_PREPARING)))
    if _is_current(connection, shown):
        return  # another process was faster
    present = set(sa.inspect(connection).get_table_names())
    if present.isdisjoint(tables.metadata.tables):
        tables.metadata.create_all(connection)
        connection.execute(tables.alembic_version.insert().values(version_num=migrations.HEAD))
    else:
        if file is not None:
            version = _version(connection, present) or "unknown"
            name = f"{file.stem}-schema-{version}{file.suffix}"
            backup.write(file, backup.folder_of(file) / name)
        migrations.upgrade(connection)
    # Avatarkits from before Alembic read this to refuse a newer database.
    connection.execute(tables.meta.delete().where(_META.key == "schema_version"))
    version = str(tables.SCHEMA_VERSION)
    connection.execute(tables.meta.insert().values(key="schema_version", value=version))


def _is_current(connection: sa.Connection, shown: str) -> bool:
    """Return whether the tables are those of this version."""
    present = set(sa.inspect(connection).get_table_names())
    version, revision = _version(connection, present), None
    if tables.alembic_version.name in present:
        revision = connection.scalar(sa.select(tables.alembic_version.c.version_num))
    newest = tables.SCHEMA_VERSION
    for number in (version, revision):
        if number is not None and not (number.isdecimal() and int(number) <= newest):
            raise StoreError(
                f"The database {shown} was made by a newer avatarkit (schema {number}, this one "
                f"knows {newest}); update avatarkit or choose another database."
            )
    return (version, revision) == (str(newest), migrations.HEAD)


def _version(connection: sa.Connection, present: set[str]) -> str | None:
    """Return the number of the schema; None if a database says none."""
    if tables.meta.name not in present:
        return None
    return connection.scalar(sa.select(_META.value).where(_META.key == "schema_version"))
