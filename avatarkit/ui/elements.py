"""Show the elements that several pages share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TypeVar

import pandas as pd
import streamlit as st
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.scriptrunner import get_script_run_ctx

from avatarkit.reports import export
from avatarkit.session import Session
from avatarkit.text import plain

FOR_SPREADSHEETS = "csv_for_spreadsheets"
"""The key of the choice how tables are written."""

WRAPPED = 24
"""How many options may take several rows."""

Value = TypeVar("Value")


def choose_several(
    label: str, options: Sequence[str], key: str, format_func: Callable[[str], str] = str
) -> list[str]:
    """Show options of which several can be chosen; the URL holds which.

    The chosen ones of ``st.multiselect`` are white on the theme's colour, which is too pale to read
    in dark.

    Args:
        label: The label above them.
        options: The options; many are one row that scrolls.
        key: The key, which is that of the query parameter, too.
        format_func: Returns what is written for an option.

    Returns:
        The chosen options.
    """
    return st.pills(
        label,
        options,
        selection_mode="multi",
        format_func=format_func,
        key=key,
        bind="query-params",
        wrap=len(options) <= WRAPPED,
    )


@st.fragment
def csv_downloads(session: Session, frames: dict[str, Callable[[], pd.DataFrame]]) -> None:
    """Show a button for each frame that downloads it as CSV, and a choice how it is written.

    Args:
        session: The session, from whose log a spreadsheet gets the names and ends.
        frames: What each frame holds, such as "stage times", which is part of its button and file
            name, and a function that returns it, called when the button is clicked.
    """
    for_spreadsheets = st.session_state.get(FOR_SPREADSHEETS, False)
    # The label tells what a click brings, also while the page has not caught up with the choice.
    form = "for spreadsheets" if for_spreadsheets else "CSV"
    with st.container(horizontal=True, vertical_alignment="center"):
        for name, read in frames.items():
            st.download_button(
                f"Download {name} ({form})",
                partial(csv_text, session, read, for_spreadsheets),
                file_name=f"avatarkit-{name.replace(' ', '-')}.csv",
                mime="text/csv",
                on_click="ignore",
                icon=":material/download:",
            )
        st.checkbox(
            "For spreadsheets",
            key=FOR_SPREADSHEETS,
            help="For Excel and the like: moments as they read them, and the name and end of each "
            "avatar. Without it: as programs read it, to the last digit.",
        )


def csv_text(session: Session, read: Callable[[], pd.DataFrame], for_spreadsheets: bool) -> str:
    """Return a frame as CSV.

    Args:
        session: The session, from whose log a spreadsheet gets the names and ends.
        read: Returns the frame.
        for_spreadsheets: Write what a person opens in a spreadsheet, not what a program reads.
    """
    frame, store = read(), session.store
    if for_spreadsheets:
        now = session.clock.now()
        frame = export.add_personas(frame, store.personas(), store.sightings(), now=now)
    return export.to_csv(frame, for_spreadsheets=for_spreadsheets)


def statuses_of(session: Session, ids: set[str]) -> pd.DataFrame:
    """Return the rows of ``store.personas`` with these ids."""
    personas = session.store.personas()
    return personas.loc[personas["persona_id"].isin(ids)]


def free_uploads(file_ids: Iterable[str]) -> None:
    """Free uploads in the server's memory, which Streamlit keeps for as long as the tab lives."""
    context = get_script_run_ctx()
    if context is not None and isinstance(context.uploaded_file_mgr, MemoryUploadedFileManager):
        for file_id in file_ids:
            context.uploaded_file_mgr.remove_file(context.session_id, file_id)


def when_ready(value: Value | None, show: Callable[[Value], object]) -> None:
    """Show an estimate, or that it is still being computed."""
    if value is None:
        st.caption("Still working it out …")
    else:
        show(value)


def short(name: str, longest: int = 30) -> str:
    """Return the beginning of a name, as plain text for a place where one line is free."""
    return plain(name if len(name) <= longest else f"{name[: longest - 1]}…")


def note(text: str) -> None:
    """Show what a field is for, in small letters under it."""
    st.markdown(f":small[:gray[{plain(text)}]]")


def fault(text: str) -> None:
    """Show what is wrong with a field, in small letters under it."""
    # Not a caption, which is faded: red would be too pale to read. As high as a note is.
    st.markdown(f":small[:red[:material/error: {plain(text)}]]")
