"""Make sample footage: a video of a talking head."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avatarkit.files import replacing_file

Picture = NDArray[np.uint8]
Sound = NDArray[np.float32]

SAMPLE_RATE = 48_000

# In pixels of the portrait, which is 512 x 512.
_SIDE = 512
_FACE_X, _FACE_Y = 225.0, 125.0
_CROP_WIDTH, _CROP_HEIGHT = 240.0, 256.0
_LIPS_Y, _CHIN_Y, _LIPS_HALF_WIDTH = 149.0, 184.0, 19.0
_OPEN = 11.0
_SWAY = 3.0
_INSIDE_OF_MOUTH = (52, 18, 20)

_MOUTHS = 7
_SYLLABLES_PER_S = 3.7
_PHRASE_S, _PAUSE_S = 2.4, 0.5
_PITCH_HZ = 190
_FORMANTS = ((650.0, 130.0, 1.0), (1250.0, 180.0, 0.55), (2650.0, 250.0, 0.25))
# Brings the sound to -20 LUFS, about the loudness of a voice in a quiet room.
_GAIN = 0.59


def talking_head(
    path: str | os.PathLike[str],
    *,
    seconds: float = 16.0,
    width: int = 720,
    height: int = 1280,
    fps: int = 25,
    audio: bool = True,
) -> Path:
    """Write an MP4 of a person speaking, facing the camera.

    H.264 at ``fps`` frames a second and, with ``audio``, AAC in mono at about -20 LUFS. The same
    arguments give the same bytes. The file is complete or does not exist. ``pictures``, ``voice``
    and ``write`` are the three steps.

    Args:
        path: The file to write.
        seconds: The length, above 0 and at most 3600.
        width: In pixels, an even number from 32 to 8192.
        height: Likewise.
        fps: Frames per second, 1 to 120.
        audio: Whether there is a sound track.

    Returns:
        The path.

    Raises:
        ValueError: The length, size or frame rate is out of range.
        OSError: The file cannot be written.

    Source:
        The face is the portrait of astronaut Eileen Collins that scikit-image ships (NASA, public
        domain); nothing is downloaded.
    """
    if not 0 < seconds <= 3600:
        raise ValueError("seconds must be above 0 and at most 3600.")
    if not 1 <= fps <= 120:
        raise ValueError("fps must be between 1 and 120.")
    if not all(32 <= side <= 8192 and side % 2 == 0 for side in (width, height)):
        raise ValueError("width and height must be even numbers between 32 and 8192.")
    sound = voice(seconds) if audio else None
    return write(path, pictures(seconds, width, height, fps), fps=fps, sound=sound)


def sample_video(path: str | os.PathLike[str]) -> Path:
    """Write a video to try things with, unless there is such a file already.

    It is one of ``talking_head``: 16 seconds of a person speaking, 720 x 720. A file that is there
    is kept as it is, so a video of your own can take its place.

    Args:
        path: The file, such as ``ada.mp4``.

    Returns:
        The path.

    Raises:
        OSError: The file cannot be written.
    """
    return Path(path) if Path(path).exists() else talking_head(path, height=720)


def pictures(seconds: float, width: int, height: int, fps: int) -> Iterator[Picture]:
    """Yield the frames, each ``(height, width, 3)``, RGB.

    The head sways a little, and the mouth opens with the syllables of ``voice``.
    """
    heads = _heads(width, height)
    margin_y, margin_x = (heads[0].shape[0] - height) // 2, (heads[0].shape[1] - width) // 2
    times = np.arange(max(1, round(seconds * fps))) / fps
    mouths = np.rint(_syllables(times) * (_MOUTHS - 1)).astype(int)
    xs = np.rint(margin_x * (1 + np.sin(2 * np.pi * times / 3.1))).astype(int)
    ys = np.rint(margin_y * (1 + np.sin(2 * np.pi * times / 2.3) / 2)).astype(int)
    for mouth, x, y in zip(mouths, xs, ys, strict=True):
        yield heads[mouth][y : y + height, x : x + width]


def voice(seconds: float) -> Sound:
    """Return sung syllables like "ah": mono, 48 kHz, -1 to 1, about -20 LUFS."""
    # Every partial is a whole number of hertz, so that one second repeats seamlessly.
    second = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    tone = np.zeros(SAMPLE_RATE)
    for partial in range(_PITCH_HZ, 5000, _PITCH_HZ):
        gain = sum(a / (1 + ((partial - f) / b) ** 2) for f, b, a in _FORMANTS) + 0.02
        tone += gain * np.sin(2 * np.pi * partial * second + partial)
    tone /= np.abs(tone).max()
    times = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return (_GAIN * np.resize(tone, times.size) * _syllables(times)).astype(np.float32)


def write(
    path: str | os.PathLike[str],
    frames: Iterable[Picture],
    *,
    fps: int,
    sound: Sound | None = None,
) -> Path:
    """Encode ``frames`` (RGB, all of one even size) and mono ``sound`` at 48 kHz to an MP4.

    The file is complete or does not exist.

    Args:
        path: The file to write.
        frames: The pictures, in order.
        fps: Frames per second.
        sound: The sound track; None for none.

    Returns:
        The path.

    Raises:
        ValueError: There is no frame.
        OSError: The file cannot be written.
    """
    target = Path(path)
    with replacing_file(target, private=True) as temporary:
        _encode(str(temporary), iter(frames), fps, sound)
    return target


def _encode(path: str, frames: Iterator[Picture], fps: int, sound: Sound | None) -> None:
    import av

    first = next(frames, None)
    if first is None:
        raise ValueError("There is no frame to write; give at least one.")
    sound = np.zeros(0, np.float32) if sound is None else sound
    with av.open(path, "w", format="mp4", options={"movflags": "+faststart"}) as container:
        video = container.add_stream("libx264", rate=fps)
        video.height, video.width = first.shape[:2]
        video.pix_fmt = "yuv420p"
        video.options = {"preset": "ultrafast", "crf": "23"}
        # The bytes that x264 writes depend on how many threads it has.
        video.codec_context.thread_count = 2
        audio = None
        if sound.size:
            audio = container.add_stream("aac", rate=SAMPLE_RATE, layout="mono")
            audio.bit_rate = 96_000
        for count, picture in enumerate(chain([first], frames)):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame.pts, frame.time_base = count, Fraction(1, fps)
            container.mux(video.encode(frame))
            begin, end = (round(n * SAMPLE_RATE / fps) for n in (count, count + 1))
            chunk = np.ascontiguousarray(sound[None, begin:end])
            if audio is not None and chunk.size:
                piece = av.AudioFrame.from_ndarray(chunk, format="fltp", layout="mono")
                piece.sample_rate, piece.pts = SAMPLE_RATE, begin
                piece.time_base = Fraction(1, SAMPLE_RATE)
                container.mux(audio.encode(piece))
        container.mux(video.encode())
        if audio is not None:
            container.mux(audio.encode())


def _syllables(times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how open the mouth is at each time, 0 to 1: syllables in phrases with pauses."""
    within = times % (_PHRASE_S + _PAUSE_S)
    phrase = np.clip(np.minimum(within, _PHRASE_S - within) / 0.08, 0, 1)
    pulse: NDArray[np.float64] = np.clip(np.sin(2 * np.pi * _SYLLABLES_PER_S * within), 0, 1) ** 0.7
    return pulse * phrase


