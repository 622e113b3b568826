"""What all tabs of one server share: the session, its tracker thread, and the outbox."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass

from avatarkit.errors import AvatarkitError
from avatarkit.session import Session, open_session
from avatarkit.text import plain
from avatarkit.ui.outbox import Outbox

logger = logging.getLogger("avatarkit")


@dataclass(frozen=True)
class Running:
    """The open session, and what is being sent."""

    session: Session
    outbox: Outbox


_lock = threading.Lock()
_running: Running | None = None


def get() -> Running:
    """What runs, opened at the first call. Raises ``AvatarkitError``, one sentence, if it cannot.

    A failed opening is tried again by the next call, so that a mended setting needs no restart.
    So is one whose sandbox another process has ended.
    """
    global _running
    with _lock:
        if _running is not None and not _running.session.is_served:
            # The sandbox was another process's, which has ended: this one serves it from now on.
            _running.session.close()
            _running = None
        if _running is None:
            session = open_session()
            session.tracker.start()
            _running = Running(session, Outbox(session.tracker, session.settings.folder))
        return _running


def open_or_explain() -> None:
    """Open at the server's start; what goes wrong is said in the terminal and on every page."""
    try:
        session = get().session
        logger.info("Tracking the %s account.", session.mode)
    except AvatarkitError as error:
        logger.error("%s", error)


def close() -> None:
    """Stop the tracker and the sandbox; does nothing when nothing runs."""
    global _running
    with _lock:
        if _running is not None:
            _running.session.close()
            _running = None


def explain(error: Exception) -> bool:
    """One sentence on the page instead of a traceback, which goes to the server's log."""
    import streamlit as st

    if isinstance(error, AvatarkitError):
        st.error(plain(error), icon=":material/error:")
    else:
        logger.error("A page failed.", exc_info=error)
        st.error(
            f"This page failed ({type(error).__name__}); nothing is lost. Reload it, and look "
            "into the terminal of the app if it fails again.",
            icon=":material/error:",
        )
    return True
