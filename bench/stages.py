"""From the log of 117,000 personas to visits, and from visits to percentiles.

The log is a SQLite file of some 680,000 visits as lives of six stages leave them: some still
running, some failed or rejected, some stages passed between two looks, some personas found midway,
and the rows in the order in which they were seen. It prints

- ``store.sightings()`` with ``stages.visits`` against a bare ``fetchall`` of the same rows by the
  same statement through ``sqlite3``, in turns in the same run. Goal: at most 2.0 times. The
  statement gives the rows as they lie in the file; a ``fetchall`` by persona and time, which is
  the frame's order, takes longer and is printed beside it.
- ``durations.summarize`` of it, against pandas' quantiles of the finished visits by stage, which
  know nothing of looks and of what still runs. Goal: at most 3 s.
- ``durations.summarize(…, interval=True)``, which has no goal.

Exits with 1 when a goal is missed. ``--without-interval`` leaves out the last, which takes longest.
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
from avatarkit.store import frames, tables

PERSONAS = 117_000
IN_ORDER = "persona_id, first_seen_us, id"
VISITS = (620_000, 740_000)
ACCOUNT = "bench"
READ, SUMMARIZE = 2.0, 3.0
ROUNDS = 7
NOW = datetime(2026, 11, 1, tzinfo=UTC)

NAMES = [*(stage.value for stage in STAGES), "done", "failed", "rejected"]
MEDIANS = np.array([2.0, 5.0, 4.0, 4.0, 8.0, 24.0])
GAP_H = 0.5
"""Between two looks; a stage shorter than that may pass unseen."""


def build(path: Path) -> pd.DataFrame:
    """Write the log, and give when each persona was created."""
    rng = np.random.default_rng(4)
    took = MEDIANS * np.exp(0.6 * rng.standard_normal((PERSONAS, 6)))
    # Some stages are over before anybody can look.
    took[rng.random(took.shape) < 0.04] = 0.05
    # The end: done after six stages, rejected after the review, failed after two to five.
    last = np.full(PERSONAS, 6)
    end = rng.choice([6, 7, 8], PERSONAS, p=[0.90, 0.05, 0.05])
    last[end == 7] = rng.integers(2, 6, (end == 7).sum())
    begin = np.sort(rng.uniform(0, 300 * 24, PERSONAS))
    changes = begin[:, None] + np.column_stack([np.zeros(PERSONAS), took.cumsum(axis=1)])

    # The first look is at the creation, the others on a grid of one's own; each is a run's first
    # where it is the first after a change.
    phase = rng.uniform(0, GAP_H, PERSONAS)[:, None]
    look = phase + np.ceil((changes - phase) / GAP_H) * GAP_H
    look[:, 0] = begin
    found = rng.random(PERSONAS) < 0.05
    running = begin + rng.uniform(0, 1.4, PERSONAS) * took.sum(axis=1)
    until = np.where(rng.random(PERSONAS) < 0.05, running, np.inf)
    start = datetime(2026, 1, 5, tzinfo=UTC)
    now_h = (NOW - start) / timedelta(hours=1)

    persona, column = np.indices(look.shape).reshape(2, -1)
    seen = (column <= last[persona]) & (look <= np.minimum(until, now_h)[:, None]).ravel()
    following = np.column_stack([look[:, 1:], np.full(PERSONAS, np.inf)]).ravel()
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
    ids = [f"{number:032x}" for number in rng.permutation(PERSONAS) * 7919]
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


def said_by(call: Callable[[], object]) -> tuple[str, tuple]:
    """The statement about sightings that a call sends, and its values."""
    said: list[tuple[str, tuple]] = []

    def listen(*event: Any) -> None:
        said.append(event[2:4])

    sa.event.listen(sa.Engine, "before_cursor_execute", listen)
    try:
        call()
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", listen)
    return next(each for each in said if "FROM sightings" in each[0])


def seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def reading(path: Path, created: pd.DataFrame) -> tuple[pd.DataFrame, bool]:
    """Print (a), and give the visits and whether the goal was met."""
    connection = sqlite3.connect(path)
    with Store(f"sqlite:///{path}", account=ACCOUNT) as store:
        statement, values = said_by(store.sightings)
        by_persona = re.sub(r"ORDER BY .*", f"ORDER BY {IN_ORDER}", statement)

        def ours() -> pd.DataFrame:
            return stages.visits(store.sightings(), now=NOW, personas=created)

        def bare(of: str = statement) -> list:
            return connection.execute(of, values).fetchall()

        rows = len(bare())
        found = ours()
        assert len(store.sightings()) == rows
        assert list(frames.SIGHTINGS.columns) == list(store.sightings().columns)
        pairs = [(seconds(bare), seconds(ours)) for _ in range(ROUNDS)]
        read = statistics.median(seconds(store.sightings) for _ in range(3))
        ordered = statistics.median(seconds(lambda: bare(by_persona)) for _ in range(3))
    connection.close()
    base, own = (statistics.median(pair[nth] for pair in pairs) for nth in (0, 1))
    ratio = statistics.median(pair[1] / pair[0] for pair in pairs)
    state = found["state"].value_counts()
    print(f"{PERSONAS:,} personas, {rows:,} rows of the log, {len(found):,} visits:")
    print("  " + ", ".join(f"{number:,} {name}" for name, number in state.items()))
    assert VISITS[0] < len(found) < VISITS[1]
    print(f"bare fetchall:   {base:.2f} s; by persona and time {ordered:.2f} s")
    print(f"SQLite → visits: {own:.2f} s, of which store.sightings() {read:.2f} s")
    print(f"ratio: {ratio:.2f} (goal <= {READ})")
    return found, ratio <= READ


def naive(visits: pd.DataFrame) -> pd.DataFrame:
    finished = visits.loc[visits["state"] == "finished"]
    middle = (finished["min_h"] + finished["max_h"]) / 2
    return middle.groupby(finished["stage"]).quantile([0.1, 0.25, 0.5, 0.75, 0.9]).unstack()


def summaries(visits: pd.DataFrame, *, interval: bool) -> bool:
    """Print (b) and (c), and give whether the goal was met."""
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
        path = Path(folder) / "log.db"
        created = build(path)
        visits, quick = reading(path, created)
    fine = summaries(visits, interval=not arguments.without_interval)
    return 0 if quick and fine else 1


if __name__ == "__main__":
    sys.exit(main())
