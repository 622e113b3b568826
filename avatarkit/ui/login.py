"""Let in who has logged in, if Streamlit's secrets have a section ``[auth]``."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st


def is_set_up() -> bool:
    """Return whether the pages ask who is there: the secrets have a section ``[auth]``."""
    return st.secrets.load_if_toml_exists() and bool(st.secrets.get("auth"))


def is_open() -> bool:
    """Return whether the pages are open to this tab."""
    return not is_set_up() or bool(st.user.get("is_logged_in"))


def show() -> None:
    """Show a button for each provider with which one may log in."""
    section = st.secrets["auth"]
    named = [name for name, value in section.items() if isinstance(value, Mapping)]
    providers = named if "client_id" not in section else [None, *named]
    st.title("avatarkit", anchor=False)
    for provider in providers or [None]:
        label = "Log in" if provider is None else f"Log in with {provider}"
        st.button(label, key=f"login_{provider}", on_click=st.login, args=(provider,))
