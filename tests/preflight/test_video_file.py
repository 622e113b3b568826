"""A file that is no video, or not a whole one, has a fatal finding."""

from __future__ import annotations

import io
import os
import struct
import wave
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avatarkit import preflight
from avatarkit.preflight import (
    Severity,
    Source,
    decode,
    file,
    mp4_boxes,
)
from avatarkit.preflight.footage import Footage
from avatarkit.sandbox import footage
from support import videos
from support.footage_cases import CheckedCase, checks_of, finding_of


def _missing(path: Path) -> None:
    pass


def _directory(path: Path) -> None:
    path.mkdir()


def _empty(path: Path) -> None:
    path.touch()


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _text(path: Path) -> None:
    path.write_text("not a video at all")


def _playlist(path: Path) -> None:
    path.write_text("#EXTM3U\n#EXTINF:10,\nhttp://127.0.0.1:9/secret.ts\n")


def _few_bytes(path: Path) -> None:
    path.write_bytes(b"\0\0")


def _sound_file(path: Path) -> None:
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(bytes(16_000))


def _matroska(path: Path) -> None:
    videos.remux(videos.source_of(path), path, format="matroska")


def _short_box(path: Path) -> None:
    path.write_bytes(videos.box(b"ftyp", b"isom") + struct.pack(">I4s", 3, b"free") + bytes(8))


def _compressed_header(path: Path) -> None:
    path.write_bytes(videos.box(b"ftyp", b"qt  ") + videos.box(b"moov", videos.box(b"cmov")))


def _chunk_bomb(path: Path) -> None:
    videos.wrap(path, codec="mpeg4", pixels="yuv420p", sound_codec="pcm_s16le")
    content = bytearray(path.read_bytes())
    at = content.rindex(b"stsc") + 16
    content[at : at + 4] = b"\xff" * 4
    path.write_bytes(content)


def _tracks(path: Path) -> None:
    tracks = videos.box(b"trak") * (mp4_boxes.MAX_BOXES + 1)
    path.write_bytes(videos.box(b"ftyp", b"isom\0\0\0\0") + videos.box(b"moov", tracks))


def _hidden_header(path: Path) -> None:
    moof, hidden = videos.box(b"moof"), videos.box(b"free", videos.box(b"mvhd", bytes(100)))
    path.write_bytes(videos.box(b"ftyp", b"isom\0\0\0\0") + moof + hidden)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (_missing, "a.mp4 does not exist; check the path."),
        (_directory, "a.mp4 is a directory; give the path of a video file."),
        (_empty, "a.mp4 is empty; export or download the video again."),
        (_pipe, "a.mp4 is not a regular file; save it first."),
        (_text, "a.mp4 is not an MP4 or QuickTime file; export the video as MP4."),
        (_playlist, "a.mp4 is not an MP4 or QuickTime file; export the video as MP4."),
        (_few_bytes, "a.mp4 is not an MP4 or QuickTime file; export the video as MP4."),
        (_sound_file, "a.mp4 is not an MP4 or QuickTime file; export the video as MP4."),
        (_matroska, "a.mp4 is not an MP4 or QuickTime file; export the video as MP4."),
        (_short_box, "a.mp4 is not opened since its boxes are damaged; export the video again."),
        (
            _compressed_header,
            "a.mp4 is not opened since its header is compressed; export the video again.",
        ),
        (
            videos.bomb,
            "a.mp4 is not opened since it promises too many frames; export the video again.",
        ),
        (
            videos.disguised_bomb,
            "a.mp4 is not opened since it promises too many frames; export the video again.",
        ),
        (
            _chunk_bomb,
            "a.mp4 is not opened since it promises too many frames; export the video again.",
        ),
        (
            _tracks,
            "a.mp4 is not opened since it promises too many frames; export the video again.",
        ),
        (
            videos.loose_bomb,
            "a.mp4 is not opened since its boxes are damaged; export the video again.",
        ),
        (
            _hidden_header,
            "a.mp4 is not opened since its boxes are damaged; export the video again.",
        ),
    ],
)
def test_what_is_no_video_is_one_fatal_finding(
    make: Callable[[Path], None], sentence: str, tmp_path: Path
) -> None:
    """Whatever lies there, one sentence says what it is and what to do."""
    path = tmp_path / "a.mp4"
    make(path)
    report = preflight.check(path)
    assert not report.ok
    assert report.reason == sentence
    assert [finding.check for finding in report.findings] == ["file"]


