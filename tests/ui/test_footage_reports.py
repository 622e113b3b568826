"""The checks of a video are kept with its submission, and erased with the person."""

from __future__ import annotations

import io
import json
import stat
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from avatarkit.preflight import Finding, Report, Severity, Source
from avatarkit.preflight.footage import Box, Shot
from avatarkit.ui import footage_reports, outbox
from avatarkit.ui.draft import Draft
from avatarkit.ui.footage_reports import FootageReports
from avatarkit.ui.running import Running
from support.app_pages import BROWSER

SILENT = Finding("audio", Severity.FATAL, "The video has no sound.", "none", "present", Source.OWN)
SHARP = Finding("sharpness", Severity.FINE, "The picture is sharp.", "9", "5", Source.OWN)


def report(path: Path, *, frames: int = 0) -> Report:
    """Return a report with frames of noise, which is what compresses worst."""
    noise = np.random.default_rng(1).integers(0, 255, (240, 426, 3), dtype=np.uint8)
    shots = tuple(Shot(second, noise, (Box(9, 9, 99),)) for second in range(frames))
    return Report(path, (SILENT, SHARP), shots)


def sent(app: Running, path: Path, **fields: object) -> str:
    """Send a create from a form whose video was not checked."""
    from avatarkit import PersonaCreate

    request = PersonaCreate(creator_name="Ada", gender="f", lipsync_input=path, **fields)
    submission_id = app.outbox.send(request, Draft(app.outbox.uploads.draft(BROWSER).folder, {}))
    app.outbox.wait(submission_id, 300.0)
    return submission_id


def test_what_is_kept_is_read_back(tmp_path: Path) -> None:
    """Findings, name and size come back with the frames, also when the video is gone."""
    video = tmp_path / "ada.mp4"
    video.write_bytes(b"x" * 1234)
    reports = FootageReports(tmp_path / "data")
    reports.keep("s1", {"lipsync_input": report(video, frames=8)})
    video.unlink()
    [(field, kept)] = reports.read("s1").items()
    assert (field, kept.path, kept.size) == ("lipsync_input", Path("ada.mp4"), 1234)
    assert kept.findings == (SILENT, SHARP)
    assert kept.reason == "The video has no sound."
    assert kept.contact_sheet is not None
    assert PIL.Image.open(io.BytesIO(kept.contact_sheet)).format == "JPEG"
    assert reports.read("s2") == {}


def test_what_is_kept_is_small_and_private(tmp_path: Path) -> None:
    """Even frames of noise, which no video has, take little room; only this user reads them."""
    reports = FootageReports(tmp_path)
    reports.keep("s1", {"consent_video": report(tmp_path / "c.mp4", frames=12)})
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert sorted(path.name for path in files) == ["consent_video.jpg", "consent_video.json"]
    assert sum(path.stat().st_size for path in files) < 400_000
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


@pytest.mark.parametrize("content", [b"", b"[]", b'{"name": "a.mp4"}', b"\xff"])
def test_a_damaged_file_is_left_out(tmp_path: Path, content: bytes) -> None:
    """A cut or foreign file is as none; the page shows the rest."""
    path = tmp_path / "footage" / "s1" / "lipsync_input.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    assert FootageReports(tmp_path).read("s1") == {}


def test_a_full_disk_keeps_no_create_from_being_sent(
    app: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The avatar is made; what the checks found is lost, and that is logged."""

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(footage_reports, "replace_file", full)
    path = tmp_path / "a.mp4"
    path.write_bytes(b"no video")
    submission_id = sent(app, path)
    assert app.session.store.submissions()["state"].tolist() == ["accepted"]
    assert app.outbox.reports.read(submission_id) == {}


def test_a_bug_in_the_checks_keeps_no_create_from_being_sent(
    app: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A check that raises anything leaves an accepted create without a report."""
    monkeypatch.setattr(outbox, "check_field", lambda *_: 1 / 0)
    path = tmp_path / "a.mp4"
    path.write_bytes(b"no video")
    assert app.outbox.reports.read(sent(app, path)) == {}
    assert app.session.store.submissions()["state"].tolist() == ["accepted"]


def test_files_that_the_form_did_not_check_are_checked_after_they_were_sent(
    app: Running, tmp_path: Path
) -> None:
    """A create that comes from no form has its findings as well."""
    path = tmp_path / "a.mp4"
    path.write_bytes(b"no video")
    [kept] = app.outbox.reports.read(sent(app, path)).values()
    assert kept.reason is not None
    assert "not an MP4" in kept.reason
    assert kept.size == 8


def test_the_checks_of_the_form_are_not_made_again(
    app: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the form has found is kept with the upload's name and size."""
    from avatarkit import PersonaCreate

    monkeypatch.setattr(outbox, "check_field", lambda *_: 1 / 0)
    draft = app.outbox.uploads.draft(BROWSER)
    path = draft.save_upload("1", "ada.mp4", io.BytesIO(b"x" * 99))
    request = PersonaCreate(creator_name="Ada", gender="f", lipsync_input=path)
    submission_id = app.outbox.send(request, draft, {"lipsync_input": report(path)})
    app.outbox.wait(submission_id, 300.0)
    [kept] = app.outbox.reports.read(submission_id).values()
    assert (kept.path.name, kept.size, kept.findings) == ("ada.mp4", 99, (SILENT, SHARP))
    assert app.outbox.stored() == []


def test_a_forgotten_person_leaves_no_picture(app: Running, tmp_path: Path) -> None:
    """What the checks kept is named by a dry run, and erased; that of others stays."""
    from avatarkit import PersonaCreate

    path = tmp_path / "a.mp4"
    path.write_bytes(b"no video")
    submission_id = sent(app, path)
    other = app.outbox.send(
        PersonaCreate(creator_name="Bob", gender="m", lipsync_input=path),
        Draft(app.outbox.uploads.draft(BROWSER).folder, {}),
    )
    app.outbox.wait(other, 300.0)
    folder = app.session.settings.folder / "footage"
    assert folder / submission_id in app.session.tracker.forget("Ada", dry_run=True).files
    app.session.tracker.forget("Ada")
    assert [path.name for path in folder.iterdir()] == [other]
    assert json.loads((folder / other / "lipsync_input.json").read_text())["name"] == "a.mp4"


def test_a_report_that_comes_after_the_forgetting_is_dropped(
    app: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person who is forgotten while a video is checked is not written down again."""
    check = outbox.check_field

    def forgotten_meanwhile(path: Path, field: str) -> Report:
        app.session.tracker.forget("Ada")
        return check(path, field)

    monkeypatch.setattr(outbox, "check_field", forgotten_meanwhile)
    path = tmp_path / "a.mp4"
    path.write_bytes(b"no video")
    submission_id = sent(app, path)
    assert app.session.store.submissions().empty
    assert not (app.session.settings.folder / "footage" / submission_id).exists()
