"""Add what the versions up to schema 2 brought: the account's row, previews, footage, errors."""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import op

from avatarkit.store.migrations.legacy import add

revision = "0002"
down_revision = "0001"

PREVIEWS = {
    "preview_image": ("preview_image_16_9", "preview_image_9_16", "preview_image_1_1"),
    "preview_video": (
        "preview_video_16_9",
        "landscape_preview_video",
        "preview_video_9_16",
        "portrait_preview_video",
        "preview_video_1_1",
        "squared_preview_video",
    ),
}
"""The fields of an answer that fill a column, the best one first."""


def upgrade() -> None:
    """Apply the revision."""
    add(
        "accounts",
        sa.Column("account", sa.String(32), primary_key=True),
        sa.Column("asked_no", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("paused_us", sa.BigInteger),
        sa.Column("paused_until_us", sa.BigInteger),
        sa.Column("paused_no", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("pause_reason", sa.Text),
        sa.Column("refusals", sa.Integer, nullable=False, server_default="0"),
        sa.Column("listed_us", sa.BigInteger),
    )
    add(
        "submissions",
        sa.Column("sender", sa.Text),
        sa.Column("broke_us", sa.BigInteger),
        sa.Column("upload_broke", sa.Text),
        sa.Column("candidates", sa.Text),
    )
    add(
        "personas",
        sa.Column("footage_missing", sa.Boolean),
        sa.Column("footage_note", sa.Text),
        sa.Column("last_error_us", sa.BigInteger),
        sa.Column("preview_image", sa.Text),
        sa.Column("preview_video", sa.Text),
        sa.Column("deleted_us", sa.BigInteger),
        sa.Column("unlisted_us", sa.BigInteger),
        sa.Column("asked_no", sa.BigInteger),
        sa.Column("asked_us", sa.BigInteger),
    )
    _fill_previews(op.get_bind())


def _fill_previews(connection: sa.Connection) -> None:
    # A finished persona is not polled again, which would fill them.
    names = ("account", "persona_id", "answer", *PREVIEWS)
    table = sa.table("personas", *(sa.column(name) for name in names))
    key = (table.c.account == sa.bindparam("of")) & (table.c.persona_id == sa.bindparam("id"))
    empty = table.c.preview_image.is_(None) & table.c.preview_video.is_(None)
    query = sa.select(table.c.account, table.c.persona_id, table.c.answer).where(empty)
    for row in connection.execute(query).all():
        answer = json.loads(row.answer)
        values = {
            name: next((answer[field] for field in fields if _is_url(answer.get(field))), None)
            for name, fields in PREVIEWS.items()
        }
        if any(values.values()):
            where = {"of": row.account, "id": row.persona_id}
            connection.execute(table.update().where(key).values(**values), where)


def _is_url(value: object) -> bool:
    return isinstance(value, str) and value.lower().startswith(("http://", "https://"))
