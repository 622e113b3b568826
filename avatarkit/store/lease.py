"""Store which tracker polls the account, and until when if it does not renew that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from avatarkit.store import tables
from avatarkit.store.database import Database
from avatarkit.store.process import is_alive, this_process
from avatarkit.store.tables import to_us

LENGTH_S = 60.0
"""Wall seconds after which a lease lapses that is not renewed."""

_TABLE = tables.leases
_COLUMNS = _TABLE.c
_LENGTH_US = int(LENGTH_S * 1e6)


@dataclass(frozen=True)
class Lease:
    """The lease of an account.

    Attributes:
        owner: The id of the tracker that took it last.
        name: What that tracker is called.
        age_s: Wall seconds since it was taken or renewed.
        is_free: Whether any tracker may take it, as it has lapsed or its process has ended.
    """

    owner: str
    name: str
    age_s: float
    is_free: bool


class LeaseTable(Database):
    """The lease of the account: at most one tracker holds it at any moment.

    Its times are on the clock of the database server, as those of the machines differ; on SQLite,
    which serves one machine only, on that of the machine.
    """

    def lease(self, wall_now: Callable[[], datetime], account: str | None = None) -> Lease | None:
        """Return the lease; None if it was never taken, or was released.

        Args:
            wall_now: Returns the moment on the machine's clock.
            account: The fingerprint of another account; None: this one's.
        """
        with self.transaction(reading=True) as connection:
            return self._lease(connection, _now_us(connection, wall_now), account)

    def take_lease(self, owner: str, name: str, wall_now: Callable[[], datetime]) -> Lease:
        """Take the lease if it is free, or renew it if it is the owner's; one atomic statement.

        Args:
            owner: The id of the tracker that wants it.
            name: What that tracker is called.
            wall_now: Returns the moment on the machine's clock.

        Returns:
            The lease, whose ``owner`` is another one's if that one holds it.
        """
        with self.transaction() as connection:
            now_us = _now_us(connection, wall_now)
            values = {
                "owner": owner,
                "name": name,
                "process": this_process(),
                "renewed_us": now_us,
                "expires_us": now_us + _LENGTH_US,
            }
            taken_us = sa.case((_COLUMNS.owner == owner, _COLUMNS.taken_us), else_=now_us)
            insert = tables.insert(connection, _TABLE)
            insert = insert.values(account=self._own(), taken_us=now_us, **values)
            upsert = insert.on_conflict_do_update(
                index_elements=["account"],
                set_=values | {"taken_us": taken_us},
                where=_COLUMNS.owner.in_([owner, *self._ended(connection)]) | _has_lapsed(now_us),
            )
            connection.execute(upsert)
            lease = self._lease(connection, now_us)
        assert lease is not None  # noqa: S101 - it was just written, or is another's
        return lease

    def release_lease(self, owner: str) -> None:
        """Give the lease up, if it is the owner's, so that another tracker need not wait."""
        is_own = (_COLUMNS.account == self._own()) & (_COLUMNS.owner == owner)
        with self.transaction() as connection:
            connection.execute(_TABLE.delete().where(is_own))

    def _ended(self, connection: sa.Connection) -> list[str]:
        """Return the owner of the lease if its process has ended, so that it renews it no more."""
        query = sa.select(_COLUMNS.owner, _COLUMNS.process).where(_COLUMNS.account == self._own())
        rows = connection.execute(query)
        return [row.owner for row in rows if not _runs(connection, row.process)]

    def _lease(
        self, connection: sa.Connection, now_us: Any, account: str | None = None
    ) -> Lease | None:
        query = sa.select(
            _COLUMNS.owner,
            _COLUMNS.name,
            _COLUMNS.process,
            now_us - _COLUMNS.renewed_us,
            _has_lapsed(now_us),
        ).where(_COLUMNS.account == (account or self._own()))
        row = connection.execute(query).one_or_none()
        if row is None:
            return None
        owner, name, process, age_us, has_lapsed = row
        is_free = bool(has_lapsed) or not _runs(connection, process)
        return Lease(owner, name, max(age_us / 1e6, 0.0), is_free)


def is_running(lease: Any, now_us: int, *, one_machine: bool) -> bool:
    """Return whether a row of the table is held, and no other tracker may take it.

    Args:
        lease: The row.
        now_us: The moment, on the clock of the lease.
        one_machine: All trackers are on this machine.
    """
    is_held = now_us < lease.expires_us <= now_us + 2 * _LENGTH_US
    return is_held and is_alive(lease.process, elsewhere=True, one_machine=one_machine)


def _runs(connection: sa.Connection, process: str | None) -> bool:
    is_sqlite = connection.dialect.name == "sqlite"
    return is_alive(process, elsewhere=True, one_machine=is_sqlite)


def _now_us(connection: sa.Connection, wall_now: Callable[[], datetime]) -> Any:
    """Return the moment by which leases are judged, or the expression for it."""
    if connection.dialect.name != "postgresql":
        return to_us(wall_now())  # read here, as the transaction may have waited for its lock
    # Not now(), which stands still in a transaction.
    seconds = sa.extract("epoch", sa.func.clock_timestamp())
    return sa.cast(seconds * 1_000_000, sa.BigInteger)


def _has_lapsed(now_us: Any) -> sa.ColumnElement[bool]:
    # An expiry far ahead was stored while the machine's clock was wrong.
    return sa.not_(_COLUMNS.expires_us.between(now_us + 1, now_us + 2 * _LENGTH_US))
