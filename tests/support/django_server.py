"""A process of gunicorn that serves ``django_api``, and a proxy that cuts requests to it."""

from __future__ import annotations

import os
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
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
    command += ["--bind", f"fd://{listener.fileno()}", "-k", "gthread", "--threads", "4"]
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


class CuttingProxy:
    """A TCP proxy that passes on the first ``limit`` bytes of a POST, then hangs up.

    It hangs up on the server first and reads its answer, so that the server is finished with the
    request when the client sees the end. ``passed`` is how many bytes of the last POST came.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.limit: int | None = None
        self.passed = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        is_cut = threading.Event()
        with client, socket.create_connection(("127.0.0.1", self._port), timeout=30) as server:

            def answer() -> None:
                with suppress(OSError):
                    while data := server.recv(65536):
                        if not is_cut.is_set():
                            client.sendall(data)

            answering = threading.Thread(target=answer, daemon=True)
            answering.start()
            with suppress(OSError):
                while data := client.recv(65536):
                    self.passed = len(data) + (0 if data.startswith(b"POST ") else self.passed)
                    excess = 0 if self.limit is None else max(0, self.passed - self.limit)
                    if excess:
                        is_cut.set()
                    server.sendall(data[: len(data) - excess])
                    if excess:
                        break
                server.shutdown(socket.SHUT_WR)
            answering.join(30)
