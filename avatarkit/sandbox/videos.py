"""Looks at an uploaded video: whether it opens, and stills of it for the previews."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from av import VideoFrame
    from PIL.Image import Image

STILLS = {
    "preview_image_16_9": (640, 360),
    "preview_image_1_1": (480, 480),
    "preview_image_9_16": (360, 640),
}
"""The preview images and their sizes in pixels."""

# The demuxer of MP4 and QuickTime, named so that an upload is never taken for a playlist, which
# would make FFmpeg open other files or the network.
_DEMUXER = "mov"
_MAX_PIXELS = 8192 * 8192
_MAX_PACKETS = 500


class _Unreadable(Exception):
    pass


def why_unreadable(path: Path) -> str | None:
    """Why ``path`` cannot be opened as an MP4 or QuickTime video, or None when it can be.

    Half a sentence without a full stop. Never raises, and decodes no more than one frame.

    Source: the vendor takes ``video/mp4`` and ``video/quicktime``.
    """
    try:
        _first_frame(path)
    except _Unreadable as error:
        return str(error)
    return None


def save_stills(path: Path, folder: Path) -> tuple[str, ...]:
    """Write a JPEG ``{field}.jpg`` of the first frame into ``folder`` for each preview image.

    The names of the fields that were written: all, or none when it is no readable video.
    """
    try:
        image = _picture(_first_frame(path))
    except _Unreadable:
        return ()
    from PIL import ImageOps

    for field, size in STILLS.items():
        ImageOps.fit(image, size).save(folder / f"{field}.jpg", quality=85)
    return tuple(STILLS)


def _first_frame(path: Path) -> VideoFrame:
    import av

    try:
        with av.open(str(path), format=_DEMUXER, metadata_errors="ignore") as container:
            if not container.streams.video:
                raise _Unreadable("it holds no picture")
            stream = container.streams.video[0]
            if stream.codec_context is None:
                raise _Unreadable("its codec is not known")
            width, height = stream.codec_context.width, stream.codec_context.height
            if width * height > _MAX_PIXELS:
                raise _Unreadable(f"its frames of {width} by {height} pixels are too large")
            for number, packet in enumerate(container.demux(stream)):
                for frame in packet.decode():
                    return frame
                if number >= _MAX_PACKETS:
                    break
            raise _Unreadable("no frame of it can be decoded")
    except _Unreadable:
        raise
    except av.FFmpegError as error:
        raise _Unreadable(error.strerror or "it cannot be decoded") from None
    except Exception as error:  # noqa: BLE001 - a hostile file makes bindings raise anything
        raise _Unreadable(f"it cannot be decoded ({type(error).__name__})") from None


def _picture(frame: VideoFrame) -> Image:
    # Scaled by FFmpeg first, so that a large frame never becomes a large image in memory.
    scale = min(1.0, 1280 / max(frame.width, frame.height))
    small = frame.reformat(
        width=max(2, round(frame.width * scale)),
        height=max(2, round(frame.height * scale)),
        format="rgb24",
    )
    image: Image = small.to_image()  # type: ignore[no-untyped-call,unused-ignore]
    return image.rotate(frame.rotation, expand=True)
