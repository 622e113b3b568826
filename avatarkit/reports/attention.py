"""Tell which avatars need a person's attention."""

from __future__ import annotations

import pandas as pd


def count(personas: pd.DataFrame, arrivals: pd.DataFrame | None, open_submissions: int) -> int:
    """Count what needs attention.

    Args:
        personas: The frame of ``store.personas()``.
        arrivals: The frame of ``eta.arrivals``; None while it is not known.
        open_submissions: How many submissions are uncertain.

    Returns:
        The number of followed avatars that failed, were rejected, are late, are gone, whose polls
        fail or whose footage may be missing, and of uncertain submissions.
    """
    needs = personas["status"].isin(["failed", "rejected"]) | personas["gone"]
    needs |= personas["last_error"].notna() | personas["footage_missing"].fillna(False).astype(bool)
    if arrivals is not None:
        late = arrivals.loc[arrivals["late"], "persona_id"]
        needs |= personas["persona_id"].isin(late)
    needs &= personas["followed"] & personas["deleted_at"].isna()
    return int(needs.sum()) + open_submissions
