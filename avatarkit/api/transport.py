"""Send requests with retries, and return whole answers without the API key."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, cast

import httpx

from avatarkit.api.connection_errors import is_permanent
from avatarkit.api.connections import Connections
from avatarkit.api.redaction import Redactor
from avatarkit.clock import SystemClock

if TYPE_CHECKING:
    from tenacity import Future, RetryCallState

logger = logging.getLogger("avatarkit")

MAX_BACKOFF_S = 30.0
"""Wall seconds of the longest pause between two attempts, without the part at random."""

RETRIED_METHODS = ("GET", "DELETE")
RETRIED_STATUSES = (500, 502, 503, 504)
RETRIED_ERRORS = (httpx.TimeoutException, httpx.NetworkError, httpx.ProtocolError)

# The first three describe the body on the wire, not the decoded one; this API needs no cookies.
_DROPPED_HEADERS = (b"content-encoding", b"content-length", b"transfer-encoding", b"set-cookie")

_SECONDS = re.compile(r"\s*[0-9]+(\.[0-9]+)?\s*(,\s*[0-9]+(\.[0-9]+)?\s*)*")
_IN_WORDS = re.compile(rb"available in (\d{1,9}(?:\.\d+)?) second")

_stop: ContextVar[threading.Event | None] = ContextVar("stop", default=None)
_dates: ContextVar[list[datetime] | None] = ContextVar("dates", default=None)


@contextmanager
def cancel_on(stop: threading.Event | None) -> Iterator[None]:
    """Cancel the calls that this thread makes in the block once ``stop`` is set.

    A cancelled call raises ``connections.Stopped``.
    """
    token = _stop.set(stop)
    try:
        yield
    finally:
        _stop.reset(token)


def is_cancelled() -> bool:
    """Return whether the calls that this thread makes are cancelled."""
    stop = _stop.get()
    return stop is not None and stop.is_set()


@contextmanager
def collect_dates() -> Iterator[list[datetime]]:
    """Collect when the API made the answers to the calls that this thread makes in the block.

    Yields:
        The moments, by the server's clock and in whole seconds; of successful answers with a
        ``Date`` header that did not come from a cache.

    Source: RFC 9110, 6.6.1, and RFC 9111, 5.1: an answer with ``Age`` comes from a cache.
    """
    dates: list[datetime] = []
    token = _dates.set(dates)
    try:
        yield dates
    finally:
        _dates.reset(token)


def _collect_date(answer: httpx.Response) -> None:
    dates = _dates.get()
    if dates is None or not answer.is_success or "Age" in answer.headers:
        return
    with suppress(ValueError, OverflowError):
        moment = parsedate_to_datetime(answer.headers.get("Date", ""))
        dates.append(moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC))


def retry_after_s(response: httpx.Response) -> float | None:
    """Return the wall seconds that an answer asks to wait; None if it does not say.

    Source: RFC 9110, 10.2.3: Retry-After is seconds or an HTTP date; two of them are joined by a
    comma. Without one that can be read, the sentence of Django REST framework in a 429: "Expected
    available in 30 seconds."
    """
    value = response.headers.get("Retry-After", "")
    if _SECONDS.fullmatch(value):
        return max(map(float, value.split(",")))
    with suppress(ValueError, OverflowError):
        moment = parsedate_to_datetime(value)
        return SystemClock().wall_seconds_until(moment.replace(tzinfo=moment.tzinfo or UTC))
    if response.status_code in (429, 503) and (in_words := _IN_WORDS.search(response.content)):
        return float(in_words[1])
    return None


class Transport(httpx.BaseTransport):
    """Reads whole answers, removes the API key from them, and retries idempotent calls.

    A GET or DELETE has ``extensions["tries"]``, the attempts that it may take, the first included,
    and ``extensions["deadline"]``, the moment of ``time.monotonic`` at which they end. Its response
    has ``extensions["attempts"]``, and every response ``extensions["redact"]`` for its body.

    Args:
        connections: Send the requests.
        redact: Removes the API key from bodies and headers.
        backoff_s: Wall seconds before the second attempt; doubled for each further one, plus up
            to ``backoff_s`` at random. 0 for no waits.
    """

    def __init__(self, connections: Connections, *, redact: Redactor, backoff_s: float) -> None:
        self._connections = connections
        self._redact = redact
        self._backoff_s = backoff_s

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Return the answer with its body read, after as many attempts as it took."""
        if request.method not in RETRIED_METHODS:
            return self._attempt(request)
        try:
            response = self._attempt(request)
        except RETRIED_ERRORS as error:
            return self._retry(request, error)
        if response.status_code in RETRIED_STATUSES:
            return self._retry(request, response)
        response.extensions["attempts"] = 1
        return response

    def close(self) -> None:
        """Close the connections."""
        self._connections.close()

    def _retry(
        self, request: httpx.Request, first: httpx.Response | httpx.HTTPError
    ) -> httpx.Response:
        """Go on after a first attempt that failed."""
        # Here, as a call that works does without: it is slow to load, and to call.
        from tenacity import Retrying, wait_exponential, wait_random

        outcomes = [first]

        def attempt(request: httpx.Request) -> httpx.Response:
            outcome = outcomes.pop() if outcomes else self._attempt(request)
            if isinstance(outcome, httpx.HTTPError):
                raise outcome
            return outcome

        backoff = wait_exponential(self._backoff_s, MAX_BACKOFF_S) + wait_random(0, self._backoff_s)
        retrying = Retrying(
            retry=_is_retryable,
            stop=_is_over,
            wait=lambda state: min(backoff(state), _left_s(request)),
            before_sleep=_log_retry,
            sleep=lambda seconds: SystemClock().sleep(seconds, _stop.get()),
            retry_error_callback=lambda state: _outcome(state).result(),
        )
        response = retrying(attempt, request)
        response.extensions["attempts"] = retrying.statistics["attempt_number"]
        return response

    def _attempt(self, request: httpx.Request) -> httpx.Response:
        answer, body = self._connections.exchange(request, _stop.get())
        _collect_date(answer)
        headers = [
            (name, self._redact(value))
            for name, value in answer.headers.raw
            if name.lower() not in _DROPPED_HEADERS
        ]
        # A short key, as a sandbox may have, can occur in names and ids by chance.
        if self._redact.is_long or answer.status_code >= 400:
            body = self._redact(body)
        return httpx.Response(
            answer.status_code,
            headers=headers,
            content=body,
            request=request,
            extensions={"redact": self._redact},
        )


def _left_s(request: httpx.Request) -> float:
    return float(request.extensions["deadline"]) - time.monotonic()


def _is_over(state: RetryCallState) -> bool:
    request = state.args[0]
    return state.attempt_number >= request.extensions["tries"] or _left_s(request) <= 0


def _log_retry(state: RetryCallState) -> None:
    response = _response(state)
    cause = type(_outcome(state).exception()).__name__
    if response is not None:
        cause = f"answer {response.status_code}"
    retries = state.args[0].extensions["tries"] - 1
    logger.debug("Retry %d of %d after %s.", state.attempt_number, retries, cause)


def _outcome(state: RetryCallState) -> Future:
    return cast("Future", state.outcome)  # None only before the first attempt


def _response(state: RetryCallState) -> httpx.Response | None:
    outcome = _outcome(state)
    return None if outcome.failed else outcome.result()


def _is_retryable(state: RetryCallState) -> bool:
    response = _response(state)
    if response is None:
        error = _outcome(state).exception()
        return isinstance(error, RETRIED_ERRORS) and not is_permanent(error)
    if response.status_code not in RETRIED_STATUSES:
        return False
    # With Retry-After it is about the whole account, and left to the caller.
    return response.status_code != 503 or retry_after_s(response) is None
