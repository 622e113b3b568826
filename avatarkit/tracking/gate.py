"""Tell which errors are about the whole account, for how long no call is made, and why.

What is about one persona (the API's own 404, a 500 or a timeout of its call) is none of them.
"""

from __future__ import annotations

import random
from datetime import timedelta
from enum import StrEnum

from avatarkit.clock import Clock, SystemClock
from avatarkit.errors import (
    APIError,
    AuthError,
    ConnectionFailed,
    InvalidRequest,
    NotFound,
    RateLimited,
    RequestTimeout,
    ServerError,
    StatusError,
    UnexpectedAnswer,
)
from avatarkit.store.account import Pause
from avatarkit.text import format_hours


class Cause(StrEnum):
    """Why the account makes no calls; kept as a pause's ``cause``.

    ``THROTTLED``: the API asked to wait. ``REFUSED``: it refuses the keys, or asks for payment.
    ``FOREIGN``: something else answers in its place. ``UNREACHABLE``: nothing answers.
    """

    THROTTLED = "throttled"
    REFUSED = "refused"
    FOREIGN = "foreign"
    UNREACHABLE = "unreachable"


FIRST_PAUSE_S = {
    Cause.THROTTLED: 30.0,
    Cause.REFUSED: 60.0,
    Cause.FOREIGN: 60.0,
    Cause.UNREACHABLE: 5.0,
}
LONGEST_BACKOFF_S = 3_600.0
"""Wall seconds of the first and the longest pause for which nothing else was asked; each is twice
as long as the one before."""

LONGEST_PAUSE_S = 86_400.0
"""Wall seconds of the longest pause; the API is asked again then, even if it asked for more."""

JITTER = 0.1
"""Pauses are up to this share longer, so that programs do not call all at once."""

IN_A_ROW = 3
"""How many different calls in a row have to fail in a way that a single persona may cause too."""

_CENTURY_S = 36_525 * 86_400.0
_IN_BETWEEN_STATUSES = (407, 511)
_random = random.Random()  # noqa: S311 - jitter is no secret


def cause_of(error: APIError) -> Cause | None:
    """Return why an error may be about the whole account; None if it is about one call."""
    if isinstance(error, ServerError):
        is_throttled = error.status_code == 503 and error.retry_after_s is not None
        return Cause.THROTTLED if is_throttled else _of_other_status(error)
    if isinstance(error, RateLimited):
        return Cause.THROTTLED
    if isinstance(error, AuthError):
        return Cause.REFUSED
    if isinstance(error, ConnectionFailed):
        return None if error.maybe_sent else Cause.UNREACHABLE
    if isinstance(error, StatusError):
        return _of_other_status(error)
    is_foreign = isinstance(error, UnexpectedAnswer) and not error.from_api
    return Cause.FOREIGN if is_foreign else None


def _of_other_status(error: StatusError) -> Cause | None:
    code = error.status_code
    if code in _IN_BETWEEN_STATUSES or code < 400:
        return Cause.FOREIGN
    if code == 402 and error.from_api:
        return Cause.REFUSED
    return None if error.from_api or code >= 500 or code in (408, 413) else Cause.FOREIGN


def is_certain(error: APIError) -> bool:
    """Return whether one such error is enough: no persona can be its cause."""
    if isinstance(error, AuthError):
        return error.status_code == 401
    if isinstance(error, RequestTimeout):
        return False
    return cause_of(error) in (Cause.THROTTLED, Cause.UNREACHABLE)


def is_answer(error: APIError) -> bool:
    """Return whether the API itself answered, and with these keys: nothing stands in the way."""
    return isinstance(error, NotFound | InvalidRequest) and error.from_api


def pause_s(cause: Cause, refusals: int, asked_s: float | None) -> float:
    """Return the wall seconds of a pause.

    Args:
        cause: Why the pause begins.
        refusals: How many times in a row it began for this cause, this one included.
        asked_s: The seconds that the API asked to wait, if it did.
    """
    if asked_s:
        return min(asked_s, LONGEST_PAUSE_S)
    backoff_s = FIRST_PAUSE_S[cause] * 2.0 ** min(refusals - 1, 20)
    return min(backoff_s, LONGEST_BACKOFF_S) * (1 + JITTER * _random.random())


def on_clock(clock: Clock, wall_s: float) -> timedelta:
    """Return how far the clock moves in wall seconds; a sandbox's runs faster."""
    speed = clock.speed if isinstance(clock, SystemClock) else 1.0
    return timedelta(seconds=min(wall_s * speed, _CENTURY_S))


def reason(cause: Cause, error: APIError) -> str:
    """Return a sentence for a pause, the same for every persona; ``{moment}`` stands for its end.

    Args:
        cause: Why the pause begins.
        error: What the call raised.
    """
    asked_s = error.retry_after_s if isinstance(error, StatusError) else None
    again = "it is asked again at {moment}, and then up to an hour apart."
    if cause is Cause.THROTTLED:
        if not asked_s:
            return "The API takes no more calls for now; it is asked again at {moment}."
        if asked_s > LONGEST_PAUSE_S:
            asked = format_hours(asked_s / 3600)
            return (
                f"The API asked to wait for {asked}; after a day, at {{moment}}, it is asked again."
            )
        return "The API asked to wait until {moment}; no avatar is polled before."
    if isinstance(error, AuthError):
        return (
            f"The API refuses the keys ({error.status_code}); set AVATARKIT_API_ID and "
            f"AVATARKIT_API_KEY to those of the account and start again; {again}"
        )
    if cause is Cause.FOREIGN:
        code = error.status_code if isinstance(error, StatusError) else 200
        return (
            f"What answers is not the API ({code}) but something in between, such as a network "
            "that asks for a login, a firewall or a proxy; open a web page to log in, or check "
            f"base_url; {again}"
        )
    return f"{str(error).removesuffix('; try again.').rstrip('.')}; {again}"


def error_of(pause: Pause, base_url: str, wait_s: float) -> APIError:
    """Return the error of a call that is not made because of a pause.

    Args:
        pause: The pause.
        base_url: Scheme and host of the API.
        wait_s: Wall seconds until it ends.
    """
    if pause.cause == Cause.REFUSED:
        return AuthError(pause.reason, method="GET", url=base_url, status_code=401)
    if pause.cause == Cause.THROTTLED:
        return RateLimited(
            pause.reason, method="GET", url=base_url, status_code=429, retry_after_s=wait_s
        )
    return ConnectionFailed(pause.reason, method="GET", url=base_url, maybe_sent=False)
