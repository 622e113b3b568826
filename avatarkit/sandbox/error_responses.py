"""Build error responses as Django and Django REST framework send them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from email.utils import format_datetime
from typing import Any

from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.types import Scope

from avatarkit.clock import SystemClock
from avatarkit.sandbox.behaviour import RetryAfter

_PAGE = """
<!doctype html>
<html lang="en">
<head>
  <title>{title}</title>
</head>
<body>
  <h1>{title}</h1><p>{text}</p>
</body>
</html>
"""


@dataclass(eq=False)
class ErrorResponse(Exception):
    """An error that is answered with ``status_code`` and the JSON ``body``."""

    status_code: int
    body: Any
    headers: Mapping[str, str] | None = None

    def response(self) -> Response:
        """Return the HTTP response."""
        return JSONResponse(self.body, self.status_code, self.headers)


def detail(status_code: int, text: str) -> ErrorResponse:
    """Return an error with the body ``{"detail": text}``."""
    return ErrorResponse(status_code, {"detail": text})


def throttled(wait_s: float, retry_after: RetryAfter) -> ErrorResponse:
    """Return a 429 that asks to wait for ``wait_s`` wall seconds.

    Source:
        The message is that of Django REST framework.
    """
    seconds = math.ceil(wait_s)
    headers = {"Retry-After": str(seconds)}
    if retry_after == "date":
        # A second later, as the date has no fractions and must not be too early.
        at = SystemClock().now() + timedelta(seconds=seconds + 1)
        headers = {"Retry-After": format_datetime(at.replace(microsecond=0), usegmt=True)}
    unit = "second" if seconds == 1 else "seconds"
    text = f"Request was throttled. Expected available in {seconds} {unit}."
    return ErrorResponse(429, {"detail": text}, None if retry_after == "none" else headers)


def moved(scope: Scope, suffix: str = "") -> Response:
    """Return a 301 to the same address with ``suffix`` behind its path."""
    query = scope["query_string"].decode("latin-1")
    path = scope["raw_path"].decode("latin-1") + suffix
    return RedirectResponse(path + (query and f"?{query}"), 301)


def not_found_page() -> Response:
    """Return Django's HTML page for a path that does not exist."""
    text = "The requested resource was not found on this server."
    return HTMLResponse(_PAGE.format(title="Not Found", text=text), 404)


def server_error_page() -> Response:
    """Return Django's HTML page for a failure of the server."""
    return HTMLResponse(_PAGE.format(title="Server Error (500)", text=""), 500)
