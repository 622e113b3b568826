"""Any codec is decoded, up to a bounded amount of work."""

from __future__ import annotations

import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import av
import pytest

from avatarkit import preflight
from avatarkit.preflight import (
    Severity,
    decode,
    frames,
)
from avatarkit.sandbox import footage
from support import videos
from support.footage_cases import checks_of, finding_of


def test_sound_alone_has_no_picture(tmp_path: Path) -> None:
    """An MP4 of sound only is a file, but no video."""
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=footage.SAMPLE_RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray(footage.voice(1)[None, :], "fltp", "mono")
        frame.sample_rate = footage.SAMPLE_RATE
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    assert preflight.check(path).reason == "The file has no picture; choose a video."


def test_an_unknown_codec_is_fatal(tmp_path: Path) -> None:
    """The container may be fine while its content cannot be decoded."""
    path = tmp_path / "a.mp4"
    path.write_bytes(videos.plain().replace(b"avc1", b"zzzz"))
    report = preflight.check(path)
    assert "No picture of the video can be decoded; export it again as H.264." in str(report.reason)


def test_minutes_too_many_are_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than five minutes are too long; a frame more is within the tolerance."""
    path = tmp_path / "a.mp4"
    source = videos.wrap(tmp_path / "source.mov", codec="libx264", pixels="yuv420p", side=64)
    videos.remux(source, path, times=302)
    finding = finding_of(preflight.check(path), "duration")
    assert (finding.severity, finding.value) == (Severity.WARNING, "302.0 s")
    with monkeypatch.context() as patch:
        patch.setattr(decode, "MAX_DECODED_FRAMES", 240)
        reading = finding_of(preflight.check(path), "reading")
    assert reading.severity is Severity.WARNING
    assert reading.message.endswith("were looked at since it is too long; shorten it.")
    videos.remux(source, path, times=300)
    assert finding_of(preflight.check(path), "duration").severity is Severity.FINE


def test_of_a_long_video_the_first_part_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest is read for the sake of truncation, and the header's length is judged."""
    path = tmp_path / "a.mp4"
    path.write_bytes(videos.plain())
    monkeypatch.setattr(decode, "MAX_DECODED_FRAMES", 40)
    monkeypatch.setattr(decode, "MAX_SOUND_S", 1.0)
    report = preflight.check(path)
    finding = finding_of(report, "reading")
    assert finding.severity is Severity.FINE
    assert finding.message == "It is whole; only the first 2 s were looked at."
    # The decoder holds some back.
    assert 30 <= int(finding.value.split()[0]) <= 40
    assert finding.value.endswith(" of 144 frames, h264")
    assert finding_of(report, "duration").value == "6.0 s"
    assert finding_of(report, "audio").severity is Severity.FINE
    assert "loudness" in checks_of(report.findings)
    path.write_bytes(videos.plain()[: len(videos.plain()) * 2 // 3])
    assert finding_of(preflight.check(path), "reading").severity is Severity.FATAL


@pytest.mark.parametrize(("limit", "value"), [("MAX_BYTES", 1000), ("MAX_PACKETS", 20)])
def test_a_huge_file_is_not_read_to_its_end(
    limit: str, value: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A warning says that only a part was decoded."""
    path = tmp_path / "a.mp4"
    path.write_bytes(videos.plain())
    monkeypatch.setattr(decode, limit, value)
    finding = finding_of(preflight.check(path), "reading")
    assert finding.severity is not Severity.FINE


def test_too_large_a_picture_is_not_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A decoder would keep twenty of them in memory."""
    path = tmp_path / "a.mp4"
    path.write_bytes(videos.plain())
    monkeypatch.setattr(decode, "MAX_PIXELS", 100 * 100)
    report = preflight.check(path)
    assert finding_of(report, "reading").severity is Severity.WARNING
    assert "its picture is too large" in finding_of(report, "reading").message
    assert not report.shots
    assert report.ok
    footage.write(path, videos.faces(1), fps=videos.FPS)
    assert checks_of(preflight.check(path).fatal) == {"audio"}


def test_frames_that_an_edit_list_hides_are_work_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are decoded before the first one that is shown, and count."""
    path = tmp_path / "a.mp4"
    videos.trimmed(path, at_s=4, seconds=2)
    monkeypatch.setattr(decode, "MAX_DECODED_FRAMES", 40)
    report = preflight.check(path)
    assert (
        "The video was not looked at since it is too long" in finding_of(report, "reading").message
    )
    monkeypatch.setattr(decode, "MAX_DECODED_FRAMES", 288)
    assert finding_of(preflight.check(path), "reading").severity is Severity.FINE


_LOOK = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (12 * 2**30,) * 2)
from avatarkit import preflight
preflight.check(sys.argv[1])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
report = preflight.check(sys.argv[2])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, not report.ok)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss has other units elsewhere")
@pytest.mark.parametrize(
    "make",
    [
        videos.bomb,
        pytest.param(videos.disguised_bomb, marks=pytest.mark.long),
        pytest.param(videos.loose_bomb, marks=pytest.mark.long),
        pytest.param(videos.large_picture, marks=pytest.mark.long),
    ],
)
def test_no_bomb_takes_more_memory_than_a_video(
    make: Callable[[Path], None], tmp_path: Path
) -> None:
    """A small file that would unfold to gigabytes costs at most 100 MB more than a good one."""
    good, path = tmp_path / "good.mp4", tmp_path / "a.mp4"
    good.write_bytes(videos.plain())
    make(path)
    done = subprocess.run(
        [sys.executable, "-c", _LOOK, str(good), str(path)],
        cwd=Path(preflight.__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    kilobytes, is_fatal = done.stdout.split()
    assert int(kilobytes) < 100_000
    assert is_fatal == "True"


def test_a_file_that_lies_about_its_length_costs_no_more(tmp_path: Path) -> None:
    """The number of frames that are kept stays bounded when there are more than promised."""
    content = bytearray(videos.plain())
    at = content.index(b"mdhd")
    content[at + 20 : at + 24] = struct.pack(">I", 100)
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    seen = decode.read(path)
    assert seen is not None
    assert frames.SAMPLES <= len(seen.samples) < 2 * frames.SAMPLES
    assert len(seen.times) == 144


@pytest.mark.parametrize(
    ("codec", "pixels", "sound_codec"),
    [
        ("libx264", "yuv420p10le", "pcm_s16le"),
        ("png", "rgb24", "pcm_u8"),
        ("mpeg4", "yuv420p", "pcm_s24le"),
        ("prores_ks", "yuv422p10le", "pcm_f32le"),
    ],
)
def test_other_codecs_are_seen_and_heard_the_same(
    codec: str, pixels: str, sound_codec: str, tmp_path: Path
) -> None:
    """Ten bits, RGB and uncompressed sound measure like what a phone makes."""
    path = videos.wrap(tmp_path / "a.mov", codec=codec, pixels=pixels, sound_codec=sound_codec)
    report = preflight.check(path)
    assert not report.fatal
    assert finding_of(report, "cuts").severity is Severity.FINE
    loudness = float(finding_of(report, "loudness").value.split()[0])
    assert loudness == pytest.approx(-20, abs=1)
    light = int(finding_of(report, "brightness").value.split()[0])
    assert light == pytest.approx(153, abs=8)


def test_minutes_of_uncompressed_sound_are_not_taken_for_a_bomb(tmp_path: Path) -> None:
    """Each of its samples counts in the header, but not in libav's memory."""
    path = videos.wrap(
        tmp_path / "a.mov", codec="mpeg4", pixels="yuv420p", sound_codec="pcm_s16le", seconds=100
    )
    assert "file" not in checks_of(preflight.check(path).fatal)
