"""Run all checks of a video in order."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from avatarkit.errors import ConfigError
from avatarkit.preflight import file
from avatarkit.preflight.findings import Finding, Severity
from avatarkit.preflight.footage import Footage, Shot
from avatarkit.preflight.report import Report

Kind = Literal["lipsync", "consent"]

_KIND_OF_FIELD: dict[str, Kind] = {"lipsync_input": "lipsync", "consent_video": "consent"}


def check(path: str | os.PathLike[str], *, kind: Kind = "lipsync") -> Report:
    """Check a video file for what the API is likely to reject.

    Time and memory are bounded: at most 300 s at 60 frames a second of 1080p are decoded; the rest
    of a longer video is read but not decoded.

    Args:
        path: The file; also for a missing or damaged file the result is a report.
        kind: What the video is for. For ``lipsync``, the footage, missing or silent sound and
            no face or several faces are fatal; for ``consent`` they are warnings, and the length
            is not judged, as nothing is known about what is accepted there.

    Returns:
        The findings and a few frames.

    Raises:
        ValueError: ``kind`` is neither of the two.
        ConfigError: PyAV or scikit-image is not installed.
    """
    if kind not in _KIND_OF_FIELD.values():
        raise ValueError("kind must be 'lipsync' or 'consent'.")
    if any(find_spec(name) is None for name in ("av", "skimage")):
        raise ConfigError(
            "Looking at a video needs PyAV and scikit-image: pip install 'avatarkit[preflight]'."
        )
    target = Path(path)
    findings: list[Finding] = []
    try:
        layout = file.read_layout(target)
        findings.append(file.judge_container(target, layout))
        file.require_header(layout)
        footage = _decode(target)
    except FileNotFoundError:
        return Report(target, (file.missing(target).finding,))
    except file.Unusable as problem:
        return Report(target, (*findings, problem.finding))
    findings.append(file.judge_reading(footage, layout))
    shots = _judge(footage, findings, is_lipsync=kind == "lipsync")
    return Report(target, tuple(findings), shots)


def check_field(path: str | os.PathLike[str], field: str) -> Report:
    """Check the video of a field of ``PersonaCreate``.

    Args:
        path: The file.
        field: ``lipsync_input`` or ``consent_video``.

    Returns:
        The report of ``check``, which also says what is raised.
    """
    return check(path, kind=_KIND_OF_FIELD[field])


def _decode(path: Path) -> Footage:
    from avatarkit.preflight import decode

    try:
        footage = decode.read(path)
    except FileNotFoundError:
        raise
    except Exception as error:  # decoders raise anything on damaged bytes
        message = "The video cannot be read; export or download it again."
        limit = "readable to the end"
        raise file.Unusable("reading", message, type(error).__name__, limit) from error
    if footage is None:
        message = "The file has no picture; choose a video."
        raise file.Unusable("picture", message, "none", "a video track")
    return footage


def _judge(footage: Footage, findings: list[Finding], *, is_lipsync: bool) -> tuple[Shot, ...]:
    """Append the findings on picture, sound and faces, and return the frames to show."""
    # Imported here, as they load NumPy and scikit-image.
    from avatarkit.preflight import faces, picture, sound

    is_readable = bool(footage.times) and findings[-1].severity is not Severity.FATAL
    findings += picture.judge_format(footage, is_lipsync=is_lipsync)
    findings += sound.judge(footage, is_readable=is_readable, needed=is_lipsync)
    findings += picture.judge_cuts(footage)
    samples = footage.samples
    if not samples:
        return ()
    pictures = [sample.gray for sample in samples]
    found = faces.find(pictures)
    brightness = picture.brightness(pictures, found.boxes)
    is_dark = brightness < picture.DARK
    short_side = min(pictures[0].shape)
    findings += faces.judge(found, short_side, is_dark=is_dark, needed=is_lipsync)
    findings.append(picture.judge_brightness(brightness))
    findings += picture.judge_sharpness(pictures, found.boxes)
    return tuple(sample.shot(shown) for sample, shown in zip(samples, found.boxes, strict=True))
