"""Addresses of messages: a web server on this machine, and fakes."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from avatarkit.tracking.addresses import Address


class FakeAddresses:
    """Addresses that keep what they are sent; ``refuse`` and ``hang`` make them fail or wait."""

    def __init__(self, *schemes: str) -> None:
        self.schemes = list(schemes or ["fake"])
        self.problems: list[str] = []
        self.sent: list[tuple[str, str, str]] = []
        self.refused: set[str] = set()
        self.answer = threading.Event()
        self.answer.set()
        self.called = threading.Event()

    def open(self) -> list[Address]:
        """Return one address a scheme."""
        return [
            Address(number, scheme, scheme, self._sender(scheme))
            for number, scheme in enumerate(self.schemes, 1)
        ]

    def _sender(self, scheme: str) -> Callable[[str, str], str | None]:
        def send(title: str, body: str) -> str | None:
            self.called.set()
            self.answer.wait()
            if scheme in self.refused:
                return "The server is down."
            self.sent.append((scheme, title, body))
            return None

        return send


class MessageServer:
    """A web server that keeps the JSON that Apprise posts to it; ``status`` is its answer."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.posts: list[dict[str, Any]] = []
        self.status = 200

    def url(self, path: str = "") -> str:
        """Return an address of Apprise that posts here."""
        return f"json://127.0.0.1:{self.port}/{path}"


@contextmanager
def message_server() -> Iterator[MessageServer]:
    """Serve on a free port of this machine while the block runs."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            body = json.loads(self.rfile.read(length))
            if served.status == 200:
                served.posts.append(body)
            self.send_response(served.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served = MessageServer(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
