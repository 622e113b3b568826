"""Show the page that is open, with the name of the account above it."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from avatarkit.errors import AvatarkitError
from avatarkit.text import format_hours, plain
from avatarkit.tracking.gate import Cause
from avatarkit.tracking.state import tracked_by
from avatarkit.ui import login, running
from avatarkit.ui.views import avatars, settings, stage_times, submit

PAUSE_REFRESH_S = 10
# A file, as a Material icon would be fetched from a server of Google.
FAVICON = Path(__file__).with_name("favicon.svg")


@st.fragment(run_every=PAUSE_REFRESH_S)
def _pause() -> None:
    """Show why no calls are made, and until when, if they are paused."""
    pause = running.get().session.tracker.pause
    if pause is not None and pause.cause == Cause.THROTTLED:
        st.info(plain(pause.reason), icon=":material/schedule:")
    elif pause is not None:
        st.error(plain(pause.reason), icon=":material/cloud_off:")


def main() -> None:
    """Show the app; Streamlit calls this at every rerun."""
    st.set_page_config(page_title="avatarkit", page_icon=FAVICON, layout="wide")
    if not login.is_open():
        login.show()
        return
    pages = [
        st.Page(avatars.show, title="Avatars", icon=":material/groups:", default=True),
        st.Page(submit.show, title="Submit", icon=":material/upload:", url_path="submit"),
        st.Page(
            stage_times.show, title="Stage times", icon=":material/timer:", url_path="stage-times"
        ),
        st.Page(settings.show, title="Settings", icon=":material/tune:", url_path="settings"),
    ]
    # Pages link to each other.
    st.session_state["avatars_page"], st.session_state["submit_page"] = pages[:2]
    page = st.navigation(pages, position="top")
    try:
        session = running.get().session
    except AvatarkitError as error:
        st.title(page.title)
        st.error(plain(error), icon=":material/error:")
        st.caption("Correct it and reload this page; nothing that was submitted is lost.")
        return
    is_sandbox = session.sandbox is not None
    with st.container(horizontal=True, vertical_alignment="center"):
        st.title(page.title, anchor=False, width="content")
        if is_sandbox:
            st.badge("Sandbox", icon=":material/science:", color="orange")
        else:
            name = plain(session.tracker.account_name)
            st.badge(name[:1].upper() + name[1:], icon=":material/cloud:", color="green")
    if is_sandbox:
        speed = session.sandbox_speed
        st.caption(
            "A sandbox of the API on this machine: no key, no cost, nothing leaves it. Its clock "
            f"runs {speed:,.0f} times as fast: the two to five days of an avatar pass in "
            f"{format_hours(48 / speed)} to {format_hours(120 / speed)}."
        )
    _tracked_elsewhere()
    _access_error()
    _pause()
    page.run()


@st.fragment(run_every=5)
def _tracked_elsewhere() -> None:
    """Say which other tracker makes the calls while this one stands by."""
    tracker = running.get().session.tracker
    if tracker.alive and (other := tracker.lease.other()) is not None:
        text = tracked_by(other.name, other.age_s)
        st.caption(f"This account is {plain(text)}; this app stands by, and shows what is logged.")


@st.fragment(run_every=5)
def _access_error() -> None:
    """Show why the API does not answer, or not with these keys, as the tracker last found out."""
    tracker = running.get().session.tracker
    access, pause = tracker.access, tracker.pause
    is_said = pause is not None and pause.cause != Cause.THROTTLED  # by _pause
    if access.error is not None and not is_said:
        again = "at least every hour" if pause is None else "after the pause"
        st.error(
            f"{plain(access.error)} Tried at {access.tried_at:%H:%M} UTC, and again {again}.",
            icon=":material/cloud_off:",
        )


main()
