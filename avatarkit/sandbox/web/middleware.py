"""What stands around the calls: who may call, what exists, and when the answer is sent."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from avatarkit.sandbox.error_responses import NOT_FOUND_PAGE, SERVER_ERROR_PAGE, ErrorResponse, html

logger = logging.getLogger("avatarkit")

Handler = Callable[[Request], Awaitable[Response]]


class Endpoint:
    """One path: who calls is checked first, then what is called, as the framework does."""

    def __init__(
        self, handlers: Mapping[str, Handler], authenticate: Callable[[Request], None]
    ) -> None:
        self._handlers = dict(handlers)
        if "GET" in handlers:
            self._handlers["HEAD"] = handlers["GET"]
        self._authenticate = authenticate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request of this path."""
        request = Request(scope, receive)
        try:
            self._authenticate(request)
            handler = self._handlers.get(request.method)
            if handler is None:
                text = f'Method "{request.method}" not allowed.'
                raise ErrorResponse(405, {"detail": text}, {"Allow": ", ".join(self._handlers)})
            response = await handler(request)
        except ErrorResponse as refused:
            response = refused.response()
        except ClientDisconnect:
            response = Response(status_code=400)  # nobody is there to read it
        except OSError as error:
            logger.error("The sandbox cannot use its folder: %s.", error.strerror or error)
            response = html(500, SERVER_ERROR_PAGE)
        await response(scope, receive, send)


class NoRoute:
    """What Django answers where no path matches: a 301 if only the last slash is missing."""

    def __init__(self, routes: list[Route], *, redirect: bool) -> None:
        self._routes = routes
        self._redirect = redirect

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that no path matches."""
        response = html(404, NOT_FOUND_PAGE)
        if self._redirect and not scope["path"].endswith("/"):
            with_slash = {**scope, "path": scope["path"] + "/"}
            if any(route.matches(with_slash)[0] is not Match.NONE for route in self._routes):
                query = scope["query_string"].decode("latin-1")
                location = scope["raw_path"].decode("latin-1") + "/" + (query and f"?{query}")
                response = Response(status_code=301, headers={"Location": location})
        await response(scope, receive, send)


class ReadsToTheEnd:
    """Answers only when the whole body has been read, as the proxy before the real API does.

    Else a client that is refused in the middle of an upload would find a broken connection
    instead of the answer that says why.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the application answer, and pass its answer on once the body has been read."""
        if scope["method"] in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        finished = False

        async def receive_and_note() -> Message:
            nonlocal finished
            message = await receive()
            finished = not message.get("more_body", False)
            return message

        async def send_at_the_end(message: Message) -> None:
            while not finished:
                await receive_and_note()
            await send(message)

        await self._app(scope, receive_and_note, send_at_the_end)


async def server_error(_: Request, __: Exception) -> Response:
    """What Django sends when the code behind a path fails."""
    return html(500, SERVER_ERROR_PAGE)
