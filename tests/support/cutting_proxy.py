"""A proxy on loopback that cuts an upload."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import BinaryIO
from urllib.parse import urlsplit


class CuttingProxy:
    """Forwards calls to ``url``, and cuts the body of a POST after ``keep(length)`` bytes.

    Args:
        url: The base URL of the server behind it.
        keep: Returns how many bytes of a body of this length are forwarded.
        settle: Called between the end of the connection to the server and that to the client.
    """

    def __init__(
        self, url: str, keep: Callable[[int], int], settle: Callable[[], None] = lambda: None
    ) -> None:
        parts = urlsplit(url)
        self._upstream = (parts.hostname or "", parts.port or 80)
        self._keep, self._settle = keep, settle
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> CuttingProxy:
        return self

    def __exit__(self, *_: object) -> None:
        # A shutdown wakes the thread that accepts.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client = self._listener.accept()[0]
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with (
            client,
            client.makefile("rb") as asked,
            socket.create_connection(self._upstream) as server,
            server.makefile("rb") as answered,
            suppress(OSError),
        ):
            while head := _head(asked):
                server.sendall(head)
                length = _length(head)
                if head.startswith(b"POST"):
                    server.sendall(asked.read(self._keep(length)))
                    break
                server.sendall(asked.read(length))
                head = _head(answered)
                client.sendall(head + answered.read(_length(head)))
            else:
                return
            answered.close()
            server.close()
            self._settle()
            # A linger time of 0 sends a reset.
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _head(stream: BinaryIO) -> bytes:
    lines = []
    while line := stream.readline():
        lines.append(line)
        if line == b"\r\n":
            break
    return b"".join(lines)


def _length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name == b"content-length":
            return int(value)
    return 0
