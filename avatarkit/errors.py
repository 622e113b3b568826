"""Everything that can go wrong, as one tree.

Catch ``AvatarkitError`` for all of it, or the branch you can act on::

    AvatarkitError
    ├ ConfigError                         a setting is missing or wrong
    ├ VideoUnreadable (path)              a video file is gone, empty or not readable
    ├ APIError (method, url)
    │ ├ ConnectionFailed (maybe_sent)     no answer arrived
    │ │ └ RequestTimeout                  ... because a timeout passed
    │ ├ StatusError (status_code, body, messages)
    │ │ ├ AuthError                       401, 403
    │ │ │ └ PlanFull                      told by the quota, before anything is sent
    │ │ ├ NotFound                        404
    │ │ ├ InvalidRequest (fields)         400, 422
    │ │ ├ RateLimited (retry_after_s)     429
    │ │ └ ServerError                     5xx
    │ └ UnexpectedAnswer (body)           an answer that is not what the API promises
    ├ SubmissionUncertain (submission_id) a create that may or may not have arrived
    ├ PersonaEnded (persona)              raised by ``Tracker.wait`` only
    │ ├ PersonaFailed
    │ └ PersonaRejected
    ├ WaitTimeout (persona_id, waited_s)  resumable: wait for the same id again
    └ StoreError                          the database cannot be opened, read or written

The text of each is one sentence that says what is wrong and what to do. No text, attribute or
``repr`` of any of them holds an API key: ``Client`` blots it out of the bodies that it keeps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from avatarkit.models import Persona


class AvatarkitError(Exception):
    """The root of all errors of avatarkit."""


class ConfigError(AvatarkitError):
    """A setting is missing or wrong; the text names it and the way out."""


class VideoUnreadable(AvatarkitError):
    """A video file that was to be sent is gone, a directory, empty or not readable."""

    def __init__(self, message: str, *, path: Path) -> None:
        super().__init__(message)
        self.path = path


class APIError(AvatarkitError):
    """A call of the API did not end well. ``method`` and ``url`` say which."""

    def __init__(self, message: str, *, method: str, url: str) -> None:
        super().__init__(message)
        self.method = method
        self.url = url


class ConnectionFailed(APIError):
    """No answer arrived. ``maybe_sent`` is False only when the request surely never left."""

    def __init__(self, message: str, *, method: str, url: str, maybe_sent: bool) -> None:
        super().__init__(message, method=method, url=url)
        self.maybe_sent = maybe_sent


class RequestTimeout(ConnectionFailed):
    """No answer arrived within the timeout."""


class StatusError(APIError):
    """The API answered with a status that is not a success.

    ``messages`` are the API's own sentences, ``body`` is the start of what it sent.
    """

    def __init__(
        self,
        message: str,
        *,
        method: str,
        url: str,
        status_code: int,
        body: str = "",
        messages: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message, method=method, url=url)
        self.status_code = status_code
        self.body = body
        self.messages = messages


class AuthError(StatusError):
    """401 or 403: the keys are not accepted, or (on a create) the plan is full."""


class PlanFull(AuthError):
    """The plan has no room for another avatar; raised by ``Tracker.submit`` before it sends."""


class NotFound(StatusError):
    """404: this account has no such thing."""


class InvalidRequest(StatusError):
    """400 or 422. ``fields`` maps a field's name to the API's messages about it."""

    def __init__(
        self,
        message: str,
        *,
        method: str,
        url: str,
        status_code: int,
        body: str = "",
        messages: tuple[str, ...] = (),
        fields: dict[str, list[str]] | None = None,
    ) -> None:
        super().__init__(
            message, method=method, url=url, status_code=status_code, body=body, messages=messages
        )
        self.fields = fields or {}


class RateLimited(StatusError):
    """429. ``retry_after_s`` is what the API asked to wait, in wall seconds, or None."""

    def __init__(
        self,
        message: str,
        *,
        method: str,
        url: str,
        status_code: int,
        body: str = "",
        messages: tuple[str, ...] = (),
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(
            message, method=method, url=url, status_code=status_code, body=body, messages=messages
        )
        self.retry_after_s = retry_after_s


class ServerError(StatusError):
    """5xx: the API has a problem of its own."""


class UnexpectedAnswer(APIError):
    """A success that does not hold what the API promises. ``body`` is its start."""

    def __init__(self, message: str, *, method: str, url: str, body: str = "") -> None:
        super().__init__(message, method=method, url=url)
        self.body = body


class SubmissionUncertain(AvatarkitError):
    """A create broke off when the API may already have read it; it is never sent again.

    ``Tracker.reconcile()`` finds out what became of ``submission_id``.
    """

    def __init__(self, message: str, *, submission_id: str) -> None:
        super().__init__(message)
        self.submission_id = submission_id


class PersonaEnded(AvatarkitError):
    """The persona that was waited for ended otherwise than done. ``persona`` is its last state."""

    def __init__(self, message: str, *, persona: Persona) -> None:
        super().__init__(message)
        self.persona = persona


class PersonaFailed(PersonaEnded):
    """The persona ended as failed; ``persona.failed_reason`` may say why."""


class PersonaRejected(PersonaEnded):
    """The persona ended as rejected by review; ``persona.failed_reason`` may say why."""


class WaitTimeout(AvatarkitError):
    """The wait is over, the persona is not: wait for the same ``persona_id`` again.

    ``waited_s`` is in wall seconds.
    """

    def __init__(self, message: str, *, persona_id: str, waited_s: float) -> None:
        super().__init__(message)
        self.persona_id = persona_id
        self.waited_s = waited_s


class StoreError(AvatarkitError):
    """The database cannot be opened, read or written; nothing was half written."""
