"""Poll many personas at once: calls in threads, answers written in batches by one thread.

No call waits for another one: what is due is handed to a thread as soon as one is free, and a
call that hangs stops counting after ``SLOW_S``, so that another thread takes its place. Numbers are
given out just before they are used, several in one transaction, and what comes in within a fraction
of a second is written in one transaction.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from queue import Empty, SimpleQueue
from typing import Self

from avatarkit.api.transport import cancel_on
from avatarkit.errors import APIError, StoreError
from avatarkit.store.plan import DuePersona
from avatarkit.tracking.listing import MOST_IN_BATCH, Listed, Listing
from avatarkit.tracking.poll import Answer, Poll, Poller

logger = logging.getLogger("avatarkit")

SLOW_S = 2.0
"""Wall seconds after which a call holds no thread of the others any longer."""
MOST_SLOW = 40
"""At most this many threads are started beside those that hang."""
BATCH_S = 0.25
"""Wall seconds within which answers are written in one transaction."""
STALE_S = 1.0
"""Wall seconds after which a number that was not used is given back for a newer one."""
CLOSE_S = 1.0
"""Wall seconds that ``close`` waits for the calls that it cancels."""

Result = Answer | Listed | Poll


@dataclass(frozen=True, eq=False)
class _Call:
    """A call about personas that are due: a poll of one, or the list in place of many polls."""

    due: Sequence[DuePersona]
    send: Callable[[], Answer | Listed]
    put_s: float
    is_list: bool = False


class Polls:
    """The polls that are waiting for a thread or in progress.

    One thread uses it, and writes the log; the threads that it starts only make calls.

    Args:
        poller: Polls one persona.
        listing: Reads the list in place of many polls.
        threads: How many calls are made at once, not counting those that hang.
        stop: Once it is set, calls are cancelled.
    """

    def __init__(
        self, poller: Poller, listing: Listing, *, threads: int, stop: threading.Event | None
    ) -> None:
        self._poller = poller
        self._listing = listing
        self._clock = poller.clock
        self._threads = threads
        self._is_own_stop = stop is None
        self._stop = stop or threading.Event()
        self._waiting: deque[DuePersona] = deque()
        self._to_list: list[DuePersona] = []
        self._in_flight: set[str] = set()
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._results: SimpleQueue[tuple[_Call | None, Result | None]] = SimpleQueue()
        self._unanswered: set[_Call] = set()
        self._beside = 0
        self._sent_s: dict[_Call, float] = {}
        self._workers = 0
        self._failed: StoreError | None = None
        self._ahead = threads
        self._is_held = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def is_busy(self) -> bool:
        """Whether anything waits or is in progress."""
        return bool(self.has_waiting or self._unanswered or self._beside or self._failed)

    @property
    def has_waiting(self) -> bool:
        """Whether a persona waits for a thread."""
        return bool(self._waiting or self._to_list)

    def add(self, due: Iterable[DuePersona]) -> None:
        """Poll personas, in this order; one whose poll is waiting or in progress is left out.

        If there are several, the account's list is read first, and only those that it leaves out
        are polled.
        """
        new = [each for each in due if each.persona_id not in self._in_flight]
        self._in_flight.update(each.persona_id for each in new)
        # One list at a time: another one would be asked for what hangs already.
        is_listing = self._to_list or any(call.is_list for call in self._unanswered)
        if not is_listing and self._listing.is_worthwhile(len(new), self._clock.now()):
            self._to_list, self._listing.is_reading = new, True
        else:
            self._waiting.extend(new)

    def start(self, job: Callable[[], Poll]) -> None:
        """Run another job in a thread of its own; its result is one of ``step``'s."""
        self._beside += 1
        self._start_thread(partial(self._run, None, job), "avatarkit-background")

    def step(self, wait_s: float) -> list[Poll]:
        """Hand out calls, and wait for answers; log those that came in.

        Args:
            wait_s: Wall seconds to wait for the first answer.

        Returns:
            The results of polls that are logged.

        Raises:
            StoreError: The log failed. What was not logged is due still.
        """
        if self._failed is not None:
            error, self._failed = self._failed, None
            raise error
        polls = self._hand_out()
        if self._unanswered or self._beside:
            polls += self._log(self._arrived(wait_s))
        return polls

    def clear(self) -> None:
        """Forget what waits for a thread; it is due still."""
        for due in (*self._waiting, *self._to_list):
            self._in_flight.discard(due.persona_id)
        self._waiting.clear()
        if self._to_list:
            self._to_list, self._listing.is_reading = [], False

    def close(self) -> None:
        """Give up what is waiting or in progress; answers that are there are lost."""
        self.clear()
        if self._is_own_stop:
            self._stop.set()
        for _ in range(self._workers):
            self._calls.put(None)
        self._workers = 0

    def finish(self) -> list[Poll]:
        """Log the answers to calls that are ending, after ``stop`` was set.

        A call that cannot be cancelled, such as one that is connecting still, is left to itself.

        Raises:
            StoreError: The log failed.
        """
        self.clear()
        polls: list[Poll] = []
        for _ in range(round(CLOSE_S / 0.1)):
            if self._unanswered or self._beside:
                polls += self._log(self._arrived(0.1))
        return polls

    def _hand_out(self) -> list[Poll]:
        if self._is_held.is_set():
            # What the API said holds for all of them; calls that are out already are waited for.
            self.clear()
            if not self._unanswered:
                self._is_held.clear()
            return []
        room = self._room()
        if not room or not self.has_waiting:
            return []
        count = min(room, len(self._waiting) + bool(self._to_list))
        try:
            askings = self._poller.api.ask_many(count)
        except APIError as error:
            self.clear()
            return [Poll(error=str(error), raised=error)]
        if self._to_list:
            due, self._to_list = self._to_list, []
            wanted = self._poller.store.running()
            self._put(due, partial(self._listing.read, due, wanted, askings.pop(0)), is_list=True)
        for asking in askings:
            persona = self._waiting.popleft()
            self._put([persona], partial(self._poller.fetch, persona, asking, stop=self._stop))
        return []

    def _room(self) -> int:
        """Return how many more calls may be handed out; start the threads for them."""
        out = len(self._unanswered)
        slow_s = self._clock.monotonic() - SLOW_S
        slow = min(sum(sent_s < slow_s for sent_s in list(self._sent_s.values())), MOST_SLOW)
        threads = self._threads + slow
        while self._workers < min(threads, out + len(self._waiting) + bool(self._to_list)):
            self._workers += 1
            self._start_thread(self._work, "avatarkit-poll")
        while self._workers > threads:
            self._workers -= 1
            self._calls.put(None)
        if self._poller.api.is_probing():
            return int(not out)  # one call finds out whether the API takes calls again
        return max(threads + self._ahead - out, 0)

    def _put(
        self,
        due: Sequence[DuePersona],
        send: Callable[[], Answer | Listed],
        *,
        is_list: bool = False,
    ) -> None:
        call = _Call(due, send, self._clock.monotonic(), is_list)
        self._unanswered.add(call)
        self._calls.put(call)

    def _start_thread(self, target: Callable[[], None], name: str) -> None:
        # A daemon, so that a call that hangs does not keep the program from its end.
        threading.Thread(target=target, name=name, daemon=True).start()

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            now_s = self._clock.monotonic()
            if now_s - call.put_s > STALE_S or self._is_held.is_set() or self._stop.is_set():
                self._results.put((call, None))
                continue
            self._sent_s[call] = now_s
            self._run(call, call.send)
            del self._sent_s[call]

    def _run(self, call: _Call | None, job: Callable[[], Result]) -> None:
        try:
            with cancel_on(self._stop):
                result = job()
            error = result.raised if isinstance(result, Poll) else result.error
            if isinstance(error, APIError) and self._poller.api.is_about_account(error):
                self._is_held.set()
        except Exception as error:
            # One bug must not end days of tracking.
            logger.exception("A thread of the tracker failed.")
            result = Poll(error=f"{type(error).__name__} in a thread of the tracker.")
        self._results.put((call, result))

    def _arrived(self, wait_s: float) -> list[Result]:
        """Return the results that come in within a fraction of a second."""
        arrived: list[tuple[_Call | None, Result | None]] = []
        with suppress(Empty):
            arrived.append(self._results.get(timeout=wait_s))
            end_s = self._clock.monotonic() + BATCH_S
            while len(arrived) < MOST_IN_BATCH and (
                not self._results.empty()
                # The threads have enough to do meanwhile.
                or (self._calls.qsize() > self._threads and self._clock.monotonic() < end_s)
            ):
                arrived.append(self._results.get(timeout=BATCH_S))
        results: list[Result] = []
        for call, result in arrived:
            if result is not None:
                results.append(result)
            if call is None:
                self._beside -= 1
                continue
            self._unanswered.discard(call)
            if result is not None:
                self._listing.is_reading &= not call.is_list
                self._in_flight.difference_update(each.persona_id for each in call.due)
            elif call.is_list:  # it was not sent, and waits for a newer number
                self._to_list = [*call.due]
            else:
                self._waiting.appendleft(call.due[0])
        if arrived:
            self._ahead = min(max(2 * len(results), self._threads), MOST_IN_BATCH)
        return results

    def _log(self, results: list[Result]) -> list[Poll]:
        polls = [result for result in results if isinstance(result, Poll)]
        answers = [result for result in results if isinstance(result, Answer)]
        for listed in results:
            if isinstance(listed, Listed):
                logged, left_out = self._listing.log(listed)
                polls += logged
                # They are the longest overdue.
                self._in_flight.update(each.persona_id for each in left_out)
                self._waiting.extendleft(reversed(left_out))
        return polls + self._log_answers(answers)

    def _log_answers(self, answers: list[Answer]) -> list[Poll]:
        if not answers:
            return []
        try:
            return self._poller.log_many(answers)
        except Exception:  # noqa: BLE001 - each is tried alone, which raises what is to be raised
            return self._log_each(answers)

    def _log_each(self, answers: list[Answer]) -> list[Poll]:
        """Log answers one by one, so that one that cannot be logged does not undo the others."""
        polls: list[Poll] = []
        failed: list[StoreError] = []
        for answer in answers:
            try:
                polls.append(self._poller.log_alone(answer))
            except StoreError as error:
                failed.append(error)
                if len(failed) > 1 and not polls:
                    break  # it is the database, which would be waited for once an answer
        if failed:
            self._failed = failed[0]  # raised by the next step, as what was logged is reported
        return polls
