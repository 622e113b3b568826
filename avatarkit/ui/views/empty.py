"""Show what to begin with when there are no avatars yet."""

from __future__ import annotations

import streamlit as st


def show() -> None:
    """Show that there are no avatars."""
    st.info("No avatars yet. Submit one, and it shows up here.", icon=":material/inbox:")
