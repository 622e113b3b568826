"""How loud the sound is, and whether it is clipped."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from avatarkit.preflight.findings import Finding, Severity, Source
from avatarkit.preflight.footage import Footage, Levels

if TYPE_CHECKING:
    from av import AudioFrame

SILENT_LUFS = -50.0
QUIET_LUFS = -35.0
CLIPPED_SHARE = 0.001
SHORTEST_S = 0.4
"""Loudness is that of blocks of this length."""
COVERED_SHARE = 0.5
DAMAGED_SHARE = 0.01
_MEASURED_HZ = 16_000
_BATCH = 32
"""Asking after every frame whether there is a result takes longer than the result."""
_FULL_SCALE = 0.985
"""Lossy coding smears clipped samples around full scale."""


class Meter:
    """Takes audio frames one by one and keeps no samples.

    Source: EBU R 128 by libav's ``ebur128`` filter; its gate leaves pauses out.
    """

    def __init__(self) -> None:
        from av import AudioResampler
        from av.filter import Graph

        self._graph = Graph()
        # To integers, as only then the sum of the channels is kept below full scale.
        self._downmix = AudioResampler(format="s16", layout="stereo")
        self._is_set_up = False
        self._waiting = 0
        self._samples = self._clipped = 0
        self._seconds = self._loud_s = 0.0
        self._last: AudioFrame | None = None

    def add(self, frame: AudioFrame) -> None:
        """Measure it. Raises ``FFmpegError`` or ``ValueError`` for a change of format."""
        # PyAV looks for planes beyond the last one of eight or more, and reads what is there.
        if frame.layout.nb_channels <= 2:
            self._measure(frame)
            return
        for fewer in self._downmix.resample(frame):
            self._measure(fewer)

    def _measure(self, frame: AudioFrame) -> None:
        import numpy as np

        if not self._is_set_up:
            source = self._graph.add_abuffer(
                sample_rate=frame.sample_rate,
                format=frame.format.name,
                layout=frame.layout.name,
                time_base=frame.time_base,
            )
            # Loudness is nearly all below 8 kHz: 0.1 LUFS off for a third of the time.
            fewer = self._graph.add("aresample", str(_MEASURED_HZ))
            meter = self._graph.add("ebur128", "metadata=1")
            sink = self._graph.add("abuffersink")
            source.link_to(fewer)
            fewer.link_to(meter)
            meter.link_to(sink)
            self._graph.configure()
            self._is_set_up = True
        values = frame.to_ndarray()
        if values.dtype.kind == "u":
            values = values.astype(np.int16) - 128
        kind, size = values.dtype.kind, frame.format.bits
        limit = _FULL_SCALE * (1 if kind == "f" else 2 ** (size - 1) - 1)
        self._samples += values.size
        # Not by abs(): of integers, the lowest has none.
        self._clipped += int(np.count_nonzero((values >= limit) | (values <= -limit)))
        self._seconds += frame.samples / frame.sample_rate
        self._graph.push(frame)
        self._waiting += 1
        if self._waiting == _BATCH:
            self._pull()

    def levels(self) -> Levels | None:
        """What was measured so far; None without any sample."""
        if not self._samples:
            return None
        self._pull()
        loudness = self._last.metadata.get("lavfi.r128.I", "-inf") if self._last else "-inf"
        value = float(loudness)
        return Levels(
            loudness_lufs=-math.inf if math.isnan(value) else value,
            clipped_share=self._clipped / self._samples,
            seconds=self._seconds,
            loud_s=min(self._loud_s, self._seconds),
        )

    def _pull(self) -> None:
        from av.error import BlockingIOError as NothingYet
        from av.error import EOFError as Ended

        self._waiting = 0
        while True:
            try:
                frame = self._graph.pull()
            except (NothingYet, Ended):
                return
            self._last = frame  # type: ignore[assignment]
            if float(frame.metadata.get("lavfi.r128.M", "nan")) >= SILENT_LUFS:
                self._loud_s += frame.samples / frame.sample_rate  # type: ignore[union-attr]


def judge(footage: Footage, *, is_read: bool, needed: bool) -> list[Finding]:
    """Findings ``audio``, ``loudness`` and ``clipping``; what is missing is fatal if ``needed``.

    Where the file cannot be read (``is_read``), only whether there is a sound track.
    """
    levels = footage.levels
    worst = Severity.FATAL if needed else Severity.WARNING
    source = Source.CONTRACT if needed else Source.OTHER_VENDORS
    if not footage.has_audio:
        message = "The video has no sound; record it again with the microphone on."
        return [Finding("audio", worst, message, "none", "a sound track", source)]
    if not is_read:
        return []
    if footage.sound_damaged > max(1, DAMAGED_SHARE * footage.sound_read):
        message = "The sound is damaged; export the video again."
        value = f"{footage.sound_damaged:,} damaged of {footage.sound_read:,} packets"
        limit = f"at most {DAMAGED_SHARE:.0%} damaged"
        return [Finding("audio", worst, message, value, limit, source)]
    if levels is None:
        message = "The sound cannot be decoded; export the video again with AAC sound."
        return [Finding("audio", worst, message, "not readable", "a sound track", source)]
    if levels.seconds < SHORTEST_S:
        message = "The sound is too short; record it again over the whole video."
        value, limit = f"{levels.seconds:.1f} s", f"at least {SHORTEST_S} s"
        return [Finding("audio", worst, message, value, limit, source)]
    presence = _presence(levels, min(footage.duration_s, footage.heard_until_s), source)
    return [presence, _loudness(levels, worst, source), _clipping(levels)]


def _presence(levels: Levels, seconds: float, source: Source) -> Finding:
    is_silent = levels.loudness_lufs < SILENT_LUFS  # which is another finding
    if is_silent or levels.loud_s >= COVERED_SHARE * seconds:
        return Finding("audio", Severity.FINE, "The video has sound.", "present", "present", source)
    message = "There is sound in a part of the video only; speak all the time."
    value, limit = f"{levels.loud_s:.1f} of {seconds:.1f} s", f"at least {COVERED_SHARE:.0%}"
    return Finding("audio", Severity.WARNING, message, value, limit, Source.OWN)


def _loudness(levels: Levels, worst: Severity, source: Source) -> Finding:
    level = levels.loudness_lufs
    # The filter's scale ends at -70.
    value = f"{level:.1f} LUFS" if level > -70 else "below -70 LUFS"
    limit = f"at least {QUIET_LUFS:.0f} LUFS"
    if level < SILENT_LUFS:
        message = "The sound is silent; check the microphone and record it again."
        limit = f"at least {SILENT_LUFS:.0f} LUFS"
        return Finding("loudness", worst, message, value, limit, source)
    if level < QUIET_LUFS:
        message = "The voice is very quiet; record it closer to the microphone."
        return Finding("loudness", Severity.WARNING, message, value, limit, Source.OWN)
    message = "The sound is loud enough."
    return Finding("loudness", Severity.FINE, message, value, limit, Source.OWN)


def _clipping(levels: Levels) -> Finding:
    value = f"{levels.clipped_share:.2%} of samples"
    limit = f"under {CLIPPED_SHARE:.1%} of samples"
    if levels.clipped_share >= CLIPPED_SHARE:
        message = "The sound is clipped; lower the recording level and record it again."
        return Finding("clipping", Severity.WARNING, message, value, limit, Source.OWN)
    return Finding("clipping", Severity.FINE, "The sound is not clipped.", value, limit, Source.OWN)
