"""Format frames as tables for the terminal and the pages, with times as text."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pandas as pd

from avatarkit.models import STAGES, TERMINAL
from avatarkit.text import format_bounds, format_hours, stage_name

_HOUR = timedelta(hours=1)
_TIME = "datetime64[us, UTC]"
_PLACES = {stage.value: f"{place}/{len(STAGES)}" for place, stage in enumerate(STAGES, 1)}
_SOONEST = timedelta(seconds=1)


def tracking(
    personas: pd.DataFrame,
    sightings: pd.DataFrame,
    now: datetime,
    arrivals: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Format the tracked personas as a table, with times as text.

    Args:
        personas: The frame of ``store.personas``.
        sightings: The frame of ``store.sightings``.
        now: The moment on the session's clock.
        arrivals: The frame of ``eta.arrivals``.

    Returns:
        A row a persona, in the order of ``personas``, all text: creator_name, status (``Deleted``
        if it was deleted before its end was seen), late (``late`` or empty), ready (see ``ready``),
        age, last_look, failed_reason, persona_id. Late and ready are empty for what has ended, and
        without ``arrivals``.
    """
    last_change = sightings.groupby("persona_id", sort=False)["first_seen_at"].max()
    since = personas["persona_id"].map(last_change)
    ended = personas["status"].isin(sorted(TERMINAL))
    deleted = personas["deleted_at"].notna()
    cut_off = deleted & ~ended
    ended |= deleted
    begun = personas["created_at"].fillna(personas["first_seen_at"])
    arriving, late = _arriving(personas["persona_id"].mask(ended), arrivals, now)
    return pd.DataFrame(
        {
            "creator_name": personas["creator_name"].fillna(""),
            "status": personas["status"].map(stage_name).mask(cut_off, "Deleted"),
            "late": late,
            "ready": arriving,
            "age": _spans(since.where(ended, now).mask(cut_off, personas["deleted_at"]) - begun),
            "last_look": [f"{text} ago" for text in _spans(now - personas["last_seen_at"])],
            "failed_reason": personas["failed_reason"].fillna(""),
            "persona_id": personas["persona_id"],
        }
    )


