"""Find faces, and judge whether one person faces the camera from close enough.

Source: the frontal-face cascade of local binary patterns that scikit-image ships (OpenCV's
``lbpcascade_frontalface``). It misses faces that are turned to the side or tilted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from statistics import median

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage.data import lbp_frontal_face_cascade_filename
from skimage.feature import Cascade

from avatarkit.preflight.findings import Check, Finding, Severity, Source
from avatarkit.preflight.footage import Box

LARGE_ENOUGH = 0.15
"""The side of the face box (brows to mouth), as a share of the shorter side of the picture."""
_SMALLEST = 0.07
_MOST = 0.5
_COARSE, _FINE = 1.25, 1.1
"""Factors between the sizes that are searched."""
_EVERY_PLACE, _QUICK = 1.0, 1.5
"""Steps between the places that are searched. Of 34 small photographed faces in single frames,
``_QUICK`` finds 28 and ``_EVERY_PLACE`` 31, in three times the time."""
_WORKERS = 2
"""Pictures that are searched together; the detector releases the GIL."""
FEWEST = 3
"""With fewer frames there is no judgement: in a single one, a cup may be taken for a face."""
_SIZE = Check("face size", "The face is large enough.", f"at least {LARGE_ENOUGH:.0%}")


def find(pictures: Sequence[NDArray[np.uint8]]) -> list[tuple[Box, ...]]:
    """Return the faces in each gray picture, the largest first.

    The first search is for faces that are large enough; a second, finer one covers the pictures
    without any. If there is none at all, a third one is for smaller faces. These count only if they
    are in most pictures, as a small part of a detailed picture is sometimes taken for a face. The
    second and third search begin with a few pictures from the whole video, and stop once those
    decide the result.
    """
    count = len(pictures)
    order = [index for first in range(3) for index in range(first, count, 3)]
    third, half = (count + 2) // 3, (count + 1) // 2
    with ThreadPoolExecutor(_WORKERS, "avatarkit-faces") as pool:

        def search(indices: Sequence[int], *how: float) -> dict[int, tuple[Box, ...]]:
            found = pool.map(lambda index: _detect(pictures[index], *how), indices)
            return dict(zip(indices, found, strict=True))

        large = search(range(count), LARGE_ENOUGH, _COARSE)
        for indices in (order[:third], order[third:]):
            large |= search([i for i in indices if not large[i]], LARGE_ENOUGH, _FINE)
            if not any(large.values()):
                break
        found = [large[index] for index in range(count)]
        if any(found) or count < FEWEST:
            return found
        small: dict[int, tuple[Box, ...]] = {}
        for done in range(0, count, _WORKERS):
            small |= search(order[done : done + _WORKERS], _SMALLEST, _FINE, _QUICK)
            without = sum(not boxes for boxes in small.values())
            if without >= (1 - _MOST) * (half if done < half else count):
                return found
    return [small[index] for index in range(count)]


def _detect(
    picture: NDArray[np.uint8], smallest: float, factor: float, step: float = _EVERY_PLACE
) -> tuple[Box, ...]:
    half = np.asarray(Image.fromarray(picture).reduce(2))
    longest = min(half.shape)
    shortest = max(24, round(longest * smallest))
    if longest < shortest:
        return ()
    cascade = Cascade(lbp_frontal_face_cascade_filename())  # type: ignore[no-untyped-call]
    faces = cascade.detect_multi_scale(
        img=half,
        scale_factor=factor,
        step_ratio=step,
        min_size=(shortest, shortest),
        max_size=(longest, longest),
    )
    boxes: list[Box] = []
    for face in sorted(faces, key=lambda face: -face["width"]):
        box = Box(2 * int(face["c"]), 2 * int(face["r"]), 2 * int(face["width"]))
        # One face may be found at two sizes.
        if not any(box.is_centred_in(other) for other in boxes):
            boxes.append(box)
    return tuple(boxes)


def judge(
    found: Sequence[Sequence[Box]], short_side: int, *, is_dark: bool, needed: bool
) -> list[Finding]:
    """Return the findings ``faces`` and ``face size``.

    Args:
        found: The faces in each sampled frame, the largest first.
        short_side: Pixels of the shorter side of those frames.
        is_dark: The picture is so dark that the lack of a face is a warning only.
        needed: Make several faces or none fatal; otherwise they are a warning.
    """
    frames = len(found)
    if not frames:
        return []
    source = Source.OTHER_VENDORS
    if frames < FEWEST:
        message = "Too few frames are there to look for a face; film at 25 or 30 a second."
        limit = f"at least {FEWEST}"
        return [Finding("faces", Severity.WARNING, message, str(frames), limit, source)]
    counts = Counter(map(len, found))
    several = frames - counts[0] - counts[1]
    severity = Severity.FATAL if needed and not is_dark else Severity.WARNING
    if counts[0] == frames and is_dark:
        message = "It is too dark to see a face; add light and record again."
    elif counts[0] == frames:
        message = "No face can be seen; film one person who faces the camera."
    elif several / frames > _MOST:
        message = "Several faces can be seen; film one person alone."
    elif counts[1] / frames > _MOST:
        severity, message = Severity.FINE, "One face can be seen."
    else:
        severity = Severity.WARNING
        message = "One face alone is seen in too few frames; face the camera all the time, alone."
    value = ", ".join(f"{number} in {counts[number]}" for number in sorted(counts, reverse=True))
    value, limit = f"{value} of {frames} frames", "exactly 1 in most frames"
    finding = Finding("faces", severity, message, value, limit, source)
    if counts[0] == frames or several / frames > _MOST:
        return [finding]
    share = median(boxes[0].size / short_side for boxes in found if boxes)
    problem = "The face is small; move closer to the camera." if share < LARGE_ENOUGH else None
    return [finding, _SIZE.judge(f"{share:.0%} of the shorter side", problem)]
