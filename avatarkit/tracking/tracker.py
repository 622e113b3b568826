"""``Tracker``: send creates, poll personas until they end, and wait for them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

from avatarkit.api.client import Client
from avatarkit.api.multipart import Progress
from avatarkit.api.transport import cancel_on, is_cancelled
from avatarkit.clock import Clock, SystemClock
from avatarkit.errors import APIError, AuthError, AvatarkitError, ConfigError, StoreError
from avatarkit.models import Persona, PersonaCreate, Quota
from avatarkit.store.account import Pause
from avatarkit.store.sightings import Change
from avatarkit.store.store import Store
from avatarkit.tracking import reconcile, submit
from avatarkit.tracking.access import Access
from avatarkit.tracking.poll import Poll, Poller
from avatarkit.tracking.reconcile import LISTING_S, Verdict
from avatarkit.tracking.schedule import CALLS_PER_HOUR, Schedule
from avatarkit.tracking.throttling import Asking, ThrottledClient, is_throttling
from avatarkit.tracking.wait import wait

__all__ = ["Change", "Tracker"]

logger = logging.getLogger("avatarkit")

SHORTEST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 5.0
"""Wall seconds between two passes, at most, as another process may submit meanwhile."""
RECONCILE_EVERY = timedelta(minutes=10)
LIST_EVERY = timedelta(hours=6)
"""How often the list is read to find what was deleted or is there again, on the session's clock."""


@dataclass
class _Pass:
    """The result of one pass of ``run``.

    ``next_at`` and ``has_running`` are set if it is ``complete``.
    """

    changes: list[Change] = field(default_factory=list)
    error: str | None = None
    next_at: datetime | None = None
    has_running: bool = False
    complete: bool = False


