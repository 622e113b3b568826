"""One create: written down before it is sent, sent once, and what came of it written down."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

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

# The cause is worth more than that it could not be written down: what the log has as being sent
# and nobody sends any more, it settles by itself (Store.abandon).
_log_may_fail = suppress(StoreError)


def send(
    client: Client,
    store: Store,
    clock: Clock,
    request: PersonaCreate,
    submission_id: str,
    *,
    ask_quota: Callable[[], Quota | None],
    progress: Progress | None = None,
) -> Persona:
    """Send a prepared create; the persona that the API made of it.

    Whatever else happens is in the journal when this ends: ``uncertain`` when it may have arrived
    without an answer (raises ``SubmissionUncertain``), ``refused`` when nothing was created.
    Raises ``StoreError``, and sends nothing, when it left before.
    """
    leaving = False
    try:
        quota = ask_quota()
        if quota is not None and quota.is_full:
            raise PlanFull(
                f"The plan is full: {quota.current_count} of {quota.max_count} avatars; "
                "delete one or extend the plan, then send it again.",
                method="GET",
                url=f"{client.base_url}/api/personas_v2/count/",
                status_code=403,
            )
        store.sending(submission_id, clock.now())
        leaving = True
        return client.create_persona(request, progress=progress)
    except StoreError:
        raise  # it has not left; what the log holds of it stands
    except AvatarkitError as error:
        if may_have_arrived(error):
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
    except BaseException:  # Ctrl-C in the middle of an upload, for one
        with _log_may_fail:
            if leaving:
                message = "The program was interrupted while it was sending."
                store.uncertain(submission_id, clock.now(), message)
            else:
                message = "The program was interrupted before it was sent; send it again."
                store.refused(submission_id, clock.now(), message)
        raise


def may_have_arrived(error: AvatarkitError) -> bool:
    """True when a create that ended in this error may nevertheless have made a persona."""
    if isinstance(error, ConnectionFailed):
        return error.maybe_sent
    return isinstance(error, ServerError | UnexpectedAnswer)
