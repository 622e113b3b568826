"""What one reading of a video keeps of it: frames, faces and loudness."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Box:
    """A square around a face, in pixels."""

    x: int
    y: int
    size: int

    def is_centred_in(self, other: Box) -> bool:
        """True when the middle of this box lies in the other."""
        x, y = self.x + self.size / 2 - other.x, self.y + self.size / 2 - other.y
        return 0 <= x <= other.size and 0 <= y <= other.size


@dataclass(frozen=True, slots=True)
class Shot:
    """A small upright frame: seconds since the start, RGB, and the faces in its pixels."""

    time_s: float
    picture: NDArray[np.uint8]
    faces: tuple[Box, ...] = ()


@dataclass(frozen=True, slots=True)
class Levels:
    """Integrated loudness of the whole, and the share of samples at full scale.

    ``loud_s`` is the time during which it was not silent, of ``seconds``.
    """

    loudness_lufs: float
    clipped_share: float
    seconds: float
    loud_s: float


@dataclass(frozen=True, slots=True)
class Sample:
    """An upright frame, downscaled: its time, gray at up to 480 and RGB at 240 pixels a side."""

    time_s: float
    gray: NDArray[np.uint8]
    colour: NDArray[np.uint8]


@dataclass(slots=True)
class Footage:
    """What was seen. ``times`` has the moment of each decoded frame.

    ``changes`` has an entry for every second one: its moment, and the mean absolute difference
    of its luma from the entry before, in percent of full scale; 0 for the first.
    """

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
    """Where the hearing was ended, in seconds of sound; infinite when it was not."""
    is_whole: bool = False
    stopped_because: str | None = None
    times: list[float] = field(default_factory=list)
    changes: list[tuple[float, float]] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    levels: Levels | None = None

    @property
    def upright(self) -> tuple[int, int]:
        """Width and height as they are shown."""
        sideways = self.rotation % 180 == 90
        return (self.height, self.width) if sideways else (self.width, self.height)

    @property
    def duration_s(self) -> float:
        """From the first frame to the end of the last; as declared when not all were decoded."""
        if self.stopped_because is not None or len(self.times) < 2:
            return self.declared_s
        span = self.times[-1] - self.times[0]
        return span * len(self.times) / (len(self.times) - 1)
