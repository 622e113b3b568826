"""Show what to begin with when there are no avatars yet."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import streamlit as st

from avatarkit.errors import AvatarkitError
from avatarkit.models import Gender, PersonaCreate
from avatarkit.text import format_hours
from avatarkit.ui import running
from avatarkit.ui.draft import Draft, make_private
from avatarkit.ui.outbox import Outbox
from avatarkit.ui.views import actions, uncertain
from avatarkit.ui.views.actions import Report

SAMPLES = ("done", "failed", "rejected", "stuck", "unknown-status")
"""The outcomes of the samples, each requested by a label of the sandbox."""
BROWSER = "samples"
"""The browser of their submissions, which are so shown on the Submit page of no real one."""
SECONDS, SIZE, FPS = 16, (720, 720), 25
"""The length, size in pixels and frame rate of their videos."""
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
    speed = running.get().session.sandbox_speed
    with st.container(border=True):
        st.caption(
            "Five videos are made and sent to the sandbox on this machine, one for each way that "
            f"an avatar can end. In {format_hours(120 / speed)} they have ended, but for one that "
            "never does."
        )
        actions.act(
            "empty_samples",
            "Try it with five samples",
            "Making videos and sending them",
            send_samples,
            lambda _: None,
            icon=":material/movie:",
        )


def send_samples(report: Report) -> None:
    """Make the videos of the samples and send them, unless there are avatars or samples already.

    Args:
        report: Called with the share that is done, and a text.

    Raises:
        AvatarkitError: One could not be logged or sent; those before it are.
        OSError: A video could not be written.
    """
    opened = running.get()
    store, outbox = opened.session.store, opened.outbox
    if opened.session.sandbox is None or store.known_ids() or outbox.items(BROWSER):
        return
    folder = outbox.uploads.draft(BROWSER).folder
    make_private(folder)
    with TemporaryDirectory(dir=folder, prefix="sample-") as temporary:
        # Made once and copied, as making one takes seconds.
        video = _make(Path(temporary) / "sample.mp4", report)
        ids = [_send(outbox, video, number) for number in range(len(SAMPLES))]
    for number, submission_id in enumerate(ids):
        report(0.8 + 0.2 * number / len(ids), f"Sending {number + 1} of {len(ids)}")
        outbox.wait(submission_id, SEND_S)
    items = outbox.items(BROWSER)
    for item in items:
        outbox.dismiss(item.submission.submission_id)
    for item in items:
        if item.error is not None:
            raise AvatarkitError(item.error)


def _make(path: Path, report: Report) -> Path:
    from avatarkit.sandbox import footage

    def pictures() -> Iterator[footage.Picture]:
        for number, picture in enumerate(footage.pictures(SECONDS, *SIZE, FPS)):
            report(0.8 * number / (SECONDS * FPS), "Making a video of a person who speaks")
            yield picture

    return footage.write(path, pictures(), fps=FPS, sound=footage.voice(SECONDS))


def _send(outbox: Outbox, video: Path, number: int) -> str:
    """Send one sample in the background; return the id of its submission."""
    outcome, draft = SAMPLES[number], Draft(video.parent.parent, {})
    path = draft.folder / uuid.uuid4().hex / f"sample-{outcome}.mp4"
    make_private(path.parent)
    shutil.copyfile(video, path)
    request = PersonaCreate(
        creator_name=f"Sample {number + 1}: {outcome}",
        gender=Gender.F,
        video_scene="office",
        labels=[f"sandbox:{outcome}"],
        lipsync_input=path,
    )
    return outbox.send(request, draft)
