"""The Tracker page: where every avatar stands, live, and what happened to one."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import pandas as pd
import streamlit as st

from avatarkit.errors import AvatarkitError
from avatarkit.estimates import eta
from avatarkit.history import stages
from avatarkit.models import ProcessStatus
from avatarkit.reports import charts, export, tables
from avatarkit.session import Session
from avatarkit.text import in_words, plain, stage_name
from avatarkit.tracking.reconcile import SETTLING
from avatarkit.ui import cache, running
from avatarkit.ui.cache import Estimates, Log

REFRESH_S = 2
LINKED = "persona"
"""Of the page's URL: the id of the persona whose details are shown."""

Color = Literal["green", "red", "violet", "blue"]
COLORS: dict[str, Color] = {
    "done": "green",
    "failed": "red",
    "rejected": "red",
    "reviewing": "violet",
}


def show() -> None:
    """The page."""
    session = running.get().session
    _uncertain()
    _live()
    with st.container(horizontal=True):
        st.download_button(
            "Download statuses (CSV)",
            lambda: export.to_csv(session.store.personas()),
            file_name="avatarkit-statuses.csv",
            mime="text/csv",
            on_click="ignore",
            icon=":material/download:",
            key="tracker_csv",
        )
    _details()


@st.fragment(run_every=REFRESH_S)
def _uncertain() -> None:
    tracker = running.get().session.tracker
    uncertain = tracker.store.open_submissions()
    taken = tracker.store.submitted_ids() if uncertain else set()
    for one in uncertain:
        key = f"tracker_settle_{one.submission_id}"
        with st.container(border=True):
            st.warning(
                f"It is not certain whether {plain(one.creator_name)} was created, sent "
                f"{one.sent_at:%Y-%m-%d %H:%M} UTC. {plain(one.reason)}",
                icon=":material/help:",
            )
            with st.container(horizontal=True):
                for persona in one.candidates:
                    if persona.id in taken:
                        continue
                    text = f"It is {persona.id}"
                    if st.button(text, key=f"{key}_{persona.id}"):
                        tracker.settle(one.submission_id, persona.id)
                        st.rerun()
                with st.popover("I know its id", icon=":material/search:"):
                    _name_it(one.submission_id, key)
                if tracker.clock.now() - one.broke_at >= SETTLING:
                    with st.popover("It was never created", icon=":material/block:"):
                        st.caption(NEVER)
                        if st.button("I have looked: it is not there", key=f"{key}_never"):
                            tracker.settle(one.submission_id, None)
                            st.rerun()


NEVER = (
    "Look at your account on the vendor's own pages first: sent again, an avatar that is there "
    "after all is made twice."
)


def _name_it(submission_id: str, key: str) -> None:
    with st.form(f"{key}_form", border=False):
        given = st.text_input(
            "Its id", key=f"{key}_id", help="As the vendor's pages or another program show it."
        )
        if st.form_submit_button("It is this one"):
            try:
                running.get().session.tracker.settle(submission_id, given.strip())
            except AvatarkitError as error:
                # Kept, as this part reruns by itself.
                st.session_state[f"{key}_said"] = str(error)
            else:
                st.rerun()
        if f"{key}_said" in st.session_state:
            st.error(plain(st.session_state[f"{key}_said"]), icon=":material/error:")


@st.fragment(run_every=REFRESH_S)
def _live() -> None:
    session = running.get().session
    known = cache.of(session)
    log = known.log()
    personas = log.personas
    if personas.empty:
        st.info("No avatars yet. Submit one, and it shows up here.", icon=":material/inbox:")
        return
    _counts(personas)
    wanted = st.session_state.get("tracker_statuses", [])
    present = [
        status
        for status in _order(personas["status"])
        # What is chosen stays, though nobody is in it just now.
        if status in wanted or (personas["status"] == status).any()
    ]
    chosen = st.pills(
        "Show only",
        present,
        selection_mode="multi",
        format_func=stage_name,
        key="tracker_statuses",
    )
    shown = personas[personas["status"].isin(chosen)] if chosen else personas
    arrivals = known.arrivals(log)
    now = session.clock.now()
    rows = tables.tracking(shown, log.sightings, now, arrivals)
    st.dataframe(
        rows,
        hide_index=True,
        key="tracker_table",
        column_order=[
            "creator_name",
            "status",
            "progress",
            "in_status_for",
            "late",
            "ready",
            "age",
            "last_look",
            "next_look",
            "failed_reason",
            "persona_id",
        ],
        column_config={
            "creator_name": st.column_config.TextColumn("Creator name", pinned=True),
            "status": st.column_config.TextColumn("Status", width=130),
            "progress": st.column_config.ProgressColumn("Progress", format=" ", width="small"),
            "in_status_for": st.column_config.TextColumn("In it for", width=95),
            "late": st.column_config.TextColumn(
                "Late", help="In its stage for longer than 95 % of all.", width=60
            ),
            "ready": st.column_config.TextColumn(
                "Ready (UTC)",
                help="When it ends, in 8 of 10 cases. More in its details.",
                width=190,
            ),
            "age": st.column_config.TextColumn("Age", help="Since the create, to the end."),
            "last_look": st.column_config.TextColumn("Last look", width=125),
            "next_look": st.column_config.TextColumn("Next look", width=95),
            "failed_reason": "Reason",
            "persona_id": "Id",
        },
    )
    st.caption(f"{len(shown)} of {len(personas)} shown; {now:%Y-%m-%d %H:%M} UTC on this clock.")
    _aging(known, log, shown, arrivals)


