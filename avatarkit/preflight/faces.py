"""Find faces, and judge whether one person faces the camera from close enough.

Source: the frontal-face cascade of local binary patterns that scikit-image ships (OpenCV's
``lbpcascade_frontalface``). It misses faces that are turned to the side or tilted.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from statistics import median
from typing import cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from skimage.data import lbp_frontal_face_cascade_filename
from skimage.feature import Cascade

from avatarkit.preflight.findings import Check, Finding, Severity, Source
from avatarkit.preflight.footage import Box

LARGE_ENOUGH = 0.15
"""The side of the face box (brows to mouth), as a share of the shorter side of the picture."""
_MOST = 0.5
FEWEST = 3
"""With fewer pictures there is no judgement: in a single one, a cup may be taken for a face."""
_SMALLEST, _LARGE = 0.07, 0.2
_COARSE, _FINE = 1.25, 1.1
"""Factors between the sizes that are searched."""
_EVERY_PLACE, _QUICK = 1.0, 1.5
"""Steps between the places that are searched. Of 34 small photographed faces in single frames,
``_QUICK`` finds 28 and ``_EVERY_PLACE`` 31, in three times the time."""
_WORKERS = 2
"""Pictures that are searched together; the detector releases the GIL."""
_VIEW_SIDE, _VIEW_SIZES, _VIEW_FACTOR, _VIEW_HITS = 48, (38, 60), 1.05, 8
"""How a box is looked at again: its side in pixels, the sizes of faces, the factor between, and how
many of the detector's windows must agree. Of 97 photographed faces 96 pass, of 27 boxes in text and
in faces that lie on their side 2."""
_BLUR_SHARE, _DARKEST = 0.12, 8
"""For evening out the light: the radius of what counts as light, of the shorter side."""

Picture = NDArray[np.uint8]
_Prepare = Callable[[Picture], Picture]
_Found = dict[int, tuple[Box, ...]]
"""What may be faces, by the index of the picture."""
_local = threading.local()
_SIZE = Check("face size", "The face is large enough.", f"at least {LARGE_ENOUGH:.0%}")
_TURNS = ("", "90° counterclockwise", "180°", "90° clockwise")


@dataclass(frozen=True, slots=True)
class Faces:
    """The faces that were found in the pictures of a video."""

    boxes: list[tuple[Box, ...]]
    """Those in each picture, the largest first."""
    turn: str = ""
    """How the pictures have to be turned for a face to be seen."""


def find(pictures: Sequence[Picture]) -> Faces:
    """Return the faces in gray pictures from the whole video, in the order of time.

    The first search is for faces that are large enough, at first coarsely. When they are in half of
    the pictures or fewer, the others are searched with their light evened out, as a face that is
    lit from one side is missed; and if there is none at all, all for smaller faces. What is found
    then counts only if it is in most pictures. At last some pictures are turned.

    A search begins with a few pictures from the whole video, and stops once they decide the result.
    """
    count = len(pictures)
    with ThreadPoolExecutor(_WORKERS, "avatarkit-faces") as pool:
        search = _Search(pictures, pool)
        large = search.fill(search.search(range(count), LARGE_ENOUGH, _COARSE))
        boxes = _agreeing(large, count)
        if count < FEWEST or _are_in_most(boxes):
            return Faces(boxes)
        evened = _agreeing(search.fill(large, _evened), count)
        if _are_in_most(evened):
            return Faces(evened)
        small = boxes if any(boxes) else _agreeing(search.small(), count)
        if _are_in_most(small):
            return Faces(small)
        turn = search.turn([index for index in search.order if not boxes[index]][:_WORKERS])
    return Faces([()] * count, turn) if turn else Faces(boxes)


def _are_in_most(boxes: Sequence[Sequence[Box]]) -> bool:
    return sum(map(bool, boxes)) > _MOST * len(boxes)


def _agreeing(found: _Found, count: int) -> list[tuple[Box, ...]]:
    """Return, by picture, the boxes that agree with one in another picture."""
    pairs = [(index, box) for index, boxes in found.items() for box in boxes]
    return [
        tuple(
            box
            for box in found.get(index, ())
            if count < FEWEST or any(at != index and box.agrees_with(other) for at, other in pairs)
        )
        for index in range(count)
    ]


class _Search:
    """Searches the pictures of one video."""

    def __init__(self, pictures: Sequence[Picture], pool: ThreadPoolExecutor) -> None:
        self._pictures, self._pool = pictures, pool
        self.order = [index for first in range(3) for index in range(first, len(pictures), 3)]
        """The pictures, those first that cover the whole video."""

    def search(self, indices: Sequence[int], *how: float, prepare: _Prepare = np.asarray) -> _Found:
        """Return the faces in some pictures; ``how`` is that of ``detect``."""
        found = self._pool.map(lambda i: detect(prepare(self._pictures[i]), *how), indices)
        return dict(zip(indices, found, strict=True))

    def fill(self, found: _Found, prepare: _Prepare = np.asarray) -> _Found:
        """Return ``found`` with large faces in the pictures without; none if not in the first."""
        for indices in (self.order[:_WORKERS], self.order[_WORKERS:]):
            missing = [index for index in indices if not found[index]]
            found = found | self.search(missing, LARGE_ENOUGH, _FINE, prepare=prepare)
            if not any(found.values()):
                break
        return found

    def small(self) -> _Found:
        """Return faces of any size, until they cannot be in most pictures."""
        found: _Found = {}
        for done in range(0, len(self.order), _WORKERS):
            found |= self.search(self.order[done : done + _WORKERS], _SMALLEST, _FINE, _QUICK)
            without = sum(not boxes for boxes in found.values())
            if without > _MOST * max((len(self.order) + 1) // 2, len(found)):
                break
        return found

    def turn(self, indices: Sequence[int]) -> str:
        """Return how the pictures have to be turned for all to show a face; or nothing."""
        for quarters in (1, 2, 3):
            turned = self.search(indices, _LARGE, _COARSE, prepare=partial(np.rot90, k=quarters))
            if all(turned.values()):
                return _TURNS[quarters]
        return ""


def detect(
    picture: Picture, smallest: float, factor: float, step: float = _EVERY_PLACE
) -> tuple[Box, ...]:
    """Return what may be faces in one gray picture, the largest first.

    Args:
        picture: The picture; half of its resolution is enough.
        smallest: The side of the smallest face, as a share of the shorter side.
        factor: Between the sizes that are searched.
        step: Between the places that are searched.
    """
    half = np.asarray(Image.fromarray(picture).reduce(2))
    longest = min(half.shape)
    shortest = max(24, round(longest * smallest))
    boxes: list[Box] = []
    for box in sorted(_windows(half, shortest, longest, factor, step), key=lambda box: -box.size):
        large = box.scaled(2)
        views = _views_with_face(picture, large)
        # One face may be found at two sizes.
        if views and not any(large.is_centred_in(other) for other in boxes):
            boxes.append(replace(large, is_sure=views > 1))
    return tuple(boxes)


def _windows(
    picture: Picture, shortest: int, longest: int, factor: float, step: float = 1.0, hits: int = 4
) -> list[Box]:
    """Return the places where at least ``hits`` windows of the detector agree."""
    if longest < shortest:
        return []
    if not hasattr(_local, "cascade"):  # it takes a while to read
        _local.cascade = Cascade(lbp_frontal_face_cascade_filename())  # type: ignore[no-untyped-call]
    found = _local.cascade.detect_multi_scale(
        np.ascontiguousarray(picture), factor, step, (shortest,) * 2, (longest,) * 2, hits
    )
    return [Box(int(face["c"]), int(face["r"]), int(face["width"])) for face in found]


def _views_with_face(picture: Picture, box: Box) -> int:
    """Return in how many of two close views, one of them mirrored, the box is a face again.

    A face is found by many windows that differ little; text and the like by a few.
    """
    x, y, size = box.x - box.size // 2, box.y - box.size // 2, 2 * box.size
    # What lies beyond the edge is black.
    close = Image.fromarray(picture).crop((x, y, x + size, y + size))
    view = np.asarray(close.resize((2 * _VIEW_SIDE,) * 2, Image.Resampling.BOX))
    views = (view, view[:, ::-1])
    return sum(bool(_windows(v, *_VIEW_SIZES, _VIEW_FACTOR, hits=_VIEW_HITS)) for v in views)


def _evened(picture: Picture) -> Picture:
    """Return the picture with its light evened out: divided by its blurred copy."""
    radius = _BLUR_SHARE * min(picture.shape)
    light = np.asarray(Image.fromarray(picture).filter(ImageFilter.BoxBlur(radius)))
    evened = np.clip(128.0 * picture / np.maximum(light, _DARKEST), 0, 255)
    return cast("Picture", evened.astype(np.uint8))


def judge(found: Faces, short_side: int, *, is_dark: bool, needed: bool) -> list[Finding]:
    """Return the findings ``faces`` and ``face size``.

    Args:
        found: The faces in the sampled frames.
        short_side: Pixels of the shorter side of those frames.
        is_dark: The picture is so dark that the lack of a face is a warning only.
        needed: Make several faces or none fatal; otherwise they are a warning.
    """
    boxes = found.boxes
    frames = len(boxes)
    if not frames:
        return []
    source = Source.OTHER_VENDORS
    if frames < FEWEST:
        message = "Too few frames are there to look for a face; film at 25 or 30 a second."
        limit = f"at least {FEWEST}"
        return [Finding("faces", Severity.WARNING, message, str(frames), limit, source)]
    counts = Counter(map(len, boxes))
    several = frames - counts[0] - counts[1]
    severity = Severity.FATAL if needed and not is_dark else Severity.WARNING
    if found.turn:
        message = f"The picture is not upright; turn it by {found.turn} and export it again."
    elif counts[0] == frames and is_dark:
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
    share = median(faces[0].size / short_side for faces in boxes if faces)
    problem = "The face is small; move closer to the camera." if share < LARGE_ENOUGH else None
    return [finding, _SIZE.judge(f"{share:.0%} of the shorter side", problem)]
