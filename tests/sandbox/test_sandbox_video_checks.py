"""What is wrong with a video ends its persona in video_validating; found out in the background."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
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
from avatarkit.sandbox.personas.previews import STILLS
from avatarkit.sandbox.personas.video_checks import VERDICT, Verdict

if TYPE_CHECKING:
    from conftest import ManualClock

FILES = "/api/personas_v2/"
ADA = {"gender": "f", "creator_name": "Ada"}
TEXT = ("a.mp4", b"just a text", "video/mp4")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second of a talking head, small."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    return talking_head(path, seconds=1, width=128, height=192, fps=10)


@pytest.fixture(scope="module")
def mute(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same without sound."""
    path = tmp_path_factory.mktemp("clip") / "mute.mp4"
    return talking_head(path, seconds=1, width=128, height=192, fps=10, audio=False)


@contextmanager
def client_of(sandbox: Sandbox) -> Iterator[httpx.Client]:
    """A bare client with the keys of that sandbox."""
    keys = {"X-API-ID": sandbox.api_id, "X-API-KEY": sandbox.api_key}
    with httpx.Client(base_url=sandbox.url, headers=keys, trust_env=False) as client:
        yield client


def upload(api: httpx.Client, label: str = "sandbox:done", **files: Any) -> str:
    """The id of a new persona with these files."""
    answer = api.post(FILES, data={**ADA, "labels": [label]}, files=files)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def shown(api: httpx.Client, persona_id: str) -> dict[str, Any]:
    """That persona as GET by id shows it."""
    answer = api.get(f"/api/personas/{persona_id}/")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def statuses(api: httpx.Client, clock: ManualClock, persona_id: str) -> list[str]:
    """The statuses of the next five days, each once, hour by hour."""
    seen: list[str] = []
    for _ in range(121):
        status = shown(api, persona_id)["process_status"]
        if status not in seen:
            seen.append(status)
        clock.advance(timedelta(hours=1))
    return seen


