"""Add what schema 3 brought: pauses with a cause, clocks that differ, the order of calls."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from avatarkit.store.migrations.legacy import add

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Apply the revision."""
    add(
        "accounts",
        sa.Column("pause_cause", sa.String(20), nullable=False, server_default="throttled"),
        sa.Column("pause_keys", sa.String(16)),
        sa.Column("clock_offset_us", sa.BigInteger),
        sa.Column("clock_machine", sa.Text),
        sa.Column("known", sa.Text),
        sa.Column("known_no", sa.BigInteger),
    )
    add(
        "submissions",
        sa.Column("sent_api_us", sa.BigInteger),
        sa.Column("listed_no", sa.BigInteger),
        sa.Column("listed_after_us", sa.BigInteger),
        sa.Column("listed_before_us", sa.BigInteger),
        sa.Column("absent_us", sa.BigInteger),
        sa.Column("absent_scale", sa.Text),
    )
    add(
        "personas",
        sa.Column("planned_us", sa.BigInteger),
        sa.Column("logged_no", sa.BigInteger),
        sa.Column("error_no", sa.BigInteger),
    )
    # Older versions did not poll a persona again that was gone before it had ended.
    op.execute(
        "UPDATE personas SET next_look_us = last_seen_us WHERE gone AND next_look_us IS NULL "
        "AND deleted_us IS NULL AND status NOT IN ('done', 'failed', 'rejected')"
    )
