"""The HTTP transport of ``Client``: deadlines, bounded answers, retries of idempotent calls.

A timeout of httpx bounds each wait for more bytes, not the whole answer. So each request runs in a
daemon thread, and the caller waits for it no longer than the answer may take, or until it is told
to stop. A request that is given up is left to its thread, which ends with httpx' own timeout, with
the next part of the body, or when the client is closed.
"""

from __future__ import annotations

import logging
import math
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC
from email.utils import parsedate_to_datetime
from queue import Empty, SimpleQueue
from typing import Any, cast
from urllib.parse import urlsplit

import httpx
from tenacity import Future, RetryCallState, Retrying, wait_exponential, wait_random

from avatarkit.api.redaction import Redactor
from avatarkit.clock import SystemClock
from avatarkit.settings import is_loopback

logger = logging.getLogger("avatarkit")

MAX_ANSWER_BYTES = 32 * 1024 * 1024
MAX_RETRY_AFTER_S = 30.0
"""A longer Retry-After is handed to the caller, who has other personas to poll meanwhile."""

STOP_CHECK_S = 0.5
"""Seconds that a call may go on after its stop event was set."""

RETRIED_METHODS = ("GET", "DELETE")
RETRIED_STATUSES = (429, 500, 502, 503, 504)
RETRIED_ERRORS = (httpx.TimeoutException, httpx.NetworkError, httpx.ProtocolError)

# These describe the body as it travelled, not as it is kept; and this API needs no cookies.
_DROPPED_HEADERS = (b"content-encoding", b"content-length", b"transfer-encoding", b"set-cookie")

_stop: ContextVar[threading.Event | None] = ContextVar("stop", default=None)


class AnswerTooLarge(httpx.TransportError):
    """The answer is larger than any that the API has reason to send."""


class AnswerTooSlow(httpx.ReadTimeout):
    """The answer was not complete at the end of the time that it may take."""


class Stopped(httpx.TransportError):
    """The call was given up because its stop event was set."""


@contextmanager
def until(stop: threading.Event | None) -> Iterator[None]:
    """Give up the calls made by this thread (``Stopped``) once ``stop`` is set."""
    token = _stop.set(stop)
    try:
        yield
    finally:
        _stop.reset(token)


def network_transport(base_url: str) -> httpx.HTTPTransport:
    """Return connections to ``base_url``, through the environment's proxy if one is set.

    httpx itself looks at the environment only when no transport is given.
    """
    url = urlsplit(base_url)
    proxy = urllib.request.getproxies().get(url.scheme)
    if is_loopback(base_url) or (proxy and urllib.request.proxy_bypass(url.hostname or "")):
        proxy = None
    return httpx.HTTPTransport(proxy=proxy or None)


def retry_after_s(response: httpx.Response) -> float | None:
    """Return the wall seconds that ``Retry-After`` asks to wait, None if it makes no sense.

    Source: RFC 9110, 10.2.3: seconds or an HTTP date.
    """
    value = response.headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
        return SystemClock().wall_seconds_until(moment.replace(tzinfo=moment.tzinfo or UTC))
    except (ValueError, OverflowError):
        return None


