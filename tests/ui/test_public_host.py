"""What answers at the public address, and what people see who have not logged in."""

from __future__ import annotations

import asyncio
import tomllib
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send

from avatarkit.settings import Settings
from avatarkit.text import WEBHOOK_PATH
from avatarkit.ui import login, public_host, running
from avatarkit.ui.public_host import HostGuard, own_url, unsafe_address
from avatarkit.ui.running import Running
from support.app_pages import BROWSER, submit_page, texts
from support.project import ROOT

PUBLIC = "https://avatars.example.com"
ALL = "0.0.0.0"  # noqa: S104 - what is refused
HOOK = f"{WEBHOOK_PATH}some-token"


async def the_app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer everything."""
    await PlainTextResponse("the app")(scope, receive, send)


def guarded(
    public_url: str | None = PUBLIC, *, has_login: bool = False, **settings: Any
) -> HostGuard:
    """Return the application behind the guard."""
    given = Settings(public_url=public_url, **settings)
    return HostGuard(the_app, settings=lambda: given, has_login=lambda: has_login)


def answer(
    app: HostGuard, path: str = "/", method: str = "GET", at: str = "127.0.0.1", **headers: str
) -> httpx.Response:
    """Return the answer to a request that came to an address of this machine.

    A name in ``headers`` has ``_`` for ``-``.
    """
    sent = {"host": "avatars.example.com"} | {k.replace("_", "-"): v for k, v in headers.items()}

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url=f"http://{at}:8501") as client:
            return await client.request(method, path, headers=sent)

    return asyncio.run(ask())


def status(app: HostGuard, path: str = "/", method: str = "GET", **headers: str) -> int:
    """Return the status of the answer, a refusal for the public host if it is one."""
    response = answer(app, path, method, **headers)
    assert response.status_code != 403 or "takes webhooks only" in response.text
    return response.status_code


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
        {"host": "localhost", "x_forwarded_host": "cdn.example, avatars.example.com:443"},
        {"host": "localhost", "forwarded": 'for=10.0.0.1;host="avatars.example.com";proto=https'},
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
        {"host": "AVATARS.lan.:443", "origin": "https://avatars.lan"},
        {"host": "192.168.1.5:8501"},
        {"host": "[fd00::5]:8501"},
        {"host": "localhost", "x_forwarded_for": "unknown", "forwarded": ";;=,"},
        {"host": "localhost:8501", "origin": "http://127.0.0.1:8501"},
    ],
)
def test_own_hosts_see_the_app(headers: dict[str, str]) -> None:
    """This machine's loopback, and the names that the setting allows."""
    hosts = "avatars.lan, 192.168.1.5,[FD00::5],"
    assert status(guarded(allowed_hosts=hosts), **headers) == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"host": "evil.example:8501", "x_forwarded_host": "localhost"},
        {"host": "not.avatars.lan"},
        {"host": "avatars.lan.evil.example"},
        {"host": "127.0.0.1.evil.example"},
        {"host": "evil.example@localhost"},
        {"host": "localhost/evil.example"},
        {"host": f"{ALL}:8501"},
        {"host": "10.0.0.1"},
        {"host": ""},
        {"host": "["},
        {"host": "localhost, evil.example"},
        {"host": "<b>evil</b>"},
        {"host": "localhost:8501", "origin": "https://evil.example"},
        {"host": "localhost:8501", "origin": "null"},
        {"host": "localhost:8501", "origin": "https://localhost@evil.example"},
    ],
)
def test_other_hosts_are_refused(headers: dict[str, str]) -> None:
    """A name that leads to this machine by DNS rebinding gets no page, upload or media.

    One plain sentence says which setting allows it, with nothing in it that a browser reads.
    """
    app = guarded(None, allowed_hosts=["avatars.lan"])
    for path, method in (("/", "GET"), ("/_stcore/upload_file/a/b", "PUT"), ("/media/x", "GET")):
        response = answer(app, path, method, **headers)
        assert response.status_code == 403
        assert "AVATARKIT_ALLOWED_HOSTS" in response.text
        assert response.headers["content-type"].startswith("text/plain")
        assert "<" not in response.text


