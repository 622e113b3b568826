"""Show the buttons that act on the avatars that are chosen in the table."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import partial
from typing import NamedTuple

import streamlit as st

from avatarkit.errors import (
    AuthError,
    AvatarkitError,
    ConnectionFailed,
    RateLimited,
    StoreError,
)
from avatarkit.text import plain, stage_name
from avatarkit.tracking.tracker import Tracker
from avatarkit.ui import resubmit, running, watcher
from avatarkit.ui.elements import FOR_SPREADSHEETS, csv_text, short, statuses_of

FOR_ALL = (AuthError, ConnectionFailed, RateLimited, StoreError)
"""Errors after which the other avatars are left alone, as they would fail in the same way."""

OUTCOMES, DELETING, TURN = "avatars_outcomes", "avatars_deleting", "avatars_turn"
"""Keys of a tab's state: what came of each, ids to be deleted after a question, clicks so far."""

LISTED = 12
LONGEST_TYPED = 60
_JOINER = "\u2060"

Act = Callable[[Tracker, str], str]


class Outcome(NamedTuple):
    """What came of one avatar, or of all when it has no name, as a sentence."""

    name: str
    sentence: str
    is_error: bool = False


_at_work = threading.Lock()


def show(ids: list[str], names: Mapping[str, str], followed: set[str]) -> None:
    """Show the bar, and what came of the last click.

    Args:
        ids: The avatars that the buttons act on; without any they are disabled, so that the table
            below does not move under the mouse when the first row is chosen.
        names: The name of each avatar.
        followed: The ids of the avatars that are followed.
    """
    _buttons(ids, names, followed)
    _outcomes()
    if deleting := st.session_state.get(DELETING):
        title = "Delete 1 avatar" if len(deleting) == 1 else f"Delete {len(deleting):,} avatars"
        st.dialog(title, on_dismiss=_close)(_confirm)(deleting, names)
    else:
        resubmit.show()


def _buttons(ids: list[str], names: Mapping[str, str], followed: set[str]) -> None:
    # A key of another click each time: the second of a double click finds no button.
    turn = st.session_state.setdefault(TURN, 0)

    def is_clicked(name: str, label: str, icon: str) -> bool:
        key, icon = f"avatars_{name}_{turn}", f":material/{icon}:"
        return st.button(label, key=key, icon=icon, disabled=not ids)

    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
        st.markdown(f"**{_chosen(ids, names)}**", width="content")
        poll = is_clicked("poll", "Poll now", "refresh")
        again = is_clicked("again", "Submit again", "redo")
        _export(set(ids))
        if ids and followed.isdisjoint(ids):
            follow = is_clicked("follow", "Follow again", "visibility")
            unfollow = False
        else:
            unfollow = is_clicked("unfollow", "Unfollow", "visibility_off")
            follow = False
        delete = is_clicked("delete", "Delete", "delete")
    for is_wanted, act in ((poll, _poll), (follow, _follow), (unfollow, _unfollow)):
        if is_wanted:
            with _spinner(ids):
                _act(ids, names, act)
            st.rerun()
    if again:
        st.session_state[TURN] = turn + 1
        resubmit.submit_again(ids)
        st.rerun()
    if delete:
        st.session_state[TURN] = turn + 1
        st.session_state[DELETING] = ids
        st.rerun()


def _chosen(ids: list[str], names: Mapping[str, str]) -> str:
    """Return what is chosen, in one short line."""
    if len(ids) != 1:
        return f"{len(ids):,} chosen" if ids else "None chosen"
    return short(names[ids[0]])


def _spinner(ids: list[str]) -> AbstractContextManager[None]:
    return st.spinner("Working on it" if len(ids) == 1 else f"Working on {len(ids):,} avatars")


def _act(ids: list[str], names: Mapping[str, str], act: Act) -> None:
    """Do something with each avatar, and keep what came of it as its name and a sentence."""
    state = st.session_state
    state[TURN] = state.get(TURN, 0) + 1
    # Nothing of Streamlit is called from here on, as a call may end this run.
    outcomes: list[Outcome] = []
    state[OUTCOMES] = outcomes
    tracker = running.get().session.tracker
    if not _at_work.acquire(blocking=False):
        text = "Another tab is doing this now; try again when it is done."
        outcomes.append(Outcome("", text, is_error=True))
        return
    try:
        for place, persona_id in enumerate(ids, 1):
            name = names.get(persona_id, persona_id)
            try:
                outcomes.append(Outcome(name, act(tracker, persona_id)))
            except AvatarkitError as error:
                outcomes.append(Outcome(name, str(error), is_error=True))
                if isinstance(error, FOR_ALL) and (left := len(ids) - place):
                    text = f"The other {left:,} were left as they were."
                    outcomes.append(Outcome("", text, is_error=True))
                    return
    finally:
        _at_work.release()


