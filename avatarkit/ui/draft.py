"""Keep the half-filled form in files, so that it survives a reload, a crash and a restart."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from avatarkit.files import replace_file, replacing_file
from avatarkit.models import VIDEO_FIELDS, PersonaCreate

FIELDS = tuple(n for n in PersonaCreate.model_fields if n not in ("extra", "gdown_url"))
"""The fields of the form; a link of Google Drive stands in that of the footage."""

CHUNK_BYTES = 1024 * 1024


class Draft:
    """The form of one tab, kept in the folder of its browser.

    Two tabs of a browser share the folder: what was changed last is what a new tab shows, and each
    tab submits what it shows itself.

    Args:
        folder: The folder of the browser's draft and uploads; made when something is saved.
        fields: The fields as typed; by default what the folder holds.

    Attributes:
        fields: The fields as they were last loaded or saved.
        submission_id: What the form became, None until it is submitted.
        next: The form that replaces this one, None while this one is shown.
        notes: By field, a sentence about what to choose, shown while the field is empty.
        is_attempted: Whether it was to be submitted; from then on the form says what is missing.
        unconfirmed: Fields that were set here, as (what the browser showed before, the new value),
            until the browser shows another value than before.
    """

    def __init__(self, folder: Path, fields: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self._path = folder / "draft.json"
        self.fields = self._load() if fields is None else _filled(fields)
        self.submission_id: str | None = None
        self.next: Draft | None = None
        self.notes: Mapping[str, str] = {}
        self.is_attempted = False
        self.unconfirmed: dict[str, tuple[str, str]] = {}

    @property
    def browser(self) -> str:
        """The id of the browser."""
        return self.folder.name

    @property
    def newest(self) -> Draft:
        """The form that replaced this one in the end; this one if none did."""
        form = self
        while form.next is not None:
            form = form.next
        return form

    def save(self, fields: Mapping[str, str]) -> None:
        """Write the fields, if they have changed in this tab."""
        if _filled(fields) != self.fields:
            self.fields = _filled(fields)
            self.write()

    def write(self) -> None:
        """Write the fields, or delete the file when all are empty."""
        if not self.fields:
            self._path.unlink(missing_ok=True)
            return
        make_private(self.folder)
        replace_file(self._path, json.dumps(self.fields, ensure_ascii=False).encode(), private=True)

    def clear(self) -> None:
        """Delete the file, unless another tab has written other fields."""
        if self._load() == self.fields:
            self._path.unlink(missing_ok=True)

    def replace(self, shown: Mapping[str, str]) -> None:
        """Take note that the fields of this form replace those that the browser shows, if any."""
        new = {name: self.fields.get(name, "") for name in shown}
        self.unconfirmed = {n: (shown[n], new[n]) for n in shown if shown[n] != new[n]}

    def attempt(self) -> None:
        """Take note that the form was to be submitted."""
        self.is_attempted = True

    def confirm(self, fields: Mapping[str, str]) -> None:
        """Take note of the fields that the browser shows."""
        self.unconfirmed = {
            name: values for name, values in self.unconfirmed.items() if fields[name] == values[0]
        }

    def save_upload(self, file_id: str, name: str, content: BinaryIO) -> Path:
        """Copy an uploaded file to disk in chunks, once.

        Args:
            file_id: Identifies the upload; saved again, it is not copied again.
            name: The name that the browser gave.
            content: The file.

        Returns:
            Its path, in a new folder so that the file keeps its name.

        Raises:
            OSError: It cannot be written; nothing of it is kept.
        """
        safe = safe_name(name)
        # Hashed, as the browser chooses it. With the browser's id, so that no two are equal.
        digest = hashlib.sha256(f"{self.browser} {file_id}".encode()).hexdigest()
        path = self.folder / digest[:32] / safe
        if path.exists():
            return path
        make_private(self.folder)
        make_private(path.parent)
        content.seek(0)
        with replacing_file(path, private=True) as temporary, temporary.open("wb") as copy:
            shutil.copyfileobj(content, copy, CHUNK_BYTES)
        return path

    def owns(self, path: Path) -> bool:
        """Return whether this is the path of an upload of this browser."""
        return path.parent.parent == self.folder

    def uploads(self) -> list[Path]:
        """Return the uploads that the fields name."""
        paths = [Path(self.fields[name]) for name in VIDEO_FIELDS if name in self.fields]
        return [path for path in paths if self.owns(path)]

    def _load(self) -> dict[str, str]:
        try:
            return _filled(dict(json.loads(self._path.read_text(encoding="utf-8"))))
        except (OSError, TypeError, ValueError):
            return {}


def _filled(fields: Mapping[str, str]) -> dict[str, str]:
    if (link := fields.get("gdown_url")) and not fields.get("lipsync_input"):
        fields = {**fields, "lipsync_input": link}
    return {name: str(fields[name]) for name in FIELDS if fields.get(name)}


def safe_name(name: str) -> str:
    """Return the name that an uploaded file has on disk."""
    safe = re.sub(r"[^\w.\- ]+", "_", Path(name).name)
    # In bytes, which file systems count: 100 letters can be 300 of them.
    return safe.encode()[-100:].decode(errors="ignore") or "video.mp4"


def make_private(folder: Path) -> None:
    """Make a folder that only this user can open, and those above it."""
    with suppress(FileExistsError):
        if not folder.parent.exists():
            make_private(folder.parent)
        folder.mkdir(mode=0o700)
