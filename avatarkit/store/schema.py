"""Create and upgrade the tables.

What is missing is read from the tables themselves, not from their version number alone: a
number may be wrong after an upgrade that was not finished.
"""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from avatarkit.errors import StoreError
from avatarkit.models import TERMINAL, Persona
from avatarkit.store import answers, backup, tables

_PREPARING = 0x617661746172
"""The number of the lock under which the tables of a PostgreSQL are created."""

_META = tables.meta.c


def prepare(engine: sa.Engine, shown: str, file: Path | None) -> None:
    """Create or add what tables, columns and indexes a database lacks.

    Nothing is written, and no lock is taken, if it lacks nothing.

    Args:
        engine: The database.
        shown: Its URL without a password.
        file: Its file, which is backed up before anything is added to tables that are there; None:
            it is not backed up.

    Raises:
        StoreError: A newer avatarkit made it, or it cannot be backed up.
    """
    with engine.connect() as connection:
        connection = connection.execution_options(reading=True)
        with connection.begin():
            is_current = not _missing(connection) and (
                _version(connection, shown) == tables.SCHEMA_VERSION
            )
    if not is_current:
        with engine.begin() as connection:
            _upgrade(connection, shown, file)


def _upgrade(connection: sa.Connection, shown: str, file: Path | None) -> None:
    if connection.dialect.name == "postgresql":
        # Else two processes that open an empty database at once both create the tables.
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_PREPARING)))
    version, missing = _version(connection, shown), _missing(connection)
    newest = tables.SCHEMA_VERSION
    is_new = not sa.inspect(connection).has_table(tables.personas.name)
    if file is not None and not is_new and (missing or version != newest):
        name = f"{file.stem}-schema-{version or 'unknown'}{file.suffix}"
        backup.write(file, backup.folder_of(file) / name)
    tables.metadata.create_all(connection)
    for addition in missing:
        if isinstance(addition, sa.Column):
            definition = sa.schema.CreateColumn(addition).compile(dialect=connection.dialect)
            table = addition.table.name
            connection.exec_driver_sql(f"ALTER TABLE {table} ADD COLUMN {definition}")
    for index in missing:
        if isinstance(index, sa.Index):
            index.create(connection, checkfirst=True)
    if not is_new:
        _fill_previews(connection)
        _plan_gone(connection)
    connection.execute(tables.meta.delete().where(_META.key == "schema_version"))
    connection.execute(tables.meta.insert().values(key="schema_version", value=str(newest)))


def _version(connection: sa.Connection, shown: str) -> int | None:
    """Return the number of the version; None if there is none."""
    if not sa.inspect(connection).has_table(tables.meta.name):
        return None
    version = connection.scalar(sa.select(_META.value).where(_META.key == "schema_version"))
    newest = tables.SCHEMA_VERSION
    if version is not None and not (version.isdecimal() and int(version) <= newest):
        raise StoreError(
            f"The database {shown} was made by a newer avatarkit (schema {version}, this one "
            f"knows {newest}); update avatarkit or choose another database."
        )
    return None if version is None else int(version)


def _missing(connection: sa.Connection) -> list[sa.Table | sa.Column[object] | sa.Index]:
    """Return the tables that are missing, and of the others the columns and indexes."""
    present = sa.inspect(connection)
    missing: list[sa.Table | sa.Column[object] | sa.Index] = []
    names = set(present.get_table_names())
    for table in tables.metadata.sorted_tables:
        if table.name not in names:
            missing.append(table)
            continue
        columns = {column["name"] for column in present.get_columns(table.name)}
        indexes = {index["name"] for index in present.get_indexes(table.name)}
        missing += [column for column in table.columns if column.name not in columns]
        missing += [index for index in table.indexes if index.name not in indexes]
    return missing


def _plan_gone(connection: sa.Connection) -> None:
    # Older versions did not poll a persona again that was gone before it had ended.
    columns = tables.personas.c
    has_ended = columns.status.in_([status.value for status in TERMINAL])
    left = columns.gone & columns.next_look_us.is_(None) & columns.deleted_us.is_(None)
    due = tables.personas.update().where(left, ~has_ended)
    connection.execute(due.values(next_look_us=columns.last_seen_us))


def _fill_previews(connection: sa.Connection) -> None:
    # A finished persona is not polled again, which would fill them.
    columns = tables.personas.c
    for row in connection.execute(
        sa.select(columns.account, columns.persona_id, columns.answer)
    ).all():
        values = answers.previews(Persona.model_validate_json(row.answer))
        key = tables.is_persona(row.account, row.persona_id)
        connection.execute(tables.personas.update().where(key).values(**values))
