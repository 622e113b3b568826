"""Define what is kept of a decoded video: times, a few frames, faces and loudness."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


LONGEST_S = 300.0
"""Seconds of the longest video that is known to be accepted; no more is decoded."""
TOLERANCE_S = 0.1
"""Seconds by which a video may miss a limit: one or two frames."""
SILENT_LUFS = -50.0
"""Sound below this loudness counts as silence."""


@dataclass(frozen=True, slots=True)
class Box:
    """A square around a face, in pixels."""

    x: int
    y: int
    size: int

    def is_centred_in(self, other: Box) -> bool:
        """Return whether the middle of this box lies in the other."""
        x, y = self.x + self.size / 2 - other.x, self.y + self.size / 2 - other.y
        return 0 <= x <= other.size and 0 <= y <= other.size

    def scaled(self, scale: float) -> Box:
        """Return the same square in a picture that is ``scale`` times as large."""
        return Box(round(self.x * scale), round(self.y * scale), round(self.size * scale))


@dataclass(frozen=True, slots=True)
class Shot:
    """A small upright frame to show, RGB, with its time and the faces in it."""

    time_s: float
    picture: NDArray[np.uint8]
    faces: tuple[Box, ...] = ()


@dataclass(frozen=True, slots=True)
class Levels:
    """The loudness of the whole sound track."""

    loudness_lufs: float
    """Integrated loudness (EBU R 128)."""
    clipped_share: float
    """Share of the samples at full scale."""
    seconds: float
    loud_s: float
    """Seconds that are not silent."""


@dataclass(frozen=True, slots=True)
class Sample:
    """An upright frame, downscaled: gray to 480 and RGB to 240 pixels on the shorter side."""

    time_s: float
    gray: NDArray[np.uint8]
    colour: NDArray[np.uint8]

    def shot(self, faces: Iterable[Box]) -> Shot:
        """Return the frame to show, with the faces that were found in the gray one."""
        scale = self.colour.shape[0] / self.gray.shape[0]
        return Shot(self.time_s, self.colour, tuple(face.scaled(scale) for face in faces))


@dataclass(slots=True)
class Footage:
    """The decoded data of a video."""

    width: int = 0
    height: int = 0
    codec: str = "unknown codec"
    has_audio: bool = False
    declared_frames: int = 0
    declared_s: float = 0.0
    rotation: int = 0
    """Degrees counterclockwise from how it is stored to how it is shown."""
    is_mirrored: bool = False
    """Left and right are swapped, after the rotation."""
    frames_read: int = 0
    damaged: int = 0
    sound_read: int = 0
    sound_damaged: int = 0
    heard_until_s: float = math.inf
    """Seconds of sound after which its decoding was stopped; infinite when it was not."""
    is_whole: bool = False
    """The file was read to its end."""
    stopped_because: str | None = None
    """Why not all frames were decoded."""
    times: list[float] = field(default_factory=list)
    """Seconds of each decoded frame."""
    changes: list[tuple[float, float]] = field(default_factory=list)
    """For every second frame its time and its change: the mean absolute difference of its luma from
    the entry before, in percent of full scale; 0 for the first."""
    samples: list[Sample] = field(default_factory=list)
    levels: Levels | None = None

    @property
    def upright(self) -> tuple[int, int]:
        """Width and height as they are shown."""
        sideways = self.rotation % 180 == 90
        return (self.height, self.width) if sideways else (self.width, self.height)

    @property
    def duration_s(self) -> float:
        """Seconds from the first frame to the end of the last.

        As declared by the file if not all frames were decoded.
        """
        if self.stopped_because is not None or len(self.times) < 2:
            return self.declared_s
        span = self.times[-1] - self.times[0]
        return span * len(self.times) / (len(self.times) - 1)
