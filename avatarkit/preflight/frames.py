"""Keep times, changes and a few small copies of the decoded frames."""

from __future__ import annotations

import math
from collections import deque
from typing import cast

import numpy as np
from av import VideoFrame, VideoStream
from av.sidedata.sidedata import SideData
from numpy.typing import NDArray

from avatarkit.preflight.footage import JUMP_PERCENT, Footage, Sample

SAMPLES = 9
FLASH_S = 0.2
"""A picture that is back as it was after this time was not cut."""
_GRAY_SIDE, _COLOUR_SIDE, _LUMA_ROWS = 480, 240, 36
_LUMA_FORMATS = frozenset(
    f"{family}{bits}"
    for family in ("yuv420p", "yuv422p", "yuv444p", "yuvj420p", "yuvj422p", "yuvj444p")
    for bits in ("", "10le", "12le")
) | {"nv12", "gray"}


class FrameSampler:
    """Adds decoded frames to a ``Footage``: 9 to 17 samples, whatever the number of frames."""

    def __init__(self, footage: Footage, stream: VideoStream) -> None:
        self._footage, self._stream = footage, stream
        self._rate = float(stream.average_rate or 25)
        self._tick = float(stream.time_base or 0)
        # In frames, as the length that a file declares may be wrong; every 12th if their number is
        # unknown.
        self._step = footage.declared_frames / SAMPLES or 12.0
        self._next_sample = self._step / 2
        self._lumas: deque[tuple[float, NDArray[np.int16]]] = deque(maxlen=8)
        self.first: list[Sample] = []
        """The first frame alone, for a video that is too short for a sample."""

    def add(self, frame: VideoFrame) -> None:
        """Add a frame: its time, its change against the last but one, and sometimes a copy."""
        footage = self._footage
        count = len(footage.times)
        time = count / self._rate if frame.pts is None else frame.pts * self._tick
        if not count:
            footage.rotation, footage.is_mirrored = _orientation(frame)
            self.first = [self._reduced(frame, 0.0)]
        footage.times.append(time)
        footage.damaged += frame.is_corrupt
        if count % 2 == 0:
            self._add_change(time, _luma(frame))
        if count >= self._next_sample:
            footage.samples.append(self._reduced(frame, time - footage.times[0]))
            self._next_sample += max(1.0, self._step)
            if len(footage.samples) >= 2 * SAMPLES:
                # There are more frames than declared.
                del footage.samples[::2]
                self._step *= 2

    def _add_change(self, time: float, luma: NDArray[np.int16]) -> None:
        changes, lumas = self._footage.changes, self._lumas
        if lumas and lumas[-1][1].shape != luma.shape:
            lumas.clear()
        change = _difference(luma, lumas[-1][1]) if lumas else 0.0
        backs = range(2, len(lumas) + 1 if change > JUMP_PERCENT else 2)
        recent = (back for back in backs if time - lumas[1 - back][0] <= FLASH_S)
        same = [back for back in recent if _difference(luma, lumas[-back][1]) < change / 2]
        if same:
            self._footage.flashes.append((len(changes) - same[0] + 1, len(changes)))
        changes.append((time, change))
        lumas.append((time, luma))

    def _reduced(self, frame: VideoFrame, time: float) -> Sample:
        turns = round(self._footage.rotation / 90)
        step = -1 if self._footage.is_mirrored else 1
        gray, colour = (
            np.ascontiguousarray(np.rot90(self._scaled(frame, side, pixels), turns)[:, ::step])
            for side, pixels in ((_GRAY_SIDE, "gray"), (_COLOUR_SIDE, "rgb24"))
        )
        return Sample(time, gray, colour)

    def _scaled(self, frame: VideoFrame, side: int, pixels: str) -> NDArray[np.uint8]:
        aspect = float(self._stream.sample_aspect_ratio or 1)
        width = frame.width * aspect if 0.1 < aspect < 10 else frame.width
        scale = min(1.0, side / min(width, frame.height), 4 * side / max(width, frame.height))
        small = frame.reformat(
            width=max(2, round(width * scale)),
            height=max(2, round(frame.height * scale)),
            format=pixels,
            interpolation="AREA",
        )
        return cast("NDArray[np.uint8]", small.to_ndarray())


def _difference(luma: NDArray[np.int16], other: NDArray[np.int16]) -> float:
    return float(np.abs(luma - other).mean()) / 2.55


def _orientation(frame: VideoFrame) -> tuple[int, bool]:
    """Return the rotation in degrees, counterclockwise, and whether it is mirrored after that.

    Source: ISO/IEC 14496-12, 6.2.2 (the matrix of a track), with libav's order of its values.
    """
    matrix = cast("SideData | None", frame.side_data.get("DISPLAYMATRIX"))
    if matrix is None:
        return 0, False
    a, b, _, c, d = (float(value) for value in np.frombuffer(memoryview(matrix), np.int32)[:5])
    is_mirrored = a * d < b * c
    if a * d == b * c:  # a degenerate matrix
        return 0, False
    across, down = math.hypot(a, c), math.hypot(b, d)
    angle = math.atan2(b / down, (-a if is_mirrored else a) / across)
    return round(-math.degrees(angle)), is_mirrored


def _luma(frame: VideoFrame) -> NDArray[np.int16]:
    """Return about 36 rows of luma, 0 to 255: every n-th pixel, which costs next to nothing."""
    step = max(1, min(frame.width, frame.height) // _LUMA_ROWS)
    if frame.format.name not in _LUMA_FORMATS:
        frame = frame.reformat(format="gray")
    bits = frame.format.components[0].bits
    plane = frame.planes[0]
    depth = np.dtype("u1" if bits == 8 else "<u2")
    rows = np.frombuffer(memoryview(plane), depth).reshape(-1, plane.line_size // depth.itemsize)
    picked = rows[step // 2 : frame.height : step, step // 2 : frame.width : step]
    return cast("NDArray[np.int16]", (picked >> (bits - 8)).astype(np.int16))
