"""Show the Settings page: account, database, clock, and whether the tracker runs."""

from __future__ import annotations

from datetime import timedelta

import streamlit as st

from avatarkit.errors import StoreError
from avatarkit.text import format_hours, plain
from avatarkit.tracking.state import tracked_by
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

HOW_TO_NOTIFY = (
    "Set AVATARKIT_NOTIFY to URLs of Apprise (mail, Slack, Teams, ntfy …), and restart the app, to "
    "be told when avatars have ended, are late or uncertain, or the keys are refused."
)


def show() -> None:
    """Show the page."""
    for notice in running.get().session.settings.notices:
        st.warning(plain(notice), icon=":material/warning:")
    _connections()
    _messages()
    _uploads()
    _webhooks()
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
    if tracker.alive and (other := tracker.lease.other()) is not None:
        text = f"stands by: {tracked_by(other.name, other.age_s)}"
        rows |= {"Tracker": text, "Polls": f"by {other.name}"}
    st.table({"Setting": list(rows), "Value": [*map(plain, rows.values())]}, hide_index=True)
    for account in tracker.other_accounts():
        st.info(plain(account.sentence), icon=":material/group:")
    if (warning := tracker.schedule.staleness().warning) is not None:
        st.warning(warning, icon=":material/warning:")


def _webhooks() -> None:
    """Show the address at which webhooks arrive, if there is a public one."""
    try:
        url = running.get().session.tracker.webhooks.url()
    except StoreError as error:
        st.error(plain(error), icon=":material/error:")
        return
    if url is None:
        return
    st.subheader("Webhooks", anchor=False)
    st.code(url, language=None)
    st.caption(
        "Submissions that name no webhook of their own carry this address, and an avatar is polled "
        "at once when a call arrives there. Keep it to yourself: its last part is a password."
    )


def _messages() -> None:
    """Show where messages go and what came of the last ones, and a button that tries it."""
    session = running.get().session
    notifier = session.tracker.notifier
    st.subheader("Messages", anchor=False)
    if notifier is None:
        st.caption(HOW_TO_NOTIFY)
        return
    schemes = notifier.addresses.schemes
    sent_at, waiting, error = session.store.notifications_state()
    parts = [f"{len(schemes)} addresses" if len(schemes) != 1 else "1 address"]
    parts[0] += f" ({', '.join(schemes)})"
    parts.append(f"last sent {sent_at:%Y-%m-%d %H:%M} UTC" if sent_at else "none sent yet")
    if waiting:
        parts.append(f"{waiting:,} waiting")
    st.write(plain("; ".join(parts)))
    if error:
        st.warning(plain(f"Last error: {error}"), icon=":material/warning:")
    if st.button("Send a test", key="settings_test_notify", icon=":material/send:"):
        with st.spinner("Sending"):
            results = notifier.try_addresses()
        for address, reason in results:
            text = plain(f"{address}: {'taken' if reason is None else f'not taken: {reason}'}")
            (st.success if reason is None else st.error)(text)
    for problem in notifier.addresses.problems:
        st.warning(plain(problem), icon=":material/warning:")


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
