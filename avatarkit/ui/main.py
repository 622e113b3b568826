"""Show the page that is open, with the name of the account above it."""

from __future__ import annotations

from pathlib import Path

import streamlit as st
from streamlit.navigation.page import StreamlitPage

from avatarkit.errors import AvatarkitError
from avatarkit.session import Session
from avatarkit.text import format_hours, plain
from avatarkit.ui import banner, login, running, toasts, visits, watcher
from avatarkit.ui.running import Running
from avatarkit.ui.views import avatars, settings, stage_times, submit

NAME = "avatarkit"
# A file, as a Material icon would be fetched from a server of Google.
FAVICON = Path(__file__).with_name("favicon.svg")
# The hint that says what the sandbox is.
SANDBOX = "sandbox"
# Where a tab keeps the query parameters of each page, by its title.
_QUERY = "main_query_{}"


def main() -> None:
    """Show the app; Streamlit calls this at every rerun."""
    if not login.is_open():
        _configure(NAME)
        login.show()
        return
    app: Running | None = None
    error: AvatarkitError | None = None
    title = NAME
    try:
        app = running.get()
        title = _tab_title(app)
    except AvatarkitError as caught:
        error = caught
    _configure(title)
    page = _navigation()
    if app is None:
        st.title(page.title, anchor=False)
    else:
        # A container is one place, also while it is empty: where a page's widgets come to stand in
        # another place, the URL does not learn any more what is chosen in them.
        with st.container():
            _head(page.title, app.session)
        drawn = watcher.show()
        if error is None:
            error = _run(page, app)
        if error is not None:
            drawn.fail(error)
    if error is not None:
        running.show_error(error)
        if app is None:
            st.caption("Correct it and reload this page; nothing that was submitted is lost.")


def _configure(title: str) -> None:
    st.set_page_config(page_title=title, page_icon=FAVICON, layout="wide")


def _navigation() -> StreamlitPage:
    pages = [
        st.Page(avatars.show, title="Avatars", default=True),
        st.Page(submit.show, title="Submit", url_path="submit"),
        st.Page(stage_times.show, title="Stage times", url_path="stage-times"),
        st.Page(settings.show, title="Settings", url_path="settings"),
    ]
    # The first page, once more at a path of its own: Streamlit writes the address of the default
    # page as an empty one, which at any other page is the address of that page.
    named = st.Page(avatars.show, title="Avatars", url_path="avatars")
    # Pages link to each other.
    st.session_state["avatars_page"], st.session_state["submit_page"] = named, pages[1]
    # Links, in one row on a phone too: there Streamlit's own navigation is a menu, which stays open
    # after a choice in a narrow window; and on a desktop its bar takes 60 px above each page.
    page = st.navigation([*pages, named], position="hidden")
    links = pages if page is pages[0] else [named, *pages[1:]]
    with st.container(horizontal=True, gap="small", key="main_navigation"):
        for each in links:
            # With what the page was left with, as each of its widgets would else add its own step
            # for the Back button. Not to itself: its run before knew no newer click.
            query = None if each == page else st.session_state.get(_QUERY.format(each.title))
            st.page_link(each, width="content", query_params=query)
    return page


def _run(page: StreamlitPage, app: Running) -> AvatarkitError | None:
    """Show the page and what stands above it; return the error that ended it."""
    try:
        with st.container():
            banner.show()
        state = app.estimates.state
        if state is not None:
            toasts.show(app.session.store, state)
            if not watcher.draws():
                visits.note(state.last_run_id)
        try:
            page.run()
        finally:
            query = {name: st.query_params.get_all(name) for name in st.query_params}
            st.session_state[_QUERY.format(page.title)] = query
    except AvatarkitError as error:
        return error
    return None


def _tab_title(app: Running) -> str:
    """Return the title of the tab, with the number of what needs attention: ``(3) avatarkit``."""
    count = len(app.estimates.needs(app.estimates.log()))
    if (state := app.estimates.state) is not None:
        count += state.uncertain
    return f"({count:,}) {NAME}" if count else NAME


def _head(title: str, session: Session) -> None:
    """Show the page's title, and which account it is about."""
    is_sandbox = session.sandbox is not None
    with st.container(horizontal=True, vertical_alignment="center"):
        st.title(title, anchor=False, width="content")
        if is_sandbox:
            hint = _sandbox_hint(session)
            st.badge("Sandbox", icon=":material/science:", color="orange", help=hint)
        else:
            name = plain(session.tracker.account_name)
            st.badge(name[:1].upper() + name[1:], icon=":material/cloud:", color="green")
    if is_sandbox and not visits.is_dismissed(SANDBOX):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(hint)
            st.button(
                "Got it",
                key="main_dismiss_sandbox",
                type="tertiary",
                on_click=visits.dismiss,
                args=(SANDBOX,),
            )


def _sandbox_hint(session: Session) -> str:
    speed = session.sandbox_speed
    return (
        "A sandbox of the API on this machine: no key, no cost, nothing leaves it. Its clock "
        f"runs {speed:,.0f} times as fast: the two to five days of an avatar pass in "
        f"{format_hours(48 / speed)} to {format_hours(120 / speed)}."
    )


main()
