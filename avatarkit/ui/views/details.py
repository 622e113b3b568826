"""Show the details of one avatar: its history, when it is expected, what the API said."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import pandas as pd
import streamlit as st

from avatarkit.estimates import eta
from avatarkit.history import stages
from avatarkit.reports import charts, tables
from avatarkit.session import Session
from avatarkit.text import format_hours, plain, stage_name
from avatarkit.ui import running

COLORS: dict[str, Literal["green", "red", "violet"]] = {
    "done": "green",
    "failed": "red",
    "rejected": "red",
    "reviewing": "violet",
}
STAGE_COLUMNS = {"stage": "Stage", "state": "State", "took": "Took", "entered": "Entered (UTC)"}


def show(session: Session, persona_id: str) -> None:
    """Show the details of one avatar.

    Args:
        session: The session.
        persona_id: Its id.
    """
    personas = session.store.personas().fillna({"creator_name": ""}).set_index("persona_id")
    if persona_id not in personas.index:
        text = f"This account has no avatar {plain(persona_id)}; choose one."
        st.warning(text, icon=":material/help:")
        return
    row: pd.Series = personas.loc[persona_id]  # type: ignore[assignment]
    now = session.clock.now()
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
        if st.button("Poll again", key=f"details_again_{persona_id}"):
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
    st.altair_chart(charts.timeline(visits, now=now), key="details_timeline")
    st.dataframe(
        tables.stage_bounds(visits),
        hide_index=True,
        key="details_stages",
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
