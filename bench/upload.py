"""Measure the memory that a 1 GiB upload takes in this process and in the sandbox.

The baseline is the peak after a small upload. Goal: at most 32 MiB more.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from served import sandbox

from avatarkit import Client, PersonaCreate

MIB = 1024 * 1024


def peak_mib(pid: int | str = "self") -> float:
    """Return the peak resident memory of a process in MiB (Linux only)."""
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def main() -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        sandbox() as (pid, keys),
        Client(**keys) as client,
    ):
        small, large = Path(folder) / "small.mp4", Path(folder) / "large.mp4"
        small.write_bytes(b"\0" * MIB)
        with large.open("wb") as file:
            file.truncate(1024 * MIB)
        client.create_persona(PersonaCreate(creator_name="s", gender="m", lipsync_input=small))
        before, before_sandbox = peak_mib(), peak_mib(pid)
        began = time.perf_counter()
        client.create_persona(PersonaCreate(creator_name="l", gender="m", lipsync_input=large))
        took = time.perf_counter() - began
        client_mib, sandbox_mib = peak_mib() - before, peak_mib(pid) - before_sandbox
    print(f"1 GiB sent in {took:.1f} s")
    print(f"Client:  {before:.0f} MiB before, {client_mib:+.1f} MiB (goal <= 32)")
    print(f"Sandbox: {before_sandbox:.0f} MiB before, {sandbox_mib:+.1f} MiB (goal <= 32)")


if __name__ == "__main__":
    main()
