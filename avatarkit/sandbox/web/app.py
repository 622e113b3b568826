"""The calls of the API and the control routes, as an ASGI application."""

from __future__ import annotations

import asyncio
import hmac
import random
import re
import shutil
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from starlette.applications import Starlette
from starlette.datastructures import URL
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from avatarkit.clock import Clock
from avatarkit.models import VIDEO_FIELDS, ProcessStatus
from avatarkit.sandbox.behaviour import Behaviour
from avatarkit.sandbox.error_responses import ErrorResponse, detail, throttled
from avatarkit.sandbox.faults.injector import Breaks
from avatarkit.sandbox.personas import lifecycle, serializers
from avatarkit.sandbox.personas.records import Record, Records
from avatarkit.sandbox.personas.status import Lives
from avatarkit.sandbox.personas.video_checks import Verdicts
from avatarkit.sandbox.web import request_body, validation
from avatarkit.sandbox.web.control import Control
from avatarkit.sandbox.web.media import media
from avatarkit.sandbox.web.middleware import Endpoint, Handler, NoRoute, ReadsToTheEnd, server_error
from avatarkit.sandbox.web.rate_limit import Throttle

_FILTERS = ("age_range", "gender", "location", "style")
_MISSING_KEYS = "Authentication credentials were not provided."
_WRONG_KEYS = "Invalid API ID or API key."
_NOT_FOUND = "No Creator matches the given query."


