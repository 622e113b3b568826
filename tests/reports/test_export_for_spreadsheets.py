"""CSV for spreadsheets: safe, dated, and with the name and the end of each avatar."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from avatarkit import eta, export, stages

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
AWKWARD = ["=1+1", "+1", "-1.5", "@SUM(A1)", "\t=1", "\r=1", "'=1", "''", "ü 🙂", 'a,"b"\r\nc', ""]
TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
MOMENTS = st.datetimes(datetime(1800, 1, 1), datetime(2200, 1, 1))  # noqa: DTZ001
DAY = datetime(2026, 3, 2, tzinfo=UTC)
NOW = DAY + timedelta(hours=9)


def read(text: str) -> pd.DataFrame:
    """Read the bytes of the CSV text as strings."""
    stream = io.BytesIO(text.encode())
    return pd.read_csv(stream, dtype="str", keep_default_na=False, encoding="utf-8-sig")


def without_apostrophe(cell: str, name: str) -> str:
    """Return a cell as it was before an apostrophe was put in front of a formula."""
    return cell.removeprefix("'") if cell != name else cell


@given(st.lists(st.tuples(TEXT | st.sampled_from(AWKWARD), st.none() | MOMENTS), min_size=1))
@example([(name, None) for name in AWKWARD])
def test_names_and_moments_are_recoverable(rows: list[tuple[str, datetime | None]]) -> None:
    """Names read back, formulas behind an apostrophe; moments read back to the second."""
    frame = pd.DataFrame(rows, columns=["creator_name", "created_at"])
    moments = pd.to_datetime(frame["created_at"], utc=True).dt.as_unit("us")
    back = read(export.to_csv(frame.assign(created_at=moments), for_spreadsheets=True))

    assert list(back) == ["creator_name", "created_at (UTC)"]
    for (name, _), cell in zip(rows, back["creator_name"], strict=True):
        assert without_apostrophe(cell, name) == name
        assert not cell.startswith(FORMULA_STARTS)
    seconds = pd.to_datetime(back["created_at (UTC)"], format="%Y-%m-%d %H:%M:%S", utc=True)
    assert seconds.dt.as_unit("us").equals(moments.dt.floor("s"))


def test_how_each_kind_of_cell_is_written() -> None:
    """Moments lose their fraction and zone, numbers all stay numbers, and a formula is text."""
    moment = datetime(2026, 1, 9, 12, 26, 10, 74640, tzinfo=timezone(timedelta(hours=-8)))
    frame = pd.DataFrame(
        {
            "created_at": [moment, None],
            "mixed": pd.Series([moment, 7], dtype="object"),
            "local": pd.to_datetime(["2026-01-09", None]),
            "min_h": [-1.5, 0.1 + 0.2],
            "max_h": [float("inf"), float("-inf")],
            "n": [-7, 12],
            "late": [True, False],
            "=name": ["=1+1", "-1.5"],
            "labels": [["=x"], None],
        }
    )
    text = export.to_csv(frame, for_spreadsheets=True)
    assert text.splitlines() == [
        "\ufeffcreated_at (UTC),mixed (UTC),local,min_h,max_h,n,late,'=name,labels",
        "2026-01-09 20:26:10,2026-01-09 20:26:10,2026-01-09 00:00:00,-1.5,inf,-7,True,'=1+1,"
        '"[""=x""]"',
        ",7,,0.30000000000000004,'-inf,12,False,'-1.5,",
    ]


def test_the_file_begins_with_the_mark_and_a_plain_one_does_not(tmp_path: Path) -> None:
    """The bytes of the file are the text in UTF-8, with one byte order mark."""
    path, frame = tmp_path / "a.csv", pd.DataFrame({"a": ["ü"]})
    text = export.to_csv(frame, for_spreadsheets=True)
    assert export.to_csv(frame, path, for_spreadsheets=True) == path
    assert path.read_bytes() == text.encode() == b"\xef\xbb\xbfa\n\xc3\xbc\n"
    assert pd.read_csv(path)["a"].tolist() == ["ü"]
    assert export.to_csv(frame) == "a\nü\n"


def frames() -> dict[str, pd.DataFrame]:
    """The tables of a log in which one persona is done, one runs, and one has no name."""
    runs = [
        ("a", "pending", 0, 1),
        ("a", "done", 3, 4),
        ("b", "pending", 0, 9),
        ("c", "reviewing", 0, 1),
        ("c", "failed", 5, 5),
    ]
    sightings = pd.DataFrame(runs, columns=["persona_id", "status", "first", "last"])
    hours = sightings[["first", "last"]].apply(pd.to_timedelta, unit="h")
    sightings = sightings.assign(
        first_seen_at=DAY + hours["first"],
        last_seen_at=DAY + hours["last"],
        reported_at=pd.NaT,
        source="poll",
    ).drop(columns=["first", "last"])
    personas = pd.DataFrame(
        {"persona_id": ["c", "b", "a"], "creator_name": [None, "=Bo", "Ada"], "created_at": DAY}
    )
    return {
        "personas": personas,
        "sightings": sightings,
        "visits": stages.visits(sightings, now=NOW, personas=personas),
        "arrivals": eta.arrivals(sightings, now=NOW, personas=personas),
        "submissions": pd.DataFrame(
            {"submission_id": ["s", "t"], "persona_id": ["a", None], "creator_name": ["A", "T"]}
        ),
    }


def with_personas(frame: pd.DataFrame, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    return export.add_personas(frame, tables["personas"], tables["sightings"], now=NOW)


@pytest.mark.parametrize("name", ["personas", "sightings", "visits", "arrivals", "submissions"])
def test_every_table_gets_the_name_and_the_end(name: str) -> None:
    """Both stand after the id; the rows and the other columns are the same, also without rows."""
    tables = frames()
    for frame in (tables[name], tables[name].head(0)):
        full = with_personas(frame, tables)
        place = list(full).index("persona_id")
        added = ["creator_name", "end", "end_seen_at"]
        assert list(full)[place + 1 : place + 4] == added
        assert len(full) == len(frame)
        kept = [column for column in frame if column not in added[1:]]
        pd.testing.assert_frame_equal(full[kept], frame[kept])
        assert str(full["end_seen_at"].dtype) == "datetime64[us, UTC]"
    ends = with_personas(tables[name], tables)
    seen = {
        (persona_id, end, seen_at)
        for persona_id, end, seen_at in ends[["persona_id", "end", "end_seen_at"]].to_numpy()
        if isinstance(end, str)
    }
    known = {("a", "done", DAY + timedelta(hours=3)), ("c", "failed", DAY + timedelta(hours=5))}
    expected = {"arrivals": set(), "submissions": {row for row in known if row[0] == "a"}}
    assert seen == expected.get(name, known)


def test_names_come_from_the_personas_unless_the_table_has_them() -> None:
    """A visit gets the name of its persona, a submission keeps the one that was sent."""
    tables = frames()
    visits = with_personas(tables["visits"], tables)
    names = visits.set_index("persona_id")["creator_name"]
    assert set(names[["a", "b"]]) == {"Ada", "=Bo"}
    assert names[["c"]].isna().all()
    sent = with_personas(tables["submissions"], tables)
    assert sent["creator_name"].tolist() == ["A", "T"]
    assert ",'=Bo,,," in export.to_csv(visits, for_spreadsheets=True)


def test_a_table_without_personas_is_as_it_was() -> None:
    """Percentiles are of stages; nothing is added to them."""
    tables = frames()
    percentiles = pd.DataFrame({"stage": ["pending"], "p50_h": [1.0]})
    assert with_personas(percentiles, tables) is percentiles
