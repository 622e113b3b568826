"""Keep the pages from the public address, at which webhooks arrive, unless people log in."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from avatarkit.settings import is_loopback
from avatarkit.text import WEBHOOK_PATH

REFUSAL = (
    "This address takes webhooks only. Open the app at an address of its own network, or let "
    "people log in: add [auth] to .streamlit/secrets.toml.\n"
)


class PublicHost:
    """ASGI middleware that refuses all but webhooks at the public address.

    A request counts as public if its ``Host``, or the one that a proxy passed on, is that of the
    public URL; and, as a client may write any ``Host``, if a proxy passed it on from an address of
    the internet.

    Args:
        app: The ASGI application.
        public_url: Returns the public URL; None if there is none.
        has_login: Returns whether the pages let in only people who have logged in.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        public_url: Callable[[], str | None],
        has_login: Callable[[], bool],
    ) -> None:
        self._app = app
        self._public_url = public_url
        self._has_login = has_login

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it with a 403."""
        if scope["type"] == "lifespan" or _is_webhook(scope) or not self._is_refused(scope):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            # Before it is accepted, this is a 403.
            await send({"type": "websocket.close", "code": 1008})
        else:
            headers = {"connection": "close"}  # the body of an upload is not waited for
            await PlainTextResponse(REFUSAL, 403, headers)(scope, receive, send)

    def _is_refused(self, scope: Scope) -> bool:
        public_url = self._public_url()
        if public_url is None or is_loopback(public_url):
            return False
        headers = Headers(scope=scope)
        public_host = urlsplit(public_url).hostname
        is_public = public_host in _hosts(headers) or _is_from_internet(headers)
        return is_public and not self._has_login()


def _is_webhook(scope: Scope) -> bool:
    path = scope["path"]
    token = path.removeprefix(WEBHOOK_PATH) if path.startswith(WEBHOOK_PATH) else ""
    return scope["type"] == "http" and bool(token) and "/" not in token


def _hosts(headers: Headers) -> set[str]:
    """Return the hosts that were asked for, in lower case, without port and last dot."""
    values = _values(headers, "host") + _values(headers, "x-forwarded-host")
    return {_host(value).removesuffix(".") for value in values + _forwarded(headers, "host")}


def _is_from_internet(headers: Headers) -> bool:
    # The last address is the nearest proxy's word; those before it may be the client's own.
    places = _values(headers, "x-forwarded-for"), _forwarded(headers, "for")
    for addresses in (*places, _values(headers, "x-real-ip")):
        with suppress(ValueError):
            if ip_address(_host(addresses[-1]) if addresses else "").is_global:
                return True
    return False


def _values(headers: Headers, name: str) -> list[str]:
    return [value.strip() for value in ",".join(headers.getlist(name)).split(",") if value.strip()]


def _forwarded(headers: Headers, name: str) -> list[str]:
    """Return the values of a parameter of the header ``Forwarded`` (RFC 7239)."""
    parts = (part for value in _values(headers, "forwarded") for part in value.split(";"))
    pairs = (part.strip().partition("=") for part in parts)
    return [value.strip('"') for key, _, value in pairs if key.strip().lower() == name]


def _host(value: str) -> str:
    """Return a host or address in lower case, without its port."""
    is_bare_v6 = value.count(":") > 1 and not value.startswith("[")
    try:
        return urlsplit(f"//[{value}]" if is_bare_v6 else f"//{value}").hostname or ""
    except ValueError:
        return ""
