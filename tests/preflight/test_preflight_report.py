"""A report reads as text, as a table and as a contact sheet."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from avatarkit import preflight
from avatarkit.preflight import (
    Report,
    Source,
)
from avatarkit.preflight.footage import Shot
from support import videos
from support.footage_cases import CheckedCase, finding_of


def test_a_report_reads_as_a_table_the_worst_first(
    calibration: Callable[[str], CheckedCase],
) -> None:
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


def test_the_contact_sheet_shows_frames_and_faces(
    calibration: Callable[[str], CheckedCase],
) -> None:
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


def test_a_sheet_of_one_frame_is_drawn() -> None:
    """Few frames make a narrow sheet."""
    shot = Shot(0.0, np.zeros((100, 50, 3), np.uint8))
    sheet = Report(Path("a.mp4"), (), (shot,)).contact_sheet
    assert sheet is not None
    assert Image.open(io.BytesIO(sheet)).size == (100, 200)


def test_a_name_that_is_no_text_can_be_shown(tmp_path: Path) -> None:
    """A name in another encoding than UTF-8 gets question marks, on pages, in CSV and in print."""
    path = tmp_path / os.fsdecode(b"caf\xe9.mp4")
    report = preflight.check(path)
    assert report.reason == "caf?.mp4 does not exist; check the path."
    assert "caf?.mp4" in report.to_frame().to_csv()
    assert str(report).encode()
    path.with_suffix(os.fsdecode(b".v\xe9")).write_bytes(videos.plain())
    named = preflight.check(path.with_suffix(os.fsdecode(b".v\xe9")))
    assert finding_of(named, "container").value == ".v?"
