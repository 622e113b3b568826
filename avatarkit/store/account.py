"""Store what holds for a whole account: its last call, the pause of its calls, and its clock."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from avatarkit.store import tables
from avatarkit.store.database import Database
from avatarkit.store.tables import to_moment, to_us
from avatarkit.text import format_hours

_TABLE = tables.accounts
_COLUMNS = _TABLE.c


@dataclass(frozen=True)
class Pause:
    """A pause of all calls of the account, on the session's clock.

    ``text`` is a sentence in which ``{moment}`` stands for the end, so that it is the same for each
    pause with the same reason. ``refusals`` counts the pauses in a row; it is 0 again after the
    first call that was answered. ``asked_no`` is the number of the last call that was sent before
    the pause began. ``cause`` is one of ``tracking.gate.Cause``; ``keys`` is the mark of the keys
    that were used.
    """

    began_at: datetime
    until: datetime
    text: str
    refusals: int
    asked_no: int
    cause: str = "throttled"
    keys: str | None = None

    @property
    def reason(self) -> str:
        """A sentence that says why no calls are made, and until when."""
        is_today = self.until.date() == self.began_at.date()
        moment = f"{self.until:%H:%M}" if is_today else f"{self.until:%Y-%m-%d %H:%M}"
        return self.text.replace("{moment}", f"{moment} UTC")


@dataclass(frozen=True)
class ClockOffset:
    """How far the API's clock is ahead of a machine's clock, at least; ``offset`` may be negative.

    The text is a sentence that says so.
    """

    offset: timedelta
    machine: str

    def __str__(self) -> str:
        hours = self.offset / timedelta(hours=1)
        direction = "behind" if hours > 0 else "ahead of"
        clock = "This machine's clock"
        if self.machine != socket.gethostname():
            clock = f"The clock of the machine {self.machine}"
        return (
            f"{clock} is {format_hours(abs(hours))} {direction} the API's; set it. Until then the "
            "log is less certain of when each status began and ended."
        )


class AccountState(Database):
    """The state of the account, shared by all processes that use the database."""

    def ask(self, count: int = 1) -> int:
        """Return the number of a call that is about to be sent, one higher for each.

        It tells which of two answers was asked for later, whatever the clocks show.

        Args:
            count: How many calls; the last one's number is returned.
        """
        with self.transaction() as connection:
            number = _COLUMNS.asked_no + count
            query = self._upsert(connection, {"asked_no": count}, {"asked_no": number})
            return int(connection.execute(query.returning(_COLUMNS.asked_no)).scalar_one())

    def begin_listing(self, at: datetime, every: timedelta) -> bool:
        """Reserve the reading of the account's list; return False if it was read recently.

        Args:
            at: The moment, on the session's clock.
            every: How long a reading counts as recent.
        """
        query = sa.select(_COLUMNS.listed_us).where(_COLUMNS.account == self._own())
        with self.transaction() as connection:
            listed_us = connection.scalar(query)
            # A time that is still to come was stored while the clock was wrong.
            if listed_us is not None and to_us(at - every) < listed_us <= to_us(at):
                return False
            values = {"listed_us": to_us(at)}
            connection.execute(self._upsert(connection, values, values))
        return True

    def webhook_token(self, new: str | None = None) -> str | None:
        """Return the secret part of the address at which the account's webhooks arrive.

        Args:
            new: Stored as the token if there is none yet, also by another process meanwhile.

        Returns:
            The token; None if there is none.
        """
        query = sa.select(_COLUMNS.webhook_token).where(_COLUMNS.account == self._own())
        with self.transaction(reading=True) as connection:
            token: str | None = connection.scalar(query)
        if token is not None or new is None:
            return token
        first = sa.func.coalesce(_COLUMNS.webhook_token, new)
        with self.transaction() as connection:
            upsert = self._upsert(connection, {"webhook_token": new}, {"webhook_token": first})
            return str(connection.execute(upsert.returning(_COLUMNS.webhook_token)).scalar_one())

    def clock_offset(self) -> ClockOffset | None:
        """Return by how much a machine's clock differs from the API's; None if none does.

        Of several machines, the one that found it last.
        """
        columns = (_COLUMNS.clock_offset_us, _COLUMNS.clock_machine)
        query = sa.select(*columns).where(self._is_read(_COLUMNS))
        query = query.order_by(_COLUMNS.clock_offset_us.is_(None), _COLUMNS.account)
        with self.transaction(reading=True) as connection:
            row = connection.execute(query).first()
        if row is None or row.clock_offset_us is None:
            return None
        return ClockOffset(timedelta(microseconds=row.clock_offset_us), row.clock_machine)

    def set_clock_offset(self, offset: ClockOffset) -> None:
        """Store by how much a machine's clock differs; 0 ends what was stored of this machine."""
        us = offset.offset // timedelta(microseconds=1)
        values: dict[str, Any] = {"clock_offset_us": us, "clock_machine": offset.machine}
        is_own = (_COLUMNS.account == self._own()) & (_COLUMNS.clock_machine == offset.machine)
        ended = _TABLE.update().where(is_own).values(clock_offset_us=None, clock_machine=None)
        with self.transaction() as connection:
            connection.execute(self._upsert(connection, values, values) if us else ended)

    def known_since(self, known: str, asked_no: int) -> int:
        """Keep what an account is known to have, and return since which call that is the same.

        Args:
            known: A digest of it.
            asked_no: The number of the call that read it.

        Returns:
            The number of the first of the calls in a row that read the same.
        """
        names = (_COLUMNS.known, _COLUMNS.known_no)
        with self.transaction() as connection:
            row = connection.execute(
                sa.select(*names).where(_COLUMNS.account == self._own())
            ).first()
            if row is not None and row.known == known:
                return int(row.known_no)
            values = {"known": known, "known_no": asked_no}
            connection.execute(self._upsert(connection, values, values))
        return asked_no

    def last_pause(self) -> Pause | None:
        """Return the last pause, also one that is over."""
        query = sa.select(_TABLE).where(self._is_read(_COLUMNS))
        query = query.order_by(sa.func.coalesce(_COLUMNS.paused_until_us, 0).desc())
        with self.transaction(reading=True) as connection:
            row = connection.execute(query).first()
        if row is None or row.paused_until_us is None:
            return None
        return Pause(
            began_at=to_moment(row.paused_us),
            until=to_moment(row.paused_until_us),
            text=row.pause_reason,
            refusals=row.refusals,
            asked_no=row.paused_no,
            cause=row.pause_cause,
            keys=row.pause_keys,
        )

    def begin_pause(
        self,
        began_at: datetime,
        until: datetime,
        text: str,
        refusals: int,
        *,
        cause: str = "throttled",
        keys: str | None = None,
    ) -> None:
        """Store a pause in place of the last one; the calls that are out already are known.

        The arguments are the fields of ``Pause``.
        """
        values = {
            "paused_us": to_us(began_at),
            "paused_until_us": to_us(until),
            "pause_reason": text,
            "pause_cause": cause,
            "pause_keys": keys,
            "refusals": refusals,
        }
        with self.transaction() as connection:
            update = values | {"paused_no": _COLUMNS.asked_no}
            connection.execute(self._upsert(connection, values, update))

    def forget_refusals(self, asked_no: int) -> None:
        """Store that the API answered a call, unless the last pause began after it was sent."""
        is_later = (_COLUMNS.account == self._own()) & (_COLUMNS.paused_no < asked_no)
        update = _TABLE.update().where(is_later).values(refusals=0)
        with self.transaction() as connection:
            connection.execute(update)

    def _upsert(
        self, connection: sa.Connection, new: dict[str, Any], update: dict[str, Any]
    ) -> Any:
        insert = tables.insert(connection, _TABLE).values(account=self._own(), **new)
        return insert.on_conflict_do_update(index_elements=["account"], set_=update)
