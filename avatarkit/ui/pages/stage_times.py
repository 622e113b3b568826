"""The Stage times page: how long stages take, how avatars end, how much is on its way."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from avatarkit import flow
from avatarkit.history import stages
from avatarkit.reports import charts, export, tables
from avatarkit.session import Session
from avatarkit.text import stage_name
from avatarkit.ui import cache, running
from avatarkit.ui.cache import Estimates, Log

REFRESH_S = 5
STAGES, ENDS, FLOW, WAITING = "Stages", "Ends", "In flight", "Waiting times"
SOON = "Still working it out …"


def show() -> None:
    """The page."""
    session = running.get().session
    _live()
    with st.container(horizontal=True):
        st.download_button(
            "Download stage times (CSV)",
            lambda: export.to_csv(_visits(session)),
            file_name="avatarkit-stage-times.csv",
            mime="text/csv",
            on_click="ignore",
            icon=":material/download:",
            key="stage_times_csv",
        )
    with st.expander("How to read this"):
        st.markdown(HOW_TO_READ)


HOW_TO_READ = """
- The API tells a status only when it is asked. A change lies somewhere between two looks, so each
  stage time is known **to a range**, not to a number.
- Avatars that are **still running** count too: they have taken at least as long as they have been
  seen. Leaving them out would make every stage look shorter than it is.
- A stage that passed between two looks was **never seen**: it took no longer than the gap.
- The bars come from the distribution under which all those ranges are likeliest. The **fit beside
  what was counted** shows whether that can be trusted; where the two part, the note says so.
- p50 is the time that half of the avatars need at most, p90 the time for nine of ten.
- Where there is too little to say, the table says so instead of guessing.
- **Ends** are shares of all avatars, those that are still running among them, not of those that
  have ended: what ends early has often failed.
- The vendor's own words: "up to 2 to 5 days"; a newer page says 1 to 2 days, and reviews within
  24 hours.
"""


def _visits(session: Session) -> pd.DataFrame:
    store = session.store
    return stages.visits(store.sightings(), now=session.clock.now(), personas=store.personas())


@st.fragment(run_every=REFRESH_S)
def _live() -> None:
    known = cache.of(running.get().session)
    log = known.log()
    if log.personas.empty:
        st.info("No stage times yet. Submit an avatar first.", icon=":material/inbox:")
        return
    by_stage, ends, in_flight, waiting = st.tabs(
        [STAGES, ENDS, FLOW, WAITING], key="stage_times_question", on_change="rerun"
    )
    # Only what is looked at is worked out and sent.
    if by_stage.open:
        with by_stage:
            _by_stage(known, log)
    if ends.open:
        with ends:
            _ends(known, log)
    if in_flight.open:
        with in_flight:
            _in_flight(log)
    if waiting.open:
        with waiting:
            _waiting(known, log)


def _by_stage(known: Estimates, log: Log) -> None:
    times = known.stage_times(log)
    if times is None:
        st.caption(SOON)
        return
    summary, sure = times.summary, None
    drawn = st.empty()
    if st.toggle("Show how sure the medians are", key="stage_times_sure"):
        sure = known.sure(log)
        if sure is None:
            st.caption(SOON)
        else:
            summary = sure
    drawn.altair_chart(charts.stage_times(summary, log.visits), key="stage_times_chart")
    st.dataframe(
        tables.summary(summary),
        hide_index=True,
        key="stage_times_table",
        column_config={
            "stage": st.column_config.TextColumn("Stage", pinned=True),
            "p10": st.column_config.TextColumn("p10", help="One in ten takes no longer."),
            "p25": st.column_config.TextColumn("p25", help="A quarter takes no longer."),
            "p50": st.column_config.TextColumn("p50", help="Half take no longer: the median."),
            "p75": st.column_config.TextColumn("p75", help="Three quarters take no longer."),
            "p90": st.column_config.TextColumn("p90", help="Nine in ten take no longer."),
            "p50_interval": st.column_config.TextColumn(
                "p50, 95 % sure",
                help="The median lies in here, as far as chance goes: 95 of 100 such ranges do.",
            ),
            "n": st.column_config.NumberColumn(
                "n", help="Visits of this stage that count.", width=60
            ),
            "finished": st.column_config.NumberColumn("Finished", width=80),
            "running": st.column_config.NumberColumn("Running", width=80),
            "never_seen": st.column_config.NumberColumn(
                "Never seen", help="Passed between looks.", width=90
            ),
            "note": st.column_config.TextColumn("Note", width="large"),
        },
    )
    if certain := known.certain(log):
        st.caption(certain)
    if st.toggle("Show the fit beside what was counted", key="stage_times_check"):
        _check(known, log)


def _check(known: Estimates, log: Log) -> None:
    curves = known.curves(log)
    if curves is None:
        st.caption(SOON)
        return
    if curves.empty:
        st.caption("No stage has a fit yet.")
        return
    stage = st.selectbox(
        "Stage",
        list(curves["stage"].unique()),
        format_func=stage_name,
        key="stage_times_check_stage",
    )
    shown = curves.loc[curves["stage"] == stage]
    st.altair_chart(charts.survival(shown), key="stage_times_check_chart")
    if "nonparametric" not in set(shown["curve"]):
        st.caption(
            "The looks were too far apart to count this stage without a fit: its times are not "
            "known to a fifth."
        )


def _ends(known: Estimates, log: Log) -> None:
    ends = known.ends(log)
    if ends is None:
        st.caption(SOON)
        return
    counts = ends.chances
    if not counts["ended"].any():
        st.info("No avatar has ended yet.", icon=":material/hourglass_empty:")
        return
    st.altair_chart(charts.outcomes(ends.incidence), key="stage_times_outcomes")
    ended = ", ".join(
        f"{count:,} {outcome}" for outcome, count in counts[["outcome", "ended"]].to_numpy()
    )
    st.caption(
        f"Shares of all {counts['n'].iloc[0]:,} avatars that were followed from their submission "
        f"on or found on their way, {counts['running'].iloc[0]:,} still running: {ended}."
    )


def _in_flight(log: Log) -> None:
    days = flow.cumulative(log.sightings, now=log.now, personas=log.personas)
    st.altair_chart(charts.cumulative_flow(days), key="stage_times_flow")
    st.caption(
        "At the end of each day, and today so far: in the status that was last seen by then."
    )


def _waiting(known: Estimates, log: Log) -> None:
    ends = known.ends(log)
    if ends is None:
        st.caption(SOON)
        return
    st.altair_chart(charts.waiting(ends.totals, ends.percentiles), key="stage_times_waiting")
    st.caption("From submission to the end, whichever it is; who is still running counts as such.")
    st.markdown("**Did the arrival ranges keep their word?**")
    st.markdown(known.kept_word(log) or SOON)
