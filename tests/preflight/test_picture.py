"""The picture is judged as it is shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from avatarkit import preflight
from avatarkit.preflight import (
    Severity,
    decode,
    faces,
    frames,
    picture,
)
from avatarkit.preflight.footage import Box
from support import videos
from support.footage_cases import CheckedCase, finding_of


def test_a_turned_picture_is_seen_upright(calibration: Callable[[str], CheckedCase]) -> None:
    """The flag of a phone is honoured: size, face and contact sheet are as a player shows them."""
    made = calibration("rotated")
    assert finding_of(made.report, "rotation").value == "90°"
    assert finding_of(made.report, "resolution").value == "720 x 960"
    assert finding_of(made.report, "faces").message == "One face can be seen."
    assert made.report.shots[0].picture.shape == (320, 240, 3)


def test_a_tilted_picture_is_a_warning(tmp_path: Path) -> None:
    """A flag of another angle than a quarter turn is a mistake."""
    source = videos.source_of(tmp_path / "a.mp4")
    path = videos.remux(source, tmp_path / "b.mp4", rotation=30)
    assert finding_of(preflight.check(path), "rotation").severity is Severity.WARNING


@pytest.mark.long
def test_a_mirrored_picture_is_seen_as_it_is_shown(tmp_path: Path) -> None:
    """It is not taken for one that is turned; and a matrix that shows nothing is no matrix."""
    seen = []
    for matrix in ((1, 0, 0, 1), (-1, 0, 0, 1), (0, 1, 1, 0), (0, 0, 0, 0)):
        path = tmp_path / "a.mp4"
        videos.flagged(path, *matrix)
        read = decode.read(path)
        assert read is not None
        seen.append((read.rotation, read.is_mirrored, read.samples[0].colour))
    plain = seen[0][2]
    assert [one[:2] for one in seen] == [(0, False), (0, True), (-90, True), (0, False)]
    assert np.array_equal(seen[1][2], plain[:, ::-1])
    assert np.array_equal(seen[2][2], plain.transpose(1, 0, 2))
    assert np.array_equal(seen[3][2], plain)
    videos.flagged(path, -1, 0, 0, 1)
    assert finding_of(preflight.check(path), "rotation").value == "0°, mirrored"


def test_luma_is_the_same_at_eight_and_ten_bits() -> None:
    """Cuts are measured in percent of full scale, whatever the scale."""
    gray = np.full((72, 72), 100, np.uint8)
    eight = av.VideoFrame.from_ndarray(gray, format="gray").reformat(format="yuv420p")
    ten = eight.reformat(format="yuv420p10le")
    assert abs(int(frames._luma(eight).mean()) - int(frames._luma(ten).mean())) <= 1
    assert frames._luma(eight).shape == (36, 36)


@pytest.mark.parametrize("level", [0, 90])
def test_a_picture_of_one_colour_is_neither_sharp_nor_blurred(level: int) -> None:
    """There is nothing in it that could be."""
    noise = np.random.default_rng(1).integers(0, 3, (480, 480), np.uint8)
    assert picture.judge_sharpness([noise + np.uint8(level)], [()]) == []


def test_two_boxes_on_one_face_are_one_face() -> None:
    """The detector may find a face at two sizes."""
    large, within, beside = Box(0, 0, 100), Box(40, 40, 30), Box(120, 0, 90)
    assert within.is_centred_in(large)
    assert not beside.is_centred_in(large)


def test_a_face_in_the_dark_is_not_fatal() -> None:
    """In the dark, the lack of a face is a warning."""
    nobody = faces.Faces([()] * 12)
    (finding,) = faces.judge(nobody, 480, is_dark=True, needed=True)
    assert finding.severity is Severity.WARNING
    assert "too dark" in finding.message


def test_a_picture_smaller_than_any_face_has_none() -> None:
    """The detector's smallest face is 24 pixels."""
    assert faces.find([np.zeros((40, 60), np.uint8)]).boxes == [()]
    assert faces.judge(faces.Faces([]), 480, is_dark=False, needed=True) == []


