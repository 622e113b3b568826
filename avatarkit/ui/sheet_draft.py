"""Keep the sheet of many avatars in a file, so that it survives a reload, a crash and a restart."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PurePath
from typing import Any, BinaryIO

from avatarkit.errors import StoreError
from avatarkit.files import replace_file
from avatarkit.models import VIDEO_FIELDS, is_url
from avatarkit.paths import unquote
from avatarkit.tracking.sheet import COLUMNS
from avatarkit.tracking.sheet_files import resolve
from avatarkit.ui.draft import Draft, make_private, safe_name

MOST_BYTES = 1_000_000_000
"""The dropped files of a browser have at most this many bytes together."""

SPARE_ROWS = 50
"""Empty rows below the filled ones, into which rows are typed and pasted."""

LEAST_SPARE_ROWS = 10
"""With fewer empty rows the table gets new ones."""

Row = dict[str, str]


class SheetDraft:
    """The sheet of one tab, kept in the folder of its browser.

    Two tabs of a browser share the folder and the dropped files: what was changed last is what a
    new tab shows, and each tab sends what it shows itself.

    Args:
        folder: The folder of the browser's drafts and uploads; made when something is saved.

    Attributes:
        form: Owns the dropped files.
        rows: All rows of the table up to the last one that is filled, as typed; between them there
            may be empty ones.
        videos_folder: The folder on the server in which videos are looked for, as typed.
        replaced: The rows that a dropped CSV has replaced, None if none has.
        batch_id: The batch that is made of rows of the sheet; None except while that happens.
        base: The rows that the table was given, to which its edits apply.
        version: Grows with each new base.
        notices: Sentences about what was dropped last.
        drops: How often files were dropped.
        send_error: Why the rows were not sent, to be shown once they are checked once more.
        listed: The rows that the button of the tab sends, as number and fields.
    """

    def __init__(self, folder: Path) -> None:
        self.form = Draft(folder, {})
        self._path = folder / "sheet.json"
        self._dropped_ids: set[str] = set()
        content = self._load()
        self.rows = _rows(content.get("rows"))
        self.videos_folder = str(content.get("videos_folder") or "")
        self.replaced: list[Row] | None = None
        if content.get("replaced"):
            self.replaced = _rows(content["replaced"])
        self.batch_id: str | None = content.get("batch_id")
        self._batch_numbers: list[int] = list(content.get("batch_numbers") or [])
        self.version = 0
        self.notices: list[str] = []
        self.drops = 0
        self.send_error: str | None = None
        self.listed: list[tuple[int, Mapping[str, str]]] = []
        self.rebase()

    @property
    def filled(self) -> list[int]:
        """The numbers of the rows that are not empty; the first row is 1."""
        return [number for number, row in enumerate(self.rows, 1) if any(row.values())]

    def rebase(self) -> None:
        """Give the table the rows as they are now, and empty ones below them."""
        empty = dict.fromkeys(COLUMNS, "")
        self.base = [*self.rows, *(dict(empty) for _ in range(SPARE_ROWS))]
        self.version += 1

    def edit(self, edits: Mapping[int, Mapping[str, object]]) -> None:
        """Apply the edits of the table to its base, and save the rows if they have changed.

        Args:
            edits: By position in the base, the new values by column.
        """
        rows = [dict(row) for row in self.base]
        for position, values in edits.items():
            for column, value in values.items():
                if column in COLUMNS and 0 <= position < len(rows):
                    rows[position][column] = "" if value is None else str(value).strip()
        self._set(rows)
        if len(self.rows) > len(self.base) - LEAST_SPARE_ROWS:
            if len(self.rows) == len(self.base):
                self.notices = [
                    "The last row of the table is filled. If more rows were pasted than it had, "
                    "paste the rest below it, or drop a CSV."
                ]
            self.rebase()

    def replace(self, rows: Sequence[Mapping[str, str]]) -> None:
        """Replace the rows, and keep those that were there."""
        before = [row for row in self.rows if any(row.values())]
        self._set(rows)
        self.replaced = before if before and before != self.rows else None
        self.rebase()
        self.save()

    def append(self, rows: Sequence[Mapping[str, str]]) -> None:
        """Add rows below the others."""
        self._set([*self.rows, *rows])
        self.rebase()

    def undo(self) -> None:
        """Bring back the rows that were replaced."""
        if self.replaced is not None:
            self.replace(self.replaced)

    def clear(self) -> None:
        """Remove all rows, keep them for ``undo``, and delete the dropped files."""
        for path in self.dropped().values():
            shutil.rmtree(path.parent, ignore_errors=True)
        self.notices = []
        self.replace([])

    def begin(self, batch_id: str, numbers: Collection[int]) -> None:
        """Write down that the rows of these numbers become a batch, before it is logged."""
        self.batch_id, self._batch_numbers = batch_id, sorted(numbers)
        self.save()

    def finish(self, *, is_logged: bool) -> None:
        """Write down that no batch is being made any more.

        Args:
            is_logged: Whether the batch is in the log, so that its rows leave the sheet.
        """
        left = [number for number in self.filled if number not in self._batch_numbers]
        # In one step with the rows, which otherwise would leave the sheet twice.
        self.batch_id, self._batch_numbers = None, []
        if is_logged:
            self.replaced, self.notices = None, []
            self._set([self.rows[number - 1] for number in left])
            self.rebase()
        self.save()

    def set_folder(self, text: str) -> None:
        """Look for videos in another folder."""
        if text != self.videos_folder:
            self.videos_folder = text
            self.save()

    def save(self) -> None:
        """Write the sheet, or delete the file when there is nothing to keep."""
        content = {
            "rows": self.rows,
            "videos_folder": self.videos_folder,
            "replaced": self.replaced,
            "batch_id": self.batch_id,
            "batch_numbers": self._batch_numbers,
        }
        if not any(content.values()):
            self._path.unlink(missing_ok=True)
            return
        text = json.dumps(content, ensure_ascii=False)
        try:
            make_private(self._path.parent)
            replace_file(self._path, text.encode(errors="replace"), private=True)
        except OSError as error:
            message = f"The sheet could not be kept on disk ({error.strerror}); make room."
            raise StoreError(message) from None

    def is_new(self, file_id: str) -> bool:
        """Return whether a dropped file was not used yet; the next call returns False."""
        is_new = file_id not in self._dropped_ids
        self._dropped_ids.add(file_id)
        return is_new

    def save_video(self, file_id: str, name: str, content: BinaryIO, size: int) -> None:
        """Copy a dropped video to disk, in place of an earlier one of its name.

        Raises:
            ValueError: There is no room for it; the text is a sentence.
            OSError: It cannot be written.
        """
        dropped = self.dropped()
        earlier = dropped.pop(safe_name(name).casefold(), None)
        used = sum(path.stat().st_size for path in dropped.values())
        if used + size > MOST_BYTES:
            raise ValueError(
                f"{name} is not kept: dropped files may have {MOST_BYTES / 1e9:,.0f} GB together. "
                "Put the videos into a folder on the server, and name it below."
            )
        path = self.form.save_upload(file_id, name, content)
        if earlier is not None and earlier != path:
            shutil.rmtree(earlier.parent, ignore_errors=True)

    def dropped(self) -> dict[str, Path]:
        """Return the dropped videos by name in lower case, without those of the form of one."""
        of_form = Draft(self.form.folder).fields.values()
        paths = [
            path
            for path in self.form.folder.glob("*/*")
            if not path.name.startswith(".") and str(path) not in of_form
        ]
        return {path.name.casefold(): path for path in sorted(paths, key=_changed_ns)}

    def located(self) -> list[Row]:
        """Return the rows with the path of each video that was dropped in place of its name."""
        dropped = self.dropped()
        return [
            {**row, **{field: _located(row.get(field, ""), dropped) for field in VIDEO_FIELDS}}
            for row in self.rows
        ]

    def _set(self, rows: Sequence[Mapping[str, str]]) -> None:
        new = [{column: row.get(column, "") for column in COLUMNS} for row in rows]
        while new and not any(new[-1].values()):
            del new[-1]
        if new != self.rows:
            self.rows = new
            self.save()

    def _load(self) -> dict[str, Any]:
        try:
            return dict(json.loads(self._path.read_text(encoding="utf-8")))
        except (OSError, TypeError, ValueError):
            return {}


def _rows(value: object) -> list[Row]:
    rows = value if isinstance(value, list) else []
    return [{c: str(row.get(c) or "") for c in COLUMNS} for row in rows if isinstance(row, dict)]


def _located(cell: str, dropped: Mapping[str, Path]) -> str:
    """Return the path of the dropped file that a cell names, with or without its suffix."""
    text = unquote(cell)
    if text and not is_url(text) and PurePath(text).name == text and "\\" not in text:
        with suppress(ValueError):  # it is in the folder, or nowhere
            return str(resolve(safe_name(text), dropped.values()))
    return cell


def _changed_ns(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
