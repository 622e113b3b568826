"""Show the Tracker page: the live status of every avatar, and the history of one."""

from __future__ import annotations

import threading
from datetime import datetime
from typing import Literal

import pandas as pd
import streamlit as st
from streamlit.column_config import ProgressColumn, TextColumn

from avatarkit.errors import AvatarkitError
from avatarkit.estimates import eta
from avatarkit.history import stages
from avatarkit.models import ProcessStatus
from avatarkit.reports import charts, tables
from avatarkit.session import Session
from avatarkit.store.submissions import Uncertain
from avatarkit.text import format_hours, plain, stage_name
from avatarkit.tracking.reconcile import SETTLING
from avatarkit.tracking.tracker import Tracker
from avatarkit.ui import running
from avatarkit.ui.browser import browser_id
from avatarkit.ui.cache import Log
from avatarkit.ui.elements import csv_downloads

REFRESH_S = 2
LINKED = "persona"
"""The query parameter with the id of the persona whose details are shown."""

_importing = threading.Lock()

COLORS: dict[str, Literal["green", "red", "violet"]] = {
    "done": "green",
    "failed": "red",
    "rejected": "red",
    "reviewing": "violet",
}
COLUMNS = {
    "creator_name": TextColumn("Creator name", pinned=True),
    "status": TextColumn("Status", width=130),
    "progress": ProgressColumn("Progress", format=" ", width="small"),
    "in_status_for": TextColumn("In it for", width=95),
    "late": TextColumn("Late", help="In its stage for longer than 95 % of all.", width=60),
    "ready": TextColumn(
        "Ready (UTC)", help="When it ends, in 8 of 10 cases. More in its details.", width=190
    ),
    "age": TextColumn("Age", help="Since the create, to the end."),
    "last_look": TextColumn("Last poll", width=125),
    "next_look": TextColumn("Next poll", width=95),
    "failed_reason": TextColumn("Reason"),
    "persona_id": TextColumn("Id"),
}
STAGE_COLUMNS = {"stage": "Stage", "state": "State", "took": "Took", "entered": "Entered (UTC)"}
NEVER_CREATED = (
    "Look at your account on the vendor's own pages first: sent again, an avatar that is there "
    "after all is made twice."
)


def show() -> None:
    """Show the page."""
    _uncertain_submissions()
    _unknown_avatars()
    _overview()
    session = running.get().session
    csv_downloads(session, {"statuses": session.store.personas})
    if (linked := st.query_params.get(LINKED)) is not None:
        running.get().session.tracker.hasten(linked)
    _details()


@st.fragment(run_every=REFRESH_S)
def _uncertain_submissions() -> None:
    tracker = running.get().session.tracker
    uncertain = tracker.store.open_submissions()
    submitted_ids = tracker.store.submitted_ids() if uncertain else set()
    for submission in uncertain:
        with st.container(border=True):
            st.warning(
                f"It is not certain whether {plain(submission.creator_name)} was created, sent "
                f"{submission.sent_at:%Y-%m-%d %H:%M} UTC. {plain(submission.reason)}",
                icon=":material/help:",
            )
            with st.container(horizontal=True):
                _settle(tracker, submission, submitted_ids)


def _settle(tracker: Tracker, submission: Uncertain, submitted_ids: set[str]) -> None:
    submission_id = submission.submission_id
    key = f"tracker_settle_{submission_id}"
    for persona_id in [p.id for p in submission.candidates if p.id not in submitted_ids]:
        if st.button(f"It is {persona_id}", key=f"{key}_{persona_id}"):
            tracker.settle(submission_id, persona_id)
            st.rerun()
    with (
        st.popover("I know its id", icon=":material/search:"),
        st.form(f"{key}_form", border=False),
    ):
        given_id = st.text_input(
            "Its id", key=f"{key}_id", help="As the vendor's pages or another program show it."
        )
        if st.form_submit_button("It is this one"):
            try:
                tracker.settle(submission_id, given_id.strip())
            except AvatarkitError as error:
                # Kept in the session state, as this fragment reruns by itself.
                st.session_state[f"{key}_error"] = str(error)
            else:
                st.rerun()
        if f"{key}_error" in st.session_state:
            st.error(plain(st.session_state[f"{key}_error"]), icon=":material/error:")
    # A time that lies ahead was logged while the clock was wrong.
    if abs(tracker.clock.now() - submission.broke_at) >= SETTLING:
        with st.popover("It was never created", icon=":material/block:"):
            st.caption(NEVER_CREATED)
            if st.button("I have looked: it is not there", key=f"{key}_never"):
                tracker.settle(submission_id, None)
                st.rerun()


