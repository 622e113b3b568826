"""Change single values in the boxes of an MP4 file, as recorders get them wrong."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path

from support.videos import Make, plain


def _place(content: bytes, kind: bytes) -> int:
    """Return where the content of the first box of that kind begins: the one of the picture."""
    return content.index(kind, content.index(b"moov")) + 4


def declared_length(factor: float) -> Make:
    """The header of the picture declares another length than its frames have."""

    def make(path: Path) -> None:
        content = bytearray(plain())
        at = _place(content, b"mdhd") + 16
        (ticks,) = struct.unpack_from(">I", content, at)
        struct.pack_into(">I", content, at, int(ticks * factor))
        path.write_bytes(content)

    return make


def empty_frames(numbers: Iterable[int]) -> Make:
    """Frames without content: a camera that dropped frames keeps its rate by them."""

    def make(path: Path) -> None:
        content = bytearray(plain())
        sizes = _place(content, b"stsz") + 12
        for number in numbers:
            struct.pack_into(">I", content, sizes + 4 * number, 0)
        path.write_bytes(content)

    return make


def renamed(codec: bytes, other: bytes) -> Make:
    """A codec with the name of another one."""

    def make(path: Path) -> None:
        content = bytearray(plain())
        at = content.index(codec, content.index(b"moov"))
        content[at : at + 4] = other
        path.write_bytes(content)

    return make
