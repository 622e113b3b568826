"""The control route below ``/_sandbox/``, which the real API does not have; loopback only."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from ipaddress import ip_address

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from avatarkit.clock import Clock
from avatarkit.sandbox.records import Records
from avatarkit.sandbox.refused import NOT_FOUND_PAGE, html

CONTROL = "/_sandbox"


def control(
    instance: str, clock: Clock, records: Records
) -> Callable[[Request], Awaitable[Response]]:
    """The handler of ``GET /_sandbox/``: which sandbox this is, and what its clock shows.

    It asks for no key and tells none.
    """

    async def describe(request: Request) -> Response:
        if request.client is None or not ip_address(request.client.host).is_loopback:
            return html(404, NOT_FOUND_PAGE)
        return JSONResponse(
            {"instance": instance, "now": clock.now().isoformat(), "personas": len(records)}
        )

    return describe
