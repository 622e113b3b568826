"""Several processes may open an empty or an old database at the same moment."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

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


def test_an_empty_database_that_is_claimed_by_several_at_once(url: str) -> None:
    """Each of several finds it claimed for its kind, and none fails."""
    together = threading.Barrier(4)

    def claim(_: int) -> str | None:
        with Store(url, account=ACCOUNT) as store:
            transaction = store.transaction

            def after_all_have_read(*, reading: bool = False) -> Any:
                if not reading:
                    together.wait(60)
                return transaction(reading=reading)

            store.transaction = after_all_have_read  # type: ignore[method-assign]
            store.claim("live")
            return store.kind

    Store(url, account=ACCOUNT).close()
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(claim, range(4))) == ["live"] * 4


def open_together(url: str) -> None:
    together = threading.Barrier(6)

    def open_it() -> None:
        together.wait()
        open_engine(url).dispose()

    with ThreadPoolExecutor(6) as pool:
        for opened in [pool.submit(open_it) for _ in range(6)]:
            opened.result()
