"""Measure how long a preflight takes against a plain decode of the same file.

``python bench/preflight.py`` makes two videos of 60 s in 1080p, or takes ``--video``: a talking
head, and a cup of coffee, on which the search for faces takes longest. Each is decoded with PyAV
(picture and sound, all frames, with threads, nothing kept) and checked, in turns, several times. It
prints the medians and their ratio. Goal: at most 1.5 for each.
"""

from __future__ import annotations

import argparse
import math
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from avatarkit import preflight

GOAL = 1.5


def plain_decode(path: Path) -> int:
    """Decode a video with PyAV as its documentation does; return the number of frames."""
    import av

    with av.open(str(path)) as container:
        streams = [*container.streams.video[:1], *container.streams.audio[:1]]
        for stream in streams:
            stream.codec_context.thread_type = "AUTO"
        return sum(1 for _ in container.decode(*streams))


def seconds(call: Callable[[], object]) -> tuple[float, float]:
    """Return the wall and processor seconds of one call."""
    wall, processor = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - wall, time.process_time() - processor


def no_face(path: Path) -> Path:
    """Write a minute of a slow pan over a cup of coffee, in 1080p, with a voice."""
    import numpy as np
    from PIL import Image
    from skimage import data

    from avatarkit.sandbox import footage

    cup = np.asarray(Image.fromarray(data.coffee()).resize((1980, 1140)))
    places = (round(30 + 30 * math.sin(number / 40)) for number in range(60 * 25))
    frames = (cup[at : at + 1080, at : at + 1920] for at in places)
    return footage.write(path, frames, fps=25, sound=footage.voice(60))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--video", type=Path, help="a video of your own")
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        if arguments.video is not None:
            measure(arguments.video, arguments.runs)
            return
        from avatarkit.sandbox.footage import talking_head

        head = Path(folder) / "talking head.mp4"
        measure(talking_head(head, seconds=60, width=1920, height=1080), arguments.runs)
        measure(no_face(Path(folder) / "no face.mp4"), arguments.runs)


def measure(video: Path, runs: int) -> None:
    """Decode and check a video in turns, and print how long both took."""
    plain_decode(video)
    first, _ = seconds(lambda: preflight.check(video))
    decodes, checks = [], []
    for _ in range(runs):
        decodes.append(seconds(lambda: plain_decode(video)))
        checks.append(seconds(lambda: preflight.check(video)))
    report = preflight.check(video)
    sheet, _ = seconds(lambda: report.contact_sheet)
    decode, decode_cpu = map(statistics.median, zip(*decodes, strict=True))
    check, check_cpu = map(statistics.median, zip(*checks, strict=True))
    print(f"file             {video.name}, {video.stat().st_size / 1e6:.1f} MB")
    print(f"plain decode     {decode:.2f} s, {decode_cpu:.2f} s of processor time")
    print(f"preflight.check  {check:.2f} s, {check_cpu:.2f} s of processor time")
    print(f"ratio            {check / decode:.2f}, {check_cpu / decode_cpu:.2f}")
    print(f"medians of {runs}; the goal is a ratio of at most {GOAL} on the wall")
    print(f"first check: {first:.2f} s; contact sheet: {sheet:.2f} s")


if __name__ == "__main__":
    main()
