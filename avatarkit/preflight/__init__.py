"""Looks at a video before it is sent.

``check`` decodes the file once, from start to end, and reports what would speak against it, each
with the limit and where the limit comes from. A file of any kind ends in a report: a missing,
damaged or hostile one has a finding that is fatal.

Rooms: ``mp4_boxes`` (is the file whole), ``decode`` (decoding), ``picture``, ``sound``, ``faces``
(what each says), ``report`` and ``contact_sheet`` (how it reads).
"""

from __future__ import annotations

import os
import stat
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from avatarkit.errors import ConfigError
from avatarkit.preflight.findings import Finding, Severity, Source, printable
from avatarkit.preflight.picture import LONGEST_S
from avatarkit.preflight.report import Report

if TYPE_CHECKING:
    from avatarkit.preflight.footage import Footage
    from avatarkit.preflight.mp4_boxes import Layout

__all__ = ["Finding", "Report", "Severity", "Source", "check"]

Kind = Literal["lipsync", "consent"]

_NAMES = frozenset({".mp4", ".m4v", ".mov", ".qt"})
_DAMAGED_SHARE = 0.01


def check(path: str | os.PathLike[str], *, kind: Kind = "lipsync") -> Report:
    """Look at a video as the vendor might, and say what would speak against it.

    ``kind`` says what it is for. For ``lipsync``, the footage, a missing or silent sound and
    nobody or several people in the picture are fatal; for ``consent`` they are warnings, and the
    length is not judged, as nothing is known about what is accepted there.

    Never raises for what is in the file or for a file that is not there; ``ValueError`` for
    another ``kind``, ``ConfigError`` where PyAV or scikit-image are not installed.

    Time and memory are bounded: at most 300 s at 60 frames a second of 1080p are decoded, and of
    what is longer than that the rest is read but not looked at.
    """
    if kind not in ("lipsync", "consent"):
        raise ValueError("kind must be 'lipsync' or 'consent'.")
    if any(find_spec(name) is None for name in ("av", "skimage")):
        raise ConfigError(
            "Looking at a video needs PyAV and scikit-image: pip install 'avatarkit[preflight]'."
        )
    target = Path(path)
    try:
        layout = _open(target)
    except FileNotFoundError:
        return Report(target, (_missing(target),))
    except _Unusable as problem:
        return Report(target, (_fatal("file", str(problem), problem.value, problem.limit),))
    findings = [_container(target, layout)]
    if layout.missing_bytes and not layout.has_header:
        return Report(target, (*findings, _cut_off(layout)))
    if not layout.has_header:
        message = "The file has no header of a video; export or download it again."
        return Report(target, (*findings, _fatal("reading", message, "no header", "a header")))
    from avatarkit.preflight import decode

    try:
        footage = decode.read(target)
    except FileNotFoundError:
        return Report(target, (_missing(target),))
    except Exception as error:  # noqa: BLE001 - a decoder fails in any way on damaged bytes
        message = "The video cannot be read; export or download it again."
        fatal = _fatal("reading", message, type(error).__name__, "readable to the end")
        return Report(target, (*findings, fatal))
    if footage is None:
        message = "The file has no picture; choose a video."
        return Report(target, (*findings, _fatal("picture", message, "none", "a video track")))
    return _judge(target, findings, layout, footage, is_lipsync=kind == "lipsync")


class _Unusable(Exception):
    def __init__(self, message: str, value: str, limit: str) -> None:
        super().__init__(message)
        self.value, self.limit = value, limit


def _open(path: Path) -> Layout:
    """The boxes of a file that is worth decoding.

    Raises ``FileNotFoundError``, and ``_Unusable`` for every other that is not.
    """
    from avatarkit.preflight import mp4_boxes

    name = printable(path.name or str(path))
    try:
        found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            message = f"{name} is a directory; give the path of a video file."
            raise _Unusable(message, "a directory", "a file")
        if not stat.S_ISREG(found.st_mode):
            raise _Unusable(f"{name} is not a regular file; save it first.", "a device", "a file")
        if not found.st_size:
            message = f"{name} is empty; export or download the video again."
            raise _Unusable(message, "0 bytes", "more than 0 bytes")
        with path.open("rb") as file:
            layout = mp4_boxes.read(file, found.st_size)
    except FileNotFoundError:
        raise
    except PermissionError:
        message = f"{name} cannot be read; check its permissions."
        raise _Unusable(message, "not readable", "a readable file") from None
    except (OSError, ValueError):  # a null byte in the name is a ValueError
        message = f"{name!r} cannot be opened; check the path."
        raise _Unusable(message, "not readable", "a readable file") from None
    if not layout.is_isobmff:
        message = f"{name} is not an MP4 or QuickTime file; export the video as MP4."
        raise _Unusable(message, "another format", "MP4 or QuickTime")
    if layout.refused:
        message = f"{name} is not opened since {layout.refused}; export the video again."
        raise _Unusable(message, layout.refused, "a plain MP4 or QuickTime file")
    return layout


