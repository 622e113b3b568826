"""Show the elements that several pages share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import pandas as pd
import streamlit as st

from avatarkit.reports import export

Value = TypeVar("Value")


def csv_download(name: str, read: Callable[[], pd.DataFrame]) -> None:
    """Show a button that downloads a frame as CSV.

    Args:
        name: What the frame holds, such as "stage times"; part of the button and the file name.
        read: Returns the frame; called when the button is clicked.
    """
    with st.container(horizontal=True):
        st.download_button(
            f"Download {name} (CSV)",
            lambda: export.to_csv(read()),
            file_name=f"avatarkit-{name.replace(' ', '-')}.csv",
            mime="text/csv",
            on_click="ignore",
            icon=":material/download:",
        )


def when_ready(value: Value | None, show: Callable[[Value], object]) -> None:
    """Show an estimate, or that it is still being computed."""
    if value is None:
        st.caption("Still working it out …")
    else:
        show(value)
