"""How the app opens: on which clock, and what it says when it cannot."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

import app as streamlit_app
from avatarkit import PersonaCreate, Sandbox
from avatarkit.errors import AuthError, ConfigError, StoreError
from avatarkit.ui import cache, running
from avatarkit.ui.running import Running
from support.app_pages import page, submit_page, texts
from support.manual_clock import ManualClock

pytestmark = pytest.mark.usefixtures("restart")


def test_everything_is_on_the_clock_that_is_given(app: Running, app_clock: ManualClock) -> None:
    """Tracker, log and sandbox show the time of the clock that the app was opened on."""
    before = app_clock.advance(timedelta(days=400))
    request = PersonaCreate(creator_name="Ada", gender="f")
    assert app.session.tracker.submit(request).created_at == before
    assert app.session.store.personas()["submitted_at"].tolist() == [before]


def test_a_sandbox_on_another_clock_is_not_used(
    app: Running, restart: Callable[..., Running]
) -> None:
    """A sandbox that another process serves runs on a clock of its own, and is refused."""
    folder = app.session.settings.folder / "api"
    running.close()
    with Sandbox(folder), pytest.raises(ConfigError, match="Another process serves"):
        restart()


def test_the_sandbox_of_another_process_is_taken_over(app: Running) -> None:
    """When the process that served it has ended, the app serves it itself and goes on."""
    folder = app.session.settings.folder / "api"
    running.close()
    with Sandbox(folder, speed=50) as other:
        assert "50 times as fast" in texts(submit_page())
        session = running.get().session
        assert session.sandbox is not other
        session.tracker.submit(PersonaCreate(creator_name="Ada", gender="f"))
    assert not submit_page().error
    assert len(running.get().session.store.personas()) == 1
    assert running.get().session.client.persona_quota().current_count == 1


def test_one_key_alone_is_a_sentence_on_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong setting is reported on the page; corrected, the next rerun works."""
    monkeypatch.setenv("AVATARKIT_API_ID", "only-one")
    test = submit_page()
    assert not test.exception
    assert "AVATARKIT_API_KEY" in texts(test)
    monkeypatch.delenv("AVATARKIT_API_ID")
    assert not test.run().error


def test_a_database_that_cannot_be_opened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A database that does not open is a sentence on the page."""
    monkeypatch.setenv("AVATARKIT_DATABASE_URL", f"sqlite:///{tmp_path}/no/such/dir/x.db")
    assert "cannot be opened" in submit_page().error[0].value


@pytest.mark.parametrize(
    ("variable", "value"),
    [("SSL_CERT_FILE", "/nowhere/cacert.pem"), ("https_proxy", "socks://ada:s3cret@127.0.0.1:1")],
)
def test_an_environment_that_does_not_fit_is_a_sentence_on_the_page(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    """The app starts, names the variable on its pages, and works once it is corrected."""
    monkeypatch.setenv("AVATARKIT_API_ID", "an-id")
    monkeypatch.setenv("AVATARKIT_API_KEY", "a-key-of-the-account")
    monkeypatch.setenv(variable, value)
    running.start()
    test = submit_page()
    assert not test.exception
    assert f"{variable} " in texts(test)
    assert "s3cret" not in texts(test)
    monkeypatch.delenv("AVATARKIT_API_ID")
    monkeypatch.delenv("AVATARKIT_API_KEY")
    assert not test.run().error, "the sandbox needs neither proxy nor certificates"


def test_the_server_begins_with_the_estimates(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before a page is opened the server has opened the session and begun to fit."""
    begun: list[cache.Estimates] = []
    monkeypatch.setattr(cache.Estimates, "start", lambda estimates: begun.append(estimates))

    async def serve() -> Running:
        async with streamlit_app.lifespan(streamlit_app.app):
            return running.get()

    assert begun == [asyncio.run(serve()).estimates]


def test_the_server_starts_though_the_log_fails(
    app: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is wrong with it is said on the page, which needs the server."""

    def fail(*_: object) -> None:
        raise StoreError("The database is locked.")

    monkeypatch.setattr(app.session.store, "state_key", fail)
    running.start()
    assert "The database is locked." in texts(submit_page())


def test_keys_that_are_refused_are_said_on_the_page(
    app: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anybody uploads anything, the page says what the tracker found out, and its end."""
    client, tracker = app.session.client, app.session.tracker
    persona_quota = client.persona_quota

    def refuse(**_: object) -> None:
        raise AuthError("Check [both] keys.", method="GET", url="", status_code=401)

    monkeypatch.setattr(client, "persona_quota", refuse)
    tracker.ask_quota()
    test = submit_page()
    assert "The API refuses the keys (401)" in texts(test)
    assert "Check [both]" not in texts(test)
    monkeypatch.setattr(client, "persona_quota", persona_quota)
    tracker.ask_quota()
    assert not test.run().error


def failing_page() -> None:
    from avatarkit.errors import StoreError
    from avatarkit.ui import running

    running.show_error(StoreError("The database is locked."))
    running.show_error(OSError("/a/path/of/this/machine"))


def test_an_error_of_a_page_is_a_sentence() -> None:
    """An error of ours is shown as it is, another one only by its name."""
    expected, unexpected = page(failing_page).error
    assert expected.value == "The database is locked."
    assert "This page failed (OSError)" in unexpected.value
    assert "machine" not in unexpected.value
