"""Poll what is due in passes, and reconcile in a thread beside them."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol

from avatarkit.clock import Clock
from avatarkit.errors import APIError, AvatarkitError, StoreError
from avatarkit.store.account import Pause
from avatarkit.store.sightings import Change
from avatarkit.store.store import Store
from avatarkit.tracking.access import Access
from avatarkit.tracking.lease import TrackerLease
from avatarkit.tracking.notify import Notifier
from avatarkit.tracking.poll import Poll
from avatarkit.tracking.polls import Polls
from avatarkit.tracking.state import log_change, tracked_by

logger = logging.getLogger("avatarkit")

STEP_S = 0.25
"""Wall seconds to wait for answers, at most, before what has become due is handed out too."""
LONGEST_PASS_S = 20.0
"""Wall seconds after which a pass ends, for its error to be reported, though a call hangs still."""
READ_DUE_EVERY_S = 1.0
"""Wall seconds between two reads of what is due while calls are in progress; ``LONGEST_PAUSE_S``
while others wait for a thread."""
SHORTEST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 5.0
"""Wall seconds between two passes, at most, as another process may submit meanwhile."""
STAND_BY_S = 3.0
"""Wall seconds between two looks at the log while another tracker makes the calls."""
RECONCILE_EVERY = timedelta(minutes=10)
RECONCILE_PAUSE_S = 5.0
"""Time between two reconciliations on the session's clock, and wall seconds between them at least,
as ten minutes of a sandbox can be a moment."""
QUOTA_S = 20.0
"""Wall seconds to read the quota."""


class Tracker(Protocol):
    """What a run needs of ``tracker.Tracker``, which lies above it."""

    clock: Clock
    store: Store
    access: Access
    lease: TrackerLease
    before_pass: Callable[[], str | None] | None
    notifier: Notifier | None
    reconcile_at: datetime | None
    running_in: set[int]

    @property
    def is_probing(self) -> bool: ...  # noqa: D102
    def trouble(self) -> Pause | None: ...  # noqa: D102
    def hand_out(self, polls: Polls) -> list[Poll]: ...  # noqa: D102
    def open_polls(self, stop: threading.Event | None) -> Polls: ...  # noqa: D102
    def reconcile(self, *, probe: bool) -> object: ...  # noqa: D102
    def check_account(self) -> list[str]: ...  # noqa: D102
    def is_quota_due(self) -> bool: ...  # noqa: D102
    def ask_quota(self, *, deadline_s: float | None, probe: bool) -> object: ...  # noqa: D102
    def end_pass(  # noqa: D102
        self, error: str | None, *, polled: bool, reconciled: bool = False
    ) -> None: ...
    def refresh_schedule(self) -> str | None: ...  # noqa: D102
    def back_up(self) -> None: ...  # noqa: D102
    def notify(self, *, is_over: bool = False) -> str | None: ...  # noqa: D102


@dataclass(frozen=True)
class Reports:
    """Where a run reports changes, errors and notices, for the arguments of ``Tracker.run``."""

    on_change: Callable[[Change], None] | None = None
    on_error: Callable[[str], None] | None = None
    on_notice: Callable[[str], None] | None = None


def run(
    tracker: Tracker,
    stop: threading.Event,
    reports: Reports,
    *,
    once: bool = False,
    until_done: bool = False,
) -> None:
    """Poll and reconcile in passes until stopped; see ``Tracker.run``.

    Args:
        tracker: The tracker, or a weak proxy of one: it ends with ``ReferenceError`` once that is
            collected.
        stop: Ends the run.
        reports: Where it reports.
        once: End after one pass.
        until_done: End when no persona is left to poll.
    """
    notifier, running_in, thread = tracker.notifier, tracker.running_in, threading.get_ident()
    running_in.add(thread)
    if notifier is not None:
        notifier.begin()
    try:
        Run(tracker, stop, reports).go(once=once, until_done=until_done)
    finally:
        running_in.discard(thread)
        if notifier is not None:
            notifier.close()


@dataclass
class _Pass:
    """The result of one pass.

    ``next_at`` and ``has_running`` are set if it is complete; ``polled`` says whether anything was
    due, ``reconciled`` whether what runs beside the polls ended. ``trouble`` is the last pause,
    until a call is answered.
    """

    error: str | None = None
    trouble: Pause | None = None
    polled: bool = False
    reconciled: bool = False
    next_at: datetime | None = None
    has_running: bool = False
    is_complete: bool = False


class Run:
    """One run of a tracker: passes over what is due, until it is stopped.

    A pass ends when no call is in progress any longer. A call that hangs does not hold it up: what
    becomes due meanwhile is polled. The quota is read and uncertain submissions are reconciled in a
    thread of their own, so that no poll waits for that.

    Args:
        tracker: Polls, reconciles and keeps the last error.
        stop: Ends the run.
        reports: Where it reports.
    """

    def __init__(self, tracker: Tracker, stop: threading.Event, reports: Reports) -> None:
        self._tracker = tracker
        self._stop = stop
        self._on_change = reports.on_change
        self._on_error = reports.on_error
        self._on_notice = reports.on_notice
        tracker.reconcile_at = tracker.clock.now()
        self._in_background = False
        self._reconciled_s = -math.inf
        self._probe = False
        self._reported: str | None = None
        self._trouble: Pause | None = None
        self._unsent: str | None = None
        self._standby_from: int | None = None
        self._notices: list[str] = []

    def go(self, *, once: bool, until_done: bool) -> None:
        """Make passes; for the arguments see ``Tracker.run``."""
        tracker = self._tracker
        # Its start may follow a repair of what was in the way, unless cron starts it.
        self._probe = not once
        with tracker.lease.kept():
            self._make_passes(once=once, until_done=until_done)
            if not self._stop.is_set():
                self._notify(is_over=True)

    def _make_passes(self, *, once: bool, until_done: bool) -> None:
        tracker, clock = self._tracker, self._tracker.clock
        with tracker.open_polls(self._stop) as polls:
            while not self._stop.is_set():
                tracker.store.require_open()
                passed = _Pass()
                if self._may_call(passed):
                    passed.error = tracker.refresh_schedule()
                    for poll in self._pass(polls, passed, once=once):
                        self._report_change(poll.change)
                        passed.polled |= not poll.is_beside
                        passed.reconciled |= poll.is_beside
                        passed.error = poll.error or passed.error
                elif self._standby_from is not None:
                    if once:
                        break
                    for change in self._stand_by(polls, passed):
                        self._report_change(change)
                self._report_error(passed)
                while self._notices:
                    self._notice(self._notices.pop(0))
                if passed.is_complete and self._standby_from is None:
                    self._back_up()
                if once or (until_done and passed.is_complete and not passed.has_running):
                    break
                self._notify()
                if self._standby_from is not None:
                    clock.sleep(STAND_BY_S, self._stop)
                    continue
                if passed.is_complete and polls.is_busy:
                    continue  # a call hangs; others go on
                pause_s = LONGEST_PAUSE_S
                if passed.next_at is not None:
                    pause_s = min(pause_s, clock.wall_seconds_until(passed.next_at))
                clock.sleep(max(pause_s, SHORTEST_PAUSE_S), self._stop)
            with suppress(StoreError):
                for poll in polls.finish():
                    self._report_change(poll.change)

    def _may_call(self, passed: _Pass) -> bool:
        """Return whether this tracker holds the lease; begin or end to stand by."""
        try:
            is_held = self._tracker.lease.keep()
            if is_held and self._standby_from is not None:
                changes, self._standby_from = self._changes_of_others(), None
                self._notice("This tracker makes the calls from now on.")
                for change in changes:
                    self._report_change(change)
            elif not is_held and self._standby_from is None:
                other = self._tracker.lease.other()
                self._standby_from = self._tracker.store.last_run_id()
                who = "tracked by another one"
                if other is not None:
                    who = tracked_by(other.name, other.age_s)
                self._notice(f"This account is {who}; this tracker stands by.")
        except StoreError as error:
            passed.error = str(error)
            return False
        return is_held

    def _stand_by(self, polls: Polls, passed: _Pass) -> list[Change]:
        """Return the changes that other trackers logged; make no calls."""
        tracker = self._tracker
        changes: list[Change] = []
        try:
            if tracker.before_pass is not None and (notice := tracker.before_pass()) is not None:
                passed.error, self._probe = notice, True
            if polls.is_busy:
                polls.clear()
                polls.step(STEP_S)  # late answers to calls from before; they are read from the log
            changes = self._changes_of_others()
            passed.trouble = tracker.trouble()
            passed.has_running = tracker.store.has_running()
            passed.is_complete = True
        except AvatarkitError as error:
            passed.error = str(error)
        except ReferenceError:
            raise  # the tracker was collected
        except Exception as error:
            passed.error = f"{type(error).__name__} in a tracker that stands by."
            logger.exception("A tracker that stands by failed.")
        return changes

    def _changes_of_others(self) -> list[Change]:
        store, run_id = self._tracker.store, self._standby_from or 0
        with store.transaction(reading=True):
            self._standby_from, changes = store.last_run_id(), store.changes_after(run_id)
        return [change for change in changes if change.before is not None]

    def _notice(self, text: str) -> None:
        logger.info("%s", text)
        if self._on_notice is not None:
            self._on_notice(text)

    def _pass(self, polls: Polls, passed: _Pass, *, once: bool) -> Iterator[Poll]:
        tracker, clock = self._tracker, self._tracker.clock
        is_started = False
        try:
            if tracker.before_pass is not None and (notice := tracker.before_pass()) is not None:
                passed.error, self._probe = notice, True
            if self._probe and tracker.trouble() is not None:
                # Nothing is polled before a call was answered.
                is_started = self._start_in_background(polls)
                while self._in_background and not self._stop.is_set():
                    yield from polls.step(STEP_S)
            yield from tracker.hand_out(polls)
            began_s = read_s = clock.monotonic()
            while not self._stop.is_set():
                if not tracker.lease.keep():  # it lapsed, as this process was stopped for a while
                    polls.clear()
                    break
                if not is_started:
                    is_started = self._start_in_background(polls)
                yield from polls.step(STEP_S)
                now_s = clock.monotonic()
                if not polls.is_busy or (not once and now_s - began_s > LONGEST_PASS_S):
                    break
                every_s = LONGEST_PAUSE_S if polls.has_waiting else READ_DUE_EVERY_S
                if not once and now_s - read_s >= every_s:
                    yield from tracker.hand_out(polls)
                    read_s = now_s
            passed.trouble = tracker.trouble()
            passed.next_at = tracker.store.next_look_at()
            passed.has_running = polls.is_busy or tracker.store.has_running()
            passed.is_complete = True
        except AvatarkitError as error:
            polls.clear()
            passed.error = str(error)
            if not self._stop.is_set():
                logger.warning("A pass of the tracker ended early: %s", error)
        except ReferenceError:
            raise  # the tracker was collected
        except Exception as error:
            # One bug must not end days of tracking.
            polls.clear()
            passed.error = f"{type(error).__name__} in a pass of the tracker."
            logger.exception("A pass of the tracker ended early.")

    def _start_in_background(self, polls: Polls) -> bool:
        """Start to reconcile or to read the quota, if it is time and no other call finds out.

        Returns:
            Whether it was started.
        """
        tracker, now = self._tracker, self._tracker.clock.now()
        # A time further ahead was set while the clock was wrong.
        due_at = tracker.reconcile_at
        is_time = due_at is None or not now < due_at <= now + RECONCILE_EVERY
        is_time &= tracker.clock.monotonic() - self._reconciled_s >= RECONCILE_PAUSE_S
        asks = self._probe or tracker.is_quota_due()
        if self._in_background or not (is_time or asks):
            return False
        if polls.is_busy and tracker.is_probing:
            return False
        if is_time:
            tracker.reconcile_at = now + RECONCILE_EVERY
            self._reconciled_s = tracker.clock.monotonic()
        self._in_background, probe, self._probe = True, self._probe, False
        polls.start(partial(self._reconcile, is_time=is_time, asks=asks, probe=probe))
        return True

    def _reconcile(self, *, is_time: bool, asks: bool, probe: bool) -> Poll:
        result = Poll(is_beside=True)
        try:
            if asks:  # first: what refuses the keys, or answers in the API's place, lists nothing
                self._tracker.ask_quota(deadline_s=QUOTA_S, probe=probe)
            if is_time:
                try:
                    self._tracker.reconcile(probe=False)
                except APIError as error:
                    result = Poll(error=str(error), raised=error, is_beside=True)
                self._notices += self._tracker.check_account()
        except AvatarkitError as error:
            result = Poll(error=str(error), is_beside=True)
        except ReferenceError:
            pass  # the tracker was collected
        finally:
            self._in_background = False
        return result

    def _report_change(self, change: Change | None) -> None:
        if change is not None:
            log_change(change)
            if self._on_change is not None:
                self._on_change(change)

    def _report_error(self, passed: _Pass) -> None:
        if self._stop.is_set():
            return  # its error is that of a cancelled call
        access = self._tracker.access.error
        message = passed.error or (None if access is None else str(access))
        kind = message
        if passed.trouble is not None:
            # Its reason names a moment, which is another one each time.
            message, kind = passed.trouble.reason, passed.trouble.text
        # With none left to poll, no later poll would take back the error of one.
        is_idle = message is None and passed.is_complete and not passed.has_running
        polled = passed.polled or is_idle
        self._tracker.end_pass(message, polled=polled, reconciled=passed.reconciled)
        if message is not None and kind != self._reported:
            self._report(message)
        elif self._trouble is not None and passed.is_complete and passed.trouble is None:
            self._report("The API answers again; the avatars are polled.")
        self._reported = kind
        if passed.is_complete:
            self._trouble = passed.trouble

    def _notify(self, *, is_over: bool = False) -> None:
        before, self._unsent = self._unsent, self._tracker.notify(is_over=is_over)
        if self._unsent not in (None, before):
            self._report(self._unsent)

    def _report(self, message: str) -> None:
        if self._on_error is not None:
            self._on_error(message)

    def _back_up(self) -> None:
        try:
            self._tracker.back_up()
        except StoreError as error:
            self._tracker.end_pass(str(error), polled=False)
            logger.warning("%s", error)
            self._report(str(error))
