"""Read the body of a create: JSON, form or multipart, whose files go straight to disk."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import parse_qs

from python_multipart.multipart import parse_options_header
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from avatarkit.models import VIDEO_FIELDS
from avatarkit.sandbox.behaviour import Behaviour
from avatarkit.sandbox.error_responses import ErrorResponse, detail

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"

_MAX_PARTS = 1000
# Source: Django's default. Each is an open file until the body has been read.
_MAX_FILES = 100
# Pieces are written in another thread, so they are large enough to switch threads rarely.
_PIECE_BYTES = 1024 * 1024
_SUFFIXES = {".mp4": ".mp4", ".m4v": ".mp4", ".mov": ".mov", ".qt": ".mov"}


@dataclass
class Body:
    """A parsed body. Every field of a form has a list of values; of JSON ``json`` is the value.

    ``file_names`` are the names under which the files were uploaded.
    """

    json: Any = None
    values: dict[str, list[str]] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)
    file_names: dict[str, str] = field(default_factory=dict)
    is_form: bool = False


async def read_body(
    request: Request, folder: Path, *, accepts: Collection[str], behaviour: Behaviour
) -> Body:
    """Read the body of ``request`` and write its videos into ``folder``.

    Memory use does not depend on the size of the files, and each file is written once.

    Args:
        request: The create.
        folder: Where the videos are written; other files of the body are deleted.
        accepts: The media types that are read; others are refused.
        behaviour: Sets the largest text and what is done with a truncated multipart body.

    Raises:
        ErrorResponse: 400, 413 or 415.
        ClientDisconnect: The connection ended within the body.
        OSError: The disk is full.

    Source:
        The messages are those of Django REST framework's parsers.
    """
    declared = request.headers.get("content-type", "")
    if request.headers.get("content-length") == "0":
        return Body(json={})
    media_type = parse_options_header(declared)[0].decode("latin-1").lower()
    if media_type not in accepts:
        raise detail(415, f'Unsupported media type "{declared}" in request.')
    if media_type == MULTIPART:
        return await _read_multipart(request, folder, behaviour)
    raw = await read_text(request, behaviour.max_text_bytes)
    return Body(json=_parse_json(raw)) if media_type == JSON else _parse_form(raw)


async def read_text(request: Request, max_bytes: int) -> bytes:
    """Read the whole body; one of more than ``max_bytes`` is answered with a 413."""
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
    text = raw.decode("utf-8", "replace")
    try:
        values = parse_qs(text, keep_blank_values=True, max_num_fields=_MAX_PARTS)
    except ValueError:
        raise _too_large() from None
    return Body(values=values, is_form=True)


async def _read_multipart(request: Request, folder: Path, behaviour: Behaviour) -> Body:
    takes_truncated = behaviour.truncated_body == "taken"
    pieces = _pieces(request, raise_on_disconnect=not takes_truncated)
    parser = _Parser(request, pieces, folder, behaviour.max_text_bytes)
    body = Body(is_form=True)
    uploads: dict[str, UploadFile] = {}
    try:
        form = await parser.parse()
    except (MultiPartException, UnicodeError) as error:
        reason = error.__cause__ or getattr(error, "message", error)
        raise detail(400, f"Multipart form parse error - {reason}") from None
    finally:
        for upload in parser.paths:
            upload.file.close()
    if not (parser.is_complete or takes_truncated):
        raise detail(400, "Multipart form parse error - The body ends before its last boundary")
    for name, value in [*form.multi_items(), *parser.truncated_text()]:
        if isinstance(value, str):
            body.values.setdefault(name, []).append(value)
        # A file without a name is an input that was left empty; browsers send it.
        elif value.filename and name in VIDEO_FIELDS:
            uploads[name] = value  # Django keeps the last of several
    for name, upload in uploads.items():
        body.file_names[name] = re.split(r"[/\\]", upload.filename or "")[-1]
        suffix = _SUFFIXES.get(Path(body.file_names[name]).suffix.lower(), ".bin")
        body.files[name] = parser.paths.pop(upload).rename(folder / f"{name}{suffix}")
    for path in parser.paths.values():
        path.unlink()
    return body


async def _pieces(request: Request, *, raise_on_disconnect: bool) -> AsyncGenerator[bytes, None]:
    piece = bytearray()
    try:
        async for chunk in request.stream():
            piece += chunk
            if len(piece) >= _PIECE_BYTES:
                yield bytes(piece)
                piece.clear()
    except ClientDisconnect:
        if raise_on_disconnect:
            raise
    yield bytes(piece)


class _Parser(MultiPartParser):
    """Starlette's parser with files in ``folder`` and a limit for all texts together."""

    def __init__(
        self, request: Request, pieces: AsyncGenerator[bytes, None], folder: Path, max_bytes: int
    ) -> None:
        super().__init__(request.headers, pieces, max_files=_MAX_FILES, max_part_size=max_bytes)
        self._folder = folder
        self._text_bytes_left = max_bytes
        self._parts_left = _MAX_PARTS
        self.paths: dict[UploadFile, Path] = {}
        self.is_complete = False
        self._in_part = False

    def on_part_begin(self) -> None:
        super().on_part_begin()
        self._parts_left -= 1
        if self._parts_left < 0:
            raise _too_large()

    def on_headers_finished(self) -> None:
        super().on_headers_finished()
        self._in_part = True
        upload = self._current_part.file
        if upload is not None:
            path = self._folder / f"upload-{len(self.paths)}"
            upload.file.close()
            upload.file = path.open("wb")
            self.paths[upload] = path

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._current_part.file is None:
            self._text_bytes_left -= end - start
            if self._text_bytes_left < 0:
                raise _too_large()
        super().on_part_data(data, start, end)

    def on_part_end(self) -> None:
        super().on_part_end()
        self._in_part = False

    def on_end(self) -> None:
        self.is_complete = True

    def truncated_text(self) -> list[tuple[str, str]]:
        """Return the name and the text of the part in which the body ended, if it is a text.

        Source:
            Django takes what arrived of a text, and drops a file.
        """
        part = self._current_part
        if not self._in_part or part.file is not None:
            return []
        return [(part.field_name, part.data.decode("utf-8", "replace"))]


def _too_large() -> ErrorResponse:
    return detail(413, "The body is too large.")
