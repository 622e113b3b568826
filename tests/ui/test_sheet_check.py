"""Sheets checked in a thread while the page shows how far that is."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from avatarkit.errors import ConfigError
from avatarkit.preflight import Report
from avatarkit.tracking.sheet import Row
from avatarkit.ui import sheet_check
from avatarkit.ui.sheet_check import SheetCheck
from support.app_pages import HANGS_S

OnChecked = Callable[[int, int], None]


def test_a_check_of_an_older_sheet_ends() -> None:
    """It is not waited for, and what it finds is not taken for that of the newer one."""
    check, entered, go_on = SheetCheck(), threading.Event(), threading.Event()
    done: list[int] = []

    def slow(on_checked: OnChecked) -> Sequence[Row]:
        on_checked(1, 2)
        entered.set()
        assert go_on.wait(HANGS_S)
        on_checked(2, 2)
        done.append(2)
        return [Row(1, {"creator_name": "old"})]

    check.start("old", slow, wait_s=0)
    assert entered.wait(HANGS_S)
    assert (check.done, check.total, check.checked) == (1, 2, None)
    check.start("new", lambda _: [Row(1, {"creator_name": "new"})], wait_s=0)
    assert check.checked is None
    go_on.set()
    check.start("new", slow, wait_s=HANGS_S)
    assert check.checked is not None
    assert [row.name for row in check.checked.rows] == ["new"]
    assert done == []


@pytest.mark.parametrize("error", [ConfigError("No decoder."), ZeroDivisionError()])
def test_what_goes_wrong_is_a_sentence(error: Exception) -> None:
    """The page shows it in place of the rows."""
    check = SheetCheck()

    def fail(_: OnChecked) -> Sequence[Row]:
        raise error

    check.start("key", fail, wait_s=HANGS_S)
    assert check.checked is not None
    sentences = ("No decoder.", "The rows could not be checked (ZeroDivisionError).")
    assert check.checked.error in sentences


def test_a_video_is_looked_at_once_until_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sheet of fifty videos is checked again at each edit."""
    looked: list[str] = []

    def look(path: Path, field: str) -> Report:
        looked.append(field)
        return Report(path, ())

    monkeypatch.setattr(sheet_check, "check_field", look)
    path = tmp_path / "a.mp4"
    path.write_bytes(b"x")
    for _ in range(2):
        sheet_check.check_video(path, "lipsync_input")
    assert looked == ["lipsync_input"]
    path.write_bytes(b"longer")
    sheet_check.check_video(path, "lipsync_input")
    assert looked == ["lipsync_input"] * 2
    sheet_check.check_video(tmp_path / "gone.mp4", "consent_video")
    assert looked[2:] == ["consent_video"]
