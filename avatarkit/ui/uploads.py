"""Keep each upload once on disk, and delete it when no submission needs it any more.

In the data folder::

    drafts/<browser>/<upload>/<name>     uploaded, not submitted
    drafts/<browser>/sheet.json          the sheet of many, see ``ui.sheet_draft``
    uploads/<upload>/<name>              taken by a submission
    outbox/<browser>/<submission_id>     the ids of the uploads that a submission took

An upload changes hands by renaming its folder: of two submissions only one can take it.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from avatarkit.files import replace_file
from avatarkit.models import VIDEO_FIELDS
from avatarkit.store.tables import IN_FLIGHT
from avatarkit.ui.draft import Draft, make_private

FORGET_AFTER = timedelta(days=30)
"""What was typed, and submissions that ended, are forgotten after this."""

_HIDDEN = ".hidden"


@dataclass(frozen=True)
class Record:
    """A submission that was sent from here, and the uploads that it took."""

    path: Path
    upload_ids: tuple[str, ...]

    @property
    def submission_id(self) -> str:
        """The submission."""
        return self.path.name.removesuffix(_HIDDEN)

    @property
    def browser(self) -> str:
        """The id of the browser that sent it."""
        return self.path.parent.name

    @property
    def is_hidden(self) -> bool:
        """Whether it was dismissed while it was in flight."""
        return self.path.name.endswith(_HIDDEN)


@dataclass(frozen=True)
class StoredUpload:
    """The file of an upload.

    Attributes:
        browser: The id of the browser that uploaded it, None if that is not known.
        expires_at: When it is deleted by itself; None while a submission in flight needs it.
    """

    path: Path
    size: int
    browser: str | None
    expires_at: datetime | None

    @property
    def uploaded_at(self) -> datetime:
        """When it was written, on the machine's clock."""
        return _changed_at(self.path)


