"""``Tracker``: send creates, poll personas until they end, and wait for them."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from avatarkit.api.client import Client
from avatarkit.api.multipart import Progress
from avatarkit.api.transport import is_cancelled
from avatarkit.clock import Clock, SystemClock
from avatarkit.errors import APIError, AuthError, ConfigError, StoreError
from avatarkit.models import Persona, PersonaCreate, Quota
from avatarkit.store.account import ClockOffset, Pause
from avatarkit.store.accounts import KnownAccount, account_name, api_id_hint
from avatarkit.store.batches import SubmitResult
from avatarkit.store.sightings import Change
from avatarkit.store.store import Store
from avatarkit.tracking import adopt, batch, gate, reconcile, submit
from avatarkit.tracking.access import Access
from avatarkit.tracking.accounts import DEADLINE_S, Carrier
from avatarkit.tracking.background import Background
from avatarkit.tracking.batch import OnProgress
from avatarkit.tracking.delete import delete, require_not_deleted
from avatarkit.tracking.forget import Forgotten, forget
from avatarkit.tracking.gate import Cause
from avatarkit.tracking.lease import TrackerLease
from avatarkit.tracking.listing import LIST_EVERY, Listing
from avatarkit.tracking.notify import Notifier
from avatarkit.tracking.poll import Poll, Poller
from avatarkit.tracking.polls import Polls
from avatarkit.tracking.progress_bar import show_stages, show_upload
from avatarkit.tracking.reconcile import LISTING_S, Verdict
from avatarkit.tracking.run import STEP_S, Reports, run
from avatarkit.tracking.schedule import CALLS_PER_HOUR, Schedule
from avatarkit.tracking.state import TrackerState, unknown_sentence
from avatarkit.tracking.throttling import Asking, ThrottledClient
from avatarkit.tracking.wait import WaitReports, plan_soon, wait
from avatarkit.tracking.watch import watch
from avatarkit.tracking.webhooks import Webhooks

__all__ = ["Change", "Tracker"]

BACKUP_EVERY_S = 3_600.0
"""Wall seconds after which it is looked again whether a daily backup is due."""

logger = logging.getLogger("avatarkit")


class Tracker:
    """Submits, polls and reconciles the personas of one account, and logs them in a store.

    Threads may share it, and several processes may track into one store: ``run`` makes calls in one
    of them at a time, which holds the ``lease`` of the account, and stands by in the others.

    Args:
        client: The API.
        store: The log; this binds it to the client's account.
        clock: The session's clock; the system's by default.
        threads: How many personas are polled at once.
        calls_per_hour: The budget of calls, in hours of the session's clock; more personas are
            polled less often each.
        webhook_base: Scheme and host at which the API reaches the app; submissions then carry an
            address for webhooks there.

    Attributes:
        schedule: What is known of the stages, and the staleness that the budget promises.
        quota: The quota as last read, None when it is unknown.
        webhooks: The address of webhooks, and what they make due.
        access: Whether the API answered with these keys when the quota was last read; ``run`` reads
            it when it starts and every hour, after an error sooner.
        lease: The lease of the account; its ``name`` is what other trackers call this one.
        before_pass: Called before each pass of ``run``; returns a sentence if what was in the way
            of its calls is out of it, so that they are made at once, else None.
        notifier: Sends messages about what happens during ``run``, None for none.
        last_error: What went wrong last, in one sentence; None after a pass in which nothing did.
        last_error_at: When that was, on the session's clock.
        last_pass_at: When the last pass began, on the session's clock.
        reconcile_at: When ``run`` reconciles next, on the session's clock; None before any run.
        data_folder: Where uploads and drafts are kept, which ``forget`` erases too; None: nowhere.
        background: The background thread of ``start``.
        running_in: The threads that are in ``run``.

    Raises:
        StoreError: The store is another account's, or sandbox and live data would mix.
        ConfigError: ``webhook_base`` is not scheme and host, or too long.
    """

    def __init__(
        self,
        client: Client,
        store: Store,
        *,
        clock: Clock | None = None,
        threads: int = 4,
        calls_per_hour: float = CALLS_PER_HOUR,
        webhook_base: str | None = None,
    ) -> None:
        store.bind(client.account)
        self.client = client
        self.store = store
        self._is_claimed = False
        self.before_pass: Callable[[], str | None] | None = None
        self._claim_store()
        self.clock = clock or SystemClock()
        self.webhooks = Webhooks(store, self.clock, webhook_base)
        self._api = ThrottledClient(client, store, self.clock)
        self.schedule = Schedule(calls_per_hour, phase=int(client.account, 16) / 16**16)
        self._poller = Poller(self._api, store, self.clock, self.schedule)
        self._listing = Listing(self._poller)
        self._carrier = Carrier(self._api, store, self.clock)
        with suppress(StoreError):  # it is for people only
            hint = api_id_hint(client.api_id)
            store.note_account(client.base_url, hint, self.clock.now())
        self.lease = TrackerLease(store, self.clock)
        self.quota: Quota | None = None
        self.access = Access()
        self.notifier: Notifier | None = None
        self.data_folder: Path | None = None
        self._unknown_noticed = 0
        self.last_error: str | None = None
        self.last_error_at: datetime | None = None
        self.last_pass_at: datetime | None = None
        self.reconcile_at: datetime | None = None
        self._error_rank = 0
        self._threads = threads
        self._backup_s = -math.inf
        self.running_in: set[int] = set()
        self.background = Background()
        self._users: list[int] = []

    def _claim_store(self) -> None:
        """Reserve the store for sandbox or live data, once it is known which of the two answers.

        Raises:
            StoreError: It holds data of the other kind.
        """
        is_sandbox = None if self._is_claimed else self.client.is_sandbox
        if is_sandbox is not None:
            self.store.claim("sandbox" if is_sandbox else "live")
            self._is_claimed = True

    def _begin_call(self) -> None:
        """Make sure that the session is open and that the sandbox, if it is one, is served.

        Raises:
            StoreError: The session is closed, or the store holds data of the other kind.
            ConfigError: The sandbox is served no longer, and cannot be served from here.
        """
        self.store.require_open()
        if self.before_pass is not None and (notice := self.before_pass()) is not None:
            logger.warning("%s", notice)
        self._claim_store()

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
        return self.store.prepare(self.webhooks.address(request), self.clock.now())

    def submit(
        self,
        request: PersonaCreate,
        *,
        progress: Progress | bool | None = None,
        submission_id: str | None = None,
    ) -> Persona:
        """Send a create, once, and log the result.

        Args:
            request: The create.
            progress: True draws a bar. A function is called as ``progress(sent_bytes,
                total_bytes)`` while files are read.
            submission_id: What ``prepare`` returned for this request, if it was called.

        Returns:
            The new persona.

        Raises:
            SubmissionUncertain: It may have been carried out, or was and could not be logged. It is
                never sent again automatically; see ``reconcile``.
            StoreError: It was sent before, or could not be logged; nothing was sent.
            AvatarkitError: Nothing was created; ``PlanFull`` before anything was sent.
            KeyboardInterrupt: It was interrupted; the text says what became of it.
        """
        self.store.require_open()
        request = self.webhooks.address(request)
        submission_id = submission_id or self.prepare(request)
        with show_upload(progress, request.creator_name) as report:
            return self._send(request, submission_id, progress=report)

    def _send(
        self,
        request: PersonaCreate,
        submission_id: str,
        *,
        progress: Progress | None,
        waits: Callable[[BaseException], str | None] = lambda _: None,
        others: int = 0,
    ) -> Persona:
        with self._used(), self.store.kept_open(), self._reserved(submission_id):
            self._begin_call()
            persona = submit.send(
                self._api,
                self.store,
                self.clock,
                request,
                submission_id,
                ask_quota=partial(self._ask_before_sending, others),
                progress=progress,
                waits=waits,
            )
        if self.quota is not None:
            count = self.quota.current_count + 1
            self.quota = self.quota.model_copy(update={"current_count": count})
        return persona

    def prepare_many(
        self,
        requests: Sequence[PersonaCreate],
        *,
        numbers: Sequence[int] | None = None,
        batch_id: str | None = None,
    ) -> str:
        """Log requests that will be sent, as a batch, in one transaction.

        A request that was sent before and did not fail is left out, and one that waits in another
        batch moves to this one: the very same request is never sent twice.

        Args:
            requests: The creates.
            numbers: The number of each in the batch, such as its row in a sheet; by default 1, 2, …
            batch_id: The id of the new batch; a new one by default.

        Returns:
            The id of the batch, for ``send_many`` and ``store.batch``.

        Raises:
            ConfigError: There are none, or all of them were sent before.
            StoreError: They could not be logged.
        """
        batch_id, _ = self._prepare_many(requests, numbers, batch_id)
        if not self.store.batch(batch_id):
            why = "Each of these was sent before" if requests else "No request was given"
            raise ConfigError(f"{why}; there is nothing to send.")
        return batch_id

    def _prepare_many(
        self,
        requests: Sequence[PersonaCreate],
        numbers: Sequence[int] | None = None,
        batch_id: str | None = None,
    ) -> tuple[str, list[str]]:
        self._claim_store()
        self.store.settle_abandoned(self.clock.now())
        addressed = [self.webhooks.address(request) for request in requests]
        return self.store.prepare_batch(addressed, self.clock.now(), numbers, batch_id)

    def send_many(
        self,
        batch_id: str,
        *,
        on_progress: OnProgress | None = None,
        stop: threading.Event | None = None,
    ) -> list[SubmitResult]:
        """Send the rows of a batch that still wait, two at a time.

        When the plan is full, the keys are refused, nothing answers or several answers in a row do
        not tell whether an avatar was created, the remaining rows wait, and
        ``error`` says why; call it again to go on, also in another process. After a 429 it waits as
        long as the API asks.

        Args:
            batch_id: What ``prepare_many`` returned.
            on_progress: Called as ``on_progress(result, sent_bytes, total_bytes)`` from the threads
                that send, during uploads and with each change of state.
            stop: Once it is set, no further row is begun; the uploads in progress end.

        Returns:
            All rows of the batch, by their number.

        Raises:
            ConfigError: There is no such batch.
            StoreError: The log failed; nothing is lost, call it again.
            BatchInterrupted: Ctrl-C, a ``KeyboardInterrupt``: the uploads in progress ended, and
                the rest waits. A second Ctrl-C cancels the uploads, which are uncertain then.
        """
        rows = self.store.batch(batch_id)
        if not rows:
            raise ConfigError(f"There is no batch {batch_id}; store.batches() lists them.")
        ids = [row.submission_id for row in rows]
        self._send_rows(ids, on_progress, stop, [row.number for row in rows])
        return self.store.batch(batch_id)

    def submit_many(
        self,
        requests: Sequence[PersonaCreate],
        *,
        on_progress: OnProgress | None = None,
        stop: threading.Event | None = None,
    ) -> list[SubmitResult]:
        """Log creates as a batch, and send them two at a time; call it again to resume.

        Everything is logged before the first is sent. What was sent before with the very same
        fields, and did not fail, is not sent again, so the same call after an interruption sends
        what is left. ``sheet.check`` finds faults of the videos before.

        Args:
            requests: The creates.
            on_progress: As for ``send_many``.
            stop: As for ``send_many``.

        Returns:
            What became of each request, in their order: with ``state`` and ``persona_id``, or with
            the ``error`` for which it was refused, is uncertain, or still waits.

        Raises:
            StoreError: The log failed; nothing is lost, call it again.
            BatchInterrupted: As by ``send_many``.
        """
        _, ids = self._prepare_many(requests)
        return self._send_rows(ids, on_progress, stop)

    def _send_rows(
        self,
        ids: Sequence[str],
        on_progress: OnProgress | None,
        stop: threading.Event | None,
        numbers: Sequence[int] | None = None,
    ) -> list[SubmitResult]:
        with self._used(), self.store.kept_open():
            return batch.send(
                self.store,
                self.clock,
                self._send,
                self._api.pause,
                ids,
                numbers=numbers,
                on_progress=on_progress,
                stop=stop,
            )

    @contextmanager
    def _reserved(self, submission_id: str) -> Iterator[None]:
        # Before the quota is read: a full plan must not make an uncertain submission refused.
        self.store.reserve(submission_id)
        try:
            yield
        finally:
            self.store.release(submission_id)

    def ask_quota(self, *, deadline_s: float | None = None, probe: bool = True) -> Quota | None:
        """Read the account's quota, and keep it in ``quota`` and what went wrong in ``access``.

        Args:
            deadline_s: Wall seconds for the call, if less than the client's.
            probe: Call also in a ``pause`` that the API did not ask for.

        Returns:
            The quota; None if the API does not answer, as a create may work without it, or the
            calls are paused.
        """
        failed: APIError | None = None
        asking: Asking | None = None
        try:
            asking = self._api.ask(probe=probe)
            self.quota = self._api.persona_quota(asking, deadline_s=deadline_s)
        except APIError as error:
            if gate.cause_of(error) is Cause.THROTTLED:
                # Something answers, so no error before holds but that of the keys.
                if not isinstance(self.access.error, AuthError):
                    self.access = Access()
                return None
            if asking is None:
                return None
            self.quota, failed = None, error
        if not is_cancelled():
            failures = 0 if failed is None else self.access.failures + 1
            now, now_s = self.clock.now(), self.clock.monotonic()
            self.access = Access(failed, now, now_s, failures)
        return self.quota

    def is_quota_due(self) -> bool:
        """Return whether it is time to read the quota."""
        error = self.access.error
        # No pause is left of an error that had begun one: another call was answered.
        is_outdated = error is not None and gate.is_certain(error) and self._api.trouble() is None
        return is_outdated or self.access.is_due(self.clock.monotonic())

    def _ask_before_sending(self, others: int = 0) -> Quota | None:
        before = self.access
        quota, error = self.ask_quota(), self.access.error
        is_new = self.access is not before
        if is_new and isinstance(error, AuthError) and error.status_code == 401:
            raise error  # now, and not after the upload
        if quota is not None and 0 < quota.max_count <= quota.current_count + others:
            # The others take a place each, and may not be counted yet.
            count = max(quota.current_count, quota.max_count)
            return quota.model_copy(update={"current_count": count})
        return quota

    def reconcile(self, *, probe: bool = True) -> list[Verdict]:
        """Find out what became of uncertain submissions.

        Lists the account's personas. A submission becomes accepted if one of them fits, and refused
        (safe to send again) only if its absence is proof; otherwise it stays uncertain until
        ``settle``. Nothing is sent again. The list also makes avatars due: those that are gone and
        are listed, and those that have ended and are not.

        Args:
            probe: Call also in a ``pause`` that the API did not ask for, to find out whether it is
                over.

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
        self._begin_call()
        ask_quota = partial(self.ask_quota, probe=probe)
        account = reconcile.read_account(self._api, self.store, self.clock, ask_quota)
        now = self.clock.now()
        verdicts = reconcile.decide(uncertain, account, now)
        for verdict in verdicts:
            reconcile.apply(self.store, verdict, now)
        if not account.skipped:
            listed = frozenset(persona.id for persona in account.listed)
            self._listing.compare(listed, account.listing.asked_at)
        return verdicts

    def _compare_with_list(self) -> None:
        now, error = self.clock.now(), self.access.error
        is_refused = error is not None and gate.cause_of(error) is not None
        may_list = not (self._listing.is_reading or is_refused) and self.pause is None
        if may_list and self.store.begin_listing(now, LIST_EVERY):
            self._claim_store()
            skipped: list[object] = []
            try:
                listed = self._api.list_personas(deadline_s=LISTING_S, on_skipped=skipped.append)
            except APIError as error:
                if self._api.is_about_account(error):
                    raise
                # A list that fails while avatars can be polled says nothing of them.
                if not is_cancelled():
                    logger.info("The list could not be compared with the log: %s", error)
                return
            if not skipped:
                self._listing.compare(frozenset(each.id for each in listed), now)

    @property
    def account_name(self) -> str:
        """Which account this is, for people: ``live account …a1b2 at api.creatify.ai``."""
        name = account_name(self.client.base_url, api_id_hint(self.client.api_id))
        return " ".join(filter(None, (self.store.kind, "account", name)))

    def other_accounts(self) -> list[KnownAccount]:
        """Return the other accounts that have rows in the database; ``sentence`` says which.

        Raises:
            StoreError: The log failed.
        """
        return self.store.other_accounts()

    def carry_over(self, *, deadline_s: float = DEADLINE_S) -> list[str]:
        """Carry over what was followed with an older API id of this account.

        ``run`` does it by itself. The proof is that the API answers these keys with an avatar that
        was logged under the older API id; any error proves nothing, and changes nothing.

        Args:
            deadline_s: Wall seconds for each call.

        Returns:
            A sentence for each API id that was carried over, and one, once, for each that is to be
            when the tracker ends that still polls with it.

        Raises:
            StoreError: The log failed, or holds data of another kind.
        """
        self._claim_store()
        if not self._is_claimed:
            return []  # it may be a sandbox or not
        before = self.store.other_accounts()
        notices = self._carrier.carry_over(self._listing.ids, deadline_s)
        if notices and self.store.other_accounts() != before:
            self.store.set_unknown_count(len(self._listing.ids - self.store.known_ids()))
        return notices

    def check_account(self) -> list[str]:
        """Carry over older API ids, and count the avatars that the log does not have; for ``run``.

        Returns:
            Sentences about what is new.
        """
        notices, count = self.carry_over(), self.unknown_count
        if count not in (0, self._unknown_noticed):
            notices.append(unknown_sentence(count))
        self._unknown_noticed = count
        return notices

    @property
    def unknown_count(self) -> int:
        """How many avatars of the account the log does not have, by the last list; see ``adopt``.

        The list is compared with the log once an hour by the tracker that polls.
        """
        return self.store.unknown_count()

    def unknown(self) -> list[Persona]:
        """Return the avatars in the account's list that the log does not have.

        Returns:
            The personas, in the API's order, without those that an uncertain submission may have
            become.

        Raises:
            APIError: The account cannot be listed.
            StoreError: The log failed.
        """
        return self._read_unknown()[0]

    def _read_unknown(self) -> tuple[list[Persona], Asking]:
        self._begin_call()
        unknown, self._listing.ids, asking = adopt.read_unknown(self._poller)
        if self.carry_over():
            known = self.store.known_ids()
            unknown = [persona for persona in unknown if persona.id not in known]
        return unknown, asking

    def adopt(self, ids: Collection[str] | None = None) -> list[Persona]:
        """Log and follow avatars of the account that were not submitted here.

        When one of them began is known from the API's ``created_at``, and its first status only
        between that and now.

        Args:
            ids: Only these; one that the list leaves out is requested by id. By default all that
                ``unknown`` returns.

        Returns:
            The personas that the log did not have, in the API's order.

        Raises:
            APIError: The account cannot be listed, or has no such avatar.
            StoreError: The log failed.
        """
        unknown, asking = self._read_unknown()
        wanted = adopt.chosen(unknown, ids)
        adopted = adopt.log_listed(self._poller, wanted, asking)
        # A person was forgotten since the list was read, so it is read again.
        if {persona.id for persona in wanted} - self.store.known_ids():
            unknown, asking = self._read_unknown()
            wanted = adopt.chosen(unknown, ids)
            adopted += adopt.log_listed(self._poller, wanted, asking)
        left_out = set(ids or ()) - {persona.id for persona in wanted} - self.store.known_ids()
        return adopted + [self.follow(persona_id) for persona_id in sorted(left_out)]

    def follow(self, persona_id: str) -> Persona:
        """Poll an avatar until it ends; log it first if the log does not have it.

        Args:
            persona_id: An avatar of the account; ``unfollow`` is taken back.

        Returns:
            The persona.

        Raises:
            ConfigError: It was deleted here, or a person was forgotten meanwhile.
            APIError: The log does not have it, and the API does not answer with it.
            StoreError: The log failed.
        """
        self._begin_call()
        return adopt.follow(self._poller, persona_id)

    def unfollow(self, persona_id: str) -> Persona:
        """Poll an avatar no longer; its history stays, and nothing is deleted at the API.

        Args:
            persona_id: An avatar in the log.

        Returns:
            The persona.

        Raises:
            ConfigError: The log has no such avatar.
            StoreError: The log failed.
        """
        return adopt.unfollow(self._poller, persona_id)

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
        now = self.clock.now()
        verdict = reconcile.by_hand(self._api, self.store, now, submission_id, persona_id)
        if not reconcile.apply(self.store, verdict, self.clock.now()):
            raise ConfigError("It was settled in another way meanwhile; look again.")

    @property
    def clock_offset(self) -> ClockOffset | None:
        """How far a machine's clock is from the API's, by its ``Date`` header; None if right.

        ``str(tracker.clock_offset)`` is a sentence. It is kept in the store.
        """
        return self.store.clock_offset()

    @property
    def pause(self) -> Pause | None:
        """The pause of all calls of the account, with a sentence as its ``reason``; None if none.

        It begins when the API asks to wait or refuses the keys, when something else answers in its
        place, and when nothing answers; ``cause`` tells which. Until it is over nothing is polled,
        listed or counted, by any process that tracks into this store. It is kept in the store. A
        submission is sent all the same, and so is ``poll``; a pause that the API did not ask for is
        over as soon as a call is answered.
        """
        return self._api.pause()

    def poll(self, persona_id: str) -> Change | None:
        """Poll one avatar now, due or not; also one that is gone or has ended.

        Args:
            persona_id: An avatar in the log.

        Returns:
            The change of its status, None if there is none.

        Raises:
            ConfigError: The log has no such avatar, or it was deleted here.
            APIError: The API did not answer with the avatar; that is logged.
            StoreError: The log failed.
        """
        self._begin_call()
        require_not_deleted(self.store, persona_id)
        for due in self.store.due(self.clock.now(), persona_id):
            outcome = self._poller.poll(due, by_person=True)
            if outcome.error is not None:
                self._set_last_error(outcome.error)
            if outcome.raised is not None:
                raise outcome.raised
            return outcome.change
        raise ConfigError(f"The log has no avatar {persona_id}; check the id with 'status' alone.")

    def delete(self, persona_id: str) -> bool:
        """Delete an avatar at the API, for good; its history stays, and it is polled no more.

        An avatar that has not ended can be deleted, too, which frees a place of the plan.

        Args:
            persona_id: An avatar in the log.

        Returns:
            False if the API had no such avatar any more; it counts as deleted.

        Raises:
            ConfigError: The log has no such avatar.
            APIError: The API did not delete it, and nothing has changed; unless ``maybe_sent`` is
                True, when it may be deleted: delete it again, which is safe.
            StoreError: It was deleted, and that could not be logged; delete it again.
        """
        self._begin_call()
        was_found = delete(self._poller, persona_id)
        self.ask_quota()
        return was_found

    def forget(self, who: str, *, at_api: bool = False, dry_run: bool = False) -> Forgotten:
        """Erase what is kept here of a person: rows, answers, uploads, drafts, in backups too.

        Nothing else of the account changes. A sandbox of avatarkit deletes its copies as well.

        Args:
            who: A ``creator_name``, exactly as it was sent: everything of that name is erased. Or
                the id of an avatar: only that one and the create that made it are.
            at_api: Delete the person's avatars at the API first. One that cannot be deleted is not
                erased here either, so that it can be tried again.
            dry_run: Erase nothing; return what would be erased.

        Returns:
            What was erased, what was not and why, and what was not ours to erase. While ``failed``
            is not empty something is left here: call it again.

        Raises:
            ConfigError: Nothing is kept of such a person; or a create of theirs is being sent or
                uncertain, so that an avatar may still come of it.
            StoreError: The database failed; call it again.
        """
        self._begin_call()
        # A sandbox is ours, and its copies too.
        at_api = at_api or self.client.is_sandbox is True
        return forget(
            self.store,
            self.clock,
            who,
            delete=self.delete if at_api else None,
            data_folder=self.data_folder,
            dry_run=dry_run,
        )

    def hasten(self, persona_id: str) -> None:
        """Bring the next poll of an avatar forward, as a person looks at it now.

        It is polled within five minutes, also if the budget would let it wait for hours.

        Args:
            persona_id: The avatar; nothing is changed for one that is not polled.

        Raises:
            StoreError: The log failed.
        """
        plan_soon(self._poller, persona_id)

    def look(self, stop: threading.Event | None = None) -> list[Change]:
        """Poll the personas that are due, once, also while another tracker holds the ``lease``.

        An error on one persona is logged as its ``last_error``; the others are polled all the same.
        In a ``pause`` none are polled, and after one the first alone until it is answered. If
        several are due, the account's list is read first, and only those that it leaves out are
        polled.

        Args:
            stop: Once it is set, no more are polled, and calls in progress are cancelled.

        Returns:
            The changes of status, in the order in which they were logged.

        Raises:
            StoreError: The log failed.
        """
        self._begin_call()
        changes: list[Change] = []
        error: str | None = None
        with self.open_polls(stop) as polls:
            results = self.hand_out(polls)
            while polls.is_busy and not (stop is not None and stop.is_set()):
                results += polls.step(STEP_S)
            if polls.is_busy:
                results += polls.finish()
        for poll in results:
            error = poll.error or error
            if poll.change is not None:
                changes.append(poll.change)
        self.end_pass(error, polled=bool(results))
        return changes

    def end_pass(self, error: str | None, *, polled: bool, reconciled: bool = False) -> None:
        """Set ``last_error``; a pass that polled nothing says nothing about an error of a poll.

        Nor does one that reconciled nothing say anything about an error of that.
        """
        rank = 2 if polled else int(reconciled)
        if error is not None:
            self._set_last_error(error)
            self._error_rank = rank
        elif rank >= self._error_rank:
            self._set_last_error(None)

    def _set_last_error(self, error: str | None) -> None:
        self.last_error = error
        self.last_error_at = None if error is None else self.clock.now()

    def hand_out(self, polls: Polls) -> list[Poll]:
        """Let the personas that are due be polled, unless the calls are paused."""
        self._claim_store()
        self.last_pass_at = self.clock.now()
        if (pause := self.pause) is not None:
            return [Poll(error=pause.reason)]
        polls.add(self.store.due(self.last_pass_at))
        return []

    def trouble(self) -> Pause | None:
        """Return the last pause until a call is answered, also when its time is over."""
        return self._api.trouble()

    @property
    def is_probing(self) -> bool:
        """Whether one call at a time is made, as the API took none of the last ones."""
        return self._api.is_probing()

    def open_polls(self, stop: threading.Event | None) -> Polls:
        """Return polls that ``stop`` cancels, with this tracker's threads."""
        return Polls(self._poller, self._listing, threads=self._threads, stop=stop)

    def run(
        self,
        stop: threading.Event,
        *,
        on_change: Callable[[Change], None] | None = None,
        on_error: Callable[[str], None] | None = None,
        on_notice: Callable[[str], None] | None = None,
        once: bool = False,
        until_done: bool = False,
    ) -> None:
        """Poll and reconcile in passes until stopped; errors do not end the run.

        While another tracker holds the ``lease`` of the account, it makes no calls: it reports the
        changes that the other one logs, and takes over once that one ends or is silent for a
        minute.

        Args:
            stop: Ends the run. A call in progress is cancelled within about a second, or after the
                connect timeout if it is still connecting.
            on_change: Called with each change of status.
            on_error: Called with the error of a pass, once if the same error repeats, and with a
                sentence when the API answers again after a ``pause``.
            on_notice: Called with a sentence when it begins to stand by and when it takes over, and
                about avatars that the log does not have or that were carried over from an older
                API id.
            once: End after one pass; without one if another tracker holds the lease.
            until_done: End when no persona is left to poll but those that are gone.
        """
        with self._used():
            reports = Reports(on_change, on_error, on_notice)
            run(self, stop, reports, once=once, until_done=until_done)

    def refresh_schedule(self) -> str | None:
        """Fit the times of the polls to the log, if it is time; return what went wrong, if any."""
        try:
            self.schedule.refresh(self.store, self.clock.now(), self.clock.monotonic())
        except StoreError as error:
            return str(error)
        except Exception:
            # The plan that was made before still holds.
            logger.exception("The times of the polls could not be fitted to the log.")
        return None

    def notify(self, *, is_over: bool = False) -> str | None:
        """Send messages about what happened, in a thread; at the end of a run wait for them.

        Args:
            is_over: The run ends by itself.

        Returns:
            A sentence if messages cannot be sent, else None.
        """
        if self.notifier is not None and self.has_lease:
            with suppress(StoreError):
                (self.notifier.finish if is_over else self.notifier.step)(self.trouble())
                return self.notifier.error()
        return None

    def back_up(self) -> None:
        """Make the backup of the day, unless there is one or it was looked for recently.

        Raises:
            StoreError: It failed; it is tried again in an hour.
        """
        now_s = self.clock.monotonic()
        if now_s - self._backup_s >= BACKUP_EVERY_S:
            self._backup_s = now_s
            # A day of the machine, as the sandbox's days may pass in seconds.
            self.store.back_up_daily(SystemClock().now())

    def start(self) -> None:
        """Start ``run`` in a background thread, unless it runs already.

        The thread ends with ``stop``, and when nothing else refers to the tracker any longer.

        Raises:
            StoreError: The session is closed.
        """
        self.store.require_open()
        self.background.start(self)

    def stop(self) -> None:
        """Stop the background thread and wait for its end; its calls are cancelled."""
        self.background.stop()

    @property
    def alive(self) -> bool:
        """Whether the background thread runs."""
        return self.background.alive

    @property
    def has_lease(self) -> bool:
        """Whether this tracker holds the account's lease, and so makes the calls of ``run``."""
        return self.lease.is_held

    @property
    def is_used(self) -> bool:
        """Whether a thread is in ``submit``, ``wait``, ``watch`` or ``run`` right now.

        The background thread does not count.
        """
        return bool(self._users)

    @contextmanager
    def _used(self) -> Iterator[None]:
        thread = threading.get_ident()
        self._users.append(thread)
        try:
            yield
        finally:
            self._users.remove(thread)

    def state(self) -> TrackerState:
        """Return what the tracker does now, from memory and the log; nothing is called.

        Raises:
            StoreError: The log failed.
        """
        now, promise = self.clock.now(), self.schedule.staleness()
        notify_error = None
        with self.store.transaction(reading=True):
            total, in_flight, due = self.store.counts(now)
            next_poll_at, pause = self.store.next_look_at(), self.pause
            if self.notifier is not None:
                notify_error = self.notifier.error()
            other = self.lease.other()
            unknown = self.store.unknown_count()
        is_running = bool(self.running_in) or self.alive
        return TrackerState(
            now=now,
            running=is_running,
            total=total,
            in_flight=in_flight,
            due=due,
            next_poll_at=next_poll_at,
            last_pass_at=self.last_pass_at,
            calls_last_hour=self._api.calls_since(now - timedelta(hours=1)),
            calls_per_hour=promise.budget,
            staleness_h=None if math.isnan(promise.p95_h) else promise.p95_h,
            warning=promise.warning,
            pause=pause,
            last_error=self.last_error,
            last_error_at=self.last_error_at,
            notify_error=notify_error,
            tracked_by=None if other is None else other.name,
            tracked_s=None if other is None else other.age_s,
            is_standby=is_running and other is not None,
            unknown=unknown,
        )

    def __repr__(self) -> str:
        state = "polling in the background" if self.alive else "not polling in the background"
        return f"Tracker({self.account_name!r}, {state})"

    def watch(self, *, timeout: float | None = None) -> None:
        """Show all avatars and the state of the tracker, live, until none is left to poll.

        In a notebook this is a table that changes in place; elsewhere a line is printed for each
        change. The background thread is started if it does not run, and goes on afterwards. The
        stop button of the notebook, or Ctrl-C, ends the watching only.

        Args:
            timeout: Wall seconds after which it ends in any case; None for no limit.
        """
        self.start()
        with self._used():
            watch(self.store, self.clock, self.state, timeout=timeout)

    def wait(
        self,
        persona_id: str,
        *,
        timeout: float,
        on_progress: Callable[[Persona], None] | None = None,
        progress: bool = False,
    ) -> Persona:
        """Wait until a persona is done; poll it whenever it is due.

        In a ``pause`` no call is made but the first one of a persona that the log does not have,
        and, unless the API asked for the pause, the first one of another that is due.

        Args:
            persona_id: The persona; if the log does not have it, it is requested and logged.
            timeout: Wall seconds.
            on_progress: Called with the persona when the wait begins and at each new status.
            progress: Draw a bar of the stages, which stays as text.

        Returns:
            The persona.

        Raises:
            PersonaFailed: The persona failed.
            PersonaRejected: The persona was rejected.
            WaitTimeout: The time is over; call it again with the same id to go on.
            ConfigError: It was deleted here before it had ended, or forgotten meanwhile; or the
                sandbox is served no longer.
            NotFound: The API itself says that it does not know the persona.
            AuthError: The API refuses the keys. Other errors of the API are logged as the persona's
                ``last_error``, and the poll is repeated.
            StoreError: The session is closed; the log cannot be read, or could not be written when
                the time was over.
        """
        reports = WaitReports(on_error=self._set_last_error, on_progress=on_progress)
        with self._used(), show_stages(self.clock, enabled=progress) as reports.on_step:
            return wait(
                self._poller,
                persona_id,
                timeout=timeout,
                before_poll=self._begin_call,
                reports=reports,
            )
