"""What needs attention: each reason, in words, and what settles it."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from avatarkit.reports import attention
from avatarkit.store.frames import PERSONAS

MOMENT = pd.Timestamp("2026-01-05 09:00", tz="UTC")


def personas(*rows: dict[str, Any]) -> pd.DataFrame:
    """Return personas of ``store.personas`` that are in review, other than the rows say."""
    plain = {"status": "reviewing", "gone": False, "followed": True}
    ids = [{"persona_id": f"p{place}"} for place in range(len(rows))]
    records = [{**one, **plain, **row} for one, row in zip(ids, rows, strict=True)]
    return pd.DataFrame(records, columns=list(PERSONAS.dtypes)).astype(PERSONAS.dtypes)


@pytest.mark.parametrize(
    ("row", "kind", "reason"),
    [
        ({"status": "failed", "failed_reason": "No face."}, "failed", "Failed: No face."),
        ({"status": "failed", "failed_reason": " "}, "failed", "Failed: the API gives no reason."),
        ({"status": "rejected"}, "rejected", "Rejected: the API gives no reason."),
        (
            {"gone": True, "last_error": "404"},
            "gone",
            "The API does not find it; it is polled daily.",
        ),
        (
            {"status": "done", "gone": True, "last_error": "404", "deleted_at": MOMENT},
            "gone",
            "The API has deleted it.",
        ),
        ({"last_error": "It is down."}, "polls fail", "Its last poll failed: It is down."),
        ({"footage_missing": True}, "footage", "Its footage may be missing."),
    ],
)
def test_each_reason_is_a_sentence(row: dict[str, Any], kind: str, reason: str) -> None:
    """A persona that needs attention is listed with the reason."""
    [found] = attention.needs(personas(row, {})).to_dict("records")
    assert found == {"persona_id": "p0", "kind": kind, "reason": reason}


def test_several_reasons_are_all_said_the_gravest_first() -> None:
    """The kind is that of the first one."""
    frame = personas({"last_error": "It is down.", "footage_missing": True})
    late = pd.DataFrame({"persona_id": ["p0"], "late": [True]})
    [found] = attention.needs(frame, late).to_dict("records")
    assert found["kind"] == "polls fail"
    assert found["reason"] == (
        "Its last poll failed: It is down. Its footage may be missing. "
        "Late: longer in Reviewing than 95 % of all."
    )


@pytest.mark.parametrize(
    "row",
    [
        {},
        {"status": "done"},
        {"status": "failed", "followed": False},
        {"gone": True, "deleted_at": MOMENT},
        {"status": "rejected", "gone": True, "last_error": "404", "deleted_at": MOMENT},
    ],
)
def test_what_is_settled_needs_none(row: dict[str, Any]) -> None:
    """Neither what goes well, nor what is not followed, nor what was deleted."""
    found = attention.needs(personas(row))
    assert found.empty
    assert list(found) == ["persona_id", "kind", "reason"]