def avatars(
    personas: pd.DataFrame,
    sightings: pd.DataFrame,
    needs: pd.DataFrame,
    arrivals: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Return the avatars as a table whose columns sort by value.

    Nothing in it depends on the present moment, so the same log gives the same table.

    Args:
        personas: The frame of ``store.personas``.
        sightings: The frame of ``store.sightings``.
        needs: The frame of ``attention.needs``.
        arrivals: The frame of ``eta.arrivals``.

    Returns:
        A row a persona, in the order of ``personas``, with a new index:

        - ``persona_id``, ``creator_name`` (the id where it has none): text.
        - ``status``: text, with its place among the stages, such as ``6/6 Reviewing``;
          ``Deleted`` if it was deleted before its end was seen.
        - ``reason``: text; why it needs attention, or that it is not followed; else empty.
        - ``since``: datetime64[us, UTC]; by when it was first seen in its status.
        - ``ready_from``, ``ready_to``: datetime64[us, UTC]; the 80 % range of its end, NaT for what
          is not in progress and without ``arrivals``.
        - ``created_at``: datetime64[us, UTC]; when it was first seen if the API does not say.
        - ``took_h``: float64; hours from then to its end, NaN while there is none.
        - ``labels``: text, separated by commas; ``label_list``: the same as lists.
        - ``raw_status``: text; as the API says it.
        - ``kind``: text; why it needs attention, one of ``attention.KINDS``, else empty.
        - ``in_progress``: bool; it is followed, and neither ended nor deleted.
    """
    ids, status = personas["persona_id"], personas["status"]
    since = ids.map(sightings.groupby("persona_id", sort=False)["first_seen_at"].max())
    created = personas["created_at"].fillna(personas["first_seen_at"])
    has_ended, deleted = status.isin(sorted(TERMINAL)), personas["deleted_at"].notna()
    ended_at = since.where(has_ended, personas["deleted_at"])
    needed = needs.set_index("persona_id")
    in_progress = personas["followed"] & ~has_ended & ~deleted
    note = pd.Series("", index=personas.index).mask(~personas["followed"], "Not followed.")
    columns: dict[str, Any] = {
        "persona_id": ids,
        "creator_name": personas["creator_name"].replace("", None).fillna(ids),
        "status": status.map(_status_with_place).mask(deleted & ~has_ended, "Deleted"),
        "reason": ids.map(needed["reason"]).astype("str").fillna(note),
        "since": since,
        **_ready_range(ids, in_progress, arrivals),
        "created_at": created,
        "took_h": (ended_at - created).dt.total_seconds() / 3600,
        "labels": [", ".join(labels or ()) for labels in personas["labels"]],
        "label_list": [list(labels or ()) for labels in personas["labels"]],
        "raw_status": status,
        "kind": ids.map(needed["kind"]).astype("str").fillna(""),
        "in_progress": in_progress,
    }
    return pd.DataFrame(columns).reset_index(drop=True)


def ready(p10: datetime, p90: datetime, now: datetime) -> str:
    """Format the 80 % range of an arrival, in UTC.

    ``Tue 24 Nov to Thu 26 Nov``, or within one day ``Tue 24 Nov, 09:49 to 18:20``; if it begins
    now, ``may be ready already, else by Thu 26 Nov``.

    Args:
        p10: The beginning of the range.
        p90: The end of the range.
        now: The moment on the session's clock.
    """
    if already(p10, now):
        if already(p90, now):
            return "may be ready already"
        time = f", {p90:%H:%M}" if p90.date() == p10.date() else ""
        return f"may be ready already, else by {_day(p90)}{time}"
    if p10.date() == p90.date():
        return f"{_day(p10)}, {p10:%H:%M} to {p90:%H:%M}"
    return f"{_day(p10)} to {_day(p90)}"


def already(moment: datetime, now: datetime) -> bool:
    """Return whether an arrival may be now: the ranges of ``eta`` begin a second after now."""
    return moment <= now + _SOONEST


def times_taken(rows: pd.DataFrame) -> list[str]:
    """Format the bounds of each row's time, from its state, min_h and max_h."""
    bounds = rows[["state", "min_h", "max_h"]].itertuples(index=False)
    return [format_bounds(*row) for row in bounds]


def summary(stages: pd.DataFrame) -> pd.DataFrame:
    """Format the frame of ``durations.summarize`` as a table, with hours as text.

    Args:
        stages: The frame of ``durations.summarize``, also with ``interval=True``.

    Returns:
        A row a stage: stage, p10, p25, p50, p75, p90, and p50_interval if ``stages`` has the
        interval of the median, all text; then n, finished, running, never_seen, note as they are.
    """
    words = {
        name: ["" if pd.isna(hours) else format_hours(hours) for hours in stages[f"{name}_h"]]
        for name in ("p10", "p25", "p50", "p75", "p90")
    }
    if "p50_low_h" in stages:
        words["p50_interval"] = [
            "" if pd.isna(low) else f"{format_hours(low)} to {format_hours(high)}"
            for low, high in stages[["p50_low_h", "p50_high_h"]].itertuples(index=False)
        ]
    counts = stages[["n", "finished", "running", "never_seen", "note"]]
    return pd.DataFrame({"stage": stages["stage"].map(stage_name), **words, **counts})


def statuses(
    personas: pd.DataFrame,
    sightings: pd.DataFrame,
    now: datetime,
    arrivals: pd.DataFrame | None = None,
) -> str:
    """Format the table of ``tracking`` as text; the arguments are the same."""
    if personas.empty:
        return "No avatars yet; submit one with 'submit'."
    rows = tracking(personas, sightings, now, arrivals)
    columns = ["persona_id", "creator_name", "status", "age", "last_look"]
    columns += [name for name in ("ready", "late", "failed_reason") if (rows[name] != "").any()]
    for column in ("creator_name", "failed_reason"):
        rows[column] = rows[column].str.slice(0, 60)
    return rows[columns].to_string(index=False, justify="left")


def history(sightings: pd.DataFrame) -> str:
    """Format the sightings of one persona as a table of text."""
    rows = sightings[["status", "first_seen_at", "last_seen_at", "times_seen", "source"]].copy()
    for column in ("first_seen_at", "last_seen_at"):
        rows[column] = rows[column].dt.strftime("%Y-%m-%d %H:%M:%SZ")
    return rows.to_string(index=False, justify="left")


def _arriving(
    persona_ids: pd.Series, arrivals: pd.DataFrame | None, now: datetime
) -> tuple[list[str], list[str]]:
    if arrivals is None:
        return [""] * len(persona_ids), [""] * len(persona_ids)
    ids, spans = arrivals["persona_id"], zip(arrivals["p10_at"], arrivals["p90_at"], strict=True)
    words = dict(zip(ids, (ready(*span, now) for span in spans), strict=True))
    late = set(ids[arrivals["late"].to_numpy(dtype=bool)])
    return (
        [words.get(persona_id, "") for persona_id in persona_ids],
        ["late" if persona_id in late else "" for persona_id in persona_ids],
    )


def _ready_range(
    persona_ids: pd.Series, in_progress: pd.Series, arrivals: pd.DataFrame | None
) -> dict[str, pd.Series[Any]]:
    """Return the columns ready_from and ready_to, to the minute."""
    names = {"ready_from": "p10_at", "ready_to": "p90_at"}
    if arrivals is None or arrivals.empty:
        nothing = pd.Series(pd.NaT, index=persona_ids.index, dtype=_TIME)
        return dict.fromkeys(names, nothing)
    by_id = arrivals.set_index("persona_id")[list(names.values())].reindex(persona_ids)
    moments = by_id.set_index(persona_ids.index).where(in_progress)
    return {
        name: pd.to_datetime(moments[column], utc=True).dt.round("min")
        for name, column in names.items()
    }


def _status_with_place(status: str) -> str:
    place = _PLACES.get(status)
    return stage_name(status) if place is None else f"{place} {stage_name(status)}"


def _day(moment: datetime) -> str:
    # Windows has no %-d.
    return f"{moment:%a} {moment.day} {moment:%b}"


def _spans(spans: pd.Series) -> list[str]:
    return ["" if pd.isna(span) else format_hours(max(0.0, span / _HOUR)) for span in spans]
