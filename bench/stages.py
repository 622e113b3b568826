"""Measure reading the log of 1,000 and 100,000 personas, its visits, and their percentiles.

The log is a SQLite file of some 6 visits a persona: some still running, some failed or rejected,
some stages passed between two polls, some personas found midway, and the rows in the order in
which they were seen. It prints

- ``store.sightings()`` against a bare ``fetchall`` of the same statement through ``sqlite3``, in
  turns in the same run. Goal: at most 2.0 times at 1,000 personas.
- The same with ``stages.visits``. Goal: at most 3.5 times at 100,000 personas. The statement gives
  the rows in the order of the file; a ``fetchall`` by persona and time, which is the frame's order,
  takes longer and is printed beside it.
- ``durations.summarize`` of the visits, against pandas' quantiles of the finished ones by stage,
  which ignore polls and running visits. Goal: at most 3 s.
- ``durations.summarize(…, interval=True)``, which has no goal.

Exits with 1 when a goal is missed. ``--without-interval`` leaves out the last item, which takes
longest.
"""

from __future__ import annotations

import argparse
import re
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import sqlalchemy as sa

from avatarkit import Store, durations, stages
from avatarkit.models import STAGES
from avatarkit.store import tables

FEW, MANY = 1_000, 100_000
IN_ORDER = "persona_id, first_seen_us, id"
VISITS = (530_000, 630_000)
ACCOUNT = "bench"
READ_FEW, READ_MANY, SUMMARIZE = 2.0, 3.5, 3.0
ROUNDS = {FEW: 61, MANY: 7}
NOW = datetime(2026, 11, 1, tzinfo=UTC)

NAMES = [*(stage.value for stage in STAGES), "done", "failed", "rejected"]
MEDIANS = np.array([2.0, 5.0, 4.0, 4.0, 8.0, 24.0])
GAP_H = 0.5
"""Between two polls; a shorter stage may pass unseen."""


def build(path: Path, personas: int) -> pd.DataFrame:
    """Write the log, and return when each persona was created."""
    rng = np.random.default_rng(4)
    took = MEDIANS * np.exp(0.6 * rng.standard_normal((personas, 6)))
    # Some stages are over before any poll.
    took[rng.random(took.shape) < 0.04] = 0.05
    # The end: done after six stages, rejected after the review, failed after two to five.
    last = np.full(personas, 6)
    end = rng.choice([6, 7, 8], personas, p=[0.90, 0.05, 0.05])
    last[end == 7] = rng.integers(2, 6, (end == 7).sum())
    begin = np.sort(rng.uniform(0, 300 * 24, personas))
    changes = begin[:, None] + np.column_stack([np.zeros(personas), took.cumsum(axis=1)])

    # The first sighting is the creation, the others are on the persona's own grid; a run begins at
    # the first poll after a change.
    phase = rng.uniform(0, GAP_H, personas)[:, None]
    look = phase + np.ceil((changes - phase) / GAP_H) * GAP_H
    look[:, 0] = begin
    found = rng.random(personas) < 0.05
    running = begin + rng.uniform(0, 1.4, personas) * took.sum(axis=1)
    until = np.where(rng.random(personas) < 0.05, running, np.inf)
    start = datetime(2026, 1, 5, tzinfo=UTC)
    now_h = (NOW - start) / timedelta(hours=1)

    persona, column = np.indices(look.shape).reshape(2, -1)
    seen = (column <= last[persona]) & (look <= np.minimum(until, now_h)[:, None]).ravel()
    following = np.column_stack([look[:, 1:], np.full(personas, np.inf)]).ravel()
    at_end = column == last[persona]
    seen &= at_end | (following > look.ravel())
    seen &= ~(found[persona] & (column < 2))
    status = np.where(at_end, end[persona], column)
    until_us = np.minimum(following - GAP_H, np.minimum(until, now_h)[persona])
    first = look.ravel()
    to = np.where(at_end, first, np.maximum(until_us, first))

    def us(hours: np.ndarray) -> list[int]:
        return (tables.to_us(start) + np.round(hours * 3.6e9).astype("int64")).tolist()

    order = np.lexsort((rng.random(seen.sum()), first[seen]))
    persona, column, status = (part[seen][order] for part in (persona, column, status))
    first, to = first[seen][order], to[seen][order]
    ids = [f"{number:032x}" for number in rng.permutation(personas) * 7919]
    reported = [
        None if silent else at
        for silent, at in zip(rng.random(first.size) < 0.3, us(first - 0.1), strict=True)
    ]
    rows = zip(
        [ACCOUNT] * first.size,
        [ids[each] for each in persona],
        [NAMES[each] for each in status],
        us(first),
        us(to),
        (1 + (to - first) / GAP_H).astype("int64").tolist(),
        reported,
        ["the face was not found" if each == 7 else None for each in status],
        [
            "list" if found[each] and nth == 2 else "poll" if nth else "create"
            for each, nth in zip(persona, column, strict=True)
        ],
        strict=True,
    )
    Store(f"sqlite:///{path}", account=ACCOUNT).close()
    names = [column.name for column in tables.sightings.c if column.name != "id"]
    with sqlite3.connect(path) as connection:
        connection.executemany(
            f"INSERT INTO sightings ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})",  # noqa: S608
            rows,
        )
    connection.close()
    at = pd.Series(us(begin)).astype("datetime64[us]").dt.tz_localize("UTC")
    return pd.DataFrame({"persona_id": ids, "created_at": at})


