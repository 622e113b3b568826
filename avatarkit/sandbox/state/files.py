"""Keep the files of a sandbox that are not of personas: keys, clock, port and announcement."""

from __future__ import annotations

import secrets
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, AwareDatetime, StringConstraints, TypeAdapter
from pydantic_core import to_json

from avatarkit.errors import ConfigError
from avatarkit.files import replace_file

T = TypeVar("T")

UtcDatetime = Annotated[AwareDatetime, AfterValidator(lambda moment: moment.astimezone(UTC))]
"""A moment in a file: stored with an offset, converted to UTC when it is read."""

SERVING = "sandbox.json"
"""The file that announces the process that serves the folder."""

LOCK = "sandbox.lock"
"""The file that the serving process locks."""

_KEYS = "keys.json"
_CLOCK = "clock.json"
_PORT = "port.json"

_Key = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]{8,100}$")]


@dataclass(frozen=True, kw_only=True)
class Keys:
    """The keys of the one account of a sandbox."""

    api_id: _Key
    api_key: _Key = field(repr=False)


@dataclass(frozen=True)
class Reading:
    """The state of a clock, from which another process computes the same time.

    See ``ScaledClock.reading``.
    """

    start: UtcDatetime
    started_s: float | None
    speed: float


@dataclass(frozen=True, kw_only=True)
class Serving(Keys):
    """The process that serves a folder, and how to reach it."""

    instance: str
    pid: int
    url: str
    clock: Reading


class Folder:
    """The small files in ``path``; replaced in one step, readable by their owner only."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._ceiling: datetime | None = None

    def keys(self) -> Keys:
        """Return the keys of this folder; make them if there are none.

        Raises:
            ConfigError: The file cannot be read.
        """
        path = self.path / _KEYS
        if not path.exists():
            api_id, api_key = f"sandbox-{secrets.token_hex(6)}", secrets.token_hex(20)
            write_private(path, Keys(api_id=api_id, api_key=api_key))
        keys = read_json(path, TypeAdapter(Keys))
        if keys is None:
            raise ConfigError(f"{path} cannot be read; delete it, and there will be new keys.")
        return keys

    def clock(self) -> datetime | None:
        """Return the moment from which the clock continues, or None."""
        kept = read_json(self.path / _CLOCK, TypeAdapter(dict[str, UtcDatetime])) or {}
        return kept.get("moment")

    def keep_clock(self, moment: datetime, *, exact: bool = False) -> None:
        """Write the moment from which the clock continues; unless ``exact``, only a later one."""
        with self._lock:
            if not exact and self._ceiling is not None and moment <= self._ceiling:
                return
            write_private(self.path / _CLOCK, {"moment": moment})
            self._ceiling = moment

    def port(self) -> int | None:
        """Return the port on which this folder was served last, or None."""
        return (read_json(self.path / _PORT, TypeAdapter(dict[str, int])) or {}).get("port")

    def keep_port(self, port: int) -> None:
        """Write the port on which this folder is served."""
        write_private(self.path / _PORT, {"port": port})

    def announce(self, serving: Serving) -> None:
        """Announce the process that serves this folder."""
        with self._lock:
            write_private(self.path / SERVING, serving)

    def withdraw(self) -> None:
        """Delete the announcement."""
        with self._lock:
            (self.path / SERVING).unlink(missing_ok=True)


def read_serving(path: Path) -> Serving | None:
    """Return the announcement in the file ``path``, or None."""
    return read_json(path, TypeAdapter(Serving))


def read_json(path: Path, adapter: TypeAdapter[T]) -> T | None:
    """Return the value in the file ``path``, or None if it cannot be read or is of another type."""
    try:
        return adapter.validate_json(path.read_bytes())
    except (OSError, ValueError):
        return None


def write_private(path: Path, value: Any) -> None:
    """Write ``value`` as JSON in one step, readable by its owner only."""
    replace_file(path, to_json(value), private=True)