def test_without_a_face_the_search_ends_early(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few pictures settle it; a small face that is in most of those is searched in all."""
    asked: list[tuple[float, float]] = []
    small: set[int] = set()

    def detect(
        picture: np.ndarray, smallest: float, factor: float, step: float = 1
    ) -> tuple[Box, ...]:
        asked.append((smallest, factor))
        is_there = smallest < faces.LARGE_ENOUGH and int(picture[0, 0]) in small
        return (Box(0, 0, 40),) if is_there else ()

    monkeypatch.setattr(faces, "detect", detect)
    pictures = [np.full((480, 480), n, np.uint8) for n in range(9)]
    assert faces.find(pictures).boxes == [()] * 9
    # All quickly, two closely, two with their light evened out, two at a time for small ones
    # until three have none, and two in each of three turns.
    assert len(asked) == 9 + 2 + 2 + 4 + 6
    small = {0, 1, 3, 6}
    assert faces.find(pictures).boxes == [()] * 9
    small = {0, 1, 3, 6, 8}
    assert sum(map(bool, faces.find(pictures).boxes)) == 5


@pytest.mark.parametrize(
    ("boxes", "is_sure", "kept"),
    [
        ([Box(0, 0, 40), Box(20, 10, 50), Box(10, 5, 44)], False, 3),
        ([Box(0, 0, 40), Box(100, 0, 40), Box(200, 0, 40)], False, 0),
        ([Box(0, 0, 40), Box(100, 0, 44), Box(200, 0, 50)], True, 3),
        ([Box(0, 0, 40), Box(0, 0, 80), Box(100, 0, 160)], True, 0),
        ([Box(0, 0, 40), Box(100, 0, 40), Box(10, 10, 40)], False, 2),
    ],
)
def test_what_jumps_about_is_no_face(
    boxes: list[Box], is_sure: bool, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Boxes of one face agree in size over time, and in place unless each is surely a face."""

    def detect(picture: np.ndarray, *_: float) -> tuple[Box, ...]:
        number = int(picture[0, 0])
        return (replace(boxes[number], is_sure=is_sure),) if number < 3 else ()

    monkeypatch.setattr(faces, "detect", detect)
    pictures = [np.full((480, 480), n, np.uint8) for n in range(3)]
    assert sum(map(bool, faces.find(pictures).boxes)) == kept


@pytest.mark.parametrize(
    ("name", "turn"),
    [
        ("upside down", "180°"),
        pytest.param("on its left side", "90° clockwise", marks=pytest.mark.long),
        pytest.param("on its right side", "90° counterclockwise", marks=pytest.mark.long),
    ],
)
def test_a_person_who_lies_on_the_side_is_told_from_nobody(
    name: str, turn: str, calibration: Callable[[str], CheckedCase]
) -> None:
    """The rotation flag is missing, and the sentence says which way to turn the picture."""
    reason = f"The picture is not upright; turn it by {turn} and export it again."
    assert calibration(name).report.reason == reason


@pytest.mark.long
def test_a_page_without_anybody_has_no_face(calibration: Callable[[str], CheckedCase]) -> None:
    """Neither one that stands still nor one that is scrolled; a poster is no second face."""
    for name in ("page", "scrolled page"):
        assert str(calibration(name).report.reason).startswith("No face can be seen")
    one = finding_of(calibration("poster of text").report, "faces")
    assert (one.message, one.value) == ("One face can be seen.", "1 in 9 of 9 frames")


def test_a_flash_is_not_a_cut_but_a_short_scene_is(tmp_path: Path) -> None:
    """What is back after a fifth of a second was not cut; what stays half a second was."""
    for length, value in ((1, "0"), (3, "0"), (12, "2 (at 2.5 s, 3.0 s)")):
        path = videos.film(
            tmp_path / "a.mp4",
            (
                255 - frame if 60 <= number < 60 + length else frame
                for number, frame in enumerate(videos.faces(width=240, height=240))
            ),
        )
        assert finding_of(preflight.check(path), "cuts").value == value


@pytest.mark.long
def test_most_real_faces_are_found_and_no_thing_is() -> None:
    """Of 50 photographed faces (a subset of LFW) at least 45, of 50 other patches at most 1."""
    from skimage.data import lfw_subset

    hits = []
    for patch in lfw_subset()[::2]:
        face = Image.fromarray((patch * 255).astype(np.uint8)).resize((100, 100))
        wall = Image.new("L", (240, 240), int(np.asarray(face).mean()))
        wall.paste(face, (80, 60))
        hits.append(bool(faces.detect(np.asarray(wall), 0.15, 1.1)))
    assert sum(hits[:50]) >= 45
    assert sum(hits[50:]) <= 1
