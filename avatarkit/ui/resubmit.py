"""Submit avatars again."""

from __future__ import annotations

import streamlit as st


def submit_again(persona_ids: list[str]) -> None:
    """Fill the form, or ask before several are sent."""
    st.session_state["resubmit_asking"] = list(persona_ids)


def show() -> None:
    """Show the question that is open in this tab, if there is one."""
