"""Keep the form of a tab in step with what its browser shows, its draft on disk, and its uploads.

A newer run of the page may end this one whenever the session state is used, and it begins with the
fields as the browser showed them when it asked for it. So the form itself knows what replaces it
and which fields it has set, until the browser shows them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from avatarkit.models import VIDEO_FIELDS, Gender
from avatarkit.text import plain
from avatarkit.ui.browser import browser_id
from avatarkit.ui.draft import FIELDS, Draft
from avatarkit.ui.elements import free_uploads
from avatarkit.ui.outbox import Outbox

FORM = "submit_draft"
"""The key of the form that the Submit page shows in this tab."""

UPLOAD, ADDRESS = "Upload", "Path or URL"
"""The ways to give a video."""


def key(field: str) -> str:
    """Return the key of a field's widget, under which the session state has its value."""
    return f"submit_{field}"


def way_key(field: str) -> str:
    """Return the key of the switch by which way a video is given."""
    return f"submit_{field}_way"


def uploader_key(field: str) -> str:
    """Return the key of a video's uploader, which is another one after each upload."""
    nonce = st.session_state.setdefault(_nonce(field), 0)
    return f"submit_{field}_upload_{nonce}"


def current(outbox: Outbox) -> Draft:
    """Return the form that the Submit page shows in this tab, or will show in a new one."""
    form: Draft | None = st.session_state.get(FORM)
    return (form or outbox.uploads.draft(browser_id())).newest


def fields() -> dict[str, str]:
    """Return the fields as the browser shows them."""
    return {field: str(st.session_state.get(key(field)) or "") for field in FIELDS}


def open_form(outbox: Outbox) -> tuple[Draft, bool]:
    """Return the form of this tab, and whether a field was set that the browser shows only next."""
    known: Draft | None = st.session_state.get(FORM)
    form, shown = current(outbox), fields()
    if form is known:
        form.confirm(shown)
    else:
        # On a page that was not shown before, the browser has nothing to confirm.
        form.replace({n: value for n, value in shown.items() if key(n) in st.session_state})
    _choose_ways(form, is_new=form is not known)
    taken, replaced = _take_uploads(form, shown)
    for name in FIELDS:
        if name in form.unconfirmed:
            _set(name, form.unconfirmed[name][1])
        elif key(name) not in st.session_state:
            # Widgets lose their state when another page is shown; the form does not.
            _set(name, form.fields.get(name, ""))
    st.session_state[FORM] = form
    # Only now, as a run that was ended before this would need them again.
    free_uploads(taken)
    if replaced:
        form.save(fields())
        outbox.delete(replaced)
    return form, bool(form.unconfirmed)


def _set(field: str, value: str) -> None:
    is_gender = field == "gender"
    gender = Gender(value) if value in set(Gender) else None
    st.session_state[key(field)] = gender if is_gender else value


def _choose_ways(form: Draft, *, is_new: bool) -> None:
    """Choose for each video the way by which it was given, if the form is new in this tab."""
    for field in VIDEO_FIELDS:
        if is_new or way_key(field) not in st.session_state:
            value = form.fields.get(field, "")
            is_address = bool(value) and not form.owns(Path(value))
            st.session_state[way_key(field)] = ADDRESS if is_address else UPLOAD


def _take_uploads(form: Draft, shown: Mapping[str, str]) -> tuple[list[str], list[Path]]:
    """Copy what was uploaded to disk, and set the field to its path.

    Returns:
        The ids of the files, and the uploads that they replace.

    Not in the widget's callback, which is called again when a rerun of a fragment is waiting.
    """
    taken, replaced = [], []
    for field in VIDEO_FIELDS:
        uploaded = st.session_state.get(uploader_key(field))
        if isinstance(uploaded, UploadedFile):
            try:
                path = form.save_upload(uploaded.file_id, uploaded.name, uploaded)
            except OSError as error:
                text = f"{uploaded.name} could not be kept on disk ({error.strerror})."
                st.error(plain(text), icon=":material/error:")
            else:
                form.unconfirmed[field] = (shown[field], str(path))
                if shown[field] != str(path) and form.owns(Path(shown[field])):
                    replaced.append(Path(shown[field]))
            # A new widget, as the copy on disk is used from now on.
            st.session_state[_nonce(field)] += 1
            taken.append(uploaded.file_id)
    return taken, replaced


def _nonce(field: str) -> str:
    return f"submit_{field}_nonce"
