"""The route of webhooks: who may call it, how much it reads, and what it brings about."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

import app as streamlit_app
from avatarkit import Client, PersonaCreate, Sandbox, Store, Tracker
from avatarkit.errors import StoreError
from avatarkit.sandbox.web.asgi_server import WebServer, listen
from avatarkit.sandbox.web.rate_limit import RateLimiter
from avatarkit.store import tables
from avatarkit.text import WEBHOOK_PATH, hide_webhook_token
from avatarkit.ui import webhooks
from avatarkit.ui.public_host import HostGuard
from avatarkit.ui.webhooks import MOST_BYTES, WebhookEndpoint
from support.manual_clock import ManualClock
from support.sandbox_client import until

BASE = "https://avatars.example.com"
HOUR = timedelta(hours=1)
ADA = PersonaCreate(creator_name="Ada", gender="f")


def answer_pending(request: httpx.Request) -> httpx.Response:
    """Answer as an API with avatars that do not end."""
    if request.url.path.endswith("/count/"):
        return httpx.Response(200, json={"max_count": 9, "current_count": 0})
    status = 201 if request.method == "POST" else 200
    return httpx.Response(status, json={"id": "p1", "process_status": "pending"})


@pytest.fixture
def tracker(manual_clock: ManualClock) -> Iterator[Tracker]:
    """Yield a tracker of one avatar, p1, that is polled in ten hours."""
    transport = httpx.MockTransport(answer_pending)
    with (
        Client("http://api.test", "an-id", "a-key-of-this-account", transport=transport) as client,
        Store("sqlite://") as store,
    ):
        opened = Tracker(client, store, clock=manual_clock, webhook_base=BASE)
        opened.submit(ADA)
        now = manual_clock.advance(HOUR)
        store.plan("p1", now + 10 * HOUR, now)
        yield opened


def path_of(tracker: Tracker) -> str:
    """Return the path with the right token."""
    return f"{WEBHOOK_PATH}{tracker.webhooks.token()}"


def app_of(endpoint: WebhookEndpoint) -> Starlette:
    """Return an application with the route, before one that answers all paths as Streamlit's."""

    async def page(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"a page"})

    return Starlette(routes=[Route(f"{WEBHOOK_PATH}{{token}}", endpoint), Mount("/", page)])


def call(app: ASGIApp, method: str, path: str, **more: Any) -> httpx.Response:
    """Return the answer to one request."""

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
            return await client.request(method, path, **more)

    return asyncio.run(ask())


def is_due(tracker: Tracker) -> bool:
    """Return whether p1 is due."""
    return [each.persona_id for each in tracker.store.due(tracker.clock.now())] == ["p1"]


def test_the_right_token_makes_the_named_one_due(tracker: Tracker) -> None:
    """The answer is empty, and says nothing of what is known here."""
    app = app_of(WebhookEndpoint(lambda: tracker))
    unknown = call(app, "POST", path_of(tracker), json={"id": "p2"})
    assert not is_due(tracker)
    known = call(app, "POST", path_of(tracker), json={"id": "p1", "status": "done"})
    assert is_due(tracker)
    assert (known.status_code, known.content) == (unknown.status_code, b"") == (204, b"")


@pytest.mark.parametrize("change", ["x", "", "é", "%2e%2e"])
def test_a_wrong_token_is_a_path_that_is_not_there(tracker: Tracker, change: str) -> None:
    """Nothing is read or changed, however like the right one it is."""
    app = app_of(WebhookEndpoint(lambda: tracker))
    path = path_of(tracker)[:-1] + change if change != "%2e%2e" else f"{WEBHOOK_PATH}{change}"
    answer = call(app, "POST", path, json={"id": "p1"})
    assert (answer.status_code, answer.text) == (404, "Not Found")
    assert not is_due(tracker)


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_other_methods_are_refused(tracker: Tracker, method: str) -> None:
    """Also with the right token; no page of the app answers at that path."""
    answer = call(app_of(WebhookEndpoint(lambda: tracker)), method, path_of(tracker))
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert not is_due(tracker)


