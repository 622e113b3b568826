"""``Client``: one method for each endpoint of the Custom Avatar API."""

from __future__ import annotations

import hashlib
import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, Self
from urllib.parse import quote

import httpx

from avatarkit.api import connections, responses
from avatarkit.api.connection_errors import connection_failed
from avatarkit.api.connections import Connections
from avatarkit.api.multipart import Progress, open_parts
from avatarkit.api.redaction import Redactor, redact_logs
from avatarkit.api.status_errors import is_from_api, raise_for_status
from avatarkit.api.transport import Transport
from avatarkit.errors import ConfigError, NotFound, UnexpectedAnswer
from avatarkit.models import Persona, PersonaCreate, Quota
from avatarkit.settings import Settings, is_loopback

logger = logging.getLogger("avatarkit")

MAX_PAGES = 1_000
"""A list with more pages is taken for one without an end."""

_MAX_ID_LENGTH = 1_000
_SANDBOX_DEADLINE_S = 2.0


class Client:
    """The API of one account.

    Use it as a context manager, or ``close()`` it. Threads may share it. A failed call raises an
    ``APIError``: ``ConnectionFailed``, the ``StatusError`` of the answer's status, or
    ``UnexpectedAnswer``. Idempotent calls are retried on connection errors and on 500, 502,
    503 and 504; a create never is, nor is a 429 or a 503 with Retry-After. Redirects are not
    followed.

    Args:
        base_url: Scheme and host of the API. What is left out is read from ``Settings()``.
        api_id: The account's API id.
        api_key: The account's API key.
        settings: Given instead of the three above.
        transport: Replaces the network, such as ``httpx.MockTransport(handler)`` in tests;
            retries and deadlines stay around it.
        tries: Attempts of an idempotent call, the first included.
        backoff_s: Wall seconds before the second attempt, doubled for each further one; jitter is
            added.
        deadline_s: Wall seconds for every call but a create, retries included.

    Attributes:
        explain: Called when no connection comes about; returns the sentence of the error, or None
            for the general one.

    Raises:
        ConfigError: There are no keys, or a setting is wrong.
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
                f"the sandbox (avatarkit.Sandbox, or avatarkit.open_session()). {settings.found}"
            )
        self.base_url = settings.base_url
        self.api_id = settings.api_id
        key = settings.api_key.get_secret_value()
        redact_logs(key, self.base_url)
        # 32 bits of a hash fit to too many keys to confirm a guess.
        self._keys_mark = hashlib.sha256(f"{self.api_id}|{key}".encode()).hexdigest()[:8]
        self._tries = tries
        self._deadline_s = deadline_s
        self._is_sandbox: bool | None = None if is_loopback(self.base_url) else False
        self._has_answered = False
        self.closed: str | None = None
        self.explain: Callable[[], str | None] | None = None
        connect_s, read_s = settings.connect_timeout_s, settings.read_timeout_s
        write_s = settings.write_timeout_s
        # The API may copy both videos to its storage before it answers a create.
        create_read_s = max(read_s, write_s)
        self._create_timeout = httpx.Timeout(connect_s, read=create_read_s, write=write_s)
        pool = Connections(self.base_url, transport)
        self._http = httpx.Client(
            base_url=self.base_url,
            headers={
                "X-API-ID": self.api_id,
                "X-API-KEY": key,
                "Accept": "application/json",
                "Accept-Encoding": "gzip",
            },
            timeout=httpx.Timeout(connect_s, read=read_s, write=write_s),
            transport=Transport(pool, redact=Redactor(key), backoff_s=backoff_s),
        )

    @property
    def is_sandbox(self) -> bool | None:
        """Whether a sandbox of avatarkit answers; None while that is not known.

        False for every address that is not loopback, without a request. At a loopback address the
        sandbox's control route is requested, until something has answered. A server there that is
        not a sandbox may be a tunnel to the live API, so the value stays None.
        """
        if self._is_sandbox is None and not self._has_answered:
            self._require_open()
            extensions = {"deadline": time.monotonic() + _SANDBOX_DEADLINE_S, "tries": 1}
            request = self._http.build_request("GET", "/_sandbox/", extensions=extensions)
            del request.headers["X-API-KEY"]
            try:
                response = self._http.send(request)
            except httpx.HTTPError:
                return None
            self._has_answered = True
            value = responses.json_of(response)
            if response.is_success and isinstance(value, dict) and "instance" in value:
                self._is_sandbox = True
        return self._is_sandbox

    @property
    def account(self) -> str:
        """A fingerprint of base URL and API id, which identifies the account in the log.

        All loopback addresses count as one, so that a sandbox keeps its account when its port
        changes; its API id tells it from other sandboxes.
        """
        url = httpx.URL(self.base_url)
        origin = f"{url.scheme}://loopback" if is_loopback(self.base_url) else str(url)
        return hashlib.sha256(f"{origin}|{self.api_id}".encode()).hexdigest()[:16]

    @property
    def keys_mark(self) -> str:
        """A mark by which the log tells these keys from others; the key cannot be read from it."""
        return self._keys_mark

    def create_persona(
        self, persona: PersonaCreate, *, progress: Progress | None = None
    ) -> Persona:
        """Send a create, once.

        Files go as multipart to ``/api/personas_v2/``, streamed from disk, the required fields
        last; URLs as JSON to ``/api/personas/``; without videos as JSON to ``/api/personas_v2/``.

        Args:
            persona: What to create.
            progress: Called as ``progress(sent_bytes, total_bytes)`` while files are read.

        Returns:
            The persona as the API answers.

        Raises:
            VideoUnreadable: A file cannot be read, or changed while it was sent. The API has not
                had the whole request, so nothing was created.
            ConnectionFailed: With ``maybe_sent`` if the API may have read the create.
            APIError: For any other answer.

        Source: the contract; the vendor's page of ``POST /api/personas/``.
        """
        fields = persona.fields()
        fields |= fields.pop("extra", {})
        by_url = persona.urls or (persona.gdown_url and not persona.files)
        path = "/api/personas/" if by_url else "/api/personas_v2/"
        with ExitStack() as stack:
            if persona.files:
                parts = open_parts(fields, persona.files, stack, progress)
                response = self._send_create(path, files=parts)
            else:
                response = self._send_create(path, json=fields | persona.urls)
        return responses.read(response, Persona)

    def get_persona(self, persona_id: str, *, deadline_s: float | None = None) -> Persona:
        """Return one persona ("Get avatar by ID").

        Args:
            persona_id: The persona's id.
            deadline_s: Wall seconds for this call with its retries, if less than the client's.

        Raises:
            NotFound: The account has no such persona.
            APIError: For any other failure.
        """
        response = self._call("GET", self._path(persona_id), deadline_s)
        persona = responses.read(response, Persona)
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
        on_skipped: Callable[[object], None] | None = None,
        on_next_page: Callable[[int], None] | None = None,
    ) -> Iterator[Persona]:
        """Iterate over the account's custom avatars, each once, in the API's order.

        Reads a bare array as well as pages. A page is requested when the one before has been used
        up. An entry that is not a persona, such as one without an id, is skipped with a warning in
        the log.

        Args:
            gender: One value or several, comma separated, as for the next three.
            age_range: Such as ``adult``.
            location: Such as ``indoor``.
            style: Such as ``presenter``.
            deadline_s: Wall seconds for all pages together.
            on_skipped: Called with each entry that is skipped.
            on_next_page: Called before another page is requested, with how many pages there are at
                least; what it raises ends the list.

        Raises:
            APIError: A page cannot be read, or nothing on the first one is a persona.

        Source: ``GET /api/personas_v2/`` and ``GET /api/personas/paginated/``.
        """
        filters = {"gender": gender, "age_range": age_range, "location": location, "style": style}
        url = httpx.URL(
            "/api/personas_v2/", params={k: v for k, v in filters.items() if v is not None}
        )
        end = math.inf if deadline_s is None else time.monotonic() + deadline_s
        seen: set[str] = set()
        for number in range(1, MAX_PAGES + 1):
            left_s = max(0.0, end - time.monotonic())
            response = self._call("GET", str(url), left_s, connections.MAX_LIST_BYTES)
            page = responses.json_of(response)
            items = page.get("results") if isinstance(page, dict) else page
            if not isinstance(items, list):
                raise responses.unexpected(response, "is not a list of personas")
            seen_before, skipped = len(seen), 0
            for item in items:
                try:
                    persona = responses.validate(response, Persona, item)
                except UnexpectedAnswer as error:
                    skipped += 1
                    logger.warning("An entry of the list of avatars was skipped: %s", error)
                    if on_skipped is not None:
                        on_skipped(item)
                    continue
                # Pages shift while they are read if another persona is created meanwhile.
                if persona.id not in seen:
                    seen.add(persona.id)
                    yield persona
            if skipped and not seen:
                raise responses.unexpected(response, "is not a list of personas")
            following = page.get("next") if isinstance(page, dict) else None
            if not following:
                return
            if len(seen) + skipped == seen_before:
                raise responses.unexpected(response, "has a next page but nothing new on this one")
            url = responses.next_page(response, str(following))
            if on_next_page is not None:
                count = page.get("count")
                whole = -(-count // len(items)) if isinstance(count, int) and items else 0
                on_next_page(max(number + 1, whole))
        raise responses.unexpected(response, f"has more than {MAX_PAGES:,} pages")

    def persona_quota(self, *, deadline_s: float | None = None) -> Quota:
        """Return how many custom avatars the account may have, and how many it has.

        Args:
            deadline_s: Wall seconds for this call with its retries, if less than the client's.

        Raises:
            APIError: The quota cannot be read.
        """
        return responses.read(self._call("GET", "/api/personas_v2/count/", deadline_s), Quota)

    def delete_persona(self, persona_id: str) -> None:
        """Delete one persona.

        Raises:
            NotFound: The account has no such persona.
            APIError: For any other failure.
        """
        self._call("DELETE", self._path(persona_id))

    def close(self, closed: str = "This client is closed; make a new one.") -> None:
        """Close the connections; every later call raises ``ConfigError``.

        Args:
            closed: The sentence of that error.
        """
        self.closed = closed
        self._http.close()

    def _require_open(self) -> None:
        if self.closed is not None:
            raise ConfigError(self.closed)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Client(base_url={self.base_url!r})"

    def _path(self, persona_id: str) -> str:
        # Longer ids, or half of a surrogate, fit in no URL.
        is_no_id = len(persona_id) > _MAX_ID_LENGTH or not persona_id.isprintable()
        if is_no_id or persona_id.strip(". ") == "":
            url = f"{self.base_url}/api/personas/"
            shown = persona_id[:_MAX_ID_LENGTH]
            message = f"{shown!r} is not the id of a persona; copy the id from the tracker."
            raise NotFound(message, method="GET", url=url, status_code=404)
        return f"/api/personas/{quote(persona_id, safe='')}/"

    def _call(
        self,
        method: str,
        path: str,
        deadline_s: float | None = None,
        max_bytes: int | None = None,
    ) -> httpx.Response:
        self._require_open()
        within_s = self._deadline_s if deadline_s is None else min(deadline_s, self._deadline_s)
        extensions = {
            "deadline": time.monotonic() + within_s,
            "tries": self._tries,
            "max_bytes": max_bytes,
        }
        url = self.base_url + path  # absolute: httpx parses a relative one twice
        try:
            response = self._http.request(method, url, extensions=extensions)
        except httpx.HTTPError as error:
            raise connection_failed(error, method, url, self.explain) from None
        is_missing = response.status_code == 404 and is_from_api(response)
        if method == "DELETE" and is_missing and response.extensions["attempts"] > 1:
            return response  # an earlier attempt, whose answer was lost, had deleted it
        raise_for_status(response)
        return response

    def _send_create(self, path: str, **body: Any) -> httpx.Response:
        self._require_open()
        try:
            response = self._http.post(path, timeout=self._create_timeout, **body)
        except httpx.HTTPError as error:
            url = self.base_url + path
            raise connection_failed(error, "POST", url, self.explain) from None
        raise_for_status(response)
        return response
