"""Define the tables of the log.

Times are stored as integer microseconds since 1970 (columns ``…_us``): exact on every database, and
fast to convert to columns of a frame.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

SCHEMA_VERSION = 5
"""The number of the newest revision; ``store.migrations`` says how to change the tables."""

IN_FLIGHT = ("prepared", "sending", "uncertain")
"""States in which a submission may still need its files, and get an avatar."""

metadata = sa.MetaData()

# Which revision the tables are of; Alembic reads and writes it.
alembic_version = sa.Table(
    "alembic_version", metadata, sa.Column("version_num", sa.String(32), primary_key=True)
)

meta = sa.Table(
    "meta",
    metadata,
    sa.Column("key", sa.String(50), primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)

accounts = sa.Table(
    "accounts",
    metadata,
    sa.Column("account", sa.String(32), primary_key=True),
    # The number of the last call, by which answers are ordered.
    sa.Column("asked_no", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("paused_us", sa.BigInteger),
    sa.Column("paused_until_us", sa.BigInteger),
    sa.Column("paused_no", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("pause_reason", sa.Text),
    sa.Column("pause_cause", sa.String(20), nullable=False, server_default="throttled"),
    sa.Column("pause_keys", sa.String(16)),
    sa.Column("refusals", sa.Integer, nullable=False, server_default="0"),
    # When the list was last read to be compared with the log.
    sa.Column("listed_us", sa.BigInteger),
    # How far the API's clock is ahead of that of the machine of this name.
    sa.Column("clock_offset_us", sa.BigInteger),
    sa.Column("clock_machine", sa.Text),
    # The count and the ids of the account as last read, and since which call they are the same.
    sa.Column("known", sa.Text),
    sa.Column("known_no", sa.BigInteger),
    # Which account it is, for a person: the API's address and the end of the API id.
    sa.Column("base_url", sa.Text),
    sa.Column("api_id_hint", sa.Text),
    sa.Column("opened_us", sa.BigInteger),
    # How many avatars the list last showed that the log did not have.
    sa.Column("unknown_count", sa.Integer),
    # The secret part of the address at which webhooks of this account arrive.
    sa.Column("webhook_token", sa.Text),
    # The newest run when notifications were switched on: older ones are no news. And the keys whose
    # refusal was notified, until they work again.
    sa.Column("notified_run_id", sa.BigInteger),
    sa.Column("notified_keys", sa.String(16)),
)

# Which tracker polls an account, and until when if it does not renew this; on the wall clock.
leases = sa.Table(
    "leases",
    metadata,
    sa.Column("account", sa.String(32), primary_key=True),
    sa.Column("owner", sa.String(64), nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    # The process that holds it: one that has ended on this machine holds nothing.
    sa.Column("process", sa.Text),
    sa.Column("taken_us", sa.BigInteger, nullable=False),
    sa.Column("renewed_us", sa.BigInteger, nullable=False),
    sa.Column("expires_us", sa.BigInteger, nullable=False),
)

# Messages to send, each once: one row an event.
notifications = sa.Table(
    "notifications",
    metadata,
    sa.Column("account", sa.String(32), primary_key=True),
    sa.Column("event", sa.String(20), primary_key=True),
    # The persona, the submission, or what else the event is about.
    sa.Column("subject", sa.Text, primary_key=True),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("created_us", sa.BigInteger, nullable=False),
    sa.Column("sent_us", sa.BigInteger),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    # None once it is given up.
    sa.Column("next_attempt_us", sa.BigInteger),
    sa.Column("error", sa.Text),
    # The keys of the addresses that took it, separated by spaces.
    sa.Column("taken_by", sa.Text),
)

submissions = sa.Table(
    "submissions",
    metadata,
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
    # Not in the frame: needed to settle an uncertain submission.
    sa.Column("sender", sa.Text),
    # The API's clock before it was sent, which is right if this machine's is not.
    sa.Column("sent_api_us", sa.BigInteger),
    sa.Column("broke_us", sa.BigInteger),
    sa.Column("upload_broke", sa.Text),
    sa.Column("candidates", sa.Text),
    # The call that listed the candidates: its number, and between which moments it was answered.
    sa.Column("listed_no", sa.BigInteger),
    sa.Column("listed_after_us", sa.BigInteger),
    sa.Column("listed_before_us", sa.BigInteger),
    # When it was first found absent, on a scale that setting the clock does not move.
    sa.Column("absent_us", sa.BigInteger),
    sa.Column("absent_scale", sa.Text),
    # The batch that it was logged with, and its row there; prepared, it waits to be sent.
    sa.Column("batch_id", sa.String(32)),
    sa.Column("batch_row", sa.Integer),
    sa.Index("submissions_by_account", "account", "prepared_us"),
    sa.Index("submissions_by_batch", "account", "batch_id"),
)

personas = sa.Table(
    "personas",
    metadata,
    sa.Column("account", sa.String(32), primary_key=True),
    sa.Column("persona_id", sa.Text, primary_key=True),
    sa.Column("creator_name", sa.Text),
    sa.Column("gender", sa.Text),
    sa.Column("video_scene", sa.Text),
    sa.Column("keywords", sa.Text),
    sa.Column("labels", sa.Text),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("is_active", sa.Boolean),
    sa.Column("footage_missing", sa.Boolean),
    sa.Column("footage_note", sa.Text),
    sa.Column("failed_reason", sa.Text),
    sa.Column("created_us", sa.BigInteger),
    sa.Column("updated_us", sa.BigInteger),
    sa.Column("submitted_us", sa.BigInteger),
    sa.Column("first_seen_us", sa.BigInteger, nullable=False),
    sa.Column("last_seen_us", sa.BigInteger, nullable=False),
    sa.Column("next_look_us", sa.BigInteger),
    sa.Column("gone", sa.Boolean, nullable=False, default=False),
    sa.Column("last_error", sa.Text),
    sa.Column("last_error_us", sa.BigInteger),
    sa.Column("preview_image", sa.Text),
    sa.Column("preview_video", sa.Text),
    sa.Column("deleted_us", sa.BigInteger),
    # Not in the frame: it was deleted by a call from here, and is never polled.
    sa.Column("deleted_here", sa.Boolean, nullable=False, server_default=sa.false()),
    # False once a person wants it polled no longer.
    sa.Column("followed", sa.Boolean, nullable=False, server_default=sa.true()),
    # Not in the frame: the state of the polls, and the union of all answers (``answers.union``).
    sa.Column("run_id", sa.BigInteger),
    sa.Column("planned_us", sa.BigInteger),
    sa.Column("failures", sa.Integer, nullable=False, default=0),
    sa.Column("missed_since_us", sa.BigInteger),
    sa.Column("unlisted_us", sa.BigInteger),
    # Number and moment of the newest call whose answer is logged.
    sa.Column("asked_no", sa.BigInteger),
    sa.Column("asked_us", sa.BigInteger),
    # Number of the last call that was asked before that answer was logged.
    sa.Column("logged_no", sa.BigInteger),
    # Number of the newest call whose error is logged.
    sa.Column("error_no", sa.BigInteger),
    # Number of the last call that was asked when a webhook named it; due until a later one.
    sa.Column("hinted_no", sa.BigInteger),
    sa.Column("answer", sa.Text, nullable=False),
    sa.Index("personas_by_next_look", "account", "next_look_us"),
)

sightings = sa.Table(
    "sightings",
    metadata,
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

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_us(moment: datetime) -> int:
    """Convert an aware datetime to microseconds since 1970."""
    return (moment - EPOCH) // timedelta(microseconds=1)


def to_moment(us: int) -> datetime:
    """Convert microseconds since 1970 to an aware datetime in UTC."""
    return EPOCH + timedelta(microseconds=us)


def insert(connection: sa.Connection, table: sa.Table) -> postgresql.Insert | sqlite.Insert:
    """Return an insert that can say what to do with a row that is there already."""
    if connection.dialect.name == "postgresql":
        return postgresql.insert(table)
    return sqlite.insert(table)


def is_persona(account: str, persona_id: str, table: sa.Table = personas) -> sa.ColumnElement[bool]:
    """Return the condition that a row of ``personas``, or of another table, is this persona's."""
    return (table.c.account == account) & (table.c.persona_id == persona_id)


def forgotten_key(account: str) -> str:
    """Return the key in ``meta`` of the last call of an account before a person was erased."""
    return f"forgotten {account}"
