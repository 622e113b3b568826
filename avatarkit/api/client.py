"""``Client``: one method for each endpoint of the Custom Avatar API, over httpx."""

from __future__ import annotations

import hashlib
import io
import math
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ValidationError

from avatarkit.api import responses
from avatarkit.api.network import is_loopback, network_transport
from avatarkit.api.redaction import Blot, out_of_logs
from avatarkit.api.transport import BoundedTransport, PoliteRetryTransport
from avatarkit.errors import (
    ConfigError,
    ConnectionFailed,
    NotFound,
    RequestTimeout,
    VideoUnreadable,
)
from avatarkit.models import Persona, PersonaCreate, Quota, check_file
from avatarkit.settings import Settings

Model = TypeVar("Model", bound=BaseModel)
Progress = Callable[[int, int], None]

MOST_PAGES = 1_000
"""A list that goes on for longer is taken for one without an end."""

_LONGEST_ID = 1_000
# Failures before the first byte of the request can have left.
_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
_MIME = {".mp4": "video/mp4", ".m4v": "video/mp4", ".mov": "video/quicktime"}


class Client:
    """The API of one account.

    What is not given as an argument comes from ``Settings()``; without keys it is a
    ``ConfigError``. Use it as a context manager, or ``close()`` it. It may be shared by threads.

    ``transport`` replaces the network (``httpx.MockTransport(handler)`` in tests); retries stay
    around it. ``tries`` counts the first one; ``backoff_s`` is the wait before the third try,
    doubling from there. ``deadline_s`` bounds every call but a create, retries included, in wall
    seconds.

    Every method raises an ``APIError`` for whatever goes wrong: ``ConnectionFailed``,
    ``StatusError`` by status, ``UnexpectedAnswer``. Idempotent calls are retried on connection
    errors and on 429, 500, 502, 503 and 504; a create never is. Redirects are not followed.
    """

    def __init__(
        self,
        base_url: str | None = None,
        api_id: str | None = None,
        api_key: str | None = None,
        *,
        settings: Settings | None = None,
        transport: httpx.BaseTransport | None = None,
        tries: int = 4,
        backoff_s: float = 0.25,
        deadline_s: float = 120.0,
    ) -> None:
        given = {"base_url": base_url, "api_id": api_id, "api_key": api_key}
        given = {name: value for name, value in given.items() if value is not None}
        if settings is None:
            settings = Settings(**given)
        elif given:
            raise ConfigError("Give Client either settings or keys, not both.")
        if settings.api_id is None or settings.api_key is None:
            raise ConfigError(
                "There are no API keys: set AVATARKIT_API_ID and AVATARKIT_API_KEY, or work with "
                "the sandbox (avatarkit.Sandbox, or avatarkit.open_session())."
            )
        self.base_url = settings.base_url
        self.api_id = settings.api_id
        key = settings.api_key.get_secret_value()
        out_of_logs(key)
        self._deadline_s = deadline_s
        read_s, write_s = settings.read_timeout_s, settings.write_timeout_s
        self._timeout = httpx.Timeout(
            connect=settings.connect_timeout_s,
            read=read_s,
            write=write_s,
            pool=settings.pool_timeout_s,
        )
        # The API may store both videos away before it answers a create.
        self._create_timeout = httpx.Timeout(
            connect=settings.connect_timeout_s,
            read=max(read_s, write_s),
            write=write_s,
            pool=settings.pool_timeout_s,
        )
        self._http = httpx.Client(
            base_url=self.base_url,
            headers={
                "X-API-ID": self.api_id,
                "X-API-KEY": key,
                "Accept": "application/json",
                "Accept-Encoding": "gzip",
            },
            timeout=self._timeout,
            follow_redirects=False,
            transport=PoliteRetryTransport(
                BoundedTransport(transport or network_transport(self.base_url), blot=Blot(key)),
                tries=tries,
                backoff_s=backoff_s,
            ),
        )

    @property
    def is_local(self) -> bool:
        """True when it is this machine that is asked: a sandbox."""
        return is_loopback(self.base_url)

    @property
    def account(self) -> str:
        """A fingerprint of base URL and API id: whose personas these are.

        The port of a loopback address is left out, so that a sandbox stays itself wherever it
        finds a free port; its API id is its own.
        """
        url = httpx.URL(self.base_url)
        origin = f"{url.scheme}://loopback" if self.is_local else str(url)
        return hashlib.sha256(f"{origin}|{self.api_id}".encode()).hexdigest()[:16]

    def create_persona(
        self, persona: PersonaCreate, *, progress: Progress | None = None
    ) -> Persona:
        """Send a create, once, and give the persona that the API made of it.

        Files go as multipart to ``/api/personas_v2/``, streamed from disk; URLs as JSON to
        ``/api/personas/``; without videos as JSON to ``/api/personas_v2/``.
        ``progress(sent_bytes, total_bytes)`` is called while files are read.

        Raises ``VideoUnreadable`` before anything is sent; a ``ConnectionFailed`` with
        ``maybe_sent`` when the API may have read it nevertheless.

        Source: the contract; the vendor's page of ``POST /api/personas/``.
        """
        if not persona.files:
            path = "/api/personas/" if persona.urls else "/api/personas_v2/"
            response = self._send_create(path, json={**persona.fields(), **persona.urls})
        else:
            with ExitStack() as stack:
                files = _open_files(persona.files, stack, progress)
                response = self._send_create(
                    "/api/personas_v2/", data=persona.fields(), files=files
                )
        return self._read(response, Persona)

    def get_persona(self, persona_id: str, *, deadline_s: float | None = None) -> Persona:
        """The persona of that id ("Get avatar by ID"). Raises ``NotFound`` among others.

        ``deadline_s`` bounds this call, retries included, tighter than the client's own does.
        """
        response = self._call("GET", self._path(persona_id), deadline_s)
        persona = self._read(response, Persona)
        if persona.id != persona_id:
            raise responses.unexpected(response, "is about another persona than the one asked for")
        return persona

    def list_personas(
        self,
        *,
        gender: str | None = None,
        age_range: str | None = None,
        location: str | None = None,
        style: str | None = None,
        deadline_s: float | None = None,
    ) -> Iterator[Persona]:
        """The account's custom avatars, lazily, in the API's order, each once.

        Each filter takes one value or several, comma separated. A bare array is read as well as
        pages, of which the next is asked for when the one before has been used up.
        ``deadline_s`` bounds the whole of it, from the first page on.

        Source: ``GET /api/personas_v2/`` and ``GET /api/personas/paginated/``.
        """
        filters = {"gender": gender, "age_range": age_range, "location": location, "style": style}
        url = httpx.URL(
            "/api/personas_v2/", params={k: v for k, v in filters.items() if v is not None}
        )
        end = math.inf if deadline_s is None else time.monotonic() + deadline_s
        seen: set[str] = set()
        for _ in range(MOST_PAGES):
            left_s = None if deadline_s is None else max(0.0, end - time.monotonic())
            response = self._call("GET", str(url), left_s)
            page = responses.json_of(response)
            items = page.get("results") if isinstance(page, dict) else page
            if not isinstance(items, list):
                raise responses.unexpected(response, "is not a list of personas")
            before = len(seen)
            for item in items:
                try:
                    persona = Persona.model_validate(item)
                except ValidationError as error:
                    raise responses.unexpected(response, responses.misfit(error)) from None
                # Pages move on while they are read, as somebody creates another.
                if persona.id not in seen:
                    seen.add(persona.id)
                    yield persona
            following = page.get("next") if isinstance(page, dict) else None
            if not following:
                return
            if len(seen) == before:
                raise responses.unexpected(response, "has a next page but nothing new on this one")
            # Only path and query of the link are used: the keys go to no other host.
            try:
                link = httpx.URL(str(following)).raw_path.decode("ascii")
            except (httpx.InvalidURL, ValueError):
                link = ""
            if not link.startswith("/") or link.startswith("//"):
                raise responses.unexpected(response, "has a broken link to its next page")
            url = httpx.URL(link)
        raise responses.unexpected(response, f"has more than {MOST_PAGES:,} pages")

    def persona_quota(self) -> Quota:
        """How many custom avatars the account may have, and has."""
        return self._read(self._call("GET", "/api/personas_v2/count/"), Quota)

    def delete_persona(self, persona_id: str) -> None:
        """Delete the persona of that id. Raises ``NotFound`` among others."""
        self._call("DELETE", self._path(persona_id))

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Client(base_url={self.base_url!r})"

    def _path(self, persona_id: str) -> str:
        # Longer, or half of a surrogate: no URL can hold it.
        strange = len(persona_id) > _LONGEST_ID or not persona_id.isprintable()
        if strange or persona_id.strip(". ") == "":
            url = f"{self.base_url}/api/personas/"
            shown = persona_id[:_LONGEST_ID]
            message = f"{shown!r} is not the id of a persona; copy the id from the tracker."
            raise NotFound(message, method="GET", url=url, status_code=404)
        return f"/api/personas/{quote(persona_id, safe='')}/"

    def _call(self, method: str, path: str, deadline_s: float | None = None) -> httpx.Response:
        within_s = self._deadline_s if deadline_s is None else min(deadline_s, self._deadline_s)
        extensions = {"deadline": time.monotonic() + within_s}
        try:
            response = self._http.request(method, path, extensions=extensions)
        except httpx.HTTPError as error:
            raise self._failure(error, method, path) from None
        retried = getattr(response.extensions.get("retry"), "attempts_made", 0) > 0
        if method == "DELETE" and response.status_code == 404 and retried:
            return response  # an earlier try, whose answer was lost, had deleted it
        responses.raise_for_status(response)
        return response

    def _send_create(self, path: str, **body: Any) -> httpx.Response:
        try:
            response = self._http.post(path, timeout=self._create_timeout, **body)
        except httpx.HTTPError as error:
            raise self._failure(error, "POST", path) from None
        except OSError as error:  # a file that stopped being readable while it was sent
            raise ConnectionFailed(
                f"A video could not be read to its end ({error.strerror}); check the file.",
                method="POST",
                url=self.base_url + path,
                maybe_sent=True,
            ) from None
        responses.raise_for_status(response, creating=True)
        return response

    def _failure(self, error: httpx.HTTPError, method: str, path: str) -> ConnectionFailed:
        url = self.base_url + path
        maybe_sent = not isinstance(error, _NEVER_SENT)
        created = maybe_sent and method == "POST"
        if isinstance(error, httpx.TimeoutException):
            then = responses.MAY_HAVE_CREATED if created else "try again, or raise the timeouts"
            message = f"{self.base_url} did not answer in time; {then}."
            return RequestTimeout(message, method=method, url=url, maybe_sent=maybe_sent)
        if maybe_sent:
            then = responses.MAY_HAVE_CREATED if created else "try again"
            message = f"The connection to {self.base_url} broke off; {then}."
        else:
            message = f"{self.base_url} cannot be reached; check the network and base_url."
        return ConnectionFailed(message, method=method, url=url, maybe_sent=maybe_sent)

    def _read(self, response: httpx.Response, model: type[Model]) -> Model:
        try:
            # NUL, which JSON may hold and no database as text, becomes U+FFFD.
            return model.model_validate_json(response.content.replace(b"\\u0000", b"\\ufffd"))
        except ValidationError as error:
            raise responses.unexpected(response, responses.misfit(error)) from None