def statement_of(call: Callable[[], object]) -> tuple[str, tuple]:
    """Return the statement about sightings that a call sends, and its values."""
    sent: list[tuple[str, tuple]] = []

    def listen(*event: Any) -> None:
        sent.append(event[2:4])

    sa.event.listen(sa.Engine, "before_cursor_execute", listen)
    try:
        call()
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", listen)
    return next(each for each in sent if "FROM sightings" in each[0])


def seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def reading(path: Path, created: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, float]]:
    """Print how long reading takes; return the visits and the ratios to a bare fetchall."""
    connection, count = sqlite3.connect(path), len(created)
    with Store(f"sqlite:///{path}", account=ACCOUNT) as store:
        statement, values = statement_of(store.sightings)
        by_persona = re.sub(r"ORDER BY .*", f"ORDER BY {IN_ORDER}", statement)

        def bare(query: str = statement) -> list:
            return connection.execute(query, values).fetchall()

        def visits() -> pd.DataFrame:
            return stages.visits(store.sightings(), now=NOW, personas=created)

        rows, found = len(bare()), visits()
        assert len(store.sightings()) == rows
        took = [
            (seconds(bare), seconds(store.sightings), seconds(visits)) for _ in range(ROUNDS[count])
        ]
        ordered = statistics.median(seconds(lambda: bare(by_persona)) for _ in range(3))
    connection.close()
    base, read, with_visits = (statistics.median(times) for times in zip(*took, strict=True))
    ratios = {
        "sightings": statistics.median(read / base for base, read, _ in took),
        "visits": statistics.median(with_visits / base for base, _, with_visits in took),
    }
    print(f"{count:,} personas, {rows:,} rows of the log, {len(found):,} visits:")
    states = found["state"].value_counts()
    print("  " + ", ".join(f"{number:,} {name}" for name, number in states.items()))
    print(f"bare fetchall:      {base:.3f} s; by persona and time {ordered:.3f} s")
    print(f"store.sightings():  {read:.3f} s, {ratios['sightings']:.2f} times the fetchall")
    print(f"with stages.visits: {with_visits:.3f} s, {ratios['visits']:.2f} times the fetchall")
    return found, ratios


def naive(visits: pd.DataFrame) -> pd.DataFrame:
    finished = visits.loc[visits["state"] == "finished"]
    middle = (finished["min_h"] + finished["max_h"]) / 2
    return middle.groupby(finished["stage"]).quantile([0.1, 0.25, 0.5, 0.75, 0.9]).unstack()


def summaries(visits: pd.DataFrame, *, interval: bool) -> bool:
    """Print how long the percentiles take; return whether the goal was met."""
    took = [seconds(lambda: durations.summarize(visits)) for _ in range(4)]
    own = statistics.median(took[1:])
    base = statistics.median(seconds(lambda: naive(visits)) for _ in range(4))
    print(f"summarize:       {own:.2f} s (goal <= {SUMMARIZE}), first with imports {took[0]:.2f} s")
    print(f"  {own / base:.1f} times the quantiles of the finished visits, {base:.2f} s")
    if interval:
        print(
            f"with intervals:  {seconds(lambda: durations.summarize(visits, interval=True)):.1f} s"
        )
    return own <= SUMMARIZE


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--without-interval", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        few, many = Path(folder) / "few.db", Path(folder) / "many.db"
        _, ratios = reading(few, build(few, FEW))
        is_fine = ratios["sightings"] <= READ_FEW
        print(f"goal: store.sightings() <= {READ_FEW} times the fetchall\n")
        visits, ratios = reading(many, build(many, MANY))
        assert VISITS[0] < len(visits) < VISITS[1]
        is_fine &= ratios["visits"] <= READ_MANY
        print(f"goal: with stages.visits <= {READ_MANY} times the fetchall\n")
    is_fine &= summaries(visits, interval=not arguments.without_interval)
    return 0 if is_fine else 1


if __name__ == "__main__":
    sys.exit(main())
