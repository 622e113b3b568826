"""A create happens at most once, and none is lost, however the process that sends it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest

from avatarkit import PersonaCreate, open_session
from avatarkit.tracking.reconcile import SETTLING
from support.project import ROOT

PROGRESS = 124
"""Reports of progress for one upload."""
READ_LINES = (
    *(1, 2, 30, 60, 90, PROGRESS - 1, PROGRESS),  # before and in the first upload
    *3 * (PROGRESS + 1,),  # after its last byte, before the answer
    *(PROGRESS + 2, PROGRESS + 3, 180, 2 * (PROGRESS + 1), 300, 3 * (PROGRESS + 1)),  # later ones
)
"""How many lines of a sender are read before it is killed: its names and its progress."""
SENDER = """
import sys

def progress(sent, total):
    print(f"{sent} of {total}", flush=True)

from avatarkit import PersonaCreate, open_session
with open_session() as session:
    session.tracker.reconcile()
    for number in range(1_000):
        name = f"{sys.argv[1]}-{number}"
        request = PersonaCreate(creator_name=name, gender="m", lipsync_input=sys.argv[2])
        print(name, flush=True)
        session.tracker.submit(request, progress=progress)
"""


def test_a_process_that_is_killed_while_it_sends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Senders killed before, in and after an upload leave no duplicate and no persona unknown."""
    monkeypatch.setenv("AVATARKIT_SANDBOX_SPEED", "20000")
    video = tmp_path / "video.mp4"
    video.write_bytes(os.urandom(8_000_000))
    tried: list[str] = []
    with open_session() as session:
        for number, count in enumerate(READ_LINES):
            process = subprocess.Popen(
                [sys.executable, "-c", SENDER, str(number), str(video)],
                stdout=subprocess.PIPE,
                text=True,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(count)]
            process.send_signal(signal.SIGKILL)
            lines += process.communicate()[0].splitlines()
            tried += [line.strip() for line in lines if " of " not in line]
        store, tracker, client = session.store, session.tracker, session.client
        at_first = store.submissions()["state"].value_counts().to_dict()
        verdicts = [*tracker.reconcile()]  # what the last one was sending is uncertain by now
        assert session.sandbox is not None
        session.sandbox.advance(hours=SETTLING / timedelta(hours=1))
        # One that is pending: a list that shows it is known to show such.
        tracker.submit(PersonaCreate(creator_name="pending", gender="m"))
        verdicts += tracker.reconcile()
        settled = store.submissions()
        refused = settled.loc[settled["state"] == "refused", "creator_name"]
        for name in refused:
            # Said to be safe to send again.
            tracker.submit(PersonaCreate(creator_name=name, gender="m"))
        made = Counter(persona.creator_name for persona in client.list_personas())
        known = set(store.personas()["persona_id"])
        again = store.submissions()
        ids = {persona.id for persona in client.list_personas()}

    with capsys.disabled():
        print(  # noqa: T201 - the counts are what the test is for
            f"\n{len(READ_LINES)} kills, {len(tried)} creates begun: {at_first} at the last kill, "
            f"{dict(Counter(one.state for one in verdicts))} when they were settled, "
            f"{len(refused)} sent again; {sum(made.values())} made, "
            f"{sum(made.values()) - len(made)} of them twice"
        )
    assert set(made.values()) == {1}
    assert ids == known
    accepted = again[again["state"] == "accepted"]
    assert sorted(accepted["creator_name"]) == sorted(made)
    assert set(settled["state"]) <= {"accepted", "refused"}
