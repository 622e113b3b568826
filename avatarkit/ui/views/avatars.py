"""Show the Avatars page: what needs attention first, one table, and the details of one avatar."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import pandas as pd
import streamlit as st
from streamlit.column_config import DatetimeColumn, NumberColumn, TextColumn
from streamlit.elements.lib.column_types import ColumnConfig

from avatarkit.errors import StoreError
from avatarkit.reports import charts, tables
from avatarkit.ui import cache, charts_cache, moments, running, visits
from avatarkit.ui.browser import browser_id
from avatarkit.ui.cache import Log
from avatarkit.ui.elements import csv_downloads, short, statuses_of
from avatarkit.ui.views import bar, details, empty, filters, selection, uncertain
from avatarkit.ui.views.filters import LINKED as LINKED

HOW_TO_USE = (
    "Click a row for its details; check boxes to choose several. Keyboard: Tab to the table, arrow "
    "keys to a row, Shift and Space for its box."
)
ROW_PX, SHOWN_ROWS = 35, 14
SCROLLBAR_PX = 18
"""Height for the bar below the rows, which would else take the clicks on the last one."""
NEEDS, CHANGED = "▲", "●"
"""The marks of rows: what needs attention, and what changed since the last visit."""

NAMED = 3
"""How many late avatars are named."""


@dataclass(frozen=True)
class _Rows:
    """The frame of ``tables.avatars``, and what it was made of."""

    log: Log
    arrivals: pd.DataFrame | None
    frame: pd.DataFrame


# For all tabs; made again when the log or the arrivals are others.
_newest: _Rows | None = None


def show() -> None:
    """Show the page."""
    # In containers, so that what comes and goes above the controls does not move them; see `main`.
    with st.container():
        uncertain.show()
    session, estimates = running.get().session, running.get().estimates
    log = estimates.log()
    if log.personas.empty:
        empty.show()
        return
    chosen = selection.of_tab()
    chosen.read()
    arrivals = estimates.arrivals(log)
    rows = _rows(log, arrivals)
    counts = st.container()
    filters.controls(rows)
    with counts:
        filters.counts(rows, len(session.store.open_submissions()))
        _next_ones()
    shown = filters.chosen(rows)
    shown_ids = shown["persona_id"].tolist()
    chosen.place(shown_ids)
    opened = chosen.opened
    ids = chosen.checked or ([opened] if opened in set(rows["persona_id"]) else [])
    names = dict(zip(rows["persona_id"], rows["creator_name"], strict=True))
    followed = log.personas["followed"].to_numpy(dtype=bool)
    bar.show(ids, names, set(log.personas.loc[followed, "persona_id"]))
    _shown(len(shown), len(rows), has_details=bool(opened))
    # The table is the first column in both cases, so that the browser keeps it as it is.
    left, *right = st.columns([3, 2] if opened else 1)
    with left:
        _table(shown)
        chosen.drew(shown_ids)
        st.caption(HOW_TO_USE)
        csv_downloads(session, {"statuses": partial(statuses_of, session, set(shown_ids))})
    if opened:
        with right[0]:
            _details(opened)
    times = estimates.get(Log.stage_times, log, wait_s=cache.REFRESH_WAIT_S)
    if arrivals is not None and times is not None and not arrivals.empty:
        names_of = log.personas[["persona_id", "creator_name"]].fillna({"creator_name": ""})
        in_flight = arrivals[["persona_id", "stage", "in_stage_h", "late"]].merge(names_of)
        # Beside the details, which are longer than the table.
        with left:
            charts_cache.draw("avatars_aging", charts.aging, in_flight, times.summary)


def _rows(log: Log, arrivals: pd.DataFrame | None) -> pd.DataFrame:
    """Return the frame of ``tables.avatars``, made once for all tabs."""
    global _newest
    newest = _newest
    if newest is None or newest.log is not log or newest.arrivals is not arrivals:
        needs = running.get().estimates.needs(log)
        frame = tables.avatars(log.personas, log.sightings, needs, arrivals)
        _newest = newest = _Rows(log, arrivals, frame)
    return newest.frame


def _shown(count: int, total: int, *, has_details: bool) -> None:
    """Say how many rows the table shows, and lead to the details, far below it on a phone."""
    zone = moments.zone_name(running.get().session.clock.now())
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if has_details:
            # No caption, in which the colour of links is too pale to read.
            st.markdown(f"[To the details](#{details.ANCHOR})", width="content")
        # Short, as the table's own buttons lie on the end of what is right above it.
        st.caption(f"{count:,} of {total:,} shown. Times in {zone}.", width="content")


def _table(shown: pd.DataFrame) -> None:
    changed = shown["persona_id"].isin(visits.changed_ids())
    needs = (shown["kind"] != "").map({True: NEEDS, False: ""})
    marks = (needs + changed.map({True: CHANGED, False: ""})).rename(selection.MARK)
    columns = _columns()
    st.dataframe(
        pd.concat([marks, shown], axis=1)[list(columns)],
        hide_index=True,
        key=selection.TABLE,
        column_config=columns,
        on_select="rerun",
        selection_mode=["multi-row", "single-cell"],
        height=ROW_PX * (min(max(len(shown), 3), SHOWN_ROWS) + 1) + SCROLLBAR_PX,
        placeholder="",
        alt="Avatars",
    )


def _columns() -> dict[str, ColumnConfig]:
    zone = str(moments.zone())

    # The first four fit a phone, those up to "Created" a window of 1,280 px.
    def moment(
        label: str, help_text: str, width: int = 125, day: str = "ddd D MMM"
    ) -> ColumnConfig:
        return DatetimeColumn(
            label, format=f"{day}, HH:mm", timezone=zone, help=help_text, width=width
        )

    marks = f"{NEEDS} it needs attention, {CHANGED} its status changed since your last visit."
    return {
        selection.MARK: TextColumn("", pinned=True, help=marks, width=24),
        "creator_name": TextColumn("Name", pinned=True, width=105),
        "status": TextColumn("Status", width=103),
        "ready_to": moment("Ready by", "In 9 of 10 cases it has ended by then.", 95, "D MMM"),
        "ready_from": moment(
            "Not before", "In 9 of 10 cases it has not ended by then.", 95, "D MMM"
        ),
        "reason": TextColumn("Reason", width=270),
        "since": moment("In this status since", "When it was first seen in it.", 145),
        "created_at": moment("Created", "When it was created."),
        "took_h": NumberColumn(
            "Took", format="%.1f h", help="Hours from the create to its end.", width=80
        ),
        "labels": TextColumn("Labels", width=140),
        "persona_id": TextColumn("Id", width=290),
    }


@st.fragment(run_every=60)
def _next_ones() -> None:
    """Say in a sentence who is next and when, and which are late."""
    session, estimates = running.get().session, running.get().estimates
    log = estimates.log()
    arrivals = estimates.arrivals(log)
    if arrivals is None or arrivals.empty:
        return
    names = log.personas.set_index("persona_id")["creator_name"]
    late, now = arrivals["late"].to_numpy(dtype=bool), session.clock.now()
    sentences = []
    coming = arrivals.loc[~late & (arrivals["p50_at"] > now).to_numpy()]
    if not coming.empty:
        following = coming.sort_values("p50_at").iloc[0]
        when = moments.full(following["p50_at"].to_pydatetime(), now)
        name = _name(names, following["persona_id"])
        sentences.append(f"Next is {name}, in 5 of 10 cases by {when}.")
    if late.any():
        ids = arrivals.loc[late, "persona_id"].tolist()
        listed = ", ".join(_name(names, persona_id) for persona_id in ids[:NAMED])
        more = f" and {len(ids) - NAMED:,} more" if len(ids) > NAMED else ""
        sentences.append(f"Late: {listed}{more}.")
    if sentences:
        st.markdown(" ".join(sentences))


def _name(names: pd.Series[str], persona_id: str) -> str:
    name = names.get(persona_id, "")
    return short(persona_id if pd.isna(name) or not name else name)


def _details(persona_id: str) -> None:
    session, outbox = running.get().session, running.get().outbox
    if st.session_state.get("avatars_hastened") != persona_id:
        st.session_state["avatars_hastened"] = persona_id
        with suppress(StoreError):
            session.tracker.hasten(persona_id)
        outbox.dismiss_persona(persona_id, browser_id())
    st.button(
        "Close",
        key="avatars_close",
        type="tertiary",
        icon=":material/close:",
        on_click=selection.close_details,
    )
    details.show(session, persona_id)
