"""The boxes of an MP4 or QuickTime file, read without decoding anything.

The first thing that is done with a file, since it says in microseconds whether the file is whole,
and since libav trusts the counts in a header: a file of a few hundred bytes can make it allocate
gigabytes.

Source: ISO/IEC 14496-12 (ISO base media file format), sections 4.2, 4.3, 8.7.3 and 8.8.8.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO

MAX_HEADER_BYTES = 64 * 2**20
"""An hour of video has a header of about 2 MB."""
MAX_DECLARED_SAMPLES = 4_000_000
"""Five hours at 60 frames a second, with sound; libav keeps some 40 bytes of each."""
MAX_BOXES = 200_000

# libav opens these wherever they are, but they belong into a header.
_INNER = frozenset(
    {b"trak", b"mdia", b"minf", b"stbl", b"traf", b"mvex", b"edts", b"dinf", b"tref", b"wave"}
    | {b"stsz", b"stz2", b"trun", b"stts", b"stsc", b"stco", b"co64", b"stsd", b"elst", b"hoov"}
)
_FIRST = frozenset({b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"styp"})
_HEADERS = frozenset({b"moov", b"moof", b"udta", b"meta"})
_BESIDE_SOUND = frozenset({b"soun", b"alis", b"url ", b"mdir", b"mdta"})
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
    at, brand, entries, read = 0, "", 0, 0
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
        if kind in _INNER or (kind == b"free" and head[-4:] in (b"mvhd", b"cmov")):
            return Layout(True, brand, has_header, 0, "its boxes are damaged")
        if kind in _HEADERS:
            has_header = has_header or kind in (b"moov", b"moof")
            read += min(end, size) - start
            if read > MAX_HEADER_BYTES:
                return Layout(True, brand, has_header, 0, "its header is too large")
            file.seek(start)
            content = file.read(min(end, size) - start)
            if b"cmov" in content:
                return Layout(True, brand, has_header, 0, "its header is compressed")
            entries += _index_entries(content)
            if entries > MAX_DECLARED_SAMPLES:
                return Layout(True, brand, has_header, 0, "it promises too many frames")
        if end > size:
            # After the last box some cameras append what is no box at all.
            missing = end - size if kind in _PARTS else 0
            return Layout(True, brand, has_header, missing)
        at = end
    return Layout(True, brand, has_header, 0, "it has too many boxes")


def _index_entries(content: bytes) -> int:
    """No more frames and pieces of sound than this will libav list of that part of a header.

    libav takes a table wherever it meets one, so every place that reads like one counts. Only
    tracks of uncompressed sound, of which libav lists pieces and not samples, are told apart, and
    only where nothing in them can be read in another way.
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
            # An empty table is work, too.
            total += max(16, _number(content, at + offset))
            at = content.find(kind, at + 1)
    return total


def _is_plain_sound(track: bytes) -> bool:
    """Whether libav will list this track in pieces: sound, of which each sample lasts a tick."""
    if any(track.count(kind) != 1 for kind in (b"trak", b"stts", b"stsc")):
        return False
    media = {part[8:12] for part in track.split(b"hdlr", 9)[1:]}
    lasting = track.index(b"stts") + 4
    lasts_a_tick = (_number(track, lasting + 4), _number(track, lasting + 12)) == (1, 1)
    return b"soun" in media and media <= _BESIDE_SOUND and lasts_a_tick


def _pieces(track: bytes) -> int:
    """Of at least 512 samples each, but for the last of each chunk."""
    chunks = sum(_number(part, 4) for kind in (b"stco", b"co64") for part in track.split(kind)[1:])
    at = track.index(b"stsc") + 4
    table = track[at + 8 : at + 8 + 12 * _number(track, at + 4)]
    most = max((_number(table, place + 4) for place in range(0, len(table), 12)), default=0)
    return chunks * (most // 512 + 1)
