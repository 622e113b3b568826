"""The environment's proxy and certificates are used, or refused in one sentence."""

from __future__ import annotations

import base64
import ssl
import threading
import traceback
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import certifi
import pytest

from avatarkit import Client, open_session
from avatarkit.errors import ConfigError

CANARY = "kanarienvogel-7f3a9c51"
LIVE = "https://api.example"


@pytest.fixture
def proxied() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """A proxy on loopback that answers itself; yields its address and the headers it got."""
    received: list[dict[str, str]] = []

    class Proxy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            received.append({"path": self.path, **self.headers})
            body = b'{"max_count": 3, "current_count": 1}'
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}", received
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def refusal() -> str:
    """The sentence that refuses the environment; the password is in no form of the error."""
    with pytest.raises(ConfigError) as caught:
        Client(LIVE, "the-id", "the-key-of-the-account")
    shown = [
        str(caught.value),
        repr(caught.value),
        "".join(traceback.format_exception(caught.value)),
    ]
    assert not any(CANARY in text for text in shown)
    return str(caught.value)


class TestProxies:
    @pytest.mark.parametrize(
        ("variable", "pattern", "user"),
        [
            ("http_proxy", "{}", None),
            ("http_proxy", '"http://{}"', None),
            ("all_proxy", "http://{}", None),
            ("http_proxy", "http://ada:p@ss@{}", "ada:p@ss"),
            ("http_proxy", "ada:p%40%2F@{}", "ada:p@/"),
            ("http_proxy", "http://ada:@{}/", "ada:"),
        ],
    )
    def test_a_proxy_is_used_as_curl_uses_it(
        self,
        monkeypatch: pytest.MonkeyPatch,
        proxied: tuple[str, list[dict[str, str]]],
        variable: str,
        pattern: str,
        user: str | None,
    ) -> None:
        """Without a scheme it is http://; a password may hold an @, or have it encoded."""
        address, received = proxied
        monkeypatch.setenv(variable, pattern.format(address))
        with Client("http://api.example", "the-id", "the-key", tries=1) as client:
            assert client.persona_quota().max_count == 3
        (headers,) = received
        assert headers["path"] == "http://api.example/api/personas_v2/count/"
        expected = user and f"Basic {base64.b64encode(user.encode()).decode()}"
        assert headers.get("Proxy-Authorization") == expected

    @pytest.mark.parametrize("variable", ["https_proxy", "HTTPS_PROXY", "ALL_PROXY"])
    @pytest.mark.parametrize(
        "value",
        [
            "socks://127.0.0.1:7890",
            f"socks4://ada:{CANARY}@127.0.0.1:7890",
            f"http://ada:{CANARY}@127.0.0.1:notaport",
            f"http://ada:{CANARY}@127.0.0.1:0",
            f"http://ada:{CANARY}@127.0.0.1:70000",
            f"http://ada:{CANARY}/x@127.0.0.1:3128",
            f"http://ada:{CANARY}@",
            f"http://ada:{CANARY}@[::1",
            f"http://ada:{CANARY}@a..b:1",
            "ftp://127.0.0.1",
            "://",
        ],
    )
    def test_one_that_cannot_be_used_is_a_sentence(
        self, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
    ) -> None:
        """It names the variable and the way out, before any call, and never the password."""
        monkeypatch.setenv(variable, value)
        text = refusal()
        assert text.startswith(
            f"{variable} is not the URL of a proxy; set it to one such as http://"
        )

    def test_socks_needs_a_package(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A SOCKS proxy is refused with what to install, unless it is installed."""
        monkeypatch.setenv("https_proxy", f"socks5://ada:{CANARY}@127.0.0.1:1080")
        monkeypatch.setattr("avatarkit.api.connections.find_spec", lambda _: None)
        assert refusal() == 'https_proxy names a SOCKS proxy; pip install "httpx[socks]" first.'


class TestCertificates:
    @pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE"])
    @pytest.mark.parametrize("kind", ["missing", "junk", "folder"])
    def test_what_cannot_be_used_is_a_sentence(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str, kind: str
    ) -> None:
        """A file that is gone, holds no certificate or is of the wrong kind names its variable."""
        path = tmp_path / "certificates"
        if kind == "folder":
            path.mkdir()
        elif kind == "junk":
            path.write_text("junk")
        else:
            path = path / "missing"
        if variable == "SSLKEYLOGFILE" and kind == "junk":
            pytest.skip("keys are appended to any file")
        monkeypatch.setenv(variable, str(path))
        text = refusal()
        assert text.startswith(f"{variable} names no usable file for TLS (")
        assert text.endswith("or unset it to trust the usual authorities.")

    @pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
    def test_what_can_be_used_is_used(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str
    ) -> None:
        """A file of authorities, or a folder of them under their hashes, is taken."""
        file = tmp_path / "0a1b2c3d.0"
        file.write_bytes(Path(certifi.where()).read_bytes())
        # A list of folders, of which one is there.
        folders = f"{tmp_path / 'missing'}:{tmp_path}"
        monkeypatch.setenv(variable, str(file) if variable == "SSL_CERT_FILE" else folders)
        Client(LIVE, "the-id", "the-key").close()


def test_the_sandbox_needs_neither(monkeypatch: pytest.MonkeyPatch) -> None:
    """On plain loopback HTTP no proxy and no certificate of the environment is looked at."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "socks://x:y")
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE"):
        monkeypatch.setenv(name, "/nowhere/at/all")
    monkeypatch.setattr(ssl, "create_default_context", None)
    with open_session() as session:
        assert session.client.persona_quota().current_count == 0