def test_hosts_of_the_server_itself_are_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of ``server.address`` and ``browser.serverAddress``, but not all addresses at once."""
    options = {"server.address": ALL, "browser.serverAddress": "avatars.lan"}
    monkeypatch.setattr(public_host.config, "get_option", options.get)
    assert answer(guarded(None), host="avatars.lan:8501").status_code == 200
    assert answer(guarded(None), host=f"{ALL}:8501").status_code == 403


def test_wrong_settings_leave_the_app_to_its_own_machine() -> None:
    """The names that they allow are not known, and the refusal does not ask to set them."""
    app = HostGuard(the_app, settings=lambda: None, has_login=lambda: False)
    assert answer(app, host="localhost:8501").status_code == 200
    assert "setting of the app is wrong" in answer(app, host="avatars.lan").text


def test_others_reach_no_page_without_a_login() -> None:
    """At any other address than loopback, in which way ever the server was started."""
    at = {"at": "192.168.1.5", "host": "localhost"}
    response = answer(guarded(None), **at)
    assert response.status_code == 403
    assert "AVATARKIT_AUTHENTICATED_BY_PROXY" in response.text
    assert answer(guarded(None), HOOK, "POST", **at).status_code == 200
    assert answer(guarded(None, has_login=True), **at).status_code == 200
    assert answer(guarded(None, authenticated_by_proxy=True), **at).status_code == 200


@pytest.mark.parametrize("address", [ALL, "::", "192.168.1.5", "", None])
def test_an_address_that_others_reach_needs_a_login(
    address: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it is refused before a socket is opened; without an address Streamlit takes all."""
    monkeypatch.setattr(public_host.config, "get_option", lambda _: address)
    refusal = unsafe_address(lambda: False)
    assert refusal is not None
    assert f"not served at {address or ALL}" in refusal
    assert unsafe_address(lambda: True) is None
    monkeypatch.setenv("AVATARKIT_AUTHENTICATED_BY_PROXY", "true")
    assert unsafe_address(lambda: False) is None
    monkeypatch.setenv("AVATARKIT_ALLOWED_HOSTS", "https://avatars.lan")
    assert "give host names alone" in str(unsafe_address(lambda: False))


@pytest.mark.parametrize(("address", "host"), [("127.0.0.1", "127.0.0.1"), (ALL, "localhost")])
def test_the_address_that_is_printed_asks_no_other_host(
    address: str, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Streamlit would ask one for the external address; it prints nothing, the app its own."""
    config = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text(encoding="utf-8"))
    assert config["logger"]["hideWelcomeMessage"] is True
    known = public_host.config.get_option
    options = {"server.address": address, "browser.serverPort": 8501}
    monkeypatch.setattr(
        public_host.config, "get_option", lambda name: options.get(name) or known(name)
    )
    monkeypatch.setattr(public_host.config, "is_manually_set", lambda _: False)
    assert own_url() == f"http://{host}:8501"


@pytest.mark.parametrize("address", ["127.0.0.1", "localhost", "::1", "unix:///run/app.sock"])
def test_loopback_needs_no_login(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does a socket in the file system, whose permissions say who reaches it."""
    monkeypatch.setattr(public_host.config, "get_option", lambda _: address)
    assert unsafe_address(lambda: False) is None


@pytest.mark.parametrize("public_url", [None, "http://127.0.0.1:8501"])
def test_without_a_public_address_nothing_is_refused(public_url: str | None) -> None:
    """Also if it is this machine's own, as with the sandbox's webhooks."""
    assert status(guarded(public_url), host="127.0.0.1:8501") == 200


def test_with_a_login_the_pages_answer() -> None:
    """The pages themselves then ask who is there."""
    assert status(guarded(has_login=True)) == 200


def test_the_websocket_is_refused() -> None:
    """Before it is accepted, which servers answer with a 403; elsewhere it is passed on."""

    def first_message(host: str, **scope: Any) -> Message:
        sent: list[Message] = []

        async def send(message: Message) -> None:
            sent.append(message)

        async def receive() -> Message:
            return {"type": "websocket.connect"}

        async def accept(scope: Scope, receive: Receive, send: Send) -> None:
            await send({"type": "websocket.accept"})

        given = Settings(public_url=PUBLIC)
        app = HostGuard(accept, settings=lambda: given, has_login=lambda: False)
        headers = [(b"host", host.encode())]
        for path in ("/_stcore/stream", HOOK):
            scope |= {"type": "websocket", "path": path, "headers": headers}
            asyncio.run(app(scope, receive, send))
        assert sent[0] in sent[1:]
        return sent[0]

    for host in ("avatars.example.com", "evil.example"):
        assert first_message(host)["type"] == "websocket.close"
        refusal = first_message(host, extensions={"websocket.http.response": {}})
        assert refusal["type"] == "websocket.http.response.start"
        assert refusal["status"] == 403
    assert first_message("localhost")["type"] == "websocket.accept"


def test_the_public_url_is_that_of_the_session(
    monkeypatch: pytest.MonkeyPatch, restart: Callable[..., Running]
) -> None:
    """Also before one is open; wrong settings, which every page shows, are none."""

    def public_url() -> str | None:
        settings = running.settings()
        return None if settings is None else settings.public_url

    assert public_url() is None
    monkeypatch.setenv("AVATARKIT_PUBLIC_URL", f"{PUBLIC}/")
    assert public_url() == PUBLIC
    session = restart().session
    assert running.tracker() is session.tracker
    monkeypatch.delenv("AVATARKIT_PUBLIC_URL")
    assert public_url() == PUBLIC
    running.close()
    monkeypatch.setenv("AVATARKIT_PUBLIC_URL", "http://avatars.example.com")
    assert running.settings() is None
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
    assert not one.get("page_link")
    several = opened(keys | {"google": {"client_id": "x"}, "okta": {"client_id": "y"}})
    assert [button.label for button in several.button] == [
        "Log in with google",
        "Log in with okta",
    ]
    monkeypatch.setattr(login.st, "user", {"is_logged_in": True})
    assert opened(keys).get("page_link")
    monkeypatch.setattr(login.st, "user", {})
    assert opened(None).get("page_link")
