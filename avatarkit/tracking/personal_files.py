"""Find and erase the files of one person in the data folder.

It is laid out by ``ui.uploads``: ``uploads/<upload>/<name>``, ``drafts/<browser>/draft.json`` and
``sheet.json`` with ``drafts/<browser>/<upload>/<name>``, and ``outbox/<browser>/<submission_id>``;
and by ``ui.footage_reports``: ``footage/<submission_id>/<name>``.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avatarkit.files import replace_file
from avatarkit.models import VIDEO_FIELDS
from avatarkit.store.person import Person, is_name
from avatarkit.tracking.sheet_files import resolve


@dataclass(frozen=True)
class PersonalFiles:
    """The files of a person.

    Attributes:
        own: Files and folders in the data folder to erase.
        shared: Uploads in it that another person's submission or form names too; they stay.
        elsewhere: Paths, URLs and links outside of it, which are not ours.
        sheets: Sheets of many avatars with rows of the person, which alone leave them.
    """

    own: tuple[Path, ...] = ()
    shared: tuple[Path, ...] = ()
    elsewhere: tuple[str, ...] = ()
    sheets: tuple[Path, ...] = ()


def find(folder: Path | None, person: Person) -> PersonalFiles:
    """Return the files of a person.

    Args:
        folder: The data folder; None without one.
        person: What the log has of the person; drafts are found by the name alone.
    """
    if folder is None:
        return PersonalFiles(elsewhere=person.files)
    folder = folder.absolute()
    drafts = [*folder.glob("drafts/*/draft.json"), *folder.glob("draft.json")]
    forms = {path: _read(path) for path in drafts}
    names = {path: str(form.get("creator_name", "")) for path, form in forms.items()}
    theirs = {path: forms[path] for path, name in names.items() if is_name(name, person.who)}
    named = {*person.files, *(file for form in theirs.values() for file in _videos(form))}
    others = {file for path, form in forms.items() if path not in theirs for file in _videos(form)}
    others |= person.files_of_others
    sheets = []
    for path in folder.glob("drafts/*/sheet.json"):
        for row in _rows(_read(path)):
            is_theirs = is_name(str(row.get("creator_name")), person.who)
            (named if is_theirs else others).update(_dropped(path.parent, row))
            sheets += [path] if is_theirs else []
    records = [
        path
        for path in folder.glob("outbox/*/*")
        if path.name.removesuffix(".hidden") in person.submission_ids
    ]
    uploads = {upload for file in named if (upload := _upload(folder, Path(file)))}
    for record in records:
        with suppress(OSError):
            ids = record.read_text(encoding="utf-8").split()
            uploads |= {folder / "uploads" / upload_id for upload_id in ids}
    uploads = {path for path in uploads if path.is_dir()}
    reports = {folder / "footage" / submission_id for submission_id in person.submission_ids}
    reports = {path for path in reports if path.is_dir()}
    shared = {upload for file in others if (upload := _upload(folder, Path(file)))} & uploads
    return PersonalFiles(
        own=tuple(sorted({*theirs, *records, *reports, *(uploads - shared)})),
        shared=tuple(sorted(shared)),
        elsewhere=tuple(file for file in sorted(named) if not _upload(folder, Path(file))),
        sheets=tuple(sorted(set(sheets))),
    )


def erase_rows(sheets: Iterable[Path], who: str) -> tuple[list[Path], list[str]]:
    """Delete the rows of a person from sheets, where empty ones take their place.

    Returns:
        As ``erase``.
    """
    erased: list[Path] = []
    failed: list[str] = []
    for path in sheets:
        content = _read(path)
        for row in _rows(content):
            if is_name(str(row.get("creator_name")), who):
                row.update(dict.fromkeys(row, ""))
        try:
            replace_file(path, json.dumps(content, ensure_ascii=False).encode(), private=True)
        except OSError as error:
            failed.append(f"{path} could not be changed ({error.strerror}); delete it yourself.")
        else:
            erased.append(path)
    return erased, failed


def erase(paths: Iterable[Path]) -> tuple[list[Path], list[str]]:
    """Delete files and folders.

    Returns:
        The files that were deleted, and a sentence about each path that could not be.
    """
    erased: list[Path] = []
    failed: list[str] = []
    for path in paths:
        files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
        try:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        except FileNotFoundError:  # it was deleted meanwhile
            continue
        except OSError as error:
            failed.append(f"{path} could not be deleted ({error.strerror}); delete it yourself.")
        else:
            erased += files
    return erased, failed


def _upload(folder: Path, file: Path) -> Path | None:
    """Return the folder of an upload that a path lies in; None outside of the data folder."""
    with suppress(ValueError):
        match file.relative_to(folder).parts:
            case ("uploads", upload_id, _):
                return folder / "uploads" / upload_id
            case ("drafts", browser, upload_id, _):
                return folder / "drafts" / browser / upload_id
    return None


def _read(path: Path) -> dict[str, Any]:
    with suppress(OSError, TypeError, ValueError):
        return dict(json.loads(path.read_text(encoding="utf-8")))
    return {}


def _rows(sheet: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of a sheet, and those that a CSV has replaced."""
    rows = [*(sheet.get("rows") or []), *(sheet.get("replaced") or [])]
    return [row for row in rows if isinstance(row, dict)]


def _dropped(folder: Path, row: dict[str, Any]) -> Iterator[str]:
    """Yield the paths of the videos that were dropped for a row."""
    files = [path for path in folder.glob("*/*") if not path.name.startswith(".")]
    for cell in _videos(row):
        with suppress(ValueError):  # it is none of them
            yield str(resolve(cell, files))


def _videos(form: dict[str, Any]) -> Iterator[str]:
    return (str(form[name]) for name in (*VIDEO_FIELDS, "gdown_url") if form.get(name))
