"""Serve the videos and previews of personas, without keys: the addresses are unguessable."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import FileResponse, Response

from avatarkit.sandbox.error_responses import not_found_page
from avatarkit.sandbox.personas.records import Records
from avatarkit.sandbox.personas.status import Statuses

# An upload is never declared as anything that a browser would run.
_TYPES = {".mp4": "video/mp4", ".mov": "video/quicktime", ".jpg": "image/jpeg"}


def media(records: Records, statuses: Statuses) -> Callable[[Request], Awaitable[Response]]:
    """Return the handler of ``/media/{id}/{name}``."""

    async def send_file(request: Request) -> Response:
        record = records.get(request.path_params["id"])
        name = request.path_params["name"]
        if record is None:
            return not_found_page()
        previews = {f"{field}.jpg" for field in statuses.previews(record)}
        path = records.folder_of(record.id) / name
        if name not in {*record.videos.values(), *previews} or not path.is_file():
            return not_found_page()
        return FileResponse(
            path,
            media_type=_TYPES.get(path.suffix, "application/octet-stream"),
            headers={"X-Content-Type-Options": "nosniff"},
        )

    return send_file
