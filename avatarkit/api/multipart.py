"""Open the video files of a create for streaming as ``multipart/form-data``."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from avatarkit.errors import VideoUnreadable
from avatarkit.models import check_file

Progress = Callable[[int, int], None]
"""Called with the bytes read so far and the bytes of all files."""

_MIME = {".mp4": "video/mp4", ".m4v": "video/mp4", ".mov": "video/quicktime"}


class _CountedFile(io.FileIO):
    """A file that reports the size of each piece read."""

    report: Callable[[int], None] | None = None

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(-1 if size is None else size) or b""
        if self.report is not None:
            self.report(len(data))
        return data


def open_files(
    paths: dict[str, Path], stack: ExitStack, progress: Progress | None
) -> dict[str, tuple[str, io.FileIO, str]]:
    """Open the files of a create until ``stack`` is closed.

    Args:
        paths: The path of each field's file.
        stack: Closes the files.
        progress: Called as ``progress(read_bytes, total_bytes)`` in the thread that sends them.

    Returns:
        (name, file, MIME type) by field, as httpx takes them.

    Raises:
        VideoUnreadable: A file is missing, empty or not readable.
    """
    opened = {field: _open(field, path, stack) for field, path in paths.items()}
    if progress is not None:
        total = sum(os.fstat(file.fileno()).st_size for file in opened.values())
        sent = 0

        def report(count: int) -> None:
            nonlocal sent
            sent += count
            progress(sent, total)

        for file in opened.values():
            file.report = report
    return {
        field: (_file_name(paths[field]), file, _MIME.get(paths[field].suffix.lower(), "video/mp4"))
        for field, file in opened.items()
    }


def _open(field: str, path: Path, stack: ExitStack) -> _CountedFile:
    try:
        check_file(path)
        return stack.enter_context(_CountedFile(path, "rb"))
    except ValueError as error:
        raise VideoUnreadable(f"{field}: {error}", path=path) from None
    except OSError as error:
        message = f"{field}: {path} cannot be read ({error.strerror}); check the file."
        raise VideoUnreadable(message, path=path) from None


def _file_name(path: Path) -> str:
    # A form holds UTF-8; the names on a file system need not be.
    return path.name.encode("utf-8", "replace").decode("utf-8")
