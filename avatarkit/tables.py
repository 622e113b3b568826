"""Frames as a person reads them, in a terminal and on a page: ages, words, local order."""

from __future__ import annotations

import math
from datetime import datetime, timedelta

import pandas as pd

from avatarkit.models import STAGES, as_status

AGE_PARTS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def label(status: str) -> str:
    """``crop_and_matte`` -> ``Crop and matte``; an unknown status too."""
    return status.replace("_", " ").capitalize() if as_status(status) else status


def age(span: timedelta) -> str:
    """``1 d 4 h``: the two largest units that say something; ``just now`` below a second."""
    seconds = int(span.total_seconds())
    parts: list[str] = []
    for size, unit in AGE_PARTS:
        count, seconds = divmod(seconds, size) if seconds > 0 else (0, 0)
        if count or parts:
            parts.append(f"{count} {unit}" if count else "")
        if len(parts) == 2:
            break
    return " ".join(part for part in parts if part) or "just now"


def tracking(personas: pd.DataFrame, sightings: pd.DataFrame, now: datetime) -> pd.DataFrame:
    """A row a persona, in the order that came: persona_id, creator_name, status, progress,
    in_status_for, age, last_look, next_look, failed_reason; times as words."""
    latest = sightings.groupby("persona_id", sort=False)["first_seen_at"].max()
    since = personas["persona_id"].map(latest)
    stage_no = {stage.value: number for number, stage in enumerate(STAGES)}
    ended = personas["status"].map(_is_terminal).astype(bool)
    begun = personas["created_at"].fillna(personas["first_seen_at"])
    return pd.DataFrame(
        {
            "persona_id": personas["persona_id"],
            "creator_name": personas["creator_name"],
            "status": personas["status"].map(label),
            "progress": [
                1.0 if status == "done" else stage_no.get(status, 0) / len(STAGES)
                for status in personas["status"]
            ],
            "in_status_for": _ages(now, since.mask(ended)),
            "age": _ages(since.where(ended, now), begun),
            "last_look": _ages(now, personas["last_seen_at"], " ago"),
            "next_look": [
                _next(next_at, gone, now)
                for next_at, gone in zip(personas["next_look_at"], personas["gone"], strict=True)
            ],
            "failed_reason": personas["failed_reason"],
        }
    )


def stage_bounds(visits: pd.DataFrame) -> pd.DataFrame:
    """A row a visit: stage, state, took (its bounds in words), entered (the latest moment)."""
    return pd.DataFrame(
        {
            "stage": visits["stage"].map(label),
            "state": visits["state"].map(STATES),
            "took": [
                between(low, high)
                for low, high in zip(visits["min_h"], visits["max_h"], strict=True)
            ],
            "entered": visits["entered_before"].dt.strftime("%Y-%m-%d %H:%M").fillna(""),
        }
    )


STATES = {"finished": "finished", "running": "running", "never_seen": "never seen"}


def between(min_h: float, max_h: float) -> str:
    """``2 h 30 min to 3 h``; ``at least …`` while it runs, ``at most …`` when never seen."""
    low = age(timedelta(hours=min_h))
    if math.isinf(max_h):
        return f"at least {low}"
    high = age(timedelta(hours=max_h))
    if min_h == 0:
        return f"at most {high}"
    return low if low == high else f"{low} to {high}"


def summary(stages: pd.DataFrame) -> pd.DataFrame:
    """``durations.summarize`` with its hours in words: stage, p10, p50, p90, then the counts."""
    words = {
        name: [
            "" if pd.isna(hours) else age(timedelta(hours=hours)) for hours in stages[f"{name}_h"]
        ]
        for name in ("p10", "p50", "p90")
    }
    counts = stages[["n", "finished", "running", "never_seen", "note"]]
    return pd.DataFrame({"stage": stages["stage"].map(label), **words, **counts})


def statuses(personas: pd.DataFrame, now: datetime) -> str:
    """The tracked personas as a table of text, newest first."""
    if personas.empty:
        return "No avatars yet; submit one with 'submit'."
    rows = pd.DataFrame(
        {
            "id": personas["persona_id"],
            "name": personas["creator_name"].fillna("").str.slice(0, 30),
            "status": personas["status"],
            "age": _ages(now, personas["created_at"].fillna(personas["first_seen_at"])),
            "last look": _ages(now, personas["last_seen_at"], " ago"),
            "reason": personas["failed_reason"].fillna("").str.slice(0, 60),
        }
    )
    return rows.to_string(index=False, justify="left")


def history(sightings: pd.DataFrame) -> str:
    """The runs of one persona as a table of text, oldest first."""
    rows = sightings[["status", "first_seen_at", "last_seen_at", "times_seen", "source"]].copy()
    for column in ("first_seen_at", "last_seen_at"):
        rows[column] = rows[column].dt.strftime("%Y-%m-%d %H:%M:%SZ")
    return rows.to_string(index=False, justify="left")


def _is_terminal(status: str) -> bool:
    known = as_status(status)
    return known is not None and known.is_terminal


def _ages(until: datetime | pd.Series, since: pd.Series, suffix: str = "") -> list[str]:
    spans = until - since
    return ["" if pd.isna(span) else _with(age(span), suffix) for span in spans]


def _with(text: str, suffix: str) -> str:
    return text if text == "just now" else text + suffix


def _next(next_at: pd.Timestamp, gone: bool, now: datetime) -> str:
    if gone:
        return "gone from the API"
    if pd.isna(next_at):
        return "none: it has ended"
    return "due" if next_at <= now else f"in {age(next_at - now)}"
