"""Build the parts of a create as ``multipart/form-data``, with its files streamed from disk.

A server may take a body that broke off, without its last part. So the files go first and the
required fields last: a body that breaks off has no gender, and makes no avatar.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from avatarkit.errors import VideoUnreadable
from avatarkit.models import check_file

Progress = Callable[[int, int], None]
"""Called with the bytes read so far and the bytes of all files."""

Part = tuple[str, tuple[str | None, io.FileIO | str, str | None]]
"""The name of a field, then as httpx takes it: file name, content, and MIME type."""

# Gender last of all, as half of it is no gender, while half of a name is another name.
_LAST = ("creator_name", "gender")
_NAMES = {"lipsync_input": "footage", "consent_video": "consent"}
_QUICKTIME = (".mov", ".qt")


class _WatchedFile(io.FileIO):
    """A file that reports what is read, and raises ``VideoUnreadable`` if it changes meanwhile."""

    def __init__(self, field: str, path: Path) -> None:
        super().__init__(path, "rb")
        self.report: Callable[[int], None] = lambda _: None
        self._field, self._path = field, path
        self._opened = os.fstat(self.fileno())
        self.size = self._left = self._opened.st_size

    def read(self, size: int | None = -1, /) -> bytes:
        try:
            # No more than the length that was announced.
            data = super().read(self._left if not size or size < 0 else min(size, self._left))
            now = os.fstat(self.fileno())
        except OSError as error:
            raise self._unreadable(f"cannot be read to its end ({error.strerror})") from None
        self._left -= len(data or b"")
        self.report(len(data or b""))
        # Before the parts that follow: without them nothing is created.
        if not data and (
            self._left or (now.st_size, now.st_mtime_ns) != (self.size, self._opened.st_mtime_ns)
        ):
            raise self._unreadable("changed while it was sent, so nothing was created")
        return data or b""

    def _unreadable(self, fault: str) -> VideoUnreadable:
        message = f"{self._field}: {_shown(self._path)} {fault}; send it again when it is complete."
        return VideoUnreadable(message, path=self._path)


def open_parts(
    fields: dict[str, Any], paths: dict[str, Path], stack: ExitStack, progress: Progress | None
) -> list[Part]:
    """Open the files of a create until ``stack`` is closed, and return all parts in order.

    Args:
        fields: The value of each text field; of a list each item becomes a part.
        paths: The path of each field's file. The name of the file stays here: it is sent as
            ``footage.mp4`` or ``consent.mov``.
        stack: Closes the files.
        progress: Called as ``progress(read_bytes, total_bytes)`` in the thread that sends them.

    Returns:
        The parts as httpx takes them. Reading a file raises ``VideoUnreadable`` if it has changed
        since it was opened.

    Raises:
        VideoUnreadable: A file is missing, empty or not readable.
    """
    opened = {field: _open(field, path, stack) for field, path in paths.items()}
    if progress is not None:
        total = sum(file.size for file in opened.values())
        sent = 0

        def report(count: int) -> None:
            nonlocal sent
            sent += count
            progress(sent, total)

        for file in opened.values():
            file.report = report
    parts: list[Part] = []
    for field, file in opened.items():
        is_quicktime = paths[field].suffix.lower() in _QUICKTIME
        name = f"{_NAMES[field]}.{'mov' if is_quicktime else 'mp4'}"
        parts.append((field, (name, file, "video/quicktime" if is_quicktime else "video/mp4")))
    for field in sorted(fields, key=lambda field: _LAST.index(field) if field in _LAST else -1):
        value = fields[field]
        texts = map(_text, value if isinstance(value, list) else [value])
        parts += [(field, (None, text, None)) for text in texts]
    return parts


def _open(field: str, path: Path, stack: ExitStack) -> _WatchedFile:
    try:
        check_file(path)
        return stack.enter_context(_WatchedFile(field, path))
    except ValueError as error:
        raise VideoUnreadable(f"{field}: {error}", path=path) from None
    except OSError as error:
        message = f"{field}: {_shown(path)} cannot be read ({error.strerror}); check the file."
        raise VideoUnreadable(message, path=path) from None


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)


def _shown(path: Path) -> str:
    # The names on a file system need not be UTF-8.
    return str(path).encode("utf-8", "replace").decode("utf-8")
