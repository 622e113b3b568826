"""Make no call of the account while nothing would come of it.

What is about the account and not about the persona that was asked for pauses all calls: the API
asks to wait, it refuses the keys, something else answers in its place, or nothing answers. Then no
call is made until the pause is over, by any thread, or any process that tracks into the same
database; only the calls that were out already go on. After it one call finds out whether the API
takes calls again. What a person asks for themself is sent all the same, once: a submission, or the
poll of one avatar.
"""

from __future__ import annotations

import logging
import socket
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

from avatarkit.api.client import Client
from avatarkit.api.transport import collect_dates, is_cancelled
from avatarkit.clock import Clock
from avatarkit.errors import APIError, StatusError, StoreError
from avatarkit.models import Persona, Quota
from avatarkit.store import clock_skew
from avatarkit.store.account import ClockOffset, Pause
from avatarkit.store.clock_skew import Call
from avatarkit.store.store import Store
from avatarkit.tracking import gate
from avatarkit.tracking.gate import Cause

logger = logging.getLogger("avatarkit")

CLOCKS_DIFFER = timedelta(minutes=15)
"""How much later the clock of the machine may be on which the pause began."""

MOST_CALLS = 10_000
"""How many of the last calls are remembered, to count those of the last hour."""

Answer = TypeVar("Answer")

# What the API answered matters more than an error of the log.
_log_may_fail = suppress(StoreError)


@dataclass
class Asking(Call):
    """A call that is about to be sent; ``ThrottledClient.call`` completes it with the answer.

    ``after_refusal`` is True for the first calls after the API took none.
    """

    after_refusal: bool = False


