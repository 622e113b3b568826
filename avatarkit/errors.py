"""The exceptions of avatarkit.

Catch ``AvatarkitError`` for all of them, or the branch that you can act on::

    AvatarkitError
    ├ ConfigError                         a setting is missing or wrong
    ├ VideoUnreadable (path)              a video file is gone, empty, not readable or changing
    ├ APIError (method, url)
    │ ├ ConnectionFailed (maybe_sent)     no answer arrived
    │ │ └ RequestTimeout                  ... because a timeout passed
    │ ├ StatusError (status_code, body, messages, from_api)
    │ │ ├ AuthError                       401, 403
    │ │ ├ PlanFull                        the plan has no room; no avatar was created
    │ │ ├ NotFound                        404 of a persona
    │ │ ├ InvalidRequest (fields)         400, 422
    │ │ ├ TooLarge                        413
    │ │ ├ RateLimited (retry_after_s)     429
    │ │ └ ServerError                     5xx
    │ └ UnexpectedAnswer (body, from_api) a 2xx whose body does not fit the contract
    ├ SubmissionUncertain (submission_id) a create that may or may not have arrived
    ├ PersonaEnded (persona)              raised by ``Tracker.wait`` only
    │ ├ PersonaFailed
    │ └ PersonaRejected
    ├ WaitTimeout (persona_id, waited_s, last_error)  resumable: wait for the same id again
    └ StoreError                          the database cannot be opened, read or written

The text of each is one sentence that says what is wrong and what to do. No text, attribute or
``repr`` of any of them holds an API key: ``Client`` redacts the bodies that it keeps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from avatarkit.models import Persona

__all__ = [
    *("APIError", "AuthError", "AvatarkitError", "ConfigError", "ConnectionFailed"),
    *("InvalidRequest", "NotFound", "PersonaEnded", "PersonaFailed", "PersonaRejected"),
    *("PlanFull", "RateLimited", "RequestTimeout", "ServerError", "StatusError"),
    *("StoreError", "SubmissionUncertain", "TooLarge", "UnexpectedAnswer"),
    *("VideoUnreadable", "WaitTimeout"),
]


class AvatarkitError(Exception):
    """The root of all errors of avatarkit."""


class ConfigError(AvatarkitError):
    """A setting or argument is missing or wrong. Correct the one that the text names."""


class VideoUnreadable(AvatarkitError):
    """A video file cannot be read, or changed while it was sent. Nothing was created.

    Correct ``path`` or the file, and send it again.
    """

    def __init__(self, message: str, *, path: Path) -> None:
        super().__init__(message)
        self.path = path


class APIError(AvatarkitError):
    """A call of the API failed: ``method`` and ``url`` say which. The subclass says what to do."""

    def __init__(self, message: str, *, method: str, url: str) -> None:
        super().__init__(message)
        self.method = method
        self.url = url


class ConnectionFailed(APIError):
    """No answer arrived. Check the network and ``base_url``, and try again.

    ``maybe_sent`` is False only if the request surely never left. While it is True, a create must
    not be sent again: it may have made an avatar.
    """

    def __init__(self, message: str, *, method: str, url: str, maybe_sent: bool) -> None:
        super().__init__(message, method=method, url=url)
        self.maybe_sent = maybe_sent


class RequestTimeout(ConnectionFailed):
    """No answer arrived in time. Try again, or raise the timeouts in the settings."""


class StatusError(APIError):
    """The API answered with a status that is not a success.

    ``messages`` are the API's own sentences; ``body`` is the beginning of its answer. ``from_api``
    is False if the answer is not JSON, as that of a proxy or firewall in between; a 403 or 404 of
    such a one is a plain ``StatusError``, which says nothing of keys, plans or personas. The other
    attributes belong to the subclasses that describe them.
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
        from_api: bool = False,
        fields: dict[str, list[str]] | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message, method=method, url=url)
        self.status_code = status_code
        self.body = body
        self.messages = messages
        self.from_api = from_api
        self.fields = fields or {}
        self.retry_after_s = retry_after_s


class AuthError(StatusError):
    """401 or 403: the keys are not accepted, or a create is not allowed. Check keys and plan."""


class PlanFull(StatusError):
    """The plan has no room for another avatar, and none was created. Delete one first.

    Said by the quota before anything was sent, or by the API's answer to the create.
    """


class NotFound(StatusError):
    """404: the account has no such persona. Check the id and whose keys are used."""


class TooLarge(StatusError):
    """413: the upload is too large. Shorten the video, or give its public URL instead."""


class InvalidRequest(StatusError):
    """400 or 422: the API refused the request. Correct it and send it again.

    ``fields`` maps the name of a field to the API's messages about it.
    """


class RateLimited(StatusError):
    """429: too many calls. Wait before the next one.

    ``retry_after_s`` is how long the API asks to wait, in wall seconds; None if it does not say.
    """


class ServerError(StatusError):
    """5xx: the API failed. Try again later, except a create, which may have been carried out."""


class UnexpectedAnswer(APIError):
    """The API answered with a 2xx whose body does not fit its contract. Check ``base_url``.

    ``body`` is the beginning of the answer. ``from_api`` is False if it does not begin as JSON
    does, as the page of a proxy or of a network that asks for a login, or has too many bytes.
    """

    def __init__(
        self, message: str, *, method: str, url: str, body: str = "", from_api: bool = True
    ) -> None:
        super().__init__(message, method=method, url=url)
        self.body = body
        self.from_api = from_api


class SubmissionUncertain(AvatarkitError):
    """A create failed after the API may have read it. Do not send it again.

    ``Tracker.reconcile()`` finds out what became of ``submission_id``.
    """

    def __init__(self, message: str, *, submission_id: str) -> None:
        super().__init__(message)
        self.submission_id = submission_id


class PersonaEnded(AvatarkitError):
    """The persona that was waited for did not become done. ``persona`` is its last state."""

    def __init__(self, message: str, *, persona: Persona) -> None:
        super().__init__(message)
        self.persona = persona


class PersonaFailed(PersonaEnded):
    """The persona failed; ``persona.failed_reason`` may say why. Submit another video."""


class PersonaRejected(PersonaEnded):
    """The review rejected the persona; ``persona.failed_reason`` may say why."""


class WaitTimeout(AvatarkitError):
    """The persona is not finished after ``waited_s`` wall seconds.

    Wait for the same ``persona_id`` again to go on; nothing is lost. ``last_error`` says in one
    sentence why it could not be polled; None if the API answered the last time.
    """

    def __init__(
        self, message: str, *, persona_id: str, waited_s: float, last_error: str | None = None
    ) -> None:
        super().__init__(message)
        self.persona_id = persona_id
        self.waited_s = waited_s
        self.last_error = last_error


class StoreError(AvatarkitError):
    """The database cannot be opened, read or written; no write was left half done."""
