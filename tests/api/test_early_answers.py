"""Uploads that the server refuses before it has read them, over sockets, with and without TLS."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from avatarkit import Client, PersonaCreate, Settings, errors
from support.tls import server_context

SIZE = 40_000_000
PAGE = b"<html><head><title>413 Request Entity Too Large</title></head></html>"
REFUSED = (
    b"HTTP/1.1 413 Request Entity Too Large\r\nContent-Type: text/html\r\n"
    b"Content-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(PAGE), PAGE)
)
CREATED = b'HTTP/1.1 201 Created\r\nContent-Length: 13\r\n\r\n{"id": "new"}'


class Server:
    """A server on loopback for one upload; ``received`` counts the bytes that it read."""

    def __init__(self, behave: Callable[[Server, Any], None], context: ssl.SSLContext | None):
        self.over = threading.Event()
        self.received = 0
        self._behave, self._context = behave, context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(20)
        scheme = "http" if context is None else "https"
        self.url = f"{scheme}://localhost:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def read(self, connection: socket.socket, size: int = 65_536) -> bytes:
        data = connection.recv(size)
        self.received += len(data)
        return data

    def close(self) -> None:
        self.over.set()
        self._thread.join()
        self._listener.close()

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            connection, _ = self._listener.accept()
            # As web servers do; else an answer can wait behind TLS's own bytes, and be lost.
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._context is not None:
                connection = self._context.wrap_socket(connection, server_side=True)
            with connection:
                connection.settimeout(20)
                self._behave(self, connection)


def closes(server: Server, connection: socket.socket) -> None:
    """Close with the body unread, which resets the connection."""
    server.read(connection)
    connection.sendall(REFUSED)


def resets(server: Server, connection: socket.socket) -> None:
    """Reset the connection on purpose, soon after the answer."""
    server.read(connection)
    connection.sendall(REFUSED)
    server.over.wait(0.1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def keeps(server: Server, connection: socket.socket) -> None:
    """Read no more, and keep the connection open."""
    server.read(connection)
    connection.sendall(REFUSED)
    server.over.wait(20)


def lingers(server: Server, connection: socket.socket) -> None:
    """Read on slowly for a while after the answer, as nginx does."""
    server.read(connection)
    connection.sendall(REFUSED)
    while server.read(connection, 4_000) and not server.over.wait(0.001):
        pass


@pytest.fixture(params=["plain", "tls"])
def serve(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[Callable[[Server, Any], None]], Server]]:
    context = None
    if request.param == "tls":
        context = server_context(tmp_path)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))
    with contextlib.ExitStack() as stack:

        def start(behave: Callable[[Server, Any], None]) -> Server:
            server = Server(behave, context)
            stack.callback(server.close)
            return server

        yield start


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "long.mp4"
    path.write_bytes(bytes(SIZE))
    return path


def upload(server: Server, video: Path) -> Any:
    settings = Settings(base_url=server.url, api_id="i", api_key="k", write_timeout_s=15)
    with Client(settings=settings) as client:
        request = PersonaCreate(creator_name="Ada", gender="f", lipsync_input=video)
        return client.create_persona(request)


@pytest.mark.parametrize("behave", [closes, resets, keeps, lingers])
def test_the_answer_is_read_while_it_is_sent(
    serve: Callable[[Callable[[Server, Any], None]], Server],
    behave: Callable[[Server, Any], None],
    video: Path,
) -> None:
    """A 413 before the end of the upload ends it, is read, and is surely no avatar."""
    server = serve(behave)
    with pytest.raises(errors.TooLarge, match=r"too large: 40\.0 MB"):
        upload(server, video)
    assert server.received < SIZE / 2


def test_what_is_no_refusal_does_not_end_the_upload(
    serve: Callable[[Callable[[Server, Any], None]], Server], video: Path
) -> None:
    """Informational answers, or an early success, leave the upload whole; both are read."""

    def behave(server: Server, connection: socket.socket) -> None:
        server.read(connection)
        connection.sendall(b"HTTP/1.1 102 Processing\r\n\r\n")
        while server.received < SIZE:
            server.read(connection)
        connection.sendall(CREATED)

    server = serve(behave)
    assert upload(server, video).id == "new"
    assert server.received > SIZE


def test_a_refusal_after_an_informational_answer_is_one(
    serve: Callable[[Callable[[Server, Any], None]], Server], video: Path
) -> None:
    """What was read ahead is parsed in its order."""

    def behave(server: Server, connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
        keeps(server, connection)

    with pytest.raises(errors.TooLarge):
        upload(serve(behave), video)


def test_a_server_that_reads_nothing_is_a_timeout(
    serve: Callable[[Callable[[Server, Any], None]], Server], video: Path
) -> None:
    """Without an answer, the write timeout ends an upload that is stuck."""

    def behave(server: Server, _: socket.socket) -> None:
        server.over.wait(20)

    server = serve(behave)
    settings = Settings(base_url=server.url, api_id="i", api_key="k", write_timeout_s=0.5)
    with Client(settings=settings) as client, pytest.raises(errors.RequestTimeout) as caught:
        client.create_persona(PersonaCreate(creator_name="Ada", gender="f", lipsync_input=video))
    assert caught.value.maybe_sent


def test_an_answer_right_after_the_last_byte_leaves_the_connection_open(
    serve: Callable[[Callable[[Server, Any], None]], Server],
) -> None:
    """A refusal that is not early is no reason for a new connection."""

    def behave(server: Server, connection: socket.socket) -> None:
        # Answered before it was asked: it has always arrived when the request has been sent.
        for _ in range(2):
            server.read(connection)
            connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}")

    server = serve(behave)
    with Client(server.url, "i", "k") as client:
        for _ in range(2):
            with pytest.raises(errors.NotFound):
                client.get_persona("a")
