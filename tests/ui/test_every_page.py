"""Every page with few and many avatars, while API, keys or database do not work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import pytest
from streamlit.testing.v1 import AppTest

from avatarkit import Store, errors
from avatarkit.tracking.gate import Cause
from avatarkit.ui.running import Running
from support.app_pages import HOUR, main_page, record_lives, texts

PAGES = ("", "submit", "stage-times", "settings")
SIZES = (0, 12, pytest.param(2_000, marks=pytest.mark.long))


def open_page(url_path: str) -> AppTest:
    """Run the whole app at a page; none fails by an error that is not told."""
    test = main_page(url_path)
    assert not test.exception
    shown = texts(test)
    assert "This page failed" not in shown
    assert "Traceback" not in shown
    return test


def fill(app: Running, count: int) -> None:
    """Log avatars of which every fourth is on its way."""
    if count:
        record_lives(app.session, count - count // 4, running=count // 4, late=1)


def pause(app: Running, cause: Cause, text: str) -> None:
    """Log that no call is made for an hour."""
    now = app.session.clock.now()
    app.session.store.begin_pause(now, now + HOUR, text, 1, cause=cause)


@pytest.mark.parametrize("count", SIZES)
@pytest.mark.parametrize("url_path", PAGES)
def test_a_page_is_drawn(app: Running, url_path: str, count: int) -> None:
    """With none, few and many avatars."""
    fill(app, count)
    assert open_page(url_path).title[0].value


@pytest.mark.parametrize("count", SIZES)
@pytest.mark.parametrize("url_path", PAGES)
@pytest.mark.parametrize(
    ("cause", "text"),
    [
        (Cause.UNREACHABLE, "The API cannot be reached; it is asked again at {moment}."),
        (Cause.REFUSED, "The API refuses the keys (401); it is asked again at {moment}."),
    ],
)
def test_a_page_says_why_the_api_is_not_called(
    app: Running, url_path: str, count: int, cause: Cause, text: str
) -> None:
    """One sentence with the reason and when it is tried again; the page shows what is logged."""
    fill(app, count)
    pause(app, cause, text)
    shown = texts(open_page(url_path))
    assert text.partition("{")[0] + "Mon 5 Jan, 10:00 UTC" in shown
    assert shown.count(text.partition(";")[0]) == 1


@pytest.mark.parametrize("count", SIZES)
@pytest.mark.parametrize("url_path", PAGES)
def test_a_page_says_that_the_database_is_locked(
    app: Running, url_path: str, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One sentence instead of the page; when it is over the page is there again."""
    fill(app, count)
    with monkeypatch.context() as patch:
        lock(patch)
        test = open_page(url_path)
        assert [error.value for error in test.error] == ["The database is locked; try it again."]
    assert not test.run().exception
    assert not test.error


def lock(patch: pytest.MonkeyPatch) -> None:
    """Let every transaction fail."""

    @contextmanager
    def fail(_: Store, *, reading: bool = False) -> Iterator[NoReturn]:
        raise errors.StoreError("The database is locked; try it again.")
        yield

    patch.setattr(Store, "transaction", fail)
