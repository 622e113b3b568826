"""Compute how much of each persona's life the polls have covered."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pandas as pd

from avatarkit.history.frames import hours, require_aware, require_columns
from avatarkit.history.runs import gone_now
from avatarkit.history.stages import BOUNDS, NEVER_SEEN

__all__ = ["certainty", "sentence"]

_COLUMNS = ("persona_id", "visit_no", "state", *BOUNDS)


def certainty(
    visits: pd.DataFrame, *, now: datetime, personas: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Return the share of each persona's life in which its stage is known for certain.

    Args:
        visits: The frame of ``stages.visits``.
        now: The moment that was given to ``stages.visits``.
        personas: ``store.personas()``. There the life of a persona that is ``gone`` ends at its
            last poll.

    Returns:
        A row a persona, ordered by ``persona_id``:

        - ``persona_id``: text.
        - ``lived_h``: float64 hours from the lower bound of its first visit (its creation, else
          the first poll) to the first poll after its last visit, or to ``now`` while it runs.
        - ``certain_h``: float64 hours of these between the first and the last poll of one visit,
          assuming that no other stage came and went unseen between the two.
        - ``share``: float64, ``certain_h`` of ``lived_h``; NaN where ``lived_h`` is 0.

    Raises:
        ValueError: ``now`` has no time zone, or a column is missing.
    """
    require_aware(now)
    require_columns(visits, _COLUMNS, "visits", "what stages.visits() returned")
    seen = visits["state"] != NEVER_SEEN
    gone = gone_now(pd.Index(visits["persona_id"]), personas)
    certain = visits["left_after"] - visits["entered_before"]
    until = visits["left_after"].where(gone, pd.Timestamp(now))
    rows = pd.DataFrame(
        {
            "persona_id": visits["persona_id"],
            "begin": visits["entered_after"].fillna(visits["entered_before"]),
            "end": visits["left_before"].fillna(until),
            "certain_h": np.maximum(hours(certain.where(seen)), 0.0),
        }
    )
    lives = rows.groupby("persona_id").agg({"begin": "min", "end": "max", "certain_h": "sum"})
    frame = lives[["certain_h"]].astype("float64")
    frame.insert(0, "lived_h", np.maximum(hours(lives["end"] - lives["begin"]), 0.0))
    frame["share"] = (frame["certain_h"] / frame["lived_h"]).where(frame["lived_h"] > 0)
    return frame.reset_index().astype({"persona_id": "str"})


def sentence(certainty: pd.DataFrame) -> str:
    """Summarize the frame of ``certainty`` over all personas in one sentence.

    Args:
        certainty: The frame of ``certainty``.
    """
    lived = certainty["lived_h"].sum()
    if not lived:
        return "Nothing has been followed for any time yet."
    share = certainty["certain_h"].sum() / lived
    count = len(certainty)
    avatars = "1 avatar" if count == 1 else f"{count:,} avatars"
    half = f"; half of them above {certainty['share'].median():.0%}" if count > 1 else ""
    return (
        f"The log is certain of the stage for {share:.0%} of the {lived:,.0f} hours that "
        f"{avatars} lived{half}."
    )
