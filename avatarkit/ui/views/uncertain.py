"""Ask about submissions that may have been created, and offer what the account has besides."""

from __future__ import annotations

import threading

import streamlit as st

from avatarkit.errors import AvatarkitError
from avatarkit.store.submissions import Uncertain
from avatarkit.text import plain
from avatarkit.tracking.reconcile import SETTLING
from avatarkit.tracking.tracker import Tracker
from avatarkit.ui import running

NEVER_CREATED = (
    "Look at your account on the vendor's own pages first: sent again, an avatar that is there "
    "after all is made twice."
)

_importing = threading.Lock()


def show() -> None:
    """Show the submissions that are uncertain, and how many avatars could be imported."""
    _submissions()
    _unknown_avatars()


def _submissions() -> None:
    tracker = running.get().session.tracker
    uncertain = tracker.store.open_submissions()
    submitted_ids = tracker.store.submitted_ids() if uncertain else set()
    for submission in uncertain:
        with st.container(border=True):
            st.warning(
                f"It is not certain whether {plain(submission.creator_name)} was created, sent "
                f"{submission.sent_at:%Y-%m-%d %H:%M} UTC. {plain(submission.reason)}",
                icon=":material/help:",
            )
            with st.container(horizontal=True):
                _settle(tracker, submission, submitted_ids)


def _settle(tracker: Tracker, submission: Uncertain, submitted_ids: set[str]) -> None:
    submission_id = submission.submission_id
    key = f"uncertain_settle_{submission_id}"
    for persona_id in [p.id for p in submission.candidates if p.id not in submitted_ids]:
        if st.button(f"It is {persona_id}", key=f"{key}_{persona_id}"):
            tracker.settle(submission_id, persona_id)
            st.rerun()
    with (
        st.popover("I know its id", icon=":material/search:"),
        st.form(f"{key}_form", border=False),
    ):
        given_id = st.text_input(
            "Its id", key=f"{key}_id", help="As the vendor's pages or another program show it."
        )
        if st.form_submit_button("It is this one"):
            try:
                tracker.settle(submission_id, given_id.strip())
            except AvatarkitError as error:
                # Kept in the session state, as this fragment reruns by itself.
                st.session_state[f"{key}_error"] = str(error)
            else:
                st.rerun()
        if f"{key}_error" in st.session_state:
            st.error(plain(st.session_state[f"{key}_error"]), icon=":material/error:")
    # A time that lies ahead was logged while the clock was wrong.
    if abs(tracker.clock.now() - submission.broke_at) >= SETTLING:
        with st.popover("It was never created", icon=":material/block:"):
            st.caption(NEVER_CREATED)
            if st.button("I have looked: it is not there", key=f"{key}_never"):
                tracker.settle(submission_id, None)
                st.rerun()


def _unknown_avatars() -> None:
    """Offer to follow what the account has and the log does not."""
    count = running.get().session.tracker.unknown_count
    if count:
        avatars = "1 avatar" if count == 1 else f"{count:,} avatars"
        st.button(
            f"Import what the account has: {avatars} more",
            key="uncertain_import",
            icon=":material/download:",
            on_click=_import,
        )
    if "uncertain_import_error" in st.session_state:
        st.error(plain(st.session_state["uncertain_import_error"]), icon=":material/error:")


def _import() -> None:
    # A second click, also in another tab, does nothing while the first one is at work.
    if _importing.acquire(blocking=False):
        st.session_state.pop("uncertain_import_error", None)
        try:
            running.get().session.tracker.adopt()
        except AvatarkitError as error:
            st.session_state["uncertain_import_error"] = str(error)
        finally:
            _importing.release()
