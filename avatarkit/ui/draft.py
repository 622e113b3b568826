"""The half-filled form, kept in a file so that it survives a reload, a crash and a restart."""

from __future__ import annotations

import json
import re
import shutil
import uuid
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from avatarkit.files import replace_file, replacing_file

FIELDS = (
    "creator_name",
    "gender",
    "video_scene",
    "keywords",
    "labels",
    "webhook_url",
    "lipsync_input",
    "consent_video",
)
CHUNK_BYTES = 1024 * 1024


def load(folder: Path) -> dict[str, str]:
    """The fields as they were typed; empty when there is no draft or it cannot be read."""
    try:
        kept = json.loads((folder / "draft.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(kept, dict):
        return {}
    return {name: str(kept[name]) for name in FIELDS if kept.get(name)}


def save(folder: Path, fields: dict[str, str]) -> None:
    """Keep the fields, or forget the draft when there is nothing in them."""
    path = folder / "draft.json"
    if not any(fields.values()):
        path.unlink(missing_ok=True)
        return
    replace_file(path, json.dumps(fields, ensure_ascii=False).encode(), private=True)


def keep_upload(uploads: Path, name: str, content: BinaryIO) -> Path:
    """Copy an uploaded file to disk in chunks; its path, which ends in its own name."""
    safe = re.sub(r"[^\w.\- ]+", "_", Path(name).name)[-100:] or "video.mp4"
    # A folder of its own, so that the file keeps the name that the person gave it.
    folder = uploads / uuid.uuid4().hex[:8]
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / safe
    content.seek(0)
    with replacing_file(path, private=True) as temporary, temporary.open("wb") as kept:
        shutil.copyfileobj(content, kept, CHUNK_BYTES)
    return path


def typed_path(given: str) -> Path:
    """The path that was typed, ~ read as home where there is one."""
    with suppress(RuntimeError):
        return Path(given).expanduser()
    return Path(given)


def forget_upload(uploads: Path, path: Path) -> None:
    """Delete a kept upload that is needed no more; a file that is none stays where it is."""
    if path.parent.parent == uploads:
        path.unlink(missing_ok=True)
        with suppress(OSError):
            path.parent.rmdir()
