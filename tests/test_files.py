"""A file is replaced in one step, or not at all."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from avatarkit.files import replace_file, replacing_file


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A file with the content "old", alone in its folder."""
    path = tmp_path / "a.txt"
    path.write_bytes(b"old")
    return path


def test_a_file_is_replaced_and_nothing_lies_beside_it(old: Path) -> None:
    """The bytes are the new ones exactly, and the temporary file is gone."""
    replace_file(old, b"new\r\n")
    assert old.read_bytes() == b"new\r\n"
    assert list(old.parent.iterdir()) == [old]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failure_leaves_the_old_file(
    old: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the flush or the renaming fails, the old file is whole and alone."""

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os if step == "fsync" else Path, step, fail)
    with pytest.raises(OSError, match="No space left"):
        replace_file(old, b"new")
    assert old.read_bytes() == b"old"
    assert list(old.parent.iterdir()) == [old]


def test_a_crash_in_between_leaves_the_old_file(old: Path) -> None:
    """Until the block ends, readers see the old content; an exception in it changes nothing."""

    def crash() -> None:
        with replacing_file(old) as temporary:
            temporary.write_bytes(b"half of the n")
            assert temporary.parent == old.parent
            assert old.read_bytes() == b"old"
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        crash()
    assert old.read_bytes() == b"old"
    assert list(old.parent.iterdir()) == [old]


def test_the_content_is_flushed_and_closed_before_the_renaming(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk has the content first, through a descriptor that Windows can flush and rename."""
    steps: list[str] = []
    descriptors: list[int] = []
    replace = Path.replace

    def fsync(descriptor: int) -> None:
        os.write(descriptor, b"")  # fails where it is open for reading only
        descriptors.append(descriptor)
        steps.append("fsync")

    def closed_replace(path: Path, target: Path) -> Path:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptors[-1])
        steps.append("replace")
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", closed_replace)
    replace_file(old, b"new")
    assert steps == ["fsync", "replace"]
    assert old.read_bytes() == b"new"


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX")
def test_a_private_file_is_its_owners_only(old: Path) -> None:
    """It has mode 0600 from its first byte, another one what the umask leaves."""
    old.chmod(0o644)
    with replacing_file(old, private=True) as temporary:
        assert mode_of(temporary) == 0o600
        temporary.write_bytes(b"secret")
    assert mode_of(old) == 0o600
    umask = os.umask(0o022)
    try:
        replace_file(old, b"new")
    finally:
        os.umask(umask)
    assert mode_of(old) == 0o644


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="needs symbolic links")
def test_a_symbolic_link_is_kept(old: Path) -> None:
    """The file that it points to is replaced."""
    link = old.with_name("link")
    link.symlink_to(old)
    replace_file(link, b"new")
    assert link.is_symlink()
    assert old.read_bytes() == b"new"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_written_to(tmp_path: Path) -> None:
    """It is not replaced by a file, and who reads it gets the content."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.append(pipe.read_bytes()))
    reader.start()
    replace_file(pipe, b"new")
    reader.join(10)
    assert received == [b"new"]
    assert pipe.is_fifo()


def test_a_name_of_255_bytes_is_replaced(tmp_path: Path) -> None:
    """The temporary file's name is short, however long the target's is."""
    path = tmp_path / ("字" * 85)
    replace_file(path, b"new")
    assert path.read_bytes() == b"new"


def test_a_folder_that_is_missing_is_an_os_error(tmp_path: Path) -> None:
    """Neither the folder nor a file is made, and the error names the file that was asked for."""
    with pytest.raises(OSError, match=r"missing.a\.txt"):
        replace_file(tmp_path / "missing" / "a.txt", b"new")
    assert not list(tmp_path.iterdir())
