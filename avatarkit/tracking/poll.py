"""Poll one persona: log the answer or the error, and plan the next poll."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from datetime import datetime

from avatarkit.api.client import Client
from avatarkit.api.transport import cancel_on
from avatarkit.clock import Clock
from avatarkit.errors import APIError, NotFound, StoreError
from avatarkit.models import Persona
from avatarkit.store.plan import DuePersona
from avatarkit.store.sightings import Change, Recorded
from avatarkit.store.store import Store
from avatarkit.tracking import polling

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
    """Polls personas through ``client`` and logs the answers in ``store``."""

    client: Client
    store: Store
    clock: Clock

    def poll(
        self,
        due: DuePersona,
        *,
        deadline_s: float | None = None,
        stop: threading.Event | None = None,
    ) -> Poll:
        """Request a persona from the API, and log the answer or the error.

        Args:
            due: The persona, with its number of failed polls.
            deadline_s: Wall seconds for the call, retries included.
            stop: Once it is set, the call is cancelled and nothing is logged.

        Returns:
            The change or the error; errors of the API are not raised.

        Raises:
            StoreError: The answer or the error cannot be logged.
        """
        asked_at = self.clock.now()
        try:
            with cancel_on(stop):
                persona = self.client.get_persona(due.persona_id, deadline_s=deadline_s)
            return Poll(self.log_answer(persona, asked_at))
        except APIError as error:
            if stop is not None and stop.is_set():
                return Poll()
            self._log_error(due, str(error), missing=isinstance(error, NotFound))
            return Poll(error=str(error), raised=error)
        except StoreError:
            raise
        except Exception as error:
            # A bug that one answer triggers must not stop the polls of other personas.
            logger.exception("The poll of %s failed.", due.persona_id)
            message = f"The answer could not be kept ({type(error).__name__})."
            self._log_error(due, message, missing=False)
            return Poll(error=message)

    def log_answer(self, persona: Persona, asked_at: datetime) -> Change | None:
        """Log an answer and plan the next poll, in one transaction.

        Args:
            persona: The answer.
            asked_at: When the request was sent.

        Returns:
            The change of status, None if there is none.
        """
        at = self.clock.now()
        with self.store.transaction():
            recorded = self.store.record(persona, asked_at=asked_at, answered_at=at, source="poll")
            plan_next(self.store, persona.id, recorded, at)
        return None if recorded is None else recorded.change

    def _log_error(self, due: DuePersona, error: str, *, missing: bool) -> None:
        at = self.clock.now()
        with self.store.transaction():
            gone = self.store.record_error(due.persona_id, error, at=at, missing=missing)
            next_at = None if gone else polling.next_retry_at(due.failures, at, due.persona_id)
            self.store.plan(due.persona_id, next_at)


def plan_next(store: Store, persona_id: str, recorded: Recorded | None, at: datetime) -> None:
    """Plan the poll that follows an answer.

    Args:
        store: The log.
        persona_id: The persona.
        recorded: What ``store.record`` returned; None changes nothing.
        at: When the answer arrived.
    """
    if recorded is not None:
        next_at = polling.next_poll_at(recorded.status, recorded.since, at, persona_id)
        store.plan(persona_id, next_at)
