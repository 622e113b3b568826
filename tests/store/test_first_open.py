"""Several processes may open an empty or an old database at the same moment."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from avatarkit import Store
from avatarkit.store.database import open_engine
from support.first_version import ACCOUNT, make_first

pytestmark = pytest.mark.parametrize("url", ["sqlite", "postgres"], indirect=True)


def test_an_empty_database_that_is_opened_by_several_at_once(url: str) -> None:
    """Each of several that open an empty database at once finds its tables."""
    open_together(url)
    with Store(url, account=ACCOUNT) as store:
        assert store.personas().empty


def test_an_old_database_that_is_opened_by_several_at_once(url: str) -> None:
    """One of them upgrades it, and each finds its rows."""
    make_first(url)
    open_together(url)
    with Store(url, account=ACCOUNT) as store:
        assert len(store.personas()) == 6


def open_together(url: str) -> None:
    together = threading.Barrier(6)

    def open_it() -> None:
        together.wait()
        open_engine(url).dispose()

    with ThreadPoolExecutor(6) as pool:
        for opened in [pool.submit(open_it) for _ in range(6)]:
            opened.result()
