"""What a sandbox keeps in its folder, over restarts and kills."""

from __future__ import annotations

import json
import socket
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from avatarkit.clock import ScaledClock
from avatarkit.sandbox import Sandbox
from avatarkit.sandbox.state.clocks import ServedClock
from avatarkit.sandbox.state.files import SERVING, Folder
from avatarkit.sandbox.state.heartbeat import AHEAD_S, Heartbeat
from support.sandbox_client import FILES, call, create
from support.sandbox_process import kind_of, serving

if TYPE_CHECKING:
    from support.manual_clock import ManualClock


class TestKeeping:
    """A folder keeps everything for the next start."""

    def test_everything_is_there_again(self, tmp_path: Path) -> None:
        """Keys, port, personas and files survive, and the clock stood still meanwhile."""
        folder = tmp_path / "deep" / "folder"
        with Sandbox(folder) as sandbox:
            kept = (sandbox.url, sandbox.api_id, sandbox.api_key)
            clock = sandbox.clock
            created = [create(sandbox, labels=["x"], keywords="é") for _ in range(3)]
            before = call(sandbox, "GET", FILES).json()
            doomed = created[1]["id"]
            assert call(sandbox, "DELETE", f"/api/personas/{doomed}/").status_code == 204
        stood = clock.now()
        assert clock.now() == stood
        with Sandbox(folder, speed=1) as sandbox:
            assert (sandbox.url, sandbox.api_id, sandbox.api_key) == kept
            assert timedelta(0) <= sandbox.clock.now() - stood < timedelta(minutes=30)
            after = call(sandbox, "GET", FILES).json()
            assert [each["id"] for each in after] == [before[0]["id"], before[2]["id"]]
            assert [each["created_at"] for each in after] == [
                each["created_at"] for each in (before[0], before[2])
            ]

    def test_the_files_are_for_their_owner_only(self, tmp_path: Path) -> None:
        """Other users can neither read keys nor enter the folder."""
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
        """A broken record is logged and skipped, not deleted; the others are served."""
        with Sandbox(tmp_path) as sandbox:
            good, *bad = [create(sandbox)["id"] for _ in range(6)]
        records = [tmp_path / "personas" / each / "persona.json" for each in bad]
        records[0].write_text('{"id": "x"')
        records[1].write_text("[]")
        records[2].unlink()
        for path, change in ((records[3], {"format": 99}), (records[4], {"id": "other"})):
            path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
        with Sandbox(tmp_path) as sandbox:
            listed = call(sandbox, "GET", FILES).json()
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
            assert call(sandbox, "GET", FILES).json() == []

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
            assert kind_of(process) == "Sandbox"
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
            listed = call(sandbox, "GET", FILES).json()
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
            assert kind_of(process) == "Sandbox"
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
            listed = {e["id"] for e in call(sandbox, "GET", FILES).json()}
        assert set(answered) <= listed
        assert not [m for m in caplog.messages if "aside" in m]


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

    def test_a_folder_that_cannot_be_written_is_kind_of(
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
