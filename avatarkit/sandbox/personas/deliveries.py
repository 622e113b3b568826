"""Log every attempt to deliver a webhook."""

from __future__ import annotations

import json
import threading
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from avatarkit.sandbox.state.files import UtcDatetime

Result = Literal["delivered", "failed", "not sent"]


@dataclass(frozen=True)
class Delivery:
    """An attempt to send the terminal status of a persona to ``url``.

    ``attempt`` counts from 1; ``at`` is on the sandbox's clock. ``result`` is ``delivered`` for a
    2xx, ``failed`` for any other answer (``status_code``) or none (``error``), and ``not sent`` for
    addresses that are not on loopback.
    """

    persona_id: str
    url: str
    status: str
    attempt: int
    at: UtcDatetime
    result: Result
    status_code: int | None = None
    error: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the attempt as JSON values."""
        return {**asdict(self), "at": self.at.isoformat()}


class DeliveryLog:
    """All attempts, oldest first, in the file ``path``; thread-safe."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._all: list[Delivery] = []
        self._by_persona: dict[str, list[Delivery]] = {}
        adapter = TypeAdapter(Delivery)
        with suppress(OSError):
            for line in self._path.read_bytes().splitlines():
                with suppress(ValidationError):  # a line that a kill cut off
                    self._append(adapter.validate_json(line))

    def add(self, delivery: Delivery) -> None:
        """Log an attempt.

        Raises:
            OSError: The file cannot be written; the attempt is kept in memory only.
        """
        with self._lock:
            self._append(delivery)
            with self._path.open("a", encoding="utf-8") as file:
                # A line break first, so that a line that was cut off does not spoil the next one.
                file.write(f"\n{json.dumps(delivery.to_json())}")

    def all(self) -> list[Delivery]:
        """Return all attempts, oldest first."""
        with self._lock:
            return list(self._all)

    def of(self, persona_id: str) -> list[Delivery]:
        """Return the attempts for that persona, oldest first."""
        with self._lock:
            return list(self._by_persona.get(persona_id, ()))

    def _append(self, delivery: Delivery) -> None:
        self._all.append(delivery)
        self._by_persona.setdefault(delivery.persona_id, []).append(delivery)
