"""Starting and stopping a sandbox."""

from __future__ import annotations

import asyncio
import gc
import logging
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

from avatarkit.clock import ScaledClock
from avatarkit.errors import ConfigError
from avatarkit.sandbox import Sandbox
from avatarkit.sandbox.state.files import SERVING, Folder
from support.project import ROOT
from support.sandbox_client import FILES, call, client_of, create, stop


class TestStarting:
    """``start()`` and ``stop()``."""

    def test_it_answers_between_start_and_stop(self) -> None:
        """It answers after start and not after stop; its temporary folder is deleted."""
        with Sandbox() as sandbox:
            assert not sandbox.url.endswith("/")
            assert create(sandbox)["process_status"] == "pending"
            folder = sandbox.folder
            assert folder.is_dir()
        assert not folder.exists()
        with pytest.raises(httpx.ConnectError):
            create(sandbox)

    def test_starting_and_stopping_twice_changes_nothing(self) -> None:
        """Both are idempotent, also before the first start."""
        sandbox = Sandbox()
        sandbox.stop()
        assert sandbox.start() is sandbox
        url = sandbox.url
        assert sandbox.start().url == url
        assert call(sandbox, "GET", FILES).status_code == 200
        sandbox.stop()
        sandbox.stop()

    def test_it_can_be_started_again(self) -> None:
        """Without a folder of its own it starts empty, but its clock goes on."""
        sandbox = Sandbox(speed=86_400)
        with sandbox:
            clock, before = sandbox.clock, sandbox.api_id
            create(sandbox)
        stood = clock.now()
        with sandbox:
            assert sandbox.clock is clock
            assert clock.now() >= stood
            assert sandbox.api_id != before
            assert call(sandbox, "GET", FILES).json() == []

    @pytest.mark.parametrize("name", ["url", "api_id", "api_key", "clock", "folder"])
    def test_before_the_start_there_is_nothing_to_tell(self, name: str) -> None:
        """Attributes of a sandbox that never ran say that it has to be started."""
        with pytest.raises(ConfigError, match="not been started"):
            getattr(Sandbox(), name)

    def test_nothing_is_left_running(self) -> None:
        """Stop ends idle connections of clients, and leaves no thread or socket."""
        before = set(threading.enumerate())
        sandbox = Sandbox().start()
        assert len(set(threading.enumerate()) - before) >= 2
        with client_of(sandbox) as client:
            client.get("/_sandbox/")
            stop(sandbox)
        assert set(threading.enumerate()) <= before
        gc.collect()

    def test_a_program_that_forgets_to_stop_it_ends(self, tmp_path: Path) -> None:
        """The process ends without a warning, and the clock is written down to the moment."""
        code = (
            "import sys\nfrom avatarkit import Sandbox\n"
            "sandbox = Sandbox(sys.argv[1]).start()\nprint(sandbox.url)"
        )
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", code, str(tmp_path)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
        assert done.stderr == ""
        assert not (tmp_path / SERVING).exists()
        assert Folder(tmp_path).clock() is not None

    def test_no_signal_handler_and_no_logger_is_touched(self) -> None:
        """It does not change how the program around it ends or logs."""
        loggers = [logging.getLogger(name) for name in ("uvicorn.access", "uvicorn.error")]
        before = [(each.level, each.propagate, list(each.handlers)) for each in loggers]
        handlers = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
        with Sandbox() as sandbox:
            create(sandbox)
            now = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
            assert now == handlers
        assert [(e.level, e.propagate, list(e.handlers)) for e in loggers] == before

    def test_no_access_is_logged(self, caplog: pytest.LogCaptureFixture) -> None:
        """Calls leave no line, whatever the level."""
        with caplog.at_level(logging.DEBUG), Sandbox() as sandbox:
            create(sandbox)
        assert "/api/" not in "".join(m for m in caplog.messages if "uvicorn" in m)
        assert sandbox.api_key not in caplog.text
        assert not [r for r in caplog.records if r.name == "uvicorn.access"]

    def test_no_repr_shows_the_key(self, tmp_path: Path) -> None:
        """Neither of the sandbox nor of what is attached to it."""
        with Sandbox(tmp_path) as sandbox:
            attached = Sandbox.attach(tmp_path)
            for shown in (repr(sandbox), repr(attached)):
                assert sandbox.url in shown
                assert sandbox.api_key not in shown
        assert repr(sandbox) == "Sandbox('stopped')"

    def test_it_runs_at_the_speed_that_was_asked_for(self) -> None:
        """2400 by default, so that two to five days pass in 72 to 180 wall seconds."""
        for options, speed in (({}, 2400), ({"speed": 86_400}, 86_400)):
            with Sandbox(**options) as sandbox:
                assert isinstance(sandbox.clock, ScaledClock)
                assert sandbox.clock.speed == speed

    def test_a_seed_makes_the_same_personas(self) -> None:
        """Ids, and with them scripts, are the same in another sandbox with that seed."""
        ids = []
        for seed in (7, 7, 8):
            with Sandbox(seed=seed) as sandbox:
                ids.append([create(sandbox)["id"] for _ in range(2)])
        assert ids[0] == ids[1]
        assert not set(ids[0]) & set(ids[2])

    def test_a_seed_never_makes_an_id_twice(self, tmp_path: Path) -> None:
        """In a folder that has the persona of that id already, the next one is taken."""
        with Sandbox(tmp_path, seed=7) as sandbox:
            first = create(sandbox)["id"]
        with Sandbox(tmp_path, seed=7) as sandbox:
            assert create(sandbox)["id"] != first
            assert len(call(sandbox, "GET", FILES).json()) == 2


