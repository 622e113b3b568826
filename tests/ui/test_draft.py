"""The draft of the form, and uploads, on disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from avatarkit.ui import draft


def test_an_upload_is_kept_on_disk_under_a_safe_name(tmp_path: Path) -> None:
    """An upload is copied in full; its name cannot leave the folder."""
    source, uploads = tmp_path / "source", tmp_path / "uploads"
    source.write_bytes(b"x" * 3_000_000)
    with source.open("rb") as content:
        path = draft.save_upload(uploads, "../../ev/il name.mp4", content)
    assert path.parent.parent == uploads
    assert path.read_bytes() == source.read_bytes()
    assert path.name == "il name.mp4"
    draft.delete_upload(uploads, path)
    assert list(uploads.iterdir()) == []
    draft.delete_upload(uploads, source)
    assert source.exists()


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"creator_name": null}'])
def test_a_broken_draft_is_no_draft(tmp_path: Path, content: str) -> None:
    """A draft that cannot be read is an empty form, not an error."""
    (tmp_path / "draft.json").write_text(content)
    assert draft.load(tmp_path) == {}
