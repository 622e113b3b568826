"""Replace a file in one step: it holds the old content or the new one, never a part."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def replace_file(path: Path, data: bytes, *, private: bool = False) -> None:
    """Replace the content of a file, or create it.

    Args:
        path: The file. A symbolic link is followed and kept; a pipe or a device is written to.
        data: The new content.
        private: Give the file mode 0600 instead of what the umask leaves.

    Raises:
        OSError: It cannot be written; the old file is as it was.
    """
    with replacing_file(path, private=private) as temporary:
        temporary.write_bytes(data)


@contextmanager
def replacing_file(path: Path, *, private: bool = False) -> Iterator[Path]:
    """Yield the path of a temporary file, which replaces ``path`` when the block ends.

    The temporary file lies in the same folder, is flushed to disk before it is renamed, and is
    deleted when the block or the renaming fails. For a pipe or a device, ``path`` itself is
    yielded.

    Args:
        path: The file to replace or to create.
        private: Give the file mode 0600 instead of what the umask leaves.

    Raises:
        OSError: It cannot be written; the old file is as it was.
    """
    target = path.resolve()
    if target.exists() and not target.is_file():
        yield target
        return
    temporary = target.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        temporary.touch(0o600 if private else 0o666, exist_ok=False)
    except OSError as error:
        error.filename = str(target)  # what the caller knows
        raise
    try:
        yield temporary
        # Windows flushes only what is open for writing, and renames only what is closed.
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
