"""The preflight finds what is wrong with a real file, and survives every other one."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import wave
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from avatarkit import preflight
from avatarkit.errors import ConfigError
from avatarkit.preflight import (
    Finding,
    Report,
    Severity,
    Source,
    decode,
    faces,
    mp4_boxes,
    picture,
    sound,
)
from avatarkit.preflight.contact_sheet import Shot
from avatarkit.sandbox import footage
from support import footage_cases as cases


@dataclass(frozen=True)
class Made:
    """A file of the calibration set, and what was found."""

    case: cases.Case
    path: Path
    report: Report


@pytest.fixture(scope="session")
def calibration(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Made]:
    """Gives the file of a case and its report; each is made and looked at once."""
    folder = tmp_path_factory.mktemp("calibration")
    known: dict[str, Made] = {}

    def get(name: str) -> Made:
        if name not in known:
            case = cases.CASES[name]
            path = folder / (name.replace(" ", "_").replace(",", "") + case.suffix)
            case.make(path)
            known[name] = Made(case, path, preflight.check(path))
        return known[name]

    return get


def names(findings: tuple[Finding, ...]) -> set[str]:
    """The names of the checks."""
    return {finding.check for finding in findings}


def found(report: Report, check: str) -> Finding:
    """The one finding of that name."""
    (finding,) = (finding for finding in report.findings if finding.check == check)
    return finding


@pytest.mark.parametrize("name", cases.CASES)
def test_each_fault_is_found_and_nothing_else(
    name: str, calibration: Callable[[str], Made]
) -> None:
    """A made file gets exactly the findings that its fault deserves."""
    made = calibration(name)
    assert names(made.report.fatal) - made.case.open == made.case.fatal - made.case.open
    assert names(made.report.warnings) - made.case.open == made.case.warning - made.case.open


def test_the_confusion_table(
    calibration: Callable[[str], Made], capsys: pytest.CaptureFixture[str]
) -> None:
    """Over all files no fault is missed and no fault is invented; the table is printed."""
    everything = [calibration(name) for name in cases.CASES]
    checks = list(dict.fromkeys(f.check for made in everything for f in made.report.findings))
    marks = {Severity.FATAL: "F", Severity.WARNING: "w", Severity.FINE: "."}
    lines = [" " * 22 + " ".join(f"{check:>10}" for check in checks)]
    missed = invented = 0
    for name, made in zip(cases.CASES, everything, strict=True):
        got = {finding.check: finding.severity for finding in made.report.findings}
        row = "".join(f"{marks.get(got.get(check), ''):>11}" for check in checks)  # type: ignore[call-overload]
        lines.append(f"{name:<21}{row}")
        expected = made.case.fatal | made.case.warning
        bad = names(made.report.fatal) | names(made.report.warnings)
        missed += len(expected - bad - made.case.open)
        invented += len(bad - expected - made.case.open)
    with capsys.disabled():
        print("\n" + "\n".join(lines) + "\nF fatal, w warning, . fine, blank not judged")  # noqa: T201
        print(f"faults missed: {missed}, invented: {invented}")  # noqa: T201
    assert (missed, invented) == (0, 0)


def test_a_good_video_is_ok(calibration: Callable[[str], Made]) -> None:
    """Without a fatal finding there is no reason against it, and it reads as a table."""
    report = calibration("good").report
    assert report.ok
    assert report.reason is None
    assert {finding.severity for finding in report.findings} == {Severity.FINE}
    assert found(report, "resolution").value == "720 x 720"
    assert found(report, "loudness").value == "-20.0 LUFS"


def test_a_turned_picture_is_seen_upright(calibration: Callable[[str], Made]) -> None:
    """The flag of a phone is honoured: size, face and contact sheet are as a player shows them."""
    made = calibration("rotated")
    assert found(made.report, "rotation").value == "90°"
    assert found(made.report, "resolution").value == "720 x 960"
    assert found(made.report, "faces").message == "One face can be seen."
    assert made.report.shots[0].picture.shape == (320, 240, 3)


def test_a_report_reads_as_a_table_the_worst_first(calibration: Callable[[str], Made]) -> None:
    """``to_frame`` has one row a finding, six columns of strings, fatal before warning."""
    report = calibration("two faces").report
    frame = report.to_frame()
    assert list(frame) == ["check", "severity", "message", "value", "limit", "source"]
    assert set(frame.dtypes.astype(str)) == {"str"}
    assert len(frame) == len(report.findings)
    assert list(frame["severity"][:3]) == ["fatal", "warning", "fine"]
    assert frame["check"][0] == "faces"
    assert frame["value"][0] == "2 in 9 of 9 frames"
    assert set(frame["source"]) <= {str(source) for source in Source}
    assert str(report).splitlines()[1].startswith("fatal    Several faces can be seen")


def test_every_finding_is_a_sentence_with_a_limit(calibration: Callable[[str], Made]) -> None:
    """What is wrong and what to do, what was measured, against what, and who says so."""
    for name in cases.CASES:
        for finding in calibration(name).report.findings:
            assert finding.message[0].isupper()
            assert finding.message.endswith(".")
            assert finding.value
            assert finding.limit
            assert ";" in finding.message or finding.severity is Severity.FINE


def test_the_contact_sheet_shows_frames_and_faces(calibration: Callable[[str], Made]) -> None:
    """Six frames in a row, with a box in the colour of boxes, as a PNG in pages and notebooks."""
    report = calibration("good").report
    assert report.contact_sheet is not None
    sheet = Image.open(io.BytesIO(report.contact_sheet))
    assert (sheet.format, sheet.size) == ("PNG", (6 * 200 + 5 * 6, 200))
    yellow = (np.asarray(sheet) == (255, 200, 0)).all(axis=2)
    assert all(yellow[:, 206 * n : 206 * n + 200].sum() > 500 for n in range(6))
    assert report._repr_png_() == report.contact_sheet
    assert "data:image/png;base64," in report._repr_html_()
    assert report._repr_html_().count("<tr>") == 1 + len(report.findings)


def test_a_file_of_no_frames_has_no_contact_sheet(tmp_path: Path) -> None:
    """There is a table all the same, and the name in it cannot break the page."""
    report = preflight.check(tmp_path / "<b>.mp4")
    assert report.contact_sheet is None
    assert report._repr_png_() is None
    assert "&lt;b&gt;.mp4 does not exist" in report._repr_html_()


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
    cases.remux(cases.source_of(path), path, format="matroska")


def _short_box(path: Path) -> None:
    path.write_bytes(cases.box(b"ftyp", b"isom") + struct.pack(">I4s", 3, b"free") + bytes(8))


def _compressed_header(path: Path) -> None:
    path.write_bytes(cases.box(b"ftyp", b"qt  ") + cases.box(b"moov", cases.box(b"cmov")))


def _chunk_bomb(path: Path) -> None:
    _wrap(path, codec="mpeg4", pixels="yuv420p", sound_codec="pcm_s16le")
    content = bytearray(path.read_bytes())
    at = content.rindex(b"stsc") + 16
    content[at : at + 4] = b"\xff" * 4
    path.write_bytes(content)


def _tracks(path: Path) -> None:
    tracks = cases.box(b"trak") * (mp4_boxes.MAX_BOXES + 1)
    path.write_bytes(cases.box(b"ftyp", b"isom\0\0\0\0") + cases.box(b"moov", tracks))


def _hidden_header(path: Path) -> None:
    moof, hidden = cases.box(b"moof"), cases.box(b"free", cases.box(b"mvhd", bytes(100)))
    path.write_bytes(cases.box(b"ftyp", b"isom\0\0\0\0") + moof + hidden)


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
            cases.bomb,
            "a.mp4 is not opened since it promises too many frames; export the video again.",
        ),
        (
            cases.disguised_bomb,
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
            cases.loose_bomb,
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
    assert names(preflight.check(name).fatal) == {"file"}


def test_a_file_without_permission_is_a_fatal_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What may not be read is said so."""
    path = tmp_path / "a.mp4"
    path.write_bytes(b"something")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "open", refuse)
    assert preflight.check(path).reason == "a.mp4 cannot be read; check its permissions."


