"""Serves the videos and stills of personas. No key is asked for: the addresses are unguessable."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import FileResponse, Response

from avatarkit.sandbox.error_responses import NOT_FOUND_PAGE, html
from avatarkit.sandbox.personas.records import Records
from avatarkit.sandbox.personas.status import Lives

# An upload is never sent as anything that a browser would run.
_TYPES = {".mp4": "video/mp4", ".mov": "video/quicktime", ".jpg": "image/jpeg"}


def media(records: Records, lives: Lives) -> Callable[[Request], Awaitable[Response]]:
    """The handler of ``/media/{id}/{name}``."""

    async def send_file(request: Request) -> Response:
        record = records.get(request.path_params["id"])
        name = request.path_params["name"]
        if record is None:
            return html(404, NOT_FOUND_PAGE)
        names = {*record.videos.values(), *(f"{still}.jpg" for still in lives.stills(record))}
        path = records.place(record.id) / name
        if name not in names or not path.is_file():
            return html(404, NOT_FOUND_PAGE)
        return FileResponse(
            path,
            media_type=_TYPES.get(path.suffix, "application/octet-stream"),
            headers={"X-Content-Type-Options": "nosniff"},
        )

    return send_file
