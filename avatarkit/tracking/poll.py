"""Poll one persona: log the answer or the error, and plan the next poll."""

from __future__ import annotations

import json
import logging
import threading
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import TypeGuard

from avatarkit.api.transport import cancel_on
from avatarkit.clock import Clock
from avatarkit.errors import APIError, NotFound, RateLimited, StoreError
from avatarkit.models import Persona
from avatarkit.store.plan import DuePersona
from avatarkit.store.sightings import Change, Recorded
from avatarkit.store.store import Store
from avatarkit.tracking import polling
from avatarkit.tracking.schedule import Schedule
from avatarkit.tracking.throttling import Asking, ThrottledClient, is_throttling

logger = logging.getLogger("avatarkit")


@dataclass(frozen=True)
class Poll:
    """The result of a poll: a change of status, an error as a sentence, or neither.

    ``raised`` is the exception, if the API caused the error.
    """

    change: Change | None = None
    error: str | None = None
    raised: APIError | None = None


@dataclass(frozen=True)
class Poller:
    """Polls personas through ``api`` and logs the answers in ``store``, as ``schedule`` says."""

    api: ThrottledClient
    store: Store
    clock: Clock
    schedule: Schedule = field(default_factory=Schedule)

    def poll(
        self,
        due: DuePersona,
        *,
        deadline_s: float | None = None,
        stop: threading.Event | None = None,
        by_person: bool = False,
    ) -> Poll:
        """Request a persona from the API, and log the answer or the error.

        An answer that is about the pace of the account is no error of the persona, which stays due.

        Args:
            due: The persona, with its number of failed polls.
            deadline_s: Wall seconds for the call, retries included.
            stop: Once it is set, the call is cancelled and nothing is logged.
            by_person: A person asks for this poll now; a pause of the account does not hold it up.

        Returns:
            The change or the error; errors of the API are not raised.

        Raises:
            StoreError: The answer or the error cannot be logged.
        """
        try:
            asking = self.api.ask(by_person=by_person)
        except RateLimited as error:
            return Poll(error=str(error), raised=error)
        try:
            with cancel_on(stop):
                persona = self.request(due.persona_id, asking, deadline_s)
            recorded = self.log_answer(persona, asking)
            return Poll(recorded.change, recorded.notice)
        except APIError as error:
            if stop is not None and stop.is_set():
                return Poll()
            if is_throttling(error):
                pause = self.api.pause()
                return Poll(error=str(error) if pause is None else pause.reason, raised=error)
            self._log_error(due, str(error), asking, missing=is_missing(error))
            return Poll(error=str(error), raised=error)
        except StoreError:
            raise
        except Exception as error:
            # A bug that one answer triggers must not stop the polls of other personas.
            logger.exception("The poll of %s failed.", due.persona_id)
            message = f"The answer could not be kept ({type(error).__name__})."
            self._log_error(due, message, asking, missing=False)
            return Poll(error=message)

    def request(self, persona_id: str, asking: Asking, deadline_s: float | None = None) -> Persona:
        """Request a persona from the API.

        Args:
            persona_id: The persona.
            asking: The number of the call, from ``api.ask``.
            deadline_s: Wall seconds for the call, retries included.

        Raises:
            APIError: The call failed.
        """
        get = partial(self.api.client.get_persona, persona_id, deadline_s=deadline_s)
        return self.api.call(asking, get)

    def log_answer(self, persona: Persona, asking: Asking) -> Recorded:
        """Log an answer and plan the next poll, in one transaction.

        Args:
            persona: The answer.
            asking: The number of the call, and when the request was sent.

        Returns:
            What was logged.
        """
        at = self.clock.now()
        with self.store.transaction():
            recorded = self.store.record(
                persona, asked_at=asking.at, answered_at=at, source="poll", asked_no=asking.no
            )
            plan_next(self.store, persona.id, recorded, at, self.schedule)
        if recorded.notice is not None:
            logger.warning("%s", recorded.notice)
        return recorded

    def _log_error(self, due: DuePersona, error: str, asking: Asking, *, missing: bool) -> None:
        at = self.clock.now()
        with self.store.transaction():
            gone = self.store.record_error(
                due.persona_id, error, at=at, missing=missing, asked_no=asking.no
            )
            next_at: datetime | None = polling.next_retry_at(due.failures, at, due.persona_id)
            if gone:
                next_at = None if due.has_ended else polling.next_poll_of_gone(at, due.persona_id)
            self.store.plan(due.persona_id, next_at, at)


def is_missing(error: APIError | None) -> TypeGuard[NotFound]:
    """Return whether the API itself says that it has no such persona.

    A 404 that is not its JSON comes from something in between, and says nothing about personas.

    Source: Django REST framework answers ``{"detail": "..."}``.
    """
    if not isinstance(error, NotFound):
        return False
    try:
        body = json.loads(error.body)
    except ValueError:
        return False
    return isinstance(body, dict) and "detail" in body


def plan_next(
    store: Store,
    persona_id: str,
    recorded: Recorded,
    at: datetime,
    schedule: Schedule | None = None,
) -> None:
    """Plan the poll that follows an answer.

    Args:
        store: The log.
        persona_id: The persona.
        recorded: What ``store.record`` returned.
        at: When the answer arrived.
        schedule: What is known of the stages, and the budget; without it, neither.
    """
    next_poll_at = polling.next_poll_at if schedule is None else schedule.next_poll_at
    store.plan(persona_id, next_poll_at(recorded.status, recorded.since, at, persona_id), at)