@pytest.mark.parametrize("size", [MOST_BYTES + 1, 1_000_000])
def test_a_large_body_is_refused(tracker: Tracker, size: int) -> None:
    """One of 64 KiB is taken; of a larger one no more than that is kept."""
    app = app_of(WebhookEndpoint(lambda: tracker))
    answer = call(app, "POST", path_of(tracker), content=b" " * size)
    assert (answer.status_code, answer.headers["connection"]) == (413, "close")
    assert not is_due(tracker)
    body = json.dumps({"id": "p1"}).encode().ljust(MOST_BYTES)
    assert call(app, "POST", path_of(tracker), content=body).status_code == 204
    assert is_due(tracker)


def test_an_endless_body_is_cut(tracker: Tracker) -> None:
    """Chunks without end are read up to the limit."""
    read = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal read
        while True:
            read += 1000
            yield b"x" * 1000

    async def receive_chunks() -> Message:
        return {"type": "http.request", "body": await anext(source), "more_body": True}

    source = chunks()
    assert asyncio.run(direct(tracker, receive_chunks)) == 413
    assert read < MOST_BYTES + 2000


def test_a_slow_body_is_cut(tracker: Tracker) -> None:
    """A body that does not arrive within the deadline is not waited for."""

    async def never() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    assert asyncio.run(direct(tracker, never, deadline_s=0)) == 408
    assert not is_due(tracker)


def test_a_client_that_leaves_is_no_error(tracker: Tracker) -> None:
    """A body that breaks off changes nothing."""

    async def leave() -> Message:
        return {"type": "http.disconnect"}

    assert asyncio.run(direct(tracker, leave)) is None
    assert not is_due(tracker)


async def direct(tracker: Tracker, receive: Receive, **more: Any) -> int | None:
    """Post with the right token; return the status of the answer, None without one."""
    status = None

    async def send(message: Message) -> None:
        nonlocal status
        status = message.get("status", status)

    path = path_of(tracker)
    scope = {"type": "http", "method": "POST", "path": path, "headers": [], "query_string": b""}
    scope["path_params"] = {"token": tracker.webhooks.token()}
    await WebhookEndpoint(lambda: tracker, **more)(scope, receive, send)
    return status


def test_floods_are_limited_and_wrong_tokens_apart(tracker: Tracker) -> None:
    """Both are answered with a 429; a flood of wrong tokens keeps no right one out."""
    seconds = [0.0]
    app = app_of(
        WebhookEndpoint(
            lambda: tracker,
            taken=RateLimiter(1, 3, lambda: seconds[0]),
            wrong=RateLimiter(1, 2, lambda: seconds[0]),
        )
    )
    token = path_of(tracker)
    wrong = [call(app, "POST", f"{WEBHOOK_PATH}x{n}").status_code for n in range(5)]
    assert wrong == [404, 404, 429, 429, 429]
    right = [call(app, "POST", token, json={"id": "p1"}) for _ in range(5)]
    assert [answer.status_code for answer in right] == [204] * 3 + [429] * 2
    assert right[-1].headers["retry-after"] == "2"
    seconds[0] = 1
    assert call(app, "POST", token).status_code == 204


def test_a_token_that_was_carried_over_is_the_right_one(tracker: Tracker) -> None:
    """The API has the address of the older API id; the app need not be started again."""
    app, old = app_of(WebhookEndpoint(lambda: tracker)), path_of(tracker)
    assert call(app, "POST", old).status_code == 204
    column = tables.accounts.c.webhook_token
    with tracker.store.transaction() as connection:
        connection.execute(tables.accounts.update().values({column: "the-older-one"}))
    assert call(app, "POST", f"{WEBHOOK_PATH}the-older-one").status_code == 204
    assert call(app, "POST", old).status_code == 404
    assert tracker.webhooks.url() == f"{BASE}{WEBHOOK_PATH}the-older-one"


