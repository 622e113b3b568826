"""How bytes travel: bounded answers, and retries of what may safely be asked twice."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping

import httpx
from httpx_retries import Retry, RetryTransport

from avatarkit.api import network
from avatarkit.api.redaction import Blot

logger = logging.getLogger("avatarkit")

MAX_ANSWER_BYTES = 32 * 1024 * 1024
MAX_RETRY_AFTER_S = 30.0
"""A longer wait is not slept away but handed to the caller, who has other personas to look at."""

RETRIED_STATUSES = (429, 500, 502, 503, 504)


class AnswerTooLarge(httpx.TransportError):
    """The answer is larger than any that the API has reason to send."""


class AnswerTooSlow(httpx.ReadTimeout):
    """The answer kept coming in drips until the deadline of the call had passed."""


class LoggedRetry(Retry):
    """``httpx_retries.Retry`` that says at INFO what it is about to do again, and why.

    It sleeps no longer than until ``deadline``, a moment of ``time.monotonic``.
    """

    deadline: float | None = None

    def until(self, deadline: float | None) -> LoggedRetry:
        """The same, for one call that has to end by ``deadline``."""
        limited: LoggedRetry = self.copy_with()  # type: ignore[assignment] # it makes its own class
        limited.deadline = deadline
        return limited

    def increment(self) -> LoggedRetry:
        """The same, one try later."""
        later: LoggedRetry = super().increment()  # type: ignore[assignment] # its own class, too
        later.deadline = self.deadline
        return later

    def _calculate_sleep(self, headers: httpx.Headers | Mapping[str, str]) -> float:
        wait_s = super()._calculate_sleep(headers)
        if self.deadline is None:
            return wait_s
        return max(0.0, min(wait_s, self.deadline - time.monotonic()))

    def sleep(self, response: httpx.Response | Exception) -> None:
        """Wait before the next try: what Retry-After asks, else exponentially longer."""
        cause, headers = type(response).__name__, httpx.Headers()
        if isinstance(response, httpx.Response):
            cause, headers = f"answer {response.status_code}", response.headers
        logger.info("Retry %d of %d after %s.", self.attempts_made, self.total, cause)
        network.rest(self._calculate_sleep(headers))


class BoundedTransport(httpx.BaseTransport):
    """Reads each answer whole, within a size and a time, before anyone sees it.

    So a connection that breaks in the middle of a body counts as a broken connection, which the
    retrying transport around this one can act upon. ``request.extensions["deadline"]`` is the
    moment of ``time.monotonic`` by which the whole call has to end; the answer alone may take as
    long as the request's read timeout. ``blot`` takes the key out of all that is in it, and
    cookies are left out: this API needs none.
    """

    def __init__(self, inner: httpx.BaseTransport, *, blot: Blot) -> None:
        self._inner = inner
        self._blot = blot

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """The answer with its body read and decoded."""
        network.check_stop()
        deadline = request.extensions.get("deadline")
        timeout = request.extensions.get("timeout", {})
        if deadline is not None:
            left = deadline - time.monotonic()
            if left <= 0:
                raise AnswerTooSlow("The deadline of the call has passed.", request=request)
            timeout = {
                key: left if value is None else min(value, left) for key, value in timeout.items()
            }
            request.extensions["timeout"] = timeout
        answer_s = timeout.get("read")
        budget = network.Budget(math.inf if answer_s is None else answer_s, deadline)
        token = network.budget.set(budget)
        try:
            answer = self._inner.handle_request(request)
            try:
                body = _read(answer, request, budget)
            finally:
                answer.close()
        finally:
            network.budget.reset(token)
        headers = [
            (name, self._blot(value))
            for name, value in answer.headers.raw
            if name.lower() not in _LEFT_OUT
        ]
        # A short key, such as a sandbox of one's own may have, stands in names and ids by chance.
        if self._blot.is_telling or answer.status_code >= 400:
            body = self._blot(body)
        return httpx.Response(
            answer.status_code,
            headers=headers,
            content=body,
            request=request,
            extensions={"blot": self._blot},
        )

    def close(self) -> None:
        """Close the connections."""
        self._inner.close()


# What told how the body travelled is wrong of the body that is kept.
_LEFT_OUT = (b"content-encoding", b"content-length", b"transfer-encoding", b"set-cookie")


def _read(answer: httpx.Response, request: httpx.Request, budget: network.Budget) -> bytes:
    coding = answer.headers.get("Content-Encoding", "").strip().lower()
    if coding not in ("", "identity", "gzip"):
        # Only gzip was asked for, and codings within codings unfold without bound.
        raise AnswerTooLarge("The answer is encoded in a way that was not asked for.")
    body = bytearray()
    # Decoded, so that a small compressed body cannot unfold into a huge one unseen.
    for chunk in httpx.Response(
        answer.status_code, headers=answer.headers, stream=answer.stream
    ).iter_bytes():
        body += chunk
        if len(body) > MAX_ANSWER_BYTES:
            raise AnswerTooLarge("The answer is too large.", request=request)
        if budget.left_s() <= 0:
            raise AnswerTooSlow("The answer does not come to an end.", request=request)
    return bytes(body)


class PoliteRetryTransport(RetryTransport):
    """Retries idempotent calls; a wait of more than ``MAX_RETRY_AFTER_S`` ends the tries."""

    def __init__(self, transport: httpx.BaseTransport, *, tries: int, backoff_s: float) -> None:
        retry = LoggedRetry(
            total=max(0, tries - 1),
            allowed_methods=["GET", "DELETE"],  # a create is never sent again on its own
            status_forcelist=RETRIED_STATUSES,
            retry_on_exceptions=[httpx.TimeoutException, httpx.NetworkError, httpx.ProtocolError],
            backoff_factor=backoff_s,
            backoff_jitter=0.5,
            max_backoff_wait=MAX_RETRY_AFTER_S,
        )
        super().__init__(transport=_HandBackLongWaits(transport, retry), retry=retry)
        self._limited = retry

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """The last answer, after as many tries as it took."""
        deadline = request.extensions.get("deadline")
        request.extensions["retry"] = self._limited.until(deadline)
        try:
            return super().handle_request(request)
        except _LongWait as wait:
            return wait.response


class _LongWait(Exception):
    def __init__(self, response: httpx.Response) -> None:
        super().__init__("Retry-After is long.")
        self.response = response


class _HandBackLongWaits(httpx.BaseTransport):
    # httpx-retries caps a long Retry-After and asks again too early; this leaves the loop instead.
    def __init__(self, inner: httpx.BaseTransport, retry: Retry) -> None:
        self._inner = inner
        self._retry = retry

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = self._inner.handle_request(request)
        if self._retry.is_retryable_status_code(response.status_code):
            wait_s = retry_after_s(response)
            deadline = request.extensions.get("deadline", math.inf)
            if wait_s is not None and wait_s > min(MAX_RETRY_AFTER_S, deadline - time.monotonic()):
                raise _LongWait(response)
        return response

    def close(self) -> None:
        self._inner.close()


def retry_after_s(response: httpx.Response) -> float | None:
    """What ``Retry-After`` asks to wait, in wall seconds, or None when it says nothing sensible.

    Source: RFC 9110, 10.2.3: seconds or an HTTP date.
    """
    value = response.headers.get("Retry-After", "")
    if not value.strip():
        return None
    try:
        return Retry().parse_retry_after(value)
    except (ValueError, OverflowError):
        return None
