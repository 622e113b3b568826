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
    return f"{socket.gethostname()}|{os.getpid()}|{'+'.join((*_place(), _started(os.getpid())))}"


def is_alive(process: str | None, *, elsewhere: bool, one_machine: bool = False) -> bool:
    """Return whether a process runs, by what ``this_process`` returned in it.

    Args:
        process: The process; None for an unknown one.
        elsewhere: The answer for one on another machine, or in another container.
        one_machine: All are on this machine; what ran before it was started again has ended.
    """
    host, pid, start = (process or "||").split("|")
    *place, started = start.split("+")
    ours = _place()
    if host == socket.gethostname() and one_machine and place[:1] != ours[:1]:
        return False
    # Machines may share a name, and containers the name of theirs; none sees the other's processes.
    if host != socket.gethostname() or place != ours[: len(place)]:
        return bool(host) and elsewhere
    try:
        return _started(int(pid)) == started and psutil.Process(int(pid)).status() not in _DEAD
    except (psutil.Error, ValueError):
        return False


def _place() -> list[str]:
    """Return which start of the machine this is, and which container; empty if that is not known.

    On Linux: the id of the boot, and that of the namespace in which process ids are unique.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
        return [boot.strip(), Path("/proc/self/ns/pid").readlink().name]
    except OSError:
        return []


def _started(pid: int) -> str:
    """Return when a process started, as text to compare; ``psutil.Error`` if there is none.

    On Linux in ticks since boot, as psutil's time changes when the system's clock is set.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return f"{psutil.Process(pid).create_time():.2f}"
    # The 22nd field, counted from the end of the name in brackets, which may hold spaces.
    return fields.rpartition(")")[2].split()[19]
