"""The draft of the form, and its uploads, on disk."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pytest

from avatarkit.ui.draft import Draft


def test_an_upload_is_kept_on_disk_under_a_safe_name(tmp_path: Path) -> None:
    """An upload is copied in full and for its owner only; its name cannot leave the folder."""
    draft = Draft(tmp_path / "drafts" / "b")
    content = b"x" * 3_000_000
    path = draft.save_upload("../id", "../../ev/il name.mp4", BytesIO(content))
    assert draft.owns(path)
    assert path.read_bytes() == content
    assert path.name == "il name.mp4"
    assert path.stat().st_mode & 0o077 == 0
    assert draft.folder.parent.stat().st_mode & 0o077 == 0
    assert not Draft(tmp_path / "drafts" / "c").owns(path)


def test_an_upload_is_copied_once(tmp_path: Path) -> None:
    """The same upload saved again is the same file; another of that name is another."""
    draft = Draft(tmp_path / "b")
    path = draft.save_upload("1", "a.mp4", BytesIO(b"first"))
    assert draft.save_upload("1", "a.mp4", BytesIO(b"not read")) == path
    other = draft.save_upload("2", "a.mp4", BytesIO(b"second"))
    assert (path.read_bytes(), other.read_bytes()) == (b"first", b"second")


def test_a_long_name_in_any_script_is_cut(tmp_path: Path) -> None:
    """A name of 250 letters that take three bytes each is cut to what a file system takes."""
    path = Draft(tmp_path / "b").save_upload("1", "李" * 250 + ".mp4", BytesIO(b"x"))
    assert path.read_bytes() == b"x"
    assert path.name == "李" * 32 + ".mp4"


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"creator_name": null}'])
def test_a_broken_draft_is_no_draft(tmp_path: Path, content: str) -> None:
    """A draft that cannot be read is an empty form, not an error."""
    (tmp_path / "draft.json").write_text(content)
    assert Draft(tmp_path).fields == {}


def test_two_tabs_share_a_draft(tmp_path: Path) -> None:
    """What was changed last is kept; a tab that changes nothing overwrites and deletes nothing."""
    first = Draft(tmp_path / "b")
    first.save({"creator_name": "Ada"})
    second = Draft(tmp_path / "b")
    second.save({"creator_name": "Bob"})
    first.save({"creator_name": "Ada"})
    assert Draft(tmp_path / "b").fields == {"creator_name": "Bob"}
    first.clear()
    assert Draft(tmp_path / "b").fields == {"creator_name": "Bob"}
    second.clear()
    assert Draft(tmp_path / "b").fields == {}
