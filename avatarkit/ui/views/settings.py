"""Show the Settings page: account, database, clock, and whether the tracker runs."""

from __future__ import annotations

from datetime import timedelta

import streamlit as st

from avatarkit.text import format_hours, plain
from avatarkit.ui import running
from avatarkit.ui.browser import browser_id
from avatarkit.ui.uploads import StoredUpload

HOUR = timedelta(hours=1)
HOW_TO_GO_LIVE = """
Set both keys and restart the app. They are read, in this order, from the environment, a file
`.env`, or `.streamlit/secrets.toml`, beside `app.py`, in the working folder or above it:

```
AVATARKIT_API_ID=…
AVATARKIT_API_KEY=…
```

Live data goes to a database of its own; the sandbox keeps its data.
"""


def show() -> None:
    """Show the page."""
    for notice in running.get().session.settings.notices:
        st.warning(plain(notice), icon=":material/warning:")
    _connections()
    _uploads()
    if running.get().session.sandbox is not None:
        with st.expander("Use the live account", icon=":material/cloud:"):
            st.markdown(HOW_TO_GO_LIVE)


def masked(api_id: str) -> str:
    """Return a few characters of an id, to recognise it by."""
    return f"{api_id[:4]}…{api_id[-2:]}" if len(api_id) > 8 else "…"


@st.fragment(run_every=2)
def _connections() -> None:
    session = running.get().session
    tracker = session.tracker
    now = session.clock.now()
    pass_at, error_at = tracker.last_pass_at, tracker.last_error_at
    error = tracker.last_error or "none"
    if error_at is not None:
        error = f"{format_hours((now - error_at) / HOUR)} ago: {error}"
    rows = {
        "Account": tracker.account_name,
        "Base URL": session.client.base_url,
        "API id": masked(session.client.api_id),
        "Settings": session.settings.found,
        "Database": session.store.url,
        "Data folder": str(session.settings.folder),
        "Clock (UTC)": f"{now:%Y-%m-%d %H:%M:%S}",
        "Clock of the API": str(tracker.clock_offset or "as this one, as far as is known"),
        "Tracker": "alive" if tracker.alive else "not running: restart the app",
        "Last pass": f"{format_hours((now - pass_at) / HOUR)} ago" if pass_at else "none yet",
        "Polls": tracker.schedule.staleness().sentence,
        "Last error": error,
    }
    st.table({"Setting": list(rows), "Value": list(rows.values())}, hide_index=True)
    for other in tracker.other_accounts():
        st.info(plain(other.sentence), icon=":material/group:")
    if (warning := tracker.schedule.staleness().warning) is not None:
        st.warning(warning, icon=":material/warning:")


def _uploads() -> None:
    """Show how many uploads lie on disk, and buttons that delete what nothing needs."""
    outbox = running.get().outbox
    uploads = outbox.stored()
    own = [upload for upload in uploads if upload.browser == browser_id()]
    others = [upload for upload in uploads if upload.browser != browser_id()]
    st.subheader("Uploads on disk", anchor=False)
    rows = {"This browser": own, "Other browsers": others}
    st.table(
        {
            "Uploaded by": list(rows),
            "Files": [len(files) for files in rows.values()],
            "Size": [_size(files) for files in rows.values()],
            "Being submitted": [len(files) - len(_unneeded(files)) for files in rows.values()],
        },
        hide_index=True,
    )
    st.caption(
        "A file is deleted when its submission is accepted or dismissed, or "
        f"{format_hours(outbox.uploads.keep / HOUR)} after it was uploaded and not submitted "
        "(AVATARKIT_KEEP_UPLOADS_H). What is being submitted, or may have been, is kept."
    )
    with st.container(horizontal=True):
        if unneeded := _unneeded(own):
            _delete_button(unneeded, "settings_delete_own")
        if unneeded := _unneeded(others):
            with st.popover("Other browsers' files", icon=":material/group:"):
                st.caption("Forms that are being filled in lose their files.")
                _delete_button(unneeded, "settings_delete_others")


def _delete_button(uploads: list[StoredUpload], key: str) -> None:
    files = "1 file" if len(uploads) == 1 else f"{len(uploads)} files"
    st.button(
        f"Delete {files} ({_size(uploads)})",
        key=key,
        icon=":material/delete:",
        on_click=running.get().outbox.delete,
        args=({upload.path for upload in uploads},),
    )


def _unneeded(uploads: list[StoredUpload]) -> list[StoredUpload]:
    return [upload for upload in uploads if upload.expires_at is not None]


def _size(uploads: list[StoredUpload]) -> str:
    return f"{sum(upload.size for upload in uploads) / 1e6:,.1f} MB"