class Tracker:
    """Submits, polls and reconciles the personas of one account, and logs them in a store.

    Threads may share it, and several processes may track into one store.

    Args:
        client: The API.
        store: The log; this binds it to the client's account.
        clock: The session's clock; the system's by default.
        threads: How many personas are polled at once.
        calls_per_hour: The budget of calls, in hours of the session's clock; more personas are
            polled less often each.

    Attributes:
        schedule: What is known of the stages, and the staleness that the budget promises.
        quota: The quota as last read, None when it is unknown.
        access: Whether the API answered with these keys when the quota was last read; ``run`` reads
            it when it starts and every hour, after an error every minute.
        last_error: The last error, in one sentence; None if there was none.
        last_pass_at: When the last pass began, on the session's clock.

    Raises:
        StoreError: The store is another account's, or sandbox and live data would mix.
    """

    def __init__(
        self,
        client: Client,
        store: Store,
        *,
        clock: Clock | None = None,
        threads: int = 4,
        calls_per_hour: float = CALLS_PER_HOUR,
    ) -> None:
        store.bind(client.account)
        self.client = client
        self.store = store
        self._is_claimed = False
        self._claim_store()
        self.clock = clock or SystemClock()
        self._api = ThrottledClient(client, store, self.clock)
        self.schedule = Schedule(calls_per_hour)
        self._poller = Poller(self._api, store, self.clock, self.schedule)
        self.quota: Quota | None = None
        self.access = Access()
        self.last_error: str | None = None
        self.last_pass_at: datetime | None = None
        self._threads = threads
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    def _claim_store(self) -> None:
        """Reserve the store for sandbox or live data, once it is known which of the two answers.

        Raises:
            StoreError: It holds data of the other kind.
        """
        is_sandbox = None if self._is_claimed else self.client.is_sandbox
        if is_sandbox is not None:
            self.store.claim("sandbox" if is_sandbox else "live")
            self._is_claimed = True

    def prepare(self, request: PersonaCreate) -> str:
        """Log a request that will be sent later, so that it is not lost meanwhile.

        Args:
            request: The create.

        Returns:
            The submission's id, for ``submit``.

        Raises:
            StoreError: It could not be logged.
        """
        self._claim_store()
        return self.store.prepare(request, self.clock.now())

    def submit(
        self,
        request: PersonaCreate,
        *,
        progress: Progress | None = None,
        submission_id: str | None = None,
    ) -> Persona:
        """Send a create, once, and log the result.

        Args:
            request: The create.
            progress: Called as ``progress(sent_bytes, total_bytes)`` while files are read.
            submission_id: What ``prepare`` returned for this request, if it was called.

        Returns:
            The new persona.

        Raises:
            SubmissionUncertain: It may have been carried out, or was and could not be logged. It is
                never sent again automatically; see ``reconcile``.
            StoreError: It was sent before, or could not be logged; nothing was sent.
            AvatarkitError: Nothing was created; ``PlanFull`` before anything was sent.
        """
        submission_id = submission_id or self.prepare(request)
        # Before the quota is read: a full plan must not make an uncertain submission refused.
        self.store.reserve(submission_id)
        try:
            self._claim_store()
            persona = submit.send(
                self._api,
                self.store,
                self.clock,
                request,
                submission_id,
                ask_quota=self._ask_before_sending,
                progress=progress,
            )
        finally:
            self.store.release(submission_id)
        if self.quota is not None:
            count = self.quota.current_count + 1
            self.quota = self.quota.model_copy(update={"current_count": count})
        return persona

    def ask_quota(self, *, deadline_s: float | None = None) -> Quota | None:
        """Read the account's quota, and keep it in ``quota`` and what went wrong in ``access``.

        Args:
            deadline_s: Wall seconds for the call, if less than the client's.

        Returns:
            The quota; None if the API does not answer, as a create may work without it, or asked to
            wait.
        """
        failed: APIError | None = None
        try:
            self.quota = self._api.persona_quota(deadline_s=deadline_s)
        except APIError as error:
            if is_throttling(error):
                # Something answers, so no error before holds but that of the keys.
                if not isinstance(self.access.error, AuthError):
                    self.access = Access()
                return None
            self.quota, failed = None, error
        if not is_cancelled():
            self.access = Access(failed, self.clock.now(), self.clock.monotonic())
        return self.quota

    def _ask_before_sending(self) -> Quota | None:
        before = self.access
        quota, error = self.ask_quota(), self.access.error
        is_new = self.access is not before
        if is_new and isinstance(error, AuthError) and error.status_code == 401:
            raise error  # now, and not after the upload
        return quota

    def reconcile(self) -> list[Verdict]:
        """Find out what became of uncertain submissions.

        Lists the account's personas. A submission becomes accepted if one of them fits, and refused
        (safe to send again) only if its absence is proof; otherwise it stays uncertain until
        ``settle``. Nothing is sent again. The list also makes avatars due: those that are gone and
        are listed, and those that have ended and are not.

        Returns:
            A verdict for each uncertain submission, oldest first.

        Raises:
            APIError: The account cannot be listed, or the API asked to wait.
            StoreError: The log failed.
        """
        self.store.settle_abandoned(self.clock.now())
        uncertain = self.store.open_submissions()
        if not uncertain:
            self._compare_with_list()
            return []
        self._claim_store()
        asking = self._api.ask()
        account = reconcile.read_account(self._api, self.store, self.ask_quota)
        verdicts = reconcile.decide(uncertain, account, asking.at)
        for verdict in verdicts:
            reconcile.apply(self.store, verdict, asking)
        listed = frozenset(persona.id for persona in account.listed)
        self.store.compare_with_list(listed, asking.at)
        return verdicts

    def _compare_with_list(self) -> None:
        now = self.clock.now()
        if self.store.has_unpolled() and self.store.begin_listing(now, LIST_EVERY):
            self._claim_store()
            skipped: list[object] = []
            listed = self._api.list_personas(deadline_s=LISTING_S, on_skipped=skipped.append)
            if not skipped:
                self.store.compare_with_list(frozenset(each.id for each in listed), now)

    def settle(self, submission_id: str, persona_id: str | None) -> None:
        """Settle an uncertain submission as the user says.

        Args:
            submission_id: The submission.
            persona_id: The persona that it became; None if it never arrived.

        Raises:
            ConfigError: It is not uncertain, or another submission became this persona.
            APIError: The persona cannot be read.
            StoreError: The log failed.
        """
        verdict = reconcile.by_hand(self._api, self.store, submission_id, persona_id)
        # The persona may have been listed long ago: 0 is older than every answer in the log.
        if not reconcile.apply(self.store, verdict, Asking(0, self.clock.now())):
            raise ConfigError("It was settled in another way meanwhile; look again.")

    @property
    def pause(self) -> Pause | None:
        """The pause that the API asked for, with a sentence as its ``reason``; None without one.

        Until it is over nothing is polled, listed or counted, by any process that tracks into this
        store. It is kept in the store. A submission is sent all the same, and so is ``poll``.
        """
        return self._api.pause()

    def poll(self, persona_id: str) -> Change | None:
        """Poll one avatar now, whatever its plan; also one that is gone or has ended.

        Args:
            persona_id: An avatar in the log.

        Returns:
            The change of its status, None if there is none.

        Raises:
            ConfigError: The log has no such avatar.
            APIError: The API did not answer with the avatar; that is logged.
            StoreError: The log failed.
        """
        self._claim_store()
        for due in self.store.due(self.clock.now(), persona_id):
            outcome = self._poller.poll(due, by_person=True)
            self.last_error = outcome.error or self.last_error
            if outcome.raised is not None:
                raise outcome.raised
            return outcome.change
        raise ConfigError(f"The log has no avatar {persona_id}; check the id with 'status' alone.")

    def look(self, stop: threading.Event | None = None) -> list[Change]:
        """Poll the personas that are due, once.

        An error on one persona is logged as its ``last_error``; the others are polled all the same.
        If the API asks to wait, no more are polled until then; see ``pause``.

        Args:
            stop: Once it is set, no more are polled, and calls in progress are cancelled.

        Returns:
            The changes of status, of the longest overdue persona first.

        Raises:
            StoreError: The log failed.
        """
        changes = []
        for outcome in self._poll_due(stop):
            self.last_error = outcome.error or self.last_error
            if outcome.change is not None:
                changes.append(outcome.change)
        return changes

    def _poll_due(self, stop: threading.Event | None) -> Iterator[Poll]:
        self._claim_store()
        self.last_pass_at = self.clock.now()
        poll_one = partial(self._poller.poll, stop=stop)
        due = self.store.due(self.last_pass_at)
        if due and self._api.is_probing() and self.pause is None:
            # One call finds out whether the API takes calls again.
            yield poll_one(due.pop(0))
        if (pause := self.pause) is not None:
            yield Poll(error=pause.reason)
        elif len(due) <= 1:
            yield from map(poll_one, due)
        else:
            with ThreadPoolExecutor(min(self._threads, len(due)), "avatarkit-poll") as pool:
                yield from pool.map(poll_one, due)

    def run(
        self,
        stop: threading.Event,
        *,
        on_change: Callable[[Change], None] | None = None,
        on_error: Callable[[str], None] | None = None,
        once: bool = False,
        until_done: bool = False,
    ) -> None:
        """Poll and reconcile in passes until stopped; errors do not end the run.

        Args:
            stop: Ends the run. A call in progress is cancelled within about a second, or after the
                connect timeout if it is still connecting.
            on_change: Called with each change of status.
            on_error: Called with the error of a pass, once if the same error repeats.
            once: End after one pass.
            until_done: End when no persona is left to poll but those that are gone.
        """
        reconcile_at, last_reported = self.clock.now(), None
        with cancel_on(stop):
            while not stop.is_set():
                self._refresh_schedule()
                now = self.clock.now()
                # A time further ahead was set while the clock was wrong.
                is_time = not now < reconcile_at <= now + RECONCILE_EVERY
                if is_time:
                    reconcile_at = now + RECONCILE_EVERY
                ask_quota = self.access.is_due(self.clock.monotonic()) or (is_time and not once)
                done = self._pass(stop, reconcile=is_time, ask_quota=ask_quota)
                for change in done.changes:
                    logger.info("%s: %s -> %s", change.persona_id, change.before, change.after)
                    if on_change is not None:
                        on_change(change)
                if on_error is not None and done.error not in (None, last_reported):
                    on_error(str(done.error))
                last_reported = done.error
                if once or (until_done and done.complete and not done.has_running):
                    return
                pause_s = LONGEST_PAUSE_S
                if done.next_at is not None:
                    pause_s = min(pause_s, self.clock.wall_seconds_until(done.next_at))
                self.clock.sleep(max(pause_s, SHORTEST_PAUSE_S), stop)

    def _refresh_schedule(self) -> None:
        try:
            self.schedule.refresh(self.store, self.clock.now(), self.clock.monotonic())
        except StoreError as error:
            self.last_error = str(error)
        except Exception:
            # The plan that was made before still holds.
            logger.exception("The times of the polls could not be fitted to the log.")

    def _pass(self, stop: threading.Event, *, reconcile: bool, ask_quota: bool) -> _Pass:
        done = _Pass()
        try:
            if reconcile:
                try:
                    self.reconcile()
                except APIError as error:  # personas are polled all the same
                    done.error = str(error)
            if ask_quota:
                self.ask_quota()
            if self.access.error is not None:
                done.error = str(self.access.error)
            for outcome in self._poll_due(stop):
                if outcome.change is not None:
                    done.changes.append(outcome.change)
                done.error = outcome.error or done.error
            done.next_at, done.has_running = self.store.next_look_at(), self.store.has_running()
            done.complete = True
        except AvatarkitError as error:
            done.error = str(error)
            if not stop.is_set():
                logger.warning("A pass of the tracker ended early: %s", error)
        except Exception as error:
            # One bug must not end days of tracking.
            done.error = f"{type(error).__name__} in a pass of the tracker."
            logger.exception("A pass of the tracker ended early.")
        if stop.is_set():
            done.error = None  # the error is that of a cancelled call
        self.last_error = done.error or self.last_error
        return done

    def start(self) -> None:
        """Start ``run`` in a background thread, unless it runs already."""
        with self._starting:
            if self.alive:
                return
            self._stop = threading.Event()
            self._thread = threading.Thread(
                target=self.run, args=(self._stop,), name="avatarkit-tracker", daemon=True
            )
            self._thread.start()

    def stop(self) -> None:
        """Stop the background thread and wait for its end; its calls are cancelled."""
        with self._starting:
            self._stop.set()
            if self._thread is not None:
                self._thread.join()
                self._thread = None

    @property
    def alive(self) -> bool:
        """Whether the background thread runs."""
        return self._thread is not None and self._thread.is_alive()

    def wait(
        self,
        persona_id: str,
        *,
        timeout: float,
        on_progress: Callable[[Persona], None] | None = None,
    ) -> Persona:
        """Wait until a persona is done; poll it whenever it is due.

        While the API has asked to wait (``pause``) no call is made but the first one of a persona
        that the log does not have.

        Args:
            persona_id: The persona; if the log does not have it, it is requested and logged.
            timeout: Wall seconds.
            on_progress: Called with the persona when the wait begins and at each new status.

        Returns:
            The persona.

        Raises:
            PersonaFailed: The persona failed.
            PersonaRejected: The persona was rejected.
            WaitTimeout: The time is over; call it again with the same id to go on.
            NotFound: The API itself says that it does not know the persona.
            AuthError: The API refuses the keys. Other errors of the API are logged as the persona's
                ``last_error``, and the poll is repeated.
            StoreError: The log failed.
        """
        self._claim_store()

        def keep_error(error: str) -> None:
            self.last_error = error

        return wait(
            self._poller,
            persona_id,
            timeout=timeout,
            on_progress=on_progress,
            on_error=keep_error,
        )
