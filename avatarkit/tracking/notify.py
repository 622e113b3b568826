"""``Notifier``: send messages about avatars, each event once, without holding up a pass.

Events are found in the log (ended, late), among the submissions (uncertain) and in the pause of the
account (keys refused), written into the outbox, and sent from there a minute later, so that what
ends together is one message.
"""

from __future__ import annotations

import logging
import math
import threading
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from avatarkit.clock import Clock, SystemClock
from avatarkit.errors import StoreError
from avatarkit.store.account import Pause
from avatarkit.store.notifications import Event, Notification
from avatarkit.store.store import Store
from avatarkit.tracking import messages
from avatarkit.tracking.addresses import Address
from avatarkit.tracking.gate import Cause, on_clock
from avatarkit.tracking.messages import Kind

logger = logging.getLogger("avatarkit")

STEP_EVERY_S = 5.0
"""Wall seconds between two searches for events."""

WINDOW_S = 60.0
"""Wall seconds from the first event of a message until it is sent."""

SEND_S = 40.0
"""Wall seconds after which an address that does not answer has failed."""

RETRY_S = (60.0, 300.0, 1_800.0, *[3_600.0] * 23)
"""Wall seconds to the next attempt after each that failed; the first is longer than ``SEND_S``."""

RECENT_S = 7 * 86_400.0
"""What is older in wall seconds is no news: messages were switched off, or not delivered."""

UNCERTAIN_AFTER = timedelta(minutes=15)
"""A submission that is uncertain for longer is an event: reconciling has not settled it."""

CLOSE_S = 2.0
"""Wall seconds that the end of a run waits for a message that is being sent."""

LEARN_EVERY_S, MORE_HISTORY = 600.0, 1.05
"""The stages are fitted again after these wall seconds if a twentieth more lives have ended."""

MIN_LIVES = 5


class Destinations(Protocol):
    """Where messages go; ``addresses.Addresses`` is one."""

    @property
    def schemes(self) -> Sequence[str]: ...  # noqa: D102
    @property
    def problems(self) -> Sequence[str]: ...  # noqa: D102
    def open(self) -> Sequence[Address]: ...  # noqa: D102


