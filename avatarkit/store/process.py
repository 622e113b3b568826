"""Tell processes apart, also after their ids were reused, and whether one still runs."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import psutil

_DEAD = (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)


def this_process() -> str:
    """Return the machine, the id and the start of this process as text."""
    # A process id may be reused after a restart; with the start time it is unique.
    return f"{socket.gethostname()}|{os.getpid()}|{_started(os.getpid())}"


def is_alive(process: str | None, *, elsewhere: bool) -> bool:
    """Return whether a process runs, by what ``this_process`` returned in it.

    Args:
        process: The process; None for an unknown one.
        elsewhere: The answer for one on another machine.
    """
    host, pid, started = (process or "||").split("|")
    if host != socket.gethostname():
        return bool(host) and elsewhere
    try:
        return _started(int(pid)) == started and psutil.Process(int(pid)).status() not in _DEAD
    except (psutil.Error, ValueError):
        return False


def _started(pid: int) -> str:
    """Return when a process started, as text to compare; ``psutil.Error`` if there is none.

    On Linux in ticks since boot, as psutil's time changes when the system's clock is set.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
    except OSError:
        return f"{psutil.Process(pid).create_time():.2f}"
    # The 22nd field, counted from the end of the name in brackets, which may hold spaces.
    return f"{boot.strip()}+{fields.rpartition(')')[2].split()[19]}"
