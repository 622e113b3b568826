"""One folder, several processes."""

from __future__ import annotations

import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from avatarkit import PersonaCreate, Settings, open_session
from avatarkit.clock import ScaledClock
from avatarkit.errors import ConfigError, ConnectionFailed
from avatarkit.sandbox import Attached, Sandbox
from avatarkit.sandbox.state.clocks import FollowedClock
from avatarkit.sandbox.state.files import SERVING, Reading, read_serving
from avatarkit.sandbox.state.folder_lock import FolderServed
from avatarkit.sandbox.web import control
from support.sandbox_client import create
from support.sandbox_process import kind_of, serving

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from avatarkit.session import Session
    from support.manual_clock import ManualClock


class TestSharing:
    """Who serves, who attaches, and which clock they see."""

    def test_a_second_sandbox_is_refused(self, tmp_path: Path) -> None:
        """It names the folder and the ways out."""
        with (
            Sandbox(tmp_path),
            pytest.raises(ConfigError, match=r"Another process serves .*Sandbox\.attach"),
        ):
            Sandbox(tmp_path).start()

    def test_what_is_attached_is_the_same(self, tmp_path: Path) -> None:
        """URL, keys and clock are those of the sandbox, and stopping leaves it running."""
        with Sandbox(str(tmp_path), speed=86_400) as sandbox:
            with Sandbox.attach(tmp_path) as attached:  # type: ignore[union-attr]
                for name in ("url", "api_id", "api_key"):
                    assert getattr(attached, name) == getattr(sandbox, name)
                before = sandbox.clock.now()
                assert before <= attached.clock.now() <= sandbox.clock.now()
                assert attached.clock.speed == 86_400
            assert create(attached)["process_status"] == "pending"

    def test_jumps_are_followed(self, tmp_path: Path) -> None:
        """When the sandbox jumps ahead, an attached clock does so too; it cannot jump itself."""
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
        """A file that cannot be read counts as none."""
        (tmp_path / SERVING).write_text(text)
        assert Sandbox.attach(tmp_path) is None

    def test_an_announcement_of_another_sandbox_does_not_count(self, tmp_path: Path) -> None:
        """When another sandbox answers at that address, or none, the folder is not served."""
        folder, other = tmp_path / "folder", tmp_path / "other"
        with Sandbox(folder):
            announced = json.loads((folder / SERVING).read_text())
        with Sandbox(other) as sandbox, socket.create_server(("127.0.0.1", 0)) as silent:
            urls = [sandbox.url, "nonsense", "http://127.0.0.1:99999", "http://[::1"]
            silent.close()
            urls.append(f"http://127.0.0.1:{1}")
            for url in urls:
                (folder / SERVING).write_text(json.dumps({**announced, "url": url}))
                assert Sandbox.attach(folder) is None
            with Sandbox(folder) as own:
                assert own.url != sandbox.url

    def test_of_several_at_once_one_serves_and_the_others_attach(self, tmp_path: Path) -> None:
        """Two processes and two threads that begin at the same moment get one sandbox."""
        with serving(tmp_path) as first, serving(tmp_path) as second:
            with ThreadPoolExecutor(2) as pool:
                served = list(pool.map(Sandbox.attach_or_start, [tmp_path] * 2))
            kinds = [kind_of(first), kind_of(second), *(type(each).__name__ for each in served)]
            assert sorted(kinds) == ["Attached", "Attached", "Attached", "Sandbox"]
            assert {each.api_id for each in served} == {read_serving_id(tmp_path)}
            for each in served:
                each.stop()

    def test_waiting_for_a_sandbox_that_never_answers_ends(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A folder that is locked while no sandbox answers is an error, after some patience."""
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
            monkeypatch.setattr(control, "is_loopback", lambda _: False)
            assert httpx.get(url, trust_env=False).status_code == 404

    @pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")
    def test_it_can_listen_on_ipv6(self) -> None:
        """The URL has the address in brackets."""
        with Sandbox(host="::1") as sandbox:
            assert sandbox.url.startswith("http://[::1]:")
            assert create(sandbox)["process_status"] == "pending"

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
    """Return the API id that the folder announces."""
    serving_now = read_serving(folder / SERVING)
    assert serving_now is not None
    return serving_now.api_id


@contextmanager
def attached_session(folder: Path) -> Iterator[tuple[subprocess.Popen[str], Session]]:
    """Yield the process that serves a sandbox, and a session that is attached to it."""
    settings = Settings(data_dir=folder, sandbox_speed=86_400)
    with serving(settings.folder / "api", speed=86_400) as owner:
        assert kind_of(owner) == "Sandbox"
        with open_session(settings) as session:
            assert isinstance(session.sandbox, Attached)
            yield owner, session


class TestAnOwnerThatEnds:
    """A process that is attached notices, takes over, and uses no clock that stands still."""

    def test_its_clock_stands_still(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Also when the owner was killed, so that its announcement is still there."""
        with Sandbox(tmp_path, speed=86_400) as sandbox:
            attached = Sandbox.attach(tmp_path)
            assert attached is not None
            assert attached.clock.now() <= sandbox.clock.now()
            monkeypatch.setattr("psutil.pid_exists", lambda _: False)
            stood = attached.clock.now()
            moment = sandbox.advance(days=30)
            assert attached.clock.now() == stood
            monkeypatch.setattr("psutil.pid_exists", lambda _: True)
            assert attached.clock.now() >= moment

    def test_a_wait_takes_over(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        """Without a tracker that runs, too; and the session is the one that is opened again."""
        with attached_session(tmp_path) as (owner, session):
            request = PersonaCreate(creator_name="Ada", gender="f", labels=["sandbox:done"])
            persona = session.tracker.submit(request)
            owner.kill()
            owner.wait()
            ended = session.tracker.wait(persona.id, timeout=60)
            assert ended.status_text == "done"
            assert caplog.text.count("this one goes on serving it") == 1
            assert open_session(session.settings) is session
            session.close()

    def test_the_tracker_takes_over(self, tmp_path: Path) -> None:
        """It says so once, and the avatar goes on to its end at the same address."""
        with attached_session(tmp_path) as (owner, session):
            request = PersonaCreate(creator_name="Ada", gender="f", labels=["sandbox:done"])
            persona = session.tracker.submit(request)
            owner.kill()
            owner.wait()
            assert not session.is_served
            with pytest.raises(ConnectionFailed, match=r"has ended; call open_session\(\) again"):
                session.client.get_persona(persona.id)
            reported: list[str] = []
            session.tracker.run(threading.Event(), on_error=reported.append, until_done=True)
            ended = session.store.persona(persona.id)
            assert ended is not None
            assert ended.status_text == "done"
            assert session.is_served
            taken_over = (
                "The process that served the sandbox has ended; this one goes on serving it."
            )
            assert reported.count(taken_over) == 1
            assert session.client.get_persona(persona.id).id == persona.id
        assert Sandbox.attach(session.settings.folder / "api") is None

    def test_an_address_that_is_taken_is_said(self, tmp_path: Path) -> None:
        """Without its port the sandbox cannot be reached by this session, which says what to do."""
        with attached_session(tmp_path) as (owner, session):
            owner.kill()
            owner.wait()
            port = httpx.URL(session.client.base_url).port
            assert port is not None
            with socket.create_server(("127.0.0.1", port)):
                reported: list[str] = []
                session.tracker.run(threading.Event(), on_error=reported.append, once=True)
            assert (
                f"not served at http://127.0.0.1:{port} any more; call open_session()"
                in reported[-1]
            )
