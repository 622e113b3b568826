"""Reads the body of a create: JSON, form or multipart, whose files go straight to disk."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, NoReturn
from urllib.parse import parse_qsl

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from avatarkit.sandbox.error_responses import Refused, detail

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"

_MAX_PARTS = 1000
# Parsed and written in another thread, in pieces large enough that the hand-over costs little.
_PIECE = 1024 * 1024
_SUFFIXES = {".mp4": ".mp4", ".m4v": ".mp4", ".mov": ".mov", ".qt": ".mov"}


@dataclass(frozen=True)
class ReceivedFile:
    """A file that came: where it lies now, and how many bytes it has."""

    path: Path
    size: int


@dataclass
class Body:
    """What came. In forms every field has a list of values; in JSON ``json`` is the value."""

    json: Any = None
    values: dict[str, list[str]] = field(default_factory=dict)
    files: dict[str, ReceivedFile] = field(default_factory=dict)
    is_form: bool = False


async def read_body(
    request: Request,
    folder: Path,
    *,
    accepts: Collection[str],
    file_fields: Collection[str],
    max_text_bytes: int,
) -> Body:
    """The body of ``request``; the files of ``file_fields`` are written into ``folder``.

    Memory stays flat however long the files are, and a file is written once. Raises ``Refused``
    for 400, 413 and 415, starlette's ``ClientDisconnect`` when the body breaks off, ``OSError``
    when the disk is full.

    Source: the messages are those of Django REST framework's parsers.
    """
    declared = request.headers.get("content-type", "")
    if request.headers.get("content-length") == "0":
        return Body(json={})
    parsed, options = parse_options_header(declared)
    kind = parsed.decode("latin-1").lower()
    if kind not in accepts:
        raise detail(415, f'Unsupported media type "{declared}" in request.')
    if kind == MULTIPART:
        boundary = options.get(b"boundary")
        if not boundary:
            _malformed("Invalid boundary in multipart: None")
        return await _read_multipart(request, boundary, folder, file_fields, max_text_bytes)
    raw = await _read_text(request, max_text_bytes)
    return Body(json=_parse_json(raw)) if kind == JSON else _parse_form(raw)


async def _read_text(request: Request, max_bytes: int) -> bytes:
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > max_bytes:
            raise _too_large()
    return bytes(raw)


def _parse_json(raw: bytes) -> Any:
    def refuse_constant(name: str) -> NoReturn:
        raise ValueError(f"Out of range float values are not JSON compliant: {name}")

    try:
        return json.loads(raw.decode("utf-8"), parse_constant=refuse_constant)
    except (ValueError, RecursionError) as error:
        raise detail(400, f"JSON parse error - {error}") from None


def _parse_form(raw: bytes) -> Body:
    body = Body(is_form=True)
    try:
        pairs = parse_qsl(
            raw.decode("utf-8", "replace"),
            keep_blank_values=True,
            errors="replace",
            max_num_fields=_MAX_PARTS,
        )
    except ValueError:
        raise _too_large() from None
    for name, value in pairs:
        body.values.setdefault(name, []).append(value)
    return body


async def _read_multipart(
    request: Request,
    boundary: bytes,
    folder: Path,
    file_fields: Collection[str],
    max_text_bytes: int,
) -> Body:
    try:
        writer = _MultipartWriter(boundary, folder, file_fields, max_text_bytes)
    except FormParserError as error:
        _malformed(str(error))
    try:
        piece = bytearray()
        async for chunk in request.stream():
            piece += chunk
            if len(piece) >= _PIECE:
                await asyncio.to_thread(writer.write, bytes(piece))
                piece.clear()
        await asyncio.to_thread(writer.write, bytes(piece))
        return writer.finish()
    except FormParserError as error:
        _malformed(str(error))
    finally:
        writer.close()


class _MultipartWriter:
    """Callbacks of the multipart parser that write the files as they come."""

    def __init__(
        self, boundary: bytes, folder: Path, file_fields: Collection[str], max_text_bytes: int
    ) -> None:
        self._folder = folder
        self._file_fields = file_fields
        self._text_left = max_text_bytes
        self._parts = 0
        self._complete = False
        self._body = Body(is_form=True)
        self._header_name = self._header_value = b""
        self._disposition = b""
        self._name = ""
        self._text: bytearray | None = None
        self._file: IO[bytes] | None = None
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._part_begin,
                "on_header_field": self._header_field_data,
                "on_header_value": self._header_value_data,
                "on_header_end": self._header_end,
                "on_headers_finished": self._headers_finished,
                "on_part_data": self._part_data,
                "on_part_end": self._part_end,
                "on_end": self._end,
            },
        )

    def write(self, data: bytes) -> None:
        """Parse the next bytes. Raises ``FormParserError``, ``Refused`` or ``OSError``."""
        self._parser.write(data)

    def finish(self) -> Body:
        """What came. Raises ``FormParserError`` when the last boundary is missing."""
        self._parser.finalize()
        if not self._complete:
            raise FormParserError("The body ends before its last boundary")
        return self._body

    def close(self) -> None:
        """Close the file that is being written, if any."""
        if self._file is not None:
            # A full disk can make even this fail; what it failed on was reported by the write.
            with suppress(OSError):
                self._file.close()
            self._file = None

    def _part_begin(self) -> None:
        self._parts += 1
        if self._parts > _MAX_PARTS:
            raise _too_large()
        self._disposition = b""
        self._text = None

    def _header_field_data(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _header_value_data(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _header_end(self) -> None:
        if self._header_name.lower() == b"content-disposition":
            self._disposition = self._header_value
        self._header_name = self._header_value = b""

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        if b"name" not in options:
            raise FormParserError("A part has no name")
        self._name = options[b"name"].decode("utf-8", "replace")
        filename = options.get(b"filename")
        if filename is None:
            self._text = bytearray()
        # A part with an empty file name is a file input that was left empty; browsers send it.
        elif filename and self._name in self._file_fields:
            suffix = Path(filename.decode("utf-8", "replace")).suffix.lower()
            path = self._folder / f"{self._name}{_SUFFIXES.get(suffix, '.bin')}"
            earlier = self._body.files.pop(self._name, None)
            if earlier is not None:  # Django keeps the last of several
                earlier.path.unlink()
            self._file = path.open("wb", buffering=0)

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if self._file is not None:
            view = memoryview(data)[start:end]
            while view:
                view = view[self._file.write(view) :]
        elif self._text is not None:
            self._text_left -= end - start
            if self._text_left < 0:
                raise _too_large()
            self._text += data[start:end]

    def _part_end(self) -> None:
        if self._file is not None:
            received = ReceivedFile(Path(self._file.name), self._file.tell())
            self.close()
            self._body.files[self._name] = received
        elif self._text is not None:
            value = self._text.decode("utf-8", "replace")
            self._body.values.setdefault(self._name, []).append(value)

    def _end(self) -> None:
        self._complete = True


def _malformed(what: str) -> NoReturn:
    raise detail(400, f"Multipart form parse error - {what}") from None


def _too_large() -> Refused:
    return detail(413, "The body is too large.")
