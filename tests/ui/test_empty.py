"""What the Avatars page offers before there is any avatar."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from avatarkit import PersonaCreate
from avatarkit.sandbox import footage
from avatarkit.ui.outbox import Outbox
from avatarkit.ui.running import Running
from avatarkit.ui.views import empty
from support.app_pages import main_page, page, texts

ADA = PersonaCreate(creator_name="Ada", gender="f")


def empty_page() -> None:
    from avatarkit.ui.views import empty

    empty.show()


def submit() -> None:
    from avatarkit.ui.views import submit

    submit.show()


def reported(share: float, text: str) -> None:
    """Take what an action reports."""


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch, talking_head: Path) -> None:
    """Copy a video in place of making one, and check none, which takes seconds each."""

    def copy(path: Path, frames: object, *, fps: int, sound: object) -> Path:
        shutil.copyfile(talking_head, path)
        return path

    monkeypatch.setattr(footage, "write", copy)
    monkeypatch.setattr(Outbox, "_keep_reports", lambda *_: None)


@pytest.mark.usefixtures("short")
def test_five_samples_are_sent_with_five_ends(app: Running) -> None:
    """One click brings five avatars, none of which any browser's Submit page shows."""
    test = page(empty_page)
    assert "No avatars yet" in texts(test)
    test.button(key="empty_samples").click().run()
    assert not test.exception
    personas = app.session.store.personas()
    ends = {label for labels in personas["labels"] for label in labels}
    assert ends == {f"sandbox:{outcome}" for outcome in empty.SAMPLES}
    assert len(personas) == len(empty.SAMPLES) == 5
    assert not app.outbox.stored()
    assert "submitted as" not in texts(page(submit))


@pytest.mark.usefixtures("short")
def test_a_second_click_sends_nothing(app: Running) -> None:
    """Neither one that waited for the first, nor one in a tab that was not redrawn."""
    empty.send_samples(reported)
    empty.send_samples(reported)
    test = page(empty_page)
    test.button(key="empty_samples").click().run()
    assert len(app.session.store.personas()) == 5


@pytest.mark.usefixtures("short")
def test_a_full_plan_is_a_sentence(restart: Callable[..., Running]) -> None:
    """What fits is sent; the page says why the others are not."""
    app = restart(sandbox_plan=3)
    test = page(empty_page)
    test.button(key="empty_samples").click().run()
    assert len(app.session.store.personas()) == 3
    assert "The plan" in texts(test)


def test_a_disk_that_is_full_is_a_sentence(app: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is sent when a video cannot be written."""

    def fail(*_: object, **__: object) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(footage, "write", fail)
    test = page(empty_page)
    test.button(key="empty_samples").click().run()
    assert not test.exception
    assert "No space left on device" in texts(test)
    assert app.session.store.submissions().empty


def test_what_the_account_has_can_be_imported(app: Running) -> None:
    """Also before the account's list was read once."""
    created = app.session.client.create_persona(ADA)
    test = page(empty_page)
    assert test.button(key="empty_import").label == "Import what the account has"
    test.button(key="empty_import").click().run()
    assert app.session.store.known_ids() == {created.id}


def test_the_live_account_gets_no_samples(app: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are for the sandbox; the plan of an account has few places."""
    monkeypatch.setattr(app.session, "sandbox", None)
    test = page(empty_page)
    assert not test.exception
    assert [button.key for button in test.button] == ["empty_import"]
    empty.send_samples(reported)
    assert app.session.store.submissions().empty


def test_it_leads_to_the_form(app: Running) -> None:
    """The whole app opens on it, with a link to the Submit page."""
    test = main_page("")
    assert not test.exception
    links = [link.proto.label for link in test.get("page_link")]
    assert "Submit one" in links