def test_without_a_token_every_path_is_wrong(tracker: Tracker) -> None:
    """No public URL is set and none was, so there is no token that could be guessed."""
    with Store("sqlite://") as store:
        other = Tracker(tracker.client, store, clock=tracker.clock)
        app = app_of(WebhookEndpoint(lambda: other))
        for path in ("None", "x", "%00"):
            assert call(app, "POST", f"{WEBHOOK_PATH}{path}").status_code == 404


def test_a_failing_log_is_tried_again_later(
    tracker: Tracker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The sender is told to come again; neither body nor token is in the log."""
    app, path = app_of(WebhookEndpoint(lambda: tracker)), path_of(tracker)
    assert call(app, "POST", path).status_code == 204

    def fail(*_: object) -> int:
        raise StoreError("The database is locked.")

    monkeypatch.setattr(tracker.store, "hint", fail)
    caplog.set_level(logging.DEBUG)
    answer = call(app, "POST", path, json={"id": "p1", "api_key": "s3cret"})
    assert answer.status_code == 503
    assert "retry-after" in answer.headers
    assert "The database is locked." in caplog.text
    assert "s3cret" not in caplog.text
    assert str(tracker.webhooks.token()) not in caplog.text
    assert call(app_of(WebhookEndpoint(lambda: None)), "POST", path).status_code == 503


def test_bodies_are_not_logged(tracker: Tracker, caplog: pytest.LogCaptureFixture) -> None:
    """What a body says is neither logged nor stored, of any content type."""
    caplog.set_level(logging.DEBUG)
    app = app_of(WebhookEndpoint(lambda: tracker))
    for kind in ("application/json", "text/plain", "multipart/form-data; boundary=x", "\xff", ""):
        content = json.dumps({"x-api-key": "s3cret-value", "id": "p1"})
        headers = {"content-type": kind.encode("latin-1")}
        answer = call(app, "POST", path_of(tracker), content=content, headers=headers)
        assert answer.status_code == 204
    assert "s3cret-value" not in caplog.text
    assert "s3cret-value" not in str(tracker.store.personas().to_dict())


def test_the_app_has_the_route_and_the_guard() -> None:
    """``app.py`` mounts both, the guard outermost."""
    route = streamlit_app.app._user_routes[0]
    assert route.path == f"{WEBHOOK_PATH}{{token}}"  # type: ignore[attr-defined]
    assert streamlit_app.app._user_middleware[0].cls is HostGuard


def test_a_socket_that_vanished_raises_nothing() -> None:
    """A browser that is gone when its socket is used again leaves no error for the server."""

    async def endpoint(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.close()
        await websocket.close()

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(_: Message) -> None:
        pass

    handlers = streamlit_app.app._exception_handlers
    app = Starlette(routes=[WebSocketRoute("/", endpoint)], exception_handlers=handlers)
    asyncio.run(app({"type": "websocket", "path": "/", "headers": []}, receive, send))


@contextmanager
def served(app: ASGIApp) -> Iterator[str]:
    """Serve on a free port of loopback."""
    listener = listen("127.0.0.1", 0)
    server = WebServer(app, listener)
    server.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.stop()


def test_access_logs_have_no_token(tracker: Tracker) -> None:
    """uvicorn's access log shows that a webhook came, and not its token."""
    from uvicorn.logging import AccessFormatter

    webhooks.routes()
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(AccessFormatter('%(client_addr)s "%(request_line)s" %(status_code)s'))
    access = logging.getLogger("uvicorn.access")
    level, access.level = access.level, logging.INFO
    access.addHandler(handler)
    try:
        arguments = ("127.0.0.1:1", "POST", f"{path_of(tracker)}?again=1", "1.1", 204)
        access.info('%s - "%s %s HTTP/%s" %d', *arguments)
        access.info('%s - "%s %s HTTP/%s" %d', "127.0.0.1:1", "GET", "/tracker", "1.1", 200)
    finally:
        access.removeHandler(handler)
        access.level = level
    logged = stream.getvalue()
    assert 'POST /webhooks/personas/[token]?again=1 HTTP/1.1" 204' in logged
    assert "GET /tracker" in logged
    assert str(tracker.webhooks.token()) not in logged


@pytest.mark.parametrize(
    "url",
    [
        "//webhooks//personas//{}",
        "/webhooks/personas//{}?a=1",
        "/Webhooks/Personas/{}",
        "/login?next=%2Fwebhooks%2fpersonas%2F{}&a=1",
        r'{{"url": "\/webhooks\/personas\/{}"}}',
        r'{{"url": "\u002fwebhooks\u002Fpersonas\u002f{}"}}',
    ],
)
def test_however_the_path_is_written_the_token_is_hidden(url: str) -> None:
    """Proxies double slashes, URLs encode them, and JSON escapes them."""
    hidden = hide_webhook_token(url.format("the-token_1"))
    assert "[token]" in hidden
    assert "the-token" not in hidden


def test_a_broken_upload_over_a_socket_is_answered(tracker: Tracker) -> None:
    """The server closes the connection of an endless body after its 413."""
    with served(app_of(WebhookEndpoint(lambda: tracker))) as url:
        port = int(url.rsplit(":", 1)[1])
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            head = f"POST {path_of(tracker)} HTTP/1.1\r\nHost: a\r\n"
            connection.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
            chunk = b"8000\r\n" + b"x" * 0x8000 + b"\r\n"
            sent = 0
            with suppress(BrokenPipeError, ConnectionResetError):
                while sent < 10_000:
                    connection.sendall(chunk)
                    sent += 1
            assert sent < 10_000
        assert not is_due(tracker)
        assert httpx.post(f"{url}{path_of(tracker)}", json={"id": "p1"}).status_code == 204
    assert is_due(tracker)


def test_the_end_of_a_life_is_polled_at_once(manual_clock: ManualClock, tmp_path: Path) -> None:
    """The sandbox's webhook brings forward a poll that was planned for a day later."""
    trackers: list[Tracker] = []
    endpoint = WebhookEndpoint(lambda: trackers[0])
    with (
        served(Starlette(routes=[Route(f"{WEBHOOK_PATH}{{token}}", endpoint)])) as url,
        Sandbox(tmp_path / "api", clock=manual_clock) as sandbox,
        Client(sandbox.url, sandbox.api_id, sandbox.api_key) as client,
        Store(f"sqlite:///{tmp_path / 'log.db'}") as store,
    ):
        tracker = Tracker(client, store, clock=manual_clock, webhook_base=url)
        trackers.append(tracker)
        ends = {
            tracker.submit(ADA.model_copy(update={"labels": [f"sandbox:{end}"]})).id: end
            for end in ("done", "failed", "rejected", "stuck")
        }
        submitted_at, passed = manual_clock.now(), timedelta(days=5)
        for persona_id in ends:
            store.plan(persona_id, submitted_at + passed + timedelta(hours=20), submitted_at)
        manual_clock.advance(passed)
        until(lambda: len(sandbox.deliveries()) == 3)
        assert {each.result for each in sandbox.deliveries()} == {"delivered"}
        changes = {change.persona_id: change.after for change in tracker.look()}
        # The list shows the one that is stuck too.
        assert {each: changes[each] for each, end in ends.items() if end != "stuck"} == {
            each: end for each, end in ends.items() if end != "stuck"
        }


def test_the_tracker_is_right_without_webhooks(manual_clock: ManualClock, tmp_path: Path) -> None:
    """Nothing listens at the address; polling finds every end."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with (
        Sandbox(tmp_path / "api", clock=manual_clock) as sandbox,
        Client(sandbox.url, sandbox.api_id, sandbox.api_key) as client,
        Store("sqlite://") as store,
    ):
        base = f"http://127.0.0.1:{port}"
        tracker = Tracker(client, store, clock=manual_clock, webhook_base=base)
        tracker.submit(ADA.model_copy(update={"labels": ["sandbox:done"]}))
        while (next_at := store.next_look_at()) is not None:
            manual_clock.advance(max(next_at - manual_clock.now(), timedelta(0)))
            tracker.look()
        assert store.personas()["status"].tolist() == ["done"]
        assert not any(each.result == "delivered" for each in sandbox.deliveries())
