"""Open the log's database and run transactions on it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.pool import StaticPool

from avatarkit.errors import StoreError
from avatarkit.store import backup, schema, sqlite_file, tables
from avatarkit.store.sqlite_file import WatchedFile

logger = logging.getLogger("avatarkit")

BUSY_TIMEOUT_MS = 15_000


class Database:
    """The rows of one account in a database, and each thread's open transaction.

    Args:
        url: ``sqlite:///file.db`` or ``postgresql+psycopg://user:password@host/name``.
        account: The fingerprint of the account, None if it is not known yet.
        backups: How many daily backups of a SQLite file are kept; 0: none is made.

    Attributes:
        url: The URL without its password and its options, which can hold one too.
        account: The fingerprint of the account, None before ``bind``.
        closed: A sentence once it is closed, else None.
    """

    def __init__(self, url: str, *, account: str | None = None, backups: int = 5) -> None:
        self._engine = open_engine(url, backups=backups)
        self.url = shown_url(self._engine.url)
        self.account = account
        self.backups = backups
        self.closed: str | None = None
        self._kind: str | None = None
        file = sqlite_file.path_of(self._engine.url)
        self._file = None if file is None else WatchedFile(file)
        self._reopening = threading.Lock()
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
        with self.transaction(reading=True) as connection:
            claimed = connection.scalar(query)
        if claimed is None:
            with self.transaction() as connection:
                insert = tables.insert(connection, tables.meta).values(key="kind", value=kind)
                connection.execute(insert.on_conflict_do_nothing())
                claimed = connection.scalar(query)  # another process may have been faster
        if claimed != kind:
            raise StoreError(
                f"The database {self.url} holds {claimed} data, which {kind} data must not join; "
                "set AVATARKIT_DATABASE_URL to another database."
            )
        self._kind = kind

    @property
    def product(self) -> str:
        """The database's name and version, such as ``SQLite 3.45.1``."""
        dialect = self._engine.dialect
        names = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}
        version = ".".join(map(str, dialect.server_version_info or ()))
        return f"{names.get(dialect.name, dialect.name)} {version}".rstrip()

    @property
    def backup_file(self) -> Path | None:
        """The SQLite file that ``back_up`` copies; None if it is none."""
        return None if self._file is None else self._file.path

    @property
    def kind(self) -> str | None:
        """What this store was claimed for: ``sandbox``, ``live``, or None while that is open."""
        return self._kind

    @contextmanager
    def transaction(self, *, reading: bool = False) -> Iterator[sa.Connection]:
        """Open a transaction; the store's methods that this thread calls in the block join it.

        Args:
            reading: Take no write lock.

        Yields:
            The connection. Everything is committed at the end, or nothing if the block raises.

        Raises:
            StoreError: The database failed, and the whole transaction is rolled back; or its file
                was deleted or replaced.
        """
        joined: sa.Connection | None = getattr(self._open, "connection", None)
        try:
            if joined is not None:
                yield joined
                return
            self.require_open()
            found = self._find_file()
            with self._turn, self._engine.connect() as connection:
                self._open.connection = connection.execution_options(reading=reading)
                try:
                    with connection.begin():
                        yield connection
                finally:
                    self._open.connection = None
            if not reading and self._file is not None and self._file.find_written() != found:
                raise self._deleted(self._file)
        except (sa.exc.SQLAlchemyError, UnicodeError) as error:
            path = None if self._file is None else self._file.path
            if path is not None:
                # Some errors stay with a connection when their cause is gone.
                self._engine.dispose()
            raise StoreError(
                f"The database {self.url} did not work ({_short_reason(error)}), and nothing was "
                f"half written; {sqlite_file.way_out(error, path)}."
            ) from None

    def back_up(self, now: datetime, path: Path | None = None) -> Path:
        """Copy the SQLite file, also while it is in use.

        Args:
            now: The moment, on the machine's clock.
            path: Where to; by default a new file in the folder ``backups`` next to the database,
                of which the oldest are deleted.

        Returns:
            The copy.

        Raises:
            StoreError: It cannot be copied, or is no SQLite file.
        """
        if self._file is None:
            raise StoreError(
                f"The database {self.url} is no SQLite file; back up PostgreSQL with its own "
                "pg_dump."
            )
        self._find_file()
        if path is None:
            return backup.write_daily(self._file.path, now, self.backups)
        if path.exists():
            raise StoreError(f"{path} exists already; give the backup another name.")
        backup.write(self._file.path, path)
        return path

    def back_up_daily(self, now: datetime) -> Path | None:
        """Copy the SQLite file if it was not copied within the last day.

        Args:
            now: The moment, on the machine's clock.

        Returns:
            The copy; None if none is due or wanted.

        Raises:
            StoreError: It cannot be copied.
        """
        if self._file is None or not self.backups or not backup.is_due(self._file.path, now):
            return None
        return self.back_up(now)

    def close(self, closed: str = "This store is closed; open it again.") -> None:
        """Close the connections; every later call raises ``StoreError``.

        Args:
            closed: The sentence of that error.
        """
        self.closed = closed
        self._engine.dispose()

    def close_connections(self) -> None:
        """Close the connections; a later call opens new ones."""
        self._engine.dispose()

    def require_open(self) -> None:
        """Do nothing, unless the store is closed.

        Raises:
            StoreError: It is closed; a thread that is in ``kept_open`` may use it still.
        """
        if self.closed is not None and not getattr(self._open, "is_kept", False):
            raise StoreError(self.closed)

    @contextmanager
    def kept_open(self) -> Iterator[None]:
        """Let this thread write what it has begun, also if the store is closed meanwhile."""
        self.require_open()
        before = getattr(self._open, "is_kept", False)
        self._open.is_kept = True
        try:
            yield
        finally:
            self._open.is_kept = before

    def lock_account(self) -> None:
        """Let others that log new personas of the account wait until the transaction ends."""
        query = sa.select(tables.accounts.c.account)
        query = query.where(tables.accounts.c.account == self._own()).with_for_update()
        with self.transaction() as connection:
            connection.execute(query).all()

    def _own(self) -> str:
        if self.account is None:
            raise StoreError("This Store belongs to no account yet; give Store(…, account=…).")
        return self.account

    def _is_read(self, columns: Any, persona_id: str | None = None) -> sa.ColumnElement[bool]:
        """Return the condition that a row may be read: any row, in a store without an account."""
        own = sa.true() if self.account is None else columns.account == self.account
        return own if persona_id is None else own & (columns.persona_id == persona_id)

    def _find_file(self) -> object:
        """Return the identity of the SQLite file; open it again if it was replaced.

        Raises:
            StoreError: It was deleted, or replaced by a database of something else.
        """
        if (file := self._file) is None:
            return None
        found = file.find()
        if found is None:
            raise self._deleted(file)
        if found != file.identity:
            with self._reopening:
                if file is self._file:  # else another thread has opened it again
                    self._reopen(file)
        return found

    def _reopen(self, file: WatchedFile) -> None:
        # The old connections write to the old file, and to journals under the same names.
        self._engine.dispose()
        file.give_up()
        if not sqlite_file.belongs_to(file.path, self.account, self._kind):
            raise StoreError(
                f"The database {self.url} was replaced by a file that holds nothing of this "
                f"account; {backup.how_to_restore(file.path)}, or start avatarkit again to use the "
                "new file."
            )
        self._engine = open_engine(self._engine.url, backups=self.backups)
        self._file = WatchedFile(file.path)
        logger.warning("The database %s was replaced by another file, which is used now.", self.url)

    def _deleted(self, file: WatchedFile) -> StoreError:
        return StoreError(
            f"The database {self.url} was deleted, moved or replaced while it was in use; put it "
            f"back, or {backup.how_to_restore(file.path)}."
        )


