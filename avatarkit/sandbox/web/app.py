"""Answer the calls of the API, as an ASGI application."""

from __future__ import annotations

import asyncio
import hmac
import random
import re
import shutil
import uuid
from dataclasses import dataclass, replace
from pathlib import Path

from starlette.applications import Starlette
from starlette.datastructures import URL
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from avatarkit.clock import Clock
from avatarkit.models import ProcessStatus
from avatarkit.sandbox.behaviour import Behaviour
from avatarkit.sandbox.error_responses import ErrorResponse, detail, not_found_page, throttled
from avatarkit.sandbox.faults.injector import WITHOUT_VIDEOS, FaultInjector
from avatarkit.sandbox.personas import lifecycle, serializers
from avatarkit.sandbox.personas.records import Create, Record, Records
from avatarkit.sandbox.personas.status import Statuses
from avatarkit.sandbox.personas.stock import STOCK
from avatarkit.sandbox.personas.video_checks import VideoChecks
from avatarkit.sandbox.state.files import Keys
from avatarkit.sandbox.web import request_body, validation
from avatarkit.sandbox.web.control import Control
from avatarkit.sandbox.web.middleware import (
    DateHeader,
    Endpoint,
    Handler,
    NoRoute,
    ReadWholeBody,
    server_error,
)
from avatarkit.sandbox.web.rate_limit import RateLimiter

# Uploads are never served with a type that a browser would run.
_MEDIA_TYPES = {".mp4": "video/mp4", ".mov": "video/quicktime", ".jpg": "image/jpeg"}
_FILTERS = ("age_range", "gender", "location", "style")
_MISSING_KEYS = "Authentication credentials were not provided."
_WRONG_KEYS = "Invalid API ID or API key."
_NOT_FOUND = "No Creator matches the given query."


