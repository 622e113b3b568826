"""Show what lies on disk: uploads, the database and its backups."""

from __future__ import annotations

from datetime import datetime, timedelta

import streamlit as st

from avatarkit.clock import SystemClock
from avatarkit.store import backup
from avatarkit.text import format_hours, plain
from avatarkit.ui import moments, running
from avatarkit.ui.browser import browser_id
from avatarkit.ui.uploads import StoredUpload
from avatarkit.ui.views import actions
from avatarkit.ui.views.connection import facts

MOST_LISTED = 20
"""How many uploads are named."""


def uploads() -> None:
    """Show the uploads that lie on disk, and buttons that delete what nothing needs."""
    outbox = running.get().outbox
    stored = sorted(outbox.stored(), key=lambda upload: upload.uploaded_at, reverse=True)
    own = [upload for upload in stored if upload.browser == browser_id()]
    others = [upload for upload in stored if upload.browser != browser_id()]
    st.header("Uploads on disk", anchor=False)
    now = SystemClock().now()
    # A list, as it fits a phone. The names of other people's files are not shown.
    lines = [_line(upload, now) for upload in own[:MOST_LISTED]]
    if more := own[MOST_LISTED:]:
        lines.append(f"- and {_count(more)}")
    lines.append(f"- Of other browsers: {_count(others) if others else 'none'}")
    st.markdown("\n".join(lines if own else ["- Of this browser: none", *lines]))
    st.caption(
        "A file is deleted when its submission is accepted or dismissed, or "
        f"{format_hours(outbox.uploads.keep.total_seconds() / 3600)} after it was uploaded and not "
        "submitted (AVATARKIT_KEEP_UPLOADS_H). What is being submitted, or may have been, is kept."
    )
    with st.container(horizontal=True):
        if unneeded := _unneeded(own):
            _delete_button(unneeded, "settings_delete_own")
        if unneeded := _unneeded(others):
            with st.popover("Other browsers' files", icon=":material/group:"):
                st.caption("Forms that are being filled in lose their files.")
                _delete_button(unneeded, "settings_delete_others")


def _line(upload: StoredUpload, now: datetime) -> str:
    age = format_hours(max((now - upload.uploaded_at) / timedelta(hours=1), 0.0))
    needed = "" if upload.expires_at is not None else ", being submitted"
    return f"- {plain(upload.path.name)}: {_size([upload])}, uploaded {age} ago{needed}"


def _count(stored: list[StoredUpload]) -> str:
    """Return how many files they are, with their size, and how many are being submitted."""
    files = "1 file" if len(stored) == 1 else f"{len(stored):,} files"
    needed = len(stored) - len(_unneeded(stored))
    return f"{files} ({_size(stored)}{f', {needed:,} being submitted' if needed else ''})"


def _delete_button(stored: list[StoredUpload], key: str) -> None:
    st.button(
        f"Delete {_count(stored)}",
        key=key,
        icon=":material/delete:",
        on_click=running.get().outbox.delete,
        args=({upload.path for upload in stored},),
    )


def _unneeded(stored: list[StoredUpload]) -> list[StoredUpload]:
    return [upload for upload in stored if upload.expires_at is not None]


def _size(stored: list[StoredUpload]) -> str:
    return f"{sum(upload.size for upload in stored) / 1e6:,.1f} MB"


def database() -> None:
    """Show where the log is, and a button that backs it up."""
    session = running.get().session
    store, settings = session.store, session.settings
    st.header("Database", anchor=False)
    rows = {
        "Database": f"{store.url} ({store.product})",
        "Data folder": settings.folder,
    }
    file = store.backup_file
    if file is not None:
        newest = max(backup.backups(file).values(), default=None)
        rows["Last backup"] = "None yet" if newest is None else moments.exact(newest)
    facts(rows)
    if file is None:
        st.caption("PostgreSQL is backed up with its own pg_dump.")
    else:
        _backup_button(settings.backups)


@st.fragment
def _backup_button(kept: int) -> None:
    store, now = running.get().session.store, SystemClock().now()
    actions.act(
        "settings_backup",
        "Back up now",
        "Copying the database",
        lambda _: store.back_up(now),
        lambda _: None,
        icon=":material/save:",
    )
    folder = "" if store.backup_file is None else plain(backup.folder_of(store.backup_file))
    daily = f"One is made each day, and the newest {kept} are kept" if kept else "None is made"
    st.caption(f"{daily} in {folder} (AVATARKIT_BACKUPS).")
