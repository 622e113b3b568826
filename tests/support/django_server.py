"""A process of gunicorn that serves ``django_api``."""

from __future__ import annotations

import os
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from support.project import ROOT

API_ID, API_KEY = "the-id", "the-key-of-the-test"
KEYS = {"X-API-ID": API_ID, "X-API-KEY": API_KEY}


@dataclass(frozen=True)
class DjangoServer:
    """The address of a running server, and its database."""

    port: int
    database: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self) -> httpx.Client:
        """Return a bare client with the keys."""
        return httpx.Client(base_url=self.url, headers=KEYS, trust_env=False, timeout=30)

    def set_status(self, persona_id: str, status: str, failed_reason: str | None = None) -> None:
        """Write a status into the database, as the vendor's workers do."""
        values = (status, failed_reason, status == "done", persona_id.replace("-", ""))
        with closing(sqlite3.connect(self.database)) as database, database:
            database.execute(
                "UPDATE creator SET process_status = ?, failed_reason = ?, is_active = ? "
                "WHERE id = ?",
                values,
            )


@contextmanager
def serving(folder: Path, rate: str = "") -> Iterator[DjangoServer]:
    """Yield a server whose database lies in ``folder``; ``rate`` throttles, such as ``5/hour``."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    port = listener.getsockname()[1]
    command = [sys.executable, "-m", "gunicorn", "django_api:application"]
    # One thread: whatever is asked after an upload that broke off is answered after it.
    command += ["--bind", f"fd://{listener.fileno()}", "-k", "gthread", "--threads", "1"]
    command.append("--no-control-socket")  # it would lie in the user's home
    with (folder / "gunicorn.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=ROOT / "tests" / "support",
            env={**os.environ, "DATA": str(folder), "RATE": rate},
            pass_fds=[listener.fileno()],
            stdout=log,
            stderr=log,
        )
    # Until gunicorn has started, calls wait in the backlog; they fail if it could not start.
    listener.close()
    try:
        yield DjangoServer(port, folder / "api.sqlite3")
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