@dataclass
class Api:
    """The handlers of the eight calls and the media files.

    State changes on the event loop only, so no lock is needed.
    """

    records: Records
    checks: VideoChecks
    statuses: Statuses
    clock: Clock
    rate: RateLimiter
    control: Control
    behaviour: Behaviour
    url: str
    keys: Keys
    max_personas: int
    rng: random.Random

    def app(self) -> ASGIApp:
        """Return the application: API, media files and control routes."""
        routes = [
            self._route("/api/personas_v2/", GET=self.list_all, POST=self.create_from_files),
            self._route("/api/personas_v2/count/", GET=self.count),
            self._route("/api/personas/", GET=self.list_usable, POST=self.create_from_urls),
            self._route("/api/personas/paginated/", GET=self.list_page),
            self._route("/api/personas/{id}/", GET=self.get, DELETE=self.delete),
            Route(f"{serializers.MEDIA}/{{id}}/{{name}}", self.media),
            *self.control.routes(self._authenticate),
        ]
        app = Starlette(routes=routes, exception_handlers={Exception: server_error})
        app.router.redirect_slashes = False
        app.router.default = NoRoute(routes, self.behaviour.redirect_missing_slash)
        return DateHeader(ReadWholeBody(FaultInjector(app, self.control.faults)), self.clock)

    def _route(self, path: str, **handlers: Handler) -> Route:
        return Route(path, Endpoint(handlers, self._admit))

    def _admit(self, request: Request) -> None:
        self._authenticate(request)
        wait_s = self.rate.wait_s()
        if wait_s:
            raise throttled(wait_s, self.behaviour.retry_after)

    def _authenticate(self, request: Request) -> None:
        given = [request.headers.get(name, "") for name in ("x-api-id", "x-api-key")]
        challenge = {"WWW-Authenticate": "X-API-KEY"}
        if not all(given):
            raise ErrorResponse(401, {"detail": _MISSING_KEYS}, challenge)
        # Both at once, and in constant time.
        expected = f"{self.keys.api_id}\n{self.keys.api_key}"
        if not hmac.compare_digest("\n".join(given).encode("latin-1"), expected.encode()):
            raise ErrorResponse(401, {"detail": _WRONG_KEYS}, challenge)

    async def create_from_files(self, request: Request) -> Response:
        """Answer ``POST /api/personas_v2/``."""
        accepts = (request_body.JSON, request_body.FORM, request_body.MULTIPART)
        return await self._create(request, accepts, urls=self.behaviour.file_create_accepts_urls)

    async def create_from_urls(self, request: Request) -> Response:
        """Answer ``POST /api/personas/``."""
        return await self._create(request, (request_body.JSON,), urls=True)

    async def get(self, request: Request) -> Response:
        """Answer ``GET /api/personas/{id}/``."""
        record = self._record(request, stock=True)
        return JSONResponse((await self._serialized([record]))[0])

    async def delete(self, request: Request) -> Response:
        """Answer ``DELETE /api/personas/{id}/``."""
        record = self._record(request)
        folder = self.records.remove(record.id)
        self.checks.forget(record.id)
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        return Response(status_code=204)

    async def count(self, _: Request) -> Response:
        """Answer ``GET /api/personas_v2/count/``."""
        return JSONResponse({"max_count": self.max_personas, "current_count": len(self.records)})

    async def list_all(self, request: Request) -> Response:
        """Answer ``GET /api/personas_v2/``: a bare array, newest first."""
        return JSONResponse(await self._selected(request))

    async def list_usable(self, request: Request) -> Response:
        """Answer ``GET /api/personas/``: a bare array of what is done, and the stock avatars."""
        return JSONResponse(await self._selected(request, usable=True))

    async def list_page(self, request: Request) -> Response:
        """Answer ``GET /api/personas/paginated/``."""
        personas = await self._selected(request)
        size = _whole(request.query_params.get("page_size", "")) or self.behaviour.page_size
        pages = max(1, -(-len(personas) // size))
        asked = request.query_params.get("page", "1")
        page = pages if asked == "last" else _whole(asked)
        if not 1 <= page <= pages:
            raise detail(404, "Invalid page.")
        url = URL(f"{self.url}{request.url.path}?{request.url.query}")
        previous = url.include_query_params(page=page - 1)
        if page == 2:
            previous = url.remove_query_params("page")
        return JSONResponse(
            {
                "count": len(personas),
                "next": str(url.include_query_params(page=page + 1)) if page < pages else None,
                "previous": str(previous) if page > 1 else None,
                "results": personas[(page - 1) * size : page * size],
            }
        )

    async def media(self, request: Request) -> Response:
        """Answer ``GET /media/{id}/{name}``, without keys: the addresses are unguessable."""
        record = self.records.get(request.path_params["id"])
        name = request.path_params["name"]
        if record is None:
            return not_found_page()
        previews = {f"{field}.jpg" for field in self.statuses.previews(record)}
        path = self.records.folder_of(record.id) / name
        if name not in {*record.videos.values(), *previews} or not path.is_file():
            return not_found_page()
        return FileResponse(
            path,
            media_type=_MEDIA_TYPES.get(path.suffix, "application/octet-stream"),
            headers={"X-Content-Type-Options": "nosniff"},
        )

    def _record(self, request: Request, *, stock: bool = False) -> Record:
        persona_id = request.path_params["id"]
        record = self.records.get(persona_id) or (STOCK.get(persona_id) if stock else None)
        if record is None:
            raise detail(404, _NOT_FOUND)
        return record

    async def _serialized(self, records: list[Record]) -> list[dict[str, object]]:
        states = await self.statuses.current(records)
        return [
            serializers.serialize(
                record, states[record.id], self.statuses.previews(record), self.url, self.behaviour
            )
            for record in records
        ]

    async def _selected(self, request: Request, *, usable: bool = False) -> list[dict[str, object]]:
        filters = {
            name: set(request.query_params[name].split(","))
            for name in _FILTERS
            if request.query_params.get(name)
        }
        records = self.records.newest_first()
        if usable or not self.behaviour.list_shows_unfinished:
            states = await self.statuses.current(records)
            records = [each for each in records if states[each.id].status == ProcessStatus.DONE]
        if usable:
            records += STOCK.values()
        return [
            persona
            for persona in await self._serialized(records)
            if all(persona[name] in values for name, values in filters.items())
        ]

    async def _create(self, request: Request, accepts: tuple[str, ...], *, urls: bool) -> Response:
        self._check_room()
        with self.records.incoming_folder() as folder:
            body = await request_body.read_body(
                request, folder, accepts=accepts, behaviour=self.behaviour
            )
            create = validation.validate(body, self.behaviour, urls=urls)
            if request.scope.get(WITHOUT_VIDEOS):
                create = replace(create, videos={})
                for path in body.files.values():
                    path.unlink()
            record = self._equal(create)
            if record is None:
                self._check_room()  # another create may have taken the last place meanwhile
                record = self._add(create, folder)
        state = self.statuses.at(record, self.clock.now())
        answer = serializers.serialize_created(record, state, self.url, self.behaviour)
        return JSONResponse(answer, 201)

    def _check_room(self) -> None:
        if len(self.records) >= self.max_personas:
            raise detail(self.behaviour.quota_status, self.behaviour.quota_detail)

    def _equal(self, create: Create) -> Record | None:
        if self.behaviour.equal_creates_make_two:
            return None
        fields = vars(create) | {"videos": set(create.videos)}
        for record in self.records.newest_first():
            if fields.items() <= (vars(record) | {"videos": set(record.videos)}).items():
                return record
        return None

    def _add(self, create: Create, folder: Path) -> Record:
        # On the event loop without an await, so that memory and disk change together and no other
        # create takes the last place: it is one small file and a rename.
        persona_id, created_at = self._new_id(), self.clock.now()
        scenario = lifecycle.scenario_of(create.labels)
        if scenario is None and not ("lipsync_input" in create.videos or create.gdown_url):
            # Not by what may be drawn, which could be an end before the videos are validated.
            script = lifecycle.draw(persona_id, created_at, scenario=lifecycle.Scenario.DONE)
            script = script.failing(lifecycle.NO_FOOTAGE)
        else:
            script = lifecycle.draw(persona_id, created_at, scenario=scenario)
        record = Record(
            **vars(create),
            id=persona_id,
            number=self.records.next_number(),
            created_at=created_at,
            script=script,
        )
        self.records.add(record, folder)
        self.checks.enqueue(record)
        return record

    def _new_id(self) -> str:
        while True:
            persona_id = str(uuid.UUID(int=self.rng.getrandbits(128), version=4))
            if not self.records.folder_of(persona_id).exists():
                return persona_id


def _whole(text: str) -> int:
    """Return the positive whole number that ``text`` is, or 0."""
    return int(text) if re.fullmatch("[0-9]{1,9}", text) else 0
