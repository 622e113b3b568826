"""Make preview images of an uploaded video."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from av import VideoFrame
    from PIL.Image import Image

PREVIEW_SIZES = {
    "preview_image_16_9": (640, 360),
    "preview_image_1_1": (480, 480),
    "preview_image_9_16": (360, 640),
}
"""The preview image fields, and their sizes in pixels."""

# The demuxer of MP4 and QuickTime, named so that an upload is never taken for a playlist, which
# would make FFmpeg open other files or the network.
_DEMUXER = "mov"
_MAX_PIXELS = 8192 * 8192
_MAX_PACKETS = 500


def save_previews(path: Path, folder: Path) -> tuple[str, ...]:
    """Write the first frame as ``{field}.jpg`` into ``folder`` for each field of ``PREVIEW_SIZES``.

    Returns:
        The fields that were written: all, or none when ``path`` is no readable video.

    Raises:
        OSError: ``folder`` cannot be written.
    """
    try:
        image = _first_picture(path)
    except Exception:  # noqa: BLE001 - a hostile file makes bindings raise anything
        return ()
    if image is None:
        return ()
    from PIL import ImageOps

    for field, size in PREVIEW_SIZES.items():
        ImageOps.fit(image, size).save(folder / f"{field}.jpg", quality=85)
    return tuple(PREVIEW_SIZES)


def _first_picture(path: Path) -> Image | None:
    import av

    with av.open(str(path), format=_DEMUXER, metadata_errors="ignore") as container:
        if not container.streams.video:
            return None
        stream = container.streams.video[0]
        codec = stream.codec_context
        if codec is None or codec.width * codec.height > _MAX_PIXELS:
            return None
        for packet in islice(container.demux(stream), _MAX_PACKETS):
            for frame in packet.decode():
                return _picture(frame)
    return None


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
