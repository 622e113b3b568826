"""Poll one persona: log the answer or the error, and plan the next poll."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import TypeGuard

from avatarkit.api.transport import cancel_on
from avatarkit.clock import Clock
from avatarkit.errors import APIError, ConfigError, NotFound, StoreError
from avatarkit.models import Persona
from avatarkit.store.plan import DuePersona
from avatarkit.store.sightings import Change, Recorded
from avatarkit.store.store import Store
from avatarkit.store.unchanged import Seen
from avatarkit.tracking import polling
from avatarkit.tracking.schedule import Schedule
from avatarkit.tracking.throttling import Asking, ThrottledClient

logger = logging.getLogger("avatarkit")

DEADLINE_S = 20.0
"""Wall seconds of a poll, retries included."""


@dataclass(frozen=True)
class Poll:
    """The result of a poll: a change of status, an error as a sentence, or neither.

    ``raised`` is the exception, if the API caused the error. ``is_beside`` is True for what runs
    beside the polls, which says nothing about them.
    """

    change: Change | None = None
    error: str | None = None
    raised: APIError | None = None
    is_beside: bool = False


@dataclass(frozen=True)
class Answer:
    """What came of the call for one persona: ``persona``, or ``error``.

    ``at`` is when it arrived. A call that was cancelled says nothing of the persona.
    """

    due: DuePersona
    asking: Asking
    at: datetime
    persona: Persona | None = None
    error: Exception | None = None
    is_cancelled: bool = False


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
        probe: bool = False,
    ) -> Poll:
        """Request a persona from the API, and log the answer or the error.

        An error that is about the account is no error of the persona, which stays due.

        Args:
            due: The persona, with its number of failed polls.
            deadline_s: Wall seconds for the call, retries included, if less than ``DEADLINE_S``.
            stop: Once it is set, the call is cancelled and nothing is logged.
            by_person: A person asks for this poll now; a pause of the account does not hold it up.
            probe: Only a pause that the API asked for holds it up.

        Returns:
            The change or the error; errors of the API are not raised.

        Raises:
            StoreError: The answer or the error cannot be logged.
        """
        try:
            asking = self.api.ask(by_person=by_person, probe=probe)
        except APIError as error:
            return Poll(error=str(error), raised=error)
        return self.log_alone(self.fetch(due, asking, deadline_s=deadline_s, stop=stop))

    def fetch(
        self,
        due: DuePersona,
        asking: Asking,
        *,
        deadline_s: float | None = None,
        stop: threading.Event | None = None,
    ) -> Answer:
        """Request a persona from the API; log nothing. For the arguments see ``poll``."""
        persona: Persona | None = None
        error: Exception | None = None
        try:
            with cancel_on(stop):
                persona = self.request(
                    due.persona_id, asking, min(DEADLINE_S, deadline_s or DEADLINE_S)
                )
        except Exception as raised:  # noqa: BLE001 - ``log`` tells a bug from an error of the API
            error = raised
        is_cancelled = persona is None and stop is not None and stop.is_set()
        return Answer(due, asking, self.clock.now(), persona, error, is_cancelled)

    def log(self, answer: Answer) -> Poll:
        """Log what came of a call, and plan the next poll, in one transaction.

        Raises:
            StoreError: It cannot be logged. Any other error is a bug that the answer triggers.
        """
        error = answer.error
        if answer.is_cancelled:
            return Poll()
        if answer.persona is not None:
            # It may have been erased since it was due.
            recorded = self.log_answer(answer.persona, answer.asking, answer.at, known_only=True)
            return Poll(recorded.change, recorded.notice)
        if not isinstance(error, APIError):
            raise error or RuntimeError("An answer without a persona.")
        if self.api.is_about_account(error):
            # Others that are due are asked first after the pause: one alone must not hold up all,
            # if something in between lets its calls through and not those of this one.
            self.store.defer(answer.due.persona_id, answer.at)
            pause = self.api.pause()
            return Poll(error=str(error) if pause is None else pause.reason, raised=error)
        self._log_error(answer, str(error), missing=is_missing(error))
        return Poll(error=str(error), raised=error)

    def log_many(self, answers: Sequence[Answer]) -> list[Poll]:
        """Log what came of several calls in one transaction: all of it or nothing; see ``log``."""
        seen = [Seen(each.persona, each.asking) for each in answers if each.persona is not None]
        polls: list[Poll] = []
        with self.store.transaction(), self.store.plan_together():
            unchanged = self.store.record_unchanged(seen)
            for answer in answers:
                recorded = unchanged.get(answer.due.persona_id)
                if recorded is None:
                    polls.append(self.log(answer))
                else:
                    plan_next(self.store, answer.due.persona_id, recorded, answer.at, self.schedule)
                    polls.append(Poll())
        return polls

    def log_alone(self, answer: Answer) -> Poll:
        """Log what came of a call; a bug that it triggers is logged as the persona's error.

        Raises:
            StoreError: It cannot be logged.
            ConfigError: The client is closed.
        """
        try:
            return self.log(answer)
        except (StoreError, ConfigError):
            raise  # the log failed, or the client is closed
        except Exception as error:
            # A bug that one answer triggers must not stop the polls of other personas.
            logger.exception("The poll of %s failed.", answer.due.persona_id)
            message = f"The answer could not be kept ({type(error).__name__})."
            self._log_error(answer, message, missing=False)
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

    def log_answer(
        self,
        persona: Persona,
        asking: Asking,
        at: datetime,
        *,
        source: str = "poll",
        known_only: bool = False,
    ) -> Recorded:
        """Log an answer and plan the next poll, in one transaction.

        Args:
            persona: The answer.
            asking: The number of the call, and when the request was sent.
            at: When the answer arrived.
            source: ``poll`` or ``list``.
            known_only: Log nothing about a persona that the log does not have.

        Returns:
            What was logged.
        """
        with self.store.transaction():
            recorded = self.store.record(
                persona,
                asked_at=asking.asked_at,
                answered_at=asking.answered_at,
                source=source,
                asked_no=asking.no,
                dates=asking.dates,
                known_only=known_only,
            )
            plan_next(self.store, persona.id, recorded, at, self.schedule)
        if recorded.notice is not None:
            logger.warning("%s", recorded.notice)
        return recorded

    def _log_error(self, answer: Answer, error: str, *, missing: bool) -> None:
        due, at, asked_no = answer.due, answer.at, answer.asking.no
        with self.store.transaction():
            gone = self.store.record_error(
                due.persona_id, error, at=at, missing=missing, asked_no=asked_no
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
    next_at = next_poll_at(recorded.status, recorded.since, at, persona_id)
    store.plan(persona_id, at if recorded.is_disputed else next_at, at)
