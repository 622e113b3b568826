"""The app in a process of its own, as the README starts it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from support.project import ROOT


def free_port() -> int:
    """Return a port of loopback that nothing listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start_app(folder: Path, port: int, **settings: str) -> subprocess.Popen[bytes]:
    """Start the app in a process, and wait until it answers."""
    command = [sys.executable, "-m", "streamlit", "run", str(ROOT / "app.py")]
    command += ["--server.port", str(port), "--server.headless", "true"]
    # Streamlit itself copies the secrets of the home folder into the environment.
    home = {"HOME": str(folder), "USERPROFILE": str(folder)}
    log = folder / "app.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            command, env={**os.environ, **home, **settings}, stdout=output, stderr=output
        )
    try:
        while not is_healthy(app_url(port)):
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.25)
                pytest.fail(log.read_text())
    except BaseException:
        process.kill()
        raise
    return process


def app_url(port: int) -> str:
    """Return the URL of the app at a port of loopback."""
    return f"http://127.0.0.1:{port}"


@contextmanager
def served_app(folder: Path, port: int, **settings: str) -> Iterator[str]:
    """Serve the app on a port of loopback; yield its URL.

    At the end it must have printed no traceback, and have stopped its sandbox.
    """
    process = start_app(folder, port, **settings)
    try:
        yield app_url(port)
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(30) is not None
    logged = (folder / "app.log").read_text()
    assert "Traceback" not in logged, logged
    assert not list((folder / "data").rglob("sandbox.json")), "the sandbox was not stopped"


def is_healthy(url: str) -> bool:
    """Return whether the app answers."""
    try:
        return httpx.get(f"{url}/_stcore/health").status_code == 200
    except httpx.HTTPError:
        return False
