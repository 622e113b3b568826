"""What is wrong with a video ends its persona in video_validating; found out in the background."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from avatarkit import preflight
from avatarkit.models import TERMINAL, as_status
from avatarkit.sandbox import Sandbox
from avatarkit.sandbox.footage import talking_head
from avatarkit.sandbox.personas import status, video_checks
from avatarkit.sandbox.personas.video_checks import RESULT_FILE, CheckResult
from support.sandbox_client import ADA, COUNT, FILES, client_of, until

if TYPE_CHECKING:
    from support.manual_clock import ManualClock

TEXT = ("a.mp4", b"just a text", "video/mp4")


@pytest.fixture(scope="module")
def mute(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the same without sound."""
    path = tmp_path_factory.mktemp("clip") / "mute.mp4"
    return talking_head(path, seconds=1, width=128, height=192, fps=10, audio=False)


def upload(api: httpx.Client, label: str = "sandbox:done", **files: Any) -> str:
    """Return the id of a new persona with these files."""
    answer = api.post(FILES, data={**ADA, "labels": [label]}, files=files)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def shown(api: httpx.Client, persona_id: str) -> dict[str, Any]:
    """Return that persona as GET by id shows it."""
    answer = api.get(f"/api/personas/{persona_id}/")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def statuses(api: httpx.Client, clock: ManualClock, persona_id: str) -> list[str]:
    """Return the statuses of the next five days, each once, hour by hour."""
    seen: list[str] = []
    for _ in range(121):
        status = shown(api, persona_id)["process_status"]
        if status not in seen:
            seen.append(status)
        clock.advance(timedelta(hours=1))
    return seen


def running_checks() -> list[threading.Thread]:
    """Return the threads that check videos."""
    return [each for each in threading.enumerate() if each.name == "sandbox-video-checks"]