def _poll(tracker: Tracker, persona_id: str) -> str:
    change = tracker.poll(persona_id)
    if change is None:
        return "polled, and nothing has changed."
    return f"polled, and is {stage_name(change.after)} now."


def _follow(tracker: Tracker, persona_id: str) -> str:
    tracker.follow(persona_id)
    return "is followed again."


def _unfollow(tracker: Tracker, persona_id: str) -> str:
    tracker.unfollow(persona_id)
    return "is not polled any more; its history stays."


def _delete(tracker: Tracker, persona_id: str) -> str:
    if persona_id in tracker.store.deleted_ids():
        return "was deleted before."
    if tracker.delete(persona_id):
        return "is deleted; its history stays here."
    return "was not there any more, and counts as deleted."


def _export(ids: set[str]) -> None:
    session = running.get().session
    for_spreadsheets = st.session_state.get(FOR_SPREADSHEETS, False)
    form = "for spreadsheets" if for_spreadsheets else "as programs read it"
    st.download_button(
        "Export",
        partial(csv_text, session, partial(statuses_of, session, ids), for_spreadsheets),
        file_name="avatarkit-chosen.csv",
        mime="text/csv",
        on_click="ignore",
        icon=":material/download:",
        key="avatars_export",
        help=f"What is chosen as CSV, {form}; see below the table.",
        disabled=not ids,
    )


def _outcomes() -> None:
    outcomes: list[Outcome] | None = st.session_state.get(OUTCOMES)
    if not outcomes:
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        with st.container(width="stretch"):
            _box(st.error, "error", [each for each in outcomes if each.is_error])
            _box(st.info, "info", [each for each in outcomes if not each.is_error])
        st.button("Dismiss", key="avatars_dismiss", type="tertiary", on_click=_dismiss)


def _box(show_box: Callable[..., object], icon: str, outcomes: list[Outcome]) -> None:
    sentences = _sentences(outcomes)
    shown = [plain(sentence) for sentence in sentences[:LISTED]]
    if more := len(sentences) - len(shown):
        shown.append(f"and {more:,} more")
    if shown:
        show_box("  \n".join(shown), icon=f":material/{icon}:")


def _sentences(outcomes: list[Outcome]) -> list[str]:
    """Return what came of each; if that is much, the same is said once, after what is rare."""
    if len(outcomes) <= LISTED:
        return [
            f"{each.name}: {each.sentence}" if each.name else each.sentence for each in outcomes
        ]
    counts = Counter(each.sentence for each in outcomes)
    texts: dict[str, str] = {}
    for name, text, _ in sorted(outcomes, key=lambda outcome: counts[outcome.sentence]):
        first = name if counts[text] == 1 else f"{counts[text]:,} avatars"
        texts.setdefault(text, f"{first}: {text}" if name else text)
    return list(texts.values())


def _dismiss() -> None:
    st.session_state.pop(OUTCOMES, None)


def _close() -> None:
    st.session_state.pop(DELETING, None)


def _confirm(ids: list[str], names: Mapping[str, str]) -> None:
    """Ask for the name of the one avatar, or the number of several, before they are deleted."""
    watcher.hold()
    if st.session_state.get(DELETING) != ids:  # the second of a double click
        return
    wanted = _typed(ids[0], names) if len(ids) == 1 else str(len(ids))
    listed = [f"- {plain(names.get(persona_id, persona_id))}" for persona_id in ids[:LISTED]]
    if more := len(ids) - len(listed):
        listed.append(f"- and {more:,} more")
    they, their = ("It is", "its") if len(ids) == 1 else ("They are", "their")
    st.markdown(f"{they} deleted at the API, for good; {their} history stays here.")
    st.markdown("\n".join(listed))
    turn = st.session_state.get(TURN, 0)
    with st.form(f"avatars_confirm_{turn}", border=False):
        what = "name" if len(ids) == 1 else "number of avatars"
        if len(ids) == 1 and wanted != names.get(ids[0]):
            what = "beginning of its id"
        typed = st.text_input(f"Type the {what}: {plain(wanted)}", key=f"avatars_typed_{turn}")
        is_sent = st.form_submit_button("Delete for good")
    if is_sent and _same(typed, wanted):
        _close()
        with _spinner(ids):
            _act(ids, names, _delete)
        st.rerun()
    elif is_sent:
        st.error(f"That is not the {what}; nothing was deleted.", icon=":material/error:")


def _typed(persona_id: str, names: Mapping[str, str]) -> str:
    """Return what has to be typed to delete an avatar: its name, or its id if that is easier."""
    name = names.get(persona_id, "")
    is_easy = name.isprintable() and len(name) <= LONGEST_TYPED and name.split() == name.split(" ")
    return name if name and is_easy else persona_id[:8]


def _same(typed: str, wanted: str) -> bool:
    return typed.replace(_JOINER, "").strip() == wanted
