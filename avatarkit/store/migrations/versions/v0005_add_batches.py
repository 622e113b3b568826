"""Add what schema 5 brought: submissions that were logged together as a batch."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Apply the revision."""
    op.add_column("submissions", sa.Column("batch_id", sa.String(32)))
    op.add_column("submissions", sa.Column("batch_row", sa.Integer))
    op.create_index("submissions_by_batch", "submissions", ["account", "batch_id"])
