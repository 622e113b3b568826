"""Apply faults to calls: error responses, corrupted responses and closed connections."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from starlette.responses import HTMLResponse, Response, StreamingResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from avatarkit.sandbox.behaviour import RetryAfter
from avatarkit.sandbox.error_responses import moved, server_error_page, throttled
from avatarkit.sandbox.faults.rules import NOT_CARRIED_OUT, Faults, Rule

logger = logging.getLogger("avatarkit")

TRANSPORT = "avatarkit.api.transport"
"""The key of the ASGI scope under which the web server passes the connection's transport."""

WITHOUT_VIDEOS = "avatarkit.sandbox.without_videos"
"""The key of the ASGI scope that is set if the videos of a create are lost."""

_API = "/api/"
_JSON = "application/json"
_DRIP_S = 0.05
_RETRY_AFTER: dict[str, RetryAfter] = {"429": "none", "429-seconds": "seconds", "429-date": "date"}
# The share of the body that is read before the connection is closed.
_READ_SHARES = {"closed-before": 0.0, "closed-during": 0.5, "closed-after": 1.0}
# Source: nginx, when its upstream does not answer.
_GATEWAY_TITLES = {
    "502": "502 Bad Gateway",
    "503": "503 Service Temporarily Unavailable",
    "504-made": "504 Gateway Time-out",
}


@dataclass(frozen=True)
class FaultInjector:
    """ASGI middleware that makes calls of the API fail by the rules of ``faults``."""

    app: ASGIApp
    faults: Faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or fail it by a rule."""
        path = scope["path"]
        rule = self.faults.match(scope["method"], path) if path.startswith(_API) else None
        if rule is None:
            await self.app(scope, receive, send)
            return
        logger.info("The sandbox fails %s %s by %s.", scope["method"], path, rule.fault)
        if rule.fault in NOT_CARRIED_OUT:
            await _refuse(rule, scope, receive, send)
            return
        messages: list[Message] = []

        async def collect(message: Message) -> None:
            messages.append(message)

        is_cut = rule.fault == "closed-during-made"
        await self.app({**scope, WITHOUT_VIDEOS: is_cut}, receive, collect)
        await _spoil(rule.fault, messages, scope, receive, send)


async def _refuse(rule: Rule, scope: Scope, receive: Receive, send: Send) -> None:
    if rule.fault in _READ_SHARES:
        await _read(scope, receive, share=_READ_SHARES[rule.fault])
        await _close(scope, receive, reset=rule.fault != "closed-after")
        return
    match rule.fault:
        case "429" | "429-seconds" | "429-date":
            response = throttled(rule.retry_after_s, _RETRY_AFTER[rule.fault]).response()
        case "500-html":
            response = server_error_page()
        case "301":
            response = moved(scope)
        case fault:
            response = _gateway_page(fault)
    await response(scope, receive, send)


async def _spoil(
    fault: str, messages: list[Message], scope: Scope, receive: Receive, send: Send
) -> None:
    status = 200 if messages[0]["status"] == 204 else messages[0]["status"]
    content = b"".join(message.get("body", b"") for message in messages) or b'{"id": "0"}'
    half = content[: len(content) // 2]
    match fault:
        case "504-made":
            response = _gateway_page(fault)
        case "broken-json":
            response = Response(half, status, media_type=_JSON)
        case "other-json":
            response = Response(_reshaped(content), status, media_type=_JSON)
        case "wrong-content-type":
            response = Response(content, status, media_type="text/html")
        case "endless":
            response = StreamingResponse(_drip(), status, media_type=_JSON)
        case _:
            if fault == "closed-in-answer":
                headers = Response(content, media_type=_JSON).raw_headers
                await send({"type": messages[0]["type"], "status": status, "headers": headers})
                await send({"type": "http.response.body", "body": half, "more_body": True})
            await _close(scope, receive, reset=fault == "closed-during-made")
            return
    await response(scope, receive, send)


def _gateway_page(fault: str) -> Response:
    title = _GATEWAY_TITLES[fault]
    page = (
        f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n"
        f"<center><h1>{title}</h1></center>\r\n</body>\r\n</html>"
    )
    return HTMLResponse(page, int(title[:3]))


def _reshaped(content: bytes) -> bytes:
    value: Any = json.loads(content)
    other: Any = [value] if isinstance(value, dict) else {"success": True, "data": value}
    return json.dumps(other).encode()


async def _read(scope: Scope, receive: Receive, *, share: float) -> None:
    declared = int(dict(scope["headers"]).get(b"content-length", b"0"))
    received, is_complete = 0, share == 0
    while not is_complete:
        message = await receive()
        received += len(message.get("body", b""))
        is_complete = not message.get("more_body") or (share < 1 and received >= share * declared)


async def _drip() -> AsyncIterator[bytes]:
    while True:
        # White space: an incremental JSON parser waits for a value for ever.
        yield b" "
        await asyncio.sleep(_DRIP_S)


async def _close(scope: Scope, receive: Receive, *, reset: bool) -> None:
    transport: asyncio.Transport = scope[TRANSPORT]
    if reset:
        # A linger time of 0 makes the system send a reset instead of closing in order.
        linger = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        transport.abort()
    else:
        transport.close()
    while (await receive())["type"] != "http.disconnect":
        pass
