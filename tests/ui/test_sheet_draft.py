"""The sheet of many avatars, as it is kept in the folder of a browser."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from avatarkit.errors import StoreError
from avatarkit.tracking.sheet import COLUMNS
from avatarkit.ui import sheet_draft
from avatarkit.ui.draft import Draft
from avatarkit.ui.sheet_draft import SPARE_ROWS, SheetDraft


def row(**values: str) -> dict[str, str]:
    return dict.fromkeys(COLUMNS, "") | values


def drop(sheet: SheetDraft, name: str, content: bytes = b"video") -> None:
    sheet.save_video(f"{name} {len(content)}", name, io.BytesIO(content), len(content))


@pytest.fixture
def sheet(tmp_path: Path) -> SheetDraft:
    return SheetDraft(tmp_path / "browser")


def test_what_was_typed_is_there_after_a_restart(sheet: SheetDraft) -> None:
    """Rows, empty ones between them and the folder are read back as they were typed."""
    sheet.edit({0: {"creator_name": "Ada"}, 2: {"creator_name": " Bob ", "gender": "m"}})
    sheet.edit({0: {"creator_name": "Ada"}, 2: {"creator_name": "Bob", "gender": None}})
    sheet.set_folder("/videos")
    again = SheetDraft(sheet.form.folder)
    assert again.rows == [row(creator_name="Ada"), row(), row(creator_name="Bob")]
    assert again.filled == [1, 3]
    assert again.videos_folder == "/videos"


def test_a_sheet_that_is_emptied_leaves_no_file(sheet: SheetDraft) -> None:
    """The rows of a person are not kept when they are deleted from the table."""
    sheet.edit({0: {"creator_name": "Ada"}})
    assert list(sheet.form.folder.iterdir())
    sheet.edit({0: {"creator_name": ""}})
    assert not list(sheet.form.folder.iterdir())


def test_a_damaged_file_is_an_empty_sheet(tmp_path: Path) -> None:
    """What cannot be read does not keep the page from opening."""
    for text in ("{", "[]", '{"rows": 1}', '{"rows": ["x", {"creator_name": null}]}'):
        (tmp_path / "sheet.json").write_text(text)
        assert SheetDraft(tmp_path).filled == []


def test_edits_apply_to_the_rows_that_the_table_was_given(sheet: SheetDraft) -> None:
    """The table sends all its edits each time; a cell that was edited twice has the last value."""
    sheet.replace([row(creator_name="Ada"), row(creator_name="Bob")])
    sheet.edit({1: {"creator_name": "Bo"}})
    sheet.edit({1: {"creator_name": "Bob B."}, 0: {"gender": "f"}})
    assert [(each["creator_name"], each["gender"]) for each in sheet.rows] == [
        ("Ada", "f"),
        ("Bob B.", ""),
    ]


def test_the_table_always_has_rows_to_paste_into(sheet: SheetDraft) -> None:
    """With the last spare rows filled it gets new ones, and a paste that may be cut is said."""
    version = sheet.version
    sheet.edit({n: {"creator_name": f"N{n}"} for n in range(3)})
    assert sheet.version == version
    sheet.edit({n: {"creator_name": f"N{n}"} for n in range(SPARE_ROWS)})
    assert sheet.version > version
    assert len(sheet.base) == 2 * SPARE_ROWS
    assert "last row" in sheet.notices[0]


def test_a_csv_that_replaces_rows_can_be_taken_back(sheet: SheetDraft) -> None:
    """Rows that were typed are not lost to a CSV that is dropped, nor to a click on Clear."""
    sheet.edit({0: {"creator_name": "Ada"}})
    sheet.replace([row(creator_name="Bob")])
    again = SheetDraft(sheet.form.folder)
    again.undo()
    assert [each["creator_name"] for each in again.rows] == ["Ada"]
    again.clear()
    assert again.rows == []
    again.undo()
    assert [each["creator_name"] for each in again.rows] == ["Ada"]


def test_dropped_videos_are_found_by_their_names(sheet: SheetDraft) -> None:
    """Case and suffix do not matter where only one fits; paths and URLs are left as they are."""
    drop(sheet, "Ada (1).MP4")
    drop(sheet, "bob.mp4")
    drop(sheet, "bob.mov")
    cells = ("ada (1).mp4", "Ada (1)", "bob", "BOB.mov", "x.mp4", "/y/bob.mp4", "http://z/bob.mp4")
    sheet.replace([row(lipsync_input=cell) for cell in cells])
    located = [Path(each["lipsync_input"]).name for each in sheet.located()]
    assert located[:4] == ["Ada _1_.MP4", "Ada _1_.MP4", "bob", "bob.mov"]
    assert [each["lipsync_input"] for each in sheet.located()][4:] == [*cells[4:]]


def test_a_video_that_is_dropped_again_replaces_the_one_before(sheet: SheetDraft) -> None:
    """As in a folder there is one file of a name: the last."""
    drop(sheet, "ada.mp4", b"first")
    drop(sheet, "ADA.mp4", b"second!")
    [path] = sheet.dropped().values()
    assert path.read_bytes() == b"second!"
    assert len(list(sheet.form.folder.glob("*/*"))) == 1


def test_the_videos_of_the_form_of_one_are_not_taken(sheet: SheetDraft) -> None:
    """A row does not send the file that was uploaded into the other form of this browser."""
    folder = sheet.form.folder
    form = Draft(folder)
    path = form.save_upload("1", "ada.mp4", io.BytesIO(b"of one"))
    form.save({"creator_name": "Ada", "lipsync_input": str(path)})
    assert sheet.dropped() == {}
    drop(sheet, "ada.mp4", b"of many")
    assert [each.read_bytes() for each in sheet.dropped().values()] == [b"of many"]
    assert path.exists()


def test_more_than_fits_is_not_kept(sheet: SheetDraft, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond a gigabyte the page says to use a folder; replacing a file needs no room twice."""
    monkeypatch.setattr(sheet_draft, "MOST_BYTES", 10)
    drop(sheet, "ada.mp4", b"12345678")
    drop(sheet, "ada.mp4", b"123456789")
    with pytest.raises(ValueError, match="folder on the server"):
        drop(sheet, "bob.mp4", b"12")
    assert list(sheet.dropped()) == ["ada.mp4"]


def test_a_sheet_that_cannot_be_kept_is_a_sentence(sheet: SheetDraft) -> None:
    """Nothing goes on with rows that the next start would not have."""
    sheet.form.folder.write_text("a file where the folder should be")
    with pytest.raises(StoreError, match="could not be kept on disk"):
        sheet.edit({0: {"creator_name": "Ada"}})
