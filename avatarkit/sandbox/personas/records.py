"""Keep the personas of a sandbox in memory, and each in a folder on disk."""

from __future__ import annotations

import logging
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, TypeAdapter, ValidationError
from pydantic_core import to_json

from avatarkit.models import error_sentence
from avatarkit.sandbox.personas.lifecycle import Script
from avatarkit.sandbox.state.files import UtcDatetime

logger = logging.getLogger("avatarkit")

_FORMAT = 1
_RECORD = "persona.json"


def _known_format(value: int) -> int:
    if value != _FORMAT:
        raise ValueError("a newer version of avatarkit wrote it")
    return value


@dataclass(frozen=True, kw_only=True)
class Create:
    """The fields of a valid create.

    ``videos`` maps a field to the name of a file in the persona's folder, or to a URL.
    """

    gender: str
    creator_name: str
    video_scene: str | None
    keywords: str | None
    labels: tuple[str, ...]
    webhook_url: str | None
    videos: Mapping[str, str]
    gdown_url: str | None = None


@dataclass(frozen=True, kw_only=True)
class Record(Create):
    """A persona as it was created; ``number`` is its place in the order of creation."""

    id: str
    number: int
    created_at: UtcDatetime
    script: Script
    format: Annotated[int, AfterValidator(_known_format)] = _FORMAT


class Records:
    """The personas below ``folder``, read from disk at the start.

    A persona is assembled in a folder below ``incoming`` and moved below ``personas`` by one
    rename, so that after a kill it is complete or does not exist. Only ``add`` and ``remove``
    change what is in memory; they are not thread-safe.
    """

    def __init__(self, folder: Path) -> None:
        self._personas = folder / "personas"
        self._incoming = folder / "incoming"
        # What is left in there never became a persona.
        shutil.rmtree(self._incoming, ignore_errors=True)
        self._incoming.mkdir(mode=0o700, exist_ok=True)
        self._personas.mkdir(mode=0o700, exist_ok=True)
        adapter, records = TypeAdapter(Record), []
        for folder in self._personas.iterdir():
            try:
                record = adapter.validate_json((folder / _RECORD).read_bytes())
                if record.id != folder.name:
                    raise ValueError("its id is not the name of its folder")
            except (OSError, ValueError) as error:
                fault = error_sentence(error) if isinstance(error, ValidationError) else f"{error}."
                logger.warning("The sandbox leaves %s aside: %s", folder, fault)
            else:
                records.append(record)
        records.sort(key=lambda record: record.number)
        self._by_id = {record.id: record for record in records}

    def __len__(self) -> int:
        return len(self._by_id)

    def get(self, persona_id: str) -> Record | None:
        """Return the persona with that id, or None."""
        return self._by_id.get(persona_id)

    def newest_first(self) -> list[Record]:
        """Return all personas, newest first."""
        return list(reversed(self._by_id.values()))

    def next_number(self) -> int:
        """Return the number of the next persona."""
        return max((record.number for record in self._by_id.values()), default=0) + 1

    def folder_of(self, persona_id: str) -> Path:
        """Return the folder with the files of that persona."""
        return self._personas / persona_id

    @contextmanager
    def incoming_folder(self) -> Iterator[Path]:
        """Make a folder for an upload; it is deleted at the end unless ``add`` has moved it."""
        folder = self._incoming / secrets.token_hex(8)
        folder.mkdir(mode=0o700)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def add(self, record: Record, folder: Path) -> None:
        """Add a persona with the files in ``folder``, which was made by ``incoming_folder``."""
        (folder / _RECORD).write_bytes(to_json(record))
        folder.rename(self.folder_of(record.id))
        self._by_id[record.id] = record

    def remove(self, persona_id: str) -> Path:
        """Remove that persona; return its folder, which the caller deletes."""
        del self._by_id[persona_id]
        deleted = self._incoming / f"deleted-{secrets.token_hex(8)}"
        self.folder_of(persona_id).rename(deleted)
        return deleted
