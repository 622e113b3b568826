"""Add what is missing to a database that was made before Alembic."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op


def add(table: str, *columns: sa.Column[Any]) -> None:
    """Create a table, or add the columns that it lacks.

    Args:
        table: Its name.
        columns: The columns that it has after this; those that are there stay as they are.
    """
    present = sa.inspect(op.get_bind())
    if not present.has_table(table):
        op.create_table(table, *columns)
        return
    names = {column["name"] for column in present.get_columns(table)}
    for column in columns:
        if column.name not in names:
            op.add_column(table, column)
