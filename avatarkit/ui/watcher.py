"""Draw the page again when something has changed that it shows, and only then."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import streamlit as st

from avatarkit.errors import AvatarkitError
from avatarkit.store.live import StateKey
from avatarkit.ui import running

EVERY_S = 2
"""Wall seconds between two looks."""

_HELD, _BY_WATCHER = "watcher_is_held", "watcher_draws"


@dataclass
class Drawn:
    """What a run of the whole app has drawn; None until it has."""

    key: Hashable = None

    def fail(self, error: AvatarkitError) -> None:
        """Take note that this is drawn instead of the page, until what it says is no longer so."""
        self.key = str(error)


def show() -> Drawn:
    """Watch from now on whether what the page shows has changed; draw nothing."""
    st.session_state[_HELD] = False
    drawn = Drawn()
    _watch(drawn)
    return drawn


def hold() -> None:
    """Do not draw the page again by itself until the next run of the whole app.

    A dialog calls it, as it would be closed. Its ``on_dismiss`` has to rerun the app.
    """
    st.session_state[_HELD] = True


def draws() -> bool:
    """Return whether this run was asked for by the watcher, and not by a person; once."""
    return bool(st.session_state.pop(_BY_WATCHER, False))


@st.fragment(run_every=EVERY_S)
def _watch(drawn: Drawn) -> None:
    # In the run that draws the page, the state is the one that the page was drawn of.
    estimates_state = None
    if drawn.key is None:
        estimates_state = running.get().estimates.state
    key = _key(estimates_state)
    if drawn.key is None:
        drawn.key = key
    elif key != drawn.key and not st.session_state.get(_HELD):
        st.session_state[_BY_WATCHER] = True
        st.rerun()


def _key(state: StateKey | None = None) -> Hashable:
    """Return what differs when the page has to be drawn again.

    Args:
        state: The state of the log, if it was just read.
    """
    try:
        app = running.get()
        tracker, estimates = app.session.tracker, app.estimates
        with app.session.store.transaction(reading=True):
            state = state or app.session.store.state_key()
            pause = tracker.pause
            other = tracker.lease.other() if tracker.alive else None
        estimates.refresh(state)
    except AvatarkitError as error:
        return str(error)
    return (
        state,
        None if pause is None else (pause.cause, pause.text, pause.until),
        str(tracker.access.error),
        tracker.last_error,
        None if other is None else other.name,
        estimates.version,
    )
