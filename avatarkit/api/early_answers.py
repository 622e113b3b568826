"""End an upload once the server refuses it, and read its answer.

A server may answer 413 before it has read the body. Then it reads no more, or it closes the
connection, so that an upload would hang, or break off without the answer.
"""

from __future__ import annotations

import re
import socket
import ssl
import time
from contextlib import suppress
from typing import Any

CHECK_EVERY_S = 0.2
_MAX_EARLY_BYTES = 65_536
# The head of a final answer that is no success; an informational one (1xx) may precede it.
_REFUSAL = re.compile(rb"(?:\A|\r\n\r\n)HTTP/1\.[01] [345]\d\d")


def watch(stream: Any) -> socket.socket:
    """Make the writes of a connection fail once the server has refused the request.

    httpcore then reads the answer, as after every write that failed.

    Args:
        stream: A ``NetworkStream`` of httpcore that was just connected.

    Returns:
        Its socket.
    """
    connected: socket.socket = stream.get_extra_info("socket")
    # TLS within TLS, as through an HTTPS proxy, reads and writes the socket in its own way.
    if not isinstance(stream.get_extra_info("ssl_object"), ssl.SSLObject):
        watched = _Watched(connected, stream.read)
        stream.read, stream.write = watched.read, watched.write
    return connected


class _Watched:
    """Reads what arrives while a request is written, and returns it to the next read."""

    def __init__(self, connected: socket.socket, read: Any) -> None:
        self._socket = connected
        self._read = read
        self._early = b""
        self._is_sending = False

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        self._is_sending = False
        if not self._early:
            data: bytes = self._read(max_bytes, timeout)
            return data
        data, self._early = self._early[:max_bytes], self._early[max_bytes:]
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        import httpcore  # slow, and loaded by now

        waited_since = time.monotonic()
        # The head of a request is refused by nothing yet; and what is sent to its end is sent, and
        # its connection can be used again.
        if buffer and self._is_sending:
            self._end_if_refused()
        self._is_sending = True
        while buffer:
            try:
                self._socket.settimeout(CHECK_EVERY_S)
                buffer = buffer[self._socket.send(buffer) :]
                waited_since = time.monotonic()
            except TimeoutError as error:
                if timeout is not None and time.monotonic() - waited_since >= timeout:
                    raise httpcore.WriteTimeout(str(error)) from error
                self._end_if_refused()
            except OSError as error:
                raise httpcore.WriteError(str(error)) from error

    def _end_if_refused(self) -> None:
        import httpcore

        # Read through TLS, as bytes may have arrived that are no answer but of TLS itself.
        if len(self._early) < _MAX_EARLY_BYTES:
            with suppress(OSError):  # nothing has arrived, or else the write will fail
                self._socket.settimeout(0)
                self._early += self._socket.recv(_MAX_EARLY_BYTES)
        if _REFUSAL.search(self._early):
            raise httpcore.WriteError("The request was refused before its end.")