class Uploads:
    """The uploads in one data folder.

    Args:
        folder: The data folder.
        keep: How long an upload that no submission needs is kept.
    """

    def __init__(self, folder: Path, keep: timedelta = timedelta(days=1)) -> None:
        self.folder = folder.absolute()
        self.keep = keep
        self._drafts = self.folder / "drafts"
        self._taken = self.folder / "uploads"
        self._records = self.folder / "outbox"

    def draft(self, browser: str) -> Draft:
        """Return the form of a browser as it was last saved."""
        return Draft(self._drafts / browser)

    def browsers(self) -> list[str]:
        """Return the ids of the browsers that have a draft or an upload here."""
        return sorted(path.name for path in self._drafts.glob("*") if path.is_dir())

    def taken_path(self, path: Path, draft: Draft) -> Path:
        """Return where a file lies once a submission has taken it."""
        return self._taken / path.parent.name / path.name if draft.owns(path) else path

    def take(self, submission_id: str, draft: Draft, paths: Iterable[Path]) -> None:
        """Move the uploads of a form to its submission, and clear the form's file.

        Args:
            submission_id: The submission.
            draft: The form.
            paths: Its files; those that are no uploads stay where they are.

        Raises:
            OSError: It was not possible; the uploads are where they were.
        """
        record = self._records / draft.browser / submission_id
        upload_ids = list(dict.fromkeys(path.parent.name for path in paths if draft.owns(path)))
        moved: list[str] = []
        try:
            make_private(record.parent)
            make_private(self._taken)
            replace_file(record, "\n".join(upload_ids).encode(), private=True)
            for upload_id in upload_ids:
                (draft.folder / upload_id).rename(self._taken / upload_id)
                moved.append(upload_id)
            draft.clear()
        except OSError:
            for upload_id in moved:
                (self._taken / upload_id).rename(draft.folder / upload_id)
            record.unlink(missing_ok=True)
            raise

    def copy(self, path: Path, draft: Draft) -> Path:
        """Make an upload of its own of a file that two submissions send, and return its path.

        Raises:
            OSError: It is gone, or the disk is full.
        """
        copied = draft.folder / secrets.token_hex(16) / path.name
        make_private(copied.parent)
        try:
            copied.hardlink_to(path)
        except OSError:  # not on each file system
            shutil.copyfile(path, copied)
        return copied

    def take_logged(self, submission_id: str, draft: Draft, request: Mapping[str, object]) -> None:
        """Move the uploads that a create in the log names to its submission.

        Args:
            submission_id: The submission.
            draft: A form of the browser that sends it.
            request: The create as the log has it, with the paths that its files will have.

        Raises:
            OSError: It was not possible; done again, it goes on where it ended.
        """
        paths = [Path(str(request.get(name) or "")) for name in VIDEO_FIELDS]
        upload_ids = [path.parent.name for path in paths if path.parent.parent == self._taken]
        record = self._records / draft.browser / submission_id
        make_private(record.parent)
        make_private(self._taken)
        replace_file(record, "\n".join(upload_ids).encode(), private=True)
        for upload_id in upload_ids:
            if (draft.folder / upload_id).exists():
                (draft.folder / upload_id).rename(self._taken / upload_id)

    def give_back(self, record: Record, draft: Draft, fields: Mapping[str, str]) -> None:
        """Move the uploads of a submission back to its browser, with the fields as a new form.

        Raises:
            OSError: It was not possible; tried again, it goes on where it ended.
        """
        draft.next = Draft(draft.folder, self.move_back(record, draft, fields))
        draft.next.write()
        record.path.unlink(missing_ok=True)

    def move_back(self, record: Record, draft: Draft, fields: Mapping[str, str]) -> dict[str, str]:
        """Move the uploads of a submission back to its browser; its record stays.

        Returns:
            The fields with the new paths.

        Raises:
            OSError: It was not possible; tried again, it goes on where it ended.
        """
        make_private(draft.folder)
        for upload_id in record.upload_ids:
            with suppress(FileNotFoundError):  # it was deleted after its time
                (self._taken / upload_id).rename(draft.folder / upload_id)
        paths = {}
        for name in VIDEO_FIELDS:
            path = Path(fields.get(name) or "")
            if path.parent.parent == self._taken:
                paths[name] = str(draft.folder / path.parent.name / path.name)
        return {**fields, **paths}

    def records(self, browser: str = "*", submission_id: str = "") -> list[Record]:
        """Return the submissions that a browser, or any, has sent and not dismissed for good.

        Args:
            browser: Only those of this one.
            submission_id: Only this one.
        """
        found = []
        for path in self._records.glob(f"{browser}/{submission_id}*"):
            with suppress(FileNotFoundError):  # dismissed meanwhile
                found.append(Record(path, tuple(path.read_text(encoding="utf-8").split())))
        return [record for record in found if not record.path.name.startswith(".")]

    def release(self, record: Record, *, is_dismissed: bool = False) -> None:
        """Delete the uploads of a submission that has ended, and its record when dismissed."""
        for upload_id in record.upload_ids:
            shutil.rmtree(self._taken / upload_id, ignore_errors=True)
        if is_dismissed or record.is_hidden:
            record.path.unlink(missing_ok=True)

    def hide(self, record: Record) -> None:
        """Hide a submission whose uploads are still needed."""
        if not record.is_hidden:
            record.path.rename(record.path.with_name(record.path.name + _HIDDEN))

    def stored(self, states: Mapping[str, str]) -> list[StoredUpload]:
        """Return all uploads on disk.

        Args:
            states: The states of the submissions in ``records``; one that is missing belongs to
                another account, or its log is not there.
        """
        owners = {}
        for record in self.records():
            expires_at = self._expires_at(record, states.get(record.submission_id))
            owners.update(dict.fromkeys(record.upload_ids, (record.browser, expires_at)))
        stored = []
        for path, size, changed_at in _files(self._taken.glob("*/*")):
            browser, expires_at = owners.get(path.parent.name, (None, changed_at + self.keep))
            stored.append(StoredUpload(path, size, browser, expires_at))
        for path, size, changed_at in _files(self._drafts.glob("*/*/*")):
            folder = path.parent.parent
            typed_at = (_changed_at(folder / name) for name in ("draft.json", "sheet.json"))
            used_at = max(changed_at, *typed_at)
            stored.append(StoredUpload(path, size, folder.name, used_at + self.keep))
        return stored

    def sweep(self, states: Mapping[str, str], now: datetime) -> None:
        """Delete what is no longer needed: uploads, and what is older than ``FORGET_AFTER``.

        Args:
            states: As in ``stored``.
            now: The moment on the machine's clock, as files have their times from it.
        """
        for record in self.records():
            state = states.get(record.submission_id)
            if state in IN_FLIGHT:
                # What is refused later is kept from now on.
                os.utime(record.path, (now.timestamp(), now.timestamp()))
            elif state == "accepted" or (state == "refused" and record.is_hidden):
                self.release(record)
        self.delete([u for u in self.stored(states) if u.expires_at and u.expires_at <= now])
        for record in self.records():
            if now - _changed_at(record.path) >= FORGET_AFTER:
                self.release(record, is_dismissed=True)
        # The first is that of older versions, which had one for all browsers.
        drafts = [self.folder / "draft.json", *self._drafts.glob("*/*.*")]
        for path, _, changed_at in _files(drafts):
            if now - changed_at >= FORGET_AFTER:
                path.unlink(missing_ok=True)
        for folder in [*self._drafts.glob("*"), *self._records.glob("*")]:
            if now - _changed_at(folder) >= FORGET_AFTER:
                with suppress(OSError):  # it is not empty
                    folder.rmdir()

    def delete(self, uploads: Iterable[StoredUpload]) -> None:
        """Delete uploads."""
        for upload in uploads:
            upload.path.unlink(missing_ok=True)
            with suppress(OSError):  # a second file lies there
                upload.path.parent.rmdir()

    def _expires_at(self, record: Record, state: str | None) -> datetime | None:
        if state in IN_FLIGHT:
            return None
        # Kept longer if it is not known what became of it.
        return _changed_at(record.path) + (self.keep if state else FORGET_AFTER)


def _files(paths: Iterable[Path]) -> Iterator[tuple[Path, int, datetime]]:
    """Yield the files among paths, with their size and when they were changed."""
    for path in paths:
        with suppress(FileNotFoundError):  # it was deleted meanwhile
            if path.is_file():
                yield path, path.stat().st_size, _changed_at(path)


def _changed_at(path: Path) -> datetime:
    """Return when a file was changed; the beginning of time if it is gone."""
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except OSError:
        return datetime.min.replace(tzinfo=UTC)
