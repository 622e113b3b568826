"""What is wrong with which field of the form."""

from __future__ import annotations

from pathlib import Path

import pytest

from avatarkit.ui import form_faults
from avatarkit.ui.draft import FIELDS

URL = "https://cdn.example.com/a.mp4"
DRIVE = "https://drive.google.com/file/d/1/view"


def read(**fields: str) -> form_faults.FormReading:
    """Read a form of Ada's in which these fields are others."""
    entered = {"creator_name": "Ada", "gender": "f", **fields}
    return form_faults.read({name: entered.get(name, "") for name in FIELDS})


def test_a_complete_form_is_a_create() -> None:
    """Labels are split at commas, and a link of Google Drive goes under the API's name for it."""
    reading = read(labels="one, two", lipsync_input=f' "{DRIVE}" ')
    assert reading.request is not None
    assert reading.request.labels == ["one", "two"]
    assert (reading.request.gdown_url, reading.request.lipsync_input) == (DRIVE, None)
    assert not reading.faults
    assert not reading.missing


def test_what_is_missing_hides_no_fault() -> None:
    """An empty form with one wrong field says all three at once."""
    reading = read(creator_name=" ", gender="", webhook_url="nope")
    assert list(reading.missing) == ["creator_name", "gender"]
    assert reading.faults == {
        "webhook_url": "Must be a URL such as https://example.com/…; this one is not."
    }
    assert reading.request is None


@pytest.mark.parametrize(
    ("fields", "field", "sentence"),
    [
        ({"labels": "one, , two"}, "labels", "A label must not be empty"),
        ({"creator_name": "x" * 256}, "creator_name", "at most 255 characters"),
        ({"video_scene": "x" * 256}, "video_scene", "at most 255 characters"),
        ({"webhook_url": f"{URL}?{'x' * 180}"}, "webhook_url", "at most 200 characters"),
        ({"lipsync_input": "/"}, "lipsync_input", "is a directory"),
        ({"lipsync_input": "ftp://x/y.mp4"}, "lipsync_input", "http(s) URL"),
        ({"lipsync_input": f"{DRIVE} x"}, "lipsync_input", "Must be a URL"),
        ({"consent_video": "/no/such.mp4"}, "consent_video", "does not exist"),
        ({"lipsync_input": " no/such.mp4"}, "lipsync_input", "no/such.mp4 does not exist"),
    ],
)
def test_a_fault_belongs_to_a_field(fields: dict[str, str], field: str, sentence: str) -> None:
    """Each fault is said once, at the field that the form shows."""
    reading = read(**fields)
    assert list(reading.faults) == [field]
    assert sentence in reading.faults[field]


def test_a_file_beside_a_url_is_a_fault_of_the_second_video(tmp_path: Path) -> None:
    """Both videos have to be of one kind, and the one below is changed."""
    path = tmp_path / "a.mp4"
    path.write_bytes(b"x")
    reading = read(lipsync_input=str(path), consent_video=URL)
    assert "must both be files or both be URLs" in reading.faults["consent_video"]
    assert not read(lipsync_input=DRIVE, consent_video=str(path)).faults
