"""The Stage times page: how long each stage takes, as far as the looks can tell."""

from __future__ import annotations

import streamlit as st

from avatarkit import charts, durations, export, stages, tables
from avatarkit.session import Session
from avatarkit.ui import running

REFRESH_S = 5


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
- p50 is the time that half of the avatars need at most, p90 the time for nine of ten.
- Where there is too little to say, the table says so instead of guessing.
- The vendor's own words: "up to 2 to 5 days"; a newer page says 1 to 2 days, and reviews within
  24 hours.
"""


def _visits(session: Session):  # type: ignore[no-untyped-def] # a frame, see stages.visits
    store = session.store
    return stages.visits(store.sightings(), now=session.clock.now(), personas=store.personas())


@st.fragment(run_every=REFRESH_S)
def _live() -> None:
    session = running.get().session
    visits = _visits(session)
    if visits.empty:
        st.info("No stage times yet. Submit an avatar first.", icon=":material/inbox:")
        return
    summary = durations.summarize(visits)
    st.altair_chart(charts.stage_times(summary, visits), key="stage_times_chart")
    st.dataframe(
        tables.summary(summary),
        hide_index=True,
        key="stage_times_table",
        column_config={
            "stage": st.column_config.TextColumn("Stage", pinned=True),
            "p10": st.column_config.TextColumn("p10", help="One in ten takes no longer."),
            "p50": st.column_config.TextColumn("p50", help="Half take no longer: the median."),
            "p90": st.column_config.TextColumn("p90", help="Nine in ten take no longer."),
            "n": st.column_config.NumberColumn("n", help="Visits of this stage.", width=50),
            "finished": st.column_config.NumberColumn("Finished", width=80),
            "running": st.column_config.NumberColumn("Running", width=80),
            "never_seen": st.column_config.NumberColumn(
                "Never seen", help="Passed between looks.", width=90
            ),
            "note": st.column_config.TextColumn("Note", width="large"),
        },
    )
