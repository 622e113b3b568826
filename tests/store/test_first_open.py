"""Several processes may open an empty database at the same moment."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from avatarkit.store.database import open_engine


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_an_empty_database_that_is_opened_by_several_at_once(
    database: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Each of several that open an empty database at once finds its tables."""
    url = f"sqlite:///{tmp_path / 'log.db'}"
    if database == "postgres":
        url = request.getfixturevalue("postgres")
    together = threading.Barrier(6)

    def open_it() -> None:
        together.wait()
        open_engine(url).dispose()

    with ThreadPoolExecutor(6) as pool:
        for opened in [pool.submit(open_it) for _ in range(6)]:
            opened.result()
