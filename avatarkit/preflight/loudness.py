"""Measure the loudness of decoded sound, and how much of it is clipped."""

from __future__ import annotations

import math

import numpy as np
from av import AudioFrame, AudioResampler
from av.error import BlockingIOError as NothingYetError
from av.error import EOFError as EndedError
from av.filter import Graph

from avatarkit.preflight.footage import SILENT_LUFS, Levels

_MEASURED_HZ = 16_000
"""Nearly all loudness is below 8 kHz: this is 0.1 LUFS off, in a third of the time."""
_BATCH = 32
"""Frames per request for a result, as a request after every frame would take longer."""
_FULL_SCALE = 0.985
"""Samples at or above this share of full scale are clipped: lossy coding spreads them."""


class Meter:
    """Measures audio frames one by one and keeps no samples.

    Source: EBU R 128 by libav's ``ebur128`` filter; its gate leaves pauses out.
    """

    def __init__(self) -> None:
        # To integers: only then the resampler keeps the sum of channels below full scale.
        self._downmix = AudioResampler(format="s16", layout="stereo")
        self._graph: Graph | None = None
        self._waiting = 0
        self._samples = self._clipped = 0
        self._seconds = self._loud_s = 0.0
        self._power = self._mono_power = 0.0
        self._loudness = -math.inf

    def add(self, frame: AudioFrame) -> None:
        """Measure a frame.

        Raises:
            FFmpegError: Or ``ValueError``: the format is not that of the frames before.
        """
        # For eight or more channels PyAV reads planes beyond the last one.
        is_many = frame.layout.nb_channels > 2
        for part in self._downmix.resample(frame) if is_many else [frame]:
            self._measure(part)

    def _measure(self, frame: AudioFrame) -> None:
        if self._graph is None:
            self._graph = _graph(frame)
        values = frame.to_ndarray()
        if values.dtype.kind == "u":
            values = values.astype(np.int16) - 128
        is_float, bits = values.dtype.kind == "f", frame.format.bits
        limit = _FULL_SCALE * (1 if is_float else 2 ** (bits - 1) - 1)
        self._samples += values.size
        # Not with abs(), which overflows for the lowest integer.
        self._clipped += int(np.count_nonzero((values >= limit) | (values <= -limit)))
        self._seconds += frame.samples / frame.sample_rate
        if frame.layout.nb_channels == 2:
            channels = values.astype(np.float32, copy=False)
            pair = channels if frame.format.is_planar else channels.reshape(-1, 2).T
            self._power += float(np.square(pair).sum()) / 2
            self._mono_power += float(np.square(pair.mean(axis=0)).sum())
        self._graph.push(frame)
        self._waiting += 1
        if self._waiting == _BATCH:
            self._pull(self._graph)

    def levels(self) -> Levels | None:
        """Return what was measured so far; None without any sample."""
        if not self._samples or self._graph is None:
            return None
        self._pull(self._graph)
        mono = max(self._mono_power / self._power, 1e-6) if self._power else 1.0
        return Levels(
            loudness_lufs=-math.inf if math.isnan(self._loudness) else self._loudness,
            clipped_share=self._clipped / self._samples,
            seconds=self._seconds,
            loud_s=min(self._loud_s, self._seconds),
            mono_loss_db=-10 * math.log10(mono),
        )

    def _pull(self, graph: Graph) -> None:
        self._waiting = 0
        while True:
            try:
                frame = graph.pull()
            except (NothingYetError, EndedError):
                return
            self._loudness = float(frame.metadata.get("lavfi.r128.I", "-inf"))
            if float(frame.metadata.get("lavfi.r128.M", "nan")) >= SILENT_LUFS:
                self._loud_s += frame.samples / frame.sample_rate  # type: ignore[union-attr]


def _graph(frame: AudioFrame) -> Graph:
    """Return the filters that measure frames of this format."""
    graph = Graph()
    source = graph.add_abuffer(
        sample_rate=frame.sample_rate,
        format=frame.format.name,
        layout=frame.layout.name,
        time_base=frame.time_base,
    )
    filters = [
        graph.add("aresample", str(_MEASURED_HZ)),
        graph.add("ebur128", "metadata=1"),
        graph.add("abuffersink"),
    ]
    graph.link_nodes(source, *filters).configure()
    return graph
