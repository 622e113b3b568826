"""Take webhooks at ``POST /webhooks/personas/{token}``, and keep the token out of access logs."""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from avatarkit.clock import SystemClock
from avatarkit.errors import StoreError
from avatarkit.sandbox.web.rate_limit import RateLimiter
from avatarkit.text import WEBHOOK_PATH, hide_webhook_token
from avatarkit.tracking.tracker import Tracker
from avatarkit.ui import running

logger = logging.getLogger("avatarkit")

MOST_BYTES = 64 * 1024
"""A longer body is refused."""
DEADLINE_S = 10.0
"""Wall seconds within which a body has to arrive."""
PER_S, BURST = 10.0, 300
"""Webhooks that are taken a wall second, and at once, as many avatars may end together."""
WRONG_PER_S, WRONG_BURST = 1.0, 20
"""The same of requests with a wrong token; apart, so that these use up no room of the others."""


def _limiter(per_s: float, burst: int) -> RateLimiter:
    return RateLimiter(per_s, burst, SystemClock().monotonic)


@dataclass
class WebhookEndpoint:
    """ASGI application that answers at the path of webhooks.

    Args:
        tracker: Returns the tracker of the open session, None if none is open.
        deadline_s: Wall seconds within which a body has to arrive.
        taken: Limits the requests with the right token.
        wrong: Limits those with another one.
    """

    tracker: Callable[[], Tracker | None]
    deadline_s: float = DEADLINE_S
    taken: RateLimiter = field(default_factory=lambda: _limiter(PER_S, BURST))
    wrong: RateLimiter = field(default_factory=lambda: _limiter(WRONG_PER_S, WRONG_BURST))
    # Webhooks are written one after another, and take no thread from the pages.
    _writer: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(1))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            response = await self._answer(Request(scope, receive))
        except ClientDisconnect:
            return
        if response.status_code >= 400:
            # What was not read of the body is not waited for.
            response.headers["connection"] = "close"
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        if request.method != "POST":
            return _refusal(405, "Method Not Allowed", Allow="POST")
        if (tracker := self.tracker()) is None:
            return _refusal(503, "The app is not open; see its log.", **{"Retry-After": "60"})
        try:
            if (
                refusal := await self._check_token(request.path_params["token"], tracker)
            ) is not None:
                return refusal
            if (refusal := _limited(self.taken)) is not None:
                return refusal
            body = await self._read(request)
            if isinstance(body, Response):
                return body
            content_type = request.headers.get("content-type", "")
            count = await run_sync(tracker.webhooks.take, body, content_type, limiter=self._writer)
        except StoreError as error:
            logger.warning("A webhook could not be taken: %s", error)
            return _refusal(503, "Try it again later.", **{"Retry-After": "60"})
        if count:
            logger.info("A webhook arrived; %d to poll.", count)
        return Response(status_code=204)

    async def _check_token(self, given: str, tracker: Tracker) -> Response | None:
        """Return the answer to a wrong token, None to the right one."""
        if _is_token(given, tracker.webhooks.known_token):
            return None
        if (refusal := _limited(self.wrong)) is not None:  # what follows reads the database
            return refusal
        token = await run_sync(tracker.webhooks.token, limiter=self._writer)
        # As for any path that is not there.
        return None if _is_token(given, token) else _refusal(404, "Not Found")

    async def _read(self, request: Request) -> bytes | Response:
        body = bytearray()
        try:
            async with asyncio.timeout(self.deadline_s):
                async for chunk in request.stream():
                    body += chunk
                    if len(body) > MOST_BYTES:
                        return _refusal(413, "The body is too large.")
        except TimeoutError:
            return _refusal(408, "The body took too long.")
        return bytes(body)


def _is_token(given: str, token: str | None) -> bool:
    return token is not None and hmac.compare_digest(given.encode(), token.encode())


def _limited(limiter: RateLimiter) -> Response | None:
    wait_s = limiter.wait_s()
    if not wait_s:
        return None
    return _refusal(429, "Too many requests.", **{"Retry-After": str(int(wait_s) + 1)})


def _refusal(status_code: int, text: str, **headers: str) -> Response:
    return PlainTextResponse(text, status_code, headers)


def routes() -> list[Route]:
    """Return the routes of the app beside its pages; hide their token in access logs."""
    for name in ("uvicorn.access", "uvicorn.asgi", "uvicorn.error"):
        logging.getLogger(name).addFilter(_hide_token)
    # Without methods of its own: Streamlit's route of all paths would answer the others.
    return [Route(f"{WEBHOOK_PATH}{{token}}", WebhookEndpoint(running.tracker))]


def _hide_token(record: logging.LogRecord) -> bool:
    # The formatter of access logs needs the arguments as they are.
    if isinstance(record.args, tuple):
        record.args = tuple(
            hide_webhook_token(value) if isinstance(value, str) else value for value in record.args
        )
    text = record.getMessage()
    if (hidden := hide_webhook_token(text)) != text:
        record.msg, record.args = hidden, None
    return True
