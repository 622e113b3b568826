"""Judge the file as a whole: whether it can be opened, is a video, and is complete."""

from __future__ import annotations

import stat
from pathlib import Path

from avatarkit.preflight import mp4_boxes
from avatarkit.preflight.findings import Check, Finding, Severity, Source, printable
from avatarkit.preflight.footage import LONGEST_S, TOLERANCE_S, Footage

_SUFFIXES = frozenset({".mp4", ".m4v", ".mov", ".qt"})
_OTHER_BRANDS = ("3g", "M4A", "M4B", "heic", "avif", "mif1")
_DAMAGED_SHARE = 0.01
_MP4 = "MP4 or QuickTime"
_CONTAINER = Check("container", f"The container is {_MP4}.", _MP4, Source.DOCUMENTED)


class Unusable(Exception):
    """Ends the checks of a file with a fatal finding."""

    def __init__(
        self, check: str, message: str, value: str, limit: str, source: Source = Source.OWN
    ) -> None:
        super().__init__(message)
        self.finding = Finding(check, Severity.FATAL, message, value, limit, source)


def missing(path: Path) -> Unusable:
    """Return the error for a file that does not exist."""
    message = f"{_name(path)} does not exist; check the path."
    return Unusable("file", message, "missing", "a file")


def read_layout(path: Path) -> mp4_boxes.Layout:
    """Read the boxes of a file, and refuse a file that is not safe to decode.

    Raises:
        FileNotFoundError: There is no such file.
        Unusable: It cannot be opened, or is not an MP4 or QuickTime file.
    """
    name = _name(path)
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            message = f"{name} is a directory; give the path of a video file."
            raise Unusable("file", message, "a directory", "a file")
        if not stat.S_ISREG(status.st_mode):
            message = f"{name} is not a regular file; save it first."
            raise Unusable("file", message, "a device", "a file")
        if not status.st_size:
            message = f"{name} is empty; export or download the video again."
            raise Unusable("file", message, "0 bytes", "more than 0 bytes")
        with path.open("rb") as content:
            layout = mp4_boxes.read(content, status.st_size)
    except FileNotFoundError:
        raise
    except PermissionError:
        message = f"{name} cannot be read; check its permissions."
        raise Unusable("file", message, "not readable", "a readable file") from None
    except (OSError, ValueError):  # a null byte in the name is a ValueError
        message = f"{name!r} cannot be opened; check the path."
        raise Unusable("file", message, "not readable", "a readable file") from None
    if not layout.is_isobmff:
        message = f"{name} is not an MP4 or QuickTime file; export the video as MP4."
        raise Unusable("file", message, "another format", _MP4, Source.DOCUMENTED)
    if layout.refused:
        message = f"{name} is not opened since {layout.refused}; export the video again."
        limit = "a plain MP4 or QuickTime file"
        raise Unusable("file", message, layout.refused, limit, Source.DOCUMENTED)
    return layout


def require_header(layout: mp4_boxes.Layout) -> None:
    """Raise ``Unusable`` for a file without the header of a video."""
    if layout.has_header:
        return
    if layout.missing_bytes:
        raise _cut_off(layout)
    message = "The file has no header of a video; export or download it again."
    raise Unusable("reading", message, "no header", "a header")


def judge_container(path: Path, layout: mp4_boxes.Layout) -> Finding:
    """Return the finding ``container``: the brand in the file and the suffix of its name."""
    brand = layout.brand.strip()
    value = "QuickTime" if brand in ("", "qt") else f"MP4 ({brand})"
    problem = None
    if brand.startswith(_OTHER_BRANDS):
        problem = "The file is a relative of MP4, not MP4 itself; export the video as MP4."
        value = brand
    elif path.suffix.lower() not in _SUFFIXES:
        problem = "The file is MP4 or QuickTime but its name says otherwise; rename it to .mp4."
        value = printable(path.suffix) or "none"
    return _CONTAINER.judge(value, problem)


def judge_reading(footage: Footage, layout: mp4_boxes.Layout) -> Finding:
    """Return the finding ``reading``: whether all that the header promises could be decoded."""
    if layout.missing_bytes:
        return _cut_off(layout).finding
    promised, read, damaged = footage.declared_frames, footage.frames_read, footage.damaged
    reason, severity = footage.stopped_because, Severity.FATAL
    value = f"{read:,} frames, {footage.codec}"
    if reason and not footage.times and not damaged:
        severity = Severity.WARNING
        message = f"The video was not looked at since {reason}; export it again in 1080p."
    elif not footage.times:
        message = "No picture of the video can be decoded; export it again as H.264."
    elif footage.is_whole and promised > read:
        message = "The file is cut off; download or export it again."
        value = f"{read:,} of {promised:,} frames"
    elif damaged > max(1, _DAMAGED_SHARE * read) or not (footage.is_whole or reason):
        message = "The video is damaged; download or export it again."
        value = f"{damaged:,} damaged of {read:,} frames"
    elif footage.empty:
        severity = Severity.WARNING
        message = "Some frames are missing; if the picture stutters, export the video again."
        value = f"{footage.empty:,} empty of {read:,} frames"
    elif damaged:
        severity = Severity.WARNING
        message = "A few frames are damaged; if they show, export the video again."
    elif not reason:
        severity, message = Severity.FINE, "It can be read to the end."
    else:
        value = f"{len(footage.times):,} of {max(promised, read):,} frames, {footage.codec}"
        seconds = f"{footage.times[-1] - footage.times[0]:.0f} s"
        severity = Severity.WARNING
        message = f"Only the first {seconds} were looked at since {reason}; shorten it."
        if footage.is_whole and footage.duration_s <= LONGEST_S + TOLERANCE_S:
            severity = Severity.FINE
            message = f"It is whole; only the first {seconds} were looked at."
    return Finding("reading", severity, message, value, "readable to the end", Source.OWN)


def _cut_off(layout: mp4_boxes.Layout) -> Unusable:
    message = "The file is cut off; download or export it again."
    return Unusable("reading", message, f"{layout.missing_bytes:,} bytes missing", "whole")


def _name(path: Path) -> str:
    return printable(path.name or str(path))
