"""Serve a sandbox in another process, so that a benchmark measures only the client."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# Else the keys of a developer could reach the live account.
os.environ["AVATARKIT_ENV_FILE"] = ""


@contextmanager
def sandbox() -> Iterator[tuple[int, dict[str, str]]]:
    """Serve a sandbox; yield its process id, and its base_url, api_id and api_key by name."""
    command = [sys.executable, "-u", "-m", "avatarkit", "sandbox", "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        lines = [process.stdout.readline().strip() for _ in range(3)]
        values = dict(line.removeprefix("AVATARKIT_").split("=", 1) for line in lines)
        yield process.pid, {name.lower(): value for name, value in values.items()}
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(20)
        process.stdout.close()
