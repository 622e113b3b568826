"""The files of a sandbox apart from its personas: keys, clock, and who serves it now."""

from __future__ import annotations

import json
import re
import secrets
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from avatarkit.errors import ConfigError
from avatarkit.files import replace_file

T = TypeVar("T")

SERVING = "sandbox.json"
LOCK = "sandbox.lock"
_KEYS = "keys.json"
_CLOCK = "clock.json"
_PORT = "port.json"


@dataclass(frozen=True)
class Keys:
    """The keys of the one account of a sandbox."""

    api_id: str
    api_key: str = field(repr=False)


@dataclass(frozen=True)
class Reading:
    """What another process needs to show the same time; see ``ScaledClock.reading``."""

    start: datetime
    started_s: float | None
    speed: float


@dataclass(frozen=True)
class Serving:
    """Who serves a folder now, and how to reach it."""

    instance: str
    pid: int
    url: str
    keys: Keys
    reading: Reading


class Folder:
    """The small files below ``path``; replaced in one step, readable by their owner only."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._ceiling: datetime | None = None

    def keys(self) -> Keys:
        """The keys of this folder, made when there are none yet. Raises ``ConfigError``."""
        path = self.path / _KEYS
        if path.exists():
            keys = _read(path, lambda value: Keys(value["api_id"], value["api_key"]))
            if keys is None or not (_is_key(keys.api_id) and _is_key(keys.api_key)):
                raise ConfigError(f"{path} cannot be read; delete it, and there will be new keys.")
            return keys
        keys = Keys(f"sandbox-{secrets.token_hex(6)}", secrets.token_hex(20))
        write_private(path, asdict(keys))
        return keys

    def clock(self) -> datetime | None:
        """The moment from which the clock has to go on, or None when there is none."""
        return _read(self.path / _CLOCK, lambda value: _aware(value["moment"]))

    def keep_clock(self, moment: datetime, *, exact: bool = False) -> None:
        """Write down that the clock must go on from ``moment``.

        Unless ``exact``, an earlier one than what is written already is not written.
        """
        with self._lock:
            if not exact and self._ceiling is not None and moment <= self._ceiling:
                return
            write_private(self.path / _CLOCK, {"moment": moment.isoformat()})
            self._ceiling = moment

    def port(self) -> int | None:
        """The port on which this folder was served last, or None."""
        return _read(self.path / _PORT, lambda value: int(value["port"]))

    def keep_port(self, port: int) -> None:
        """Write down on which port it is served."""
        write_private(self.path / _PORT, {"port": port})

    def announce(self, serving: Serving) -> None:
        """Say who serves this folder."""
        value = {
            "instance": serving.instance,
            "pid": serving.pid,
            "url": serving.url,
            **asdict(serving.keys),
            "clock": {
                "start": serving.reading.start.isoformat(),
                "started_s": serving.reading.started_s,
                "speed": serving.reading.speed,
            },
        }
        with self._lock:
            write_private(self.path / SERVING, value)

    def withdraw(self) -> None:
        """Say that nobody serves this folder any more."""
        with self._lock:
            (self.path / SERVING).unlink(missing_ok=True)


def read_serving(path: Path) -> Serving | None:
    """Who says to serve the folder whose ``sandbox.json`` this is, or None."""

    def read(value: Any) -> Serving:
        clock = value["clock"]
        started_s = clock["started_s"]
        return Serving(
            instance=str(value["instance"]),
            pid=int(value["pid"]),
            url=str(value["url"]),
            keys=Keys(str(value["api_id"]), str(value["api_key"])),
            reading=Reading(
                start=_aware(clock["start"]),
                started_s=None if started_s is None else float(started_s),
                speed=float(clock["speed"]),
            ),
        )

    return _read(path, read)


def write_private(path: Path, value: Any) -> None:
    """Write ``value`` as JSON: whole or not at all, readable by its owner only."""
    replace_file(path, json.dumps(value).encode(), private=True)


def _read(path: Path, read: Callable[[Any], T]) -> T | None:
    try:
        return read(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, TypeError, LookupError):
        return None


def _aware(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("A moment without an offset.")
    return moment


def _is_key(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9-]{8,100}", value) is not None
