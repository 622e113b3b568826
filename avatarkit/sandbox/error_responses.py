"""The answers of Django and Django REST framework to what they refuse."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import timedelta
from email.utils import format_datetime
from typing import Any

from starlette.responses import HTMLResponse, JSONResponse, Response

from avatarkit.clock import SystemClock
from avatarkit.sandbox.behaviour import RetryAfter

NOT_FOUND_PAGE = """
<!doctype html>
<html lang="en">
<head>
  <title>Not Found</title>
</head>
<body>
  <h1>Not Found</h1><p>The requested resource was not found on this server.</p>
</body>
</html>
"""

SERVER_ERROR_PAGE = """
<!doctype html>
<html lang="en">
<head>
  <title>Server Error (500)</title>
</head>
<body>
  <h1>Server Error (500)</h1><p></p>
</body>
</html>
"""


class ErrorResponse(Exception):
    """A call that is answered with ``status_code`` and the JSON ``body``."""

    def __init__(
        self, status_code: int, body: Any, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(status_code)
        self.status_code = status_code
        self.body = body
        self.headers = headers

    def response(self) -> Response:
        """The answer."""
        return JSONResponse(self.body, self.status_code, self.headers)


def detail(status_code: int, text: str) -> ErrorResponse:
    """A refusal of the shape ``{"detail": text}``."""
    return ErrorResponse(status_code, {"detail": text})


def throttled(wait_s: float, retry_after: RetryAfter) -> ErrorResponse:
    """A 429 in the framework's words: come back in ``wait_s`` wall seconds."""
    seconds = math.ceil(wait_s)
    headers = {"Retry-After": str(seconds)}
    if retry_after == "date":
        # A second more, as the date has no fractions and must not lie too early.
        at = SystemClock().now() + timedelta(seconds=seconds + 1)
        headers = {"Retry-After": format_datetime(at.replace(microsecond=0), usegmt=True)}
    unit = "second" if seconds == 1 else "seconds"
    text = f"Request was throttled. Expected available in {seconds} {unit}."
    return ErrorResponse(429, {"detail": text}, None if retry_after == "none" else headers)


def html(status_code: int, page: str) -> Response:
    """A page as Django sends it where the API's own code is not reached."""
    return HTMLResponse(page, status_code)
