"""The elements that several pages show."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import pandas as pd
import streamlit as st

from avatarkit.reports import export

Value = TypeVar("Value")


def csv_download(label: str, read: Callable[[], pd.DataFrame], *, file_name: str, key: str) -> None:
    """Show a button that downloads the frame of ``read``, which is called when it is clicked."""
    with st.container(horizontal=True):
        st.download_button(
            label,
            lambda: export.to_csv(read()),
            file_name=file_name,
            mime="text/csv",
            on_click="ignore",
            icon=":material/download:",
            key=key,
        )


def when_ready(value: Value | None, show: Callable[[Value], object]) -> None:
    """Show an estimate, or that it is still being computed."""
    if value is None:
        st.caption("Still working it out …")
    else:
        show(value)