def test_a_name_that_is_no_text_can_be_shown(tmp_path: Path) -> None:
    """A name in another encoding than UTF-8 gets question marks, on pages, in CSV and in print."""
    path = tmp_path / os.fsdecode(b"caf\xe9.mp4")
    report = preflight.check(path)
    assert report.reason == "caf?.mp4 does not exist; check the path."
    assert "caf?.mp4" in report.to_frame().to_csv()
    assert str(report).encode()
    path.with_suffix(os.fsdecode(b".v\xe9")).write_bytes(cases.plain())
    named = preflight.check(path.with_suffix(os.fsdecode(b".v\xe9")))
    assert found(named, "container").value == ".v?"


def test_a_file_that_vanishes_while_it_is_looked_at_does_not_exist(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is said about its content."""
    path = tmp_path / "a.mp4"
    path.write_bytes(cases.plain())
    read = decode.read

    def late(target: Path) -> decode.Footage | None:
        target.unlink()
        return read(target)

    monkeypatch.setattr(decode, "read", late)
    assert preflight.check(path).reason == "a.mp4 does not exist; check the path."


def test_a_name_that_reads_like_a_protocol_is_opened_as_a_file(tmp_path: Path) -> None:
    """libav would take ``concat:`` for a command."""
    path = Path("concat:a.mp4")
    path.write_bytes(cases.plain())
    assert preflight.check(path).ok


def test_a_header_of_nothing_is_fatal(tmp_path: Path) -> None:
    """Boxes without a header of a video, and a header without a track, cannot be read."""
    path = tmp_path / "a.mp4"
    path.write_bytes(cases.box(b"ftyp", b"isom\0\0\0\0") + cases.box(b"mdat", bytes(100)))
    assert "no header of a video" in str(preflight.check(path).reason)
    path.write_bytes(cases.box(b"ftyp", b"isom\0\0\0\0") + cases.box(b"moov"))
    assert names(preflight.check(path).fatal) == {"picture"}


def test_too_large_a_header_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is a file of countless boxes followed to its end."""
    path = tmp_path / "a.mp4"
    path.write_bytes(cases.plain())
    monkeypatch.setattr(mp4_boxes, "MAX_HEADER_BYTES", 100)
    assert "its header is too large" in str(preflight.check(path).reason)
    monkeypatch.setattr(mp4_boxes, "MAX_BOXES", 2)
    path.write_bytes(cases.box(b"free") * 3)
    assert "too many boxes" in str(preflight.check(path).reason)


def test_boxes_of_64_bits_and_of_open_length_are_followed(tmp_path: Path) -> None:
    """A file of more than 4 GB, and one that was streamed, have them."""
    large = struct.pack(">I4sQ", 1, b"mdat", 16 + 5) + bytes(5)
    content = cases.box(b"ftyp", b"qt  ") + large + struct.pack(">I4s", 0, b"moov") + bytes(30)
    layout = mp4_boxes.read(io.BytesIO(content), len(content))
    assert layout == mp4_boxes.Layout(True, "qt  ", True, 0)
    assert mp4_boxes.read(io.BytesIO(content[:25]), 25).missing_bytes == 3


@pytest.mark.parametrize("trailer", [b"\0\0\0\5SEFTxxxx", b"made by a camera", bytes(50), b"xyz"])
def test_what_a_camera_appends_is_not_taken_for_a_cut(trailer: bytes, tmp_path: Path) -> None:
    """Bytes after the last box belong to nobody, and the video is whole without them."""
    path = tmp_path / "a.mp4"
    path.write_bytes(cases.plain() + trailer)
    assert preflight.check(path).ok


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
    """The container may be fine while nobody can decode what is in it."""
    path = tmp_path / "a.mp4"
    path.write_bytes(cases.plain().replace(b"avc1", b"zzzz"))
    report = preflight.check(path)
    assert "No picture of the video can be decoded; export it again as H.264." in str(report.reason)


def test_a_consent_video_is_judged_more_mildly(calibration: Callable[[str], Made]) -> None:
    """Its sound and its faces are warnings only, and nothing is known about its length."""
    for name in ("no sound", "silent", "two faces"):
        made = calibration(name)
        report = preflight.check(made.path, kind="consent")
        assert report.ok
        assert names(report.warnings) == made.case.fatal
        assert "duration" not in names(report.findings)


def test_another_kind_is_refused(tmp_path: Path) -> None:
    """A misspelt kind is the caller's mistake, not the file's."""
    with pytest.raises(ValueError, match="kind must be 'lipsync' or 'consent'"):
        preflight.check(tmp_path, kind="other")  # type: ignore[arg-type]


def test_without_its_libraries_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are an extra, and their absence says nothing about the file."""
    monkeypatch.setattr(preflight, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"avatarkit\[preflight\]"):
        preflight.check(tmp_path)


def test_importing_it_is_light() -> None:
    """No decoder, no arrays and no tables are loaded before a file is looked at."""
    code = (
        "import sys, avatarkit.preflight;"
        "print({'av', 'numpy', 'skimage', 'pandas', 'PIL', 'scipy'} & set(sys.modules))"
    )
    root = Path(preflight.__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"


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
    """The vendor documents two types; what can be read but is not quite that is said."""
    path = tmp_path / f"a{suffix}"
    path.write_bytes(cases.plain().replace(b"isom", brand, 1))
    finding = found(preflight.check(path), "container")
    assert finding.severity is Severity.WARNING
    assert message in finding.message
    assert finding.source is Source.DOCUMENTED


def test_minutes_too_many_are_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five minutes are enough; a frame more is nobody's mistake."""
    path = tmp_path / "a.mp4"
    source = _wrap(tmp_path / "source.mov", codec="libx264", pixels="yuv420p", side=64)
    cases.remux(source, path, times=302)
    finding = found(preflight.check(path), "duration")
    assert (finding.severity, finding.value) == (Severity.WARNING, "302.0 s")
    with monkeypatch.context() as patch:
        patch.setattr(decode, "MAX_DECODED_FRAMES", 240)
        reading = found(preflight.check(path), "reading")
    assert reading.severity is Severity.WARNING
    assert reading.message.endswith("were looked at since it is too long; shorten it.")
    cases.remux(source, path, times=300)
    assert found(preflight.check(path), "duration").severity is Severity.FINE


def test_a_tilted_picture_is_a_warning(tmp_path: Path) -> None:
    """A flag of another angle than a quarter turn is nobody's intention."""
    source = cases.source_of(tmp_path / "a.mp4")
    path = cases.remux(source, tmp_path / "b.mp4", rotation=30)
    assert found(preflight.check(path), "rotation").severity is Severity.WARNING


def test_a_mirrored_picture_is_seen_as_it_is_shown(tmp_path: Path) -> None:
    """It is not taken for one that is turned; and a matrix that shows nothing is no matrix."""
    seen = []
    for matrix in ((1, 0, 0, 1), (-1, 0, 0, 1), (0, 1, 1, 0), (0, 0, 0, 0)):
        path = tmp_path / "a.mp4"
        cases.flagged(path, *matrix)
        read = decode.read(path)
        assert read is not None
        seen.append((read.rotation, read.is_mirrored, read.samples[0].colour))
    plain = seen[0][2]
    assert [one[:2] for one in seen] == [(0, False), (0, True), (-90, True), (0, False)]
    assert np.array_equal(seen[1][2], plain[:, ::-1])
    assert np.array_equal(seen[2][2], plain.transpose(1, 0, 2))
    assert np.array_equal(seen[3][2], plain)
    cases.flagged(path, -1, 0, 0, 1)
    assert found(preflight.check(path), "rotation").value == "0°, mirrored"


def test_of_a_long_video_the_first_part_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest is read for the sake of truncation, and the header's length is judged."""
    path = tmp_path / "a.mp4"
    path.write_bytes(cases.plain())
    monkeypatch.setattr(decode, "MAX_DECODED_FRAMES", 40)
    monkeypatch.setattr(decode, "MAX_SOUND_S", 1.0)
    report = preflight.check(path)
    finding = found(report, "reading")
    assert finding.severity is Severity.FINE
    assert finding.message == "It is whole; only the first 2 s were looked at."
    # The decoder holds some back.
    assert 30 <= int(finding.value.split()[0]) <= 40
    assert finding.value.endswith(" of 144 frames, h264")
    assert found(report, "duration").value == "6.0 s"
    assert found(report, "audio").severity is Severity.FINE
    assert "loudness" in names(report.findings)
    path.write_bytes(cases.plain()[: len(cases.plain()) * 2 // 3])
    assert found(preflight.check(path), "reading").severity is Severity.FATAL


@pytest.mark.parametrize(("limit", "value"), [("MAX_BYTES", 1000), ("MAX_PACKETS", 20)])
def test_a_huge_file_is_not_read_to_its_end(
    limit: str, value: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is a warning that only a part was looked at."""
    path = tmp_path / "a.mp4"
    path.write_bytes(cases.plain())
    monkeypatch.setattr(decode, limit, value)
    finding = found(preflight.check(path), "reading")
    assert finding.severity is not Severity.FINE


def test_too_large_a_picture_is_not_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A decoder would keep twenty of them in memory."""
    path = tmp_path / "a.mp4"
    path.write_bytes(cases.plain())
    monkeypatch.setattr(decode, "MAX_PIXELS", 100 * 100)
    report = preflight.check(path)
    assert found(report, "reading").severity is Severity.WARNING
    assert "its picture is too large" in found(report, "reading").message
    assert not report.shots
    assert report.ok
    footage.write(path, cases.faces(1), fps=cases.FPS)
    assert names(preflight.check(path).fatal) == {"audio"}


def test_frames_that_an_edit_list_hides_are_work_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are decoded before the first one that is shown, and count."""
    path = tmp_path / "a.mp4"
    cases.trimmed(path, at_s=4, seconds=2)
    monkeypatch.setattr(decode, "MAX_DECODED_FRAMES", 40)
    report = preflight.check(path)
    assert "The video was not looked at since it is too long" in found(report, "reading").message
    monkeypatch.setattr(decode, "MAX_DECODED_FRAMES", 288)
    assert found(preflight.check(path), "reading").severity is Severity.FINE


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
    "make", [cases.bomb, cases.disguised_bomb, cases.loose_bomb, cases.large_picture]
)
def test_no_bomb_takes_more_memory_than_a_video(
    make: Callable[[Path], None], tmp_path: Path
) -> None:
    """A small file that would unfold to gigabytes costs at most 100 MB more than a good one."""
    good, path = tmp_path / "good.mp4", tmp_path / "a.mp4"
    good.write_bytes(cases.plain())
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
    content = bytearray(cases.plain())
    at = content.index(b"mdhd")
    content[at + 20 : at + 24] = struct.pack(">I", 100)
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    seen = decode.read(path)
    assert seen is not None
    assert decode.SAMPLES <= len(seen.samples) < 2 * decode.SAMPLES
    assert len(seen.times) == 144


@pytest.mark.parametrize(
    ("seen", "severity"),
    [
        (decode.Footage(frames_read=1000, damaged=0, is_whole=True), Severity.FINE),
        (decode.Footage(frames_read=1000, damaged=5, is_whole=True), Severity.WARNING),
        (decode.Footage(frames_read=1000, damaged=50, is_whole=True), Severity.FATAL),
        (decode.Footage(frames_read=1000, damaged=0, is_whole=False), Severity.FATAL),
        (
            decode.Footage(frames_read=1000, declared_frames=1001, is_whole=True),
            Severity.FATAL,
        ),
    ],
)
def test_a_few_damaged_frames_are_a_warning(seen: decode.Footage, severity: Severity) -> None:
    """One in a hundred may be; more, or fewer frames than promised, may not."""
    seen.times = [0.0, 0.04]
    assert preflight._reading(seen).severity is severity


def _wrap(
    path: Path,
    *,
    codec: str,
    pixels: str,
    sound_codec: str = "",
    seconds: float = 1,
    side: int = 240,
) -> Path:
    """A QuickTime file with other codecs than phones have."""
    with av.open(str(path), "w", format="mov") as container:
        video = container.add_stream(codec, rate=cases.FPS)
        video.width = video.height = side
        video.pix_fmt = pixels
        audio = None
        if sound_codec:
            audio = container.add_stream(sound_codec, rate=footage.SAMPLE_RATE, layout="mono")
        for picture in cases.faces(1, side, side):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            container.mux(video.encode(frame))
        container.mux(video.encode())
        if audio is not None:
            voice = (footage.voice(seconds) * 32767).astype(np.int16)
            piece = av.AudioFrame.from_ndarray(voice[None, :], format="s16", layout="mono")
            piece.sample_rate, piece.time_base = footage.SAMPLE_RATE, Fraction(1, 48_000)
            piece.pts = 0
            resampled = av.AudioResampler(format=audio.format.name).resample(piece)
            for part in resampled:
                container.mux(audio.encode(part))
            container.mux(audio.encode())
    return path


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
    path = _wrap(tmp_path / "a.mov", codec=codec, pixels=pixels, sound_codec=sound_codec)
    report = preflight.check(path)
    assert not report.fatal
    assert found(report, "cuts").severity is Severity.FINE
    loudness = float(found(report, "loudness").value.split()[0])
    assert loudness == pytest.approx(-20, abs=1)
    light = int(found(report, "brightness").value.split()[0])
    assert light == pytest.approx(153, abs=8)


def test_minutes_of_uncompressed_sound_are_not_taken_for_a_bomb(tmp_path: Path) -> None:
    """Each of its samples counts in the header, but not in libav's memory."""
    path = _wrap(
        tmp_path / "a.mov", codec="mpeg4", pixels="yuv420p", sound_codec="pcm_s16le", seconds=100
    )
    assert "file" not in names(preflight.check(path).fatal)


def test_luma_is_the_same_at_eight_and_ten_bits() -> None:
    """Cuts are measured in percent of full scale, whatever the scale."""
    gray = np.full((72, 72), 100, np.uint8)
    eight = av.VideoFrame.from_ndarray(gray, format="gray").reformat(format="yuv420p")
    ten = eight.reformat(format="yuv420p10le")
    assert abs(int(decode._luma(eight).mean()) - int(decode._luma(ten).mean())) <= 1
    assert decode._luma(eight).shape == (36, 36)


def test_damaged_sound_does_not_end_the_look_at_the_picture(
    calibration: Callable[[str], Made],
) -> None:
    """All frames are looked at, and the advice is about the sound."""
    report = calibration("noise for sound").report
    assert found(report, "reading").value == "144 frames, h264"
    assert report.reason == "The sound is damaged; export the video again."


def test_a_moment_of_sound_is_too_short(tmp_path: Path) -> None:
    """It is not called silent, which is what a meter of blocks of 0.4 s says of it."""
    path = tmp_path / "a.mp4"
    footage.write(path, cases.faces(2), fps=cases.FPS, sound=footage.voice(0.3))
    report = preflight.check(path)
    assert report.reason == "The sound is too short; record it again over the whole video."
    assert "loudness" not in names(report.findings)


def test_what_cannot_be_read_says_nothing_about_its_sound(
    calibration: Callable[[str], Made],
) -> None:
    """One reason is enough."""
    assert calibration("zeroed").report.reason == (
        "No picture of the video can be decoded; export it again as H.264."
    )


def test_sound_of_many_channels_is_measured() -> None:
    """Eight planes of samples are what PyAV itself cannot read without going beyond them."""
    voice = np.repeat(footage.voice(2)[:, None], 8, axis=1).reshape(1, -1)
    packed = av.AudioFrame.from_ndarray(voice, format="flt", layout="7.1")
    packed.sample_rate = footage.SAMPLE_RATE
    meter = sound.Meter()
    for frame in av.AudioResampler(format="fltp").resample(packed):
        meter.add(frame)
    levels = meter.levels()
    assert levels is not None
    assert levels.loudness_lufs == pytest.approx(-20, abs=4)
    assert levels.seconds == pytest.approx(2, abs=0.01)


def test_a_sound_that_changes_its_format_keeps_what_was_measured() -> None:
    """A change in the middle is an error of the file, which the reader counts."""
    meter = sound.Meter()
    assert meter.levels() is None
    frame = av.AudioFrame.from_ndarray(footage.voice(1)[None, :], "fltp", "mono")
    frame.sample_rate = footage.SAMPLE_RATE
    meter.add(frame)
    other = av.AudioFrame.from_ndarray(np.zeros((1, 2000), np.int16), "s16", "stereo")
    other.sample_rate = 8000
    with pytest.raises((av.error.FFmpegError, ValueError)):
        meter.add(other)
    levels = meter.levels()
    assert levels is not None
    assert levels.loudness_lufs == pytest.approx(-20, abs=1)


def test_two_boxes_on_one_face_are_one_face() -> None:
    """The detector may find a face at two sizes."""
    large, within, beside = faces.Box(0, 0, 100), faces.Box(40, 40, 30), faces.Box(120, 0, 90)
    assert within.is_centred_in(large)
    assert not beside.is_centred_in(large)


def test_a_face_in_the_dark_is_not_fatal() -> None:
    """Where it is too dark to see anybody, nobody can be missed."""
    (finding,) = faces.judge([()] * 12, 480, is_dark=True, needed=True)
    assert finding.severity is Severity.WARNING
    assert "too dark" in finding.message


def test_a_picture_smaller_than_any_face_has_none() -> None:
    """The detector's smallest face is 24 pixels."""
    assert faces.find([np.zeros((40, 60), np.uint8)]) == [()]
    assert faces.judge([], 480, is_dark=False, needed=True) == []


def test_where_nobody_is_the_search_ends_early(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few pictures settle it; a small face that is in most of those is looked for in all."""
    asked: list[tuple[float, float]] = []
    small: set[int] = set()

    def detect(
        picture: np.ndarray, smallest: float, factor: float, step: float = 1
    ) -> tuple[faces.Box, ...]:
        asked.append((smallest, factor))
        is_there = smallest < faces.LARGE_ENOUGH and int(picture[0, 0]) in small
        return (faces.Box(0, 0, 40),) if is_there else ()

    monkeypatch.setattr(faces, "_detect", detect)
    pictures = [np.full((480, 480), n, np.uint8) for n in range(9)]
    assert faces.find(pictures) == [()] * 9
    # All quickly, three closely, and two at a time for small ones until three have none.
    assert len(asked) == 9 + 3 + 4
    small = {0, 1, 3, 6}
    assert faces.find(pictures) == [()] * 9
    small = {0, 1, 3, 6, 8}
    assert sum(map(bool, faces.find(pictures))) == 5


@pytest.mark.parametrize("level", [0, 90])
def test_a_picture_of_one_colour_is_neither_sharp_nor_blurred(level: int) -> None:
    """There is nothing in it that could be."""
    noise = np.random.default_rng(1).integers(0, 3, (480, 480), np.uint8)
    assert picture.judge_sharpness([noise + np.uint8(level)], [()]) is None


def test_most_real_faces_are_found_and_no_thing_is() -> None:
    """Of 50 photographed faces (a subset of LFW) at least 45, of 50 other patches at most 1."""
    from skimage.data import lfw_subset

    hits = []
    for patch in lfw_subset()[::2]:
        face = Image.fromarray((patch * 255).astype(np.uint8)).resize((100, 100))
        wall = Image.new("L", (240, 240), int(np.asarray(face).mean()))
        wall.paste(face, (80, 60))
        hits.append(bool(faces._detect(np.asarray(wall), faces.LARGE_ENOUGH, faces._FINE)))
    assert sum(hits[:50]) >= 45
    assert sum(hits[50:]) <= 1


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
    path.write_bytes(cases.box(kind, content) + rest)
    assert not preflight.check(path).ok


def test_a_sheet_of_one_frame_is_drawn() -> None:
    """Few frames make a narrow sheet."""
    shot = Shot(0.0, np.zeros((100, 50, 3), np.uint8))
    sheet = Report(Path("a.mp4"), (), (shot,)).contact_sheet
    assert sheet is not None
    assert Image.open(io.BytesIO(sheet)).size == (100, 200)
