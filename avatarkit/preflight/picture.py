"""What the picture is like: length, size, rate, rotation, cuts, light and sharpness."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from avatarkit.preflight.findings import Finding, Severity, Source
from avatarkit.preflight.footage import Box, Footage

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SHORTEST_S, LONGEST_S = 15.0, 300.0
SHORT_SIDE = 720
SLOWEST_FPS, FASTEST_FPS = 23.0, 61.0
UNEVEN_SHARE = 0.05
CUT_PERCENT = 10.0
"""ffmpeg's ``scdet`` takes the same number for its threshold."""
JUMP_TIMES, JUMP_PERCENT = 10.0, 2.5
DARK = 40.0
BLURRED = 0.65
PLAIN = 2.0
"""The standard deviation, in 255 steps, below which there is nothing that could be sharp."""
_BLUR_SIDE = 128


def judge_format(footage: Footage, *, is_lipsync: bool) -> list[Finding]:
    """Findings ``duration``, ``resolution``, ``rotation`` and ``frame rate``, where known."""
    findings = [_rotation(footage)]
    if footage.width:
        findings.insert(0, _resolution(footage))
    if is_lipsync:
        findings.insert(0, _duration(footage.duration_s))
    if len(footage.times) > 2:
        findings.append(_frame_rate(footage.times))
    return findings


def _duration(seconds: float) -> Finding:
    value, limit = f"{seconds:.1f} s", f"{SHORTEST_S:.0f} to {LONGEST_S:.0f} s"
    severity, message = Severity.FINE, "The length is right."
    # A frame more or less is nobody's mistake.
    if seconds < SHORTEST_S - 0.1:
        severity, message = Severity.WARNING, "The video is short; film a longer one."
    elif seconds > LONGEST_S + 0.1:
        severity, message = Severity.WARNING, "The video is long; cut it to five minutes."
    return Finding("duration", severity, message, value, limit, Source.SEEN)


def _resolution(footage: Footage) -> Finding:
    width, height = footage.upright
    value, limit = f"{width} x {height}", f"shorter side at least {SHORT_SIDE}"
    severity, message = Severity.FINE, "The resolution is high enough."
    if min(width, height) < SHORT_SIDE:
        severity = Severity.WARNING
        message = "The resolution is low; film in 720p or more, and do not enlarge it."
    return Finding("resolution", severity, message, value, limit, Source.OTHER_VENDORS)


def _rotation(footage: Footage) -> Finding:
    value, limit = f"{footage.rotation}°", "a multiple of 90°"
    severity, message = Severity.FINE, "The picture is stored upright."
    if footage.rotation % 90:
        severity, message = Severity.WARNING, "The picture is tilted by a flag; export it upright."
    elif footage.is_mirrored:
        value = f"{value}, mirrored"
        message = "The picture is stored mirrored and a flag puts it right."
    elif footage.rotation:
        message = "The picture is stored turned and a flag puts it upright, as phones do."
    return Finding("rotation", severity, message, value, limit, Source.OWN)


def _frame_rate(times: Sequence[float]) -> Finding:
    import numpy as np

    gaps = np.diff(np.asarray(times))
    typical = float(np.median(gaps))
    span = times[-1] - times[0]
    rate = (len(times) - 1) / span if span > 0 else 0.0
    uneven = float(np.mean(np.abs(gaps - typical) > typical / 2))
    value, limit = f"{rate:.3g} a second", f"{SLOWEST_FPS:.0f} to {FASTEST_FPS:.0f}, even"
    severity, message = Severity.FINE, "The frame rate is right."
    if not SLOWEST_FPS <= rate <= FASTEST_FPS:
        severity = Severity.WARNING
        message = "The frame rate is unusual; film at 25 or 30 frames a second."
    elif uneven > UNEVEN_SHARE:
        severity = Severity.WARNING
        value = f"{value}, {uneven:.0%} of the gaps uneven"
        message = "The frame rate varies; export the video at a constant one, such as 25 or 30."
    return Finding("frame rate", severity, message, value, limit, Source.OWN)


