"""Write a revision with what the tables have and the revisions lack."""

from __future__ import annotations

import sys

import sqlalchemy as sa
from alembic import command
from alembic.script import ScriptDirectory

from avatarkit.store import migrations


def main(message: str) -> None:
    """Write a revision to ``versions/``.

    Args:
        message: What it changes.
    """
    with sa.create_engine("sqlite://").begin() as connection:
        migrations.upgrade(connection)
        config = migrations.config(connection)
        newest = ScriptDirectory.from_config(config).get_current_head()
        number = f"{int(newest or 0) + 1:04}"
        command.revision(config, message, autogenerate=True, rev_id=number)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit('Say what the revision changes: python -m avatarkit.store.migrations "Add …"')
    main(sys.argv[1])
