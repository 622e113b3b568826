"""Show the control of each video of the form: an upload, or a path or URL, and its checks."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import streamlit as st

from avatarkit.models import is_url
from avatarkit.paths import pasted_path, unquote
from avatarkit.text import plain
from avatarkit.ui import elements, form_state, running, video_report
from avatarkit.ui.draft import Draft
from avatarkit.ui.form_faults import is_drive_link
from avatarkit.ui.form_state import ADDRESS, UPLOAD
from avatarkit.ui.outbox import Outbox

GONE = (
    "This upload is not here any more: it was submitted or replaced in another tab, or its time "
    "was over. Upload it again."
)
DRIVE = "Sent as a link of Google Drive: share it with anyone who has the link."
FETCHED = "The API will fetch this URL; it is not checked here."
NO_FOOTAGE = (
    "There is no footage: the API would take a place of the plan for an avatar that cannot be made."
)


@dataclass(frozen=True)
class Video:
    """A video of the form: its title, what is written under it while it is empty, and its help."""

    title: str
    hint: str
    help: str


VIDEOS = {
    "lipsync_input": Video(
        "Footage *",
        "One person speaking, facing the camera, 15 seconds to 5 minutes, with sound.",
        "An upload, the path of a file on the machine of this app, a URL, or a link of Google "
        "Drive.",
    ),
    "consent_video": Video(
        "Consent video",
        "There is no consent video; the API takes the avatar without, but its review may ask for "
        "one.",
        "The same person, saying that they agree: an upload, the path of a file on the machine of "
        "this app, or a URL.",
    ),
}


@dataclass(frozen=True)
class Entered:
    """What a video's control is shown with.

    Attributes:
        value: The path or URL, as typed.
        fault: What is wrong with it as an entry of the form, None if nothing is.
        warnings: What the API may not like about a URL.
        person: The creator name, which a confirmation is about.
    """

    value: str
    fault: str | None
    warnings: list[str]
    person: str


def show(field: str, entered: Entered, form: Draft, outbox: Outbox) -> bool:
    """Show the control of a video; return whether it can be sent as it is."""
    video = VIDEOS[field]
    way = st.segmented_control(
        video.title,
        [UPLOAD, ADDRESS],
        key=form_state.way_key(field),
        required=True,
        help=video.help,
    )
    title = video.title.removesuffix(" *")
    if way == ADDRESS:
        st.text_input(
            f"{title}: path or URL",
            key=form_state.key(field),
            label_visibility="collapsed",
            placeholder="/videos/ada.mp4 or https://…",
            persist_state="session",  # also while the uploader is shown in its place
        )
    else:
        st.file_uploader(
            f"{title}: upload",
            type=["mp4", "mov", "m4v"],
            key=form_state.uploader_key(field),
            label_visibility="collapsed",
        )
    # In a container: findings must not move the elements below, which would close them.
    with st.container(key=f"submit_{field}_place"):
        if entered.value.strip():
            return _given(field, entered, form, outbox)
        return _empty(field, entered, form, outbox)


def _empty(field: str, entered: Entered, form: Draft, outbox: Outbox) -> bool:
    is_footage = field == "lipsync_input"
    if field in form.notes:
        st.info(plain(form.notes[field]), icon=":material/movie:")
    if not is_footage or not form.is_attempted:
        elements.note(VIDEOS[field].hint)
    else:
        elements.fault(NO_FOOTAGE)
    if is_footage and running.get().session.sandbox is not None:
        st.button(
            "Use a sample video",
            key="submit_sample",
            icon=":material/movie:",
            on_click=partial(_use_sample, field, outbox),
        )
    if not is_footage:
        return True
    if not form.is_attempted:
        return False
    # The key names the person: a create of another one has to be confirmed again.
    return st.checkbox("Send it without footage", key=f"submit_without_footage_{entered.person}")


def _given(field: str, entered: Entered, form: Draft, outbox: Outbox) -> bool:
    value = entered.value.strip()
    path = Path(value)
    with suppress(ValueError):  # which is a fault of the entry
        path = pasted_path(value)
    _file_row(field, entered.value, path, form, outbox)
    if form.owns(path) and not path.exists():
        elements.fault(GONE)
        return False
    if entered.fault is not None:
        elements.fault(entered.fault)
        return False
    for text in entered.warnings:
        st.warning(plain(text), icon=":material/warning:")
    report = video_report.check(value, field)
    if report is None:
        return True
    video_report.show(report)
    # The key names the video: another unusable one has to be confirmed again.
    return report.ok or st.checkbox(
        "Send it although it looks unusable", key=f"submit_anyway_{field}_{value}"
    )


def _file_row(field: str, value: str, path: Path, form: Draft, outbox: Outbox) -> None:
    """Show what is chosen in one line, with a button that takes it out of the form."""
    if is_drive_link(value) and field == "lipsync_input":
        text = DRIVE
    elif is_url(unquote(value)):
        text = FETCHED
    else:
        text = elements.short(path.name, 40)
        with suppress(OSError, ValueError):  # which is a fault of the entry
            text += f", {path.stat().st_size / 1e6:,.1f} MB"
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(text, width="content")
        st.button(
            "Remove",
            key=f"submit_{field}_remove",
            icon=":material/close:",
            type="tertiary",
            on_click=_remove,
            args=(field, value, path, form, outbox),
        )


def _remove(field: str, value: str, path: Path, form: Draft, outbox: Outbox) -> None:
    form.unconfirmed[field] = (value, "")
    if form.owns(path):
        outbox.delete([path])


def _use_sample(field: str, outbox: Outbox) -> None:
    from avatarkit.sandbox.footage import talking_head

    path = outbox.uploads.folder / "sample.mp4"
    if not path.exists():
        with st.spinner("Making a video …"):
            talking_head(path)
    st.session_state[form_state.key(field)] = str(path)
