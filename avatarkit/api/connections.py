"""Send requests on connections with a total deadline, which also ends answers that drip.

A timeout of httpx bounds each wait for more bytes, not the whole answer. So a daemon thread watches
the calls in progress and shuts down the socket of one that is past its deadline or whose stop event
is set; the call then ends at once with an error. httpx's ``trace`` extension reports the socket and
when the request has been sent.
"""

from __future__ import annotations

import errno
import math
import os
import socket
import ssl
import threading
import time
import urllib.request
import zlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote as decode_percent
from urllib.parse import urlsplit

import httpx

from avatarkit.api import early_answers
from avatarkit.errors import ConfigError
from avatarkit.paths import unquote
from avatarkit.settings import is_loopback

MAX_ANSWER_BYTES = 1024 * 1024
MAX_LIST_BYTES = 32 * 1024 * 1024
"""Bytes that are read of an answer about one persona or the quota, and of a list, decoded."""

CHECK_EVERY_S = 0.1
IDLE_CHECKS = 100
"""The thread ends after this many checks without a call; the next call starts a new one."""

_GZIP = zlib.MAX_WBITS | 16  # with the head and checksum of gzip


class AnswerTooLarge(httpx.TransportError):
    """A success has more bytes than are read, or an answer is compressed in an unexpected way."""


class AnswerTooSlow(httpx.ReadTimeout):
    """The answer was not complete at its deadline."""


class Stopped(httpx.TransportError):
    """The call was given up because its stop event was set."""


class Connections:
    """A pool of connections; each serves one call at a time and is reused.

    Args:
        base_url: Scheme and host of the API. The environment's proxy is used if one is set.
        transport: Sends the requests instead, such as ``httpx.MockTransport``. Its sockets are not
            known, so deadlines are checked between the chunks of an answer only.

    Raises:
        ConfigError: The environment's proxy or certificates cannot be used.
    """

    def __init__(self, base_url: str, transport: httpx.BaseTransport | None) -> None:
        self._open = _opener(base_url) if transport is None else lambda: transport
        self._is_own = transport is None
        self._all: list[_Connection] = []
        self._idle: list[_Connection] = []

    def exchange(
        self, request: httpx.Request, stop: threading.Event | None
    ) -> tuple[httpx.Response, bytes]:
        """Send a request and read its answer.

        ``request.extensions["deadline"]``, a moment of ``time.monotonic``, bounds the whole call,
        and ``request.extensions["max_bytes"]`` the body: ``MAX_ANSWER_BYTES`` by default.
        The answer may also take no longer than the read timeout, counted from the end of the
        request.

        Args:
            request: The request, with its timeouts and deadline as extensions.
            stop: Cancels the call once it is set.

        Returns:
            The answer, and its body decoded.

        Raises:
            Stopped: ``stop`` is set.
            AnswerTooSlow: The answer was not complete at its deadline.
            AnswerTooLarge: It is a success and has more bytes. The body of an error is cut.
            httpx.TransportError: The connection failed. ``request.extensions["peer"]`` is the
                (host, port) that it went to, None if that is not known.
        """
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._make()
        try:
            return connection.exchange(request, stop)
        finally:
            self._idle.append(connection)

    def close(self) -> None:
        """Close all connections."""
        for connection in self._all:
            connection.transport.close()
        _watchdog.rest()

    def _make(self) -> _Connection:
        connection = _Connection(self._open(), is_own=self._is_own)
        self._all.append(connection)
        return connection


def _opener(base_url: str) -> Callable[[], httpx.BaseTransport]:
    # httpx itself looks at the environment only when it is given no transport.
    is_https = urlsplit(base_url).scheme == "https"
    # Made once, as it is slow. Plain HTTP needs no certificates; this context trusts none.
    context = tls_context() if is_https else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return partial(
        httpx.HTTPTransport,
        verify=context,
        proxy=find_proxy(base_url, context if is_https else None),
        limits=httpx.Limits(max_connections=1),
    )


