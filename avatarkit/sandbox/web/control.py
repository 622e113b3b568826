"""Control a sandbox by the routes below ``/_sandbox/``, on loopback only."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from avatarkit.clock import Clock
from avatarkit.sandbox.error_responses import detail, not_found_page
from avatarkit.sandbox.faults.rules import Faults, Rule
from avatarkit.sandbox.personas.deliveries import DeliveryLog
from avatarkit.sandbox.personas.records import Records
from avatarkit.sandbox.personas.status import Statuses
from avatarkit.sandbox.web.middleware import Endpoint
from avatarkit.sandbox.web.request_body import read_text
from avatarkit.settings import is_loopback

CONTROL = "/_sandbox"
OPENAPI = Path(__file__).with_name("openapi.json")
"""The OpenAPI document of the eight calls."""

_MAX_BYTES = 65_536
_STEPS = ("days", "hours", "minutes", "seconds")
_RULE = ("fault", "method", "path", "calls", "share", "retry_after_s")


@dataclass(frozen=True)
class Control:
    """The control routes, which the real API does not have.

    ``GET /_sandbox/`` (instance, time of the clock, number of personas) and ``GET
    /_sandbox/openapi.json`` need no keys and show none. ``POST /_sandbox/advance/``, ``GET``,
    ``POST`` and ``DELETE /_sandbox/faults/``, ``GET /_sandbox/deliveries/`` and ``GET
    /_sandbox/history/`` (when each status of each persona began) need the keys. Other machines, and
    web pages of other machines, get a 404.
    """

    instance: str
    clock: Clock
    records: Records
    statuses: Statuses
    faults: Faults
    log: DeliveryLog
    advance: Callable[..., datetime]

    def routes(self, authenticate: Callable[[Request], None]) -> list[Route]:
        """Return the routes; ``authenticate`` raises ``ErrorResponse`` for wrong keys."""
        faults = {"GET": self._rules, "POST": self._fail, "DELETE": self._heal}
        calls = {
            "/": Endpoint({"GET": self._describe}, lambda _: None),
            "/openapi.json": Endpoint({"GET": self._document}, lambda _: None),
            "/advance/": Endpoint({"POST": self._advance}, authenticate),
            "/faults/": Endpoint(faults, authenticate),
            "/deliveries/": Endpoint({"GET": self._deliveries}, authenticate),
            "/history/": Endpoint({"GET": self._history}, authenticate),
        }
        return [Route(CONTROL + path, LoopbackOnly(endpoint)) for path, endpoint in calls.items()]

    async def _describe(self, _: Request) -> Response:
        now, personas = self.clock.now().isoformat(), len(self.records)
        return JSONResponse({"instance": self.instance, "now": now, "personas": personas})

    async def _document(self, _: Request) -> Response:
        return Response(OPENAPI.read_bytes(), media_type="application/json")

    async def _advance(self, request: Request) -> Response:
        steps = await _read(request, _STEPS)
        if not all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in steps.values()):
            raise detail(400, f"Give numbers for {', '.join(_STEPS)}.")
        # In another thread, as a jump is written to disk.
        moment = await asyncio.to_thread(self.advance, **steps)
        return JSONResponse({"now": moment.isoformat()})

    async def _rules(self, _: Request) -> Response:
        return JSONResponse(self.faults.rules())

    async def _fail(self, request: Request) -> Response:
        given = await _read(request, _RULE)
        if given.get("share") is None:
            given.setdefault("calls", 1)
        self.faults.add(Rule(**{"fault": None, **given}))
        return JSONResponse(self.faults.rules(), 201)

    async def _heal(self, _: Request) -> Response:
        self.faults.heal()
        return Response(status_code=204)

    async def _deliveries(self, _: Request) -> Response:
        return JSONResponse([delivery.to_json() for delivery in self.log.all()])

    async def _history(self, _: Request) -> Response:
        now = self.clock.now()
        histories = [
            {
                "id": record.id,
                "statuses": [
                    {"status": state.status, "since": state.since.isoformat()}
                    for state in self.statuses.history(record, now)
                ],
            }
            for record in reversed(self.records.newest_first())
        ]
        return JSONResponse(histories)


@dataclass(frozen=True)
class LoopbackOnly:
    """Middleware that lets through calls from this machine only.

    ``Host`` shows a foreign name that resolves to loopback (DNS rebinding), ``Origin`` a web page
    of another site.
    """

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; a 404 for other machines and their web pages."""
        request = Request(scope)
        origin = request.headers.get("origin")
        is_local = (
            request.client is not None
            and is_loopback(request.client.host)
            and is_loopback(f"//{request.headers.get('host', '')}")
            and (origin is None or is_loopback(origin))
        )
        app = self.app if is_local else not_found_page()
        await app(scope, receive, send)


async def _read(request: Request, names: tuple[str, ...]) -> dict[str, Any]:
    raw = await read_text(request, _MAX_BYTES)
    value: Any = None
    with suppress(ValueError, RecursionError):
        value = json.loads(raw)
    if not isinstance(value, dict):
        raise detail(400, "The body has to be a JSON object.")
    for name in value:
        if name not in names:
            raise detail(400, f"There is no field {name!r}; there are {', '.join(names)}.")
    return value
