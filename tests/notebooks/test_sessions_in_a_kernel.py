"""Sessions in a real Jupyter kernel."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from avatarkit import Sandbox, open_session

OPEN = """
from avatarkit import PersonaCreate, open_session
session = open_session()
session.tracker.start()
"""
SUBMIT = """
persona = session.tracker.submit(
    PersonaCreate(creator_name="Ada", gender="f", labels=["sandbox:done"]), progress=True
)
persona = session.tracker.wait(persona.id, timeout=120, progress=True)
"""
COUNT = """
import json, threading, time
def own():
    names = (thread.name for thread in threading.enumerate())
    return [name for name in names if name.startswith(("avatarkit-", "sandbox-"))]
until = time.monotonic() + 30
trackers = own().count("avatarkit-tracker")
session.close()
while own() and time.monotonic() < until:
    time.sleep(0.05)
print(json.dumps([trackers, own(), repr(session).endswith(", closed)")]))
"""
LEFT = """
from avatarkit import Sandbox, open_session
session = open_session()
session.tracker.start()
print(Sandbox().start().folder)
"""


def test_a_cell_that_is_run_again_leaves_nothing(
    execute: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three openings have one tracker, a close ends all threads, and the bar is saved as text."""
    monkeypatch.setenv("AVATARKIT_SANDBOX_SPEED", "100000")
    notebook = execute(OPEN, OPEN, OPEN, SUBMIT, COUNT)
    trackers, threads, is_closed = json.loads(notebook.cells[-1].outputs[0].text)
    assert (trackers, threads, is_closed) == (1, [], True)
    bars = [output["data"] for output in notebook.cells[3].outputs]
    assert all(set(data) == {"text/plain"} for data in bars)
    assert [data["text/plain"].split(",")[0][25:] for data in bars] == ["Ada: created", "Ada: Done"]


@pytest.mark.long
def test_a_kernel_that_ends_leaves_no_folder_and_no_lock(execute: Callable[..., Any]) -> None:
    """What was never closed is, when the kernel is shut down or restarted."""
    notebook = execute(LEFT)
    assert not Path(notebook.cells[0].outputs[0].text.strip()).exists()
    with open_session() as session:
        assert isinstance(session.sandbox, Sandbox), "it is not served by the kernel any more"
        assert session.tracker.lease.read() is None
