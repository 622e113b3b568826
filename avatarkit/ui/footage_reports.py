"""Keep what the checks found in the videos of a submission, for when its avatar is turned down.

In the data folder, until the person is forgotten::

    footage/<submission_id>/<field>.json     name, size and findings of a video
    footage/<submission_id>/<field>.jpg      a few of its frames
"""

from __future__ import annotations

import io
import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from avatarkit.files import replace_file
from avatarkit.models import VIDEO_FIELDS
from avatarkit.preflight import Finding, Report
from avatarkit.preflight.findings import printable
from avatarkit.ui.draft import make_private

logger = logging.getLogger("avatarkit")

_JPEG_QUALITY = 70
"""A sheet of six frames has about 50 kB."""


@dataclass(frozen=True)
class KeptReport(Report):
    """The findings on a video that may be gone, and its frames as a JPEG."""

    size: int | None = None
    """Bytes of the video; None if it could not be read."""
    sheet: bytes | None = field(default=None, repr=False)

    @cached_property
    def contact_sheet(self) -> bytes | None:
        """A few frames with their times and boxes around the faces; None without any."""
        return self.sheet


@dataclass(frozen=True)
class _Kept:
    """The content of the JSON file."""

    name: str
    size: int | None
    findings: tuple[Finding, ...]


_ADAPTER = TypeAdapter(_Kept)


class FootageReports:
    """The reports in one data folder.

    Args:
        folder: The data folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute() / "footage"

    def keep(self, submission_id: str, reports: Mapping[str, Report]) -> None:
        """Write the reports on the videos of a submission; an error is only logged.

        Args:
            submission_id: The submission.
            reports: The report on each video that is a file, by field.
        """
        folder = self._folder / submission_id
        for name, report in reports.items():
            size = report.size if isinstance(report, KeptReport) else _size(report.path)
            kept = _Kept(printable(report.path.name), size, report.findings)
            try:
                make_private(folder)
                # Last, as it says that the report is whole.
                if report.contact_sheet is not None:
                    picture = _as_jpeg(report.contact_sheet)
                    replace_file(folder / f"{name}.jpg", picture, private=True)
                replace_file(folder / f"{name}.json", _ADAPTER.dump_json(kept), private=True)
            except Exception:  # the create is sent all the same
                logger.exception("The checks of a video could not be kept.")

    def drop(self, submission_id: str) -> None:
        """Delete what was kept of a submission."""
        shutil.rmtree(self._folder / submission_id, ignore_errors=True)

    def read(self, submission_id: str) -> dict[str, KeptReport]:
        """Return what was kept of a submission, by field; what cannot be read is left out."""
        folder, found = self._folder / submission_id, {}
        for name in VIDEO_FIELDS:
            try:
                kept = _ADAPTER.validate_json((folder / f"{name}.json").read_bytes())
            except (OSError, ValidationError):
                continue
            try:
                sheet = (folder / f"{name}.jpg").read_bytes()
            except OSError:
                sheet = None
            found[name] = KeptReport(Path(kept.name), kept.findings, size=kept.size, sheet=sheet)
        return found


def compact(report: Report) -> KeptReport:
    """Return a report with its frames as a JPEG, which takes a hundredth of their memory."""
    picture = report.contact_sheet
    sheet = None if picture is None else _as_jpeg(picture)
    return KeptReport(report.path, report.findings, size=_size(report.path), sheet=sheet)


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except (OSError, ValueError):
        return None


def _as_jpeg(picture: bytes) -> bytes:
    from PIL import Image

    out = io.BytesIO()
    Image.open(io.BytesIO(picture)).convert("RGB").save(out, "JPEG", quality=_JPEG_QUALITY)
    return out.getvalue()
