"""Add what schema 4 brought: leases, notifications, webhooks, the names of accounts."""

from __future__ import annotations

import sqlalchemy as sa

from avatarkit.store.migrations.legacy import add

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Apply the revision."""
    add(
        "accounts",
        sa.Column("base_url", sa.Text),
        sa.Column("api_id_hint", sa.Text),
        sa.Column("opened_us", sa.BigInteger),
        sa.Column("unknown_count", sa.Integer),
        sa.Column("webhook_token", sa.Text),
        sa.Column("notified_run_id", sa.BigInteger),
        sa.Column("notified_keys", sa.String(16)),
    )
    add(
        "leases",
        sa.Column("account", sa.String(32), primary_key=True),
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("taken_us", sa.BigInteger, nullable=False),
        sa.Column("renewed_us", sa.BigInteger, nullable=False),
        sa.Column("expires_us", sa.BigInteger, nullable=False),
        sa.Column("process", sa.Text),
    )
    add(
        "notifications",
        sa.Column("account", sa.String(32), primary_key=True),
        sa.Column("event", sa.String(20), primary_key=True),
        sa.Column("subject", sa.Text, primary_key=True),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.Column("sent_us", sa.BigInteger),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("next_attempt_us", sa.BigInteger),
        sa.Column("error", sa.Text),
        sa.Column("taken_by", sa.Text),
    )
    add(
        "personas",
        sa.Column("followed", sa.Boolean, nullable=False, server_default=sa.true()),
        sa.Column("deleted_here", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("hinted_no", sa.BigInteger),
    )
