"""Tell whether the API answers with these keys, before anybody uploads anything."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime

from avatarkit.errors import APIError

TRY_EVERY_S = 3_600.0
TRY_AGAIN_EVERY_S = 60.0
"""Wall seconds between two trials: while the keys work, and while they or the API do not."""


@dataclass(frozen=True)
class Access:
    """The last trial of the keys, which reads the quota.

    ``error`` is None if the API answered, or was not called yet. ``tried_at`` is on the session's
    clock, and ``tried_s`` in its monotonic wall seconds.
    """

    error: APIError | None = None
    tried_at: datetime | None = None
    tried_s: float = -math.inf

    def is_due(self, now_s: float) -> bool:
        """Return whether it is time for the next trial, at these monotonic wall seconds."""
        every_s = TRY_EVERY_S if self.error is None else TRY_AGAIN_EVERY_S
        return now_s - self.tried_s >= every_s
