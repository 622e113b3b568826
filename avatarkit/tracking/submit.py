"""Send one create: log it before it is sent, send it once, and log the result."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from functools import partial
from itertools import count
from typing import Any

from avatarkit.api.client import Client
from avatarkit.api.multipart import Progress
from avatarkit.api.transport import is_cancelled
from avatarkit.clock import Clock
from avatarkit.errors import (
    APIError,
    AuthError,
    AvatarkitError,
    ConnectionFailed,
    InvalidRequest,
    PlanFull,
    ServerError,
    StatusError,
    StoreError,
    SubmissionUncertain,
    UnexpectedAnswer,
)
from avatarkit.models import Persona, PersonaCreate, Quota
from avatarkit.store.store import Store
from avatarkit.tracking.poll import plan_next
from avatarkit.tracking.throttling import ThrottledClient

logger = logging.getLogger("avatarkit")

WRITE_FOR_S = 120.0
WRITE_EVERY_S = 1.0
"""Wall seconds for which, and between which, what the API answered is written to the log."""

# The error of the create matters more than an error of the log: a submission that stays ``sending``
# is settled later (Store.settle_abandoned).
_log_may_fail = suppress(StoreError)


def send(
    api: ThrottledClient,
    store: Store,
    clock: Clock,
    request: PersonaCreate,
    submission_id: str,
    *,
    ask_quota: Callable[[], Quota | None],
    progress: Progress | None = None,
    waits: Callable[[BaseException], str | None] = lambda _: None,
) -> Persona:
    """Send a prepared create.

    When this ends the log has the result: ``accepted``, ``uncertain`` if a persona may have been
    created, ``refused`` if none was, or ``prepared`` again if it ``waits``.

    Args:
        api: The API; a pause of the account does not hold up the create, which a person sends.
        store: The log.
        clock: The session's clock.
        request: The create.
        submission_id: The prepared submission, reserved for this thread.
        ask_quota: Returns the quota, None if it cannot be read.
        progress: Called as ``progress(sent_bytes, total_bytes)`` while files are read.
        waits: Returns why a row of a batch waits and is sent later, after an error with which
            nothing was created; None if the error ends it.

    Returns:
        The persona that the API created.

    Raises:
        SubmissionUncertain: It may have been carried out, or was and could not be logged.
        StoreError: It was sent before, or could not be logged; nothing was sent.
        AvatarkitError: Nothing was created; ``PlanFull`` before anything was sent.
    """
    is_sending, upload = False, _Upload(progress)
    try:
        _check_room(api.client, ask_quota())
        asking = api.ask(by_person=True)
        store.sending(submission_id, clock.now(), api.last_date)
        is_sending = True
        create = partial(api.client.create_persona, request, progress=upload)
        persona = api.call(asking, create)
    except StoreError:
        raise  # nothing was sent, and the log has its state
    except AvatarkitError as error:
        if _may_have_arrived(error):
            answered = not isinstance(error, ConnectionFailed)  # perhaps to a part only
            broke: str | None = upload.broke(
                "the upload ended" if answered else "the connection broke"
            )
            if answered and upload.is_whole:
                broke = None
            at = clock.now()
            with _log_may_fail:
                _write(clock, store.uncertain, submission_id, at, str(error), upload_broke=broke)
            raise SubmissionUncertain(
                f"It is not known whether {request.creator_name!r} was created: {error} "
                "Do not send it again; reconcile() finds out what became of it.",
                submission_id=submission_id,
            ) from error
        error = _plan_full(api.client, error, ask_quota) if is_sending else error
        with _log_may_fail:
            write = partial(_log_not_created, store, submission_id, clock.now(), str(error))
            _write(clock, write, waits(error), is_sending=is_sending)
        raise error
    except BaseException as error:  # such as Ctrl-C during an upload
        with _log_may_fail:
            if is_sending:
                message = "The program was interrupted while it was sending."
                broke = upload.broke("the program was interrupted")
                store.uncertain(submission_id, clock.now(), message, upload_broke=broke)
            else:
                message = "The program was interrupted before it was sent; send it again."
                reason = waits(error)
                _log_not_created(
                    store, submission_id, clock.now(), message, reason, is_sending=False
                )
        if isinstance(error, KeyboardInterrupt):
            raise _interrupted(request, upload if is_sending else None) from None
        raise
    at = clock.now()

    def write_accepted() -> None:
        with store.transaction():
            recorded = store.accepted(submission_id, persona, at, call=asking)
            plan_next(store, persona.id, recorded, at)

    try:
        _write(clock, write_accepted)
    except (StoreError, KeyboardInterrupt) as error:
        reason = str(error) or "it was interrupted."
        raise SubmissionUncertain(
            f"The API created {persona.id}, but that could not be written down: {reason} "
            "Do not send it again; reconcile() finds it.",
            submission_id=submission_id,
        ) from error
    return persona


def _log_not_created(
    store: Store,
    submission_id: str,
    at: datetime,
    error: str,
    reason: str | None,
    *,
    is_sending: bool,
) -> None:
    """Log that nothing was created; a row of a batch that has a reason to wait does so."""
    if reason is None:
        store.refused(submission_id, at, error)
    elif is_sending:
        store.wait_again(submission_id, reason)
    else:  # another process may be sending it by now
        store.note_waiting([submission_id], reason)


def _interrupted(request: PersonaCreate, upload: _Upload | None) -> KeyboardInterrupt:
    """Return the interrupt with a sentence on what became of the create.

    Args:
        request: The create.
        upload: The upload that was interrupted, None if it had not begun.
    """
    name = request.creator_name
    if upload is None:
        return KeyboardInterrupt(f"{name!r} was not sent, as it was interrupted; send it again.")
    cause = "it was interrupted while it was sent"
    if not upload.is_whole:
        cause = upload.broke("it was interrupted")
    return KeyboardInterrupt(
        f"It is not known whether {name!r} was created: {cause}. "
        "Do not send it again; reconcile() finds out what became of it."
    )


def _write(clock: Clock, write: Callable[..., object], *values: Any, **named: Any) -> None:
    """Write what became of a create to the log, again and again while the database fails."""
    until_s = clock.monotonic() + WRITE_FOR_S
    for attempt in count():
        try:
            write(*values, **named)
            return
        except StoreError as error:
            if clock.monotonic() >= until_s or is_cancelled():
                raise
            if not attempt:
                logger.warning("What the API answered is kept and written down later: %s", error)
        clock.sleep(WRITE_EVERY_S)


class _Upload:
    """Remembers how far an upload has come, and passes it on."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress
        self._sent = self._total = 0

    def __call__(self, sent: int, total: int) -> None:
        self._sent, self._total = sent, total
        if self._progress is not None:
            self._progress(sent, total)

    @property
    def is_whole(self) -> bool:
        """Whether the files were read to their end."""
        return self._sent == self._total

    def broke(self, cause: str) -> str:
        """Return how far it came, as a clause."""
        return f"{cause} after {self._sent / 1e6:,.1f} of {self._total / 1e6:,.1f} MB"


def _check_room(client: Client, quota: Quota | None) -> None:
    if quota is not None and quota.is_full:
        raise PlanFull(
            f"The plan is full: {quota.current_count} of {quota.max_count} avatars; "
            "delete one or extend the plan, then send it again.",
            method="GET",
            url=f"{client.base_url}/api/personas_v2/count/",
            status_code=403,
        )


def _plan_full(
    client: Client, error: AvatarkitError, ask_quota: Callable[[], Quota | None]
) -> AvatarkitError:
    """Return ``PlanFull`` if that is why the API refused a create, by its quota; else the error."""
    if isinstance(error, AuthError | InvalidRequest) and error.from_api and not error.fields:
        try:
            with _log_may_fail:
                _check_room(client, ask_quota())
        except APIError as full:
            return full
    return error


def _may_have_arrived(error: AvatarkitError) -> bool:
    """Return whether a create that ended in this error may have made a persona."""
    if isinstance(error, ConnectionFailed):
        return error.maybe_sent
    if isinstance(error, StatusError) and error.status_code == 408:
        return True  # what had arrived of it may have been carried out
    return isinstance(error, ServerError | UnexpectedAnswer)
