"""Show charts."""

from __future__ import annotations

from collections.abc import Callable

import altair as alt
import streamlit as st


def draw(key: str, build: Callable[..., alt.LayerChart], *args: object, **options: object) -> None:
    """Show a chart."""
    st.altair_chart(build(*args, **options), key=key)
