"""Name the accounts of a database, and carry the rows of one over to another.

The log tells accounts apart by a fingerprint of base URL and API id, so a new API id of the same
account begins with an empty log. ``AccountDirectory.carry_over`` moves the rows there.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import sqlalchemy as sa

from avatarkit.settings import is_loopback
from avatarkit.store import merge, tables
from avatarkit.store.account import AccountState
from avatarkit.store.tables import to_us

_ACCOUNTS, _PERSONAS = tables.accounts, tables.personas
_SUBMISSIONS = tables.submissions

HINT_LENGTH = 4


@dataclass(frozen=True)
class KnownAccount:
    """An account with rows in the database; ``account`` is its fingerprint.

    ``base_url`` and ``api_id_hint`` are None if only an older avatarkit opened it. ``personas`` and
    ``submissions`` are the numbers of its rows.
    """

    account: str
    base_url: str | None
    api_id_hint: str | None
    personas: int
    submissions: int

    @property
    def sentence(self) -> str:
        """What it holds, and how to see it."""
        count, noun = self.personas, "avatar"
        if not count:
            count, noun = self.submissions, "submission"
        rows = f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
        if self.base_url is None:
            name = f"an account that an older avatarkit opened (fingerprint {self.account[:6]})"
        elif is_loopback(self.base_url):
            name = f"another sandbox, {account_name(self.base_url, self.api_id_hint)}"
            return f"This database also holds {rows} of {name}."
        else:
            name = f"the account {account_name(self.base_url, self.api_id_hint)}"
        return f"This database also holds {rows} of {name}; set its keys to see them."


def api_id_hint(api_id: str) -> str:
    """Return the last characters of an API id, to recognise it by; at most a quarter of it."""
    length = min(HINT_LENGTH, len(api_id) // 4)
    return api_id[-length:] if length else ""


def account_name(base_url: str, hint: str | None) -> str:
    """Return the name of an account for people, such as ``…a1b2 at api.creatify.ai``."""
    host = f"at {urlsplit(base_url).netloc or base_url}"
    return f"…{hint} {host}" if hint else host


class AccountDirectory(AccountState):
    """The accounts that have rows in this database."""

    def note_account(self, base_url: str, hint: str, at: datetime) -> None:
        """Store which account this is, for people.

        Args:
            base_url: Scheme and host of the API.
            hint: The end of the API id; never the key.
            at: When it was opened, on the session's clock.
        """
        values = {"base_url": base_url, "api_id_hint": hint, "opened_us": to_us(at)}
        with self.transaction() as connection:
            connection.execute(self._upsert(connection, values, values))

    def other_accounts(self) -> list[KnownAccount]:
        """Return the other accounts that have rows here, those with the most avatars first."""
        with self.transaction(reading=True) as connection:
            personas = _counts(connection, _PERSONAS)
            submissions = _counts(connection, _SUBMISSIONS)
            named = {row.account: row for row in connection.execute(sa.select(_ACCOUNTS)).all()}
        others = [
            KnownAccount(
                account,
                getattr(named.get(account), "base_url", None),
                getattr(named.get(account), "api_id_hint", None),
                personas.get(account, 0),
                submissions.get(account, 0),
            )
            for account in (personas.keys() | submissions.keys()) - {self.account}
        ]
        return sorted(others, key=lambda other: (-other.personas, other.account))

    def has_personas(self) -> bool:
        """Return whether this account has any avatar in the log."""
        query = sa.select(_PERSONAS.c.persona_id).where(self._is_read(_PERSONAS.c))
        with self.transaction(reading=True) as connection:
            return connection.scalar(query.limit(1)) is not None

    def known_ids(self) -> set[str]:
        """Return the ids of all avatars of this account that the log has, also deleted ones."""
        query = sa.select(_PERSONAS.c.persona_id).where(self._is_read(_PERSONAS.c))
        with self.transaction(reading=True) as connection:
            return set(connection.scalars(query))

    def unknown_count(self) -> int:
        """Return how many avatars the list last showed that the log did not have."""
        query = sa.select(sa.func.sum(_ACCOUNTS.c.unknown_count))
        query = query.where(self._is_read(_ACCOUNTS.c))
        with self.transaction(reading=True) as connection:
            return int(connection.scalar(query) or 0)

    def set_unknown_count(self, count: int) -> None:
        """Store how many avatars the list shows that the log does not have."""
        values = {"unknown_count": count}
        with self.transaction() as connection:
            connection.execute(self._upsert(connection, values, values))

    def ids_of(self, other: str, listed: Set[str] = frozenset()) -> list[str]:
        """Return avatars of another fingerprint that may be this account's, the likeliest first.

        Args:
            other: The other fingerprint.
            listed: The ids in this account's list, as far as they are known.

        Returns:
            Those that this account has or lists, too. If there are none: all that are not deleted,
            if this account has no avatar yet, else none.
        """
        columns = _PERSONAS.c
        query = (
            sa.select(columns.persona_id)
            .where(columns.account == other, columns.deleted_us.is_(None))
            .order_by(
                # One that was submitted here is no stock avatar.
                columns.submitted_us.is_(None),
                columns.gone,
                sa.func.coalesce(columns.created_us, columns.first_seen_us).desc(),
            )
        )
        with self.transaction(reading=True) as connection:
            ids = list(connection.scalars(query))
            own = self.known_ids()
        return [each for each in ids if each in own or each in listed] or ([] if own else ids)

    def carry_over(self, other: str) -> int:
        """Give the rows of another fingerprint to this account, in one transaction.

        Avatars that both have keep the runs of both, and what the newer answer said.

        Args:
            other: The fingerprint, proved to be another one of the same account.

        Returns:
            How many avatars it had.
        """
        own = self._own()
        with self.transaction() as connection:
            # Locked in an order, so that two processes take turns; the second finds no rows.
            fingerprints = sorted((own, other))
            query = sa.select(_ACCOUNTS).where(_ACCOUNTS.c.account.in_(fingerprints))
            query = query.order_by(_ACCOUNTS.c.account).with_for_update()
            rows = {row.account: row for row in connection.execute(query).all()}
            count = _counts(connection, _PERSONAS).get(other, 0)
            if other in rows:
                is_new = not self.has_personas()
                values = _merged_account(rows.get(own), rows[other], is_new=is_new)
                connection.execute(self._upsert(connection, values, values))
            merge.move_personas(connection, own, other)
            connection.execute(
                _SUBMISSIONS.update().where(_SUBMISSIONS.c.account == other).values(account=own)
            )
            merge.move_notifications(connection, own, other)
            for table in (tables.leases, _ACCOUNTS):
                connection.execute(table.delete().where(table.c.account == other))
        return count


def _counts(connection: sa.Connection, table: sa.Table) -> dict[str, int]:
    account = table.c.account
    query = sa.select(account, sa.func.count()).group_by(account)
    return {name: int(count) for name, count in connection.execute(query).all()}


def _merged_account(own: sa.Row[Any] | None, other: sa.Row[Any], *, is_new: bool) -> dict[str, Any]:
    """Return what changes in the account's row: the calls count on, and a wait goes on."""
    # Higher than the number of every call by which its rows were read.
    number = max(other.asked_no, 0 if own is None else own.asked_no)
    values: dict[str, Any] = {"asked_no": number, "known": None, "known_no": None}
    until_us = (None if own is None else own.paused_until_us) or 0
    # That the API refused the old keys says nothing of these.
    if other.pause_cause == "throttled" and (other.paused_until_us or 0) > until_us:
        names = ("paused_us", "paused_until_us", "pause_reason", "pause_cause", "refusals")
        values |= {name: getattr(other, name) for name in names}
        values |= {"pause_keys": None, "paused_no": number}
    own_token = None if own is None else own.webhook_token
    # The API has the address with the other's token, for the avatars that are carried over.
    values["webhook_token"] = other.webhook_token if is_new or own_token is None else own_token
    if values["webhook_token"] is None:
        values["webhook_token"] = own_token
    return values