def tls_context() -> ssl.SSLContext:
    """Return a context that trusts ``SSL_CERT_FILE``, ``SSL_CERT_DIR`` or certifi's authorities.

    Raises:
        ConfigError: What the environment names cannot be used.
    """
    names = ("SSL_CERT_FILE", "SSL_CERT_DIR")  # in httpx's order
    name = next((name for name in names if os.environ.get(name)), "The file of certifi")
    try:
        if name == "SSL_CERT_DIR":
            # OpenSSL takes a folder without certificates, and then no server is trusted.
            folders = os.environ[name].split(os.pathsep)
            if not any(path for folder in folders for path in Path(folder).glob("*.[0-9]")):
                raise FileNotFoundError(errno.ENOENT, "no certificate named by its hash in it")
        return httpx.create_ssl_context()
    except OSError as error:  # only that of SSLKEYLOGFILE names its file
        reason = "no certificate in it" if isinstance(error, ssl.SSLError) else error.strerror
        raise ConfigError(
            f"{'SSLKEYLOGFILE' if error.filename else name} names no usable file for TLS "
            f"({reason}); correct it, or unset it to trust the usual authorities."
        ) from None


def find_proxy(base_url: str, context: ssl.SSLContext | None) -> httpx.Proxy | None:
    """Return the proxy that the environment or the system names for a URL, None for none.

    A proxy without a scheme is taken for ``http://``, as curl does.

    Raises:
        ConfigError: It cannot be used. The text names the variable and not its value, which may
            hold a password.
    """
    url, proxies = urlsplit(base_url), urllib.request.getproxies()
    kind = url.scheme if proxies.get(url.scheme) else "all"
    value = unquote(proxies.get(kind, ""))
    if not value or is_loopback(base_url) or urllib.request.proxy_bypass(url.hostname or ""):
        return None
    names = (f"{kind}_proxy", f"{kind}_proxy".upper())
    variable = next((name for name in names if os.environ.get(name)), "The system's proxy")
    try:
        parts = urlsplit(value if "://" in value else f"http://{value}")
        if parts.scheme.startswith("socks5") and find_spec("socksio") is None:
            raise ConfigError(f'{variable} names a SOCKS proxy; pip install "httpx[socks]" first.')
        if not parts.hostname or parts.port == 0:
            raise ValueError("no host")
        parts.hostname.encode("idna")  # as the lookup will, whose error would be none of httpx
        _, _, address = parts.netloc.rpartition("@")  # a password may hold an @ itself
        user, password = (decode_percent(text or "") for text in (parts.username, parts.password))
        auth = (user, password) if user or password else None
        # httpcore refuses a context for a proxy that is reached without TLS.
        tls = context if parts.scheme == "https" else None
        return httpx.Proxy(f"{parts.scheme}://{address}", auth=auth, ssl_context=tls)
    except (ValueError, httpx.InvalidURL):
        raise ConfigError(
            f"{variable} is not the URL of a proxy; set it to one such as http://host:port or "
            "socks5://host:port, signs such as / and # in its password as %2F and %23, or unset it."
        ) from None


