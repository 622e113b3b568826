"""Do what a button asks for in a thread, once at a time for all tabs.

A tab that is closed, reloaded or shows another page only ends the waiting; the action goes on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent import futures
from concurrent.futures import Future
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import streamlit as st

from avatarkit.errors import AvatarkitError
from avatarkit.session import Session
from avatarkit.text import plain
from avatarkit.ui import running

STEP_S = 0.2
"""Wall seconds between two looks at an action that a page waits for."""

Value = TypeVar("Value")
Report = Callable[[float, str], None]
"""Takes the share that is done, from 0 to 1, and a text."""

_lock = threading.Lock()
_newest: WeakKeyDictionary[Session, dict[str, _Action]] = WeakKeyDictionary()


class _Action:
    def __init__(self, name: str, function: Callable[[Report], Any]) -> None:
        self.future: Future[Any] = Future()
        self.share: float | None = None
        self.text = ""
        self._function = function
        # A daemon: a call that hangs must not hold up the end of the app.
        self.thread = threading.Thread(target=self._run, name=f"avatarkit-{name}", daemon=True)

    def _run(self) -> None:
        try:
            self.future.set_result(self._function(self._report))
        except BaseException as error:  # noqa: BLE001 - raised again by the tabs that wait
            self.future.set_exception(error)

    def _report(self, share: float, text: str) -> None:
        self.share, self.text = share, text


def act(
    name: str,
    label: str,
    text: str,
    function: Callable[[Report], Value],
    done: Callable[[Value], object],
    **options: Any,
) -> None:
    """Show the button of an action, and why it did not work when it was clicked last.

    A click from before the last answer, such as the second of a double click, does nothing.

    Args:
        name: The action, and the key of its button until it has worked once.
        label: The label of the button.
        text: What is shown while it runs.
        function: What to do in a thread, called with a function to report its progress by.
        done: Called with what it returned, before the page is drawn again.
        **options: Further options of ``st.button``.
    """
    answers, problem = f"{name}_answers", f"{name}_error"
    count = st.session_state.get(answers, 0)
    if st.button(label, key=f"{name}_{count}" if count else name, **options):
        st.session_state.pop(problem, None)
        try:
            done(_wait(start(name, function), text))
        except (AvatarkitError, OSError) as error:
            st.session_state[problem] = str(error)
        else:
            st.session_state[answers] = count + 1
        st.rerun()
    if problem in st.session_state:
        st.error(plain(st.session_state[problem]), icon=":material/error:")


def start(name: str, function: Callable[[Report], Any]) -> _Action:
    """Start an action, unless it runs already; return what runs."""
    session = running.get().session
    with _lock:
        actions = _newest.setdefault(session, {})
        action = actions.get(name)
        if action is None or action.future.done():
            action = actions[name] = _Action(name, function)
            action.thread.start()
        return action


def _wait(action: _Action, text: str) -> Any:
    bar = st.empty()
    with st.spinner(text):
        while not action.future.done():
            futures.wait([action.future], STEP_S)
            if action.share is not None:
                bar.progress(action.share, action.text)
            # Where Streamlit ends this run if the reader asked for something else meanwhile.
            st.session_state.get(action.thread.name)
    bar.empty()
    return action.future.result()
