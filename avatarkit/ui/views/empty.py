"""Show what to begin with when there are no avatars yet."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import streamlit as st

from avatarkit.errors import AvatarkitError
from avatarkit.models import Gender, PersonaCreate
from avatarkit.text import format_hours, plain
from avatarkit.ui import running
from avatarkit.ui.draft import Draft, make_private
from avatarkit.ui.outbox import Outbox
from avatarkit.ui.views import actions, uncertain

SAMPLES = ("done", "failed", "rejected", "stuck", "unknown-status")
"""The outcomes of the samples, each requested by a label of the sandbox."""
BROWSER = "samples"
"""The browser of their submissions, which are so shown on the Submit page of no real one."""
SEND_S = 60.0
"""Wall seconds to wait for one sample to be sent."""


def show() -> None:
    """Show that there are no avatars, and the ways to the first ones."""
    session = running.get().session
    st.info("No avatars yet. Begin in one of these ways.", icon=":material/inbox:")
    if session.sandbox is not None:
        _samples()
    with st.container(border=True):
        st.caption("Send a video of a person who speaks, facing the camera.")
        if (page := st.session_state.get("submit_page")) is not None:
            st.page_link(page, label="Submit one", icon=":material/upload:")
    if not session.tracker.unknown_count:  # else it is offered above
        with st.container(border=True):
            st.caption("Avatars that were made elsewhere are followed from now on.")
            uncertain.import_button("Import what the account has", "empty_import")


@st.fragment
def _samples() -> None:
    name, speed = "empty_samples", running.get().session.sandbox_speed
    with st.container(border=True):
        st.caption(
            "Five videos are made and sent to the sandbox on this machine, one for each way that "
            f"an avatar can end. In {format_hours(120 / speed)} they have ended, but for one that "
            "never does."
        )
        clicked = actions.button(
            name, "Try it with five samples", type="primary", icon=":material/movie:"
        )
        if clicked:
            st.session_state.pop(f"{name}_error", None)
            try:
                problem = actions.run(name, "Making videos and sending them", send_samples)
            except (AvatarkitError, OSError) as error:
                problem = str(error)
            if problem is not None:
                st.session_state[f"{name}_error"] = problem
            st.rerun()
        if (problem := st.session_state.get(f"{name}_error")) is not None:
            st.error(plain(problem), icon=":material/error:")


def send_samples(report: Callable[[float, str], None]) -> str | None:
    """Make a video for each sample and send it, unless there are avatars or samples already.

    Args:
        report: Called with the share that is done, and a text.

    Returns:
        A sentence if one was not sent, else None.

    Raises:
        AvatarkitError: One could not be logged; those before it are sent.
        OSError: A video could not be written.
    """
    from avatarkit.sandbox.footage import talking_head

    opened = running.get()
    store, outbox = opened.session.store, opened.outbox
    if opened.session.sandbox is None or store.known_ids() or outbox.items(BROWSER):
        return None
    submission_ids = []
    for number, outcome in enumerate(SAMPLES):
        report(number / len(SAMPLES), f"Video {number + 1} of {len(SAMPLES)}")
        draft = Draft(outbox.uploads.draft(BROWSER).folder, {})
        path = draft.folder / uuid.uuid4().hex / f"sample-{outcome}.mp4"
        make_private(path.parent)
        talking_head(path, seconds=16 + number)
        request = PersonaCreate(
            creator_name=f"Sample {number + 1}: {outcome}",
            gender=Gender.F,
            video_scene="office",
            labels=[f"sandbox:{outcome}"],
            lipsync_input=path,
        )
        submission_ids.append(outbox.send(request, draft))
    report(1.0, "Sending the last one")
    for submission_id in submission_ids:
        outbox.wait(submission_id, SEND_S)
    return _clear(outbox)


def _clear(outbox: Outbox) -> str | None:
    """Dismiss the samples; return the error of the first that was not sent."""
    items = outbox.items(BROWSER)
    for item in items:
        outbox.dismiss(item.submission.submission_id)
    return next((item.error for item in items if item.error is not None), None)