@pytest.mark.parametrize("name", ["a\0b", "x" * 5000, "concat:a|b", "http://127.0.0.1/a.mp4", ""])
def test_a_strange_path_is_a_fatal_finding(name: str) -> None:
    """A path is never more than a path."""
    assert checks_of(preflight.check(name).fatal) == {"file"}


def test_a_file_without_permission_is_a_fatal_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that may not be read has a sentence that says so."""
    path = tmp_path / "a.mp4"
    path.write_bytes(b"something")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "open", refuse)
    assert preflight.check(path).reason == "a.mp4 cannot be read; check its permissions."


def test_a_file_that_vanishes_while_it_is_checked_does_not_exist(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The report has no finding on its content."""
    path = tmp_path / "a.mp4"
    path.write_bytes(videos.plain())
    read = decode.read

    def late(target: Path) -> Footage | None:
        target.unlink()
        return read(target)

    monkeypatch.setattr(decode, "read", late)
    assert preflight.check(path).reason == "a.mp4 does not exist; check the path."


def test_a_name_that_reads_like_a_protocol_is_opened_as_a_file(tmp_path: Path) -> None:
    """libav would take ``concat:`` for a command."""
    path = Path("concat:a.mp4")
    path.write_bytes(videos.plain())
    assert preflight.check(path).ok


def test_a_header_of_nothing_is_fatal(tmp_path: Path) -> None:
    """Boxes without a header of a video, and a header without a track, cannot be read."""
    path = tmp_path / "a.mp4"
    path.write_bytes(videos.box(b"ftyp", b"isom\0\0\0\0") + videos.box(b"mdat", bytes(100)))
    assert "no header of a video" in str(preflight.check(path).reason)
    path.write_bytes(videos.box(b"ftyp", b"isom\0\0\0\0") + videos.box(b"moov"))
    assert checks_of(preflight.check(path).fatal) == {"picture"}


