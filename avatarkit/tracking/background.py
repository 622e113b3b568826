"""Run a tracker in a background thread that does not keep it in memory."""

from __future__ import annotations

import logging
import threading
import weakref
from contextlib import suppress

from avatarkit.errors import StoreError
from avatarkit.tracking.run import Reports, Tracker, run

logger = logging.getLogger("avatarkit")


class Background:
    """The background thread of a tracker; it ends when it is stopped or the tracker is collected.

    It holds no reference to the tracker, so that a session can stop it after the tracker is gone.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread is not None and self._thread.is_alive()

    def start(self, tracker: Tracker) -> None:
        """Start the thread, unless it runs already."""
        with self._lock:
            if self.alive:
                return
            self._stop = threading.Event()
            args = (weakref.proxy(tracker), self._stop)
            self._thread = threading.Thread(
                target=_run, args=args, name="avatarkit-tracker", daemon=True
            )
            self._thread.start()

    def stop(self) -> None:
        """Stop the thread and wait for its end; its calls are cancelled."""
        with self._lock:
            self._stop.set()
            if self._thread is not None:
                self._thread.join()
                self._thread = None


def _run(tracker: Tracker, stop: threading.Event) -> None:
    with suppress(ReferenceError):  # the tracker was collected
        try:
            run(tracker, stop, Reports())
        except StoreError as error:  # the store was closed before the tracker was stopped
            logger.warning("The tracker has stopped: %s", error)
