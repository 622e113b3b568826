"""Send the rows of a batch, two at a time, until all are sent or something is in the way.

A row that is not sent yet waits in the log, so stopping, a kill, a full plan and an API that asks
to wait need no other care: sending again sends what still waits, each row once.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from pydantic import ValidationError

from avatarkit.api.multipart import Progress
from avatarkit.api.transport import cancel_on
from avatarkit.clock import Clock
from avatarkit.errors import (
    APIError,
    AvatarkitError,
    ConfigError,
    PlanFull,
    SubmissionUncertain,
    VideoUnreadable,
)
from avatarkit.models import VIDEO_FIELDS, PersonaCreate, check_file, error_sentence, is_url
from avatarkit.store.account import Pause
from avatarkit.store.batches import SubmitResult
from avatarkit.store.store import Store
from avatarkit.store.submissions import SentBefore, Submission
from avatarkit.tracking import gate
from avatarkit.tracking.gate import Cause

logger = logging.getLogger("avatarkit")

UPLOADS = 2
"""How many rows are sent at once; more would only slow each other down."""

UNCERTAIN_IN_A_ROW = 3
"""A batch stops after this many uncertain rows without an answered one in between: each may take a
place of the plan, and the next would end like them."""

STEP_S = 0.5
"""Wall seconds after which it is looked again whether to stop, while there is nothing else to do.
"""

OnProgress = Callable[[SubmitResult, int, int], object]
"""Called with a row, the bytes of it that were sent, and all of its bytes."""


class BatchInterrupted(KeyboardInterrupt):
    """Ctrl-C stopped a batch; ``results`` is what became of its rows until then."""

    def __init__(self, results: list[SubmitResult]) -> None:
        waiting = sum(result.state == "prepared" for result in results)
        super().__init__(f"Stopped: {waiting} of {len(results)} wait; do it again to send them.")
        self.results = results


class Send(Protocol):
    """Sends one prepared create."""

    def __call__(
        self,
        request: PersonaCreate,
        submission_id: str,
        *,
        progress: Progress | None,
        waits: Callable[[BaseException], str | None],
        others: int,
    ) -> object:
        """Send it; ``others`` is how many other rows are being sent, which take places too."""
        ...


def send(
    store: Store,
    clock: Clock,
    send_row: Send,
    pause: Callable[[], Pause | None],
    ids: Sequence[str],
    *,
    numbers: Sequence[int] | None = None,
    on_progress: OnProgress | None = None,
    stop: threading.Event | None = None,
) -> list[SubmitResult]:
    """Send those of these submissions that wait in a batch.

    Args:
        store: The log.
        clock: The session's clock.
        send_row: Sends one.
        pause: Returns the pause of the account's calls.
        ids: The submissions, in the order in which they are sent.
        numbers: The number of each; its place by default.
        on_progress: Called from the threads that send, with each change of state too.
        stop: No further row is begun once it is set.

    Returns:
        What became of each, in the order of ``ids``. The ``error`` of one that is still
        ``prepared`` says why it waits.

    Raises:
        BatchInterrupted: Ctrl-C: no further row was begun, and the uploads in progress ended; a
            second Ctrl-C cancels these.
        StoreError: The log failed; nothing is lost, do it again.
    """
    numbered = dict(zip(ids, numbers or range(1, len(ids) + 1), strict=True))
    sending = _Sending(store, clock, send_row, pause, numbered, on_progress, stop)
    is_interrupted = sending.run()
    results = store.results(ids)
    if is_interrupted:
        raise BatchInterrupted(results)
    return results


def wait_for(ends: Sequence[threading.Event]) -> None:
    """Wait until all of these are set.

    In steps, without which Windows would not see Ctrl-C. A thread that is joined instead counts as
    ended once Ctrl-C interrupts that, though it still runs.

    Source: Python's ``Thread._wait_for_tstate_lock``, 3.11.
    """
    for end in ends:
        while not end.wait(STEP_S):
            pass


def read_request(submission: Submission) -> PersonaCreate:
    """Return the create of a row that waits.

    Raises:
        ValueError: It cannot be sent any longer, as a file of it is gone; the text is a sentence.
    """
    for field in VIDEO_FIELDS:
        value = submission.request.get(field)
        if value is not None and not is_url(value):
            # Exactly this file: the model would take one of a similar name in its place.
            try:
                check_file(Path(value))
            except (ValueError, OSError) as error:
                reason = error.strerror if isinstance(error, OSError) else error
                raise ValueError(f"{field}: {reason}") from None
    try:
        return PersonaCreate.model_validate(submission.request)
    except ValidationError as error:
        raise ValueError(error_sentence(error)) from None


class _Sending:
    """The threads that send, and what they share."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        send_row: Send,
        pause: Callable[[], Pause | None],
        numbers: Mapping[str, int],
        on_progress: OnProgress | None,
        stop: threading.Event | None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._send_row = send_row
        self._pause = pause
        self._ids = store.waiting(list(numbers))
        self._left = deque(self._ids)
        self._numbers = numbers
        self._on_progress = on_progress
        self._stop = stop
        self._lock = threading.Lock()
        self._running = 0
        self._uncertain = 0
        self._threads = 0
        self._halted: str | None = None
        self._cancel = threading.Event()

    def run(self) -> bool:
        """Send until nothing is left or something is in the way; return whether by Ctrl-C."""
        self._threads = min(UPLOADS, len(self._ids))
        ends = [threading.Event() for _ in range(self._threads)]
        for end in ends:
            threading.Thread(target=self._work, args=(end,), daemon=True).start()
        is_interrupted, is_over = False, False
        while not is_over:
            try:
                wait_for(ends)
                is_over = True
            except KeyboardInterrupt:
                if is_interrupted:
                    self._cancel.set()
                is_interrupted = True
                self._halt("It was interrupted; do it again to send this one.")
        if self._halted is not None:
            self._store.note_waiting(self._ids, self._halted)
        return is_interrupted

    def _work(self, end: threading.Event) -> None:
        try:
            with cancel_on(self._cancel):
                while (submission_id := self._take()) is not None:
                    try:
                        goes_on = self._try_row(submission_id)
                    finally:
                        with self._lock:
                            self._running -= 1
                    if not goes_on:
                        break
        except AvatarkitError as error:
            self._halt(str(error))
        except Exception as error:
            logger.exception("A batch ended early.")
            self._halt(f"{type(error).__name__} while a batch was sent; do it again.")
        finally:
            end.set()

    def _take(self) -> str | None:
        """Return the next row, once the API does not ask to wait; None if there is none to send."""
        while not self._is_over() and (pause := self._pause_asked_for()) is not None:
            self._store.note_waiting(list(self._left), pause.reason)
            left_s = self._clock.wall_seconds_until(pause.until)
            self._clock.sleep(min(left_s, STEP_S), self._stop)
        with self._lock:
            if self._is_over() or not self._left:
                self._threads -= 1
                return None
            self._running += 1
            return self._left.popleft()

    def _try_row(self, submission_id: str) -> bool:
        """Send a row; return whether this thread goes on with another one."""
        submission = next(iter(self._store.some_submissions([submission_id])), None)
        if submission is None or submission.state != "prepared":
            return True
        try:
            request = read_request(submission)
        except ValueError as error:
            self._store.refuse_waiting(submission_id, self._clock.now(), str(error))
            self._report(submission_id)
            return True
        others, goes_on = self._running - 1, True
        try:
            self._send_row(
                request,
                submission_id,
                progress=self._progress_of(submission_id, request),
                waits=_why_wait,
                others=others,
            )
        except SentBefore:
            return True  # another process sends it, or another thread of this one
        except SubmissionUncertain as error:
            self._note_uncertain(error)
        except VideoUnreadable:
            pass  # the log says so
        except PlanFull as error:
            # Another row that is being sent may not get the place that was counted for it.
            if not others:
                self._halt(str(error))
            goes_on = self._put_back(submission_id, alone=bool(others))
        except APIError as error:
            cause = gate.cause_of(error)
            if cause is Cause.THROTTLED:
                goes_on = self._put_back(submission_id)
                if self._pause_asked_for() is None:
                    self._clock.sleep(gate.FIRST_PAUSE_S[cause], self._stop)
            elif cause is not None:
                self._halt(str(error))
            else:
                self._uncertain = 0
        else:
            self._uncertain = 0
        self._report(submission_id)
        return goes_on

    def _note_uncertain(self, error: SubmissionUncertain) -> None:
        with self._lock:
            self._uncertain += 1
        if self._uncertain >= UNCERTAIN_IN_A_ROW:
            self._halt(
                f"{self._uncertain} in a row are uncertain, the last as follows; see to that "
                f"first. {error.__cause__}"
            )

    def _put_back(self, submission_id: str, *, alone: bool = False) -> bool:
        """Let a row be the next one; return False to leave it to the other thread."""
        with self._lock:
            self._left.appendleft(submission_id)
            is_left = alone and self._threads > 1
            self._threads -= is_left
            return not is_left

    def _pause_asked_for(self) -> Pause | None:
        pause = self._pause()
        return pause if pause is not None and pause.cause == Cause.THROTTLED else None

    def _is_over(self) -> bool:
        return self._halted is not None or (self._stop is not None and self._stop.is_set())

    def _halt(self, reason: str) -> None:
        if self._halted is None:
            logger.info("A batch stops: %s", reason)
            self._halted = reason

    def _progress_of(self, submission_id: str, request: PersonaCreate) -> Progress:
        number, is_begun = self._numbers[submission_id], False
        result = SubmitResult(number, submission_id, request.creator_name, "sending")

        def report(sent: int, total: int) -> None:
            nonlocal is_begun
            if not is_begun and sent:
                self._call(result, 0, total)  # the change of state
            is_begun = True
            self._call(result, sent, total)

        return report

    def _report(self, submission_id: str) -> None:
        for result in self._store.results([submission_id]):
            numbered = replace(result, number=self._numbers[submission_id])
            self._call(numbered, 0, 0)

    def _call(self, result: SubmitResult, sent: int, total: int) -> None:
        if self._on_progress is not None:
            try:
                self._on_progress(result, sent, total)
            except Exception:  # an upload does not fail for what is only shown
                logger.exception("The progress of a batch could not be shown.")


def _why_wait(error: BaseException) -> str | None:
    """Return why a row waits after an error with which nothing was created; None if it is refused.

    What is about the whole account, this machine or the program is no fault of the row.
    """
    if not isinstance(error, Exception):
        return "The program was interrupted before it was sent; do it again to send this one."
    is_of_account = isinstance(error, APIError) and gate.cause_of(error) is not None
    return str(error) if is_of_account or isinstance(error, PlanFull | ConfigError) else None