class ThrottledClient:
    """Makes the calls of one account, and none while they are paused.

    Args:
        client: The API.
        store: The log; it keeps the pause.
        clock: The session's clock.

    Attributes:
        last_date: The last moment that the API's clock has shown, by the ``Date`` header of an
            answer; None if there was none.
    """

    def __init__(self, client: Client, store: Store, clock: Clock) -> None:
        self.client = client
        self._store = store
        self._clock = clock
        self._asked: deque[datetime] = deque(maxlen=MOST_CALLS)
        self._doubtful: set[str] = set()  # URLs of calls since the last answer
        self._offset: timedelta | None = None
        self.last_date: datetime | None = None

    def count_page(self) -> None:
        """Count the call for a further page of a list."""
        self._asked.append(self._clock.now())

    def calls_since(self, moment: datetime) -> int:
        """Return how many calls were asked since a moment, a call's retries as one."""
        return sum(moment <= at for at in self._asked.copy())

    def pause(self) -> Pause | None:
        """Return the pause that holds now, None if there is none."""
        pause = self._last()
        return pause if pause is not None and self._holds(pause) else None

    def is_probing(self) -> bool:
        """Return whether no call was answered since the last pause began."""
        return self.trouble() is not None and self.pause() is None

    def trouble(self) -> Pause | None:
        """Return the last pause until a call is answered, also when its time is over."""
        pause = self._last()
        return pause if pause is not None and (pause.refusals or self._holds(pause)) else None

    def ask(self, *, by_person: bool = False, probe: bool = False) -> Asking:
        """Return the number of the next call; see ``ask_many``."""
        return self.ask_many(1, by_person=by_person, probe=probe)[0]

    def ask_many(self, count: int, *, by_person: bool = False, probe: bool = False) -> list[Asking]:
        """Return the numbers of the next calls, in one transaction.

        Args:
            count: How many calls are about to be sent.
            by_person: A person asks for these calls now; a pause does not hold them up.
            probe: The call finds out whether the API takes calls again; only a pause that the API
                asked for holds it up.

        Raises:
            APIError: The calls are paused, and nothing was sent. The class is that of the cause,
                such as ``AuthError`` if the API refuses the keys.
        """
        with self._store.transaction():
            pause = self._last()
            may_call = by_person or (probe and pause and pause.cause != Cause.THROTTLED)
            if pause is not None and self._holds(pause) and not may_call:
                left_s = self._clock.wall_seconds_until(pause.until)
                raise gate.error_of(pause, self.client.base_url, left_s)
            # In the same transaction, so that of two calls the later one has the later time.
            after_refusal = pause is not None and pause.refusals > 0
            last, now = self._store.ask(count), self._clock.now()
            numbers = range(last - count + 1, last + 1)
            return [Asking(no, now, now, after_refusal=after_refusal) for no in numbers]

    def is_about_account(self, error: APIError) -> bool:
        """Return whether an error that ``call`` raised is about the account, not one persona."""
        is_doubtful = gate.cause_of(error) is not None and not gate.is_certain(error)
        return gate.is_certain(error) or (is_doubtful and self.pause() is not None)

    def call(self, asking: Asking, send: Callable[[], Answer]) -> Answer:
        """Send a call; begin a pause if its error is about the account, else end one.

        Args:
            asking: What ``ask`` returned for it; gets the time and the ``Date`` of the answer.
            send: Makes the call.

        Raises:
            APIError: The call failed.
        """
        self._asked.append(asking.asked_at)
        try:
            with collect_dates() as dates:
                answer = send()
        except APIError as error:
            if not is_cancelled():
                self._note_error(error, asking)
            raise
        asking.answered_at, asking.dates = self._clock.now(), dates
        self.last_date = max(dates, default=self.last_date)
        with _log_may_fail:
            self._compare_clocks(asking)
        self._note_answer(asking)
        return answer

    def list_personas(
        self,
        *,
        deadline_s: float,
        on_skipped: Callable[[object], None] | None = None,
        asking: Asking | None = None,
    ) -> tuple[Persona, ...]:
        """Return all personas of the account; see ``Client.list_personas``."""
        return self.call(
            asking or self.ask(),
            lambda: tuple(
                self.client.list_personas(
                    deadline_s=deadline_s,
                    on_skipped=on_skipped,
                    on_next_page=lambda _: self.count_page(),
                )
            ),
        )

    def persona_quota(self, asking: Asking, *, deadline_s: float | None = None) -> Quota:
        """Return the quota; see ``Client.persona_quota``."""
        return self.call(asking, partial(self.client.persona_quota, deadline_s=deadline_s))

    def _last(self) -> Pause | None:
        pause = self._store.last_pause()
        # That the API refuses other keys says nothing of these.
        is_of_others = pause is not None and pause.keys not in (None, self.client.keys_mark)
        return None if is_of_others else pause

    def _holds(self, pause: Pause) -> bool:
        if pause.cause != Cause.THROTTLED and not pause.refusals:
            return False  # a call was answered meanwhile, and only the API's own word still counts
        now = self._clock.now()
        # A pause that began later than now, or lasts too long, was stored while a clock was wrong.
        return (
            pause.began_at - CLOCKS_DIFFER <= now < pause.until
            and self._clock.wall_seconds_until(pause.until) <= gate.LONGEST_PAUSE_S * 1.1
        )

    def _compare_clocks(self, call: Call) -> None:
        """Store and log, once, that this machine's clock differs from the API's, or no longer."""
        bounds = clock_skew.offset_bounds(call.asked_at, call.answered_at, call.dates)
        if bounds is None:
            return
        # A slow call bounds the offset loosely: what was found before holds unless it is disproved.
        lower, upper = bounds[0] - clock_skew.TOLERANCE, bounds[1] + clock_skew.TOLERANCE
        if self._offset is not None and lower <= self._offset <= upper:
            return
        self._offset = clock_skew.offset_of(bounds)
        offset = ClockOffset(self._offset, socket.gethostname())
        self._store.set_clock_offset(offset)
        if self._offset:
            logger.warning("%s", offset)

    def _note_answer(self, asking: Asking) -> None:
        self._doubtful.clear()
        if asking.after_refusal:
            with _log_may_fail:
                self._store.forget_refusals(asking.no)

    def _note_error(self, error: APIError, asking: Asking) -> None:
        cause = gate.cause_of(error)
        if cause is not None:
            with _log_may_fail:
                self._begin_pause(cause, error, asking)
        elif gate.is_answer(error):
            self._note_answer(asking)

    def _begin_pause(self, cause: Cause, error: APIError, asking: Asking) -> None:
        now = self._clock.now()
        with self._store.transaction():
            before = self._last()
            holding = before if before is not None and self._holds(before) else None
            refusals = before.refusals if before is not None and before.cause == cause else 0
            if not gate.is_certain(error) and not refusals:
                self._doubtful.add(error.url)
                if len(self._doubtful) < gate.IN_A_ROW:
                    return
            asked_s = None
            if isinstance(error, StatusError) and cause is Cause.THROTTLED:
                asked_s = error.retry_after_s
            # Calls that were out already when the pause began do not make the next one longer.
            if before is None or asking.no > before.asked_no:
                refusals += 1
            elif not asked_s:
                return
            until = now + gate.on_clock(self._clock, gate.pause_s(cause, refusals, asked_s))
            if holding is not None and not _replaces(cause, until, holding):
                return
            keys = self.client.keys_mark if cause is Cause.REFUSED else None
            text = gate.reason(cause, error)
            self._store.begin_pause(now, until, text, refusals, cause=cause, keys=keys)
        if holding is None or holding.text != text:
            logger.warning("%s", Pause(now, until, text, refusals, asking.no).reason)


def _replaces(cause: Cause, until: datetime, holding: Pause) -> bool:
    """Return whether a pause replaces one that holds: what a person asked for found another cause.

    What the API asked for is replaced by a longer wait that it asks for only.
    """
    if cause is Cause.THROTTLED:
        return holding.cause != cause or until > holding.until
    return holding.cause not in (cause, Cause.THROTTLED)
