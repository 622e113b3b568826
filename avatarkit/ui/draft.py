"""Keep the half-filled form in a file, so that it survives a reload, a crash and a restart."""

from __future__ import annotations

import json
import re
import shutil
import uuid
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from avatarkit.files import replace_file, replacing_file
from avatarkit.models import PersonaCreate

FIELDS = tuple(name for name in PersonaCreate.model_fields if name != "extra")

CHUNK_BYTES = 1024 * 1024


def load(folder: Path) -> dict[str, str]:
    """Return the fields as they were typed; empty without a readable draft."""
    try:
        fields = dict(json.loads((folder / "draft.json").read_text(encoding="utf-8")))
    except (OSError, TypeError, ValueError):
        return {}
    return {name: str(fields[name]) for name in FIELDS if fields.get(name)}


def save(folder: Path, fields: dict[str, str]) -> None:
    """Write the fields, or delete the draft when all are empty."""
    path = folder / "draft.json"
    if not any(fields.values()):
        path.unlink(missing_ok=True)
        return
    replace_file(path, json.dumps(fields, ensure_ascii=False).encode(), private=True)


def save_upload(uploads: Path, name: str, content: BinaryIO) -> Path:
    """Copy an uploaded file to disk in chunks.

    Returns:
        Its path, in a new folder so that the file keeps its name.
    """
    safe = re.sub(r"[^\w.\- ]+", "_", Path(name).name)[-100:] or "video.mp4"
    folder = uploads / uuid.uuid4().hex[:8]
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / safe
    content.seek(0)
    with replacing_file(path, private=True) as temporary, temporary.open("wb") as copy:
        shutil.copyfileobj(content, copy, CHUNK_BYTES)
    return path


def delete_upload(uploads: Path, path: Path) -> None:
    """Delete an upload that is no longer needed; files outside ``uploads`` are kept."""
    if path.parent.parent == uploads:
        path.unlink(missing_ok=True)
        with suppress(OSError):
            path.parent.rmdir()
