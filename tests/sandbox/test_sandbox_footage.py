"""The talking head is a real video of a face that speaks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from avatarkit.preflight.loudness import Meter
from avatarkit.sandbox import footage


def test_it_is_an_mp4_with_the_length_size_and_rate_that_were_asked_for(tmp_path: Path) -> None:
    """Every argument shows in the file: H.264 and AAC, as many frames as fit into the time."""
    path = footage.talking_head(tmp_path / "a.mp4", seconds=2, width=320, height=180, fps=30)
    with av.open(str(path)) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        assert (video.codec_context.name, audio.codec_context.name) == ("h264", "aac")
        assert (video.width, video.height, video.average_rate) == (320, 180, 30)
        assert audio.codec_context.layout.name == "mono"
        assert sum(1 for _ in container.decode(video)) == 60
        assert container.duration / av.time_base == pytest.approx(2, abs=0.1)
    assert [file.name for file in tmp_path.iterdir()] == ["a.mp4"]


def test_the_same_arguments_give_the_same_bytes(tmp_path: Path) -> None:
    """Two files can be told apart by their content alone."""
    first, second = (
        footage.talking_head(tmp_path / name, seconds=1, width=128, height=128)
        for name in ("one.mp4", "two.mp4")
    )
    assert first.read_bytes() == second.read_bytes()


def test_without_audio_there_is_no_sound_track(tmp_path: Path) -> None:
    """``audio=False`` makes the file that a lipsync cannot be made from."""
    path = footage.talking_head(tmp_path / "a.mp4", seconds=1, width=128, height=128, audio=False)
    with av.open(str(path)) as container:
        assert not container.streams.audio


@pytest.mark.parametrize(
    ("width", "height"), [(64, 64), (90, 160), (160, 90), (100, 34), (34, 100), (192, 108)]
)
def test_every_frame_has_the_size_that_was_asked_for(width: int, height: int) -> None:
    """The swaying head never leaves the portrait, in any shape of picture."""
    frames = list(footage.pictures(7, width, height, 10))
    assert len(frames) == 70
    assert {frame.shape for frame in frames} == {(height, width, 3)}


def test_the_mouth_opens_when_the_voice_sounds() -> None:
    """Pictures during a syllable have a dark mouth, pictures during a pause do not."""
    fps, rate = 50, footage.SAMPLE_RATE
    sound = footage.voice(3)
    loudness = np.array(
        [np.abs(sound[round(n * rate / fps) :][: rate // 200]).max() for n in range(3 * fps)]
    )
    colour = np.array(footage._INSIDE_OF_MOUTH)
    dark = np.array(
        [
            (np.abs(frame.astype(int) - colour).max(axis=2) == 0).sum()
            for frame in footage.pictures(3, 240, 240, fps)
        ]
    )
    assert dark[loudness < 0.01].max() == 0
    assert dark[loudness > 0.5].min() > 100


def test_the_voice_is_as_loud_as_a_voice() -> None:
    """About -20 LUFS, without a clipped sample, however long."""
    meter = Meter()
    sound = footage.voice(6)
    frame = av.AudioFrame.from_ndarray(sound[None, :], format="fltp", layout="mono")
    frame.sample_rate = footage.SAMPLE_RATE
    meter.add(frame)
    levels = meter.levels()
    assert levels is not None
    assert levels.loudness_lufs == pytest.approx(-20, abs=0.5)
    assert levels.clipped_share == 0


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"seconds": 0}, "seconds must be"),
        ({"seconds": float("nan")}, "seconds must be"),
        ({"seconds": 1e9}, "seconds must be"),
        ({"fps": 0}, "fps must be"),
        ({"width": 721}, "width and height must be even"),
        ({"height": 10_000}, "width and height must be even"),
    ],
)
def test_what_no_video_has_is_refused(
    tmp_path: Path, wrong: dict[str, float], sentence: str
) -> None:
    """A wrong argument gets one sentence, and no file is left."""
    with pytest.raises(ValueError, match=sentence):
        footage.talking_head(tmp_path / "a.mp4", **wrong)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_a_sample_never_replaces_a_video(tmp_path: Path) -> None:
    """A file that is there is kept, as it may be a person's own."""
    path = tmp_path / "ada.mp4"
    path.write_bytes(b"of a person")
    assert footage.sample_video(path) == path
    assert path.read_bytes() == b"of a person"


def test_nothing_is_left_when_the_frames_break_off(tmp_path: Path) -> None:
    """A half-written file never appears, and one that was there stays."""
    there = footage.talking_head(tmp_path / "a.mp4", seconds=1, width=64, height=64)
    before = there.read_bytes()

    def broken() -> Iterator[footage.Picture]:
        yield np.zeros((64, 64, 3), np.uint8)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        footage.write(there, broken(), fps=25)
    with pytest.raises(ValueError, match="no frame"):
        footage.write(there, [], fps=25)
    assert there.read_bytes() == before
    assert list(tmp_path.iterdir()) == [there]


def test_a_folder_that_is_not_there_is_an_os_error(tmp_path: Path) -> None:
    """The path is the caller's to mend."""
    with pytest.raises(OSError, match="missing"):
        footage.talking_head(tmp_path / "missing" / "a.mp4", seconds=1)
