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

from avatarkit.session import Session
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


def button(name: str, label: str, **options: Any) -> bool:
    """Show the button of an action.

    Args:
        name: The action, the same as for ``run``.
        label: The label.
        **options: Further options of ``st.button``.

    Returns:
        Whether it was clicked; a click from before the last answer, such as the second of a double
        click, is none.
    """
    return st.button(label, key=key(name), **options)


def key(name: str) -> str:
    """Return the key of an action's button, another one after each answer."""
    return f"{name}_{st.session_state.get(f'{name}_answers', 0)}"


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


def run(name: str, text: str, function: Callable[[Report], Value]) -> Value:
    """Run a function in a thread and wait for it; if it runs already, wait for that.

    Args:
        name: The action.
        text: What is shown meanwhile.
        function: Called with a function to report its progress by.

    Returns:
        What the function returned.

    Raises:
        Exception: What the function raised.
    """
    action = start(name, function)
    bar = st.empty()
    with st.spinner(text):
        while not action.future.done():
            futures.wait([action.future], STEP_S)
            if action.share is not None:
                bar.progress(action.share, action.text)
            # Where Streamlit ends this run if the reader asked for something else meanwhile.
            st.session_state.get(name)
    bar.empty()
    answers = f"{name}_answers"
    st.session_state[answers] = st.session_state.get(answers, 0) + 1
    value: Value = action.future.result()
    return value
