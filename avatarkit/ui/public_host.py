"""Answer only at the app's own hosts, and at the public one only webhooks unless people log in."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from streamlit import config
from streamlit.web.server import server_util

from avatarkit.errors import ConfigError
from avatarkit.settings import Settings, is_loopback
from avatarkit.text import WEBHOOK_PATH

WEBHOOKS_ONLY = (
    "This address takes webhooks only. Open the app at an address of its own network, or let "
    "people log in: add [auth] to .streamlit/secrets.toml.\n"
)
UNSAFE_ADDRESS = (
    "The app acts with the account's keys, so it is not served at {address}, where others reach "
    "it: serve it at 127.0.0.1, or let people log in (add [auth] to .streamlit/secrets.toml), or "
    "set AVATARKIT_AUTHENTICATED_BY_PROXY=true if a proxy in front of it asks who is there."
)
FOREIGN_HOST = (
    "The app does not answer at {host}. If that is a name of its own, add it to "
    "AVATARKIT_ALLOWED_HOSTS and start the app again.\n"
)
FOREIGN_ORIGIN = (
    "The app does not answer the pages of {host}. If that is a name of its own, add it to "
    "AVATARKIT_ALLOWED_HOSTS and start the app again.\n"
)
WRONG_SETTINGS = (
    "A setting of the app is wrong, so it answers only on its own machine, at 127.0.0.1; its log "
    "says which.\n"
)
_ANY_ADDRESS = {"0.0.0.0", "::"}  # noqa: S104 - no names of this machine
_HOST = re.compile(r"[a-z0-9._\-:\[\]]{1,255}", re.IGNORECASE)


class HostGuard:
    """ASGI middleware that answers only requests that were meant for this app.

    A request names the host that it is meant for; so a page of another site, whose name was made
    to lead to this machine (DNS rebinding), is known by its ``Host`` or ``Origin``. Known are this
    machine's loopback, Streamlit's ``server.address`` and ``browser.serverAddress``, the host of
    the public URL, and ``Settings.allowed_hosts``.

    At the public host, and for addresses of the internet if there is one, only webhooks are
    answered unless people log in: as a client may write any ``Host``, what a proxy says of the
    client's address counts too. Webhooks carry a token, and are answered at any host.

    Args:
        app: The ASGI application.
        settings: Returns the settings; None if they are wrong.
        has_login: Returns whether the pages let in only people who have logged in.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        settings: Callable[[], Settings | None],
        has_login: Callable[[], bool],
    ) -> None:
        self._app = app
        self._settings = settings
        self._has_login = has_login

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it with a 403."""
        refusal = None
        if scope["type"] != "lifespan" and not _is_webhook(scope):
            refusal = self._refusal(scope)
        if refusal is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket" and not _can_refuse_with_text(scope):
            # Before it is accepted, this is a 403.
            await send({"type": "websocket.close", "code": 1008})
        else:
            headers = {"connection": "close"}  # the body of an upload is not waited for
            await PlainTextResponse(refusal, 403, headers)(scope, receive, send)

    def _refusal(self, scope: Scope) -> str | None:
        """Return why a request is refused; None if it is not."""
        settings = self._settings()
        refusal = self._check(scope, settings)
        return WRONG_SETTINGS if refusal and settings is None else refusal

    def _check(self, scope: Scope, settings: Settings | None) -> str | None:
        headers = Headers(scope=scope)
        public_host = _public_host(settings)
        allowed = _own_hosts(settings) | ({public_host} if public_host else set())
        host = headers.get("host", "")
        if len(headers.getlist("host")) != 1 or not _is_allowed(host, allowed):
            return FOREIGN_HOST.format(host=_shown(host))
        origin = headers.get("origin")
        if origin is not None and not _is_allowed(origin.partition("://")[2], allowed):
            return FOREIGN_ORIGIN.format(host=_shown(origin))
        if self._has_login():
            return None
        if public_host and (public_host in _hosts(headers) or _is_from_internet(headers)):
            return WEBHOOKS_ONLY
        # Also of a server that was started in another way than app.py expects.
        address, port = scope.get("server") or (None, None)
        return _unsafe(address if port is not None else None, settings)


def unsafe_address(has_login: Callable[[], bool]) -> str | None:
    """Return why the app must not be served at Streamlit's ``server.address``; None if it may."""
    address = str(config.get_option("server.address") or "0.0.0.0")  # noqa: S104 - Streamlit's own
    if is_loopback(address) or address.startswith("unix:") or has_login():
        return None
    try:
        return _unsafe(address, Settings())
    except ConfigError as error:
        return str(error)


def own_url() -> str:
    """Return the address at which a browser of this machine opens the app."""
    named = "browser.serverAddress"
    option = named if config.is_manually_set(named) else "server.address"
    return server_util.get_url(server_util.get_display_address(config.get_option(option) or ""))


def _unsafe(address: str | None, settings: Settings | None) -> str | None:
    is_trusted = settings is not None and settings.authenticated_by_proxy
    if address is None or is_loopback(address) or is_trusted:
        return None
    return UNSAFE_ADDRESS.format(address=address)


def _can_refuse_with_text(scope: Scope) -> bool:
    return "websocket.http.response" in (scope.get("extensions") or {})


def _is_webhook(scope: Scope) -> bool:
    path = scope["path"]
    token = path.removeprefix(WEBHOOK_PATH) if path.startswith(WEBHOOK_PATH) else ""
    return scope["type"] == "http" and bool(token) and "/" not in token


def _public_host(settings: Settings | None) -> str | None:
    url = None if settings is None else settings.public_url
    return None if url is None or is_loopback(url) else urlsplit(url).hostname


def _own_hosts(settings: Settings | None) -> set[str]:
    options = config.get_option("server.address"), config.get_option("browser.serverAddress")
    hosts = {_host(str(option)) for option in options if option} - _ANY_ADDRESS
    return hosts | set(() if settings is None else settings.allowed_hosts)


def _is_allowed(value: str, allowed: set[str]) -> bool:
    """Return whether a host, perhaps with a port, is one of those allowed, or loopback."""
    host = _host(value).removesuffix(".") if _HOST.fullmatch(value) else ""
    return host in allowed or (host != "" and is_loopback(host))


def _shown(value: str) -> str:
    return value if re.fullmatch(r"[\w.:/\[\]-]{1,255}", value, re.ASCII) else "such a host"


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
