"""Open the log's database and run transactions on it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import sqlalchemy as sa
from sqlalchemy.pool import StaticPool

from avatarkit.errors import StoreError
from avatarkit.models import Persona
from avatarkit.store import answers, tables

BUSY_TIMEOUT_MS = 15_000

_PREPARING = 0x617661746172
"""The number of the lock under which the tables of a PostgreSQL are created."""


class Database:
    """The rows of one account in a database, and each thread's open transaction.

    Args:
        url: ``sqlite:///file.db`` or ``postgresql+psycopg://user:password@host/name``.
        account: The fingerprint of the account, None if it is not known yet.

    Attributes:
        url: The URL without its password and its options, which can hold one too.
        account: The fingerprint of the account, None before ``bind``.
    """

    def __init__(self, url: str, *, account: str | None = None) -> None:
        self._engine = open_engine(url)
        self.url = _shown(self._engine.url)
        self.account = account
        self._open = threading.local()
        # All threads share the one connection of an in-memory database; they take turns.
        in_memory = isinstance(self._engine.pool, StaticPool)
        self._turn = threading.RLock() if in_memory else nullcontext()

    def bind(self, account: str) -> None:
        """Make this the store of an account.

        Raises:
            StoreError: It is another account's already.
        """
        if self.account not in (None, account):
            raise StoreError("This Store is bound to another account; open a second Store for it.")
        self.account = account

    def claim(self, kind: str) -> None:
        """Reserve this database permanently for one kind of data.

        Args:
            kind: ``sandbox`` or ``live``.

        Raises:
            StoreError: It holds the other kind.
        """
        query = sa.select(tables.meta.c.value).where(tables.meta.c.key == "kind")
        with self.transaction() as connection:
            claimed = connection.scalar(query)
            if claimed is None:
                connection.execute(tables.meta.insert().values(key="kind", value=kind))
            elif claimed != kind:
                raise StoreError(
                    f"The database {self.url} holds {claimed} data, which {kind} data must not "
                    "join; set AVATARKIT_DATABASE_URL to another database."
                )

    @contextmanager
    def transaction(self, *, reading: bool = False) -> Iterator[sa.Connection]:
        """Open a transaction; the store's methods that this thread calls in the block join it.

        Args:
            reading: Take no write lock.

        Yields:
            The connection. Everything is committed at the end, or nothing if the block raises.

        Raises:
            StoreError: The database failed; the whole transaction is rolled back.
        """
        joined: sa.Connection | None = getattr(self._open, "connection", None)
        try:
            if joined is not None:
                yield joined
                return
            with self._turn, self._engine.connect() as connection:
                self._open.connection = connection.execution_options(reading=reading)
                try:
                    with connection.begin():
                        yield connection
                finally:
                    self._open.connection = None
        except (sa.exc.SQLAlchemyError, UnicodeError) as error:
            raise StoreError(
                f"The database {self.url} did not work ({_short_reason(error)}); nothing was half "
                "written."
            ) from None

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()

    def _own(self) -> str:
        if self.account is None:
            raise StoreError("This Store belongs to no account yet; give Store(…, account=…).")
        return self.account


def open_engine(url: str) -> sa.Engine:
    """Open the database at ``url`` and create the tables that are missing.

    Args:
        url: ``sqlite:///file.db`` or ``postgresql+psycopg://user:password@host/name``.

    Returns:
        The engine.

    Raises:
        StoreError: The database cannot be opened, or was made by a newer avatarkit.
    """
    try:
        parsed = sa.make_url(url)
        if "@" in (parsed.host or ""):
            raise ValueError("the end of a password")
    except (sa.exc.ArgumentError, ValueError):
        raise StoreError(
            "The database URL is not one; write sqlite:///file.db or "
            "postgresql+psycopg://user:password@host/name, signs such as @ and : in the password "
            "as %40 and %3A."
        ) from None
    shown = _shown(parsed)
    in_memory = parsed.get_backend_name() == "sqlite" and parsed.database in (None, "", ":memory:")
    options: dict[str, Any] = {"pool_pre_ping": True}
    if in_memory:
        options = {"poolclass": StaticPool, "connect_args": {"check_same_thread": False}}
    if parsed.drivername == "postgresql+psycopg":
        # A pooler such as PgBouncer may run each transaction on another connection to the server,
        # which does not know the statements that were prepared on the one before.
        options["connect_args"] = {"prepare_threshold": None}
    try:
        engine = sa.create_engine(parsed, **options)
    except (sa.exc.SQLAlchemyError, ImportError, ValueError, TypeError) as error:
        raise StoreError(
            f"No driver for the database {shown} ({_short_reason(error)}); write "
            'sqlite:///file.db, or postgresql+psycopg://… after pip install "psycopg[binary]".'
        ) from None
    if engine.dialect.name == "sqlite":
        _prepare_sqlite(engine, in_memory=in_memory)
    try:
        with engine.begin() as connection:
            _prepare_tables(connection, shown)
    except StoreError:
        engine.dispose()
        raise
    except (sa.exc.SQLAlchemyError, ValueError, TypeError) as error:
        engine.dispose()
        raise StoreError(
            f"The database {shown} cannot be opened ({_short_reason(error)}); check that its "
            "folder or server exists and that you may write there."
        ) from None
    return engine


def _prepare_tables(connection: sa.Connection, shown: str) -> None:
    """Create missing tables and columns; raise ``StoreError`` if a newer avatarkit made them."""
    if connection.dialect.name == "postgresql":
        # Else two processes that open an empty database at once both create the tables.
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_PREPARING)))
    query = sa.select(tables.meta.c.value).where(tables.meta.c.key == "schema_version")
    version = connection.scalar(query) if sa.inspect(connection).has_table("meta") else None
    newest = tables.SCHEMA_VERSION
    if version is not None and not (version.isdecimal() and int(version) <= newest):
        raise StoreError(
            f"The database {shown} was made by a newer avatarkit (schema {version}, this one "
            f"knows {newest}); update avatarkit or choose another database."
        )
    tables.metadata.create_all(connection)
    if version is None:
        row = {"key": "schema_version", "value": str(newest)}
        connection.execute(tables.meta.insert().values(**row))
    elif int(version) < newest:
        _add_missing_columns(connection)
        _fill_previews(connection)
        key = tables.meta.c.key == "schema_version"
        connection.execute(tables.meta.update().where(key).values(value=str(newest)))


def _add_missing_columns(connection: sa.Connection) -> None:
    present = sa.inspect(connection)
    for table in tables.metadata.sorted_tables:
        names = {column["name"] for column in present.get_columns(table.name)}
        for column in table.columns:
            if column.name not in names:
                definition = sa.schema.CreateColumn(column).compile(dialect=connection.dialect)
                connection.exec_driver_sql(f"ALTER TABLE {table.name} ADD COLUMN {definition}")


def _fill_previews(connection: sa.Connection) -> None:
    # A finished persona is not polled again, which would fill them.
    columns = tables.personas.c
    for row in connection.execute(
        sa.select(columns.account, columns.persona_id, columns.answer)
    ).all():
        values = answers.previews(Persona.model_validate_json(row.answer))
        key = tables.is_persona(row.account, row.persona_id)
        connection.execute(tables.personas.update().where(key).values(**values))


def _prepare_sqlite(engine: sa.Engine, *, in_memory: bool) -> None:
    @sa.event.listens_for(engine, "connect")
    def on_connect(connection: Any, _: Any) -> None:
        # on_begin begins transactions, so that a writer takes its lock before it reads.
        connection.isolation_level = None
        connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
        if not in_memory:
            connection.execute("PRAGMA journal_mode = WAL")
            # An accepted create must survive a power failure.
            connection.execute("PRAGMA synchronous = FULL")

    @sa.event.listens_for(engine, "begin")
    def on_begin(connection: sa.Connection) -> None:
        reading = connection.get_execution_options().get("reading")
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


def _shown(url: sa.URL) -> str:
    # Options such as ?password=… are no password to SQLAlchemy.
    return url.set(query={}).render_as_string(hide_password=True)


def _short_reason(error: Exception) -> str:
    """Return the first line of the database's own message."""
    message = str(getattr(error, "orig", None) or error).strip()
    return message.splitlines()[0].rstrip(".") if message else "no reason given"