def test_too_large_a_header_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of countless boxes is not read to its end either."""
    path = tmp_path / "a.mp4"
    path.write_bytes(videos.plain())
    monkeypatch.setattr(mp4_boxes, "MAX_HEADER_BYTES", 100)
    assert "its header is too large" in str(preflight.check(path).reason)
    monkeypatch.setattr(mp4_boxes, "MAX_BOXES", 2)
    path.write_bytes(videos.box(b"free") * 3)
    assert "too many boxes" in str(preflight.check(path).reason)


def test_boxes_of_64_bits_and_of_open_length_are_followed(tmp_path: Path) -> None:
    """A file of more than 4 GB, and one that was streamed, have them."""
    large = struct.pack(">I4sQ", 1, b"mdat", 16 + 5) + bytes(5)
    content = videos.box(b"ftyp", b"qt  ") + large + struct.pack(">I4s", 0, b"moov") + bytes(30)
    layout = mp4_boxes.read(io.BytesIO(content), len(content))
    assert layout == mp4_boxes.Layout(True, "qt  ", True, 0)
    assert mp4_boxes.read(io.BytesIO(content[:25]), 25).missing_bytes == 3


@pytest.mark.parametrize("trailer", [b"\0\0\0\5SEFTxxxx", b"made by a camera", bytes(50), b"xyz"])
def test_what_a_camera_appends_is_not_taken_for_a_cut(trailer: bytes, tmp_path: Path) -> None:
    """Bytes after the last box are no box, and the video is whole without them."""
    path = tmp_path / "a.mp4"
    path.write_bytes(videos.plain() + trailer)
    assert preflight.check(path).ok


@pytest.mark.parametrize(
    ("brand", "suffix", "message"),
    [
        (b"3gp4", ".mp4", "The file is a relative of MP4, not MP4 itself"),
        (b"isom", ".webm", "its name says otherwise; rename it to .mp4."),
    ],
)
def test_a_container_that_is_nearly_right_is_a_warning(
    brand: bytes, suffix: str, message: str, tmp_path: Path
) -> None:
    """The vendor documents two types; a file that can be read but is neither gets a warning."""
    path = tmp_path / f"a{suffix}"
    path.write_bytes(videos.plain().replace(b"isom", brand, 1))
    finding = finding_of(preflight.check(path), "container")
    assert finding.severity is Severity.WARNING
    assert message in finding.message
    assert finding.source is Source.DOCUMENTED


@pytest.mark.parametrize(
    ("seen", "severity"),
    [
        (Footage(frames_read=1000, damaged=0, is_whole=True), Severity.FINE),
        (Footage(frames_read=1000, damaged=5, is_whole=True), Severity.WARNING),
        (Footage(frames_read=1000, damaged=50, is_whole=True), Severity.FATAL),
        (Footage(frames_read=1000, damaged=0, is_whole=False), Severity.FATAL),
        (
            Footage(frames_read=1000, declared_frames=1001, is_whole=True),
            Severity.FATAL,
        ),
    ],
)
def test_a_few_damaged_frames_are_a_warning(seen: Footage, severity: Severity) -> None:
    """One in a hundred may be; more, or fewer frames than promised, may not."""
    seen.times = [0.0, 0.04]
    assert file.judge_reading(seen, mp4_boxes.Layout(True)).severity is severity


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("one empty frame", "1 empty of 144 frames"),
        ("empty frames", "3 empty of 144 frames"),
        ("empty last frame", "144 frames, h264"),
    ],
)
def test_frames_without_content_are_not_taken_for_a_cut(
    name: str, value: str, calibration: Callable[[str], CheckedCase]
) -> None:
    """A camera that drops frames keeps its rate by them; nothing of the file is missing."""
    assert finding_of(calibration(name).report, "reading").value == value


@pytest.mark.parametrize(
    "times", ["30 times too short", "100 times too long", "3000 times too long"]
)
def test_a_wrong_declared_length_changes_nothing(
    times: str, calibration: Callable[[str], CheckedCase]
) -> None:
    """The length is that of the frames, and as many of them are looked at."""
    report = calibration(f"declared {times}").report
    assert finding_of(report, "duration").value == "6.0 s"
    assert finding_of(report, "faces").value == "1 in 9 of 9 frames"


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A whole file of a few kilobytes."""
    path = tmp_path_factory.mktemp("tiny") / "a.mp4"
    frames = footage.pictures(0.5, 64, 64, 10)
    return footage.write(path, frames, fps=10, sound=footage.voice(0.5)).read_bytes()


@settings(max_examples=40)
@given(data=st.data())
def test_no_damage_is_an_exception(
    data: st.DataObject, tiny: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """However bytes are changed, there is a report."""
    content = bytearray(tiny)
    # Most of what matters is in the header.
    places = st.one_of(st.integers(0, content.index(b"mdat")), st.integers(0, len(content) - 1))
    for place, value in data.draw(st.lists(st.tuples(places, st.integers(0, 255)), max_size=8)):
        content[place] = value
    path = tmp_path_factory.getbasetemp() / "damaged.mp4"
    path.write_bytes(content)
    assert preflight.check(path).findings


@settings(max_examples=30)
@given(data=st.data())
def test_a_file_that_is_cut_anywhere_is_fatal(
    data: st.DataObject, tiny: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A download that stopped at any byte is never taken for whole."""
    path = tmp_path_factory.getbasetemp() / "cut.mp4"
    path.write_bytes(tiny[: data.draw(st.integers(0, len(tiny) - 1))])
    assert not preflight.check(path).ok


@settings(max_examples=40)
@given(
    kind=st.sampled_from([b"ftyp", b"moov", b"moof", b"mdat", b"free"]),
    content=st.binary(max_size=300),
    rest=st.binary(max_size=300),
)
def test_no_content_is_an_exception(
    kind: bytes, content: bytes, rest: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Arbitrary bytes in boxes are a fatal finding."""
    path = tmp_path_factory.getbasetemp() / "arbitrary.mp4"
    path.write_bytes(videos.box(kind, content) + rest)
    assert not preflight.check(path).ok