class _Connection:
    """One connection, opened by its first call, and the state of the current call."""

    def __init__(self, transport: httpx.BaseTransport, *, is_own: bool) -> None:
        self.transport = transport
        self._is_own = is_own
        self._socket: socket.socket | None = None
        self._peer: tuple[str, int] | None = None  # the proxy's if there is one
        self._stop: threading.Event | None = None
        self._end = math.inf
        self._error: httpx.TransportError | None = None

    def exchange(
        self, request: httpx.Request, stop: threading.Event | None
    ) -> tuple[httpx.Response, bytes]:
        deadline = request.extensions.get("deadline", math.inf)
        left_s = deadline - time.monotonic()
        self._stop, self._end, self._error = stop, deadline, None
        self.check()
        if self._error is not None:
            raise self._error
        timeout = {name: min(s, left_s) for name, s in request.extensions["timeout"].items()}
        request.extensions["timeout"] = timeout
        if self._is_own:
            request.extensions["trace"] = partial(self._trace, deadline, timeout["read"])
        _watchdog.add(self)
        try:
            answer = self.transport.handle_request(request)
            if not self._is_own:  # without a trace, from the headers on
                self._end = min(deadline, time.monotonic() + timeout["read"])
            try:
                return answer, self._body(answer, request.extensions.get("max_bytes"))
            finally:
                answer.close()
        except httpx.TransportError as error:
            request.extensions["peer"] = self._peer
            raise self._error or error from None
        finally:
            _watchdog.remove(self)

    def check(self) -> None:
        """End the call if it is past its deadline or its stop event is set."""
        if self._stop is not None and self._stop.is_set():
            self._error = Stopped("The call was given up.")
        elif time.monotonic() >= self._end:
            self._error = AnswerTooSlow("The answer did not come to its end in time.")
        if self._error is not None and self._socket is not None:
            with suppress(OSError):
                # Not the TLS socket's own shutdown, which is not safe while another thread reads.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def _trace(self, deadline: float, read_s: float, event: str, info: dict[str, Any]) -> None:
        name = event.partition(".")[2]
        if name == "connect_tcp.started":
            self._peer = info["host"], info["port"]
        elif name in ("connect_tcp.complete", "start_tls.complete"):
            self._socket = early_answers.watch(info["return_value"])
            self.check()
        elif name == "send_request_headers.started":
            self._end = deadline  # the "send" events before may have been of the CONNECT to a proxy
        elif name in ("send_request_body.complete", "send_request_body.failed"):
            self._end = min(deadline, time.monotonic() + read_s)

    def _body(self, answer: httpx.Response, max_bytes: int | None) -> bytes:
        coding = answer.headers.get("Content-Encoding", "").strip().lower()
        if coding not in ("", "identity", "gzip"):
            # Only gzip was requested; nested encodings could expand without limit.
            raise AnswerTooLarge("is encoded in a way that was not asked for")
        limit = max_bytes or MAX_ANSWER_BYTES
        decoder = zlib.decompressobj(_GZIP) if coding == "gzip" else None
        body = bytearray()
        for chunk in cast(Iterable[bytes], answer.stream):
            # Bounded while decoding: a small compressed body can expand to a huge one.
            body += chunk if decoder is None else _decode(decoder, chunk, limit + 1 - len(body))
            if len(body) > limit:
                # The connection is closed then, as the rest of the answer is still to come.
                if answer.is_success:
                    raise AnswerTooLarge(f"has more than {limit / 1e6:,.0f} MB")
                return bytes(body[:limit])  # the status of an error says enough
            if time.monotonic() >= self._end:
                raise AnswerTooSlow("The answer did not come to its end in time.")
        if self._error is not None:
            raise self._error  # the body seems to end, but the watchdog has shut the socket down
        return bytes(body)


def _decode(decoder: zlib._Decompress, chunk: bytes, max_length: int) -> bytes:
    try:
        return decoder.decompress(chunk, max_length)
    except zlib.error as error:
        raise httpx.DecodingError(str(error)) from None


class _Watchdog:
    """Checks the calls in progress, in a daemon thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watched: set[_Connection] = set()
        self._thread: threading.Thread | None = None
        self._rests = threading.Event()

    def add(self, connection: _Connection) -> None:
        with self._lock:
            self._watched.add(connection)
            if self._thread is None or not self._thread.is_alive():
                self._rests = threading.Event()
                self._thread = threading.Thread(
                    target=self._run, args=(self._rests,), name="avatarkit-watchdog", daemon=True
                )
                self._thread.start()

    def remove(self, connection: _Connection) -> None:
        with self._lock:
            self._watched.discard(connection)

    def rest(self) -> None:
        """End the thread now, unless it watches a call; the next call starts a new one."""
        with self._lock:
            if not self._watched:
                self._thread = None
                self._rests.set()

    def _run(self, rests: threading.Event) -> None:
        idle = 0
        while idle < IDLE_CHECKS and not rests.wait(CHECK_EVERY_S):
            with self._lock:
                for connection in self._watched:
                    connection.check()
                idle = 0 if self._watched else idle + 1
                if idle == IDLE_CHECKS and rests is self._rests:
                    self._thread = None


_watchdog = _Watchdog()
