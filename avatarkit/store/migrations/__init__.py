"""Upgrade the tables of a database by Alembic's revisions, which lie in ``versions/``.

A database that is new gets today's tables at once (``schema.prepare``); one of an older version
gets the revisions that it lacks, in one transaction. Revisions up to ``0004`` add only what is
missing, as databases that were made before Alembic do not say what they have.

To change the tables:

1. Change ``store/tables.py``. A new column is nullable or has a ``server_default``.
2. Raise ``tables.SCHEMA_VERSION`` by one; it is the number of the newest revision.
3. Run ``python -m avatarkit.store.migrations "Say what changes"``. It compares the tables with the
   revisions and writes the difference to ``versions/``; it works in a checkout only.
4. Read what it wrote. Rows that must be changed too are changed there, without the code of today:
   a revision stays as it is for ever.

``tests/store/test_migrations.py`` fails where tables and revisions differ. There is no downgrade:
a SQLite file is backed up before it is upgraded.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from avatarkit.store import tables

if TYPE_CHECKING:
    import sqlalchemy as sa
    from alembic.config import Config

HEAD = f"{tables.SCHEMA_VERSION:04}"
"""The newest revision."""

_ALONE = threading.Lock()
"""Alembic keeps the migration that is running in global variables."""


def upgrade(connection: sa.Connection, revision: str = "head") -> None:
    """Apply the revisions that a database lacks.

    Args:
        connection: The database, in a transaction, which stays open.
        revision: The last one to apply.
    """
    from alembic import command  # takes long to import, and most databases lack nothing

    with _ALONE:
        command.upgrade(config(connection), revision)


def config(connection: sa.Connection) -> Config:
    """Return the configuration of Alembic's commands for an open connection."""
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", "avatarkit.store:migrations")
    # A name that can be imported.
    config.set_main_option("file_template", "v%%(rev)s_%%(slug)s")
    return config
