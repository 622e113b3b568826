"""Decode a video once, to its end, and keep a bounded amount of it.

All limits count the work done (frames, pixels, bytes), so a file with a false header costs no more
than the largest valid one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import av
from av import Packet, VideoStream
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Stream

from avatarkit.preflight.footage import LONGEST_S, Footage, SoundTrack
from avatarkit.preflight.frames import FrameSampler
from avatarkit.preflight.loudness import Meter

MAX_PIXELS = 5120 * 2880
"""Largest frame; a decoder keeps about twenty of them in memory."""
MAX_DECODED_FRAMES = round(LONGEST_S * 60)
MAX_DECODED_PIXELS = MAX_DECODED_FRAMES * 1920 * 1080
MAX_SOUND_TRACKS = 8
MAX_SOUND_S = LONGEST_S
MAX_SOUND_VALUES = round(LONGEST_S * 48_000 * 8)
MAX_BYTES = 8 * 2**30
MAX_PACKETS = 5_000_000
MAX_ERRORS = 100
"""Errors of the picture after which decoding stops, and again of the sound."""


def read(path: Path) -> Footage | None:
    """Decode the largest video stream and the sound streams of a file.

    Returns:
        What is kept of them; None for a file without a video stream.

    Raises:
        Exception: Whatever libav raises when it cannot open the file.
    """
    # The prefix keeps libav from taking a name such as "concat:…" or "http:…" for a protocol.
    with av.open(
        f"file:{path}",
        format="mov",
        # Pictures are decoded when the file is opened, and may be larger than declared.
        options={"protocol_whitelist": "file", "max_pixels": str(MAX_PIXELS)},
        metadata_errors="replace",
    ) as container:
        videos = [
            stream
            for stream in container.streams.video
            if not stream.disposition & stream.disposition.attached_pic
        ]
        if not videos:
            return None
        # Without a decoder codec_context is None, unlike PyAV's types say.
        videos = [stream for stream in videos if stream.codec_context is not None]
        if not videos:
            return Footage(tracks=[SoundTrack() for _ in container.streams.audio])
        video = max(videos, key=lambda stream: stream.width * stream.height)
        return _Decoder(container, video).run()


class _Decoder:
    """Decodes the packets of one file until a limit is reached."""

    def __init__(self, container: InputContainer, video: VideoStream) -> None:
        self._container, self._video = container, video
        audio = container.streams.audio[:MAX_SOUND_TRACKS]
        sounds = {s: SoundTrack(getattr(s.codec_context, "codec_tag", "")) for s in audio}
        decoded = [sound for sound in sounds if sound.codec_context is not None]
        self._sounds = {sound.index: (sounds[sound], Meter()) for sound in decoded}
        self._streams = [video, *decoded]
        self.footage = Footage(
            width=video.width,
            height=video.height,
            codec=video.codec_context.name,
            # Frames that an edit list leaves out are not in the index.
            declared_frames=min(video.frames, len(video.index_entries)),
            declared_s=float((video.duration or 0) * (video.time_base or 0)),
            tracks=list(sounds.values()),
        )
        self._sampler = FrameSampler(self.footage, video)
        self._decoded = self._pixels = self._errors = self._sound_values = 0

    def run(self) -> Footage:
        footage = self.footage
        if footage.width * footage.height > MAX_PIXELS:
            footage.stopped_because = "its picture is too large"
            return footage
        for stream in self._streams:
            stream.codec_context.thread_type = "AUTO"
        # Frames may be larger than the header says.
        self._video.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
        for packet in self._packets():
            if packet.stream is self._video:
                self._decode_video(packet)
            else:
                self._decode_audio(packet)
        if footage.is_whole and footage.frames_read < footage.declared_frames:
            self._count_empty_frames()
        for track, meter in self._sounds.values():
            track.levels = meter.levels()
        footage.samples = footage.samples or self._sampler.first
        return footage

    def _packets(self) -> Iterator[Packet[Stream]]:
        packets, size = self._container.demux(self._streams), 0
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

    def _count_empty_frames(self) -> None:
        """Count the frames without content, which libav skips."""
        empty = [n for n, entry in enumerate(self._video.index_entries) if not entry.size]
        self.footage.frames_read += len(empty)
        # At the end they are not missed.
        filled = len(self._video.index_entries) - len(empty)
        self.footage.empty = sum(number - before < filled for before, number in enumerate(empty))

    def _decode_video(self, packet: Packet[Stream]) -> None:
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
                self._sampler.add(frame)  # type: ignore[arg-type]
        except FFmpegError:
            self._errors += 1
            footage.damaged += 1
        # Frames that an edit list hides are decoded too.
        frames = max(packet.size > 0, len(footage.times) - before)
        self._decoded += frames
        codec = self._video.codec_context
        self._pixels += frames * codec.width * codec.height

    def _decode_audio(self, packet: Packet[Stream]) -> None:
        track, meter = self._sounds[packet.stream.index]
        if track.is_stopped:
            return
        track.packets += packet.size > 0
        try:
            frames = packet.decode()
        except (FFmpegError, ValueError):
            track.damaged += 1
            track.is_stopped = track.damaged > MAX_ERRORS
            return
        for frame in frames:
            self._sound_values += frame.samples * frame.layout.nb_channels  # type: ignore[union-attr]
            track.heard_s += frame.samples / max(1, frame.sample_rate)  # type: ignore[union-attr]
            if track.heard_s > MAX_SOUND_S or self._sound_values > MAX_SOUND_VALUES:
                track.is_stopped = True
                return
            # If the sound changes its format, only the part before is measured.
            with suppress(FFmpegError, ValueError):
                meter.add(frame)  # type: ignore[arg-type]