class TestBadInput:
    """One sentence each."""

    @pytest.mark.parametrize("speed", [0, -1, float("nan"), float("inf")])
    def test_a_speed_that_is_none(self, speed: float) -> None:
        """Only positive, finite speeds are taken."""
        with pytest.raises(ConfigError, match="speed must be a positive number"):
            Sandbox(speed=speed)

    def test_a_port_that_is_taken(self, tmp_path: Path) -> None:
        """It names the port and the way out, and lets go of the folder."""
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            with pytest.raises(ConfigError, match=rf"Port {port} .* is taken .* another port"):
                Sandbox(tmp_path, port=port).start()
        with Sandbox(tmp_path, port=port) as sandbox:
            assert sandbox.url.endswith(f":{port}")

    @pytest.mark.parametrize(
        ("options", "text"),
        [
            ({"port": 70_000}, "Port 70000 does not exist"),
            ({"host": "192.0.2.1"}, "192.0.2.1 is not an address of this machine"),
        ],
    )
    def test_an_address_that_is_none(self, options: dict[str, Any], text: str) -> None:
        """Neither a port beyond all ports nor the host of somebody else."""
        with pytest.raises(ConfigError, match=text):
            Sandbox(**options).start()

    def test_a_port_that_is_not_allowed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The error names a port that the user may not open."""

        def bind(*_: object) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(socket.socket, "bind", bind)
        with pytest.raises(ConfigError, match=r"Port 80 .* is not allowed"):
            Sandbox(port=80).start()

    @pytest.mark.parametrize(("file", "folder"), [("x", "x"), ("x", "x/y"), ("personas", "")])
    def test_a_file_in_the_way_of_the_folder(self, tmp_path: Path, file: str, folder: str) -> None:
        """It names the folder and asks for another, also when it is only found later."""
        (tmp_path / file).touch()
        with pytest.raises(ConfigError, match=r"cannot use the folder .*; choose another"):
            Sandbox(tmp_path / folder).start()

    def test_a_disk_that_is_full_at_the_start_or_end(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """A start is refused with a sentence; a stop goes on to its end, and says it."""

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr("avatarkit.sandbox.state.files.write_private", full)
            with pytest.raises(ConfigError, match=r"cannot use the folder .*No space left"):
                Sandbox(tmp_path).start()
        sandbox = Sandbox(tmp_path).start()
        with monkeypatch.context() as patch:
            patch.setattr("avatarkit.sandbox.state.files.write_private", full)
            sandbox.stop()
        assert "The sandbox cannot keep its clock: No space left on device." in caplog.messages
        with Sandbox(tmp_path) as again:
            assert again.clock.now() >= sandbox.clock.now()

    @pytest.mark.parametrize("text", ["{", '{"api_id": "sandbox-1"}', '{"api_id":1,"api_key":2}'])
    def test_keys_that_cannot_be_read(self, tmp_path: Path, text: str) -> None:
        """It says what to delete, and shows nothing of what is in the file."""
        (tmp_path / "keys.json").write_text(text)
        with pytest.raises(ConfigError, match=r"keys\.json cannot be read; delete it"):
            Sandbox(tmp_path).start()


def test_a_sandbox_does_not_need_the_main_thread() -> None:
    """It starts and stops from any thread, each time from another one."""
    sandbox = Sandbox()
    for action in (sandbox.start, sandbox.stop):
        thread = threading.Thread(target=action)
        thread.start()
        thread.join()
    assert multiprocessing.active_children() == []
    with pytest.raises(httpx.ConnectError):
        create(sandbox)


def test_a_replaced_asyncio_run_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """nest_asyncio and debuggers replace it by one without ``loop_factory``."""

    def run(main: object, *, debug: bool = False) -> None:
        raise AssertionError("The sandbox's server has a loop of its own.")

    monkeypatch.setattr(asyncio, "run", run)
    # On Python 3.12 and newer it is asyncio.run as it was when uvicorn was imported.
    monkeypatch.setattr("uvicorn.server.asyncio_run", run)
    with Sandbox() as sandbox:
        create(sandbox)
