"""Show the controls that choose and sort the avatars of the table; the URL holds what they say.

The widgets are bound to the URL by Streamlit, so that a link shows the same, a reload keeps it, and
what is no option does no harm. The key of each is its query parameter.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from functools import reduce
from typing import Any

import pandas as pd
import streamlit as st

from avatarkit.models import ProcessStatus
from avatarkit.text import stage_name
from avatarkit.ui import moments
from avatarkit.ui.elements import choose_several

LINKED = "persona"
"""The query parameter with the id of the persona whose details are shown."""

COUNTS = "avatars_counts"
"""The key of the four counts, of which one is chosen."""

SHOWN = ("All", "In progress", "Needs attention", "Done")
ALL, IN_PROGRESS, NEEDS_ATTENTION, DONE = SHOWN
SORTS = {
    "Needs attention first": ["rank", "last"],
    "Newest first": ["newest"],
    "Name": ["name"],
    "Ready first": ["ready_to"],
    "Longest in its stage": ["in_stage_since"],
}
SHORTEST_OF_ID = 4
"""How many characters of an id a search has to name at least."""
FIRST_DAY, LAST_DAY = date(2000, 1, 1), date(2199, 12, 31)
NOTHING_CHOSEN: dict[str, Any] = {"q": "", "status": [], "label": [], "since": None, "until": None}


def counts(rows: pd.DataFrame, uncertain: int) -> None:
    """Show how many avatars there are of each kind; one of them is what the table shows.

    The URL holds the choice by a widget of ``controls``: bound to this one it would hold the label
    with its number, and a link would not work any more once that has changed.

    Args:
        rows: The frame of ``tables.avatars``.
        uncertain: The number of uncertain submissions, which need attention, too.
    """
    numbers = {name: int(_is_shown(rows, name).sum()) for name in SHOWN}
    numbers[NEEDS_ATTENTION] += uncertain
    if st.session_state.get(COUNTS) != st.session_state["show"]:
        st.session_state[COUNTS] = st.session_state["show"]
    st.segmented_control(
        "Show",
        SHOWN,
        format_func=lambda name: f"{name} **{numbers[name]:,}**",
        required=True,
        key=COUNTS,
        on_change=_show_count,
        label_visibility="collapsed",
    )


def controls(rows: pd.DataFrame) -> None:
    """Show the search, the order, and the filters by status, label and date."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.text_input(
            "Search",
            key="q",
            bind="query-params",
            placeholder="Name, id, label or reason",
            icon=":material/search:",
            max_chars=200,
            label_visibility="collapsed",
            width=330,
        )
        st.selectbox(
            "Sort by",
            list(SORTS),
            key="sort",
            bind="query-params",
            label_visibility="collapsed",
            width=220,
        )
        with st.popover("Filters", icon=":material/filter_list:"):
            _filters(rows)
        if any(st.session_state[key] != value for key, value in NOTHING_CHOSEN.items()):
            st.button("Show all", key="avatars_show_all", type="tertiary", on_click=_show_all)


def chosen(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that the controls choose, in the order that they say.

    Args:
        rows: The frame of ``tables.avatars``.

    Returns:
        Rows of the same columns, with a new index.
    """
    state = st.session_state
    matches = _is_shown(rows, state["show"])
    if state["q"].strip():
        texts, ids = _texts(rows), rows["persona_id"].str.casefold()
        for word in state["q"].casefold().split():
            found = texts.str.contains(word, regex=False)
            # A short one is in most ids.
            matches &= found | (ids.str.contains(word, regex=False) & (len(word) >= SHORTEST_OF_ID))
    if state["status"]:
        matches = matches & (rows["raw_status"].isin(state["status"]))
    if state["label"]:
        wanted = set(state["label"])
        matches = matches & (rows["label_list"].map(lambda labels: not wanted.isdisjoint(labels)))
    if state["since"] is not None:
        matches = matches & (rows["created_at"] >= _midnight(state["since"]))
    if state["until"] is not None:
        matches = matches & (rows["created_at"] < _midnight(state["until"] + timedelta(days=1)))
    order = _order(rows.loc[matches]).sort_values(SORTS[state["sort"]], kind="stable")
    return rows.loc[order.index].reset_index(drop=True)


def _filters(rows: pd.DataFrame) -> None:
    # What is chosen stays an option even if no avatar has it now.
    state = st.session_state
    documented = [status.value for status in ProcessStatus]
    other = {*rows["raw_status"], *state.get("status", [])} - set(documented)
    labels = {label for labels in rows["label_list"] for label in labels}
    st.selectbox("Show", SHOWN, key="show", bind="query-params")
    choose_several("Status", documented + sorted(other), "status", stage_name)
    choose_several("Label", sorted(labels | set(state.get("label", []))), "label")
    days: dict[str, Any] = {"value": None, "min_value": FIRST_DAY, "max_value": LAST_DAY}
    days |= {"format": "YYYY-MM-DD", "bind": "query-params"}
    st.date_input("Created from", key="since", **days)
    st.date_input("Created until", key="until", **days)
    st.text_input(
        "Details of the id",
        key=LINKED,
        bind="query-params",
        max_chars=200,
        help="Opens the details of the avatar with this id, also if it is not in the table.",
    )


def _show_count() -> None:
    st.session_state["show"] = st.session_state[COUNTS]


def _show_all() -> None:
    for key, value in NOTHING_CHOSEN.items():
        st.session_state[key] = value


def _is_shown(rows: pd.DataFrame, name: str) -> pd.Series[bool]:
    if name == IN_PROGRESS:
        return rows["in_progress"]
    if name == NEEDS_ATTENTION:
        return rows["kind"] != ""
    if name == DONE:
        return rows["raw_status"] == ProcessStatus.DONE
    return pd.Series(True, index=rows.index)


def _texts(rows: pd.DataFrame) -> pd.Series[str]:
    columns = (rows[name] for name in ("creator_name", "labels", "reason"))
    return reduce(lambda before, column: before + "\n" + column, columns).str.casefold()


def _order(rows: pd.DataFrame) -> pd.DataFrame:
    """Return what the rows can be sorted by, each ascending."""
    newest = -rows["created_at"].astype("int64")
    # What needs attention, the latest change first; then what is ready first; then the newest.
    rank = (rows["kind"] == "").astype("int64") + ~(rows["in_progress"] | (rows["kind"] != ""))
    ready = rows["ready_to"].astype("int64").where(rows["ready_to"].notna(), 2**62)
    last = newest.mask(rank == 0, -rows["since"].astype("int64")).mask(rank == 1, ready)
    return pd.DataFrame(
        {
            "rank": rank,
            "last": last,
            "newest": newest,
            "name": rows["creator_name"].str.casefold(),
            "ready_to": rows["ready_to"],
            "in_stage_since": rows["since"].where(rows["in_progress"]),
        }
    )


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), moments.zone())