class Transport(httpx.BaseTransport):
    """Reads whole answers within a size and a time, and retries idempotent calls.

    An answer may take as long as the request's read timeout, counted from the end of the request.
    ``request.extensions["deadline"]``, a moment of ``time.monotonic``, bounds the call with all
    its retries. ``request.extensions["tries"]`` replaces ``tries``. A response has
    ``extensions["attempts"]``, and ``extensions["redact"]`` for its raw body.

    Args:
        inner: What sends a request: the network, or a fake.
        redact: Removes the API key from bodies and headers.
        tries: Attempts of a GET or DELETE, the first included.
        backoff_s: Wall seconds before the second attempt; doubled for each further one, plus up
            to ``backoff_s`` at random. 0 for no waits.
    """

    def __init__(
        self, inner: httpx.BaseTransport, *, redact: Redactor, tries: int, backoff_s: float
    ) -> None:
        self._inner = inner
        self._redact = redact
        self._tries = tries
        self._backoff = wait_exponential(backoff_s, MAX_RETRY_AFTER_S) + wait_random(0, backoff_s)
        self._retrying = Retrying(
            retry=_is_retryable,
            stop=self._is_over,
            wait=self._pause_s,
            before_sleep=self._log,
            sleep=lambda seconds: SystemClock().sleep(seconds, _stop.get()),
            retry_error_callback=lambda state: _outcome(state).result(),
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Return the answer with its body read, after as many attempts as it took."""
        if request.method not in RETRIED_METHODS:
            return self._attempt(request)
        response = self._retrying(self._attempt, request)
        response.extensions["attempts"] = self._retrying.statistics["attempt_number"]
        return response

    def close(self) -> None:
        """Close the connections."""
        self._inner.close()

    def _attempt(self, request: httpx.Request) -> httpx.Response:
        answer, body = _Exchange(self._inner, request).result(_stop.get())
        headers = [
            (name, self._redact(value))
            for name, value in answer.headers.raw
            if name.lower() not in _DROPPED_HEADERS
        ]
        # A short key, such as a sandbox may have, is part of names and ids by chance.
        if self._redact.is_long or answer.status_code >= 400:
            body = self._redact(body)
        return httpx.Response(
            answer.status_code,
            headers=headers,
            content=body,
            request=request,
            extensions={"redact": self._redact},
        )

    def _tries_for(self, request: httpx.Request) -> int:
        return max(1, int(request.extensions.get("tries", self._tries)))

    def _is_over(self, state: RetryCallState) -> bool:
        request = state.args[0]
        return state.attempt_number >= self._tries_for(request) or _left_s(request) <= 0

    def _pause_s(self, state: RetryCallState) -> float:
        response = _response(state)
        asked_s = None if response is None else retry_after_s(response)
        return min(asked_s or self._backoff(state), _left_s(state.args[0]))

    def _log(self, state: RetryCallState) -> None:
        response = _response(state)
        cause = type(_outcome(state).exception()).__name__
        if response is not None:
            cause = f"answer {response.status_code}"
        retries = self._tries_for(state.args[0]) - 1
        logger.info("Retry %d of %d after %s.", state.attempt_number, retries, cause)


def _left_s(request: httpx.Request) -> float:
    return float(request.extensions.get("deadline", math.inf)) - time.monotonic()


def _outcome(state: RetryCallState) -> Future:
    return cast(Future, state.outcome)  # None only before the first attempt


def _response(state: RetryCallState) -> httpx.Response | None:
    outcome = _outcome(state)
    return None if outcome.failed else outcome.result()


def _is_retryable(state: RetryCallState) -> bool:
    response = _response(state)
    if response is None:
        return isinstance(_outcome(state).exception(), RETRIED_ERRORS)
    if response.status_code not in RETRIED_STATUSES:
        return False
    asked_s = retry_after_s(response)
    return asked_s is None or asked_s <= min(MAX_RETRY_AFTER_S, _left_s(state.args[0]))


class _Exchange:
    """One request and its answer, in a thread that can be left alone."""

    def __init__(self, inner: httpx.BaseTransport, request: httpx.Request) -> None:
        left_s = _left_s(request)
        if left_s <= 0:
            raise AnswerTooSlow("The deadline of the call has passed.")
        timeout = {name: min(s, left_s) for name, s in request.extensions["timeout"].items()}
        self._inner = inner
        self._deadline = request.extensions.get("deadline", math.inf)
        self._read_s = timeout["read"]
        # Until the request has been sent, connecting and writing have timeouts of their own.
        self._quiet_s = sum(timeout.values())
        self._moved = time.monotonic()
        self._is_abandoned = False
        self._request = httpx.Request(
            request.method,
            request.url,
            headers=request.headers,
            stream=_Upload(request.stream, self._sending),  # type: ignore[arg-type] # not async
            extensions={**request.extensions, "timeout": timeout},
        )

    def result(self, stop: threading.Event | None) -> tuple[httpx.Response, bytes]:
        """Return the answer and its body.

        Raises:
            AnswerTooSlow: It did not come to its end in time.
            Stopped: ``stop`` was set meanwhile.
            httpx.TransportError: The connection failed.
        """
        outcome: SimpleQueue[Any] = SimpleQueue()
        if stop is None or not stop.is_set():
            _in_thread(self._run, outcome)
        while True:
            if stop is not None and stop.is_set():
                self._is_abandoned = True
                raise Stopped("The call was given up.")
            left_s = min(self._moved + self._quiet_s, self._deadline) - time.monotonic()
            if left_s <= 0:
                self._is_abandoned = True
                raise AnswerTooSlow("The answer did not come to its end in time.")
            try:
                result = outcome.get(timeout=min(left_s, STOP_CHECK_S))
            except Empty:
                continue
            if isinstance(result, BaseException):
                raise result
            return cast(tuple[httpx.Response, bytes], result)

    def _sending(self, is_last: bool) -> None:
        if self._is_abandoned:
            raise Stopped("The call was given up.")
        self._moved = time.monotonic()
        if is_last:
            self._quiet_s = self._read_s

    def _run(self) -> tuple[httpx.Response, bytes]:
        answer = self._inner.handle_request(self._request)
        try:
            return answer, self._body(answer)
        finally:
            answer.close()

    def _body(self, answer: httpx.Response) -> bytes:
        coding = answer.headers.get("Content-Encoding", "").strip().lower()
        if coding not in ("", "identity", "gzip"):
            # Only gzip was asked for, and codings within codings unfold without bound.
            raise AnswerTooLarge("The answer is encoded in a way that was not asked for.")
        body = bytearray()
        # Decoded, so that a small compressed body cannot unfold into a huge one unseen.
        decoded = httpx.Response(answer.status_code, headers=answer.headers, stream=answer.stream)
        for chunk in decoded.iter_bytes():
            body += chunk
            if len(body) > MAX_ANSWER_BYTES:
                raise AnswerTooLarge("The answer is too large.")
            if self._is_abandoned:
                raise Stopped("The call was given up.")
        return bytes(body)


class _Upload(httpx.SyncByteStream):
    """A request's body that reports each part of it that leaves, and its end."""

    def __init__(self, inner: httpx.SyncByteStream, report: Callable[[bool], None]) -> None:
        self._inner = inner
        self._report = report

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._inner:
            self._report(False)
            yield chunk
        self._report(True)


_Job = tuple[Callable[[], object], "SimpleQueue[Any]"]
_idle: list[tuple[threading.Thread, SimpleQueue[_Job]]] = []
"""Threads that wait for a job. They are used again, as starting one for each call is dear."""


def _in_thread(job: Callable[[], object], outcome: SimpleQueue[Any]) -> None:
    """Run ``job`` in a daemon thread, and put what it returns or raises into ``outcome``."""
    while _idle:
        try:
            thread, jobs = _idle.pop()
        except IndexError:  # another thread was faster
            break
        if thread.is_alive():  # after a fork it is not
            jobs.put((job, outcome))
            return
    jobs = SimpleQueue()
    jobs.put((job, outcome))
    threading.Thread(target=_work, args=(jobs,), name="avatarkit-http", daemon=True).start()


def _work(jobs: SimpleQueue[_Job]) -> None:
    while True:
        job, outcome = jobs.get()
        result: object
        try:
            result = job()
        except BaseException as error:  # noqa: BLE001 - raised again by the caller
            result = error
        _idle.append((threading.current_thread(), jobs))
        outcome.put(result)
        del job, outcome, result  # an idle thread keeps no answer alive
