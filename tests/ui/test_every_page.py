"""Every page with few and many avatars, also while API, keys or database do not work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from streamlit.testing.v1 import AppTest

from avatarkit import Store, errors
from avatarkit.tracking.gate import Cause
from avatarkit.ui.running import Running
from support.app_pages import HOUR, main_page, record_lives, texts

PAGES = ("", "submit", "stage-times", "settings")
PAUSES = {
    Cause.UNREACHABLE: "The API cannot be reached",
    Cause.REFUSED: "The API refuses the keys (401)",
}
LOCKED = "The database is locked; try it again."


def shown(test: AppTest) -> str:
    """Return the texts of a page that did not fail by an error that it does not tell."""
    assert not test.exception
    text = texts(test)
    assert "This page failed" not in text
    return text


def pause(app: Running, cause: Cause, *, hours: int = 1) -> None:
    """Log that no call is made for so long."""
    now, text = app.session.clock.now(), f"{PAUSES[cause]}; it is asked again at {{moment}}."
    app.session.store.begin_pause(now, now + hours * HOUR, text, 1, cause=cause)


def lock(patch: pytest.MonkeyPatch) -> None:
    """Let every transaction fail."""

    @contextmanager
    def fail(_: Store, *, reading: bool = False) -> Iterator[None]:
        raise errors.StoreError(LOCKED)
        yield

    patch.setattr(Store, "transaction", fail)


def check(app: Running, url_path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Open a page, and see it say what does not work, once each, and be there again."""
    test = main_page(url_path)
    before = shown(test)
    for cause, sentence in PAUSES.items():
        pause(app, cause)
        text = shown(test.run())
        # The Settings page has it in its list, too, as the pause and the last error.
        assert text.count(sentence) == 1 or (url_path == "settings" and sentence in text)
        assert "it is asked again at Mon 5 Jan, 10:00 UTC" in text
        pause(app, cause, hours=0)
    with monkeypatch.context() as patch:
        lock(patch)
        shown(test.run())
        assert [error.value for error in test.error] == [LOCKED]
        assert test.title[0].value
    assert shown(test.run()) == before


@pytest.mark.parametrize("count", [pytest.param(0, marks=pytest.mark.long), 12])
@pytest.mark.parametrize("url_path", PAGES)
def test_a_page_says_what_does_not_work(
    app: Running, url_path: str, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing answers, keys are refused, the database is locked: one sentence, no traceback."""
    if count:
        record_lives(app.session, count - 3, running=3, late=1)
    check(app, url_path, monkeypatch)


@pytest.mark.long
def test_all_that_with_many_avatars(app: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """2,000 of them."""
    with app.session.store.transaction():
        record_lives(app.session, 1_500, running=500, late=20)
    for url_path in PAGES:
        check(app, url_path, monkeypatch)
