"""CSV: what a person downloads opens safely and reads back exactly."""

from __future__ import annotations

import io
import json
import os
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from avatarkit import durations, export, stages
from avatarkit.errors import StoreError

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=30)
# fmt: off
AWKWARD = [
    '"quoted"', "two\nlines", "middle\r\nbreak", "a,b;c\td", "🙂 ñ", "NA", "null", "", "None",
    "nan", "007", "1e5", "True", " padded ", "'", "''", "'tis", '"', "\x00", "a\x00b", "inf",
    "#N/A", "2026-01-01", "\ufeffbom", "\u2028", "\x1a", "\\", "\\n",
]
FORMULAS = [
    "=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "\xa0=1", "\u200b=1", "\x00=1",
    "\uff1dcmd", "\uff0b1", "\uff0d1", "\uff20x", "'=1", "''=1", "'\t", "\tplain", "-",
    '=HYPERLINK("http://example.com","x")',
]
# fmt: on


def plain(text: str) -> pd.DataFrame:
    """Read CSV text as strings, as the docstring of ``to_csv`` says."""
    return pd.read_csv(io.StringIO(text), dtype="str", keep_default_na=False)


def typed(text: str, like: pd.DataFrame) -> pd.DataFrame:
    """Read CSV text with pandas alone, with the types of that frame."""
    read = plain(text)
    for name, dtype in like.dtypes.items():
        if isinstance(dtype, pd.DatetimeTZDtype):
            read[name] = pd.to_datetime(read[name], utc=True, format="ISO8601")
        elif dtype == "float64":
            read[name] = read[name].replace("", "nan")
        elif dtype == "boolean":
            read[name] = read[name].map({"True": True, "False": False})
        read[name] = read[name].astype(dtype)
    return read


def texts(values: list[str], name: str = "creator_name") -> pd.DataFrame:
    """A frame of one text column beside one of numbers."""
    return pd.DataFrame({"x": range(len(values)), name: pd.Series(values, dtype="object")})


@given(st.lists(TEXT | st.sampled_from(AWKWARD), min_size=1, max_size=6), st.booleans())
@example(AWKWARD, True)
@example(AWKWARD, False)
def test_text_reads_back_exactly_through_plain_pandas(values: list[str], alone: bool) -> None:
    """What is no formula is the same, alone in its line or not; a formula has an apostrophe."""
    frame = texts(values)[["creator_name"]] if alone else texts(values)
    read = plain(export.to_csv(frame))["creator_name"].tolist()

    assert len(read) == len(values)
    for before, after in zip(values, read, strict=True):
        assert after == before or (after == f"'{before}" and before not in AWKWARD)


@given(st.text(st.sampled_from("=+-@'\t\r\n \uff1d\u200b\x00a1"), max_size=6))
def test_no_cell_begins_like_a_formula(value: str) -> None:
    """Behind white space, invisible signs and apostrophes, a cell that runs has one in front."""
    cell = plain(export.to_csv(texts([value])))["creator_name"][0]

    dangerous = cell.lstrip(" \t\r\n\u200b\x00")[:1] in tuple("=+-@\uff1d")
    assert not dangerous
    assert cell[:1] not in tuple("\t\r\n")


@pytest.mark.parametrize("value", FORMULAS)
def test_formulas_become_text(value: str) -> None:
    """Each way to begin a formula gets an apostrophe, and so does a header."""
    assert plain(export.to_csv(texts([value])))["creator_name"].tolist() == [f"'{value}"]
    named = pd.DataFrame({value: ["a"], "b": ["c"]})
    assert plain(export.to_csv(named)).columns.tolist()[0] == f"'{value}"


@given(st.lists(st.floats(allow_nan=True), min_size=1, max_size=6))
@example([-1.5, float("inf"), float("-inf"), 0.1 + 0.2, 5e-324, -0.0])
def test_numbers_stay_numbers_to_the_last_bit(values: list[float]) -> None:
    """A negative number is no formula, and every float is the same after plain pandas."""
    text = export.to_csv(pd.DataFrame({"min_h": values, "b": 1}))
    read = pd.read_csv(io.StringIO(text))
    np.testing.assert_array_equal(read["min_h"].to_numpy(dtype="float64"), values)
    assert "'" not in text


@given(
    st.lists(
        st.datetimes(datetime(1700, 1, 1), datetime(2200, 1, 1)) | st.none(),  # noqa: DTZ001
        min_size=1,
        max_size=5,
    )
)
def test_moments_read_back_to_the_microsecond(moments: list[datetime | None]) -> None:
    """ISO 8601 in UTC with microseconds, an empty cell for none."""
    column = pd.to_datetime(pd.Series(moments, dtype="object"), utc=True).dt.as_unit("us")
    text = export.to_csv(pd.DataFrame({"created_at": column, "b": "x"}))
    back = pd.to_datetime(plain(text)["created_at"], utc=True, format="ISO8601")
    assert back.dt.as_unit("us").equals(column)


