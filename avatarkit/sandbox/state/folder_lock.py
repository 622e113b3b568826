"""Open the folder of a sandbox for one process at a time."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path

from filelock import FileLock, Timeout

from avatarkit.errors import ConfigError
from avatarkit.sandbox.state.files import LOCK


class FolderServed(ConfigError):
    """Another sandbox serves this folder."""


def open_folder(path: Path | None, stack: ExitStack) -> Path:
    """Make and lock the folder ``path`` until ``stack`` is closed; None: a temporary one.

    Raises:
        FolderServed: Another sandbox has locked it.
        ConfigError: It cannot be used.
    """
    if path is None:
        temporary = tempfile.TemporaryDirectory(
            prefix="avatarkit-sandbox-", ignore_cleanup_errors=True
        )
        return Path(stack.enter_context(temporary))
    # Not bound to a thread, as another thread may stop the sandbox.
    lock = FileLock(path / LOCK, timeout=0, thread_local=False, mode=0o600)
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock.acquire()
    except Timeout:
        raise FolderServed(
            f"Another process serves the sandbox in {path}; use Sandbox.attach with that "
            "folder, stop the other process, or give another folder."
        ) from None
    except OSError as error:
        raise unusable(path, error) from None
    stack.callback(lock.release)
    return path


def unusable(path: Path, error: OSError) -> ConfigError:
    """Return the error for a folder that cannot be used."""
    text = f"The sandbox cannot use the folder {path} ({error.strerror}); choose another one."
    return ConfigError(text)
