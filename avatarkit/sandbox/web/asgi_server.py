"""Serve an ASGI application in a thread of this process."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
import threading
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from avatarkit.errors import ConfigError
from avatarkit.sandbox.faults.injector import TRANSPORT

# Seconds that calls in flight have to end once the server stops.
_GRACE_S = 0.25
_THREAD = "sandbox-web"
# Longer than the 5 s after which httpx drops idle connections, so that httpx never uses one that
# the server is closing.
_KEEP_ALIVE_S = 65


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens on that address; port 0 is any free one.

    Raises:
        ConfigError: The port is taken, not allowed or not a port, or ``host`` is not an address of
            this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio sends small answers at once instead of waiting for the
    # client's acknowledgement (TCP_NODELAY), which would cost 40 ms a call.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if os.name == "posix":  # on Windows it would let two programs share the port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(socket.SOMAXCONN)
    except (OSError, OverflowError) as error:
        listener.close()
        raise ConfigError(_listen_error(error, host, port)) from None
    return listener


def _listen_error(error: OSError | OverflowError, host: str, port: int) -> str:
    way_out = "give another port, or 0 for any free one"
    if isinstance(error, OverflowError):
        return f"Port {port} does not exist; {way_out}."
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} on {host} is taken by another program; stop that one, or {way_out}."
    if error.errno == errno.EACCES:
        return f"Port {port} on {host} is not allowed to this user; {way_out}."
    return f"{host} is not an address of this machine; give 127.0.0.1 as host."


class WebServer(uvicorn.Server):
    """A server of ``app`` on ``listener``, from ``start()`` to ``stop()``."""

    def __init__(self, app: ASGIApp, listener: socket.socket) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                loop="asyncio",
                http=_Protocol,
                ws="none",
                lifespan="off",
                log_config=None,
                proxy_headers=False,
                server_header=False,
                date_header=False,
                timeout_keep_alive=_KEEP_ALIVE_S,
                timeout_graceful_shutdown=30,
            )
        )
        self._listener = listener
        self._ready = threading.Event()
        # A daemon, so that a program can end without stopping it.
        self._thread = threading.Thread(target=self._run, name=_THREAD, daemon=True)

    def start(self) -> None:
        """Start the server, and return when it accepts connections."""
        logging.getLogger("uvicorn.error").addFilter(_is_of_interest)
        self._thread.start()
        self._ready.wait()
        if not self.started:
            self._thread.join()
            raise ConfigError("The sandbox's web server could not start; try again.")

    def stop(self) -> None:
        """Close all connections, and return when the thread has ended."""
        self.should_exit = True
        self._thread.join()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Set the event for which ``start`` waits, once connections are accepted."""
        await super().startup(sockets)
        self._ready.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Abort calls in flight that do not end by themselves."""
        asyncio.get_running_loop().call_later(_GRACE_S, self._abort)
        await super().shutdown(sockets)

    def _run(self) -> None:
        try:
            # Not by Server.run: debuggers and nest_asyncio replace asyncio.run, on which it rests.
            with asyncio.Runner(loop_factory=self.config.get_loop_factory()) as runner:
                runner.run(self.serve(sockets=[self._listener]))
        finally:
            self._ready.set()

    def _abort(self) -> None:
        # The application sees a client that disconnects, which it handles anyway.
        for connection in list(self.server_state.connections):
            connection.transport.abort()


def _is_of_interest(record: logging.LogRecord) -> bool:
    """Return False for the lines in which uvicorn says that a sandbox starts and stops."""
    # By thread, as the program may have a server of its own.
    return record.levelno > logging.INFO or record.threadName != _THREAD


class _Protocol(H11Protocol):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # uvicorn's own setting disables the access log of every server in the process.
        self.access_log = False
        app: Any = self.app

        async def with_transport(scope: Scope, receive: Receive, send: Send) -> None:
            await app({**scope, TRANSPORT: self.transport}, receive, send)

        self.app = with_transport
