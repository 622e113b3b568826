"""Show the Stage times page: how long stages take, how avatars end, how many are in flight."""

from __future__ import annotations

import math
from datetime import tzinfo
from functools import partial
from typing import NamedTuple, cast

import pandas as pd
import streamlit as st
from streamlit.column_config import NumberColumn, TextColumn

from avatarkit.estimates import backtest
from avatarkit.history import flow
from avatarkit.reports import charts, tables
from avatarkit.text import stage_name, zone_name
from avatarkit.ui import cache, charts_cache, log_filter, running
from avatarkit.ui.cache import Log
from avatarkit.ui.charts_cache import Spec, finish
from avatarkit.ui.elements import csv_downloads, when_ready
from avatarkit.ui.log_filter import ChosenLog, LogFilter

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
    "p10": TextColumn("p10", help="One in ten takes no longer.", width=85),
    "p25": TextColumn("p25", help="A quarter takes no longer.", width=85),
    "p50": TextColumn("p50", help="Half take no longer: the median.", width=85),
    "p75": TextColumn("p75", help="Three quarters take no longer.", width=85),
    "p90": TextColumn("p90", help="Nine in ten take no longer.", width=85),
    "p50_interval": TextColumn(
        "p50, 95 % sure",
        help="The median lies in here, as far as chance goes: 95 of 100 such ranges do.",
    ),
    "n": NumberColumn("n", help="Visits of this stage that count.", width=60, format="localized"),
    "finished": NumberColumn("Finished", width=80, format="localized"),
    "running": NumberColumn("Running", width=80, format="localized"),
    "never_seen": NumberColumn(
        "Never seen", help="Passed between polls.", width=90, format="localized"
    ),
    "note": TextColumn("Note", width="large"),
}


def show() -> None:
    """Show the page."""
    estimates = running.get().estimates
    personas = estimates.log().personas
    if personas.empty:
        st.info("No stage times yet. Submit an avatar first.", icon=":material/inbox:")
        return
    chosen = log_filter.choose(personas, "times")
    when_ready(log_filter.chosen_log(chosen, estimates), partial(_tabs, len(personas)))
    csv_downloads(
        running.get().session,
        {
            "stage times": partial(_visits, chosen),
            "percentiles": partial(_percentiles, chosen),
            "arrivals": partial(_arrivals, chosen),
        },
    )
    with st.expander("How to read this"):
        st.markdown(HOW_TO_READ)


def _tabs(total: int, part: ChosenLog) -> None:
    if part.log.personas.empty:
        st.info("No avatar with these labels was submitted then.", icon=":material/search_off:")
        return
    # In a container, so that the tabs stay in their place; see `main`.
    with st.container():
        if not part.chosen.is_empty:
            st.caption(f"{len(part.log.personas):,} of {total:,} avatars.")
    contents = {
        "Stages": _stages,
        "Ends": _ends,
        "In flight": _in_flight,
        "Waiting times": _waiting,
    }
    tabs = st.tabs(list(contents), key="times_tab", bind="query-params")
    for tab, show_tab in zip(tabs, contents.values(), strict=True):
        # Only the tab that is open is computed and sent.
        if tab.open:
            with tab:
                show_tab(part)


def _visits(chosen: LogFilter) -> pd.DataFrame:
    return chosen(running.get().estimates.log()).visits


def _percentiles(chosen: LogFilter) -> pd.DataFrame:
    estimates = running.get().estimates
    part = ChosenLog(chosen(estimates.log()), chosen, estimates)
    return cast(Percentiles, part.ask(_sure_medians, wait_s=math.inf)).summary


def _arrivals(chosen: LogFilter) -> pd.DataFrame:
    estimates = running.get().estimates
    log = estimates.log()
    arrivals = cast(pd.DataFrame, estimates.arrivals(log, wait_s=math.inf))
    ids = chosen(log).personas["persona_id"]
    return arrivals.loc[arrivals["persona_id"].isin(ids)]


class Percentiles(NamedTuple):
    """The percentiles of each stage, and their chart."""

    summary: pd.DataFrame
    chart: Spec


def _medians(log: Log, _: tzinfo) -> Percentiles:
    summary = log.stage_times().summary
    return Percentiles(summary, finish(charts.stage_times(summary, log.visits)))


def _sure_medians(log: Log, _: tzinfo) -> Percentiles:
    summary = log.median_intervals()
    return Percentiles(summary, finish(charts.stage_times(summary, log.visits)))


