"""The answers of Django and Django REST framework to what they refuse."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import HTMLResponse, JSONResponse, Response

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


class Refused(Exception):
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


def detail(status_code: int, text: str) -> Refused:
    """A refusal of the shape ``{"detail": text}``."""
    return Refused(status_code, {"detail": text})


def html(status_code: int, page: str) -> Response:
    """A page as Django sends it where the API's own code is not reached."""
    return HTMLResponse(page, status_code)
