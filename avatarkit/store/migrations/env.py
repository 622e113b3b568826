"""Run the revisions on the connection that ``avatarkit.store.migrations`` gives Alembic."""

from __future__ import annotations

from alembic import context

from avatarkit.store import tables

if hasattr(context, "config"):  # not where this is imported by another than Alembic
    context.configure(
        connection=context.config.attributes["connection"],
        target_metadata=tables.metadata,
        compare_server_default=True,
    )
    context.run_migrations()
