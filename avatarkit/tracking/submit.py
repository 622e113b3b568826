"""Send one create: log it before it is sent, send it once, and log the result."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial

from avatarkit.api.client import Client
from avatarkit.api.multipart import Progress
from avatarkit.clock import Clock
from avatarkit.errors import (
    AvatarkitError,
    ConnectionFailed,
    PlanFull,
    ServerError,
    StoreError,
    SubmissionUncertain,
    UnexpectedAnswer,
)
from avatarkit.models import Persona, PersonaCreate, Quota
from avatarkit.store.store import Store
from avatarkit.tracking.poll import plan_next
from avatarkit.tracking.throttling import ThrottledClient

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
) -> Persona:
    """Send a prepared create.

    When this ends the log has the result: ``accepted``, ``uncertain`` if a persona may have been
    created, ``refused`` if none was.

    Args:
        api: The API; a pause of the account does not hold up the create, which a person sends.
        store: The log.
        clock: The session's clock.
        request: The create.
        submission_id: The prepared submission, reserved for this thread.
        ask_quota: Returns the quota, None if it cannot be read.
        progress: Called as ``progress(sent_bytes, total_bytes)`` while files are read.

    Returns:
        The persona that the API created.

    Raises:
        SubmissionUncertain: It may have been carried out, or was and could not be logged.
        StoreError: It was sent before, or could not be logged; nothing was sent.
        AvatarkitError: Nothing was created; ``PlanFull`` before anything was sent.
    """
    is_sending = False
    try:
        _check_room(api.client, ask_quota())
        asking = api.ask(by_person=True)
        store.sending(submission_id, clock.now())
        is_sending = True
        create = partial(api.client.create_persona, request, progress=progress)
        persona = api.call(asking, create)
    except StoreError:
        raise  # nothing was sent, and the log has its state
    except AvatarkitError as error:
        if _may_have_arrived(error):
            with _log_may_fail:
                store.uncertain(submission_id, clock.now(), str(error))
            raise SubmissionUncertain(
                f"It is not known whether {request.creator_name!r} was created: {error} "
                "Do not send it again; reconcile() finds out what became of it.",
                submission_id=submission_id,
            ) from error
        with _log_may_fail:
            store.refused(submission_id, clock.now(), str(error))
        raise
    except BaseException:  # such as Ctrl-C during an upload
        with _log_may_fail:
            if is_sending:
                message = "The program was interrupted while it was sending."
                store.uncertain(submission_id, clock.now(), message)
            else:
                message = "The program was interrupted before it was sent; send it again."
                store.refused(submission_id, clock.now(), message)
        raise
    try:
        at = clock.now()
        with store.transaction():
            recorded = store.accepted(submission_id, persona, at, asked_no=asking.no)
            plan_next(store, persona.id, recorded, at)
    except StoreError as error:
        raise SubmissionUncertain(
            f"The API created {persona.id}, but that could not be written down: {error} "
            "Do not send it again; reconcile() finds it.",
            submission_id=submission_id,
        ) from error
    return persona


def _check_room(client: Client, quota: Quota | None) -> None:
    if quota is not None and quota.is_full:
        raise PlanFull(
            f"The plan is full: {quota.current_count} of {quota.max_count} avatars; "
            "delete one or extend the plan, then send it again.",
            method="GET",
            url=f"{client.base_url}/api/personas_v2/count/",
            status_code=403,
        )


def _may_have_arrived(error: AvatarkitError) -> bool:
    """Return whether a create that ended in this error may have made a persona."""
    if isinstance(error, ConnectionFailed):
        return error.maybe_sent
    return isinstance(error, ServerError | UnexpectedAnswer)
