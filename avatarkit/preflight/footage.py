"""Define what is kept of a decoded video: times, a few frames, faces and loudness."""

from __future__ import annotations

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
JUMP_PERCENT = 2.5
"""Least change of the picture, of full scale, that may be a cut."""
_SAME_SIZE = 1.5
SILENT_LUFS = -50.0
"""Sound below this loudness counts as silence."""


@dataclass(frozen=True, slots=True)
class Box:
    """A square around a face, in pixels."""

    x: int
    y: int
    size: int
    is_sure: bool = False
    """It is a face in the mirror as well."""

    def is_centred_in(self, other: Box) -> bool:
        """Return whether the middle of this box lies in the other."""
        x, y = self.x + self.size / 2 - other.x, self.y + self.size / 2 - other.y
        return 0 <= x <= other.size and 0 <= y <= other.size

    def agrees_with(self, other: Box) -> bool:
        """Return whether two boxes of different pictures may be one face.

        They are of about one size and, unless both are sure, at one place.
        """
        small, large = sorted((self, other), key=lambda box: box.size)
        is_near = (small.is_sure and large.is_sure) or small.is_centred_in(large)
        return is_near and large.size <= _SAME_SIZE * small.size

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
    mono_loss_db: float = 0.0
    """How much quieter the mean of the two channels is than the channels."""


@dataclass(slots=True)
class SoundTrack:
    """What was decoded of a sound track."""

    tag: str = ""
    """The name of its codec in the file."""
    packets: int = 0
    """Those that were read; none without a decoder."""
    damaged: int = 0
    heard_s: float = 0.0
    is_stopped: bool = False
    """Only a part of it was decoded."""
    levels: Levels | None = None


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
    declared_frames: int = 0
    declared_s: float = 0.0
    rotation: int = 0
    """Degrees counterclockwise from how it is stored to how it is shown."""
    is_mirrored: bool = False
    """Left and right are swapped, after the rotation."""
    frames_read: int = 0
    empty: int = 0
    """Frames without content before the last one; cameras that drop frames keep their rate so."""
    damaged: int = 0
    tracks: list[SoundTrack] = field(default_factory=list)
    """The sound tracks of the file."""
    is_whole: bool = False
    """The file was read to its end."""
    stopped_because: str | None = None
    """Why not all frames were decoded."""
    times: list[float] = field(default_factory=list)
    """Seconds of each decoded frame."""
    changes: list[tuple[float, float]] = field(default_factory=list)
    """For every second frame its time and its change: the mean absolute difference of its luma from
    the entry before, in percent of full scale; 0 for the first."""
    flashes: list[tuple[int, int]] = field(default_factory=list)
    """First entry of ``changes`` of each short flash, and the one that is as before it."""
    samples: list[Sample] = field(default_factory=list)

    @property
    def upright(self) -> tuple[int, int]:
        """Width and height as they are shown."""
        sideways = self.rotation % 180 == 90
        return (self.height, self.width) if sideways else (self.width, self.height)

    @property
    def duration_s(self) -> float:
        """Seconds from the first frame to the end of the last.

        By the rate of the decoded frames if not all were decoded, and as declared by the file only
        without any, as some recorders declare a wrong length.
        """
        frames = len(self.times)
        if frames < 2:
            return self.declared_s
        is_stopped = self.stopped_because is not None
        count = max(self.declared_frames, self.frames_read) if is_stopped else frames
        return (self.times[-1] - self.times[0]) * count / (frames - 1)
