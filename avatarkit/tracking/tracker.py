"""``Tracker``: sends creates, looks at personas until they end, and waits for them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial

from avatarkit.api.client import Client
from avatarkit.api.multipart import Progress
from avatarkit.api.transport import until
from avatarkit.clock import Clock, SystemClock
from avatarkit.errors import (
    APIError,
    AuthError,
    AvatarkitError,
    ConfigError,
    NotFound,
    PersonaFailed,
    PersonaRejected,
    StoreError,
    SubmissionUncertain,
    WaitTimeout,
)
from avatarkit.models import Persona, PersonaCreate, ProcessStatus, Quota
from avatarkit.store.sightings import Change
from avatarkit.store.store import Due, Store
from avatarkit.tracking import polling, reconcile, submit
from avatarkit.tracking.reconcile import Account, Verdict

__all__ = ["Change", "Tracker"]

logger = logging.getLogger("avatarkit")

SHORTEST_PASS_S = 1.0
LONGEST_IDLE_S = 5.0
"""Wall seconds between two passes: not busier than this, and never blind for longer, as another
process may have submitted meanwhile."""
SHORTEST_WAIT_S = 0.1
SETTLING_S = 20.0
"""Wall seconds for the one call that a person waits for who says what a create became."""
RECONCILE_EVERY = timedelta(minutes=10)
LISTING_S = 300.0
"""Wall seconds for the whole list of an account, however many its pages."""


class Tracker:
    """The API of one account, followed into one store, on one clock.

    It may be shared by threads, and several processes may track into one store.
    """

    def __init__(
        self, client: Client, store: Store, *, clock: Clock | None = None, threads: int = 4
    ) -> None:
        store.bind(client.account)
        self.client = client
        self.store = store
        self._is_claimed = False
        self._claim_store()
        self.clock = clock or SystemClock()
        self.quota: Quota | None = None
        self.last_error: str | None = None
        self.last_pass_at: datetime | None = None
        self._threads = threads
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    def _claim_store(self) -> None:
        """Keep the store for sandbox or live data, as soon as it is known which of them answers.

        Raises ``StoreError`` when it holds data of the other kind.
        """
        is_sandbox = None if self._is_claimed else self.client.is_sandbox
        if is_sandbox is not None:
            self.store.claim("sandbox" if is_sandbox else "live")
            self._is_claimed = True

    def prepare(self, request: PersonaCreate) -> str:
        """Write down that this create is about to be sent; its id, for ``submit``.

        For who has to wait before sending: whatever happens meanwhile, the request is in the log.
        """
        return self.store.prepare(request, self.clock.now())

    def submit(
        self,
        request: PersonaCreate,
        *,
        progress: Progress | None = None,
        submission_id: str | None = None,
    ) -> Persona:
        """Send the create, once, and log what came of it; the new persona.

        ``submission_id`` is what ``prepare`` gave for this request, if it was called.
        ``progress(sent_bytes, total_bytes)`` is called while files are sent.

        Raises ``SubmissionUncertain`` when it may have arrived without an answer, or arrived and
        could not be written down: it is then never sent again on its own. Any other
        ``AvatarkitError`` means that nothing was created; ``PlanFull`` comes before anything is
        sent.
        """
        self._claim_store()
        submission_id = submission_id or self.prepare(request)
        # Before anything is asked: what is uncertain must not become "send it again" here.
        self.store.take(submission_id)
        try:
            persona = submit.send(
                self.client,
                self.store,
                self.clock,
                request,
                submission_id,
                ask_quota=self.ask_quota,
                progress=progress,
            )
            at = self.clock.now()
            try:
                next_look = self._next_look(persona.id, at)
                self.store.accepted(submission_id, persona, at, next_look)
            except StoreError as error:
                raise SubmissionUncertain(
                    f"The API created {persona.id}, but that could not be written down: {error} "
                    "Do not send it again; reconcile() finds it.",
                    submission_id=submission_id,
                ) from error
        finally:
            self.store.let_go(submission_id)
        if self.quota is not None:
            count = self.quota.current_count + 1
            self.quota = self.quota.model_copy(update={"current_count": count})
        return persona

    def ask_quota(self) -> Quota | None:
        """The account's quota, kept in ``quota`` as well; None when the API does not tell."""
        try:
            self.quota = self.client.persona_quota()
        except APIError:
            self.quota = None  # a create may work without it
        return self.quota

    def reconcile(self) -> list[Verdict]:
        """Find out what became of the creates whose answer was lost; a verdict for each.

        The account's personas are listed. A create ends as accepted when one of them is its own,
        and as refused (safe to send again) only when its absence means something; otherwise it
        stays uncertain, and ``settle`` takes a person's word. Nothing is ever sent again here.

        Raises an ``APIError`` when the account cannot be listed.
        """
        now = self.clock.now()
        self.store.abandon(now)
        uncertain = self.store.open_submissions()
        if not uncertain:
            return []
        self._claim_store()
        verdicts = reconcile.decide(uncertain, self._account(), now)
        for verdict in verdicts:
            self._settle(verdict, now)
        return verdicts

    def settle(self, submission_id: str, persona_id: str | None) -> None:
        """Take a person's word for it: it became ``persona_id``, or None: it never arrived."""
        open_now = {one.submission_id: one for one in self.store.open_submissions()}
        if submission_id not in open_now:
            raise ConfigError(f"No uncertain submission has the id {submission_id}.")
        if persona_id in self.store.submitted_ids():
            raise ConfigError(f"Another submission became {persona_id} already; choose another.")
        if persona_id is None:
            verdict = Verdict(submission_id, "refused", reason="A person said that it never came.")
        else:
            known = {one.id: one for one in open_now[submission_id].candidates}
            persona = known.get(persona_id)
            if persona is None:
                persona = self.client.get_persona(persona_id, deadline_s=SETTLING_S)
            verdict = Verdict(submission_id, "accepted", persona=persona)
        if not self._settle(verdict, self.clock.now()):
            raise ConfigError("Somebody else has settled it meanwhile; look again.")

    def _settle(self, verdict: Verdict, now: datetime) -> bool:
        if verdict.persona is not None:
            next_look = self._next_look(verdict.persona.id, now)
            return self.store.found(verdict.submission_id, verdict.persona, now, next_look)
        if verdict.state == "refused":
            self.store.refused(verdict.submission_id, now, verdict.reason)
        else:
            self.store.leave_open(verdict.submission_id, verdict.reason, verdict.candidates)
        return True

    def _account(self) -> Account:
        # Counted before and after it is listed: only then do count and list tell of one moment.
        before = self.ask_quota()
        listed = tuple(self.client.list_personas(deadline_s=LISTING_S))
        # The last look at what is not listed may be an hour old: it may be deleted by now.
        unlisted = self.store.running() - {persona.id for persona in listed}
        there = self._still_there(unlisted) if before is not None else None
        after = self.ask_quota()
        of_one_moment = after == before and there is not None
        # Read last: a create that is on its way may have made what is listed.
        taken, sending = self.store.claims()
        return Account(
            listed=listed,
            taken=taken,
            sending=tuple(sending),
            running=there or frozenset(),
            count=after.current_count if after is not None and of_one_moment else None,
        )

    def _still_there(self, ids: frozenset[str]) -> frozenset[str] | None:
        """Those of them that the API knows now; None when it cannot be told whether all count."""
        there = set()
        for persona_id in sorted(ids):
            try:
                persona = self.client.get_persona(persona_id, deadline_s=SETTLING_S)
            except NotFound:
                continue
            except APIError:
                return None
            if persona.status in (ProcessStatus.FAILED, ProcessStatus.REJECTED):
                return None
            there.add(persona_id)
        return frozenset(there)

    def look(self, stop: threading.Event | None = None) -> list[Change]:
        """One pass over the personas that are due; the changes seen, in the order of the pass.

        An error on one persona is logged on it (``last_error``) and stops no other. Once ``stop``
        is set no more are looked at, and the looks that are under way are given up.
        """
        self.last_pass_at = self.clock.now()
        due = self.store.due(self.last_pass_at)
        look_at = partial(self._look_at, stop=stop)
        if len(due) <= 1:
            seen = [look_at(one) for one in due]
        else:
            with ThreadPoolExecutor(min(self._threads, len(due)), "avatarkit-look") as pool:
                seen = list(pool.map(look_at, due))
        return [change for change, _ in seen if change is not None]

    def _look_at(
        self, due: Due, deadline_s: float | None = None, stop: threading.Event | None = None
    ) -> tuple[Change | None, APIError | None]:
        asked_at = self.clock.now()
        try:
            with until(stop):
                persona = self.client.get_persona(due.persona_id, deadline_s=deadline_s)
            return self._record(persona, asked_at), None
        except APIError as error:
            if stop is not None and stop.is_set():
                return None, None  # given up: it says nothing of the persona
            self._look_failed(due, str(error), missing=isinstance(error, NotFound))
            return None, error
        except StoreError:
            raise
        except Exception as error:
            # One answer that nobody foresaw must not keep the others from being looked at.
            logger.exception("A look at %s failed.", due.persona_id)
            self._look_failed(due, f"The answer could not be kept ({type(error).__name__}).")
            return None, None

    def _look_failed(self, due: Due, message: str, *, missing: bool = False) -> None:
        at = self.clock.now()
        self.last_error = message
        self.store.record_error(
            due.persona_id,
            message,
            at=at,
            next_look_at=polling.next_try_at(due.failures, at, due.persona_id),
            missing=missing,
        )

    def _record(self, persona: Persona, asked_at: datetime) -> Change | None:
        at = self.clock.now()
        self._claim_store()
        return self.store.record(
            persona,
            asked_at=asked_at,
            answered_at=at,
            source="poll",
            next_look=self._next_look(persona.id, at),
        )

    def _next_look(
        self, persona_id: str, now: datetime
    ) -> Callable[[str, datetime], datetime | None]:
        return partial(polling.next_look_at, now=now, persona_id=persona_id)

    def run(self, stop: threading.Event) -> None:
        """Pass after pass until ``stop`` is set; errors are kept in ``last_error``.

        A call that is under way then is given up within a second or so; one that is still
        connecting, after the connect timeout.
        """
        with until(stop):
            self._run(stop)

    def _run(self, stop: threading.Event) -> None:
        reconcile_at = self.clock.now()
        while not stop.is_set():
            pause_s = LONGEST_IDLE_S
            try:
                if self.clock.now() >= reconcile_at:
                    reconcile_at = self.clock.now() + RECONCILE_EVERY
                    self.reconcile()
                    self.ask_quota()
                for change in self.look(stop):
                    logger.info("%s: %s -> %s", change.persona_id, change.before, change.after)
                next_at = self.store.next_look_at()
                if next_at is not None:
                    pause_s = min(pause_s, self.clock.wall_seconds_until(next_at))
            except AvatarkitError as error:
                if stop.is_set():
                    return
                self.last_error = str(error)
                logger.warning("A pass of the tracker ended early: %s", error)
            except Exception as error:
                # Days of tracking must not end because of one answer that nobody foresaw.
                self.last_error = f"{type(error).__name__} in a pass of the tracker."
                logger.exception("A pass of the tracker ended early.")
            self.clock.sleep(max(pause_s, SHORTEST_PASS_S), stop)

    def start(self) -> None:
        """Run in a background thread; does nothing when it runs already."""
        with self._starting:
            if self.alive:
                return
            self._stop = threading.Event()
            self._thread = threading.Thread(
                target=self.run, args=(self._stop,), name="avatarkit-tracker", daemon=True
            )
            self._thread.start()

    def stop(self) -> None:
        """End the background thread, and wait until it has; what it asks is given up (``run``)."""
        with self._starting:
            self._stop.set()
            if self._thread is not None:
                self._thread.join()
                self._thread = None

    @property
    def alive(self) -> bool:
        """True while the background thread runs."""
        return self._thread is not None and self._thread.is_alive()

    def wait(
        self,
        persona_id: str,
        *,
        timeout: float,
        on_progress: Callable[[Persona], None] | None = None,
    ) -> Persona:
        """The persona once it is done, looking at it in the tracker's own pace.

        ``timeout`` is in wall seconds; ``on_progress(persona)`` is called when the wait begins
        and whenever the status has changed.

        Raises ``PersonaFailed`` or ``PersonaRejected`` when it ends so; ``WaitTimeout``, after
        which the same call goes on; ``NotFound`` or ``AuthError`` when looking makes no sense.
        Other errors of the API are logged on the persona and tried again.
        """
        began_s = self.clock.monotonic()
        persona = self.store.persona(persona_id)
        if persona is None:
            asked_at = self.clock.now()
            persona = self.client.get_persona(persona_id, deadline_s=timeout)
            self._record(persona, asked_at)
        told: str | None = None
        while True:
            if on_progress is not None and persona.status_text != told:
                on_progress(persona)
            told = persona.status_text
            if persona.is_terminal:
                return _done(persona)
            waited_s = self.clock.monotonic() - began_s
            if waited_s >= timeout:
                raise WaitTimeout(
                    f"{persona_id} is still {told} after {waited_s:.0f} s; wait for the same id "
                    "again to go on.",
                    persona_id=persona_id,
                    waited_s=waited_s,
                )
            self._look_if_due(persona_id, timeout - waited_s)
            next_at = self.store.next_look_at(persona_id)
            pause_s = self.clock.wall_seconds_until(next_at) if next_at else 0.0
            # Another thread or process may look first: its sightings count as well.
            pause_s = min(max(pause_s, SHORTEST_WAIT_S), LONGEST_IDLE_S, timeout - waited_s)
            persona = self.store.persona(persona_id) or persona
            if not persona.is_terminal:
                self.clock.sleep(pause_s)
                persona = self.store.persona(persona_id) or persona

    def _look_if_due(self, persona_id: str, deadline_s: float) -> None:
        next_at = self.store.next_look_at(persona_id)
        if next_at is not None and next_at > self.clock.now():
            return
        for due in self.store.due(self.clock.now(), persona_id):
            _, error = self._look_at(due, deadline_s)
            if isinstance(error, NotFound | AuthError):
                raise error


def _done(persona: Persona) -> Persona:
    reason = persona.failed_reason or "no reason was given"
    if persona.status is ProcessStatus.FAILED:
        raise PersonaFailed(f"{persona.id} failed: {reason}", persona=persona)
    if persona.status is ProcessStatus.REJECTED:
        raise PersonaRejected(f"{persona.id} was rejected: {reason}", persona=persona)
    return persona
