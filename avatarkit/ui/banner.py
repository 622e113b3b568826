"""Say on every page why the API is not called, and who else tracks the account."""

from __future__ import annotations

import streamlit as st

from avatarkit.store.account import Pause
from avatarkit.text import plain
from avatarkit.tracking.gate import Cause
from avatarkit.ui import moments, running

EVERY_S = 60
"""Wall seconds after which the words that only time changes are written again."""


def show() -> None:
    """Show a sentence for each thing that keeps this app from calling the API."""
    tracker = running.get().session.tracker
    access, pause = tracker.access, tracker.pause
    if pause is not None:
        _pause(pause)
    if access.error is not None and (pause is None or pause.cause == Cause.THROTTLED):
        again = "at least every hour" if pause is None else "after the pause"
        at = "" if access.tried_at is None else f" Tried {plain(moments.exact(access.tried_at))}"
        st.error(f"{plain(access.error)}{at}, and again {again}.", icon=":material/cloud_off:")
    if tracker.alive and (other := tracker.lease.other()) is not None:
        st.caption(
            f"This account is tracked by {plain(other.name)}; this app stands by, shows what is "
            "logged, and takes over when that one ends."
        )


@st.fragment(run_every=EVERY_S)
def _pause(pause: Pause) -> None:
    until = moments.full(pause.until, running.get().session.clock.now())
    text = plain(pause.text.replace("{moment}", until))
    if pause.cause == Cause.THROTTLED:
        st.info(text, icon=":material/schedule:")
    else:
        st.error(text, icon=":material/cloud_off:")
