"""Create the tables of the first version."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from avatarkit.store.migrations.legacy import add

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Apply the revision."""
    add(
        "meta",
        sa.Column("key", sa.String(50), primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )
    add(
        "submissions",
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
    )
    add(
        "personas",
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
        sa.Column("gone", sa.Boolean, nullable=False),
        sa.Column("last_error", sa.Text),
        sa.Column("run_id", sa.BigInteger),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("missed_since_us", sa.BigInteger),
        sa.Column("answer", sa.Text, nullable=False),
    )
    add(
        "sightings",
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
    )
    op.create_index(
        "submissions_by_account", "submissions", ["account", "prepared_us"], if_not_exists=True
    )
    op.create_index(
        "personas_by_next_look", "personas", ["account", "next_look_us"], if_not_exists=True
    )
    op.create_index(
        "sightings_by_persona",
        "sightings",
        ["account", "persona_id", "first_seen_us"],
        if_not_exists=True,
    )
