"""Find out whether another fingerprint in the database is this account under an older API id."""

from __future__ import annotations

import logging
from collections.abc import Set
from functools import partial

from avatarkit.api.transport import is_cancelled
from avatarkit.clock import Clock
from avatarkit.errors import APIError
from avatarkit.settings import is_loopback
from avatarkit.store.accounts import KnownAccount, account_name
from avatarkit.store.lease import Lease
from avatarkit.store.store import Store
from avatarkit.tracking.poll import is_missing
from avatarkit.tracking.state import tracked_by
from avatarkit.tracking.throttling import ThrottledClient

logger = logging.getLogger("avatarkit")

TRIED = 3
"""At most this many avatars of a fingerprint are requested."""
DEADLINE_S = 20.0
"""Wall seconds for each of these calls."""


class Carrier:
    """Carries the rows of older API ids of the same account over.

    An API id that was replaced has another fingerprint. It is the same account if the API answers
    the new keys with one of its avatars, as it has only 404s for those of another account.

    Args:
        api: The API.
        store: The log.
        clock: The session's clock.
    """

    def __init__(self, api: ThrottledClient, store: Store, clock: Clock) -> None:
        self._api = api
        self._store = store
        self._clock = clock
        self._foreign: set[tuple[str, str]] = set()  # fingerprint and id: not this account's
        self._in_use: set[str] = set()  # fingerprints of this account that another tracker polls

    def carry_over(self, listed: Set[str], deadline_s: float = DEADLINE_S) -> list[str]:
        """Carry over the rows of each fingerprint that proves to be this account.

        An avatar is requested if both fingerprints have it, if it is in this account's list, or
        if this account has no avatar in the log yet. An error proves nothing and changes nothing.
        One that a tracker still polls is left to it, as that would carry the rows back.

        Args:
            listed: The ids in this account's list, as far as they are known.
            deadline_s: Wall seconds for each call.

        Returns:
            A sentence for each fingerprint that was carried over, and one, once, for each that is
            to be when the tracker ends that polls it.

        Raises:
            StoreError: The log failed.
        """
        carried: list[str] = []
        for other in self._store.other_accounts():
            lease = self._store.lease(self._clock.wall_now, other.account)
            user = None if lease is None or lease.is_free else lease
            if user is not None and other.account in self._in_use:
                continue
            if self._is_same_api(other) and self._is_own(other, listed, deadline_s):
                if user is not None:
                    self._in_use.add(other.account)
                    carried.append(self._in_use_sentence(other, user))
                    continue
                count = self._store.carry_over(other.account)
                name = self._name(other)
                avatars = "1 avatar was" if count == 1 else f"{count:,} avatars were"
                carried.append(
                    f"{avatars} carried over from another API id of this account ({name}); its "
                    "history goes on here."
                )
                logger.warning("%s", carried[-1])
        return carried

    def _name(self, other: KnownAccount) -> str:
        return account_name(other.base_url or self._api.client.base_url, other.api_id_hint)

    def _in_use_sentence(self, other: KnownAccount, lease: Lease) -> str:
        return (
            f"Another API id of this account ({self._name(other)}) is still "
            f"{tracked_by(lease.name, lease.age_s)}; end that tracker, and its avatars are carried "
            "over."
        )

    def _is_same_api(self, other: KnownAccount) -> bool:
        ours, theirs = self._api.client.base_url, other.base_url
        if theirs is None or not other.personas:
            return bool(other.personas)
        return theirs == ours or (is_loopback(theirs) and is_loopback(ours))

    def _is_own(self, other: KnownAccount, listed: Set[str], deadline_s: float) -> bool:
        ids = self._store.ids_of(other.account, listed)
        untried = [each for each in ids if (other.account, each) not in self._foreign]
        for persona_id in untried[: max(TRIED - (len(ids) - len(untried)), 0)]:
            try:
                asking = self._api.ask(probe=True)
                get = partial(
                    self._api.client.get_persona, persona_id, deadline_s=min(deadline_s, DEADLINE_S)
                )
                persona = self._api.call(asking, get)
            except APIError as error:
                if is_missing(error):
                    self._foreign.add((other.account, persona_id))
                    continue
                if not is_cancelled():
                    logger.info("Whether %s is this account is not known: %s", other.account, error)
                return False
            if persona.type in (None, "", "custom"):  # a stock avatar is everybody's
                return True
            self._foreign.add((other.account, persona_id))
        return False
