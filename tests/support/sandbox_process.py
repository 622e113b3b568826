"""A sandbox in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.project import ROOT

# Serves the folder that is its argument until its input ends, or until it is killed.
SERVE = """
import sys
from avatarkit.sandbox import Sandbox
served = Sandbox.attach_or_start(sys.argv[1], speed=float(sys.argv[2]))
print(type(served).__name__, flush=True)
sys.stdin.read()
served.stop()
"""


@contextmanager
def serving(folder: Path, speed: float = 2400) -> Iterator[subprocess.Popen[str]]:
    """Yield a process that serves that folder, or is attached to who does."""
    command = [sys.executable, "-W", "error", "-c", SERVE, str(folder), str(speed)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def kind_of(process: subprocess.Popen[str]) -> str:
    """Wait until that process serves or is attached; return the name of its class."""
    assert process.stdout is not None
    return process.stdout.readline().strip()