def _stages(part: ChosenLog) -> None:
    place = st.empty()
    percentiles = part.ask(_medians)
    if st.toggle("Show how sure the medians are", key="stage_times_sure"):
        sure = part.ask(_sure_medians)
        percentiles = percentiles if sure is None else sure
        when_ready(sure, lambda _: None)
    with place.container():
        when_ready(percentiles, _percentiles_table)
    if coverage := part.ask(_coverage):
        st.caption(coverage)
    if st.toggle("Show the fit beside what was counted", key="stage_times_check"):
        when_ready(part.ask(_fits), _survival)


def _percentiles_table(percentiles: Percentiles) -> None:
    charts_cache.show(percentiles.chart, "stage_times_chart")
    st.dataframe(
        tables.summary(percentiles.summary),
        hide_index=True,
        key="stage_times_table",
        column_config=COLUMNS,
    )


def _coverage(log: Log, _: tzinfo) -> str:
    return log.coverage()


class Fit(NamedTuple):
    """The survival curves of a stage."""

    chart: Spec
    is_counted: bool


def _fits(log: Log, _: tzinfo) -> dict[str, Fit]:
    return {
        str(stage): Fit(finish(charts.survival(rows)), "nonparametric" in set(rows["curve"]))
        for stage, rows in log.survival().groupby("stage", sort=False)
    }


def _survival(fits: dict[str, Fit]) -> None:
    if not fits:
        st.caption("No stage has a fit yet.")
        return
    stage = st.selectbox("Stage", list(fits), format_func=stage_name, key="stage_times_check_stage")
    charts_cache.show(fits[stage].chart, "stage_times_check_chart")
    if not fits[stage].is_counted:
        st.caption(
            "The polls were too far apart to count this stage without a fit: its times are not "
            "known to a fifth."
        )


def _outcomes(log: Log, _: tzinfo) -> tuple[Spec, pd.DataFrame]:
    incidence, counts = log.outcomes()
    return finish(charts.outcomes(incidence)), counts


def _ends(part: ChosenLog) -> None:
    when_ready(part.ask(_outcomes), _incidence)


def _incidence(outcomes: tuple[Spec, pd.DataFrame]) -> None:
    chart, counts = outcomes
    if not counts["ended"].any():
        st.info("No avatar has ended yet.", icon=":material/hourglass_empty:")
        return
    charts_cache.show(chart, "stage_times_outcomes")
    ended = ", ".join(
        f"{count:,} {outcome}" for outcome, count in counts[["outcome", "ended"]].to_numpy()
    )
    st.caption(
        f"Shares of all {counts['n'].iloc[0]:,} avatars that were followed from their submission "
        f"on or found on their way, {counts['running'].iloc[0]:,} still running: {ended}."
    )


def _flow(log: Log, zone: tzinfo) -> Spec:
    days = flow.cumulative(log.sightings, now=log.now, personas=log.personas, zone=zone)
    return finish(charts.cumulative_flow(days, zone=zone_name(log.now, zone)))


def _in_flight(part: ChosenLog) -> None:
    when_ready(part.ask(_flow), lambda chart: charts_cache.show(chart, "stage_times_flow"))
    st.caption(
        "At the end of each day, and today so far: in the status that was last seen by then."
    )


def _waits(log: Log, zone: tzinfo) -> Spec:
    return finish(charts.waiting(*log.waiting_times(), zone=zone))


def _waiting(part: ChosenLog) -> None:
    when_ready(part.ask(_waits), lambda chart: charts_cache.show(chart, "stage_times_waiting"))
    st.caption("From submission to the end, whichever it is; who is still running counts as such.")
    st.markdown("**Did the arrival ranges keep their word?**")
    estimates = part.estimates
    # It takes the longest, and the downloads stand below it.
    replay = estimates.get(Log.replay, estimates.log(), wait_s=cache.REFRESH_WAIT_S)
    when_ready(replay, partial(_calibration, part.log.personas["persona_id"]))


def _calibration(ids: pd.Series[str], replay: pd.DataFrame) -> None:
    # The ranges that the app gives rest on all avatars, also those that are not chosen.
    judged = replay.loc[replay["persona_id"].isin(ids)]
    text = backtest.sentence(judged)
    if backtest.is_too_narrow(judged):
        st.warning(text, icon=":material/warning:")
    else:
        st.markdown(text)
