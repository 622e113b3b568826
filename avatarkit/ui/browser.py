"""Recognise a browser by a cookie: a draft and its uploads belong to one browser."""

from __future__ import annotations

import hashlib
import re
import secrets

import streamlit as st
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "avatarkit_browser"
SESSION_KEY = "browser_id"
"""Where a tab's session keeps the id of its browser."""

_VALUE = re.compile(r"[\w-]{43}", re.ASCII)
# The longest that browsers keep a cookie.
_MAX_AGE_S = 400 * 24 * 3600


class BrowserCookie:
    """ASGI middleware that gives a random cookie to each browser that opens a page without one.

    The page's own request gets it, as Streamlit can only read cookies, those of the WebSocket that
    the page opens next. ``SameSite=Lax``, as a link from another site would come without a strict
    cookie, and the browser would be given a new one.

    Args:
        app: The ASGI application.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, with a cookie if it opens a page and has none."""
        if not _opens_page(scope) or _cookie_value(scope) is not None:
            await self._app(scope, receive, send)
            return
        cookie = (
            f"{COOKIE}={secrets.token_urlsafe(32)}; Path=/; Max-Age={_MAX_AGE_S}; HttpOnly; "
            f"SameSite=Lax{'; Secure' if scope['scheme'] == 'https' else ''}"
        )

        async def send_with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).append("set-cookie", cookie)
            await send(message)

        await self._app(scope, receive, send_with_cookie)


def browser_id() -> str:
    """Return the id of this tab's browser, the same after a reload and a restart of the server.

    It is a hash of the cookie, so files on disk do not reveal the cookie. In a browser that
    blocks cookies it lasts as long as the tab's session.
    """
    if SESSION_KEY not in st.session_state:
        value = str(st.context.cookies.get(COOKIE, ""))
        is_known = _VALUE.fullmatch(value) is not None
        name = hashlib.sha256(value.encode()).hexdigest()[:32]
        st.session_state[SESSION_KEY] = name if is_known else secrets.token_hex(16)
    return str(st.session_state[SESSION_KEY])


def _opens_page(scope: Scope) -> bool:
    # By what is asked for: the answer to a page that has not changed (304) has no content type.
    if scope["type"] != "http" or scope["method"] != "GET":
        return False
    return "text/html" in Headers(scope=scope).get("accept", "")


def _cookie_value(scope: Scope) -> str | None:
    value = cookie_parser(Headers(scope=scope).get("cookie", "")).get(COOKIE, "")
    return value if _VALUE.fullmatch(value) else None
