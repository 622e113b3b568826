"""Attach to a sandbox that another process serves."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

import psutil

from avatarkit.sandbox.state.clocks import FollowedClock
from avatarkit.sandbox.state.files import SERVING, read_serving

_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class Attached:
    """A sandbox that another process serves; ``stop()`` leaves it running."""

    url: str
    api_id: str
    api_key: str = field(repr=False)
    clock: FollowedClock
    folder: Path

    @property
    def is_served(self) -> bool:
        """Whether the process that serves it still runs; read often, so no request is sent."""
        serving = read_serving(self.folder / SERVING)
        return serving is not None and serving.url == self.url and psutil.pid_exists(serving.pid)

    def stop(self) -> None:
        """Do nothing: the process that started the sandbox stops it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def attach(folder: Path) -> Attached | None:
    """Return the sandbox that is served from ``folder``, or None if none answers."""
    path = folder / SERVING
    serving = read_serving(path)
    if serving is None or instance_at(serving.url) != serving.instance:
        return None
    clock = FollowedClock(path, serving.clock)
    return Attached(serving.url, serving.api_id, serving.api_key, clock, folder)


def instance_at(url: str) -> str | None:
    """Return the instance of the sandbox that answers at ``url``, or None."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        with closing(HTTPConnection(host, parts.port, timeout=_TIMEOUT_S)) as connection:
            connection.request("GET", "/_sandbox/")
            value = json.loads(connection.getresponse().read(65_536))
    except (OSError, ValueError, HTTPException):
        return None
    return value.get("instance") if isinstance(value, dict) else None
