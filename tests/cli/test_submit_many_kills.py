"""``submit-many`` killed again and again: the same command goes on, and sends no row twice."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from avatarkit import PersonaCreate, open_session
from avatarkit.cli.exit_codes import Exit
from support.project import ROOT
from support.tracking_process import needs_signals, serving

ROWS, KILLS = 50, 25
SPEED = 2_000

pytestmark = [pytest.mark.long, needs_signals]


def test_a_batch_of_fifty_with_kills(
    tmp_path: Path, talking_head: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """However often it is killed, fifty rows become fifty avatars, each with its own name."""
    film, names = tmp_path / "film.mp4", [f"row {number}" for number in range(1, ROWS + 1)]
    # A box without a meaning, so that an upload takes a while.
    padding = struct.pack(">I4s", 4_000_008, b"free") + os.urandom(4_000_000)
    film.write_bytes(talking_head.read_bytes() + padding)
    sheet = tmp_path / "batch.csv"
    # One whose avatar has failed would be sent again.
    lines = ["creator_name,gender,lipsync_input,labels"]
    lines += [f"{name},f,film,sandbox:done" for name in names]
    sheet.write_text("\n".join(lines), encoding="utf-8")
    chance = Random(13)  # noqa: S311 - the same kills each time
    killed, before, after, commands = Counter[str](), Counter[str](), Counter[str](), 0
    with serving(tmp_path, speed=SPEED) as (sandbox, _):
        for _ in range(KILLS):
            commands += 1
            if not kill(sheet, tmp_path, chance, killed):
                break
        for _ in range(3):  # what is uncertain is settled, and what never arrived is sent
            commands += 1
            ended = command(sheet, tmp_path)
            ended.communicate()
            if ended.returncode == Exit.FINE:
                break
            with open_session(data_dir=tmp_path) as session:
                before = Counter(session.store.submissions()["state"])
                session.tracker.reconcile()
                sandbox.advance(hours=2)
                # One that is pending: a list that shows it is known to show such.
                session.tracker.submit(PersonaCreate(creator_name="pending", gender="m"))
                session.tracker.reconcile()
                after = Counter(session.store.submissions()["state"])
        with open_session(data_dir=tmp_path) as session:
            created = Counter(p.creator_name for p in session.client.list_personas())
            log = session.store.submissions()
    del created["pending"]
    assert ended.returncode == Exit.FINE
    assert killed.total() > 3
    assert created == Counter(names)
    accepted = log[(log["state"] == "accepted") & (log["creator_name"] != "pending")]
    assert sorted(accepted["creator_name"]) == sorted(names)
    with capsys.disabled():
        print(  # noqa: T201 - the counts are what the test is for
            f"\n{commands} commands, {killed.total()} killed after {dict(killed)} rows were begun; "
            f"at the last kill {dict(before)}, settled {dict(after)}; {created.total()} avatars"
        )


def command(sheet: Path, data_dir: Path) -> subprocess.Popen[str]:
    """Start the command."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "AVATARKIT_DATA_DIR": str(data_dir)}
    arguments = [sys.executable, "-m", "avatarkit", "submit-many", str(sheet)]
    return subprocess.Popen(
        arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment
    )


def kill(sheet: Path, data_dir: Path, chance: Random, killed: Counter[str]) -> bool:
    """Kill a command at a random moment while it sends; return False if it ended before."""
    process, begun, after = command(sheet, data_dir), 0, chance.randint(1, 5)
    assert process.stderr is not None
    for line in process.stderr:
        begun += ": sending" in line
        if begun >= after:
            threading.Event().wait(chance.uniform(0, 0.15))
            process.kill()
            break
    process.communicate()
    if process.returncode != -signal.SIGKILL:
        return False
    killed[str(begun)] += 1
    return True
