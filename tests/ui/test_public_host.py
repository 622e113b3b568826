"""What answers at the public address, and what people see who have not logged in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send

from avatarkit.text import WEBHOOK_PATH
from avatarkit.ui import login, running
from avatarkit.ui.public_host import PublicHost
from avatarkit.ui.running import Running
from support.app_pages import BROWSER, submit_page, texts

PUBLIC = "https://avatars.example.com"
HOOK = f"{WEBHOOK_PATH}some-token"


async def the_app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer everything."""
    await PlainTextResponse("the app")(scope, receive, send)


def guarded(public_url: str | None = PUBLIC, *, has_login: bool = False) -> PublicHost:
    """Return the application behind the guard."""
    return PublicHost(the_app, public_url=lambda: public_url, has_login=lambda: has_login)


def status(app: PublicHost, path: str = "/", method: str = "GET", **headers: str) -> int:
    """Return the status of the answer; a name in ``headers`` has ``_`` for ``-``."""
    sent = {"host": "avatars.example.com"} | {k.replace("_", "-"): v for k, v in headers.items()}

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
            return await client.request(method, path, headers=sent)

    answer = asyncio.run(ask())
    if answer.status_code == 403:
        assert "takes webhooks only" in answer.text
    return answer.status_code


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/settings",
        "/_stcore/health",
        "/_stcore/upload_file/a/b",
        "/media/x.mp4",
        "/static/js/main.js",
        "/webhooks",
        "/webhooks/",
        WEBHOOK_PATH,
        f"{HOOK}/more",
        f"{WEBHOOK_PATH}..%2f..%2fsettings",
        f"/x/..{HOOK}x/../..",
    ],
)
def test_only_webhooks_answer_at_the_public_address(path: str) -> None:
    """Pages, uploads, media and scripts are refused with a plain sentence."""
    for method in ("GET", "POST", "PUT"):
        assert status(guarded(), path, method) == 403
    assert status(guarded(), HOOK, "POST") == 200
    assert status(guarded(), HOOK) == 200, "the route refuses it"


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "AVATARS.example.com"},
        {"host": "avatars.example.com:443"},
        {"host": "avatars.example.com."},
        {"host": "127.0.0.1:8501", "x_forwarded_host": "avatars.example.com"},
        {"host": "app", "x_forwarded_host": "cdn.example, avatars.example.com:443"},
        {"host": "app", "forwarded": 'for=10.0.0.1;host="avatars.example.com";proto=https'},
        # A client writes the Host that it likes; where it comes from is its proxy's word.
        {"host": "127.0.0.1", "x_forwarded_for": "93.184.216.34"},
        {"host": "localhost", "x_forwarded_for": "127.0.0.1, 93.184.216.34"},
        {"host": "localhost", "x_real_ip": "2606:2800:220:1::1"},
        {"host": "localhost", "forwarded": 'for="[2606:2800:220:1::1]:99"'},
    ],
)
def test_what_counts_as_public(headers: dict[str, str]) -> None:
    """However the host is written, or passed on by a proxy."""
    assert status(guarded(), **headers) == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "127.0.0.1:8501"},
        {"host": "localhost:8501"},
        {"host": "[::1]:8501"},
        {"host": "avatars.lan", "x_forwarded_for": "10.1.2.3"},
        {"host": "not.avatars.example.com"},
        {"host": "avatars.example.com.evil.example"},
        {"host": ""},
        {"host": "[", "x_forwarded_for": "unknown", "forwarded": ";;=,"},
    ],
)
def test_other_hosts_see_the_app_as_before(headers: dict[str, str]) -> None:
    """This machine, its network, and what is not the public host."""
    assert status(guarded(), **headers) == 200


@pytest.mark.parametrize("public_url", [None, "http://127.0.0.1:8501"])
def test_without_a_public_address_nothing_is_refused(public_url: str | None) -> None:
    """Also if it is this machine's own, as with the sandbox's webhooks."""
    assert status(guarded(public_url), host="127.0.0.1:8501") == 200


def test_with_a_login_the_pages_answer() -> None:
    """The pages themselves then ask who is there."""
    assert status(guarded(has_login=True)) == 200


def test_the_websocket_is_refused() -> None:
    """Before it is accepted, which servers answer with a 403; elsewhere it is passed on."""

    def first_message(host: str) -> Message:
        sent: list[Message] = []

        async def send(message: Message) -> None:
            sent.append(message)

        async def receive() -> Message:
            return {"type": "websocket.connect"}

        async def accept(scope: Scope, receive: Receive, send: Send) -> None:
            await send({"type": "websocket.accept"})

        app = PublicHost(accept, public_url=lambda: PUBLIC, has_login=lambda: False)
        headers = [(b"host", host.encode())]
        for path in ("/_stcore/stream", HOOK):
            scope = {"type": "websocket", "path": path, "headers": headers}
            asyncio.run(app(scope, receive, send))
        assert sent[0] == sent[1]
        return sent[0]

    assert first_message("avatars.example.com")["type"] == "websocket.close"
    assert first_message("localhost")["type"] == "websocket.accept"


def test_the_public_url_is_that_of_the_session(
    monkeypatch: pytest.MonkeyPatch, restart: Callable[..., Running]
) -> None:
    """Also before one is open; wrong settings, which every page shows, have none."""
    assert running.public_url() is None
    monkeypatch.setenv("AVATARKIT_PUBLIC_URL", f"{PUBLIC}/")
    assert running.public_url() == PUBLIC
    session = restart().session
    assert running.tracker() is session.tracker
    monkeypatch.delenv("AVATARKIT_PUBLIC_URL")
    assert running.public_url() == PUBLIC
    running.close()
    monkeypatch.setenv("AVATARKIT_PUBLIC_URL", "http://avatars.example.com")
    assert running.public_url() is None
    assert "must begin with https" in texts(submit_page())


def test_pages_ask_who_is_there(app: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """With [auth] in the secrets nothing is shown before one has logged in."""
    from streamlit.testing.v1 import AppTest

    from support.app_pages import HANGS_S, MAIN

    def opened(auth: dict[str, Any] | None) -> AppTest:
        test = AppTest.from_file(str(MAIN), default_timeout=HANGS_S)
        test.secrets["unused"] = "x"
        if auth is not None:
            test.secrets["auth"] = auth
        test.session_state["browser_id"] = BROWSER
        return test.run()

    keys = {"redirect_uri": "https://a.example/oauth2callback", "cookie_secret": "x" * 32}
    one = opened(keys | {"client_id": "x", "client_secret": "y", "server_metadata_url": "z"})
    assert [button.label for button in one.button] == ["Log in"]
    assert not one.text_input
    several = opened(keys | {"google": {"client_id": "x"}, "okta": {"client_id": "y"}})
    assert [button.label for button in several.button] == [
        "Log in with google",
        "Log in with okta",
    ]
    monkeypatch.setattr(login.st, "user", {"is_logged_in": True})
    assert opened(keys).text_input
    monkeypatch.setattr(login.st, "user", {})
    assert opened(None).text_input