@st.fragment(run_every=REFRESH_S)
def _unknown_avatars() -> None:
    """Offer to follow what the account has and the log does not."""
    count = running.get().session.tracker.unknown_count
    if count:
        avatars = "1 avatar" if count == 1 else f"{count:,} avatars"
        st.button(
            f"Import what the account has: {avatars} more",
            key="tracker_import",
            icon=":material/download:",
            on_click=_import,
        )
    if "tracker_import_error" in st.session_state:
        st.error(plain(st.session_state["tracker_import_error"]), icon=":material/error:")


def _import() -> None:
    # A second click, also in another tab, does nothing while the first one is at work.
    if _importing.acquire(blocking=False):
        st.session_state.pop("tracker_import_error", None)
        try:
            running.get().session.tracker.adopt()
        except AvatarkitError as error:
            st.session_state["tracker_import_error"] = str(error)
        finally:
            _importing.release()


@st.fragment(run_every=REFRESH_S)
def _overview() -> None:
    session, estimates = running.get().session, running.get().estimates
    log = estimates.log()
    personas = log.personas
    if personas.empty:
        st.info("No avatars yet. Submit one, and it shows up here.", icon=":material/inbox:")
        return
    _counts(personas)
    shown = _filtered(personas)
    arrivals = estimates.arrivals(log)
    now = session.clock.now()
    st.dataframe(
        tables.tracking(shown, log.sightings, now, arrivals),
        hide_index=True,
        key="tracker_table",
        column_order=list(COLUMNS),
        column_config=COLUMNS,
    )
    st.caption(f"{len(shown)} of {len(personas)} shown; {now:%Y-%m-%d %H:%M} UTC on this clock.")
    times = estimates.get(Log.stage_times, log)
    if arrivals is not None and times is not None:
        names = shown[["persona_id", "creator_name"]].fillna({"creator_name": ""})
        in_flight = arrivals.merge(names)
        if not in_flight.empty:
            st.altair_chart(charts.aging(in_flight, times.summary), key="tracker_aging")


def _counts(personas: pd.DataFrame) -> None:
    ended = ["done", "failed", "rejected"]
    followed = personas.loc[personas["followed"]]
    status = followed["status"]
    in_progress = ~status.isin(ended) & followed["deleted_at"].isna()
    with st.container(horizontal=True):
        st.metric("In progress", int(in_progress.sum()), width=110)
        for name in ended:
            st.metric(stage_name(name), int((status == name).sum()), width=110)


def _filtered(personas: pd.DataFrame) -> pd.DataFrame:
    # A chosen status stays an option even if no persona is in it now.
    chosen = st.session_state.get("tracker_statuses", [])
    present = {*personas["status"], *chosen}
    known = [status.value for status in ProcessStatus]
    chosen = st.pills(
        "Show only",
        [name for name in known if name in present] + sorted(present - set(known)),
        selection_mode="multi",
        format_func=stage_name,
        key="tracker_statuses",
    )
    return personas[personas["status"].isin(chosen)] if chosen else personas


@st.fragment(run_every=REFRESH_S)
def _details() -> None:
    session = running.get().session
    personas = session.store.personas().set_index("persona_id").fillna({"creator_name": ""})
    if personas.empty:
        return
    # Not bound to the URL by Streamlit, which would write the label there; names are not unique.
    linked = st.query_params.get(LINKED)
    if linked is not None:
        running.get().outbox.dismiss_persona(linked, browser_id())
        if linked not in personas.index:
            text = f"This account has no avatar {plain(linked)}; choose one."
            st.warning(text, icon=":material/help:")
        elif st.session_state.get("tracker_persona") != linked:
            st.session_state["tracker_persona"] = linked
    persona_id = st.selectbox(
        "Details of",
        list(personas.index),
        format_func=lambda persona_id: _title(personas, persona_id),
        key="tracker_persona",
        on_change=_link_to_chosen,
    )
    if persona_id in personas.index:
        _persona(session, personas.loc[persona_id], str(persona_id), session.clock.now())


