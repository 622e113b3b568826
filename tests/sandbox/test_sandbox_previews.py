"""Preview images: made of the footage that was uploaded, served once it is done."""

from __future__ import annotations

import io
from datetime import timedelta
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import av
import httpx
import numpy as np
import pytest
from PIL import Image

from avatarkit.sandbox.personas.previews import PREVIEW_SIZES, save_previews
from support.sandbox_client import ADA, FILES

if TYPE_CHECKING:
    from support.manual_clock import ManualClock

BOUNDARY = "multipart/form-data; boundary=b"


def upload(api: httpx.Client, **files: Any) -> dict[str, Any]:
    """Return the answer to a create with these files that asks to end as done."""
    answer = api.post(FILES, data={**ADA, "labels": ["sandbox:done"]}, files=files)
    assert answer.status_code == 201, answer.text
    return cast(dict[str, Any], answer.json())


def end_of(api: httpx.Client, clock: ManualClock, persona_id: str) -> dict[str, Any]:
    """Return what that persona has become after five days."""
    clock.advance(timedelta(days=5))
    return cast(dict[str, Any], api.get(f"/api/personas/{persona_id}/").json())


class TestPreviews:
    """What becomes of a video by what is in it."""

    def test_a_real_video_is_done_and_has_stills(
        self, api: httpx.Client, manual_clock: ManualClock, clip: Path
    ) -> None:
        """It ends as asked for, and the preview images are JPEGs of the promised shapes."""
        created = upload(
            api,
            lipsync_input=("a.mp4", clip.read_bytes()),
            consent_video=("a.mp4", clip.read_bytes()),
        )
        shown = api.get(f"/api/personas/{created['id']}/").json()
        assert {shown[name] for name in PREVIEW_SIZES} == {None}
        done = end_of(api, manual_clock, created["id"])
        assert (done["process_status"], done["is_active"]) == ("done", True)
        for name, size in PREVIEW_SIZES.items():
            answer = httpx.get(done[name], trust_env=False)
            assert answer.headers["content-type"] == "image/jpeg"
            with Image.open(io.BytesIO(answer.content)) as still:
                assert (still.format, still.size) == ("JPEG", size)

    def test_videos_as_urls_live_a_normal_life(
        self, api: httpx.Client, manual_clock: ManualClock
    ) -> None:
        """They are not fetched; the previews stay null."""
        body = {**ADA, "labels": ["sandbox:done"], "lipsync_input": "https://example.com/a.mp4"}
        created = api.post("/api/personas/", json=body).json()
        done = end_of(api, manual_clock, created["id"])
        assert (done["process_status"], done["preview_image_1_1"]) == ("done", None)

    def test_what_is_no_video_has_no_stills(self, tmp_path: Path, clip: Path) -> None:
        """Of broken, foreign and missing files none are made, and none raises."""
        whole = clip.read_bytes()
        media = whole.index(b"mdat")
        bad = {
            "header only": whole[:media],
            "cut": whole[: media + 40],
            "zeros": whole[: media + 8] + bytes(len(whole) - media - 8),
            "empty": b"",
            "playlist": b"#EXTM3U\n#EXTINF:1,\nfile:///etc/hostname\n",
            "new codec": whole.replace(b"avc1", b"zzz9").replace(b"avcC", b"zzzC"),
        }
        for name, content in bad.items():
            path = tmp_path / name
            path.write_bytes(content)
            assert save_previews(path, tmp_path) == (), name
        assert save_previews(tmp_path / "missing", tmp_path) == ()

    def test_a_sound_alone_has_no_stills(self, tmp_path: Path) -> None:
        """An MP4 without a picture has none to show."""
        path = tmp_path / "sound.mp4"
        with av.open(path, "w") as container:
            stream = container.add_stream("aac", rate=48_000)
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            frame.sample_rate, frame.pts, frame.time_base = 48_000, 0, Fraction(1, 48_000)
            container.mux(stream.encode(frame))
            container.mux(stream.encode())
        assert save_previews(path, tmp_path) == ()

    def test_frames_beyond_all_measure_are_not_decoded(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, clip: Path
    ) -> None:
        """A file that would fill the memory has no stills by its declared size."""
        monkeypatch.setattr("avatarkit.sandbox.personas.previews._MAX_PIXELS", 128 * 192 - 1)
        assert save_previews(clip, tmp_path) == ()

    def test_stills_stand_upright(self, tmp_path: Path, clip: Path) -> None:
        """A portrait that is stored lying, with a flag to turn it, has upright stills."""
        lying = tmp_path / "lying.mp4"
        with av.open(str(clip)) as source, av.open(str(lying), "w") as target:
            stream = target.add_stream("libx264", rate=10)
            stream.width, stream.height, stream.pix_fmt = 192, 128, "yuv420p"
            for frame in source.decode(video=0):
                turned = np.rot90(frame.to_ndarray(format="rgb24"))
                target.mux(
                    stream.encode(
                        av.VideoFrame.from_ndarray(np.ascontiguousarray(turned), format="rgb24")
                    )
                )
            target.mux(stream.encode())
        turn(lying)
        images = []
        for path in (clip, lying):
            place = tmp_path / path.stem
            place.mkdir()
            assert save_previews(path, place) == tuple(PREVIEW_SIZES)
            with Image.open(place / "preview_image_9_16.jpg") as still:
                images.append(np.asarray(still.convert("L"), np.int16))
        assert np.abs(images[0] - images[1]).mean() < 6


def turn(path: Path) -> None:
    """Set the rotation flag of the only track of that MP4, so that players turn it clockwise."""
    content = bytearray(path.read_bytes())
    one = (1 << 16).to_bytes(4, "big", signed=True)
    identity = one + bytes(12) + one + bytes(12) + (1 << 30).to_bytes(4, "big")
    place = content.index(identity, content.index(b"tkhd"))
    minus = (-(1 << 16)).to_bytes(4, "big", signed=True)
    clockwise = bytes(4) + one + bytes(4) + minus + bytes(16) + (1 << 30).to_bytes(4, "big")
    content[place : place + 36] = clockwise
    path.write_bytes(content)
