"""Show the Avatars page: the live status of every avatar, and the history of one."""

from __future__ import annotations

import pandas as pd
import streamlit as st
from streamlit.column_config import ProgressColumn, TextColumn

from avatarkit.models import ProcessStatus
from avatarkit.reports import charts, tables
from avatarkit.text import plain, stage_name
from avatarkit.ui import running
from avatarkit.ui.browser import browser_id
from avatarkit.ui.cache import Log
from avatarkit.ui.elements import csv_downloads
from avatarkit.ui.views import details, empty, uncertain

LINKED = "persona"
"""The query parameter with the id of the persona whose details are shown."""

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


def show() -> None:
    """Show the page."""
    uncertain.show()
    if running.get().estimates.log().personas.empty:
        empty.show()
    else:
        _overview()
    session = running.get().session
    csv_downloads(session, {"statuses": session.store.personas})
    if (linked := st.query_params.get(LINKED)) is not None:
        running.get().session.tracker.hasten(linked)
    _details()


@st.fragment(run_every=2)
def _overview() -> None:
    session, estimates = running.get().session, running.get().estimates
    log = estimates.log()
    personas = log.personas
    _counts(personas)
    shown = _filtered(personas)
    arrivals = estimates.arrivals(log)
    now = session.clock.now()
    st.dataframe(
        tables.tracking(shown, log.sightings, now, arrivals),
        hide_index=True,
        key="avatars_table",
        column_order=list(COLUMNS),
        column_config=COLUMNS,
    )
    st.caption(f"{len(shown)} of {len(personas)} shown; {now:%Y-%m-%d %H:%M} UTC on this clock.")
    times = estimates.get(Log.stage_times, log)
    if arrivals is not None and times is not None:
        names = shown[["persona_id", "creator_name"]].fillna({"creator_name": ""})
        in_flight = arrivals.merge(names)
        if not in_flight.empty:
            st.altair_chart(charts.aging(in_flight, times.summary), key="avatars_aging")


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
    chosen = st.session_state.get("avatars_statuses", [])
    present = {*personas["status"], *chosen}
    known = [status.value for status in ProcessStatus]
    chosen = st.pills(
        "Show only",
        [name for name in known if name in present] + sorted(present - set(known)),
        selection_mode="multi",
        format_func=stage_name,
        key="avatars_statuses",
    )
    return personas[personas["status"].isin(chosen)] if chosen else personas


@st.fragment(run_every=2)
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
        elif st.session_state.get("avatars_persona") != linked:
            st.session_state["avatars_persona"] = linked
    persona_id = st.selectbox(
        "Details of",
        list(personas.index),
        format_func=lambda persona_id: _title(personas, persona_id),
        key="avatars_persona",
        on_change=_link_to_chosen,
    )
    if persona_id in personas.index:
        details.show(session, personas.loc[persona_id], str(persona_id), session.clock.now())


def _link_to_chosen() -> None:
    persona_id = st.session_state["avatars_persona"]
    st.query_params[LINKED] = persona_id
    running.get().session.tracker.hasten(persona_id)


def _title(personas: pd.DataFrame, persona_id: str) -> str:
    # Without the status: a label that changes while the list is open would lose the choice.
    name = personas["creator_name"].get(persona_id, "")
    return f"{name} · {persona_id[:8]}" if name else persona_id
