"""The personas of a sandbox: in memory for reading, a folder each on disk for restarts."""

from __future__ import annotations

import json
import logging
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from avatarkit.sandbox.personas.lifecycle import Script

logger = logging.getLogger("avatarkit")

_FORMAT = 1
_RECORD = "persona.json"


@dataclass(frozen=True)
class Record:
    """A persona as it was created. Its status is not here: ``Lives`` computes it.

    ``number`` counts the personas of the folder, ``videos`` maps the field to the name of a file
    in the persona's folder or to a URL.
    """

    id: str
    number: int
    created_at: datetime
    gender: str
    creator_name: str
    video_scene: str | None
    keywords: str | None
    labels: tuple[str, ...]
    webhook_url: str | None
    videos: Mapping[str, str]
    script: Script

    def to_json(self) -> dict[str, Any]:
        """The record as JSON values; ``from_json`` reads them."""
        return {
            **vars(self),
            "format": _FORMAT,
            "created_at": self.created_at.isoformat(),
            "labels": list(self.labels),
            "videos": dict(self.videos),
            "script": self.script.to_json(),
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Record:
        """The record that ``to_json`` wrote. Raises ``ValueError`` or the like otherwise."""
        if value.get("format") != _FORMAT:
            raise ValueError("a newer version of avatarkit wrote it")
        created_at = datetime.fromisoformat(value["created_at"])
        if created_at.tzinfo is None:
            raise ValueError("created_at has no offset")
        read = {name: value[name] for name in cls.__dataclass_fields__}
        return cls(
            **read
            | {
                "created_at": created_at,
                "labels": tuple(value["labels"]),
                "script": Script.from_json(value["script"]),
            }
        )


class Records:
    """The personas below ``folder``; a mapping by id for reading.

    A persona is put together in a folder of its own below ``incoming`` and appears below
    ``personas`` by one rename, so that whatever ends the process leaves it whole or not at all.
    Only ``add`` and ``remove`` change what is in memory, and only they are not thread-safe.
    """

    def __init__(self, folder: Path) -> None:
        self._settled = folder / "personas"
        self._incoming = folder / "incoming"
        self._by_id: dict[str, Record] = {}

    def load(self) -> None:
        """Read all that is on disk, and sweep away what never became a persona."""
        shutil.rmtree(self._incoming, ignore_errors=True)
        self._incoming.mkdir(mode=0o700, exist_ok=True)
        self._settled.mkdir(mode=0o700, exist_ok=True)
        found = []
        for place in self._settled.iterdir():
            try:
                record = Record.from_json(json.loads((place / _RECORD).read_text("utf-8")))
                if record.id != place.name:
                    raise ValueError("its id is not the name of its folder")
            except (OSError, ValueError, TypeError, LookupError, AttributeError) as error:
                logger.warning("The sandbox leaves %s aside: %s.", place, error)
            else:
                found.append(record)
        self._by_id = {r.id: r for r in sorted(found, key=lambda record: record.number)}

    def __len__(self) -> int:
        return len(self._by_id)

    def get(self, persona_id: str) -> Record | None:
        """The persona of that id, or None."""
        return self._by_id.get(persona_id)

    def newest_first(self) -> list[Record]:
        """All personas, newest first."""
        return list(reversed(self._by_id.values()))

    def next_number(self) -> int:
        """The number of the next persona."""
        return max((record.number for record in self._by_id.values()), default=0) + 1

    def place(self, persona_id: str) -> Path:
        """The folder with the files of that persona."""
        return self._settled / persona_id

    @contextmanager
    def incoming(self) -> Iterator[Path]:
        """A new folder for what is coming in; what is left of it afterwards is removed."""
        place = self._incoming / secrets.token_hex(8)
        place.mkdir(mode=0o700)
        try:
            yield place
        finally:
            shutil.rmtree(place, ignore_errors=True)

    def settle(self, record: Record, place: Path) -> None:
        """Make what lies in ``place``, an ``incoming`` folder, the folder of that persona."""
        text = json.dumps(record.to_json(), ensure_ascii=False)
        (place / _RECORD).write_text(text, "utf-8")
        place.rename(self.place(record.id))

    def add(self, record: Record) -> None:
        """Show a settled persona."""
        self._by_id[record.id] = record

    def remove(self, persona_id: str) -> Path:
        """Forget that persona; the folder that is left to ``shutil.rmtree``."""
        del self._by_id[persona_id]
        doomed = self._incoming / f"deleted-{secrets.token_hex(8)}"
        self.place(persona_id).rename(doomed)
        return doomed
