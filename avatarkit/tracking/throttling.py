"""Obey the API's rate limit: pause all calls of the account when the API asks to wait.

A 429, and a 503 with Retry-After, is about the account, not about the persona that was asked for.
So no call is made until the pause is over, by any thread, or any process that tracks into the same
database; only the calls that were out already go on. What a person asks for themself is sent all
the same, once: a submission, or the poll of one avatar.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import TypeGuard, TypeVar

from avatarkit.api.client import Client
from avatarkit.clock import Clock, SystemClock
from avatarkit.errors import APIError, RateLimited, ServerError, StatusError, StoreError
from avatarkit.models import Persona, Quota
from avatarkit.store.account import Pause
from avatarkit.store.store import Store
from avatarkit.text import format_hours

logger = logging.getLogger("avatarkit")

LONGEST_PAUSE_S = 86_400.0
"""Wall seconds of the longest pause; the API is asked again then, whatever it asked for."""

FIRST_BACKOFF_S = 30.0
LONGEST_BACKOFF_S = 3_600.0
"""Wall seconds of the first and the longest pause after a 429 that does not say how long."""

JITTER = 0.1
"""Such pauses are up to this share longer, so that programs do not call all at once."""

CLOCKS_DIFFER = timedelta(minutes=15)
"""How much later the clock of the machine may be on which the pause began."""

_CENTURY_S = 36_525 * 86_400.0

Answer = TypeVar("Answer")

# What the API answered matters more than an error of the log.
_log_may_fail = suppress(StoreError)

_random = random.Random()  # noqa: S311 - jitter is no secret


@dataclass(frozen=True)
class Asking:
    """A call that is about to be sent: its number in the account, and when it was asked.

    ``after_refusal`` is True for the first calls after the API took none.
    """

    no: int
    at: datetime
    after_refusal: bool = False


class ThrottledClient:
    """Makes the calls of one account, and none while the API has asked to wait.

    Args:
        client: The API.
        store: The log; it keeps the pause.
        clock: The session's clock.
    """

    def __init__(self, client: Client, store: Store, clock: Clock) -> None:
        self.client = client
        self._store = store
        self._clock = clock

    def pause(self) -> Pause | None:
        """Return the pause that the API asked for, None if there is none now."""
        pause = self._store.last_pause()
        return pause if pause is not None and self._holds(pause) else None

    def is_probing(self) -> bool:
        """Return whether no call was answered since the API took none."""
        pause = self._store.last_pause()
        return pause is not None and pause.refusals > 0

    def ask(self, *, by_person: bool = False) -> Asking:
        """Return the number of the next call; see ``ask_many``."""
        return self.ask_many(1, by_person=by_person)[0]

    def ask_many(self, count: int, *, by_person: bool = False) -> list[Asking]:
        """Return the numbers of the next calls, in one transaction.

        Args:
            count: How many calls are about to be sent.
            by_person: A person asks for them now; a pause does not hold them up.

        Raises:
            RateLimited: The API asked to wait; nothing was sent.
        """
        with self._store.transaction():
            pause = self._store.last_pause()
            if pause is not None and self._holds(pause) and not by_person:
                raise RateLimited(
                    pause.reason,
                    method="GET",
                    url=self.client.base_url,
                    status_code=429,
                    retry_after_s=self._clock.wall_seconds_until(pause.until),
                )
            # In the same transaction, so that of two calls the later one has the later time.
            after_refusal = pause is not None and pause.refusals > 0
            last, at = self._store.ask(count), self._clock.now()
            return [Asking(no, at, after_refusal) for no in range(last - count + 1, last + 1)]

    def call(self, asking: Asking, send: Callable[[], Answer]) -> Answer:
        """Send a call; start a pause if the API asks to wait.

        Args:
            asking: What ``ask`` returned for it.
            send: Makes the call.

        Raises:
            APIError: The call failed.
        """
        try:
            answer = send()
        except APIError as error:
            if is_throttling(error):
                with _log_may_fail:
                    self._begin_pause(error, asking)
            raise
        if asking.after_refusal:
            with _log_may_fail:
                self._store.forget_refusals(asking.no)
        return answer

    def get_persona(
        self, persona_id: str, *, deadline_s: float, by_person: bool = False
    ) -> Persona:
        """Return one persona; see ``Client.get_persona``."""
        asking = self.ask(by_person=by_person)
        return self.call(
            asking, partial(self.client.get_persona, persona_id, deadline_s=deadline_s)
        )

    def list_personas(
        self, *, deadline_s: float, on_skipped: Callable[[object], None] | None = None
    ) -> tuple[Persona, ...]:
        """Return all personas of the account; see ``Client.list_personas``."""
        return self.call(
            self.ask(),
            lambda: tuple(self.client.list_personas(deadline_s=deadline_s, on_skipped=on_skipped)),
        )

    def persona_quota(self, *, deadline_s: float | None = None) -> Quota:
        """Return the quota; see ``Client.persona_quota``."""
        return self.call(self.ask(), partial(self.client.persona_quota, deadline_s=deadline_s))

    def _holds(self, pause: Pause) -> bool:
        now = self._clock.now()
        # A pause that began later than now, or lasts too long, was stored while a clock was wrong.
        return (
            pause.began_at - CLOCKS_DIFFER <= now < pause.until
            and self._clock.wall_seconds_until(pause.until) <= LONGEST_PAUSE_S * 1.1
        )

    def _begin_pause(self, error: StatusError, asking: Asking) -> None:
        now = self._clock.now()
        with self._store.transaction():
            before = self._store.last_pause()
            refusals = 0 if before is None else before.refusals
            asked_s = error.retry_after_s
            # Calls that were out already when the pause began do not make the next one longer.
            if before is None or asking.no > before.asked_no:
                refusals += 1
            elif not asked_s:
                return
            wait_s = min(asked_s or _backoff_s(refusals), LONGEST_PAUSE_S)
            until = now + _on_clock(self._clock, wait_s)
            if before is not None and self._holds(before) and before.until >= until:
                return
            reason = _reason(asked_s, until, now)
            self._store.begin_pause(now, until, reason, refusals)
        logger.warning("%s", reason)


def is_throttling(error: Exception | None) -> TypeGuard[StatusError]:
    """Return whether an error is about the pace of the whole account: 429, or 503 with a number."""
    if isinstance(error, ServerError):
        return error.status_code == 503 and error.retry_after_s is not None
    return isinstance(error, RateLimited)


def _backoff_s(refusals: int) -> float:
    backoff_s = FIRST_BACKOFF_S * 2.0 ** min(refusals - 1, 20)
    return min(backoff_s, LONGEST_BACKOFF_S) * (1 + JITTER * _random.random())


def _on_clock(clock: Clock, wall_s: float) -> timedelta:
    """Return how far the clock moves in wall seconds; a sandbox's runs faster."""
    speed = clock.speed if isinstance(clock, SystemClock) else 1.0
    return timedelta(seconds=min(wall_s * speed, _CENTURY_S))


def _reason(asked_s: float | None, until: datetime, now: datetime) -> str:
    moment = f"{until:%H:%M} UTC" if until.date() == now.date() else f"{until:%Y-%m-%d %H:%M} UTC"
    if not asked_s:
        return f"The API takes no more calls for now; it is asked again at {moment}."
    if asked_s > LONGEST_PAUSE_S:
        asked = format_hours(asked_s / 3600)
        return f"The API asked to wait for {asked}; after a day, at {moment}, it is asked again."
    return f"The API asked to wait until {moment}; no avatar is polled before."
