"""How bytes travel: bounded answers, and retries of what may safely be asked twice."""

from __future__ import annotations

import logging
import math
import time
import urllib.request
from collections.abc import Mapping

import httpx
from httpx_retries import Retry, RetryTransport

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
        cause = (
            f"answer {response.status_code}"
            if isinstance(response, httpx.Response)
            else type(response).__name__
        )
        logger.info("Retry %d of %d after %s.", self.attempts_made, self.total, cause)
        super().sleep(response)


class BoundedTransport(httpx.BaseTransport):
    """Reads each answer whole, within a size and a deadline, before anyone sees it.

    So a connection that breaks in the middle of a body counts as a broken connection, which the
    retrying transport around this one can act upon. ``request.extensions["deadline"]`` is the
    moment of ``time.monotonic`` by which the whole call has to end; a body that drips is read for
    ``answer_s`` wall seconds at most.
    """

    def __init__(self, inner: httpx.BaseTransport, *, answer_s: float) -> None:
        self._inner = inner
        self._answer_s = answer_s

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """The answer with its body read and decoded."""
        deadline = request.extensions.get("deadline")
        if deadline is not None:
            left = deadline - time.monotonic()
            if left <= 0:
                raise AnswerTooSlow("The deadline of the call has passed.", request=request)
            timeout = request.extensions.get("timeout", {})
            request.extensions["timeout"] = {
                key: left if value is None else min(value, left) for key, value in timeout.items()
            }
        answer = self._inner.handle_request(request)
        end = time.monotonic() + self._answer_s
        end = end if deadline is None else min(end, deadline)
        try:
            body = bytearray()
            # Decoded, so that a small compressed body cannot unfold into a huge one unseen.
            for chunk in httpx.Response(
                answer.status_code, headers=answer.headers, stream=answer.stream
            ).iter_bytes():
                body += chunk
                if len(body) > MAX_ANSWER_BYTES:
                    raise AnswerTooLarge("The answer is too large.", request=request)
                if time.monotonic() > end:
                    raise AnswerTooSlow("The answer does not come to an end.", request=request)
        finally:
            answer.close()
        headers = [
            (name, value)
            for name, value in answer.headers.raw
            if name.lower() not in (b"content-encoding", b"content-length", b"transfer-encoding")
        ]
        return httpx.Response(
            answer.status_code, headers=headers, content=bytes(body), request=request
        )

    def close(self) -> None:
        """Close the connections."""
        self._inner.close()


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


class _HideKeys(logging.Filter):
    """Blots the keys out of what httpcore logs at DEBUG: a server may echo them in its headers."""

    def __init__(self) -> None:
        super().__init__()
        self.keys: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        if any(key in text for key in self.keys):
            for key in self.keys:
                text = text.replace(key, "[key]")
            record.msg, record.args = text, None
        return True


_hide_keys = _HideKeys()


def hide_in_logs(key: str) -> None:
    """From now on no log record of the HTTP libraries shows this key."""
    _hide_keys.keys.add(key)
    for name in ("httpx", "httpcore.connection", "httpcore.http11", "httpcore.proxy"):
        logging.getLogger(name).addFilter(_hide_keys)


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


def network_transport(base_url: str) -> httpx.HTTPTransport:
    """Real connections to ``base_url``, through the environment's proxy where one is set.

    httpx itself looks at the environment only when no transport is given.
    """
    url = httpx.URL(base_url)
    proxy = urllib.request.getproxies().get(url.scheme)
    loopback = url.host in ("localhost", "127.0.0.1", "::1")
    if not proxy or loopback or urllib.request.proxy_bypass(url.host):
        return httpx.HTTPTransport()
    return httpx.HTTPTransport(proxy=proxy)
