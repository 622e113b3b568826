"""Keep what a person is notified of: found in the log, written once, and sent from here.

The table is an outbox. What has ended is found by comparing the log with it, so that a crash
between the two loses nothing, and the primary key sees to it that each event is in it once.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from avatarkit.models import TERMINAL
from avatarkit.store import tables
from avatarkit.store.account import AccountState
from avatarkit.store.tables import to_moment, to_us

_TABLE = tables.notifications
_COLUMNS, _PERSONAS, _RUNS = _TABLE.c, tables.personas.c, tables.sightings.c


@dataclass(frozen=True)
class Event:
    """Something to notify of once: its kind, what it is about, and a line of text."""

    event: str
    subject: str
    text: str


@dataclass(frozen=True)
class Notification(Event):
    """An event in the outbox, on the session's clock.

    ``taken_by`` are the keys of the addresses that took it; ``sent_at`` is set once all did.
    ``next_attempt_at`` is None once it is given up.
    """

    created_at: datetime
    sent_at: datetime | None
    attempts: int
    next_attempt_at: datetime | None
    error: str | None
    taken_by: frozenset[str]


@dataclass(frozen=True)
class Stay:
    """A persona in its status, ended or not: first seen in it at ``since``, last at ``until``."""

    persona_id: str
    creator_name: str | None
    status: str
    failed_reason: str | None
    since: datetime
    until: datetime


class NotificationLog(AccountState):
    """The outbox of an account, and what in the log belongs into it."""

    def begin_notifying(self) -> None:
        """Take what the log holds now as known, unless this was called before."""
        newest = sa.select(sa.func.coalesce(sa.func.max(_RUNS.id), 0)).scalar_subquery()
        with self.transaction() as connection:
            if self._baseline(connection) is None:
                values = {"notified_run_id": newest}
                connection.execute(self._upsert(connection, values, values))

    def unnotified_ends(self, since: datetime) -> list[Stay]:
        """Return the personas that ended, and of whose end there is no notification.

        Left out are those that had ended before ``begin_notifying``, that were found in the account
        when they had ended already, and that are followed no longer.

        Args:
            since: Only those that ended later.
        """
        earlier, notified = tables.sightings.alias().c, _TABLE.alias().c
        was_followed = sa.exists().where(
            earlier.account == _PERSONAS.account,
            earlier.persona_id == _PERSONAS.persona_id,
            earlier.id < _PERSONAS.run_id,
        )
        is_notified = sa.exists().where(
            notified.account == _PERSONAS.account,
            notified.event == _PERSONAS.status,
            notified.subject == _PERSONAS.persona_id,
        )
        with self.transaction(reading=True) as connection:
            baseline = self._baseline(connection)
            if baseline is None:
                return []
            query = (
                _stays()
                .where(self._is_read(_PERSONAS))
                .where(
                    _PERSONAS.status.in_([status.value for status in TERMINAL]),
                    _PERSONAS.run_id > baseline,
                    _RUNS.first_seen_us >= to_us(since),
                    _PERSONAS.submitted_us.is_not(None) | was_followed,
                    ~is_notified,
                )
            )
            return [_stay(row) for row in connection.execute(query.order_by(_RUNS.id))]

    def stays_in_flight(self) -> list[Stay]:
        """Return the personas that are still polled and not gone."""
        query = (
            _stays()
            .where(self._is_read(_PERSONAS))
            .where(_PERSONAS.next_look_us.is_not(None), ~_PERSONAS.gone)
        )
        with self.transaction(reading=True) as connection:
            return [_stay(row) for row in connection.execute(query)]

    def notified_keys(self) -> str | None:
        """Return the mark of the keys of whose refusal was notified, None once they work."""
        query = sa.select(tables.accounts.c.notified_keys)
        query = query.where(tables.accounts.c.account == self._own())
        with self.transaction(reading=True) as connection:
            return connection.scalar(query)

    def set_notified_keys(self, mark: str | None) -> None:
        """Store of which keys' refusal was notified; None once they work."""
        values = {"notified_keys": mark}
        with self.transaction() as connection:
            connection.execute(self._upsert(connection, values, values))

    def add_notifications(
        self,
        events: Sequence[Event],
        at: datetime,
        due_at: datetime,
        *,
        known_only: bool = False,
    ) -> None:
        """Write events into the outbox; those that are in it already change nothing.

        Args:
            events: The events.
            at: The moment, on the session's clock.
            due_at: When they are to be sent.
            known_only: Leave out what is about an avatar or a submission that the log does not
                have: it may have been erased since the event was found.
        """
        subjects = {event.subject for event in events}
        query = sa.select(_COLUMNS.event, _COLUMNS.subject)
        query = query.where(_COLUMNS.account == self._own(), _COLUMNS.subject.in_(subjects))
        with self.transaction(reading=True) as connection:
            known = {(row.event, row.subject) for row in connection.execute(query)}
        rows = [
            {
                "account": self._own(), "event": event.event, "subject": event.subject,
                "text": event.text, "created_us": to_us(at), "next_attempt_us": to_us(due_at),
            }
            for event in events
            if (event.event, event.subject) not in known
        ]  # fmt: skip
        if rows:
            with self.transaction() as connection:
                if known_only:
                    about = {_id_of(subject) for subject in subjects}
                    present = self._locked_ids(connection, about)
                    rows = [row for row in rows if _id_of(str(row["subject"])) in present]
                if rows:
                    insert = tables.insert(connection, _TABLE).on_conflict_do_nothing()
                    connection.execute(insert, rows)

    def claim_notifications(
        self,
        now: datetime,
        delay: Callable[[int], timedelta | None],
        *,
        since: datetime,
        at_once: bool = False,
    ) -> list[Notification]:
        """Reserve what is to be sent now, so that no other tracker sends it.

        As soon as one event is due, those that were not tried yet go with it.

        Args:
            now: The moment, on the session's clock.
            delay: Returns the time until the next attempt after this many; None: there is none.
            since: Only events that are not older.
            at_once: Those that were not tried yet are due, too.

        Returns:
            The events, oldest first. They count as tried: unless ``end_attempt`` follows, they are
            due again after the delay.
        """
        is_new = _COLUMNS.attempts == 0
        # What lies further ahead was planned while the clock was wrong.
        longest_us = to_us(now + (now - since))
        is_due = (_COLUMNS.next_attempt_us <= to_us(now)) | (_COLUMNS.next_attempt_us > longest_us)
        is_open = (
            (_COLUMNS.account == self._own())
            & _COLUMNS.sent_us.is_(None)
            & _COLUMNS.next_attempt_us.is_not(None)
            & (_COLUMNS.created_us >= to_us(since))
        )
        due = sa.select(_COLUMNS.event).where(is_open, (is_due | is_new) if at_once else is_due)
        with self.transaction(reading=True) as connection:
            if connection.scalar(due.limit(1)) is None:
                return []
        query = sa.select(_TABLE).where(is_open, is_due | is_new).with_for_update()
        query = query.order_by(_COLUMNS.created_us, _COLUMNS.event, _COLUMNS.subject)
        with self.transaction() as connection:
            claimed = [_notification(row) for row in connection.execute(query)]
            for notification in claimed:
                wait = delay(notification.attempts + 1)
                self._update_notification(
                    notification,
                    attempts=notification.attempts + 1,
                    next_attempt_us=None if wait is None else to_us(now + wait),
                )
        return claimed

    def end_attempt(
        self, notification: Notification, taken_by: Collection[str], sent_at: datetime | None,
        error: str | None,
    ) -> None:  # fmt: skip
        """Store what came of an attempt to send a claimed event.

        Args:
            notification: The event.
            taken_by: The keys of the addresses that have taken it, earlier ones included.
            sent_at: The moment if no address is left to send it to, else None.
            error: A sentence if an address did not take it.
        """
        sent_us = None if sent_at is None else to_us(sent_at)
        taken = " ".join(sorted(taken_by))
        self._update_notification(notification, taken_by=taken, sent_us=sent_us, error=error)

    def give_up(self, event: Event) -> None:
        """Send an event no more, as it is over."""
        self._update_notification(event, next_attempt_us=None, error=None)

    def last_notifications(self, limit: int) -> list[Notification]:
        """Return the newest events in the outbox, newest first."""
        query = sa.select(_TABLE).where(self._is_read(_COLUMNS))
        query = query.order_by(_COLUMNS.created_us.desc(), _COLUMNS.event, _COLUMNS.subject)
        with self.transaction(reading=True) as connection:
            return [_notification(row) for row in connection.execute(query.limit(limit))]

    def notifications_state(self) -> tuple[datetime | None, int, str | None]:
        """Return when an event was last sent, how many wait, and the newest error.

        The error is None once a later event was sent, unless those with errors still wait.
        """
        is_own = self._is_read(_COLUMNS)
        is_unsent, waits = _COLUMNS.sent_us.is_(None), _COLUMNS.next_attempt_us.is_not(None)
        count = sa.select(sa.func.count()).where(is_own, is_unsent, waits)
        newest = sa.select(_COLUMNS.error).where(is_own, is_unsent, _COLUMNS.error.is_not(None))
        newest = newest.order_by(_COLUMNS.created_us.desc()).limit(1)
        with self.transaction(reading=True) as connection:
            sent_us = connection.scalar(sa.select(sa.func.max(_COLUMNS.sent_us)).where(is_own))
            waiting = connection.scalar(count) or 0
            error = connection.scalar(newest.where(waits | (_COLUMNS.created_us > (sent_us or 0))))
        return None if sent_us is None else to_moment(sent_us), waiting, error

    def _locked_ids(self, connection: sa.Connection, ids: Collection[str]) -> set[str]:
        """Return which of these the log has; nothing erases them until the transaction ends."""
        present: set[str] = set()
        # In the order in which they are erased.
        for column in (_PERSONAS.persona_id, tables.submissions.c.submission_id):
            is_own = column.table.c.account == self._own()
            query = sa.select(column).where(is_own, column.in_(ids)).order_by(column)
            present.update(connection.scalars(query.with_for_update(read=True)))
        return present

    def _baseline(self, connection: sa.Connection) -> int | None:
        query = sa.select(tables.accounts.c.notified_run_id)
        return connection.scalar(query.where(tables.accounts.c.account == self._own()))

    def _update_notification(self, notification: Event, **values: Any) -> None:
        update = _TABLE.update().where(_key(self._own(), notification)).values(**values)
        with self.transaction() as connection:
            connection.execute(update)


