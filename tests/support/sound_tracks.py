"""Put other sound tracks to the plain video."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from avatarkit.sandbox import footage
from support.videos import BRIEF, Make, source_of

VOICE = footage.voice(BRIEF)
SILENCE = np.zeros_like(VOICE)
_LAYOUTS = {1: "mono", 2: "stereo"}


def with_tracks(*tracks: tuple[NDArray[np.float32], ...]) -> Make:
    """The plain pictures with these tracks, each of one or two channels."""

    def make(path: Path) -> None:
        with av.open(str(source_of(path))) as old, av.open(str(path), "w") as new:
            video = new.add_stream_from_template(old.streams.video[0])
            sounds = [
                new.add_stream("aac", rate=footage.SAMPLE_RATE, layout=_LAYOUTS[len(channels)])
                for channels in tracks
            ]
            for packet in old.demux(video=0):
                if packet.size:
                    packet.stream = video
                    new.mux(packet)
            for sound, channels in zip(sounds, tracks, strict=True):
                frame = av.AudioFrame.from_ndarray(
                    np.stack(channels), format="fltp", layout=_LAYOUTS[len(channels)]
                )
                frame.sample_rate, frame.pts = footage.SAMPLE_RATE, 0
                frame.time_base = Fraction(1, footage.SAMPLE_RATE)
                new.mux(sound.encode(frame))
                new.mux(sound.encode())

    return make