class _ReadWithProgress(io.FileIO):
    """A file that tells how much of all files has been read."""

    told: Callable[[int], None] | None = None

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(-1 if size is None else size) or b""
        if self.told is not None:
            self.told(len(data))
        return data


def _open_files(
    paths: dict[str, Path], stack: ExitStack, progress: Progress | None
) -> dict[str, tuple[str, _ReadWithProgress, str]]:
    opened = {}
    for field, path in paths.items():
        try:
            check_file(path)
            opened[field] = stack.enter_context(_ReadWithProgress(path, "rb"))
        except ValueError as error:
            raise VideoUnreadable(f"{field}: {error}", path=path) from None
        except OSError as error:
            message = f"{field}: {path} cannot be read ({error.strerror}); check the file."
            raise VideoUnreadable(message, path=path) from None
    if progress is not None:
        total = sum(file.seek(0, io.SEEK_END) for file in opened.values())
        sent = 0

        def told(count: int) -> None:
            nonlocal sent
            sent += count
            progress(sent, total)

        for file in opened.values():
            file.seek(0)
            file.told = told
    return {
        field: (_file_name(paths[field]), file, _MIME.get(paths[field].suffix.lower(), "video/mp4"))
        for field, file in opened.items()
    }


def _file_name(path: Path) -> str:
    # Not all file systems keep names in UTF-8, and the form of an upload does.
    return path.name.encode("utf-8", "replace").decode("utf-8")
