"""Connections on which an answer has to come to its end in time, however it drips.

A timeout of httpx bounds each wait for more bytes, not all of them together. So the streams here
read no longer than what the ``Budget`` of the request leaves them.
"""

from __future__ import annotations

import math
import ssl
import threading
import time
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import httpcore
import httpx

from avatarkit.clock import SystemClock


class Budget:
    """How long the answer to one request may take, in wall seconds.

    ``answer_s`` counts from the moment when the request has been sent; ``deadline`` is a moment
    of ``time.monotonic`` that bounds all of it, None for none.
    """

    def __init__(self, answer_s: float, deadline: float | None) -> None:
        self._answer_s = answer_s
        self._deadline = deadline
        self._end: float | None = None

    def sending(self) -> None:
        """More of the request leaves: its answer has not begun."""
        self._end = None

    def left_s(self) -> float:
        """What is left; not positive when the time is over."""
        now = time.monotonic()
        if self._end is None:
            end = now + self._answer_s
            self._end = end if self._deadline is None else min(end, self._deadline)
        return self._end - now


budget: ContextVar[Budget | None] = ContextVar("budget", default=None)
"""That of the request which this thread is in."""

_stop: ContextVar[threading.Event | None] = ContextVar("stop", default=None)

PATIENCE_S = 0.5
"""So long it may take until a call is given up after its stop."""


class Stopped(httpx.TransportError):
    """The call was given up, as whoever made it was told to stop."""


@contextmanager
def until(stop: threading.Event | None) -> Iterator[None]:
    """Calls of this thread are given up (``Stopped``) once ``stop`` is set."""
    token = _stop.set(stop)
    try:
        yield
    finally:
        _stop.reset(token)


def rest(seconds: float) -> None:
    """Sleep, less when the calls of this thread are to stop meanwhile."""
    SystemClock().sleep(seconds, _stop.get())


def check_stop() -> None:
    """Raise ``Stopped`` when the calls of this thread are to stop."""
    stop = _stop.get()
    if stop is not None and stop.is_set():
        raise Stopped("The call was given up.")


class _Stream(httpcore.NetworkStream):
    def __init__(self, inner: httpcore.NetworkStream) -> None:
        self._inner = inner

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        given, left_s = budget.get(), math.inf if timeout is None else timeout
        until_s = time.monotonic() + left_s
        while True:
            check_stop()
            left_s = until_s - time.monotonic()
            if given is not None:
                left_s = min(left_s, given.left_s())
            if left_s <= 0:
                raise httpcore.ReadTimeout("The answer does not come in time.")
            try:
                # In short waits, so that a stop is heard.
                return self._inner.read(max_bytes, min(left_s, PATIENCE_S))
            except httpcore.ReadTimeout:
                continue

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        given = budget.get()
        if given is not None:
            given.sending()
        self._inner.write(buffer, timeout)

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class _Backend(httpcore.SyncBackend):
    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        return _Stream(super().connect_tcp(host, port, timeout, local_address, socket_options))


def is_loopback(base_url: str) -> bool:
    """True for an address of this machine."""
    return httpx.URL(base_url).host in ("localhost", "127.0.0.1", "::1")


def network_transport(base_url: str) -> httpx.HTTPTransport:
    """Real connections to ``base_url``, through the environment's proxy where one is set.

    httpx itself looks at the environment only when no transport is given.
    """
    url = httpx.URL(base_url)
    proxy = urllib.request.getproxies().get(url.scheme)
    if is_loopback(base_url) or (proxy and urllib.request.proxy_bypass(url.host)):
        proxy = None
    transport = httpx.HTTPTransport(proxy=proxy or None)
    # httpx has no argument for it; a test of answers that drip sees to it that it takes effect.
    transport._pool._network_backend = _Backend()
    return transport
