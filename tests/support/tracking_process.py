"""Trackers in processes of their own, which a test may kill or stop at any moment."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from itertools import cycle
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil
import pytest
import sqlalchemy as sa

from avatarkit.errors import APIError, AvatarkitError
from avatarkit.models import PersonaCreate
from avatarkit.sandbox import Sandbox
from avatarkit.session import Session, open_session
from support.project import ROOT
from support.sandbox_client import until

# What a process would load otherwise only when it needs it.
for _module in ("httpcore", "tenacity", "sqlite3", "sqlalchemy.dialects.sqlite"):
    __import__(_module)

needs_signals = pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL and SIGSTOP")

OUTCOMES = ("done", "failed", "rejected", "unknown-status", "skips-stages", "done")
"""The outcomes that the personas take in turn."""


@dataclass(frozen=True)
class Work:
    """What a process does: submit avatars of these names, and track until it is killed.

    Attributes:
        data_dir: The data folder; another process serves its sandbox.
        names: The names of the avatars that it submits.
        footage: The footage of all of them.
        database_url: The database, if it is not in the data folder.
        dies_after: Kill itself with this step: a statement or commit of the database, a part of an
            upload, or another event on a connection. None: go on until another process kills it.
        stops_at: Stop itself at every n-th request, once it is sent and before its answer is read.
        spins: Poll what is due in a second thread, without pauses.
        answer_s: Wall seconds that an answer may take, also that of a create.
    """

    data_dir: Path
    names: tuple[str, ...] = ()
    footage: Path | None = None
    database_url: str | None = None
    dies_after: int | None = None
    stops_at: int | None = None
    spins: bool = True
    answer_s: float = 60.0

    def open(self) -> Session:
        """Open a session on the data folder of this work."""
        database = {} if self.database_url is None else {"database_url": self.database_url}
        # A create may take as long as the longer one of the two.
        timeouts = {"read_timeout_s": self.answer_s, "write_timeout_s": self.answer_s}
        return open_session(data_dir=self.data_dir, **timeouts, **database)

    def __call__(self) -> None:
        """Reconcile, submit, then track."""
        signals = _Signals(self.dies_after, self.stops_at, self.data_dir)
        with self.open() as session:
            tracker = session.tracker
            with suppress(APIError):
                tracker.reconcile()
            for name, outcome in zip(self.names, cycle(OUTCOMES), strict=False):
                request = PersonaCreate(
                    creator_name=name,
                    gender="f",
                    labels=[f"sandbox:{outcome}"],
                    lipsync_input=self.footage,
                )
                with suppress(AvatarkitError):
                    tracker.submit(request, progress=signals.step)
            tracker.start()
            while True:
                if self.spins:
                    tracker.look()
                session.clock.sleep(0.01 if self.spins else 1)


def database_of(data_dir: Path) -> Path:
    """Return the SQLite database of a sandbox's data folder."""
    return data_dir / "sandbox" / "avatarkit.db"


class _Signals:
    """Sends this process the signals that its work asks for, at their step."""

    def __init__(self, dies_after: int | None, stops_at: int | None, data_dir: Path) -> None:
        self._file = database_of(data_dir)
        self._steps_left = dies_after
        self._stops_at = stops_at
        self._answers = 0
        if dies_after is not None or stops_at is not None:
            for event in ("before_cursor_execute", "commit"):
                sa.event.listen(sa.Engine, event, self.step)
            connections, handler = logging.getLogger("httpcore"), logging.Handler()
            handler.emit = self._on_connection  # type: ignore[method-assign]
            connections.addHandler(handler)
            connections.setLevel(logging.DEBUG)
            connections.propagate = False

    def step(self, *_: Any, **__: Any) -> None:
        """Count a step."""
        if self._steps_left is not None:
            self._steps_left -= 1
            if self._steps_left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def _on_connection(self, record: logging.LogRecord) -> None:
        self.step()
        if self._stops_at and record.getMessage().startswith("receive_response_headers.started"):
            self._answers += 1
            if self._answers % self._stops_at == 0:
                # Not while another thread writes; one may begin before the signal comes.
                with closing(sqlite3.connect(self._file, timeout=60)) as connection:
                    connection.execute("BEGIN IMMEDIATE")
                os.kill(os.getpid(), signal.SIGSTOP)


@contextmanager
def serving(
    data_dir: Path, *, speed: float, seed: int | None = None
) -> Iterator[tuple[Sandbox, Path]]:
    """Yield the sandbox of a data folder, and footage; with the same seed, of the same lives."""
    footage = data_dir / "footage.mp4"
    footage.write_bytes(os.urandom(1_000_000))
    folder = data_dir / "sandbox" / "api"
    with Sandbox(folder, speed=speed, max_personas=10_000, seed=seed) as sandbox:
        yield sandbox, footage


@contextmanager
def running(*works: Work) -> Iterator[list[BaseProcess]]:
    """Yield a process for each of ``works``; those that still run at the end are killed.

    They are forked from a process that has loaded everything already, as loading takes longer than
    the work.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["pytest", __name__])
    with pytest.MonkeyPatch.context() as patch:
        # For the process from which the others are forked.
        patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(ROOT / "tests")]))
        # A page's script that a test has run may be left there, and would be run in each process.
        patch.setitem(sys.modules, "__main__", ModuleType("__main__"))
        processes = [context.Process(target=work) for work in works]
        for process in processes:
            process.start()
    try:
        yield list(processes)
    finally:
        for process in processes:
            kill(process)
            process.close()


def kill(process: BaseProcess) -> None:
    """Kill a process and wait for its end; fail if it had ended by itself."""
    process.kill()
    join(process)


def wait_until_stopped(process: BaseProcess, data_dir: Path) -> None:
    """Wait until a process has stopped itself while none of its threads locks the database."""
    while True:
        until(lambda: psutil.Process(process.pid).status() == psutil.STATUS_STOPPED, 60)
        connection = sqlite3.connect(database_of(data_dir), timeout=5)
        with closing(connection), suppress(sqlite3.OperationalError):
            connection.execute("BEGIN IMMEDIATE")
            return
        go_on(process)


def go_on(process: BaseProcess) -> None:
    """Let a stopped process go on."""
    os.kill(process.pid or 0, signal.SIGCONT)


def join(process: BaseProcess) -> None:
    """Wait until a process is dead; fail if it was not killed."""
    process.join(60)
    assert process.exitcode == -signal.SIGKILL, f"ended by itself: {process.exitcode}"
