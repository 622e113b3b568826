"""Wrap the handlers of calls: authentication, unknown paths, and reading whole bodies."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from email.utils import format_datetime

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from avatarkit.clock import Clock
from avatarkit.errors import ConfigError
from avatarkit.sandbox import error_responses

logger = logging.getLogger("avatarkit")

Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True)
class Endpoint:
    """The handlers of a path by method; the keys are checked before the method, as by Django."""

    handlers: Mapping[str, Handler]
    authenticate: Callable[[Request], None]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request of this path."""
        request = Request(scope, receive)
        try:
            self.authenticate(request)
            handlers = dict(self.handlers)
            if "GET" in handlers:
                handlers["HEAD"] = handlers["GET"]
            handler = handlers.get(request.method)
            if handler is None:
                text = f'Method "{request.method}" not allowed.'
                raise error_responses.ErrorResponse(
                    405, {"detail": text}, {"Allow": ", ".join(handlers)}
                )
            response = await handler(request)
        except error_responses.ErrorResponse as error:
            response = error.response()
        except ConfigError as error:
            response = error_responses.detail(400, str(error)).response()
        except ClientDisconnect:
            response = Response(status_code=400)  # the client is gone
        except OSError as error:
            logger.error("The sandbox cannot use its folder: %s.", error.strerror or error)
            response = error_responses.server_error_page()
        await response(scope, receive, send)


@dataclass(frozen=True)
class NoRoute:
    """Answers paths that do not exist, as Django does: a 301 if only the last slash is missing."""

    routes: list[Route]
    redirect: bool

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that no path matches."""
        response = error_responses.not_found_page()
        if self.redirect and not scope["path"].endswith("/"):
            with_slash = {**scope, "path": scope["path"] + "/"}
            if any(route.matches(with_slash)[0] is not Match.NONE for route in self.routes):
                response = error_responses.moved(scope, "/")
        await response(scope, receive, send)


@dataclass(frozen=True)
class ReadWholeBody:
    """Delays an answer until the whole body has been read, as a proxy does.

    Otherwise a client that is refused during an upload would see a broken connection instead of the
    answer.
    """

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request once its body has been read."""
        if scope["method"] in ("GET", "HEAD"):
            await self.app(scope, receive, send)
            return
        finished = False

        async def receive_next() -> Message:
            nonlocal finished
            message = await receive()
            finished = not message.get("more_body", False)
            return message

        async def send_when_finished(message: Message) -> None:
            while not finished:
                await receive_next()
            await send(message)

        await self.app(scope, receive_next, send_when_finished)


@dataclass(frozen=True)
class DateHeader:
    """Adds the ``Date`` header, on the sandbox's clock."""

    app: ASGIApp
    clock: Clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""

        async def send_with_date(message: Message) -> None:
            if message["type"] == "http.response.start":
                date = format_datetime(self.clock.now(), usegmt=True)
                message["headers"] = [*message.get("headers", ()), (b"date", date.encode())]
            await send(message)

        await self.app(scope, receive, send_with_date)


async def server_error(_: Request, __: Exception) -> Response:
    """Return the page that Django sends when the code behind a path fails."""
    return error_responses.server_error_page()