class Notifier:
    """Writes what happened into the outbox, and sends it, in a thread of its own.

    Args:
        store: The log, which keeps the outbox.
        clock: The session's clock.
        addresses: Where messages go.
        is_sandbox: Whether the sandbox answers; messages say so.

    Attributes:
        addresses: Where messages go.
    """

    def __init__(
        self, store: Store, clock: Clock, addresses: Destinations, *, is_sandbox: bool = False
    ) -> None:
        self.addresses = addresses
        self._store = store
        self._clock = clock
        self._is_sandbox = is_sandbox
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stepped_s = self._learned_s = -math.inf
        self._learned_from = 0
        self._late_h: Mapping[str, float] = {}
        self._reported: set[str] = set()

    def begin(self) -> None:
        """Take what the log holds now as known; called before the first poll of a run."""
        try:
            self._store.begin_notifying()
        except StoreError as error:
            logger.warning("%s", error)

    def step(self, trouble: Pause | None) -> None:
        """Find events and send what is due, in a thread; return at once.

        Nothing happens while the last step still goes on, or shortly after it.

        Args:
            trouble: The last pause of the account, until a call is answered.
        """
        with self._lock:
            now_s = self._clock.monotonic()
            if self._is_alive() or now_s - self._stepped_s < STEP_EVERY_S:
                return
            self._stepped_s = now_s
            self._start(trouble, at_once=False)

    def finish(self, trouble: Pause | None) -> None:
        """Find events and send them now; wait until they are sent or that has failed.

        Args:
            trouble: As for ``step``.
        """
        self.close(SEND_S)
        with self._lock:
            if not self._is_alive():
                self._start(trouble, at_once=True)
        self.close(SEND_S + CLOSE_S)

    def close(self, timeout_s: float = CLOSE_S) -> None:
        """Wait for a message that is being sent; one that takes longer goes on by itself."""
        thread = self._thread
        if thread is not None:
            thread.join(timeout_s)

    def error(self) -> str | None:
        """Return a sentence if messages cannot be sent, None if they can, as far as is known.

        Raises:
            StoreError: The log failed.
        """
        if problems := self.addresses.problems:
            return problems[0]
        *_, error = self._store.notifications_state()
        return None if error is None else f"A message was not sent: {error}"

    def try_addresses(self) -> list[tuple[Address, str | None]]:
        """Send a test to each address, and return why one did not take it, None if it did."""
        title, body = messages.trial(self._clock.now(), is_sandbox=self._is_sandbox)
        addresses = self.addresses.open()
        errors = _send_all(dict.fromkeys(addresses, (title, body)))
        return [(address, errors[address]) for address in addresses]

    def _is_alive(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _start(self, trouble: Pause | None, *, at_once: bool) -> None:
        self._thread = threading.Thread(
            target=self._run, args=(trouble, at_once), name="avatarkit-notify", daemon=True
        )
        self._thread.start()

    def _run(self, trouble: Pause | None, at_once: bool) -> None:
        try:
            self._collect(trouble)
            self._send_due(at_once=at_once)
        except StoreError as error:
            logger.warning("%s", error)
        except Exception:
            # A bug here must not end the tracking.
            logger.exception("The messages could not be sent.")

    def _collect(self, trouble: Pause | None) -> None:
        """Find events, and write them into the outbox."""
        store, now = self._store, self._clock.now()
        store.begin_notifying()
        events = [
            messages.ended(stay) for stay in store.unnotified_ends(now - self._wall(RECENT_S))
        ]
        events += [
            messages.uncertain(submission)
            for submission in store.open_submissions()
            if submission.broke_at <= now - UNCERTAIN_AFTER
        ]
        events += self._late(now)
        self._add(events, now, known_only=True)
        self._collect_keys(trouble, now)

    def _add(self, events: Sequence[Event], now: datetime, *, known_only: bool = False) -> None:
        if events:
            due_at = now + self._wall(WINDOW_S)
            self._store.add_notifications(events, now, due_at, known_only=known_only)

    def _collect_keys(self, trouble: Pause | None, now: datetime) -> None:
        if trouble is not None and trouble.cause != Cause.REFUSED:
            return  # no call was answered, so the last refusal is not over
        mark = None if trouble is None else trouble.keys
        if self._store.notified_keys() == mark:
            return
        with self._store.transaction():
            if trouble is not None and mark is not None:
                self._add([messages.keys_refused(trouble)], now)
            self._store.set_notified_keys(mark)

    def _late(self, now: datetime) -> list[Event]:
        """Return an event for each persona that is in its stage for longer than 95 % are."""
        if not (stays := self._store.stays_in_flight()):
            return []
        self._learn(now)
        hour = timedelta(hours=1)
        return [
            messages.late(stay, late_h)
            for stay in stays
            if (late_h := self._late_h.get(stay.status)) is not None
            and (stay.until - stay.since) / hour > late_h
        ]

    def _learn(self, now: datetime) -> None:
        now_s = self._clock.monotonic()
        if now_s - self._learned_s < LEARN_EVERY_S:
            return
        ended = self._store.count_ended()
        if ended < max(MIN_LIVES, MORE_HISTORY * self._learned_from):
            return
        from avatarkit.estimates import durations
        from avatarkit.history import stages

        self._learned_s, self._learned_from = now_s, ended
        personas, sightings = self._store.personas(), self._store.sightings()
        visits = stages.visits(sightings, now=now, personas=personas)
        self._late_h = {str(k): hours for k, hours in durations.late_after(visits).dropna().items()}

    def _send_due(self, *, at_once: bool) -> None:
        addresses = self.addresses.open()
        for problem in self.addresses.problems:
            if problem not in self._reported:
                self._reported.add(problem)
                logger.warning("%s", problem)
        if not addresses:
            return  # what is in the outbox stays there
        now = self._clock.now()
        # Claimed before it is sent, so that two trackers do not both send it. If this process dies
        # before it stores that it was sent, it is sent again after the delay of the claim: twice
        # is better than never.
        claimed = self._store.claim_notifications(
            now, self._retry, since=now - self._wall(RECENT_S), at_once=at_once
        )
        claimed = self._without_over(claimed)
        messages_by_address = {}
        for address in addresses:
            pending = [event for event in claimed if address.key not in event.taken_by]
            if pending:
                message = messages.compose(pending, is_sandbox=self._is_sandbox)
                messages_by_address[address] = message
        errors = _send_all(messages_by_address)
        for address, error in errors.items():
            if error is None:
                logger.info("A message was sent to %s.", address)
            else:
                logger.warning("%s did not take a message: %s", str(address).capitalize(), error)
        self._end_attempts(claimed, addresses, errors)

    def _without_over(self, claimed: list[Notification]) -> list[Notification]:
        """Give up what is true no longer, as its message would be wrong; return the rest."""
        passing = [event for event in claimed if event.event in (Kind.LATE, Kind.UNCERTAIN)]
        if not passing:
            return claimed
        store = self._store
        with store.transaction(reading=True):
            subjects = {messages.late_subject(stay) for stay in store.stays_in_flight()}
            subjects |= {submission.submission_id for submission in store.open_submissions()}
        over = [event for event in passing if event.subject not in subjects]
        with store.transaction():
            for event in over:
                store.give_up(event)
        return [event for event in claimed if event not in over]

    def _end_attempts(
        self,
        claimed: Sequence[Notification],
        addresses: Sequence[Address],
        errors: Mapping[Address, str | None],
    ) -> None:
        took = {address.key for address, error in errors.items() if error is None}
        failed = "; ".join(f"{address}: {error}" for address, error in errors.items() if error)
        sent_at = self._clock.now()
        with self._store.transaction():
            for event in claimed:
                taken_by = event.taken_by | took
                is_sent = all(address.key in taken_by for address in addresses)
                self._store.end_attempt(
                    event, taken_by, sent_at if is_sent else None, None if is_sent else failed
                )

    def _retry(self, attempts: int) -> timedelta | None:
        if attempts > len(RETRY_S):
            return None
        return self._wall(RETRY_S[attempts - 1])

    def _wall(self, seconds: float) -> timedelta:
        return on_clock(self._clock, seconds)


def _send_all(
    messages_by_address: Mapping[Address, tuple[str, str]],
) -> dict[Address, str | None]:
    """Send each address its message, all at once, and return why one did not take it, if so."""
    errors: dict[Address, str | None] = defaultdict(lambda: f"It did not answer in {SEND_S:.0f} s.")

    def send(address: Address, title: str, body: str) -> None:
        try:
            errors[address] = address.send(title, body)
        except Exception as error:  # noqa: BLE001 - a service's bug, whose text may hold a secret
            errors[address] = f"{type(error).__name__} in Apprise."

    threads = [
        threading.Thread(target=send, args=(address, *message), daemon=True)
        for address, message in messages_by_address.items()
    ]
    for thread in threads:
        thread.start()
    deadline_s = SystemClock().monotonic() + SEND_S
    for thread in threads:
        thread.join(max(0.0, deadline_s - SystemClock().monotonic()))
    return {address: errors[address] for address in messages_by_address}