@dataclass
class Api:
    """The seven calls. All state changes on the event loop, so nothing here is locked."""

    records: Records
    verdicts: Verdicts
    lives: Lives
    clock: Clock
    throttle: Throttle
    control: Control
    behaviour: Behaviour
    url: str
    api_id: str
    api_key: str = field(repr=False)
    max_personas: int
    rng: random.Random

    def app(self) -> ASGIApp:
        """The application: API, media files and control route."""
        routes = [
            self._route("/api/personas_v2/", GET=self.list_all, POST=self.create_from_files),
            self._route("/api/personas_v2/count/", GET=self.count),
            self._route("/api/personas/", POST=self.create_from_urls),
            self._route("/api/personas/paginated/", GET=self.list_page),
            self._route("/api/personas/{id}/", GET=self.get, DELETE=self.delete),
            Route(f"{serializers.MEDIA}/{{id}}/{{name}}", media(self.records, self.lives)),
            *self.control.routes(self._authenticate),
        ]
        app = Starlette(routes=routes, exception_handlers={Exception: server_error})
        app.router.redirect_slashes = False
        app.router.default = NoRoute(routes, redirect=self.behaviour.redirect_missing_slash)
        return ReadsToTheEnd(Breaks(app, self.control.faults))

    def _route(self, path: str, **handlers: Handler) -> Route:
        return Route(path, Endpoint(handlers, self._admit))

    def _admit(self, request: Request) -> None:
        self._authenticate(request)
        wait_s = self.throttle.wait_s()
        if wait_s:
            raise throttled(wait_s, self.behaviour.retry_after)

    def _authenticate(self, request: Request) -> None:
        given = [request.headers.get(name, "") for name in ("x-api-id", "x-api-key")]
        challenge = {"WWW-Authenticate": "X-API-KEY"}
        if not all(given):
            raise ErrorResponse(401, {"detail": _MISSING_KEYS}, challenge)
        # Both are compared whatever the first says, and in constant time.
        matches = [
            hmac.compare_digest(text.encode("latin-1"), wanted.encode("ascii"))
            for text, wanted in zip(given, (self.api_id, self.api_key), strict=True)
        ]
        if not all(matches):
            raise ErrorResponse(401, {"detail": _WRONG_KEYS}, challenge)

    async def create_from_files(self, request: Request) -> Response:
        """``POST /api/personas_v2/``."""
        accepts = (request_body.JSON, request_body.FORM, request_body.MULTIPART)
        return await self._create(
            request, accepts, urls=self.behaviour.file_create_accepts_urls, files=True
        )

    async def create_from_urls(self, request: Request) -> Response:
        """``POST /api/personas/``."""
        return await self._create(request, (request_body.JSON,), urls=True, files=False)

    async def get(self, request: Request) -> Response:
        """``GET /api/personas/{id}/``."""
        record = self._record(request)
        return JSONResponse((await self._shown([record]))[0])

    async def delete(self, request: Request) -> Response:
        """``DELETE /api/personas/{id}/``."""
        record = self._record(request)
        doomed = self.records.remove(record.id)
        self.verdicts.forget(record.id)
        await asyncio.to_thread(shutil.rmtree, doomed, ignore_errors=True)
        return Response(status_code=204)

    async def count(self, _: Request) -> Response:
        """``GET /api/personas_v2/count/``."""
        return JSONResponse({"max_count": self.max_personas, "current_count": len(self.records)})

    async def list_all(self, request: Request) -> Response:
        """``GET /api/personas_v2/``: a bare array, newest first."""
        return JSONResponse(await self._selected(request))

    async def list_page(self, request: Request) -> Response:
        """``GET /api/personas/paginated/``."""
        found, size = await self._selected(request), self.behaviour.page_size
        pages = max(1, -(-len(found) // size))
        asked = request.query_params.get("page", "1")
        page = pages if asked == "last" else int(asked) if re.fullmatch("[0-9]{1,9}", asked) else 0
        if not 1 <= page <= pages:
            raise detail(404, "Invalid page.")
        here = URL(f"{self.url}{request.url.path}?{request.url.query}")
        before = here.include_query_params(page=page - 1)
        if page == 2:
            before = here.remove_query_params("page")
        return JSONResponse(
            {
                "count": len(found),
                "next": str(here.include_query_params(page=page + 1)) if page < pages else None,
                "previous": str(before) if page > 1 else None,
                "results": found[(page - 1) * size : page * size],
            }
        )

    def _record(self, request: Request) -> Record:
        record = self.records.get(request.path_params["id"])
        if record is None:
            raise detail(404, _NOT_FOUND)
        return record

    async def _shown(self, records: Iterable[Record]) -> list[dict[str, object]]:
        asked = list(records)
        stands = await self.lives.now(asked)
        return [
            serializers.shown(
                record, stands[record.id], self.lives.stills(record), self.url, self.behaviour
            )
            for record in asked
        ]

    async def _selected(self, request: Request) -> list[dict[str, object]]:
        wanted = {
            name: set(request.query_params[name].split(","))
            for name in _FILTERS
            if request.query_params.get(name)
        }
        records = list(self.records.newest_first())
        if not self.behaviour.list_shows_unfinished:
            stands = await self.lives.now(records)
            records = [one for one in records if stands[one.id].status == ProcessStatus.DONE]
        return [
            each
            for each in await self._shown(records)
            if all(each[name] in values for name, values in wanted.items())
        ]

    async def _create(
        self, request: Request, accepts: tuple[str, ...], *, urls: bool, files: bool
    ) -> Response:
        self._check_room()
        with self.records.incoming() as place:
            body = await request_body.read_body(
                request,
                place,
                accepts=accepts,
                file_fields=VIDEO_FIELDS if files else (),
                behaviour=self.behaviour,
            )
            wanted = validation.check(
                body,
                urls=urls,
                files=files,
                labels=self.behaviour.form_labels,
                refusal=self.behaviour.refusal,
            )
            record = self._equal(wanted)
            if record is None:
                self._check_room()  # another create may have taken the last place meanwhile
                record = self._settle(wanted, place)
        stand = self.lives.at(record, self.clock.now())
        answer = serializers.created(record, stand, self.url, self.behaviour)
        return JSONResponse(answer, 201)

    def _check_room(self) -> None:
        if len(self.records) >= self.max_personas:
            raise detail(self.behaviour.quota_status, self.behaviour.quota_detail)

    def _equal(self, wanted: validation.Wanted) -> Record | None:
        if self.behaviour.equal_creates_make_two:
            return None
        names = ("gender", "creator_name", "video_scene", "keywords", "labels", "webhook_url")
        return next(
            (
                record
                for record in self.records.newest_first()
                if all(getattr(record, name) == getattr(wanted, name) for name in names)
                and set(record.videos) == set(wanted.videos)
            ),
            None,
        )

    def _settle(self, wanted: validation.Wanted, place: Path) -> Record:
        # On the loop and without a pause, so that memory and disk change together and nobody else
        # takes the last place: it is one small file and a rename.
        persona_id, created_at = self._new_id(), self.clock.now()
        record = Record(
            id=persona_id,
            number=self.records.next_number(),
            created_at=created_at,
            gender=wanted.gender,
            creator_name=wanted.creator_name,
            video_scene=wanted.video_scene,
            keywords=wanted.keywords,
            labels=wanted.labels,
            webhook_url=wanted.webhook_url,
            videos={
                name: video.name if isinstance(video, Path) else video
                for name, video in wanted.videos.items()
            },
            script=lifecycle.draw(
                persona_id, created_at, scenario=lifecycle.scenario_of(wanted.labels)
            ),
        )
        self.records.settle(record, place)
        self.records.add(record)
        self.verdicts.ask(record)
        return record

    def _new_id(self) -> str:
        while True:
            persona_id = str(uuid.UUID(int=self.rng.getrandbits(128), version=4))
            if not self.records.place(persona_id).exists():
                return persona_id
