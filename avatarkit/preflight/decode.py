"""Reads a video to its end, once, and keeps a bounded amount of what it saw.

All limits are counts of work (frames, pixels, bytes), so a file that lies about itself costs no
more than the largest honest one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, cast

from avatarkit.preflight.footage import Footage, Sample
from avatarkit.preflight.sound import Meter

if TYPE_CHECKING:
    import numpy as np
    from av import AudioFrame, AudioStream, Packet, VideoFrame, VideoStream
    from av.container import InputContainer
    from av.sidedata.sidedata import SideData
    from av.stream import Stream
    from numpy.typing import NDArray

MAX_PIXELS = 5120 * 2880
"""Of one frame. A decoder keeps about twenty of them."""
MAX_DECODED_FRAMES = 300 * 60
MAX_DECODED_PIXELS = MAX_DECODED_FRAMES * 1920 * 1080
MAX_SOUND_S = 300.0
MAX_SOUND_VALUES = 300 * 48_000 * 8
MAX_BYTES = 8 * 2**30
MAX_PACKETS = 5_000_000
MAX_ERRORS = 100
"""Of the pictures, and again of the sound."""

SAMPLES = 9
_GRAY_SIDE, _COLOUR_SIDE, _LUMA_ROWS = 480, 240, 36
_LUMA_FORMATS = frozenset(
    f"{family}{bits}"
    for family in ("yuv420p", "yuv422p", "yuv444p", "yuvj420p", "yuvj422p", "yuvj444p")
    for bits in ("", "10le", "12le")
) | {"nv12", "gray"}


def read(path: Path) -> Footage | None:
    """Decode the file's best video stream and best sound stream; None without any video.

    Raises whatever libav raises when the file cannot be opened at all.
    """
    import av

    # The prefix keeps a name such as "concat:…" or "http:…" from being more than a name.
    with av.open(
        f"file:{path}",
        format="mov",
        # Pictures are decoded when the file is opened, and may be larger than they say.
        options={"protocol_whitelist": "file", "max_pixels": str(MAX_PIXELS)},
        metadata_errors="replace",
    ) as opened:
        videos = [
            stream
            for stream in opened.streams.video
            if not stream.disposition & stream.disposition.attached_pic
        ]
        if not videos:
            return None
        # Without a decoder there is no codec_context, whatever the types say.
        sounds = [stream for stream in opened.streams.audio if stream.codec_context is not None]
        video = max(
            (stream for stream in videos if stream.codec_context is not None),
            key=lambda stream: stream.width * stream.height,
            default=None,
        )
        if video is None:
            return Footage(has_audio=bool(opened.streams.audio))
        footage = _Reader(opened, video, sounds[0] if sounds else None).run()
        footage.has_audio = bool(opened.streams.audio)
        return footage


class _Reader:
    def __init__(
        self, container: InputContainer, video: VideoStream, audio: AudioStream | None
    ) -> None:
        self._container, self._video, self._audio = container, video, audio
        seconds = float((video.duration or 0) * (video.time_base or 0))
        self.footage = Footage(
            width=video.width,
            height=video.height,
            codec=video.codec_context.name,
            # Those that an edit list leaves out are not in the index.
            declared_frames=min(video.frames, len(video.index_entries)),
            declared_s=seconds,
        )
        self._step = seconds / SAMPLES if 0 < seconds < 86_400 else 1.0
        self._next_sample = self._step / 2
        self._rate = float(video.average_rate or 25)
        self._tick = float(video.time_base or 0)
        self._last_luma: NDArray[np.int16] | None = None
        self._meter = Meter()
        self._first: Sample | None = None
        self._decoded = self._pixels = self._sound_values = self._errors = 0
        self._sound_s = 0.0
        self._hears = audio is not None

    def run(self) -> Footage:
        footage = self.footage
        if footage.width * footage.height > MAX_PIXELS:
            footage.stopped_because = "its picture is too large"
            return footage
        for stream in (self._video, self._audio):
            if stream is not None:
                stream.codec_context.thread_type = "AUTO"
        # The picture may grow after the header.
        self._video.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
        for packet in self._packets():
            if packet.stream is self._video:
                self._look(packet)
            elif self._hears:
                self._hear(packet)
        footage.levels = self._meter.levels()
        if not footage.samples and self._first is not None:
            footage.samples.append(self._first)
        return footage

    def _packets(self) -> Iterator[Packet[Stream]]:
        from av.error import FFmpegError

        streams = [stream for stream in (self._video, self._audio) if stream is not None]
        packets, size = self._container.demux(streams), 0
        for _ in range(MAX_PACKETS):
            try:
                packet = next(packets)
            except StopIteration:
                self.footage.is_whole = True
                return
            except FFmpegError:
                self.footage.damaged += 1
                return
            size += packet.size
            if size > MAX_BYTES or self._errors > MAX_ERRORS:
                break
            yield packet
        self.footage.stopped_because = "it is too large" if not self._errors else "it is damaged"

    def _look(self, packet: Packet[Stream]) -> None:
        from av.error import FFmpegError

        footage = self.footage
        footage.frames_read += packet.size > 0
        footage.damaged += packet.is_corrupt
        if footage.stopped_because is not None:
            return
        if packet.size and (
            self._decoded >= MAX_DECODED_FRAMES or self._pixels >= MAX_DECODED_PIXELS
        ):
            footage.stopped_because = "it is too long"
            return
        before = len(footage.times)
        try:
            for frame in packet.decode():
                self._see(frame)  # type: ignore[arg-type]
        except FFmpegError:
            self._errors += 1
            footage.damaged += 1
        # What an edit list hides is decoded all the same.
        work = max(packet.size > 0, len(footage.times) - before)
        self._decoded += work
        codec = self._video.codec_context
        self._pixels += work * codec.width * codec.height

    def _see(self, frame: VideoFrame) -> None:
        footage = self.footage
        count = len(footage.times)
        time = count / self._rate if frame.pts is None else frame.pts * self._tick
        if not count:
            footage.rotation, footage.is_mirrored = _orientation(frame)
            self._first = self._reduced(frame, 0.0)
        footage.times.append(time)
        footage.damaged += frame.is_corrupt
        if count % 2 == 0:
            footage.changes.append((time, self._change(frame)))
        if time - footage.times[0] >= self._next_sample:
            self._sample(frame, time - footage.times[0])

    def _change(self, frame: VideoFrame) -> float:
        import numpy as np

        luma = _luma(frame)
        last, self._last_luma = self._last_luma, luma
        if last is None or last.shape != luma.shape:
            return 0.0
        return float(np.abs(luma - last).mean()) / 2.55

    def _sample(self, frame: VideoFrame, time: float) -> None:
        samples = self.footage.samples
        samples.append(self._reduced(frame, time))
        self._next_sample = max(self._next_sample + self._step, time + self._step / 2)
        if len(samples) >= 2 * SAMPLES:
            # The file is longer than it said.
            del samples[::2]
            self._step *= 2

    def _reduced(self, frame: VideoFrame, time: float) -> Sample:
        import numpy as np

        turns = round(self.footage.rotation / 90)
        across = -1 if self.footage.is_mirrored else 1
        gray, colour = (
            np.ascontiguousarray(np.rot90(self._scaled(frame, side, pixels), turns)[:, ::across])
            for side, pixels in ((_GRAY_SIDE, "gray"), (_COLOUR_SIDE, "rgb24"))
        )
        return Sample(time, gray, colour)

    def _scaled(self, frame: VideoFrame, side: int, pixels: str) -> NDArray[np.uint8]:
        aspect = float(self._video.sample_aspect_ratio or 1)
        wide = frame.width * aspect if 0.1 < aspect < 10 else frame.width
        scale = min(1.0, side / min(wide, frame.height), 4 * side / max(wide, frame.height))
        small = frame.reformat(
            width=max(2, round(wide * scale)),
            height=max(2, round(frame.height * scale)),
            format=pixels,
            interpolation="AREA",
        )
        return cast("NDArray[np.uint8]", small.to_ndarray())

    def _hear(self, packet: Packet[Stream]) -> None:
        from av.error import FFmpegError

        footage = self.footage
        footage.sound_read += packet.size > 0
        try:
            frames = packet.decode()
        except (FFmpegError, ValueError):
            footage.sound_damaged += 1
            if footage.sound_damaged > MAX_ERRORS:
                self._end_hearing()
            return
        for frame in frames:
            self._listen(frame)  # type: ignore[arg-type]

    def _end_hearing(self) -> None:
        self._hears, self.footage.heard_until_s = False, self._sound_s

    def _listen(self, frame: AudioFrame) -> None:
        from av.error import FFmpegError

        self._sound_values += frame.samples * frame.layout.nb_channels
        self._sound_s += frame.samples / max(1, frame.sample_rate)
        if self._sound_s > MAX_SOUND_S or self._sound_values > MAX_SOUND_VALUES:
            self._end_hearing()
            return
        # What changes its format is measured up to there.
        with suppress(FFmpegError, ValueError):
            self._meter.add(frame)


def _orientation(frame: VideoFrame) -> tuple[int, bool]:
    """The rotation in degrees, counterclockwise, and whether the picture is mirrored after it.

    Source: ISO/IEC 14496-12, 6.2.2 (the matrix of a track), with libav's order of its values.
    """
    import numpy as np

    matrix = cast("SideData | None", frame.side_data.get("DISPLAYMATRIX"))
    if matrix is None:
        return 0, False
    a, b, _, c, d = (float(value) for value in np.frombuffer(memoryview(matrix), np.int32)[:5])
    is_mirrored = a * d < b * c
    if a * d == b * c:  # it makes a line of the picture
        return 0, False
    across, down = math.hypot(a, c), math.hypot(b, d)
    turned = math.atan2(b / down, (-a if is_mirrored else a) / across)
    return round(-math.degrees(turned)), is_mirrored


def _luma(frame: VideoFrame) -> NDArray[np.int16]:
    """About 36 rows of luma, 0 to 255: every n-th pixel, which costs next to nothing."""
    import numpy as np

    step = max(1, min(frame.width, frame.height) // _LUMA_ROWS)
    if frame.format.name not in _LUMA_FORMATS:
        frame = frame.reformat(format="gray")
    bits = frame.format.components[0].bits
    plane = frame.planes[0]
    depth = np.dtype("u1" if bits == 8 else "<u2")
    rows = np.frombuffer(memoryview(plane), depth).reshape(-1, plane.line_size // depth.itemsize)
    picked = rows[step // 2 : frame.height : step, step // 2 : frame.width : step]
    return cast("NDArray[np.int16]", (picked >> (bits - 8)).astype(np.int16))
