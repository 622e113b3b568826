"""Judge the picture: length, size, rate, rotation, cuts, brightness and sharpness."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage.measure import blur_effect

from avatarkit.preflight.findings import Check, Finding, Source
from avatarkit.preflight.footage import JUMP_PERCENT, LONGEST_S, TOLERANCE_S, Box, Footage

SHORTEST_S = 15.0
SHORT_SIDE = 720
SLOWEST_FPS, FASTEST_FPS = 23.0, 61.0
UNEVEN_SHARE = 0.05
CUT_PERCENT = 10.0
"""ffmpeg's ``scdet`` takes the same number for its threshold."""
JUMP_TIMES = 10.0
EDGE_S = 0.25
"""Cameras begin, and editors end, with a few frames of another picture."""
DARK = 40.0
BLURRED = 0.65
PLAIN = 2.0
"""Standard deviation, of 255, below which a picture has no detail to be sharp."""
_BLUR_SIDE = 128

_LENGTHS = f"{SHORTEST_S:.0f} to {LONGEST_S:.0f} s"
_RATES = f"{SLOWEST_FPS:.0f} to {FASTEST_FPS:.0f}, even"
_SIDES = f"shorter side at least {SHORT_SIDE}"
_BLUR = f"at most {BLURRED:.2f} (0 sharp, 1 blurred)"
_DURATION = Check("duration", "The length is right.", _LENGTHS, Source.SEEN)
_RESOLUTION = Check("resolution", "The resolution is high enough.", _SIDES, Source.OTHER_VENDORS)
_ROTATION = Check("rotation", "The picture is stored upright.", "a multiple of 90°")
_FRAME_RATE = Check("frame rate", "The frame rate is right.", _RATES)
_CUTS = Check("cuts", "The picture has no cuts.", "0", Source.OTHER_VENDORS)
_BRIGHTNESS = Check("brightness", "The picture is bright enough.", f"at least {DARK:.0f} of 255")
_SHARPNESS = Check("sharpness", "The picture is sharp.", _BLUR)


def judge_format(footage: Footage, *, is_lipsync: bool) -> list[Finding]:
    """Return the findings ``duration``, ``resolution``, ``rotation`` and ``frame rate``.

    Without ``duration`` unless ``is_lipsync``, and without what is not known.
    """
    findings = [_duration(footage.duration_s)] if is_lipsync else []
    findings += [_resolution(footage.upright)] if footage.width else []
    findings.append(_rotation(footage))
    findings += [_frame_rate(footage.times)] if len(footage.times) > 2 else []
    return findings


def _duration(seconds: float) -> Finding:
    problem = None
    if seconds < SHORTEST_S - TOLERANCE_S:
        problem = "The video is short; film a longer one."
    elif seconds > LONGEST_S + TOLERANCE_S:
        problem = "The video is long; cut it to five minutes."
    return _DURATION.judge(f"{seconds:.1f} s", problem)


def _resolution(size: tuple[int, int]) -> Finding:
    problem = "The resolution is low; film in 720p or more, and do not enlarge it."
    is_low = min(size) < SHORT_SIDE
    return _RESOLUTION.judge(f"{size[0]} x {size[1]}", problem if is_low else None)


def _rotation(footage: Footage) -> Finding:
    problem, fine, value = None, None, f"{footage.rotation}°"
    if footage.rotation % 90:
        problem = "The picture is tilted by a flag; export it upright."
    elif footage.is_mirrored:
        value = f"{value}, mirrored"
        fine = "The picture is stored mirrored and a flag puts it right."
    elif footage.rotation:
        fine = "The picture is stored turned and a flag puts it upright, as phones do."
    return _ROTATION.judge(value, problem, fine)