class Slow:
    """Stands for a look at a long video: it ends when ``go`` is set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, verdict: Verdict) -> None:
        self.begun, self.go = threading.Event(), threading.Event()
        self.looked = 0
        self._verdict = verdict
        monkeypatch.setattr(video_checks, "look", self)

    def __call__(self, videos: Mapping[str, str], place: Path) -> Verdict:
        self.looked += 1
        self.begun.set()
        assert self.go.wait(10)
        return self._verdict


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

    def test_a_good_video_has_its_stills(self, manual_clock: ManualClock, clip: Path) -> None:
        """A label that asks for done gets it, with previews."""
        with Sandbox(clock=manual_clock) as sandbox, client_of(sandbox) as api:
            persona_id = upload(api, lipsync_input=("a.mp4", clip.read_bytes()))
            manual_clock.advance(timedelta(days=5))
            done = shown(api, persona_id)
            assert done["process_status"] == "done"
            assert all(api.get(done[name]).status_code == 200 for name in STILLS)

    def test_a_fast_clock_changes_no_outcome(self, clip: Path) -> None:
        """At a day a second the same videos end the same way, and no status goes back."""
        with Sandbox(speed=86_400) as sandbox, client_of(sandbox) as api:
            good = upload(api, lipsync_input=("a.mp4", clip.read_bytes()))
            bad = upload(api, lipsync_input=TEXT)
            seen: dict[str, list[str]] = {good: [], bad: []}
            end = time.monotonic() + 20
            while not all(each and as_status(each[-1]) in TERMINAL for each in seen.values()):
                assert time.monotonic() < end
                for persona in api.get(FILES).json():
                    seen[persona["id"]].append(persona["process_status"])
            assert (seen[good][-1], seen[bad][-1]) == ("done", "failed")
            assert not {"crop_and_matte", "reviewing"} & set(seen[bad])


class TestWaiting:
    """The verdict comes when it comes."""

    def test_a_create_does_not_wait_for_it(
        self, manual_clock: ManualClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The answer comes while the video is still being looked at; so do earlier stages."""
        slow = Slow(monkeypatch, Verdict("Bad."))
        with Sandbox(clock=manual_clock) as sandbox, client_of(sandbox) as api:
            persona_id = upload(api, lipsync_input=TEXT)
            assert slow.begun.wait(5)
            assert shown(api, persona_id)["process_status"] == "pending"
            slow.go.set()

    def test_who_asks_about_later_waits_for_it(
        self, manual_clock: ManualClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """GET and list wait as soon as the answer depends on it; other calls go on meanwhile."""
        slow = Slow(monkeypatch, Verdict("Bad."))
        with Sandbox(clock=manual_clock) as sandbox, client_of(sandbox) as api:
            persona_id = upload(api, lipsync_input=TEXT)
            manual_clock.advance(timedelta(days=5))
            with ThreadPoolExecutor(2) as pool:
                one = pool.submit(shown, api, persona_id)
                many = pool.submit(api.get, FILES)
                assert api.get("/api/personas_v2/count/").json()["current_count"] == 1
                time.sleep(0.1)
                assert not one.done()
                assert not many.done()
                slow.go.set()
                assert one.result()["failed_reason"] == "Bad."
                assert many.result().json()[0] == one.result()

    def test_the_wait_has_an_end(
        self,
        manual_clock: ManualClock,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """After it the persona is shown as still validating, and later as what it became."""
        monkeypatch.setattr(status, "PATIENCE_S", 0.05)
        slow = Slow(monkeypatch, Verdict())
        with Sandbox(clock=manual_clock) as sandbox, client_of(sandbox) as api:
            persona_id = upload(api, lipsync_input=TEXT)
            manual_clock.advance(timedelta(days=5))
            with caplog.at_level(logging.WARNING):
                assert shown(api, persona_id)["process_status"] == "video_validating"
            assert "still being looked at" in caplog.text
            slow.go.set()
            monkeypatch.setattr(status, "PATIENCE_S", 10)
            assert shown(api, persona_id)["process_status"] == "done"

    def test_a_persona_that_is_deleted_meanwhile_is_forgotten(
        self,
        manual_clock: ManualClock,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """Nothing is left of it, and the next one is looked at."""
        slow = Slow(monkeypatch, Verdict("Bad."))
        with Sandbox(clock=manual_clock) as sandbox, client_of(sandbox) as api:
            first = upload(api, lipsync_input=TEXT)
            assert slow.begun.wait(5)
            assert api.delete(f"/api/personas/{first}/").status_code == 204
            slow.go.set()
            second = upload(api, lipsync_input=TEXT)
            manual_clock.advance(timedelta(days=5))
            assert shown(api, second)["failed_reason"] == "Bad."
            assert [each.name for each in (sandbox.folder / "personas").iterdir()] == [second]
        assert not [one for one in caplog.records if one.levelno >= logging.WARNING]


class TestKeeping:
    """Once, and for good."""

    def test_a_verdict_is_kept_and_not_found_out_again(
        self, manual_clock: ManualClock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """After a restart it is read from its file beside the persona."""
        with Sandbox(tmp_path, clock=manual_clock) as sandbox, client_of(sandbox) as api:
            persona_id = upload(api, lipsync_input=TEXT)
            manual_clock.advance(timedelta(days=5))
            before = shown(api, persona_id)
        kept = json.loads((tmp_path / "personas" / persona_id / VERDICT).read_text())
        assert kept == {"flaw": before["failed_reason"], "stills": []}
        slow = Slow(monkeypatch, Verdict())
        with Sandbox(tmp_path, clock=manual_clock) as sandbox, client_of(sandbox) as api:
            assert shown(api, persona_id) == {**before, "id": persona_id}
        assert slow.looked == 0

    @pytest.mark.parametrize("left", [None, "", "{}", '{"flaw": null}', "[]"])
    def test_a_verdict_that_is_missing_is_found_out_at_the_next_start(
        self, manual_clock: ManualClock, tmp_path: Path, left: str | None
    ) -> None:
        """A kill before it was written, or a file that cannot be read, costs nothing."""
        with Sandbox(tmp_path, clock=manual_clock) as sandbox, client_of(sandbox) as api:
            persona_id = upload(api, lipsync_input=TEXT)
            manual_clock.advance(timedelta(days=5))
            before = shown(api, persona_id)
        path = tmp_path / "personas" / persona_id / VERDICT
        path.unlink()
        if left is not None:
            path.write_text(left)
        with Sandbox(tmp_path, clock=manual_clock) as sandbox, client_of(sandbox) as api:
            assert shown(api, persona_id)["failed_reason"] == before["failed_reason"]
        assert path.exists()

    def test_a_look_that_takes_long_does_not_hold_up_the_stop(
        self, manual_clock: ManualClock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """Stop leaves it alone; it then writes nothing, and the next start begins again."""
        monkeypatch.setattr(video_checks, "_PATIENCE_S", 0.05)
        with monkeypatch.context() as patch:
            slow = Slow(patch, Verdict("Too late."))
            with Sandbox(tmp_path, clock=manual_clock) as sandbox, client_of(sandbox) as api:
                persona_id = upload(api, lipsync_input=TEXT)
                assert slow.begun.wait(5)
                began = time.monotonic()
                sandbox.stop()
                assert time.monotonic() - began < 4.5
            slow.go.set()
            until(lambda: not [t for t in threading.enumerate() if t.name == "sandbox-verdicts"])
            assert not (tmp_path / "personas" / persona_id / VERDICT).exists()
        with Sandbox(tmp_path, clock=manual_clock) as sandbox, client_of(sandbox) as api:
            manual_clock.advance(timedelta(days=5))
            assert "not an MP4" in shown(api, persona_id)["failed_reason"]

    def test_a_defect_of_the_look_leaves_nobody_waiting(
        self,
        manual_clock: ManualClock,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """It is logged, the video is taken for good, and the next one is looked at."""
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

    def test_a_full_disk_costs_neither_the_verdict_nor_the_persona(
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
            monkeypatch.setattr(video_checks, "save_stills", full)
            good = upload(api, lipsync_input=("a.mp4", clip.read_bytes()))
            bad = upload(api, lipsync_input=TEXT)
            manual_clock.advance(timedelta(days=5))
            assert shown(api, good)["process_status"] == "done"
            assert shown(api, good)["preview_image_1_1"] is None
            assert shown(api, bad)["process_status"] == "failed"
        assert "The sandbox cannot keep a verdict: No space left on device." in caplog.messages


def until(condition: Callable[[], Any], seconds: float = 10) -> None:
    """Return when the condition holds; an assertion fails if it never does."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came about"
        time.sleep(0.005)