def _heads(width: int, height: int) -> list[Picture]:
    """Return the portrait with a margin to sway in, from mouth shut to wide open."""
    import PIL.Image
    from skimage.data import astronaut

    portrait: Picture = astronaut()  # type: ignore[no-untyped-call,unused-ignore]
    room = _SIDE - 2 * _SWAY - 2
    scale = max(
        width / _CROP_WIDTH if width <= height else height / _CROP_HEIGHT,
        width / room,
        height / room,
    )
    wide, high = width / scale + 2 * _SWAY, height / scale + 2 * _SWAY
    left = min(max(_FACE_X - wide / 2, 0), _SIDE - wide)
    top = min(max(_FACE_Y - 0.4 * high, 0), _SIDE - high)
    still = np.asarray(
        PIL.Image.fromarray(portrait).resize(
            (round(wide * scale), round(high * scale)),
            PIL.Image.Resampling.BICUBIC,
            box=(left, top, left + wide, top + high),
        )
    )
    lips, chin = (round((y - top) * scale) for y in (_LIPS_Y, _CHIN_Y))
    columns = (np.arange(still.shape[1]) / scale + left - _FACE_X) / _LIPS_HALF_WIDTH
    arch = np.clip(1 - columns**2, 0, None)
    rows = np.arange(lips, chin)[:, None]
    heads = []
    for mouth in range(_MOUTHS):
        gap = (_OPEN * scale * mouth / (_MOUTHS - 1) * arch)[None, :]
        # The lower lip goes down; what is under it is squeezed towards the chin.
        below = (rows - lips - gap) * (chin - lips) / np.maximum(chin - lips - gap, 1)
        source = np.clip(np.rint(lips + below), lips, chin).astype(int)
        face = np.take_along_axis(still, source[:, :, None], axis=0)
        face[np.broadcast_to(rows - lips < gap - 0.5, source.shape)] = _INSIDE_OF_MOUTH
        head = still.copy()
        head[lips:chin] = face
        heads.append(head)
    return heads
