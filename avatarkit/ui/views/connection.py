"""Show whether the account answers, who tracks it, and what the doctor finds."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import streamlit as st

from avatarkit.store.account import Pause
from avatarkit.text import plain
from avatarkit.tracking.diagnosis import Check, Outcome, diagnose
from avatarkit.tracking.gate import Cause
from avatarkit.tracking.state import tracked_by
from avatarkit.tracking.tracker import Tracker
from avatarkit.ui import moments, running
from avatarkit.ui.views import actions

OUTCOMES = {Outcome.OK: "✓ ok", Outcome.WARNING: "▲ Warning", Outcome.WRONG: "✗ WRONG"}
CHECKS = "settings_checks"
"""Where a tab keeps what the doctor found last."""


def facts(rows: Mapping[str, object]) -> None:
    """Show a list of names and values, as they are and not as Markdown.

    A list, as it fits a phone: the cells of a table do not break a long path.
    """
    lines = [f"- **{plain(name)}**: {plain(' '.join(str(rows[name]).split()))}" for name in rows]
    st.markdown("\n".join(lines))


# The one part that only time changes; it holds texts alone.
@st.fragment(run_every=60)
def show() -> None:
    """Show whether the account answers, who tracks it, the budget, pauses and the last error."""
    session = running.get().session
    tracker, now = session.tracker, session.clock.now()
    error = "None"
    if tracker.last_error is not None:
        at = tracker.last_error_at
        error = f"{'' if at is None else f'{moments.full(at, now)}: '}{tracker.last_error}"
    promise, pause = tracker.schedule.staleness(), tracker.pause
    clock = moments.exact(now)
    if session.sandbox is not None:
        clock += f" on the sandbox's clock, {session.sandbox_speed:,.0f} times as fast as ours"
    rows = {
        "Connected": _connected(tracker),
        "Account": tracker.account_name,
        "Tracked by": _tracked(tracker),
        "Changes": f"{promise.sentence} At most {promise.budget:,.0f} calls an hour are made.",
        "Pause": _pause(pause, now),
        "Last error": error,
        "Clock": f"{clock}. {tracker.clock_offset or ''}".rstrip(),
    }
    st.header("Connection", anchor=False)
    facts(rows)
    for account in tracker.other_accounts():
        st.info(plain(account.sentence), icon=":material/group:")
    if promise.warning is not None:
        st.warning(plain(promise.warning), icon=":material/warning:")


def _connected(tracker: Tracker) -> str:
    access, pause, now = tracker.access, tracker.pause, tracker.clock.now()
    tried = (
        ""
        if access.tried_at is None
        else f" Tried {moments.full(access.tried_at, now)}, and again at least every hour."
    )
    if pause is not None and pause.cause != Cause.THROTTLED:
        return f"No.{tried}"  # the row of the pause says why
    if access.error is not None:
        return f"No: {access.error}{tried}"
    if access.tried_at is None:
        return "Not known: the keys were not tried yet."
    used = ""
    if (quota := tracker.quota) is not None and quota.max_count > 0:
        used = f" {quota.used}"
    return f"Yes: the API takes the keys.{tried}{used}"


def _pause(pause: Pause | None, now: datetime) -> str:
    if pause is None:
        return "None"
    return pause.text.replace("{moment}", moments.full(pause.until, now))


def _tracked(tracker: Tracker) -> str:
    if not tracker.alive:
        return "None: the tracker of this app does not run; restart the app."
    if (other := tracker.lease.other()) is not None:
        who = tracked_by(other.name, other.age_s).removeprefix("tracked by ")
        return f"{who}; this app stands by."
    at, now = tracker.last_pass_at, tracker.clock.now()
    return f"This app; last pass {moments.distance(at, now) if at else 'to come'}."


@st.fragment
def doctor() -> None:
    """Show a button that checks the installation, and what it found last."""
    st.header("Doctor", anchor=False)
    st.caption(
        "Checks keys, host, clock, database, disk and settings, as 'python -m avatarkit doctor' "
        "does. Nothing is changed or submitted; the API is called once."
    )
    actions.act(
        "settings_doctor",
        "Run the checks",
        "Checking",
        lambda _: diagnose(),
        lambda checks: st.session_state.update({CHECKS: checks}),
        icon=":material/stethoscope:",
    )
    if (checks := st.session_state.get(CHECKS)) is not None:
        _checks(checks)


def _checks(checks: list[Check]) -> None:
    wrong = sum(check.outcome is Outcome.WRONG for check in checks)
    warnings = sum(check.outcome is Outcome.WARNING for check in checks)
    found = [f"{wrong} wrong"] * bool(wrong)
    found += [f"{warnings} warning{'s' * (warnings != 1)}"] * bool(warnings)
    parts = f"{len(checks)} checks: {', '.join(found) or 'all are fine'}."
    (st.error if wrong else st.warning if warnings else st.success)(parts)
    lines = [
        f"- {OUTCOMES[check.outcome]} **{plain(check.name)}**: {plain(check.text)}"
        for check in checks
    ]
    st.markdown("\n".join(lines))
