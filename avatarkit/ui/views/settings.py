"""Show the Settings page: what a person asks first about account, messages and storage."""

from __future__ import annotations

import streamlit as st

from avatarkit.errors import StoreError
from avatarkit.text import plain
from avatarkit.tracking.diagnosis.machine import check_versions
from avatarkit.ui import moments, running
from avatarkit.ui.views import actions, connection, storage

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
NO_WEBHOOKS = (
    "None: avatars are polled. Set AVATARKIT_PUBLIC_URL to the https address at which the API "
    "reaches this app, and restart it, to have one."
)
ASSUMED = """
- **Documented**: the fields of a create, nine statuses, the list, the quota, and `is_active` as the
  sign of ready. The vendor says that it takes 2 to 5 days; a newer page says 1 to 2.
- **Seen or guessed**, and so never a hard rule: the wording of errors, 403 for a full plan, rate
  limits, 15 to 300 seconds of footage, that two equal creates make two avatars, that a body which
  breaks off may be taken.
- Statuses and fields that are not documented are kept and shown as they come.
"""


def show() -> None:
    """Show the page."""
    for notice in running.get().session.settings.notices:
        st.warning(plain(notice), icon=":material/warning:")
    connection.show()
    connection.doctor()
    _webhooks()
    _messages()
    storage.uploads()
    storage.database()
    _about()


def _webhooks() -> None:
    """Show the address at which webhooks arrive, if there is a public one."""
    st.header("Webhook", anchor=False)
    try:
        url = running.get().session.tracker.webhooks.url()
    except StoreError as error:
        st.error(plain(error), icon=":material/error:")
        return
    if url is None:
        st.caption(NO_WEBHOOKS)
        return
    st.code(url, language=None, wrap_lines=True)
    st.caption(
        "Submissions that name no webhook of their own carry this address, and an avatar is polled "
        "at once when a call arrives there. Keep it to yourself: its last part is a password."
    )


def _messages() -> None:
    """Show where messages go and what came of the last ones, and a button that tries it."""
    session = running.get().session
    notifier = session.tracker.notifier
    st.header("Messages", anchor=False)
    if notifier is None:
        st.caption(HOW_TO_NOTIFY)
        return
    schemes = notifier.addresses.schemes
    sent_at, waiting, error = session.store.notifications_state()
    parts = [f"{len(schemes)} addresses" if len(schemes) != 1 else "1 address"]
    parts[0] += f" ({', '.join(schemes)})"
    parts.append(f"last sent {moments.exact(sent_at)}" if sent_at else "none sent yet")
    if waiting:
        parts.append(f"{waiting:,} waiting")
    st.write(plain("; ".join(parts)))
    if error:
        st.warning(plain(f"Last error: {error}"), icon=":material/warning:")
    _try_messages()
    for problem in notifier.addresses.problems:
        st.warning(plain(problem), icon=":material/warning:")


@st.fragment
def _try_messages() -> None:
    notifier = running.get().session.tracker.notifier
    if notifier is None:
        return
    results = "settings_test_notify_results"
    actions.act(
        "settings_test_notify",
        "Send a test",
        "Sending",
        lambda _: notifier.try_addresses(),
        lambda tried: st.session_state.update({results: tried}),
        icon=":material/send:",
    )
    for address, reason in st.session_state.get(results, []):
        text = plain(f"{address}: {'taken' if reason is None else f'not taken: {reason}'}")
        (st.success if reason is None else st.error)(text)


def _about() -> None:
    session = running.get().session
    st.header("About", anchor=False)
    versions = " ".join(check.sentence for check in check_versions())
    rows = {"Settings": session.settings.found, "Versions": versions}
    connection.facts(rows)
    with st.expander("What is assumed of the API", icon=":material/rule:"):
        st.markdown(ASSUMED)
    if session.sandbox is not None:
        with st.expander("Use the live account", icon=":material/cloud:"):
            st.markdown(HOW_TO_GO_LIVE)
