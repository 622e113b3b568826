"""Show the control of each video of the form: an upload, or a path or URL, and its checks."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from avatarkit.models import is_url
from avatarkit.paths import pasted_path, unquote
from avatarkit.preflight import Report, Severity
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
DRIVE = "A link of Google Drive"
SHARE = "Share it with anyone who has the link."
FETCHED = "The API will fetch it; it is not checked here."
NO_FOOTAGE = (
    "There is no footage: the API would take a place of the plan for an avatar that cannot be made."
)
BELOW = "See below."
CONTROL_PX = 160
"""As high as an uploader with a file on a phone, so that other things in its place move nothing."""

LONGEST_LINE = 60
"""Characters of small letters in a line of a phone."""


@dataclass(frozen=True)
class Video:
    """A video of the form: its title, what it has to be, what its absence means, and its help."""

    title: str
    hint: str
    empty: str
    help: str


VIDEOS = {
    "lipsync_input": Video(
        "Footage *",
        "One person speaking, facing the camera, for 15 s to 5 min, with sound.",
        "None yet.",
        "An upload, the path of a file on the machine of this app, a URL, or a link of Google "
        "Drive.",
    ),
    "consent_video": Video(
        "Consent video",
        "The same person, saying that they agree.",
        "None: the API takes it, but its review may ask for one.",
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


def control(field: str, entered: Entered, form: Draft, outbox: Outbox) -> DeltaGenerator:
    """Show the control of a video, as high with a video as without.

    Returns:
        The place for the line in which ``checks`` says what it found.
    """
    video = VIDEOS[field]
    way = st.segmented_control(
        video.title,
        [UPLOAD, ADDRESS],
        key=form_state.way_key(field),
        required=True,
        help=video.help,
    )
    title = video.title.removesuffix(" *")
    elements.note(video.hint)
    # An upload that runs, and the file that was chosen, take the same place.
    with st.container(height=CONTROL_PX, border=False):
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
        if entered.value.strip():
            _file_row(field, entered.value, form, outbox)
        elif field == "lipsync_input" and running.get().session.sandbox is not None:
            st.button(
                "Use a sample video",
                key="submit_sample",
                icon=":material/movie:",
                on_click=partial(_use_sample, field, outbox),
            )
    return st.container()


def checks(field: str, entered: Entered, form: Draft, line: DeltaGenerator) -> bool:
    """Check a video, and ask before one that looks wrong is sent; return whether it may be."""
    fault, report = _fault(entered, form), None
    if entered.value.strip() and fault is None:
        report = video_report.check(entered.value, field)
    with line:
        _say(field, entered, form, fault, report)
    if not entered.value.strip():
        if field != "lipsync_input" or not form.is_attempted:
            return field != "lipsync_input"
        st.warning(NO_FOOTAGE, icon=":material/warning:")
        # The key names the person: a create of another one has to be confirmed again.
        return st.checkbox(
            "Send it without footage", key=f"submit_without_footage_{entered.person}"
        )
    if fault is not None:
        st.error(plain(fault), icon=":material/error:")
        return False
    for text in entered.warnings:
        st.warning(plain(text), icon=":material/warning:")
    if report is None:
        return True
    video_report.show(report)
    # The key names the video: another unusable one has to be confirmed again.
    return report.ok or st.checkbox(
        "Send it although it looks unusable",
        key=f"submit_anyway_{field}_{entered.value.strip()}",
    )


def _path(value: str) -> Path:
    with suppress(ValueError):  # which is a fault of the entry
        return pasted_path(value.strip())
    return Path(value.strip())


def _fault(entered: Entered, form: Draft) -> str | None:
    path = _path(entered.value)
    return GONE if form.owns(path) and not path.exists() else entered.fault


def _say(
    field: str, entered: Entered, form: Draft, fault: str | None, report: Report | None
) -> None:
    """Say in a line what was found, or what is wrong if a line can hold it."""
    is_empty = not entered.value.strip()
    if is_empty and field == "lipsync_input" and form.is_attempted:
        elements.fault(f"There is no footage. {BELOW}")
    elif is_empty and field in form.notes:
        elements.fault(form.notes[field])
    elif is_empty:
        elements.note(VIDEOS[field].empty)
    elif fault is not None:
        elements.fault(fault if len(fault) <= LONGEST_LINE else f"It cannot be sent. {BELOW}")
    elif entered.warnings:
        elements.note(f"The API may not be able to fetch it. {BELOW}")
    elif report is None:
        elements.note(SHARE if is_drive_link(entered.value) else FETCHED)
    elif not report.ok:
        elements.fault(f"It looks unusable. {BELOW}")
    else:
        count = sum(finding.severity is Severity.WARNING for finding in report.findings)
        what = "1 warning" if count == 1 else f"{count} warnings" if count else "it looks fine"
        elements.note(f"Checked: {what}. {BELOW}")


def _file_row(field: str, value: str, form: Draft, outbox: Outbox) -> None:
    """Show what is chosen in one line, with a button that takes it out of the form."""
    path = _path(value)
    if is_drive_link(value) and field == "lipsync_input":
        text = DRIVE
    elif is_url(unquote(value)):
        text = elements.short(unquote(value), 40)
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