def open_engine(url: str | sa.URL, *, backups: int = 0) -> sa.Engine:
    """Open the database at ``url`` and create the tables that are missing.

    A SQLite file is made readable to its user only.

    Args:
        url: ``sqlite:///file.db`` or ``postgresql+psycopg://user:password@host/name``.
        backups: Whether a SQLite file is backed up before tables in it are changed: not if 0.

    Returns:
        The engine.

    Raises:
        StoreError: The database cannot be opened, or was made by a newer avatarkit.
    """
    engine = make_engine(url)
    shown, file = shown_url(engine.url), sqlite_file.path_of(engine.url)
    if file is not None and sqlite_file.create(file) and backup.backups(file):
        how = backup.how_to_restore(file)
        logger.warning("The database %s is new, but there are backups: to use one, %s.", shown, how)
    try:
        schema.prepare(engine, shown, file if backups else None)
    except (sa.exc.SQLAlchemyError, ValueError, TypeError) as error:
        engine.dispose()
        raise StoreError(
            f"The database {shown} cannot be opened ({_short_reason(error)}); "
            f"{sqlite_file.way_out(error, file)}."
        ) from None
    except BaseException:
        engine.dispose()
        raise
    if file is not None:
        sqlite_file.make_private(file)
    return engine


def make_engine(url: str | sa.URL) -> sa.Engine:
    """Return an engine of the database at ``url``, which has not connected yet.

    Raises:
        StoreError: It is no URL of a database, or there is no driver for it.
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
    try:
        return _make_engine(parsed)
    except (sa.exc.SQLAlchemyError, ImportError, ValueError, TypeError) as error:
        raise StoreError(
            f"No driver for the database {shown_url(parsed)} ({_short_reason(error)}); write "
            'sqlite:///file.db, or postgresql+psycopg://… after pip install "psycopg[binary]".'
        ) from None


def _make_engine(url: sa.URL) -> sa.Engine:
    options: dict[str, Any] = {"pool_pre_ping": True}
    in_memory = url.get_backend_name() == "sqlite" and url.database in (None, "", ":memory:")
    if in_memory:
        options = {"poolclass": StaticPool, "connect_args": {"check_same_thread": False}}
    if url.drivername == "postgresql+psycopg":
        # A pooler such as PgBouncer may run each transaction on another connection to the server,
        # which does not know the statements that were prepared on the one before.
        options["connect_args"] = {"prepare_threshold": None}
    engine = sa.create_engine(url, **options)
    if engine.dialect.name == "sqlite":
        _prepare_sqlite(engine, in_memory=in_memory)
    return engine


def _prepare_sqlite(engine: sa.Engine, *, in_memory: bool) -> None:
    file = sqlite_file.path_of(engine.url)
    if file is not None:

        @sa.event.listens_for(engine, "do_connect")
        def on_do_connect(_: Any, __: Any, arguments: list[Any], options: dict[str, Any]) -> None:
            # Mode rw: it never creates a file in place of one that was deleted.
            arguments[0] = f"{file.as_uri()}?mode=rw"
            options["uri"] = True

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


def shown_url(url: sa.URL) -> str:
    """Return a URL without its password and its options."""
    # Options such as ?password=… are no password to SQLAlchemy.
    return url.set(query={}).render_as_string(hide_password=True)


def _short_reason(error: Exception) -> str:
    """Return the first line of the database's own message."""
    message = str(getattr(error, "orig", None) or error).strip()
    return message.splitlines()[0].rstrip(".") if message else "no reason given"
