"""Whether one person faces the camera, close enough.

Source: the frontal-face cascade of local binary patterns that scikit-image ships (OpenCV's
``lbpcascade_frontalface``). It misses faces that are turned to the side or tilted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from typing import TYPE_CHECKING

from avatarkit.preflight.findings import Finding, Severity, Source
from avatarkit.preflight.footage import Box

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LARGE_ENOUGH = 0.15
"""The side of the face box (brows to mouth), as a share of the shorter side of the picture."""
_SMALLEST = 0.07
_MOST = 0.5
_COARSE, _FINE = 1.25, 1.1
_EVERY_PLACE, _QUICK = 1.0, 1.5
"""How far apart the places are that are looked at. Quick finds 28 of 34 small photographed faces
in a single frame, every place 31, in a third of the time."""
_AT_ONCE = 2
"""Pictures that are looked at together; the detector leaves Python alone meanwhile."""
FEWEST = 3
"""Of fewer frames nothing is said: in one, a cup may look like a face."""


def find(pictures: Sequence[NDArray[np.uint8]]) -> list[tuple[Box, ...]]:
    """The faces in each gray picture, the largest first.

    Looks for faces that are large enough, a second time and more closely where there is none;
    when there is none anywhere, for smaller ones too. Those count only when they are in most
    pictures: of a picture full of detail some small part looks like a face now and then. Both
    begin with a few pictures from all over, and end where those have settled it.
    """
    count = len(pictures)
    order = [index for first in range(3) for index in range(first, count, 3)]
    few, half = (count + 2) // 3, (count + 1) // 2
    with ThreadPoolExecutor(_AT_ONCE, "avatarkit-faces") as pool:

        def look(at: Sequence[int], *how: float) -> list[tuple[Box, ...]]:
            return list(pool.map(lambda index: _detect(pictures[index], *how), at))

        found = look(range(count), LARGE_ENOUGH, _COARSE)
        for first, part in ((True, order[:few]), (False, order[few:])):
            if not first and not any(found):
                break
            closer = [index for index in part if not found[index]]
            for index, boxes in zip(closer, look(closer, LARGE_ENOUGH, _FINE), strict=True):
                found[index] = boxes
        if any(found) or count < FEWEST:
            return found
        small: list[tuple[Box, ...]] = [()] * count
        without = 0
        for done in range(0, count, _AT_ONCE):
            part = order[done : done + _AT_ONCE]
            for index, boxes in zip(part, look(part, _SMALLEST, _FINE, _QUICK), strict=True):
                small[index] = boxes
                without += not boxes
            if without >= (1 - _MOST) * (half if done < half else count):
                return found
    return small


def _detect(
    picture: NDArray[np.uint8], smallest: float, factor: float, step: float = _EVERY_PLACE
) -> tuple[Box, ...]:
    import numpy as np
    from PIL import Image
    from skimage.data import lbp_frontal_face_cascade_filename
    from skimage.feature import Cascade

    half = np.asarray(Image.fromarray(picture).reduce(2))
    short = min(half.shape)
    least = max(24, round(short * smallest))
    if short < least:
        return ()
    cascade = Cascade(lbp_frontal_face_cascade_filename())  # type: ignore[no-untyped-call]
    found = cascade.detect_multi_scale(
        img=half,
        scale_factor=factor,
        step_ratio=step,
        min_size=(least, least),
        max_size=(short, short),
    )
    boxes: list[Box] = []
    for face in sorted(found, key=lambda face: -face["width"]):
        box = Box(2 * int(face["c"]), 2 * int(face["r"]), 2 * int(face["width"]))
        # One face may be found at two sizes.
        if not any(box.is_centred_in(other) for other in boxes):
            boxes.append(box)
    return tuple(boxes)


def judge(
    found: Sequence[Sequence[Box]], short_side: int, *, is_dark: bool, needed: bool
) -> list[Finding]:
    """Findings ``faces`` and ``face size`` from the faces in each sampled frame.

    Several people or nobody are fatal if ``needed``, unless the picture is so dark that a face
    cannot be told.
    """
    frames = len(found)
    if not frames:
        return []
    if frames < FEWEST:
        message = "Too few frames are there to look for a face; film at 25 or 30 a second."
        limit = f"at least {FEWEST}"
        source = Source.OTHER_VENDORS
        return [Finding("faces", Severity.WARNING, message, str(frames), limit, source)]
    counts = Counter(len(boxes) for boxes in found)
    value = ", ".join(f"{number} in {counts[number]}" for number in sorted(counts, reverse=True))
    value = f"{value} of {frames} frames"
    limit = "exactly 1 in most frames"

    def finding(severity: Severity, message: str) -> Finding:
        return Finding("faces", severity, message, value, limit, Source.OTHER_VENDORS)

    worst = Severity.FATAL if needed and not is_dark else Severity.WARNING
    if counts[0] == frames:
        if is_dark:
            return [finding(worst, "It is too dark to see a face; add light and record again.")]
        return [finding(worst, "No face can be seen; film one person who faces the camera.")]
    several = sum(count for number, count in counts.items() if number > 1)
    if several / frames > _MOST:
        return [finding(worst, "Several faces can be seen; film one person alone.")]
    sizes = [boxes[0].size / short_side for boxes in found if boxes]
    size = _size(median(sizes))
    if counts[1] / frames > _MOST:
        return [finding(Severity.FINE, "One face can be seen."), size]
    message = "One face alone is seen in too few frames; face the camera all the time, alone."
    return [finding(Severity.WARNING, message), size]


def _size(share: float) -> Finding:
    value = f"{share:.0%} of the shorter side"
    limit = f"at least {LARGE_ENOUGH:.0%}"
    if share < LARGE_ENOUGH:
        message = "The face is small; move closer to the camera."
        return Finding("face size", Severity.WARNING, message, value, limit, Source.OWN)
    message = "The face is large enough."
    return Finding("face size", Severity.FINE, message, value, limit, Source.OWN)
