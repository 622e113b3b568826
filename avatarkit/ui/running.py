"""Open what all tabs of one server share: session, tracker thread, outbox and estimates."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from avatarkit.clock import Clock, SystemClock
from avatarkit.errors import AvatarkitError, ConfigError
from avatarkit.session import Session, open_session
from avatarkit.settings import Settings
from avatarkit.text import plain
from avatarkit.tracking.lease import tracker_name
from avatarkit.tracking.tracker import Tracker
from avatarkit.ui.batches import Batches
from avatarkit.ui.cache import Estimates
from avatarkit.ui.outbox import Outbox
from avatarkit.ui.uploads import Uploads

logger = logging.getLogger("avatarkit")


@dataclass(frozen=True)
class Running:
    """An open session with its outbox, its batches and its estimates."""

    session: Session
    outbox: Outbox
    batches: Batches
    estimates: Estimates


_lock = threading.RLock()
_running: Running | None = None


def get(*, clock: Clock | None = None, **settings: Any) -> Running:
    """Return the running session; open it and start its tracker at the first call.

    If opening fails, the next call tries again, so that a corrected setting needs no restart. A
    session is opened again if its sandbox was served by another process that has ended.

    Args:
        clock: The clock of a session that this call opens, for tests; see ``open_session``.
        **settings: Settings of a session that this call opens.

    Raises:
        AvatarkitError: The session cannot be opened.
    """
    global _running
    with _lock:
        if _running is not None and not _running.session.is_served:
            close()
        if _running is None:
            session = open_session(clock=clock, **settings)
            session.tracker.lease.name = tracker_name("app")
            session.tracker.schedule.postpone(session.clock.monotonic())
            session.tracker.start()
            keep = timedelta(hours=session.settings.keep_uploads_h)
            outbox = Outbox(session.tracker, Uploads(session.settings.folder, keep))
            batches = Batches(session.tracker, outbox)
            batches.recover_all()
            outbox.start(SystemClock())
            _running = Running(session, outbox, batches, Estimates(session.store, session.clock))
        return _running


def tracker() -> Tracker | None:
    """Return the tracker of the running session, None if none is open."""
    running = _running  # without the lock, which is held for long while one is opened
    return None if running is None else running.session.tracker


def settings() -> Settings | None:
    """Return the settings of the running session, or those of the next; None if they are wrong."""
    running = _running
    try:
        return Settings() if running is None else running.session.settings
    except ConfigError:  # shown on every page, and nothing else
        return None


def start() -> None:
    """Open the session when the server starts; an error is logged, and shown on every page."""
    try:
        running = get()
    except AvatarkitError as error:
        logger.error("%s", error)
    else:
        logger.info("Tracking the %s account.", running.session.mode)
        running.estimates.start()


def close() -> None:
    """Close the session, with its tracker and sandbox, if one is open."""
    global _running
    with _lock:
        if _running is not None:
            _running.batches.close()
            _running.outbox.close()
            _running.session.close()
            _running = None


def show_error(error: Exception) -> bool:
    """Show an error as one sentence; log the traceback if it is unexpected.

    Returns:
        True: Streamlit shows nothing more.
    """
    import streamlit as st

    text = plain(error)
    if not isinstance(error, AvatarkitError):
        logger.error("A page failed.", exc_info=error)
        text = (
            f"This page failed ({type(error).__name__}); nothing is lost. Reload it, and look "
            "into the terminal of the app if it fails again."
        )
    st.error(text, icon=":material/error:")
    return True