def judge_cuts(footage: Footage) -> Finding | None:
    """Finding ``cuts``, with the first moments; None of a single picture.

    A cut is a change against the frame before that stands out from its neighbour by a tenth of
    full scale (any change of scene), or that is ten times the clip's own upper quartile and
    stands out by a fortieth (a jump within one scene).

    Source: the score of ffmpeg's ``scdet`` filter.
    """
    import numpy as np

    if len(footage.changes) < 3:
        return None
    times, changes = np.asarray(footage.changes[1:]).T
    before = np.concatenate([changes[1:2], changes[:-1]])
    scores = np.minimum(changes, np.abs(changes - before))
    usual = float(np.percentile(changes, 75))
    limit = min(CUT_PERCENT, max(JUMP_PERCENT, JUMP_TIMES * usual))
    moments = [
        times[index] - footage.times[0]
        for index in np.flatnonzero(scores > limit)
        # The way back out of a change scores as well.
        if changes[index] > before[index]
    ]
    if not moments:
        message = "The picture has no cuts."
        return Finding("cuts", Severity.FINE, message, "0", "0", Source.OTHER_VENDORS)
    where = ", ".join(f"{moment:.1f} s" for moment in moments[:3])
    value = f"{len(moments)} (at {where}{', …' if len(moments) > 3 else ''})"
    message = "The picture has hard cuts; film it in one go."
    return Finding("cuts", Severity.WARNING, message, value, "0", Source.OTHER_VENDORS)


def brightness(pictures: Sequence[NDArray[np.uint8]], faces: Sequence[Sequence[Box]]) -> float:
    """The typical brightness, 0 to 255, of the faces, or where there are none of the picture."""
    import numpy as np

    return float(np.median([_subject(p, f).mean() for p, f in zip(pictures, faces, strict=True)]))


def judge_light(level: float) -> Finding:
    """Finding ``brightness``."""
    value, limit = f"{level:.0f} of 255", f"at least {DARK:.0f} of 255"
    if level < DARK:
        message = "The picture is dark; add light in front of the face."
        return Finding("brightness", Severity.WARNING, message, value, limit, Source.OWN)
    message = "The picture is bright enough."
    return Finding("brightness", Severity.FINE, message, value, limit, Source.OWN)


def judge_sharpness(
    pictures: Sequence[NDArray[np.uint8]], faces: Sequence[Sequence[Box]]
) -> Finding | None:
    """Finding ``sharpness``, of the faces or where there are none of the picture.

    None when the pictures are of one colour.

    Source: Crété et al., "The blur effect", 2007, as ``skimage.measure.blur_effect``, with the
    subject at a width of 128 pixels so that near and far, 720p and 4K, measure the same.
    """
    import numpy as np
    from PIL import Image
    from skimage.measure import blur_effect

    effects = []
    for picture, boxes in zip(pictures, faces, strict=True):
        subject = _subject(picture, boxes)
        if subject.std() < PLAIN:
            continue
        height = max(16, round(_BLUR_SIDE * subject.shape[0] / subject.shape[1]))
        scaled = Image.fromarray(subject).resize((_BLUR_SIDE, height))
        effects.append(blur_effect(np.asarray(scaled)))  # type: ignore[no-untyped-call]
    if not effects:
        return None
    effect = float(np.nan_to_num(np.median(effects), nan=0.0))
    value, limit = f"{effect:.2f} blur effect", f"at most {BLURRED:.2f} (0 sharp, 1 blurred)"
    if effect > BLURRED:
        message = "The picture is blurred; clean the lens and focus on the face."
        return Finding("sharpness", Severity.WARNING, message, value, limit, Source.OWN)
    message = "The picture is sharp."
    return Finding("sharpness", Severity.FINE, message, value, limit, Source.OWN)


def _subject(picture: NDArray[np.uint8], boxes: Sequence[Box]) -> NDArray[np.uint8]:
    if not boxes:
        return picture
    face = boxes[0]
    return picture[face.y : face.y + face.size, face.x : face.x + face.size]