class Slow:
    """Stands for the check of a long video: it ends when ``go`` is set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, result: CheckResult) -> None:
        self.begun, self.go = threading.Event(), threading.Event()
        self.calls = 0
        self._result = result
        monkeypatch.setattr(video_checks, "check_videos", self)

    def __call__(self, videos: Mapping[str, str], place: Path) -> CheckResult:
        self.calls += 1
        self.begun.set()
        assert self.go.wait(10)
        return self._result


class TestFlaws:
    """What preflight finds fatal."""

    @pytest.mark.parametrize("case", ["text", "mute", "cut"])
    def test_it_fails_in_validation_with_the_reason_of_preflight(
        self, manual_clock: ManualClock, tmp_path: Path, mute: Path, clip: Path, case: str
    ) -> None:
        """Accepted, then as far as video_validating, and failed there, whatever a label asks."""
        content = {
            "text": b"just a text",
            "mute": mute.read_bytes(),
            "cut": clip.read_bytes()[:-2000],
        }[case]
        path = tmp_path / "lipsync_input.mp4"
        path.write_bytes(content)
        report = preflight.check(path)
        assert report.reason
        with Sandbox(clock=manual_clock) as sandbox, client_of(sandbox) as api:
            persona_id = upload(api, lipsync_input=("a.mp4", content))
            stages = ["pending", "processing", "voice_creating", "video_validating", "failed"]
            assert statuses(api, manual_clock, persona_id) == stages
            failed = shown(api, persona_id)
        assert failed["failed_reason"] == report.reason.replace("lipsync_input.mp4", "The footage")
        assert "lipsync_input" not in failed["failed_reason"]
        assert (failed["is_active"], failed["preview_image_1_1"]) == (False, None)

    def test_a_consent_video_has_only_to_be_readable(
        self, manual_clock: ManualClock, clip: Path, mute: Path
    ) -> None:
        """Without sound it is fine; what cannot be read fails, and the reason names it."""
        with Sandbox(clock=manual_clock) as sandbox, client_of(sandbox) as api:
            footage = ("a.mp4", clip.read_bytes())
            fine = upload(api, lipsync_input=footage, consent_video=("a.mp4", mute.read_bytes()))
            bad = upload(api, lipsync_input=footage, consent_video=TEXT)
            alone = upload(api, consent_video=("a.mp4", mute.read_bytes()))
            manual_clock.advance(timedelta(days=5))
            assert shown(api, fine)["process_status"] == "done"
            assert shown(api, alone)["process_status"] == "done"
            reason = shown(api, bad)["failed_reason"]
        assert reason.startswith("Consent video: The file is not an MP4 or QuickTime file")

    @pytest.mark.parametrize("label", ["sandbox:stuck", "sandbox:skips-stages"])
    def test_a_flaw_counts_only_where_the_script_gets_there(
        self, manual_clock: ManualClock, label: str
    ) -> None:
        """A life that is stuck before stays stuck; one that skips stages is validated too."""
        with Sandbox(clock=manual_clock) as sandbox, client_of(sandbox) as api:
            persona_id = upload(api, label, lipsync_input=TEXT)
            manual_clock.advance(timedelta(days=30))
            expected = "processing" if label == "sandbox:stuck" else "failed"
            assert shown(api, persona_id)["process_status"] == expected

    def test_a_fast_clock_changes_no_outcome(self, clip: Path) -> None:
        """At a day a second the same videos end the same way, and no status goes back."""
        with Sandbox(speed=86_400) as sandbox, client_of(sandbox) as api:
            good = upload(api, lipsync_input=("a.mp4", clip.read_bytes()))
            bad = upload(api, lipsync_input=TEXT)
            seen: dict[str, list[str]] = {good: [], bad: []}

            def all_ended() -> bool:
                for persona in api.get(FILES).json():
                    seen[persona["id"]].append(persona["process_status"])
                return all(as_status(each[-1]) in TERMINAL for each in seen.values())

            until(all_ended)
            assert (seen[good][-1], seen[bad][-1]) == ("done", "failed")
            assert not {"crop_and_matte", "reviewing"} & set(seen[bad])


class TestWaiting:
    """Calls while a video is being checked."""

    def test_a_create_does_not_wait_for_it(
        self, manual_clock: ManualClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The answer comes while the video is still being checked; so do earlier stages."""
        slow = Slow(monkeypatch, CheckResult("Bad.", ()))
        with Sandbox(clock=manual_clock) as sandbox, client_of(sandbox) as api:
            persona_id = upload(api, lipsync_input=TEXT)
            assert slow.begun.wait(5)
            assert shown(api, persona_id)["process_status"] == "pending"
            slow.go.set()

    def test_who_asks_about_later_waits_for_it(
        self, manual_clock: ManualClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """GET and list wait as soon as the answer depends on it; other calls go on meanwhile."""
        slow = Slow(monkeypatch, CheckResult("Bad.", ()))
        real_sleep, waits = asyncio.sleep, []

        async def wait(seconds: float) -> None:
            if seconds == status._TICK_S:
                waits.append(seconds)
            await real_sleep(seconds)

        monkeypatch.setattr(status.asyncio, "sleep", wait)
        with Sandbox(clock=manual_clock) as sandbox, client_of(sandbox) as api:
            persona_id = upload(api, lipsync_input=TEXT)
            manual_clock.advance(timedelta(days=5))
            with ThreadPoolExecutor(2) as pool:
                by_id = pool.submit(shown, api, persona_id)
                in_list = pool.submit(api.get, FILES)
                until(lambda: len(waits) > 10)
                assert api.get(COUNT).json()["current_count"] == 1
                assert not by_id.done()
                assert not in_list.done()
                slow.go.set()
                assert by_id.result()["failed_reason"] == "Bad."
                assert in_list.result().json()[0] == by_id.result()

    def test_the_wait_has_an_end(
        self,
        manual_clock: ManualClock,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """After it the persona is shown as still validating, and later as what it became."""
        monkeypatch.setattr(status, "PATIENCE_S", 0.05)
        slow = Slow(monkeypatch, CheckResult(None, ()))
        with Sandbox(clock=manual_clock) as sandbox, client_of(sandbox) as api:
            persona_id = upload(api, lipsync_input=TEXT)
            manual_clock.advance(timedelta(days=5))
            with caplog.at_level(logging.WARNING):
                assert shown(api, persona_id)["process_status"] == "video_validating"
            assert "still being checked" in caplog.text
            slow.go.set()
            monkeypatch.setattr(status, "PATIENCE_S", 10)
            assert shown(api, persona_id)["process_status"] == "done"

    def test_a_persona_that_is_deleted_meanwhile_is_forgotten(
        self,
        manual_clock: ManualClock,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """Nothing is left of it, and the next persona is checked."""
        slow = Slow(monkeypatch, CheckResult("Bad.", ()))
        with Sandbox(clock=manual_clock) as sandbox, client_of(sandbox) as api:
            first = upload(api, lipsync_input=TEXT)
            assert slow.begun.wait(5)
            assert api.delete(f"/api/personas/{first}/").status_code == 204
            slow.go.set()
            second = upload(api, lipsync_input=TEXT)
            manual_clock.advance(timedelta(days=5))
            assert shown(api, second)["failed_reason"] == "Bad."
            assert [each.name for each in (sandbox.folder / "personas").iterdir()] == [second]
        assert not [each for each in caplog.records if each.levelno >= logging.WARNING]


class TestKeeping:
    """Once, and for good."""

    def test_a_result_is_kept_and_not_found_out_again(
        self, manual_clock: ManualClock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """After a restart it is read from its file beside the persona."""
        with Sandbox(tmp_path, clock=manual_clock) as sandbox, client_of(sandbox) as api:
            persona_id = upload(api, lipsync_input=TEXT)
            manual_clock.advance(timedelta(days=5))
            before = shown(api, persona_id)
        kept = json.loads((tmp_path / "personas" / persona_id / RESULT_FILE).read_text())
        assert kept == {"flaw": before["failed_reason"], "previews": []}
        slow = Slow(monkeypatch, CheckResult(None, ()))
        with Sandbox(tmp_path, clock=manual_clock) as sandbox, client_of(sandbox) as api:
            assert shown(api, persona_id) == {**before, "id": persona_id}
        assert slow.calls == 0

    @pytest.mark.parametrize("left", [None, "", "{}", '{"flaw": null}', "[]"])
    def test_a_result_that_is_missing_is_found_out_at_the_next_start(
        self, manual_clock: ManualClock, tmp_path: Path, left: str | None
    ) -> None:
        """A kill before it was written, or a file that cannot be read, costs nothing."""
        with Sandbox(tmp_path, clock=manual_clock) as sandbox, client_of(sandbox) as api:
            persona_id = upload(api, lipsync_input=TEXT)
            manual_clock.advance(timedelta(days=5))
            before = shown(api, persona_id)
        path = tmp_path / "personas" / persona_id / RESULT_FILE
        path.unlink()
        if left is not None:
            path.write_text(left)
        with Sandbox(tmp_path, clock=manual_clock) as sandbox, client_of(sandbox) as api:
            assert shown(api, persona_id)["failed_reason"] == before["failed_reason"]
        assert path.exists()

    def test_a_check_that_takes_long_does_not_hold_up_the_stop(
        self, manual_clock: ManualClock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """Stop leaves it alone; it then writes nothing, and the next start begins again."""
        monkeypatch.setattr(video_checks, "_PATIENCE_S", 0.05)
        with monkeypatch.context() as patch:
            slow = Slow(patch, CheckResult("Too late.", ()))
            with Sandbox(tmp_path, clock=manual_clock) as sandbox, client_of(sandbox) as api:
                persona_id = upload(api, lipsync_input=TEXT)
                assert slow.begun.wait(5)
                sandbox.stop()
                (checking,) = running_checks()
            slow.go.set()
            checking.join(10)
            assert not (tmp_path / "personas" / persona_id / RESULT_FILE).exists()
        with Sandbox(tmp_path, clock=manual_clock) as sandbox, client_of(sandbox) as api:
            manual_clock.advance(timedelta(days=5))
            assert "not an MP4" in shown(api, persona_id)["failed_reason"]

    def test_a_defect_of_the_check_leaves_nobody_waiting(
        self,
        manual_clock: ManualClock,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """It is logged, the video counts as good, and the next one is checked."""
        with Sandbox(clock=manual_clock) as sandbox, client_of(sandbox) as api:
            with monkeypatch.context() as patch:

                def broken(*_: object, **__: object) -> None:
                    raise ZeroDivisionError("a defect")

                patch.setattr(preflight, "check_field", broken)
                first = upload(api, lipsync_input=TEXT)
                manual_clock.advance(timedelta(days=5))
                assert shown(api, first)["process_status"] == "done"
            second = upload(api, lipsync_input=TEXT)
            manual_clock.advance(timedelta(days=5))
            assert shown(api, second)["process_status"] == "failed"
        assert "a defect" in caplog.text

    def test_a_full_disk_costs_neither_the_result_nor_the_persona(
        self,
        manual_clock: ManualClock,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
        clip: Path,
    ) -> None:
        """What cannot be written is known until the stop; previews are left out."""

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        with Sandbox(clock=manual_clock) as sandbox, client_of(sandbox) as api:
            monkeypatch.setattr(video_checks, "write_private", full)
            monkeypatch.setattr(video_checks, "save_previews", full)
            good = upload(api, lipsync_input=("a.mp4", clip.read_bytes()))
            bad = upload(api, lipsync_input=TEXT)
            manual_clock.advance(timedelta(days=5))
            assert shown(api, good)["process_status"] == "done"
            assert shown(api, good)["preview_image_1_1"] is None
            assert shown(api, bad)["process_status"] == "failed"
        assert "The sandbox cannot keep a check: No space left on device." in caplog.messages
