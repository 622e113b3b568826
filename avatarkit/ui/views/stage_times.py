"""Show the Stage times page: how long stages take, how avatars end, how many are in flight."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, cast

import pandas as pd
import streamlit as st
from streamlit.column_config import NumberColumn, TextColumn

from avatarkit.reports import charts, tables
from avatarkit.text import stage_name
from avatarkit.ui import running
from avatarkit.ui.cache import Estimates, Log, StageTimes
from avatarkit.ui.elements import csv_downloads, when_ready

REFRESH_S = 5
HOW_TO_READ = """
- The API tells a status only when it is asked. A change lies somewhere between two polls, so each
  stage time is known **to a range**, not to a number.
- Avatars that are **still running** count too: they have taken at least as long as they have been
  seen. Leaving them out would make every stage look shorter than it is.
- A stage that passed between two polls was **never seen**: it took no longer than the gap.
- The bars come from the distribution under which all those ranges are likeliest. The **fit beside
  what was counted** shows whether that can be trusted; where the two part, the note says so.
- p50 is the time that half of the avatars need at most, p90 the time for nine of ten.
- Where there is too little to say, the table says so instead of guessing.
- **Ends** are shares of all avatars, those that are still running among them, not of those that
  have ended: what ends early has often failed.
- The vendor's own words: "up to 2 to 5 days"; a newer page says 1 to 2 days, and reviews within
  24 hours.
"""
COLUMNS = {
    "stage": TextColumn("Stage", pinned=True),
    "p10": TextColumn("p10", help="One in ten takes no longer."),
    "p25": TextColumn("p25", help="A quarter takes no longer."),
    "p50": TextColumn("p50", help="Half take no longer: the median."),
    "p75": TextColumn("p75", help="Three quarters take no longer."),
    "p90": TextColumn("p90", help="Nine in ten take no longer."),
    "p50_interval": TextColumn(
        "p50, 95 % sure",
        help="The median lies in here, as far as chance goes: 95 of 100 such ranges do.",
    ),
    "n": NumberColumn("n", help="Visits of this stage that count.", width=60),
    "finished": NumberColumn("Finished", width=80),
    "running": NumberColumn("Running", width=80),
    "never_seen": NumberColumn("Never seen", help="Passed between polls.", width=90),
    "note": TextColumn("Note", width="large"),
}


def show() -> None:
    """Show the page."""
    _tabs()
    csv_downloads(
        running.get().session,
        {"stage times": _visits, "percentiles": _percentiles, "arrivals": _arrivals},
    )
    with st.expander("How to read this"):
        st.markdown(HOW_TO_READ)


def _visits() -> pd.DataFrame:
    return running.get().estimates.log().visits


def _percentiles() -> pd.DataFrame:
    estimates = running.get().estimates
    return cast(pd.DataFrame, estimates.get(Log.median_intervals, estimates.log(), patient=True))


def _arrivals() -> pd.DataFrame:
    estimates = running.get().estimates
    return cast(pd.DataFrame, estimates.arrivals(estimates.log(), patient=True))


@st.fragment(run_every=REFRESH_S)
def _tabs() -> None:
    estimates = running.get().estimates
    log = estimates.log()
    if log.personas.empty:
        st.info("No stage times yet. Submit an avatar first.", icon=":material/inbox:")
        return
    contents: dict[str, tuple[Callable[[Log], Any], Callable[[Any], None]]] = {
        "Stages": (Log.stage_times, partial(_stages, estimates, log)),
        "Ends": (Log.outcomes, _ends),
        "In flight": (Log.in_flight, _in_flight),
        "Waiting times": (Log.waiting_times, partial(_waiting, estimates, log)),
    }
    tabs = st.tabs(list(contents), key="stage_times_question", on_change="rerun")
    for tab, (compute, show_value) in zip(tabs, contents.values(), strict=True):
        # Only the tab that is open is computed and sent.
        if tab.open:
            with tab:
                when_ready(estimates.get(compute, log), show_value)


def _stages(estimates: Estimates, log: Log, times: StageTimes) -> None:
    summary = times.summary
    chart = st.empty()
    if st.toggle("Show how sure the medians are", key="stage_times_sure"):
        intervals = estimates.get(Log.median_intervals, log)
        summary = summary if intervals is None else intervals
        when_ready(intervals, lambda _: None)
    chart.altair_chart(charts.stage_times(summary, log.visits), key="stage_times_chart")
    st.dataframe(
        tables.summary(summary), hide_index=True, key="stage_times_table", column_config=COLUMNS
    )
    if coverage := estimates.get(Log.coverage, log):
        st.caption(coverage)
    if st.toggle("Show the fit beside what was counted", key="stage_times_check"):
        when_ready(estimates.get(Log.survival, log), _survival)


def _survival(curves: pd.DataFrame) -> None:
    if curves.empty:
        st.caption("No stage has a fit yet.")
        return
    fitted = list(curves["stage"].unique())
    stage = st.selectbox("Stage", fitted, format_func=stage_name, key="stage_times_check_stage")
    curves = curves.loc[curves["stage"] == stage]
    st.altair_chart(charts.survival(curves), key="stage_times_check_chart")
    if "nonparametric" not in set(curves["curve"]):
        st.caption(
            "The polls were too far apart to count this stage without a fit: its times are not "
            "known to a fifth."
        )


def _ends(outcomes: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    incidence, counts = outcomes
    if not counts["ended"].any():
        st.info("No avatar has ended yet.", icon=":material/hourglass_empty:")
        return
    st.altair_chart(charts.outcomes(incidence), key="stage_times_outcomes")
    ended = ", ".join(
        f"{count:,} {outcome}" for outcome, count in counts[["outcome", "ended"]].to_numpy()
    )
    st.caption(
        f"Shares of all {counts['n'].iloc[0]:,} avatars that were followed from their submission "
        f"on or found on their way, {counts['running'].iloc[0]:,} still running: {ended}."
    )


def _in_flight(days: pd.DataFrame) -> None:
    st.altair_chart(charts.cumulative_flow(days), key="stage_times_flow")
    st.caption(
        "At the end of each day, and today so far: in the status that was last seen by then."
    )


def _waiting(estimates: Estimates, log: Log, times: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    st.altair_chart(charts.waiting(*times), key="stage_times_waiting")
    st.caption("From submission to the end, whichever it is; who is still running counts as such.")
    st.markdown("**Did the arrival ranges keep their word?**")
    when_ready(estimates.get(Log.calibration, log), st.markdown)
