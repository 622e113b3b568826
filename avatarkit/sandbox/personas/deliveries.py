"""The log of webhooks: every try, in order, kept for the next start."""

from __future__ import annotations

import json
import threading
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

Result = Literal["delivered", "failed", "not sent"]


@dataclass(frozen=True)
class Delivery:
    """One try to tell ``url`` about the end of a persona.

    ``attempt`` counts from 1, ``at`` is on the sandbox's clock. ``result`` is ``delivered`` for a
    2xx, ``failed`` for every other answer (``status_code``) or none (``error`` says why), and
    ``not sent`` for addresses that are not on loopback.
    """

    persona_id: str
    url: str
    status: str
    attempt: int
    at: datetime
    result: Result
    status_code: int | None = None
    error: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The try as JSON values."""
        return {**asdict(self), "at": self.at.isoformat()}


class DeliveryLog:
    """All tries, oldest first, in the file ``path``; thread-safe."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._all: list[Delivery] = []
        self._by_persona: dict[str, list[Delivery]] = {}

    def load(self) -> None:
        """Read what is in the file; a line that a kill cut off is left out."""
        try:
            lines = self._path.read_text("utf-8").splitlines()
        except OSError:
            return
        for line in lines:
            try:
                value = json.loads(line)
                moment = datetime.fromisoformat(value["at"])
                self._note(Delivery(**{**value, "at": moment}))
            except (ValueError, TypeError, LookupError):
                continue

    def add(self, delivery: Delivery) -> None:
        """Write down a try. Raises ``OSError`` when it can only be kept in memory."""
        with self._lock:
            self._note(delivery)
            with self._path.open("a", encoding="utf-8") as file:
                # A line break first, so that a line that was cut off spoils no other.
                file.write(f"\n{json.dumps(delivery.to_json())}")

    def all(self) -> list[Delivery]:
        """Every try, oldest first."""
        with self._lock:
            return list(self._all)

    def of(self, persona_id: str) -> list[Delivery]:
        """The tries for that persona, oldest first."""
        with self._lock:
            return list(self._by_persona.get(persona_id, ()))

    def _note(self, delivery: Delivery) -> None:
        self._all.append(delivery)
        self._by_persona.setdefault(delivery.persona_id, []).append(delivery)
