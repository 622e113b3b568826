"""Hold the lease of an account while a tracker runs, so that only one of several makes the calls.

The tracker that holds it renews it every few seconds, and gives it up when its run ends; if it
dies, the lease lapses, and another one that stands by takes it.
"""

from __future__ import annotations

import logging
import math
import socket
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta

from avatarkit.clock import Clock, SystemClock
from avatarkit.errors import StoreError
from avatarkit.store.lease import LENGTH_S, Lease
from avatarkit.store.store import Store

logger = logging.getLogger("avatarkit")

RENEW_EVERY_S = 15.0
"""Wall seconds between two renewals."""
SILENT_S = 600.0
"""Wall seconds of a run that makes no pass, after which its lease is renewed no longer."""


class TrackerLease:
    """The part of one tracker in the lease of its account. Threads share it.

    Args:
        store: The store of the account.
        clock: The session's clock; the lease is on its wall time.

    Attributes:
        owner: The id of this tracker.
        name: What other trackers call this one: the machine, and which program it is.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self.owner = uuid.uuid4().hex
        self.name = tracker_name("notebook" if "ipykernel" in sys.modules else "Python")
        self._store = store
        self._clock = clock
        self._lock = threading.Lock()
        self._renewed: tuple[float, datetime] | None = None
        self._seen_s = -math.inf
        self._runs = 0
        self._ended = threading.Event()

    @property
    def is_held(self) -> bool:
        """Whether this tracker holds the lease, by what it knows itself."""
        return self._age_s() < LENGTH_S

    def read(self) -> Lease | None:
        """Return the lease as it is stored; None if no tracker has it.

        Raises:
            StoreError: The log failed.
        """
        return self._store.lease(self._clock.wall_now)

    def other(self) -> Lease | None:
        """Return the lease if another tracker holds it, else None.

        Raises:
            StoreError: The log failed.
        """
        lease = self.read()
        return None if lease is None or lease.is_free or lease.owner == self.owner else lease

    def keep(self) -> bool:
        """Take the lease if it is free, and renew it if it is time.

        Called before the calls of a run; most times it takes no look at the database.

        Returns:
            Whether this tracker holds it now.

        Raises:
            StoreError: The log failed, and it is not known whether it is held still.
        """
        self._seen_s = self._clock.monotonic()
        with self._lock:
            age_s = self._age_s()
            if age_s < RENEW_EVERY_S:
                return True
            try:
                return self._take()
            except StoreError:
                # Renewed recently enough: it cannot be another's yet.
                if age_s < LENGTH_S / 2:
                    return True
                raise

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Renew the lease until a run ends, also while a pass hangs, and release it then."""
        with self._lock:
            self._runs += 1
            if self._runs == 1:
                self._ended = threading.Event()
                args = (self._ended,)
                # Real seconds on any clock: it only looks whether a renewal is late.
                threading.Thread(
                    target=self._renew, args=args, name="avatarkit-lease", daemon=True
                ).start()
        try:
            yield
        finally:
            with self._lock:
                self._runs -= 1
                if not self._runs:
                    self._ended.set()
                    self._release()

    def give_up(self) -> None:
        """Release the lease, also while a run goes on, so that another tracker need not wait."""
        with self._lock:
            self._ended.set()
            self._release()

    def _renew(self, ended: threading.Event) -> None:
        while True:
            SystemClock().sleep(RENEW_EVERY_S / 3, ended)
            if ended.is_set():
                return
            with self._lock, suppress(StoreError):
                is_silent = self._clock.monotonic() - self._seen_s > SILENT_S
                is_late = self._renewed is not None and self._age_s() >= RENEW_EVERY_S
                if is_late and not is_silent and not ended.is_set():
                    self._take()

    def _take(self) -> bool:
        renewed = self._clock.monotonic(), self._clock.wall_now()
        # A tracker that stands by takes no lock of the database.
        if self._renewed is None and self.other() is not None:
            return False
        is_held = self._store.take_lease(self.owner, self.name, self._clock.wall_now).owner == (
            self.owner
        )
        self._renewed = renewed if is_held else None
        return is_held

    def _release(self) -> None:
        if self._renewed is not None:
            self._renewed = None
            try:
                self._store.release_lease(self.owner)
            except StoreError as error:
                logger.warning("The lease lapses in a minute, as it was not released: %s", error)

    def _age_s(self) -> float:
        """Return wall seconds since the last renewal, inf without one."""
        renewed = self._renewed
        if renewed is None:
            return math.inf
        # The one clock stands still while the machine sleeps, the other one may be set.
        by_clock = (self._clock.wall_now() - renewed[1]) / timedelta(seconds=1)
        return max(self._clock.monotonic() - renewed[0], by_clock)


def tracker_name(program: str) -> str:
    """Return the name of a tracker: this machine, and which program it is."""
    return f"{socket.gethostname()} ({program})"
