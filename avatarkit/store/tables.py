"""The tables of the log, and how its database is opened.

Moments are stored as whole microseconds since 1970 (columns ``…_us``): exact on every database,
and quick to turn into columns of a frame.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.pool import StaticPool

from avatarkit.errors import StoreError

SCHEMA_VERSION = 1
BUSY_TIMEOUT_MS = 15_000

_tables = sa.MetaData()

meta = sa.Table(
    "meta",
    _tables,
    sa.Column("key", sa.String(50), primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)

submissions = sa.Table(
    "submissions",
    _tables,
    sa.Column("submission_id", sa.String(32), primary_key=True),
    sa.Column("account", sa.String(32), nullable=False),
    sa.Column("state", sa.String(20), nullable=False),
    sa.Column("persona_id", sa.Text),
    sa.Column("creator_name", sa.Text, nullable=False),
    sa.Column("request", sa.Text, nullable=False),
    sa.Column("prepared_us", sa.BigInteger, nullable=False),
    sa.Column("sent_us", sa.BigInteger),
    sa.Column("ended_us", sa.BigInteger),
    sa.Column("error", sa.Text),
    # Not in the frame: what settling an uncertain fate needs.
    sa.Column("sender", sa.Text),
    sa.Column("broke_us", sa.BigInteger),
    sa.Column("candidates", sa.Text),
    sa.Index("submissions_by_account", "account", "prepared_us"),
)

personas = sa.Table(
    "personas",
    _tables,
    sa.Column("account", sa.String(32), primary_key=True),
    sa.Column("persona_id", sa.Text, primary_key=True),
    sa.Column("creator_name", sa.Text),
    sa.Column("gender", sa.Text),
    sa.Column("video_scene", sa.Text),
    sa.Column("keywords", sa.Text),
    sa.Column("labels", sa.Text),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("is_active", sa.Boolean),
    sa.Column("failed_reason", sa.Text),
    sa.Column("created_us", sa.BigInteger),
    sa.Column("updated_us", sa.BigInteger),
    sa.Column("submitted_us", sa.BigInteger),
    sa.Column("first_seen_us", sa.BigInteger, nullable=False),
    sa.Column("last_seen_us", sa.BigInteger, nullable=False),
    sa.Column("next_look_us", sa.BigInteger),
    sa.Column("gone", sa.Boolean, nullable=False, default=False),
    sa.Column("last_error", sa.Text),
    # Not in the frame: what the tracker needs to go on, and the last answer, whole.
    sa.Column("run_id", sa.BigInteger),
    sa.Column("failures", sa.Integer, nullable=False, default=0),
    sa.Column("missed_since_us", sa.BigInteger),
    sa.Column("answer", sa.Text, nullable=False),
    sa.Index("personas_by_next_look", "account", "next_look_us"),
)

sightings = sa.Table(
    "sightings",
    _tables,
    sa.Column(
        "id",
        sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
        primary_key=True,
        autoincrement=True,
    ),
    sa.Column("account", sa.String(32), nullable=False),
    sa.Column("persona_id", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("first_seen_us", sa.BigInteger, nullable=False),
    sa.Column("last_seen_us", sa.BigInteger, nullable=False),
    sa.Column("times_seen", sa.BigInteger, nullable=False),
    sa.Column("reported_us", sa.BigInteger),
    sa.Column("failed_reason", sa.Text),
    sa.Column("source", sa.String(10), nullable=False),
    sa.Index("sightings_by_persona", "account", "persona_id", "first_seen_us"),
)


def open_engine(url: str) -> sa.Engine:
    """An engine on ``url`` with the tables in place.

    Raises ``StoreError``, one sentence, when it cannot be opened or was made by a newer avatarkit.
    """
    try:
        parsed = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        raise StoreError(
            "The database URL is not one; write sqlite:///file.db or "
            "postgresql+psycopg://user:password@host/name, signs such as @ and : in the password "
            "as %40 and %3A."
        ) from None
    shown = parsed.render_as_string(hide_password=True)
    in_memory = parsed.get_backend_name() == "sqlite" and parsed.database in (None, "", ":memory:")
    options: dict[str, Any] = {"pool_pre_ping": True}
    if in_memory:
        options = {"poolclass": StaticPool, "connect_args": {"check_same_thread": False}}
    try:
        engine = sa.create_engine(parsed, **options)
    except (sa.exc.SQLAlchemyError, ImportError, ValueError, TypeError) as error:
        raise StoreError(
            f"No driver for the database {shown} ({short_reason(error)}); write sqlite:///file.db, "
            'or postgresql+psycopg://… after pip install "psycopg[binary]".'
        ) from None
    if engine.dialect.name == "sqlite":
        _prepare_sqlite(engine, in_memory=in_memory)
    try:
        with engine.begin() as connection:
            query = sa.select(meta.c.value).where(meta.c.key == "schema_version")
            known = sa.inspect(connection).has_table("meta")
            version = connection.scalar(query) if known else None
            if not _is_newer(version):
                _tables.create_all(connection)
            if version is None:
                connection.execute(
                    meta.insert().values(key="schema_version", value=str(SCHEMA_VERSION))
                )
    except (sa.exc.SQLAlchemyError, ValueError, TypeError) as error:
        engine.dispose()
        raise StoreError(
            f"The database {shown} cannot be opened ({short_reason(error)}); check that its "
            "folder or server exists and that you may write there."
        ) from None
    if _is_newer(version):
        engine.dispose()
        raise StoreError(
            f"The database {shown} was made by a newer avatarkit (schema {version}, this one "
            f"knows {SCHEMA_VERSION}); update avatarkit or choose another database."
        )
    return engine


def _is_newer(version: str | None) -> bool:
    if version is None:
        return False
    return not (version.isdecimal() and int(version) <= SCHEMA_VERSION)


def _prepare_sqlite(engine: sa.Engine, *, in_memory: bool) -> None:
    @sa.event.listens_for(engine, "connect")
    def on_connect(connection: Any, _: Any) -> None:
        # Transactions are begun below, so that a writer takes its lock before it reads.
        connection.isolation_level = None
        connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
        if not in_memory:
            connection.execute("PRAGMA journal_mode = WAL")
            # An accepted create must survive a power cut, too.
            connection.execute("PRAGMA synchronous = FULL")

    @sa.event.listens_for(engine, "begin")
    def on_begin(connection: sa.Connection) -> None:
        if connection.get_execution_options().get("reading"):
            connection.exec_driver_sql("BEGIN")
        else:
            connection.exec_driver_sql("BEGIN IMMEDIATE")


def short_reason(error: Exception) -> str:
    """The first line of what the database itself said."""
    cause = getattr(error, "orig", None) or error
    return (
        str(cause).strip().splitlines()[0].rstrip(".") if str(cause).strip() else "no reason given"
    )


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_us(moment: datetime) -> int:
    """The microseconds since 1970 of an aware moment."""
    return (moment - EPOCH) // timedelta(microseconds=1)


def to_moment(us: int) -> datetime:
    """The aware UTC moment of microseconds since 1970."""
    return EPOCH + timedelta(microseconds=us)
