"""Why no answer came, over real sockets: each cause has a sentence of its own."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from avatarkit import Client, errors
from support.tls import server_context

KEY = "CANARY-key-that-must-never-be-shown"
Answer = Callable[[socket.socket], None]


@pytest.fixture
def serve() -> Iterator[Callable[[Answer], int]]:
    """Start servers on loopback that hand each connection to a callable; return their ports."""
    over = threading.Event()
    with contextlib.ExitStack() as stack:

        def start(answer: Answer) -> int:
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            listener.settimeout(0.05)

            def run() -> None:
                while not over.is_set():
                    with contextlib.suppress(OSError):
                        connection, _ = listener.accept()
                        with connection, contextlib.suppress(OSError):
                            answer(connection)

            thread = threading.Thread(target=run)
            thread.start()
            stack.callback(thread.join)
            stack.callback(over.set)
            return int(listener.getsockname()[1])

        yield start


def failure(url: str, caplog: pytest.LogCaptureFixture) -> tuple[errors.ConnectionFailed, int]:
    """Return the error of a call, and how often it was tried again."""
    caplog.set_level(logging.DEBUG, "avatarkit")
    with (
        Client(url, "the-id", KEY, backoff_s=0) as client,
        pytest.raises(errors.ConnectionFailed) as caught,
    ):
        client.get_persona("a")
    assert not caught.value.maybe_sent
    retries = [record for record in caplog.records if record.getMessage().startswith("Retry ")]
    return caught.value, len(retries)


def plain(connection: socket.socket) -> None:
    connection.recv(65_536)
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")


def test_a_certificate_that_is_not_trusted(
    serve: Callable[[Answer], int], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The sentence names the certificate and SSL_CERT_FILE, at once: it stays as it is."""
    context = server_context(tmp_path)

    def answer(connection: socket.socket) -> None:
        context.wrap_socket(connection, server_side=True).close()

    error, retries = failure(f"https://127.0.0.1:{serve(answer)}", caplog)
    assert str(error) == (
        "The certificate of 127.0.0.1 is not trusted (self-signed certificate); set SSL_CERT_FILE "
        "to a file with the certificates to trust, such as that of your company's proxy."
    )
    assert retries == 0


def test_tls_where_there_is_none(
    serve: Callable[[Answer], int], caplog: pytest.LogCaptureFixture
) -> None:
    """An https base_url on a plain port is told from a network that is down."""
    error, retries = failure(f"https://127.0.0.1:{serve(plain)}", caplog)
    assert "does not speak TLS; check base_url, or begin it with http://" in str(error)
    assert retries == 0


def test_a_port_without_a_server(caplog: pytest.LogCaptureFixture) -> None:
    """A refused connection names the port; the server may be about to start, so it is retried."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    error, retries = failure(f"http://127.0.0.1:{port}", caplog)
    assert str(error) == (
        f"No server listens at 127.0.0.1:{port}; check host and port in base_url."
    )
    assert retries == 3


def test_a_name_that_is_not_known(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A host that DNS does not know is named."""

    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    error, _ = failure("https://no-such-host.invalid", caplog)
    assert str(error) == (
        "The name no-such-host.invalid is not known; check base_url and the network."
    )


class TestProxy:
    @pytest.fixture
    def refusing(
        self, serve: Callable[[Answer], int], monkeypatch: pytest.MonkeyPatch
    ) -> Callable[[str], int]:
        """Set a proxy that answers every CONNECT with this status."""

        def start(status: str) -> int:
            def answer(connection: socket.socket) -> None:
                connection.recv(65_536)
                connection.sendall(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())

            port = serve(answer)
            for name in ("https_proxy", "http_proxy"):
                monkeypatch.setenv(name, f"http://someone:proxy-password@127.0.0.1:{port}")
            return port

        return start

    @pytest.mark.parametrize("scheme", ["https", "http"])
    def test_it_asks_for_a_password(
        self, refusing: Callable[[str], int], scheme: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A 407 is said to be the proxy's, with the way out, without its password."""
        refusing("407 Proxy Authentication Required")
        with (
            Client(f"{scheme}://api.example.invalid", "the-id", KEY) as client,
            pytest.raises(errors.APIError, match=r"user name and a password \(407\).*PROXY") as got,
        ):
            client.get_persona("a")
        assert "proxy-password" not in f"{got.value} {vars(got.value)} {caplog.text}"

    def test_it_refuses_the_host(
        self, refusing: Callable[[str], int], caplog: pytest.LogCaptureFixture
    ) -> None:
        """Another refusal quotes the proxy, and names NO_PROXY."""
        port = refusing("403 Forbidden")
        error, retries = failure("https://api.example.invalid", caplog)
        assert str(error) == (
            f"The proxy 127.0.0.1:{port} refused the connection to api.example.invalid (403 "
            "Forbidden); ask who runs it, or set NO_PROXY=api.example.invalid if it is not needed."
        )
        assert retries == 0

    def test_it_is_not_there(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A proxy that does not listen is not taken for the API."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{port}")
        error, _ = failure("https://api.example.invalid", caplog)
        assert f"listens at the proxy 127.0.0.1:{port}; check host and port in HTTPS_PROXY" in str(
            error
        )
