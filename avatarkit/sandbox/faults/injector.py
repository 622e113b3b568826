"""Stands before the calls and makes those fail that meet a rule: answers, and closed lines."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import struct
from dataclasses import dataclass, field
from typing import Any

from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from avatarkit.sandbox.error_responses import SERVER_ERROR_PAGE, html, throttled
from avatarkit.sandbox.faults.rules import NOT_CARRIED_OUT, Faults, Rule

logger = logging.getLogger("avatarkit")

TRANSPORT = "avatarkit.api.transport"
"""Where in the scope the web server leaves the transport of the connection."""

_API = "/api/"
_DRIP_S = 0.05
# What proxies send where the application behind them does not answer.
_GATEWAY_PAGES = {
    "502": "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n"
    "<center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>",
    "503": "<html>\r\n<head><title>503 Service Temporarily Unavailable</title></head>\r\n<body>\r\n"
    "<center><h1>503 Service Temporarily Unavailable</h1></center>\r\n</body>\r\n</html>",
    "504-made": "<html>\r\n<head><title>504 Gateway Time-out</title></head>\r\n<body>\r\n"
    "<center><h1>504 Gateway Time-out</h1></center>\r\n</body>\r\n</html>",
}


class Breaks:
    """Lets every call of the API through but those that meet a rule of ``faults``."""

    def __init__(self, app: ASGIApp, faults: Faults) -> None:
        self._app = app
        self._faults = faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or fail to."""
        path, rule = scope["path"], None
        if path.startswith(_API):
            rule = self._faults.meet(scope["method"], path)
        if rule is None:
            await self._app(scope, receive, send)
            return
        logger.info("The sandbox fails %s %s by %s.", scope["method"], path, rule.fault)
        if rule.fault in NOT_CARRIED_OUT:
            await _refuse(rule, scope, receive, send)
        else:
            answer = _Answer()
            await self._app(scope, receive, answer.keep)
            await _spoil(rule.fault, answer, scope, receive, send)


@dataclass
class _Answer:
    status: int = 200
    body: bytearray = field(default_factory=bytearray)

    async def keep(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        else:
            self.body += message.get("body", b"")

    @property
    def status_with_body(self) -> int:
        return 200 if self.status == 204 else self.status


async def _refuse(rule: Rule, scope: Scope, receive: Receive, send: Send) -> None:
    match rule.fault:
        case "closed-before":
            await _close(scope, receive, reset=True)
            return
        case "closed-during":
            await _read(scope, receive, share=0.5)
            await _close(scope, receive, reset=True)
            return
        case "closed-after":
            await _read(scope, receive, share=1)
            await _close(scope, receive, reset=False)
            return
        case "429":
            response = throttled(rule.retry_after_s, "none").response()
        case "429-seconds":
            response = throttled(rule.retry_after_s, "seconds").response()
        case "429-date":
            response = throttled(rule.retry_after_s, "date").response()
        case "500-html":
            response = html(500, SERVER_ERROR_PAGE)
        case "301":
            query = scope["query_string"].decode("latin-1")
            path = scope["raw_path"].decode("latin-1")
            response = RedirectResponse(path + (query and f"?{query}"), 301)
        case fault:
            response = html(int(fault), _GATEWAY_PAGES[fault])
    await response(scope, receive, send)


async def _spoil(fault: str, answer: _Answer, scope: Scope, receive: Receive, send: Send) -> None:
    content = bytes(answer.body) or b'{"id": "0"}'
    kind, status = "application/json", answer.status_with_body
    match fault:
        case "504-made":
            response = html(504, _GATEWAY_PAGES[fault])
        case "broken-json":
            response = Response(content[: len(content) // 2], status, media_type=kind)
        case "other-json":
            response = Response(_reshaped(content), status, media_type=kind)
        case "wrong-content-type":
            response = Response(content, status, media_type="text/html")
        case "closed-in-answer":
            response = Response(content, status, media_type=kind)
            await send(_start(status, response.raw_headers))
            half = content[: len(content) // 2]
            await send({"type": "http.response.body", "body": half, "more_body": True})
            await _close(scope, receive, reset=False)
            return
        case "endless":
            await send(_start(status, [(b"content-type", kind.encode())]))
            await _drip(receive, send)
            return
        case _:
            await _close(scope, receive, reset=False)
            return
    await response(scope, receive, send)


def _start(status: int, headers: list[tuple[bytes, bytes]]) -> Message:
    return {"type": "http.response.start", "status": status, "headers": headers}


def _reshaped(content: bytes) -> bytes:
    value: Any = json.loads(content)
    other: Any = [value] if isinstance(value, dict) else {"success": True, "data": value}
    return json.dumps(other).encode()


async def _read(scope: Scope, receive: Receive, *, share: float) -> None:
    declared = int(dict(scope["headers"]).get(b"content-length", b"0"))
    seen = 0
    while True:
        message = await receive()
        seen += len(message.get("body", b""))
        if not message.get("more_body") or (share < 1 and seen >= share * declared):
            return


async def _drip(receive: Receive, send: Send) -> None:
    gone = asyncio.create_task(_gone(receive))
    # White space: a parser that reads as it comes waits for a value for ever.
    drop: Message = {"type": "http.response.body", "body": b" ", "more_body": True}
    while not gone.done():
        await send(drop)
        await asyncio.wait([gone], timeout=_DRIP_S)


async def _close(scope: Scope, receive: Receive, *, reset: bool) -> None:
    transport: asyncio.Transport = scope[TRANSPORT]
    if reset:
        # To linger for no time makes the system send a reset instead of an orderly end.
        linger = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        transport.abort()
    else:
        transport.close()
    await _gone(receive)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
