"""Read the boxes of an MP4 or QuickTime file without decoding anything.

This is done before decoding, as it shows in microseconds whether the file is complete, and as libav
trusts the counts in a header: a file of a few hundred bytes can make it allocate gigabytes.

Source: ISO/IEC 14496-12 (ISO base media file format), sections 4.2, 4.3, 8.7.3 and 8.8.8.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import BinaryIO

MAX_HEADER_BYTES = 64 * 2**20
"""An hour of video has a header of about 2 MB."""
MAX_DECLARED_SAMPLES = 4_000_000
"""Five hours at 60 frames a second, with sound; libav keeps some 40 bytes of each."""
MAX_BOXES = 200_000

# libav reads these anywhere in a file, but they belong in a header.
_ONLY_IN_HEADERS = frozenset(
    {b"trak", b"mdia", b"minf", b"stbl", b"traf", b"mvex", b"edts", b"dinf", b"tref", b"wave"}
    | {b"stsz", b"stz2", b"trun", b"stts", b"stsc", b"stco", b"co64", b"stsd", b"elst", b"hoov"}
)
_FIRST = frozenset({b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"styp"})
_HEADERS = frozenset({b"moov", b"moof", b"udta", b"meta"})
_BESIDE_SOUND = frozenset({b"soun", b"alis", b"url ", b"mdir", b"mdta"})
_DAMAGED = "its boxes are damaged"
_PARTS = _FIRST | {b"moof", b"sidx", b"uuid", b"meta", b"mfra", b"emsg", b"prft"}


@dataclass(frozen=True, slots=True)
class Layout:
    """The structure of a file."""

    is_isobmff: bool
    """The file is of the family of MP4 and QuickTime (ISO base media file format)."""
    brand: str = ""
    has_header: bool = False
    missing_bytes: int = 0
    """Bytes of the last box that lie beyond the end of the file."""
    refused: str | None = None
    """Why the file is not safe to open; None when it is."""


def read(file: BinaryIO, size: int) -> Layout:
    """Return the layout of a file of ``size`` bytes.

    Raises:
        OSError: The file cannot be read.
    """
    at = header_bytes = samples = 0
    layout = Layout(is_isobmff=True)
    for _ in range(MAX_BOXES):
        if size - at < 8:
            # Fewer bytes than a box's head are padding, unless the file has no box.
            return replace(layout, is_isobmff=at > 0)
        file.seek(at)
        head = file.read(16)
        length, kind = _number(head, 0), head[4:8]
        if at == 0 and kind not in _FIRST:
            return Layout(False)
        start = at + 8
        if length == 1 and len(head) < 16:
            return replace(layout, missing_bytes=16 - len(head))
        if length == 1:
            length, start = int.from_bytes(head[8:16]), at + 16
        elif length == 0:
            length = size - at
        end = at + length
        if end < start:
            return replace(layout, refused=_DAMAGED if kind in _PARTS else None)
        if kind == b"ftyp":
            layout = replace(layout, brand=head[8:12].decode("ascii", "replace"))
        if kind in _ONLY_IN_HEADERS or (kind == b"free" and head[-4:] in (b"mvhd", b"cmov")):
            return replace(layout, refused=_DAMAGED)
        if kind in _HEADERS:
            layout = replace(layout, has_header=layout.has_header or kind in (b"moov", b"moof"))
            header_bytes += min(end, size) - start
            if header_bytes > MAX_HEADER_BYTES:
                return replace(layout, refused="its header is too large")
            file.seek(start)
            content = file.read(min(end, size) - start)
            samples += _index_entries(content)
            if b"cmov" in content:
                return replace(layout, refused="its header is compressed")
            if samples > MAX_DECLARED_SAMPLES:
                return replace(layout, refused="it promises too many frames")
        if end > size:
            # Some cameras append data after the last box.
            return replace(layout, missing_bytes=end - size if kind in _PARTS else 0)
        at = end
    return replace(layout, refused="it has too many boxes")


def _index_entries(content: bytes) -> int:
    """Return an upper bound of the index entries that libav allocates for a part of a header.

    libav takes a table wherever it meets one, so every place that reads like one counts. Only
    tracks of uncompressed sound, of which libav lists pieces and not samples, count less, and only
    where nothing in them can be read in another way.
    """
    total, at = 0, 0
    for _ in range(MAX_BOXES):
        length, kind = _number(content, at), content[at + 4 : at + 8]
        if length < 8 or at + length > len(content):
            return total + _samples(content[at:])
        child = content[at : at + length]
        total += _pieces(child) if kind == b"trak" and _is_plain_sound(child) else _samples(child)
        at += length
    return MAX_DECLARED_SAMPLES + 1


def _number(content: bytes, at: int) -> int:
    return int.from_bytes(content[at : at + 4])


def _samples(content: bytes) -> int:
    total = 0
    for kind, offset in ((b"stsz", 12), (b"stz2", 12), (b"trun", 8)):
        at = content.find(kind)
        while at >= 0 and total <= MAX_DECLARED_SAMPLES:
            # An empty table takes work too.
            total += max(16, _number(content, at + offset))
            at = content.find(kind, at + 1)
    return total


def _is_plain_sound(track: bytes) -> bool:
    """Return whether libav lists a track in pieces: sound, of which each sample lasts a tick."""
    if any(track.count(kind) != 1 for kind in (b"trak", b"stts", b"stsc")):
        return False
    media = {part[8:12] for part in track.split(b"hdlr", 9)[1:]}
    at = track.index(b"stts") + 4
    lasts_a_tick = (_number(track, at + 4), _number(track, at + 12)) == (1, 1)
    return b"soun" in media and media <= _BESIDE_SOUND and lasts_a_tick


def _pieces(track: bytes) -> int:
    """Return the pieces of a track: of at least 512 samples each, but the last of a chunk."""
    chunks = sum(_number(part, 4) for kind in (b"stco", b"co64") for part in track.split(kind)[1:])
    at = track.index(b"stsc") + 4
    table = track[at + 8 : at + 8 + 12 * _number(track, at + 4)]
    largest = max((_number(table, place + 4) for place in range(0, len(table), 12)), default=0)
    return chunks * (largest // 512 + 1)