def _aging(known: Estimates, log: Log, shown: pd.DataFrame, arrivals: pd.DataFrame | None) -> None:
    times = known.stage_times(log)
    if arrivals is None or times is None:
        return
    names = shown[["persona_id", "creator_name"]]
    still = arrivals.merge(names.assign(creator_name=names["creator_name"].fillna("")))
    if not still.empty:
        st.altair_chart(charts.aging(still, times.summary), key="tracker_aging")


def _order(statuses: pd.Series) -> list[str]:
    known = [status.value for status in ProcessStatus]
    return known + sorted(set(statuses) - set(known))


def _counts(personas: pd.DataFrame) -> None:
    status = personas["status"]
    ended = {
        "done": status == "done",
        "failed": status == "failed",
        "rejected": status == "rejected",
    }
    running_now = ~(ended["done"] | ended["failed"] | ended["rejected"])
    with st.container(horizontal=True):
        st.metric("In progress", int(running_now.sum()), width=110)
        for name, which in ended.items():
            st.metric(stage_name(name), int(which.sum()), width=110)


@st.fragment(run_every=REFRESH_S)
def _details() -> None:
    session = running.get().session
    personas = session.store.personas()
    if personas.empty:
        return
    named = personas.set_index("persona_id")
    _follow_link(named)
    persona_id = st.selectbox(
        "Details of",
        list(named.index),
        format_func=lambda one: _title(named, one),
        key="tracker_persona",
        on_change=_link_to_chosen,
    )
    if persona_id in named.index:
        _one(session, named.loc[persona_id], str(persona_id), session.clock.now())


# By hand: a widget that is bound to the URL writes there what it shows, and names are not unique.
def _follow_link(named: pd.DataFrame) -> None:
    asked = st.query_params.get(LINKED)
    if asked is None:
        return
    running.get().outbox.followed(asked)
    if asked not in named.index:
        st.warning(
            f"This account has no avatar {plain(asked)}; choose one.", icon=":material/help:"
        )
    elif (
        # Away from this page the choice is forgotten, and the link is not.
        "tracker_persona" not in st.session_state or st.session_state.get("tracker_linked") != asked
    ):
        st.session_state["tracker_linked"] = st.session_state["tracker_persona"] = asked


def _link_to_chosen() -> None:
    chosen = st.session_state["tracker_persona"]
    st.session_state["tracker_linked"] = st.query_params[LINKED] = chosen


def _title(named: pd.DataFrame, persona_id: str) -> str:
    # Without the status: a label that changed under an open list would lose the choice.
    name = named["creator_name"].get(persona_id, "")
    return f"{name} · {persona_id[:8]}" if name else persona_id


def _one(session: Session, row: pd.Series, persona_id: str, now: datetime) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader(plain(row["creator_name"]), anchor=False, width="content")
        st.badge(plain(stage_name(row["status"])), color=COLORS.get(row["status"], "blue"))
        if row["is_active"] is not pd.NA and row["is_active"]:
            st.badge("Active", color="green", icon=":material/check:")
    if row["gone"]:
        st.warning(
            "The API knows this avatar no more; its history is kept.", icon=":material/help:"
        )
        if st.button("Look again", key=f"tracker_again_{persona_id}"):
            session.store.make_due(persona_id, now)
            st.rerun()
    if pd.notna(row["failed_reason"]):
        st.error(plain(row["failed_reason"]), icon=":material/error:")
    if pd.notna(row["last_error"]):
        st.warning(f"Last look: {plain(row['last_error'])}", icon=":material/warning:")
    _arrival(session, persona_id)
    personas = pd.DataFrame({"persona_id": [persona_id], "created_at": [row["created_at"]]})
    sightings = session.store.sightings(persona_id)
    visits = stages.visits(sightings, now=now, personas=personas)
    st.altair_chart(charts.timeline(visits, now=now), key="tracker_timeline")
    st.dataframe(
        tables.stage_bounds(visits),
        hide_index=True,
        key="tracker_stages",
        column_config={
            "stage": "Stage",
            "state": "State",
            "took": "Took",
            "entered": "Entered (UTC)",
        },
    )
    answer = session.store.persona(persona_id)
    with st.expander("Everything the API said at the last look"):
        st.json(answer.model_dump_json(exclude_unset=True) if answer else "{}")


def _arrival(session: Session, persona_id: str) -> None:
    known = cache.of(session)
    arrivals = known.arrivals(known.log())
    if arrivals is None:
        return
    for _, one in arrivals.loc[arrivals["persona_id"] == persona_id].iterrows():
        if one["late"]:
            st.warning(
                f"Late: it has been in {stage_name(one['stage'])} for at least "
                f"{in_words(one['in_stage_h'])}, longer than 95 % of all.",
                icon=":material/schedule:",
            )
        st.markdown(_expected(one, session.clock.now()))


def _expected(one: pd.Series, now: datetime) -> str:
    """When it is ready, how sure that is, and by what."""
    chance = one["chance_done"]
    done = "" if pd.isna(chance) else f" Chance of done: **{chance:.0%}**."
    lives = "1 finished avatar" if one["n"] == 1 else f"{one['n']:,} finished avatars"
    by = one["basis"] if one["basis"] == eta.CLAIM else f"{one['basis']} ({lives})"
    span = tables.ready(one["p10_at"], one["p90_at"], now)
    if tables.already(one["p10_at"], now):
        ready = f"It **{span}** (UTC) in 9 of 10 cases"
    else:
        ready = f"Ready **{span}** (UTC) in 8 of 10 cases"
    median = f"{one['p50_at']:%Y-%m-%d %H:%M}"
    return f"{ready}, half of the time by {median}.{done} Basis: {by}."