def _frame_rate(times: Sequence[float]) -> Finding:
    gaps = np.diff(np.asarray(times))
    typical = float(np.median(gaps))
    span = times[-1] - times[0]
    rate = (len(times) - 1) / span if span > 0 else 0.0
    uneven = float(np.mean(np.abs(gaps - typical) > typical / 2))
    problem, value = None, f"{rate:.3g} a second"
    if not SLOWEST_FPS <= rate <= FASTEST_FPS:
        problem = "The frame rate is unusual; film at 25 or 30 frames a second."
    elif uneven > UNEVEN_SHARE:
        problem = "The frame rate varies; export the video at a constant one, such as 25 or 30."
        value = f"{value}, {uneven:.0%} of the gaps uneven"
    return _FRAME_RATE.judge(value, problem)


def judge_cuts(footage: Footage) -> list[Finding]:
    """Return the finding ``cuts``, with the first moments; nothing for a single picture.

    A cut is a change against the frame before that stands out from its neighbour by a tenth of
    full scale (any change of scene), or that is ten times the clip's own upper quartile and
    stands out by a fortieth (a jump within one scene). Neither a flash nor what happens in the
    first and last quarter of a second is a cut.

    Source: the score of ffmpeg's ``scdet`` filter.
    """
    if len(footage.changes) < 3:
        return []
    times, changes = np.asarray(footage.changes[1:]).T
    before = np.concatenate([changes[1:2], changes[:-1]])
    scores = np.minimum(changes, np.abs(changes - before))
    usual = float(np.percentile(changes, 75))
    limit = min(CUT_PERCENT, max(JUMP_PERCENT, JUMP_TIMES * usual))
    # The change back scores as well.
    is_cut = (scores > limit) & (changes > before)
    is_cut &= (times - footage.times[0] > EDGE_S) & (footage.times[-1] - times > EDGE_S)
    for first, last in footage.flashes:
        is_cut[first - 1 : last] = False
    cuts = times[is_cut] - footage.times[0]
    if not len(cuts):
        return [_CUTS.judge("0", None)]
    moments = ", ".join(f"{moment:.1f} s" for moment in cuts[:3])
    value = f"{len(cuts)} (at {moments}{', …' if len(cuts) > 3 else ''})"
    return [_CUTS.judge(value, "The picture has hard cuts; film it in one go.")]


def brightness(pictures: Sequence[NDArray[np.uint8]], faces: Sequence[Sequence[Box]]) -> float:
    """Return the median brightness, 0 to 255, of the largest face or else the whole picture."""
    return float(np.median([_subject(p, f).mean() for p, f in zip(pictures, faces, strict=True)]))


def judge_brightness(level: float) -> Finding:
    """Return the finding ``brightness``."""
    problem = "The picture is dark; add light in front of the face."
    return _BRIGHTNESS.judge(f"{level:.0f} of 255", problem if level < DARK else None)


def judge_sharpness(
    pictures: Sequence[NDArray[np.uint8]], faces: Sequence[Sequence[Box]]
) -> list[Finding]:
    """Return the finding ``sharpness``, of the largest face or else the whole picture.

    Nothing when the pictures are of one colour.

    Source: Crété et al., "The blur effect", 2007, as ``skimage.measure.blur_effect``, with the
    subject at a width of 128 pixels so that near and far, 720p and 4K, measure the same.
    """
    effects = []
    for picture, boxes in zip(pictures, faces, strict=True):
        subject = _subject(picture, boxes)
        if subject.std() < PLAIN:
            continue
        height = max(16, round(_BLUR_SIDE * subject.shape[0] / subject.shape[1]))
        scaled = Image.fromarray(subject).resize((_BLUR_SIDE, height))
        effects.append(blur_effect(np.asarray(scaled)))  # type: ignore[no-untyped-call]
    if not effects:
        return []
    effect = float(np.nan_to_num(np.median(effects), nan=0.0))
    problem = "The picture is blurred; clean the lens and focus on the face."
    return [_SHARPNESS.judge(f"{effect:.2f} blur effect", problem if effect > BLURRED else None)]


def _subject(picture: NDArray[np.uint8], boxes: Sequence[Box]) -> NDArray[np.uint8]:
    if not boxes:
        return picture
    face = boxes[0]
    return picture[face.y : face.y + face.size, face.x : face.x + face.size]
