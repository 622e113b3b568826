"""Tell which avatars need a person's attention, and why."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from avatarkit.text import stage_name

KINDS = ("failed", "rejected", "gone", "polls fail", "footage", "late")
"""What an avatar may need attention for, the gravest first."""

FAILED, REJECTED, GONE, FAILING, FOOTAGE, LATE = KINDS


def needs(personas: pd.DataFrame, arrivals: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return the avatars that need attention.

    An avatar that is not followed, or that was deleted from here, needs none; nor does a failed or
    rejected one that the API has deleted. So *Unfollow* or *Delete* is what settles a bad end.

    Args:
        personas: The frame of ``store.personas``.
        arrivals: The frame of ``eta.arrivals``; without it none is late.

    Returns:
        A row a persona that needs attention, in the order of ``personas``, all text: persona_id,
        kind (the first of ``KINDS`` that applies), reason (a sentence for each that applies). No
        reason depends on the present moment.
    """
    status, gone = personas["status"], personas["gone"]
    has_error, is_deleted = personas["last_error"].notna(), personas["deleted_at"].notna()
    # What was deleted from here has no error of a poll any more.
    counts = personas["followed"] & ~(is_deleted & ~has_error)
    late = [] if arrivals is None else arrivals.loc[arrivals["late"], "persona_id"]
    applies = {
        FAILED: (status == "failed") & ~is_deleted,
        REJECTED: (status == "rejected") & ~is_deleted,
        GONE: gone & ~(is_deleted & status.isin(["failed", "rejected"])),
        FAILING: has_error & ~gone,
        FOOTAGE: personas["footage_missing"].fillna(False) & ~gone,
        LATE: personas["persona_id"].isin(late) & ~gone,
    }
    flags = np.column_stack([(flag & counts).to_numpy(dtype=bool) for flag in applies.values()])
    is_needed = pd.Series(flags.any(axis=1), index=personas.index)
    rows = personas.loc[is_needed]
    kinds = [
        [kind for kind, applies in zip(KINDS, row, strict=True) if applies]
        for row in flags[is_needed.to_numpy()].tolist()
    ]
    columns = ["status", "failed_reason", "last_error", "deleted_at"]
    values = rows[columns].itertuples(index=False)
    reasons = [
        " ".join(_reason(kind, *row) for kind in row_kinds)
        for row_kinds, row in zip(kinds, values, strict=True)
    ]
    first = [row_kinds[0] for row_kinds in kinds]
    frame = {"persona_id": rows["persona_id"].to_numpy(), "kind": first, "reason": reasons}
    return pd.DataFrame(frame, dtype="str")


def _reason(kind: str, status: str, failed_reason: Any, last_error: Any, deleted_at: Any) -> str:
    if kind in (FAILED, REJECTED):
        text = "" if pd.isna(failed_reason) else str(failed_reason).strip()
        return f"{stage_name(status)}: {text or 'the API gives no reason.'}"
    if kind == GONE:
        if pd.notna(deleted_at):
            return "The API has deleted it."
        return "The API does not find it; it is polled daily."
    if kind == FAILING:
        return f"Its last poll failed: {last_error}"
    if kind == FOOTAGE:
        return "Its footage may be missing."
    return f"Late: longer in {stage_name(status)} than 95 % of all."
