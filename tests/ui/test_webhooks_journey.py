"""Webhooks from end to end: the app as the README starts it, and its sandbox's own webhooks."""

from __future__ import annotations

import socket
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from avatarkit import PersonaCreate, open_session
from support.app_process import free_port, served_app
from support.sandbox_client import call, until

pytestmark = pytest.mark.journey

PUBLIC = "avatars.example.com"
HOUR = timedelta(hours=1)


def test_an_end_is_polled_when_its_webhook_arrives(tmp_path: Path) -> None:
    """The next poll lies a day ahead; the app's tracker polls as soon as the sandbox tells it.

    Another process submits into the same database, and names the address of the app.
    """
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    settings = {"AVATARKIT_PUBLIC_URL": base, "AVATARKIT_SANDBOX_SPEED": "1"}
    with (
        served_app(tmp_path, port, **settings) as url,
        open_session(public_url=base) as session,
    ):
        store, clock, sandbox = session.store, session.clock, session.sandbox
        assert sandbox is not None
        request = PersonaCreate(creator_name="Ada", gender="f", labels=["sandbox:done"])
        persona = session.tracker.submit(request)
        while (
            call(sandbox, "GET", f"/api/personas/{persona.id}/").json()["process_status"] != "done"
        ):
            store.plan(persona.id, clock.now() + 23 * HOUR, clock.now())
            call(sandbox, "POST", "/_sandbox/advance/", json={"hours": 22})
        until(lambda: call(sandbox, "GET", "/_sandbox/deliveries/").json())
        (delivery,) = call(sandbox, "GET", "/_sandbox/deliveries/").json()
        assert (delivery["result"], delivery["status_code"]) == ("delivered", 204)
        until(lambda: str(store.personas()["status"][0]) == "done", seconds=60)
        sightings = store.sightings(persona.id)
        assert sightings["times_seen"].sum() == 2, "the create, and the poll after the webhook"
        path = str(session.tracker.webhooks.url()).removeprefix(base)
        assert httpx.get(url + path).status_code == 405
        assert httpx.post(f"{url}{path}x").status_code == 404
        assert httpx.post(url + path, content=b" " * 1_000_000).status_code == 413
        token = path.rsplit("/", 1)[1]
    assert token not in (tmp_path / "app.log").read_text()


def test_nothing_but_webhooks_answers_at_the_public_address(tmp_path: Path) -> None:
    """Pages, uploads and the WebSocket of the real server are refused for that host alone."""
    port = free_port()
    settings = {"AVATARKIT_PUBLIC_URL": f"https://{PUBLIC}"}
    with served_app(tmp_path, port, **settings) as url:
        public = {"host": PUBLIC}
        for path in ("/", "/settings", "/_stcore/health", "/_stcore/host-config"):
            assert httpx.get(url + path).status_code == 200
            answer = httpx.get(url + path, headers=public)
            assert (answer.status_code, "webhooks only" in answer.text) == (403, True)
        assert httpx.put(f"{url}/_stcore/upload_file/a/b", headers=public).status_code == 403
        assert httpx.post(f"{url}/webhooks/personas/x", headers=public).status_code == 404
        assert upgraded(port, f"127.0.0.1:{port}") == 101
        assert upgraded(port, PUBLIC) == 403


def upgraded(port: int, host: str) -> int:
    """Return the status of the answer to the request for a WebSocket."""
    request = (
        f"GET /_stcore/stream HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\n"
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(request.encode())
        return int(connection.recv(1000).split()[1])
