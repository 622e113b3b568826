"""CSV as DuckDB and Polars read it, with the types of the frame."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from avatarkit import PersonaCreate, Store, durations, export, stages
from avatarkit.models import Persona
from support.chart_frames import MONDAY, lives, log, visits

OTHERS = {"TIMESTAMPTZ": "TIMESTAMP WITH TIME ZONE"}
FOUND = pd.DataFrame(
    {
        "gender": ["f", "f"],
        "video_scene": ["007", "1e5"],
        "is_active": pd.array([True, None], dtype="boolean"),
        "gone": [True, False],
        "times_seen": [1, 2],
        "max_h": [1.5, float("inf")],
        "seen_at": [MONDAY, pd.NaT],
        "never_at": pd.Series([pd.NaT, pd.NaT], dtype="datetime64[us, UTC]"),
        "labels": [["a,b"], []],
    }
)


def frames() -> dict[str, pd.DataFrame]:
    """A frame of each kind that the log and the estimates have."""
    with Store("sqlite://", account="mine") as store:
        request = PersonaCreate(creator_name="Ada", gender="f", labels=["l1"])
        submission = store.prepare(request, MONDAY)
        store.sending(submission, MONDAY)
        answer = Persona.model_validate({"id": "p1", "process_status": "pending", "gender": "f"})
        store.accepted(submission, answer, MONDAY + timedelta(minutes=1))
        log_frames = store.personas(), store.sightings(), store.submissions()
    running = visits(("p1", "pending", 0, 4))
    names = ("personas", "sightings", "submissions", "running", "visits", "summary", "found")
    summary = durations.summarize(lives(6))
    return dict(zip(names, (*log_frames, running, lives(3), summary, FOUND), strict=True))


@pytest.mark.parametrize("name", list(frames()))
def test_duckdb_reads_every_frame_with_its_types(name: str, tmp_path: Path) -> None:
    """With ``sql_types`` each column keeps its type, for any values."""
    duckdb: Any = pytest.importorskip("duckdb")
    frame = frames()[name]
    types = export.sql_types(frame)
    path = export.to_csv(frame, tmp_path / "a.csv")
    read = duckdb.read_csv(str(path), dtype=types)
    assert read.columns == list(frame.columns)
    assert [str(kind) for kind in read.types] == [OTHERS.get(k, k) for k in types.values()]
    assert len(read.fetchall()) == len(frame)


@pytest.mark.parametrize("name", list(frames()))
def test_polars_reads_every_frame_with_its_types(name: str, tmp_path: Path) -> None:
    """As the docstring says: text is named as text, and everything else is found."""
    pl: Any = pytest.importorskip("polars")
    frame = frames()[name]
    kinds = export.sql_types(frame)
    path = export.to_csv(frame, tmp_path / "a.csv")
    texts = {name: pl.String for name, kind in kinds.items() if kind == "VARCHAR"}
    read = pl.read_csv(path, try_parse_dates=True, schema_overrides=texts)
    expected = {
        "TIMESTAMPTZ": pl.Datetime("us", "UTC"),
        "BOOLEAN": pl.Boolean,
        "BIGINT": pl.Int64,
        "DOUBLE": pl.Float64,
        "VARCHAR": pl.String,
    }
    # A column without a value has no type of its own.
    filled = [name for name in kinds if frame[name].notna().any()]
    assert {name: read.schema[name] for name in filled} == {
        name: expected[kinds[name]] for name in filled
    }


def test_duckdb_finds_moments_numbers_and_flags_by_itself(tmp_path: Path) -> None:
    """Without any help only text that looks like something else is taken for it."""
    duckdb: Any = pytest.importorskip("duckdb")
    path = export.to_csv(FOUND.drop(columns="never_at"), tmp_path / "a.csv")
    read = duckdb.read_csv(str(path))
    found = dict(zip(read.columns, map(str, read.types), strict=True))
    assert found == {
        "gender": "BOOLEAN",
        "video_scene": found["video_scene"],
        "is_active": "BOOLEAN",
        "gone": "BOOLEAN",
        "times_seen": "BIGINT",
        "max_h": "DOUBLE",
        "seen_at": "TIMESTAMP WITH TIME ZONE",
        "labels": "VARCHAR",
    }


def test_types_are_those_of_the_frame() -> None:
    """Each dtype has its SQL type; lists and text are text."""
    assert export.sql_types(FOUND) == {
        "gender": "VARCHAR",
        "video_scene": "VARCHAR",
        "is_active": "BOOLEAN",
        "gone": "BOOLEAN",
        "times_seen": "BIGINT",
        "max_h": "DOUBLE",
        "seen_at": "TIMESTAMPTZ",
        "never_at": "TIMESTAMPTZ",
        "labels": "VARCHAR",
    }
    naive = stages.visits(log(("p", "done", 0, 0)), now=MONDAY)["entered_after"].dt.tz_convert(None)
    assert export.sql_types(naive.to_frame()) == {"entered_after": "TIMESTAMP"}