def test_how_each_kind_of_cell_is_written() -> None:
    """Moments, flags, whole numbers, lists, mappings and what is missing have one form each."""
    moment = datetime(2026, 1, 9, 12, 26, 10, 74640, tzinfo=timezone(timedelta(hours=-8)))
    frame = pd.DataFrame(
        {
            "a": pd.Series([moment, None]),
            "b": pd.array([True, None], dtype="boolean"),
            "c": pd.array([-7, None], dtype="Int64"),
            "d": pd.Series([["x", "ü"], None], dtype="object"),
            "e": pd.Series([{"k": 1}, ()], dtype="object"),
            "f": pd.Series([np.float64(0.5), np.int64(3)], dtype="object"),
            "g": pd.Series([np.True_, moment.replace(microsecond=0)], dtype="object"),
            "h": pd.Series([datetime(2026, 1, 9), pd.NaT], dtype="object"),  # noqa: DTZ001
            "i": pd.Series([pd.Timedelta(hours=1), float("nan")], dtype="object"),
            "j": pd.to_datetime(["2026-01-09", None]),
            "k": pd.to_datetime(["2026-01-09T00:00:00.000000001Z", None]).as_unit("ns"),
        }
    )
    header, first, second = export.to_csv(frame).splitlines()
    assert header == "a,b,c,d,e,f,g,h,i,j,k"
    assert first == (
        '2026-01-09T20:26:10.074640+00:00,True,-7,"[""x"", ""ü""]","{""k"": 1}",0.5,True,'
        "2026-01-09T00:00:00.000000,0 days 01:00:00,2026-01-09T00:00:00.000000,"
        "2026-01-09T00:00:00.000000001+00:00"
    )
    assert second == ",,,,[],3,2026-01-09T20:26:10.000000+00:00,,,,"


def test_half_a_surrogate_pair_becomes_the_replacement_sign(tmp_path: Path) -> None:
    """UTF-8 cannot hold it; the file is written nevertheless."""
    path = tmp_path / "a.csv"
    export.to_csv(texts(["a\ud800b"]), path)
    assert plain(path.read_text("utf-8"))["creator_name"].tolist() == ["a\ufffdb"]


def log() -> pd.DataFrame:
    """A small log in which a stage finished, one was not seen and one is running."""
    day = datetime(2026, 3, 2, tzinfo=UTC)
    rows = [("a", "pending", 0, 1, "create"), ("a", "voice_creating", 3, 4, "poll")]
    frame = pd.DataFrame(rows, columns=["persona_id", "status", "first", "last", "source"])
    return frame.assign(
        first_seen_at=day + pd.to_timedelta(frame["first"], unit="h"),
        last_seen_at=day + pd.to_timedelta(frame["last"], unit="h"),
        reported_at=pd.NaT,
    )


def test_the_frames_of_the_project_read_back_with_their_types() -> None:
    """Stage times and their summary are the same frame again, also when empty."""
    now = datetime(2026, 4, 1, tzinfo=UTC)
    for sightings in (log(), log().head(0)):
        visits = stages.visits(sightings, now=now)
        for frame in (visits, durations.summarize(visits), durations.summarize(visits).head(0)):
            read = typed(export.to_csv(frame), frame)
            pd.testing.assert_frame_equal(read, pd.DataFrame(frame), check_exact=True)


def test_statuses_read_back_with_their_types() -> None:
    """Labels are JSON and flags are flags, with missing ones missing."""
    frame = pd.DataFrame(
        {
            "persona_id": pd.array(["007", "a=1"], dtype="str"),
            "is_active": pd.array([None, True], dtype="boolean"),
            "gone": pd.array([False, True], dtype="boolean"),
        }
    )
    text = export.to_csv(frame.assign(labels=[["a,b", "=x"], None]))
    pd.testing.assert_frame_equal(typed(text, frame).drop(columns="labels"), frame)
    labels = plain(text)["labels"]
    assert (json.loads(labels[0]), labels[1]) == (["a,b", "=x"], "")


def test_the_file_is_the_text_on_every_platform(tmp_path: Path) -> None:
    """The bytes are the text in UTF-8, the old file is replaced, and its path returned."""
    path, frame = tmp_path / "stage times.csv", texts(["ü\r\n", "x"])
    path.write_text("old and much longer than the new one\n" * 100)
    assert export.to_csv(frame, str(path)) == path
    assert path.read_bytes() == export.to_csv(frame).encode()
    read = pd.read_csv(path, dtype="str", keep_default_na=False)
    assert read["creator_name"].tolist() == ["ü\r\n", "x"]


def test_a_device_is_written_to() -> None:
    """It is not replaced by a file."""
    export.to_csv(texts(["x"]), os.devnull)
    assert not Path(os.devnull).is_file()


def test_a_path_that_cannot_be_written_is_told_in_a_sentence(tmp_path: Path) -> None:
    """A missing folder and a directory each end in one sentence and leave nothing behind."""
    for path in (tmp_path / "no" / "a.csv", tmp_path, tmp_path / ("n" * 300)):
        with pytest.raises(StoreError, match=r"cannot be written: .+; choose another path\.$"):
            export.to_csv(texts(["x"]), path)
    assert not list(tmp_path.iterdir())


def test_a_write_that_breaks_off_keeps_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the disk is full in the middle, the file that was there is still there, alone."""
    path = tmp_path / "a.csv"
    path.write_text("old\n")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="No space left"):
        export.to_csv(texts(["x"]), path)
    assert path.read_text() == "old\n"
    assert list(tmp_path.iterdir()) == [path]


def test_a_frame_without_rows_is_a_header() -> None:
    """An empty frame still says which columns there are."""
    frame: Any = pd.DataFrame({"persona_id": [], "min_h": []})
    assert export.to_csv(frame) == "persona_id,min_h\n"
