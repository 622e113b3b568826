"""Tell whether the API answers with these keys, before anything is uploaded."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime

from avatarkit.errors import APIError

TRY_EVERY_S = 3_600.0
TRY_AGAIN_S = 60.0
"""Wall seconds to the next trial: after one that worked, and after the first that did not; twice as
long after each further one, up to ``TRY_EVERY_S``."""


@dataclass(frozen=True)
class Access:
    """The last trial of the keys, which reads the quota.

    ``error`` is None if the API answered, or was not called yet. ``tried_at`` is on the session's
    clock, and ``tried_s`` in its monotonic wall seconds. ``failures`` counts the trials in a row
    that did not work.
    """

    error: APIError | None = None
    tried_at: datetime | None = None
    tried_s: float = -math.inf
    failures: int = 0

    def is_due(self, now_s: float) -> bool:
        """Return whether it is time for the next trial, at these monotonic wall seconds."""
        every_s = TRY_EVERY_S
        if self.error is not None:
            every_s = min(TRY_AGAIN_S * 2.0 ** min(max(self.failures - 1, 0), 20), TRY_EVERY_S)
        return now_s - self.tried_s >= every_s