def _container(path: Path, layout: Layout) -> Finding:
    brand = layout.brand.strip()
    value = "QuickTime" if brand in ("", "qt") else f"MP4 ({brand})"
    limit, source = "MP4 or QuickTime", Source.DOCUMENTED
    if brand.startswith(("3g", "M4A", "M4B", "heic", "avif", "mif1")):
        message = "The file is a relative of MP4, not MP4 itself; export the video as MP4."
        return Finding("container", Severity.WARNING, message, brand, limit, source)
    suffix = printable(path.suffix) or "none"
    if path.suffix.lower() not in _NAMES:
        message = "The file is MP4 or QuickTime but its name says otherwise; rename it to .mp4."
        return Finding("container", Severity.WARNING, message, suffix, limit, source)
    message = "The container is MP4 or QuickTime."
    return Finding("container", Severity.FINE, message, value, limit, source)


def _judge(
    path: Path, findings: list[Finding], layout: Layout, footage: Footage, *, is_lipsync: bool
) -> Report:
    from avatarkit.preflight import faces, picture, sound
    from avatarkit.preflight.footage import Box, Shot

    reading = _cut_off(layout) if layout.missing_bytes else _reading(footage)
    findings.append(reading)
    findings += picture.judge_format(footage, is_lipsync=is_lipsync)
    is_read = bool(footage.times) and reading.severity is not Severity.FATAL
    findings += sound.judge(footage, is_read=is_read, needed=is_lipsync)
    cuts = picture.judge_cuts(footage)
    if cuts is not None:
        findings.append(cuts)
    samples = footage.samples
    if not samples:
        return Report(path, tuple(findings))
    pictures = [sample.gray for sample in samples]
    found = faces.find(pictures)
    light = picture.brightness(pictures, found)
    short_side = min(pictures[0].shape)
    findings += faces.judge(found, short_side, is_dark=light < picture.DARK, needed=is_lipsync)
    findings.append(picture.judge_light(light))
    sharpness = picture.judge_sharpness(pictures, found)
    if sharpness is not None:
        findings.append(sharpness)
    shots = []
    for sample, boxes in zip(samples, found, strict=True):
        scale = sample.colour.shape[0] / sample.gray.shape[0]
        marks = tuple(
            Box(round(box.x * scale), round(box.y * scale), round(box.size * scale))
            for box in boxes
        )
        shots.append(Shot(sample.time_s, sample.colour, marks))
    return Report(path, tuple(findings), tuple(shots))


def _fatal(name: str, message: str, value: str, limit: str) -> Finding:
    source = Source.DOCUMENTED if "MP4" in limit else Source.OWN
    return Finding(name, Severity.FATAL, message, value, limit, source)


def _missing(path: Path) -> Finding:
    name = printable(path.name or str(path))
    return _fatal("file", f"{name} does not exist; check the path.", "missing", "a file")


def _cut_off(layout: Layout) -> Finding:
    message = "The file is cut off; download or export it again."
    return _fatal("reading", message, f"{layout.missing_bytes:,} bytes missing", "whole")


def _reading(footage: Footage) -> Finding:
    """Whether everything that the header promises was there and could be decoded."""
    limit = "readable to the end"
    promised, read = footage.declared_frames, footage.frames_read
    value = f"{read:,} frames, {footage.codec}"
    if footage.stopped_because and not footage.times and not footage.damaged:
        reason = footage.stopped_because
        message = f"The video was not looked at since {reason}; export it again in 1080p."
        return Finding("reading", Severity.WARNING, message, value, limit, Source.OWN)
    if not footage.times:
        message = "No picture of the video can be decoded; export it again as H.264."
        return _fatal("reading", message, value, limit)
    if footage.is_whole and promised > read:
        message = "The file is cut off; download or export it again."
        return _fatal("reading", message, f"{read:,} of {promised:,} frames", limit)
    if footage.damaged > max(1, _DAMAGED_SHARE * read) or (
        not footage.is_whole and not footage.stopped_because
    ):
        message = "The video is damaged; download or export it again."
        return _fatal("reading", message, f"{footage.damaged:,} damaged of {read:,} frames", limit)
    if footage.damaged:
        message = "A few frames are damaged; if they show, export the video again."
        return Finding("reading", Severity.WARNING, message, value, limit, Source.OWN)
    if footage.stopped_because:
        value = f"{len(footage.times):,} of {max(promised, read):,} frames, {footage.codec}"
        seconds = footage.times[-1] - footage.times[0]
        if footage.is_whole and footage.duration_s <= LONGEST_S + 0.1:
            message = f"It is whole; only the first {seconds:.0f} s were looked at."
            return Finding("reading", Severity.FINE, message, value, limit, Source.OWN)
        message = (
            f"Only the first {seconds:.0f} s were looked at since {footage.stopped_because}; "
            "shorten it."
        )
        return Finding("reading", Severity.WARNING, message, value, limit, Source.OWN)
    return Finding("reading", Severity.FINE, "It can be read to the end.", value, limit, Source.OWN)