def _link_to_chosen() -> None:
    persona_id = st.session_state["tracker_persona"]
    st.query_params[LINKED] = persona_id
    running.get().session.tracker.hasten(persona_id)


def _title(personas: pd.DataFrame, persona_id: str) -> str:
    # Without the status: a label that changes while the list is open would lose the choice.
    name = personas["creator_name"].get(persona_id, "")
    return f"{name} · {persona_id[:8]}" if name else persona_id


def _persona(session: Session, row: pd.Series, persona_id: str, now: datetime) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader(plain(row["creator_name"] or persona_id), anchor=False, width="content")
        st.badge(plain(stage_name(row["status"])), color=COLORS.get(row["status"], "blue"))
        if row["is_active"] is not pd.NA and row["is_active"]:
            st.badge("Active", color="green", icon=":material/check:")
    if persona_id in session.store.deleted_ids():
        deleted = f"{row['deleted_at']:%Y-%m-%d %H:%M} UTC"
        st.info(f"Deleted here at {deleted}; its history is kept.", icon=":material/delete:")
    elif row["gone"]:
        text = "The API does not find this avatar; it is polled daily, and its history is kept."
        if pd.notna(row["deleted_at"]):
            deleted = f"{row['deleted_at']:%Y-%m-%d %H:%M} UTC"
            text = f"The API has deleted this avatar, as seen {deleted}; its history is kept."
        st.warning(text, icon=":material/help:")
        if st.button("Poll again", key=f"tracker_again_{persona_id}"):
            session.store.make_due(persona_id, now)
            st.rerun()
    if note := session.store.footage_note(persona_id):
        st.warning(plain(note), icon=":material/videocam_off:")
    if pd.notna(row["failed_reason"]) and row["failed_reason"].strip():
        st.error(plain(row["failed_reason"]), icon=":material/error:")
    if pd.notna(row["last_error"]):
        st.warning(f"Last poll: {plain(row['last_error'])}", icon=":material/warning:")
    _arrival(persona_id, now)
    personas = row[["created_at", "submitted_at"]].to_frame().T.assign(persona_id=persona_id)
    visits = stages.visits(session.store.sightings(persona_id), now=now, personas=personas)
    st.altair_chart(charts.timeline(visits, now=now), key="tracker_timeline")
    st.dataframe(
        tables.stage_bounds(visits),
        hide_index=True,
        key="tracker_stages",
        column_config=STAGE_COLUMNS,
    )
    persona = session.store.persona(persona_id)
    with st.expander("The API's answers, the newest value of each field"):
        if persona is not None and persona.odd_fields:
            names = ", ".join(persona.odd_fields)
            st.caption(f"Not of the documented type, kept as it came: {plain(names)}.")
        st.json(persona.model_dump_json(exclude_unset=True) if persona else "{}")


def _arrival(persona_id: str, now: datetime) -> None:
    estimates = running.get().estimates
    arrivals = estimates.arrivals(estimates.log())
    if arrivals is None:
        return
    for _, arrival in arrivals.loc[arrivals["persona_id"] == persona_id].iterrows():
        if arrival["late"]:
            st.warning(
                f"Late: it has been in {plain(stage_name(arrival['stage']))} for at least "
                f"{format_hours(arrival['in_stage_h'])}, longer than 95 % of all.",
                icon=":material/schedule:",
            )
        st.markdown(_expected(arrival, now))


def _expected(arrival: pd.Series, now: datetime) -> str:
    """Return as text when a persona is ready, the chance of done, and the basis."""
    n, basis, chance = arrival["n"], arrival["basis"], arrival["chance_done"]
    if basis != eta.CLAIM:
        basis += " (1 finished avatar)" if n == 1 else f" ({n:,} finished avatars)"
    done = "" if pd.isna(chance) else f" Chance of done: **{chance:.0%}**."
    interval = tables.ready(arrival["p10_at"], arrival["p90_at"], now)
    if tables.already(arrival["p10_at"], now):
        ready = f"It **{interval}** (UTC) in 9 of 10 cases"
    else:
        ready = f"Ready **{interval}** (UTC) in 8 of 10 cases"
    median = f"{arrival['p50_at']:%Y-%m-%d %H:%M}"
    return f"{ready}, half of the time by {median}.{done} Basis: {plain(basis)}."
