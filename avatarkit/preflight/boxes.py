"""The boxes of an MP4 or QuickTime file, read without decoding anything.

The first thing that is done with a file, since it says in microseconds whether the file is whole,
and since libav trusts the counts in a header: a file of a few hundred bytes can make it allocate
gigabytes.

Source: ISO/IEC 14496-12 (ISO base media file format), sections 4.2, 4.3, 8.7.3 and 8.8.8.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import BinaryIO

MAX_HEADER_BYTES = 64 * 2**20
"""An hour of video has a header of about 2 MB."""
MAX_DECLARED_SAMPLES = 4_000_000
"""Five hours at 60 frames a second, with sound."""
MAX_BOXES = 200_000

_FIRST = frozenset({b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"styp"})
_PARTS = _FIRST | {b"moof", b"sidx", b"uuid", b"meta", b"mfra", b"emsg", b"prft"}


@dataclass(frozen=True, slots=True)
class Layout:
    """What the boxes say. ``missing_bytes`` of the last box lie beyond the end of the file."""

    is_isobmff: bool
    brand: str = ""
    has_header: bool = False
    missing_bytes: int = 0
    refused: str | None = None
    """Why it is not safe to be opened; None when it is."""


def read(file: BinaryIO, size: int) -> Layout:
    """Walk over the boxes of the file, from its start; raises ``OSError`` only."""
    at, brand, samples = 0, "", 0
    has_header = False
    for _ in range(MAX_BOXES):
        if size - at < 8:
            # Fewer bytes than a box's head are padding, unless nothing came before.
            return Layout(at > 0, brand, has_header, 0)
        file.seek(at)
        head = file.read(16)
        length, kind = int.from_bytes(head[:4]), head[4:8]
        if at == 0 and kind not in _FIRST:
            return Layout(False)
        start = at + 8
        if length == 1 and len(head) < 16:
            return Layout(True, brand, has_header, 16 - len(head))
        if length == 1:
            length, start = int.from_bytes(head[8:16]), at + 16
        elif length == 0:
            length = size - at
        if length < start - at:
            refused = "its boxes are damaged" if kind in _PARTS else None
            return Layout(True, brand, has_header, 0, refused)
        end = at + length
        if kind == b"ftyp":
            brand = head[8:12].decode("ascii", "replace")
        if kind in (b"moov", b"moof"):
            has_header = True
            if min(end, size) - start > MAX_HEADER_BYTES:
                return Layout(True, brand, has_header, 0, "its header is too large")
            file.seek(start)
            content = file.read(min(end, size) - start)
            if b"cmov" in content:
                return Layout(True, brand, has_header, 0, "its header is compressed")
            samples += _declared_samples(content)
            if samples > MAX_DECLARED_SAMPLES:
                return Layout(True, brand, has_header, 0, "it promises too many frames")
        if end > size:
            # After the last box some cameras append what is no box at all.
            missing = end - size if kind in _PARTS else 0
            return Layout(True, brand, has_header, missing)
        at = end
    return Layout(True, brand, has_header, 0, "it has too many boxes")


_COUNTS = re.compile(rb"(?:stsz|stz2).{8}(.{4})|trun.{4}(.{4})", re.DOTALL)
_HANDLER = re.compile(rb"hdlr.{8}(vide|soun)", re.DOTALL)
_ONE_TICK_EACH = re.compile(rb"stts.{4}\x00\x00\x00\x01.{4}\x00\x00\x00\x01", re.DOTALL)


def _declared_samples(content: bytes) -> int:
    """Of all tracks; without uncompressed sound, of which libav keeps chunks, not samples."""
    total = 0
    for track in content.split(b"trak"):
        plain_sound = set(_HANDLER.findall(track)) == {b"soun"} and _ONE_TICK_EACH.search(track)
        if not plain_sound:
            counts = _COUNTS.finditer(track)
            total += sum(int.from_bytes(match[1] or match[2]) for match in counts)
    return total
