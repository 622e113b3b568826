"""Frames to draw charts from."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pandas as pd

from avatarkit import stages
from avatarkit.models import STAGES, ProcessStatus

MONDAY = pd.Timestamp("2026-03-02", tz="UTC")
NAN = float("nan")
STAGE_NAMES = [stage.value for stage in STAGES]


def log(*runs: tuple[str, str, float, float], source: str = "create") -> pd.DataFrame:
    """Sightings from (persona, status, first, last), moments in hours."""
    frame = pd.DataFrame(runs, columns=["persona_id", "status", "first", "last"])
    first = ~frame["persona_id"].duplicated()
    return frame.assign(
        first_seen_at=MONDAY + pd.to_timedelta(frame["first"].astype("float64"), unit="h"),
        last_seen_at=MONDAY + pd.to_timedelta(frame["last"].astype("float64"), unit="h"),
        reported_at=pd.NaT,
        source=first.map({True: source, False: "poll"}),
    )


def visits(*runs: tuple[str, str, float, float], source: str = "create") -> pd.DataFrame:
    """Visits of such sightings, a long time after."""
    return stages.visits(log(*runs, source=source), now=MONDAY + timedelta(days=99))


def lives(number: int, *, running: int = 0) -> pd.DataFrame:
    """Visits of personas that were seen in each stage; the last ones still run in reviewing."""
    runs: list[tuple[str, str, float, float]] = []
    for i in range(number):
        for place, stage in enumerate(STAGES):
            begin = 10.0 * place
            runs.append((f"p{i:04d}", stage.value, begin, begin + 5 + i % 4))
        if i < number - running:
            runs.append((f"p{i:04d}", "done", 60, 60))
    return visits(*runs)


def summary(n: int, hours: list[float], *, running: int = 0) -> pd.DataFrame:
    """A summary in which half of a stage are through after ``hours``; NaN for "not enough yet"."""
    half = pd.Series(hours, dtype="float64")
    known = half.notna()
    return pd.DataFrame(
        {
            "stage": STAGE_NAMES[: len(hours)],
            "n": n,
            "finished": n - running,
            "running": running,
            "never_seen": 0,
            "p10_h": half / 4,
            "p25_h": half / 2,
            "p50_h": half,
            "p75_h": half * 1.5,
            "p90_h": half * 2,
            "note": [
                "" if one else f"not enough yet: {n - running} finished, {running} running"
                for one in known
            ],
        }
    )


def medians(**halves: float) -> pd.DataFrame:
    """Percentiles of the six stages from the median hours of some."""
    half = pd.Series([halves.get(name, NAN) for name in STAGE_NAMES], dtype="float64")
    return pd.DataFrame({"stage": STAGE_NAMES, "p50_h": half, "p90_h": half * 2})


def arrivals(*rows: tuple[str, str, float, bool]) -> pd.DataFrame:
    """Running personas from (persona, stage, hours in it, late)."""
    columns = ["persona_id", "stage", "in_stage_h", "late"]
    return pd.DataFrame(rows, columns=columns).astype({"in_stage_h": "float64", "late": "bool"})


def many(number: int) -> pd.DataFrame:
    """Running personas, every tenth of them late."""
    hours = np.linspace(0, 60, number)
    rows = [
        (f"p{i:04}", STAGE_NAMES[i % 6], float(h), i % 10 == 9)
        for i, h in enumerate(hours.tolist())
    ]
    return arrivals(*rows)


def counts(*days: dict[str, int]) -> pd.DataFrame:
    """The frame of ``flow.cumulative`` from one dict a day."""
    statuses = [status.value for status in ProcessStatus]
    others = sorted({name for day in days for name in day} - set(statuses))
    rows = [
        (MONDAY + pd.Timedelta(days=n), status, day.get(status, 0))
        for n, day in enumerate(days)
        for status in [*statuses, *others]
    ]
    return pd.DataFrame(rows, columns=["day", "status", "personas"])


def incidence(**curves: list[tuple[float, float, int]]) -> pd.DataFrame:
    """Outcome curves from lists of (hours, share, at risk)."""
    rows = [
        (outcome, hours, share, max(share - 0.1, 0), min(share + 0.1, 1), at_risk)
        for outcome in ("done", "failed", "rejected")
        for hours, share, at_risk in [(0.0, 0.0, 9), *curves.get(outcome, [])]
    ]
    columns = ["outcome", "time_h", "share", "low", "high", "at_risk"]
    return pd.DataFrame(rows, columns=columns)


def totals(*rows: tuple[float, str, float, float]) -> pd.DataFrame:
    """The frame of ``flow.waiting`` from (day of submission, state, min_h, max_h)."""
    frame = pd.DataFrame(rows, columns=["day", "state", "min_h", "max_h"])
    submitted = MONDAY + pd.to_timedelta(frame["day"].astype("float64"), unit="D")
    ids = [f"p{i:04}" for i in range(len(frame))]
    return frame.assign(persona_id=ids, submitted_at=submitted).drop(columns="day")


def waits(number: int) -> pd.DataFrame:
    """Personas submitted over twenty weeks, the last eighth still running."""
    return totals(
        *(
            (140 * i / number, "running", 10.0, float("inf"))
            if i >= number - number // 8
            else (140 * i / number, "done", 40.0 + i % 30, 42.0 + i % 30)
            for i in range(number)
        )
    )
