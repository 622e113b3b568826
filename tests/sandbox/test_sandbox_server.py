"""Starting, stopping, killing and sharing a sandbox."""

from __future__ import annotations

import gc
import json
import logging
import multiprocessing
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from avatarkit.clock import ScaledClock
from avatarkit.errors import ConfigError
from avatarkit.sandbox import Attached, Sandbox
from avatarkit.sandbox.state.clocks import FollowedClock, ServedClock
from avatarkit.sandbox.state.files import SERVING, Folder, Reading, read_serving
from avatarkit.sandbox.state.folder_lock import FolderServed
from avatarkit.sandbox.state.heartbeat import AHEAD_S, Heartbeat
from avatarkit.sandbox.web import control

if TYPE_CHECKING:
    from conftest import ManualClock

ROOT = Path(__file__).resolve().parents[2]
ADA = {"gender": "f", "creator_name": "Ada"}

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
    """A process that serves that folder, or is attached to who does."""
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


def said(process: subprocess.Popen[str]) -> str:
    """The line in which that process says what it is."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def create(sandbox: Sandbox | Attached, **fields: Any) -> dict[str, Any]:
    """What the API answers to a create."""
    return call(sandbox, "POST", "/api/personas_v2/", json={**ADA, **fields}).json()


def call(sandbox: Sandbox | Attached, method: str, path: str, **more: Any) -> httpx.Response:
    """One call with the keys."""
    keys = {"X-API-ID": sandbox.api_id, "X-API-KEY": sandbox.api_key}
    url = sandbox.url + path
    return httpx.request(method, url, headers=keys, trust_env=False, **more)


class TestStarting:
    """``start()`` and ``stop()``."""

    def test_it_answers_between_start_and_stop(self) -> None:
        """Right after start it answers, right after stop it does not; its folder is gone."""
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
        assert call(sandbox, "GET", "/api/personas_v2/").status_code == 200
        sandbox.stop()
        sandbox.stop()

    def test_it_can_be_started_again(self) -> None:
        """Without a folder of its own it begins anew, but its clock goes on."""
        sandbox = Sandbox(speed=86_400)
        with sandbox:
            clock, before = sandbox.clock, sandbox.api_id
            create(sandbox)
        stood = clock.now()
        with sandbox:
            assert sandbox.clock is clock
            assert clock.now() >= stood
            assert sandbox.api_id != before
            assert call(sandbox, "GET", "/api/personas_v2/").json() == []

    @pytest.mark.parametrize("name", ["url", "api_id", "api_key", "clock", "folder"])
    def test_before_the_start_there_is_nothing_to_tell(self, name: str) -> None:
        """Attributes of a sandbox that never ran say that it has to be started."""
        with pytest.raises(ConfigError, match="not been started"):
            getattr(Sandbox(), name)

    def test_nothing_is_left_running(self) -> None:
        """Also with idle connections of clients, stop is quick and leaves no thread or socket."""
        before = set(threading.enumerate())
        sandbox = Sandbox().start()
        assert len(set(threading.enumerate()) - before) >= 2
        with httpx.Client(base_url=sandbox.url, trust_env=False) as client:
            client.get("/_sandbox/")
            began = time.monotonic()
            sandbox.stop()
            assert time.monotonic() - began < 4.5
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
        """Ids, and with them lives, are the same in another sandbox with that seed."""
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
            assert len(call(sandbox, "GET", "/api/personas_v2/").json()) == 2


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
        """A port for which the user lacks the right is said to be one."""

        def bind(*_: object) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(socket.socket, "bind", bind)
        with pytest.raises(ConfigError, match=r"Port 80 .* is not allowed"):
            Sandbox(port=80).start()

    @pytest.mark.parametrize("where", ["", "below"])
    def test_a_folder_that_is_a_file(self, tmp_path: Path, where: str) -> None:
        """It names the folder and asks for another."""
        file = tmp_path / "file"
        file.touch()
        with pytest.raises(ConfigError, match=r"cannot use the folder .*; choose another"):
            Sandbox(file / where).start()

    def test_a_folder_in_which_a_file_is_in_the_way(self, tmp_path: Path) -> None:
        """The same when it is only found later."""
        (tmp_path / "personas").touch()
        with pytest.raises(ConfigError, match="cannot use the folder"):
            Sandbox(tmp_path).start()

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

    def test_a_step_back_in_time(self, manual_clock: ManualClock) -> None:
        """Neither a step back nor a jump of a clock that is not its own."""
        with Sandbox() as sandbox, pytest.raises(ConfigError, match="cannot be set back"):
            sandbox.advance(days=-1)
        with (
            Sandbox(clock=manual_clock) as sandbox,
            pytest.raises(ConfigError, match="cannot be advanced"),
        ):
            sandbox.advance(days=1)


class TestKeeping:
    """A folder keeps everything for the next start."""

    def test_everything_is_there_again(self, tmp_path: Path) -> None:
        """Keys, port, personas and files survive, and the clock stood still meanwhile."""
        folder = tmp_path / "deep" / "folder"
        with Sandbox(folder) as sandbox:
            kept = (sandbox.url, sandbox.api_id, sandbox.api_key)
            clock = sandbox.clock
            created = [create(sandbox, labels=["x"], keywords="é") for _ in range(3)]
            before = call(sandbox, "GET", "/api/personas_v2/").json()
            doomed = created[1]["id"]
            assert call(sandbox, "DELETE", f"/api/personas/{doomed}/").status_code == 204
        stood = clock.now()
        assert clock.now() == stood
        with Sandbox(folder, speed=1) as sandbox:
            assert (sandbox.url, sandbox.api_id, sandbox.api_key) == kept
            assert timedelta(0) <= sandbox.clock.now() - stood < timedelta(seconds=5)
            after = call(sandbox, "GET", "/api/personas_v2/").json()
            assert [each["id"] for each in after] == [before[0]["id"], before[2]["id"]]
            assert [each["created_at"] for each in after] == [
                each["created_at"] for each in (before[0], before[2])
            ]

    def test_the_files_are_for_their_owner_only(self, tmp_path: Path) -> None:
        """Nobody else can read keys or enter the folder."""
        folder = tmp_path / "new"
        with Sandbox(folder) as sandbox:
            assert sandbox.api_id.startswith("sandbox-")
            assert len(sandbox.api_id) == len("sandbox-") + 12
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
            for name in ("keys.json", SERVING, "clock.json"):
                assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
        assert not (folder / SERVING).exists()

    def test_another_port_is_found_when_the_last_one_is_taken(self, tmp_path: Path) -> None:
        """Somebody else's port is not waited for."""
        with Sandbox(tmp_path) as sandbox:
            url = sandbox.url
        taken = int(url.rsplit(":", 1)[1])
        with socket.create_server(("127.0.0.1", taken)), Sandbox(tmp_path) as sandbox:
            assert sandbox.url != url

    def test_what_cannot_be_read_is_left_aside(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A broken record is said and skipped, not deleted; the others are served."""
        with Sandbox(tmp_path) as sandbox:
            good, *bad = [create(sandbox)["id"] for _ in range(6)]
        records = [tmp_path / "personas" / each / "persona.json" for each in bad]
        records[0].write_text('{"id": "x"')
        records[1].write_text("[]")
        records[2].unlink()
        for path, change in ((records[3], {"format": 99}), (records[4], {"id": "other"})):
            path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
        with Sandbox(tmp_path) as sandbox:
            listed = call(sandbox, "GET", "/api/personas_v2/").json()
        assert [each["id"] for each in listed] == [good]
        assert len([m for m in caplog.messages if "leaves" in m and "aside" in m]) == 5
        assert len(list((tmp_path / "personas").iterdir())) == 6

    def test_a_moment_without_an_offset_is_no_record(self, tmp_path: Path) -> None:
        """Nor is it a moment for the clock to go on from."""
        with Sandbox(tmp_path) as sandbox:
            persona_id = create(sandbox)["id"]
        record = tmp_path / "personas" / persona_id / "persona.json"
        value = json.loads(record.read_text())
        record.write_text(json.dumps({**value, "created_at": "2026-01-01T00:00:00"}))
        (tmp_path / "clock.json").write_text('{"moment": "2026-01-01T00:00:00"}')
        assert Folder(tmp_path).clock() is None
        with Sandbox(tmp_path) as sandbox:
            assert call(sandbox, "GET", "/api/personas_v2/").json() == []

    def test_another_clock_is_neither_stopped_nor_kept(self, tmp_path: Path) -> None:
        """A clock that was given goes on after stop, and leaves no trace in the folder."""
        clock = ScaledClock(datetime(2020, 1, 1, tzinfo=UTC), 1000)
        with Sandbox(tmp_path, clock=clock) as sandbox:
            assert sandbox.clock is clock
            assert sandbox.advance(days=1) > datetime(2020, 1, 2, tzinfo=UTC)
        assert clock.reading()[1] is not None
        assert Folder(tmp_path).clock() is None

    def test_jumps_are_written_down_at_once(self, tmp_path: Path) -> None:
        """After advance the written clock is ahead, so that a kill cannot take it back."""
        with Sandbox(tmp_path) as sandbox:
            moment = sandbox.advance(days=2, hours=1)
            kept = Folder(tmp_path).clock()
            assert kept is not None
            assert kept >= moment
        kept = Folder(tmp_path).clock()
        assert kept is not None
        assert moment <= kept == sandbox.clock.now()

    def test_a_folder_served_elsewhere_meanwhile_moves_the_clock(self, tmp_path: Path) -> None:
        """A sandbox that is started again goes on from where the other one stopped."""
        first = Sandbox(tmp_path)
        with first:
            pass
        with Sandbox(tmp_path) as second:
            moment = second.advance(days=3)
        with first:
            assert first.clock.now() >= moment

    def test_nothing_is_written_while_the_clock_is_within_what_is_written(
        self, tmp_path: Path
    ) -> None:
        """The written moment only moves ahead, until the exact one is written at the end."""
        folder, moment = Folder(tmp_path), datetime(2026, 1, 1, tzinfo=UTC)
        folder.keep_clock(moment)
        folder.keep_clock(moment - timedelta(hours=1))
        assert folder.clock() == moment
        folder.keep_clock(moment - timedelta(hours=1), exact=True)
        assert folder.clock() == moment - timedelta(hours=1)


class TestKilling:
    """kill -9 at any time."""

    def test_everything_survives_and_the_clock_never_goes_back(self, tmp_path: Path) -> None:
        """What was answered is there again, what came in is swept away, and time goes on."""
        with serving(tmp_path, speed=86_400) as process:
            assert said(process) == "Sandbox"
            attached = Sandbox.attach(tmp_path)
            assert attached is not None
            ids = [create(attached)["id"] for _ in range(5)]
            (tmp_path / "incoming" / "half").mkdir()
            seen = datetime.fromisoformat(
                httpx.get(f"{attached.url}/_sandbox/", trust_env=False).json()["now"]
            )
            process.kill()
        assert (tmp_path / SERVING).exists()
        assert Sandbox.attach(tmp_path) is None
        with Sandbox(tmp_path) as sandbox:
            assert sandbox.clock.now() >= seen
            listed = call(sandbox, "GET", "/api/personas_v2/").json()
            assert [each["id"] for each in listed] == ids[::-1]
            assert list((tmp_path / "incoming").iterdir()) == []
            assert sandbox.api_key == attached.api_key

    @pytest.mark.parametrize("count", [0, 1, 10])
    def test_a_kill_while_personas_come_in_leaves_whole_ones(
        self, tmp_path: Path, count: int, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Every persona that was answered is there; none is left aside."""
        answered: list[str] = []
        enough = threading.Event()
        with serving(tmp_path) as process:
            assert said(process) == "Sandbox"
            attached = Sandbox.attach(tmp_path)
            assert attached is not None

            def keep_creating() -> None:
                try:
                    while True:
                        if len(answered) >= count:
                            enough.set()
                        answered.append(create(attached)["id"])
                except httpx.HTTPError:
                    pass

            with ThreadPoolExecutor(2) as pool:
                futures = [pool.submit(keep_creating) for _ in range(2)]
                assert enough.wait(30)
                process.kill()
            for future in futures:
                future.result()
        with Sandbox(tmp_path) as sandbox:
            listed = {e["id"] for e in call(sandbox, "GET", "/api/personas_v2/").json()}
        assert set(answered) <= listed
        assert not [m for m in caplog.messages if "aside" in m]


class TestSharing:
    """One folder, several processes."""

    def test_a_second_sandbox_is_refused(self, tmp_path: Path) -> None:
        """It names the folder and the ways out."""
        with (
            Sandbox(tmp_path),
            pytest.raises(ConfigError, match=r"Another process serves .*Sandbox\.attach"),
        ):
            Sandbox(tmp_path).start()

    def test_whoever_attaches_sees_the_same(self, tmp_path: Path) -> None:
        """URL, keys and clock are those of the sandbox, and stopping leaves it running."""
        with Sandbox(str(tmp_path), speed=86_400) as sandbox:
            with Sandbox.attach(tmp_path) as attached:  # type: ignore[union-attr]
                assert (attached.url, attached.api_id, attached.api_key) == (
                    sandbox.url,
                    sandbox.api_id,
                    sandbox.api_key,
                )
                before, there, after = (
                    sandbox.clock.now(),
                    attached.clock.now(),
                    sandbox.clock.now(),
                )
                assert before <= there <= after
                assert attached.clock.speed == 86_400
            assert create(attached)["process_status"] == "pending"

    def test_jumps_are_followed(self, tmp_path: Path) -> None:
        """When the sandbox jumps ahead, an attached clock does so too; only there it can."""
        with Sandbox(tmp_path) as sandbox:
            attached = Sandbox.attach(tmp_path)
            assert attached is not None
            moment = sandbox.advance(days=30)
            assert attached.clock.now() >= moment
            assert attached.clock.now() <= sandbox.clock.now()
            with pytest.raises(ConfigError, match="advance it in that process"):
                attached.clock.advance(timedelta(days=1))

    def test_an_attached_clock_stands_while_nobody_serves(self, tmp_path: Path) -> None:
        """It stands at what it showed last, and goes on when the folder is served again."""
        with Sandbox(tmp_path, speed=86_400) as sandbox:
            attached = Sandbox.attach(tmp_path)
            assert attached is not None
            shown = attached.clock.now()
        assert attached.clock.now() == shown
        assert attached.clock.now() == shown
        with sandbox:
            assert shown < attached.clock.now() <= sandbox.clock.now()

    def test_a_clock_that_cannot_tell_its_speed_is_followed_by_its_moments(
        self, tmp_path: Path, manual_clock: ManualClock
    ) -> None:
        """An attached clock stands at the moment that was announced last."""
        with Sandbox(tmp_path, clock=manual_clock):
            attached = Sandbox.attach(tmp_path)
            assert attached is not None
            assert attached.clock.now() == manual_clock.now()

    @pytest.mark.parametrize("text", ["", "[]", '{"instance": 1}', "{}"])
    def test_what_is_no_announcement_does_not_count(self, tmp_path: Path, text: str) -> None:
        """A file of any other kind is as good as none."""
        (tmp_path / SERVING).write_text(text)
        assert Sandbox.attach(tmp_path) is None

    def test_an_announcement_of_somebody_else_does_not_count(self, tmp_path: Path) -> None:
        """When another sandbox answers there by now, or no sandbox at all, nobody serves."""
        one, other = tmp_path / "one", tmp_path / "other"
        with Sandbox(one):
            announced = json.loads((one / SERVING).read_text())
        with Sandbox(other) as sandbox, socket.create_server(("127.0.0.1", 0)) as silent:
            urls = [sandbox.url, "nonsense", "http://127.0.0.1:99999", "http://[::1"]
            silent.close()
            urls.append(f"http://127.0.0.1:{1}")
            for url in urls:
                (one / SERVING).write_text(json.dumps({**announced, "url": url}))
                assert Sandbox.attach(one) is None
            with Sandbox(one) as own:
                assert own.url != sandbox.url

    def test_of_several_at_once_one_serves_and_the_others_attach(self, tmp_path: Path) -> None:
        """Two processes and two threads that begin at the same moment get one sandbox."""
        with serving(tmp_path) as first, serving(tmp_path) as second:
            with ThreadPoolExecutor(2) as pool:
                served = list(pool.map(Sandbox.attach_or_start, [tmp_path] * 2))
            kinds = [said(first), said(second), *(type(each).__name__ for each in served)]
            assert sorted(kinds) == ["Attached", "Attached", "Attached", "Sandbox"]
            assert {each.api_id for each in served} == {read_serving_id(tmp_path)}
            for each in served:
                each.stop()

    def test_waiting_for_a_sandbox_that_never_answers_ends(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A folder that is locked while nobody answers is an error, after some patience."""
        monkeypatch.setattr("avatarkit.sandbox.server._ATTACH_PATIENCE_S", 0.1)
        with Sandbox(tmp_path):
            (tmp_path / SERVING).unlink()
            with pytest.raises(FolderServed):
                Sandbox.attach_or_start(tmp_path)

    def test_another_host_is_not_told_who_serves(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The control route answers on loopback only."""
        with Sandbox(tmp_path, host="0.0.0.0") as sandbox:  # noqa: S104 - the point of the test
            assert sandbox.url.startswith("http://127.0.0.1:")
            url = f"{sandbox.url}/_sandbox/"
            assert httpx.get(url, trust_env=False).status_code == 200
            monkeypatch.setattr(control, "ip_address", lambda _: IPv4Address("192.0.2.1"))
            assert httpx.get(url, trust_env=False).status_code == 404

    @pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")
    def test_it_can_listen_on_ipv6(self) -> None:
        """The URL has the address in brackets."""
        with Sandbox(host="::1") as sandbox:
            assert sandbox.url.startswith("http://[::1]:")
            assert create(sandbox)["process_status"] == "pending"


class TestHeartbeat:
    """What is written once a second, without waiting for it."""

    def test_the_clock_is_written_ahead(self, tmp_path: Path) -> None:
        """Each beat writes a moment that is two wall seconds ahead."""
        folder, clock = Folder(tmp_path), ServedClock(datetime(2026, 1, 1, tzinfo=UTC), 1000)
        beat = Heartbeat(folder, clock, lambda: None)
        before = clock.now()
        beat.beat()
        kept = folder.clock()
        assert kept is not None
        assert before + timedelta(seconds=1000 * AHEAD_S) <= kept
        assert kept <= clock.now() + timedelta(seconds=1000 * AHEAD_S)

    def test_only_changes_are_announced(self, tmp_path: Path, manual_clock: ManualClock) -> None:
        """A reading that is still right is not written again."""
        announced: list[datetime] = []
        beat = Heartbeat(
            Folder(tmp_path), manual_clock, lambda: announced.append(manual_clock.now())
        )
        beat.beat()
        assert announced == []
        manual_clock.advance(timedelta(hours=1))
        beat.beat()
        beat.beat()
        assert announced == [manual_clock.now()]
        assert Folder(tmp_path).clock() is None

    def test_a_folder_that_cannot_be_written_is_said(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """One sentence in the log, and the heart goes on beating."""
        monkeypatch.setattr("avatarkit.sandbox.state.heartbeat.INTERVAL_S", 0.001)
        clock = ServedClock(datetime(2026, 1, 1, tzinfo=UTC), 1)
        beaten = threading.Event()

        class Broken(Folder):
            def keep_clock(self, moment: datetime, *, exact: bool = False) -> None:
                if caplog.messages:
                    beaten.set()
                elif threading.current_thread() is not threading.main_thread():
                    raise OSError(28, "No space left on device")

        heartbeat = Heartbeat(Broken(tmp_path), clock, lambda: None)
        heartbeat.start()
        assert beaten.wait(10)
        heartbeat.stop()
        assert caplog.messages[0] == "The sandbox cannot keep its clock: No space left on device."

    def test_a_followed_clock_never_runs_backwards(self, tmp_path: Path) -> None:
        """Also when an earlier reading is announced."""
        start = datetime(2026, 1, 2, tzinfo=UTC)
        with Sandbox(tmp_path, clock=ScaledClock(start, 1)) as sandbox:
            serving_now = read_serving(tmp_path / SERVING)
            assert serving_now is not None
            later = Reading(start + timedelta(days=9), None, 1.0)
            clock = FollowedClock(tmp_path / "later.json", later)
            assert clock.now() >= start
            clock = FollowedClock(tmp_path / SERVING, later)
            shown = clock.now()
            assert sandbox.clock.now() <= shown
            assert clock.now() >= shown


def read_serving_id(folder: Path) -> str:
    """The API id that the one who serves the folder announces."""
    serving_now = read_serving(folder / SERVING)
    assert serving_now is not None
    return serving_now.keys.api_id


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