def _id_of(subject: str) -> str:
    """Return the persona or the submission that a subject begins with."""
    return subject.partition(" ")[0]


def _stays() -> sa.Select[Any]:
    names = ("persona_id", "creator_name", "status")
    return (
        sa.select(*(_PERSONAS[name] for name in names))
        .add_columns(_RUNS.failed_reason, _RUNS.first_seen_us, _RUNS.last_seen_us)
        .join(tables.sightings, _RUNS.id == _PERSONAS.run_id)
        .where(_PERSONAS.followed)
    )


def _stay(row: sa.Row[Any]) -> Stay:
    return Stay(
        row.persona_id,
        row.creator_name,
        row.status,
        row.failed_reason,
        since=to_moment(row.first_seen_us),
        until=to_moment(row.last_seen_us),
    )


def _key(account: str, event: Event) -> sa.ColumnElement[bool]:
    is_event = (_COLUMNS.event == event.event) & (_COLUMNS.subject == event.subject)
    return (_COLUMNS.account == account) & is_event


def _notification(row: sa.Row[Any]) -> Notification:
    sent_us, next_us = row.sent_us, row.next_attempt_us
    return Notification(
        event=row.event,
        subject=row.subject,
        text=row.text,
        created_at=to_moment(row.created_us),
        sent_at=None if sent_us is None else to_moment(sent_us),
        attempts=row.attempts,
        next_attempt_at=None if next_us is None else to_moment(next_us),
        error=row.error,
        taken_by=frozenset((row.taken_by or "").split()),
    )
