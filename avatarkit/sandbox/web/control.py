"""The control routes below ``/_sandbox/``, which the real API does not have; loopback only."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from avatarkit.clock import Clock
from avatarkit.errors import ConfigError
from avatarkit.sandbox.error_responses import NOT_FOUND_PAGE, detail, html
from avatarkit.sandbox.faults.rules import Faults, Rule
from avatarkit.sandbox.personas.deliveries import DeliveryLog
from avatarkit.sandbox.personas.records import Records
from avatarkit.sandbox.web.middleware import Endpoint
from avatarkit.settings import is_loopback

CONTROL = "/_sandbox"
OPENAPI = Path(__file__).with_name("openapi.json")
"""The document of the seven calls, as it is served."""

_MAX_BYTES = 65_536
_STEPS = ("days", "hours", "minutes", "seconds")
_RULE = ("fault", "method", "path", "calls", "share", "retry_after_s")


@dataclass(frozen=True)
class Control:
    """What can be asked of a sandbox, and done to it.

    ``GET /_sandbox/`` (which sandbox this is, and what its clock shows) and ``GET
    /_sandbox/openapi.json`` ask for no key and tell none. ``POST /_sandbox/advance/``, ``GET``,
    ``POST`` and ``DELETE /_sandbox/faults/`` and ``GET /_sandbox/deliveries/`` ask for the keys.
    Whoever comes from another machine, or from a web page of one, finds none of them.
    """

    instance: str
    clock: Clock
    records: Records
    faults: Faults
    log: DeliveryLog
    advance: Callable[..., datetime]

    def routes(self, authenticate: Callable[[Request], None]) -> list[Route]:
        """The routes; ``authenticate`` refuses whoever has not the keys."""
        calls = {
            "/": Endpoint({"GET": self._describe}, lambda _: None),
            "/openapi.json": Endpoint({"GET": self._document}, lambda _: None),
            "/advance/": Endpoint({"POST": self._advance}, authenticate),
            "/faults/": Endpoint(
                {"GET": self._rules, "POST": self._fail, "DELETE": self._heal}, authenticate
            ),
            "/deliveries/": Endpoint({"GET": self._deliveries}, authenticate),
        }
        return [Route(CONTROL + path, OnlyHere(endpoint)) for path, endpoint in calls.items()]

    async def _describe(self, _: Request) -> Response:
        return JSONResponse(
            {
                "instance": self.instance,
                "now": self.clock.now().isoformat(),
                "personas": len(self.records),
            }
        )

    async def _document(self, _: Request) -> Response:
        return Response(OPENAPI.read_bytes(), media_type="application/json")

    async def _advance(self, request: Request) -> Response:
        steps = await _read(request, _STEPS)
        if not all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in steps.values()):
            raise detail(400, f"Give numbers for {', '.join(_STEPS)}.")
        try:
            # In another thread, as a jump is written to disk.
            moment = await asyncio.to_thread(self.advance, **steps)
        except ConfigError as error:
            raise detail(400, str(error)) from None
        return JSONResponse({"now": moment.isoformat()})

    async def _rules(self, _: Request) -> Response:
        return JSONResponse(self.faults.rules())

    async def _fail(self, request: Request) -> Response:
        given = await _read(request, _RULE)
        if given.get("share") is None:
            given.setdefault("calls", 1)
        try:
            self.faults.add(Rule(**{"fault": None, **given}))
        except ConfigError as error:
            raise detail(400, str(error)) from None
        return JSONResponse(self.faults.rules(), 201)

    async def _heal(self, _: Request) -> Response:
        self.faults.heal()
        return Response(status_code=204)

    async def _deliveries(self, _: Request) -> Response:
        return JSONResponse([delivery.to_json() for delivery in self.log.all()])


class OnlyHere:
    """Answers only calls from this machine that no web page of another one has made.

    A name of somebody else's that leads here (DNS rebinding) is told by ``Host``, a page that
    calls across sites by ``Origin``.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or say that there is nothing here."""
        request = Request(scope)
        origin = request.headers.get("origin")
        is_here = (
            request.client is not None
            and is_loopback(request.client.host)
            and is_loopback(f"//{request.headers.get('host', '')}")
            and (origin is None or is_loopback(origin))
        )
        app = self._app if is_here else html(404, NOT_FOUND_PAGE)
        await app(scope, receive, send)


async def _read(request: Request, names: tuple[str, ...]) -> dict[str, Any]:
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > _MAX_BYTES:
            raise detail(413, "The body is too large.")
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise detail(400, "The body has to be a JSON object.")
    for name in value:
        if name not in names:
            raise detail(400, f"There is no field {name!r}; there are {', '.join(names)}.")
    return cast(dict[str, Any], value)
