"""A real PostgreSQL, for tests whose conftest imports these fixtures."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a PostgreSQL that lives as long as the tests."""
    pgserver = pytest.importorskip("pgserver")
    # Not below the temporary folder of the tests, which only their user may enter: a server that
    # is started by root runs as another user.
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        server = pgserver.get_server(Path(folder) / "data")
        yield server.get_uri().replace("postgresql://", "postgresql+psycopg://")
        server.cleanup()


@pytest.fixture
def postgres(postgres_server: str) -> str:
    """The URL of an empty database on it."""
    engine = sa.create_engine(postgres_server)
    with engine.begin() as connection:
        connection.execute(sa.text("DROP SCHEMA public CASCADE"))
        connection.execute(sa.text("CREATE SCHEMA public"))
    engine.dispose()
    return postgres_server
