"""What the tests of the store share: each database that it can be in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from avatarkit import Store
from support.postgres import postgres, postgres_server

__all__ = ["postgres", "postgres_server", "store", "url"]


@pytest.fixture(params=["sqlite", "memory", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database: a file, in memory, and on a server."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'log.db'}"
    if request.param == "memory":
        return "sqlite://"
    postgres: str = request.getfixturevalue("postgres")
    return postgres


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    """An open store of the account ``mine`` in it."""
    with Store(url, account="mine") as opened:
        yield opened
