"""How a browser is recognised."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from avatarkit.ui.browser import COOKIE, BrowserCookie

PAGE = {"accept": "text/html,application/xhtml+xml"}


async def unchanged(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer as for a page that the browser has in its cache."""
    request = Request(scope)
    await Response(status_code=304 if "if-none-match" in request.headers else 200)(
        scope, receive, send
    )


def set_cookie(url: str = "http://app/", **headers: str) -> str | None:
    """Return the cookie that the answer to a request sets."""

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(BrowserCookie(unchanged))
        async with httpx.AsyncClient(transport=transport) as client:
            return await client.get(url, headers=headers)

    return asyncio.run(ask()).headers.get("set-cookie")


def test_a_page_gives_each_browser_its_own_cookie() -> None:
    """It cannot be guessed, nor read by scripts, nor sent along by other sites' requests."""
    first, second = set_cookie(**PAGE), set_cookie(**PAGE)
    assert first is not None
    assert second is not None
    assert first.split(";")[0] != second.split(";")[0]
    assert len(first.split(";")[0]) == len(COOKIE) + 1 + 43
    assert "; HttpOnly; SameSite=Lax" in first
    assert "Secure" not in first
    assert "Secure" in str(set_cookie("https://app/", **PAGE))


def test_a_page_from_the_cache_gives_a_cookie_too() -> None:
    """Somebody who has deleted the cookie alone is given another."""
    assert set_cookie(**PAGE, **{"if-none-match": "x"}) is not None


@pytest.mark.parametrize(("value", "is_kept"), [("x" * 43, True), ("", False), ("../x", False)])
def test_a_cookie_is_kept_if_it_is_one(value: str, is_kept: bool) -> None:
    """A browser keeps its cookie; what is no cookie of ours is replaced."""
    assert (set_cookie(**PAGE, cookie=f"{COOKIE}={value}") is None) == is_kept


def test_only_a_page_gives_a_cookie() -> None:
    """Scripts, health checks and uploads do not."""
    assert set_cookie(accept="*/*") is None
