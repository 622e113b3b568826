"""Write frames as CSV that spreadsheets open safely and programs read back.

Units are in the names of the columns: ``_h`` is hours; ``_at``, ``_after`` and ``_before`` are
moments in UTC.
"""

from __future__ import annotations

import json
import os
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, overload

import numpy as np
import pandas as pd

from avatarkit.errors import StoreError
from avatarkit.files import replace_file
from avatarkit.history import stages

__all__ = ["BYTE_ORDER_MARK", "add_personas", "sql_types", "to_csv"]

# Characters that spreadsheets skip before a formula: white space, control and zero-width ones.
_SKIPPED = r"\s\x00-\x1f\x7f-\x9f\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u2064\ufeff"
_FORMULA = re.compile(rf"'*(?:[\t\r\n]|[{_SKIPPED}]*[=+\-@\uff1d\uff0b\uff0d\uff20])")
_NEEDS_QUOTES = re.compile(r'[",;|\t\r\n\x00]|^\s|\s$')
_SURROGATE = re.compile(r"[\ud800-\udfff]")

BYTE_ORDER_MARK = "\ufeff"
"""The character that tells a spreadsheet that a file is UTF-8."""


@overload
def to_csv(frame: pd.DataFrame, path: None = None, *, for_spreadsheets: bool = False) -> str: ...


@overload
def to_csv(
    frame: pd.DataFrame, path: str | os.PathLike[str], *, for_spreadsheets: bool = False
) -> Path: ...


def to_csv(
    frame: pd.DataFrame,
    path: str | os.PathLike[str] | None = None,
    *,
    for_spreadsheets: bool = False,
) -> str | Path:
    r"""Return the frame as CSV text, or write it to ``path`` and return the path.

    A header and one line a row, without the index; comma, ``\n`` on every platform, UTF-8 without
    a byte order mark. Cells:

    - moments: ISO 8601 in UTC with microseconds, ``2026-01-09T20:26:10.074640+00:00`` (with
      nanoseconds where the column has them; a naive moment without the offset).
    - numbers as Python writes them, so that they read back to the last bit; ``inf`` for no end.
    - flags ``True`` and ``False``; lists and mappings as JSON; nothing for NaN, NaT and None.
    - text as it is, with an apostrophe before what a spreadsheet would run: text that begins
      with ``=``, ``+``, ``-``, ``@`` or their full-width forms, also behind white space or
      apostrophes, and text that begins with a tab or a line break.
      A lone surrogate, which UTF-8 cannot hold, becomes U+FFFD.

    ``pandas.read_csv`` reads it back: text with ``dtype="str", keep_default_na=False`` (else "007"
    becomes 7 and "NA" becomes NaN), moments by ``pandas.to_datetime(…, utc=True)``, lists by
    ``json.loads``. Missing text and empty text are both an empty cell.

    DuckDB and Polars find moments, numbers and flags by themselves. Like every reader they guess
    from the values alone, and quotes do not help: text that looks like something else, as a
    gender that is only ever ``f`` does to DuckDB, needs its type, see ``sql_types``.

    For spreadsheets three things differ, and formulas become text all the same:

    - a byte order mark in front, without which Excel misreads letters beyond ASCII
      (``pandas.read_csv`` skips it in a file; in text, drop ``\ufeff``).
    - moments: ``2026-01-09 20:26:10``, which spreadsheets read as a date and time; fractions of a
      second are cut off. The header of a column in UTC ends in `` (UTC)``.
    - ``-inf`` gets an apostrophe, as a spreadsheet would take it for a formula.

    A spreadsheet shows text such as "007" or "1e5" as a number unless the column is imported as
    text.

    Args:
        frame: Any frame.
        path: A file, which is replaced in one step, or a pipe or a device, which is written to.
        for_spreadsheets: Write what a person opens in a spreadsheet, not what a program reads.

    Returns:
        The CSV text, with the byte order mark if there is one; with ``path`` that path.

    Raises:
        StoreError: The file cannot be written; the old one is as it was.

    Source:
        OWASP, "CSV Injection"; RFC 4180 for the quotes.
    """
    columns = []
    for i, name in enumerate(frame):
        column = frame.iloc[:, i]
        header = f"{name} (UTC)" if for_spreadsheets and _is_in_utc(column) else str(name)
        columns.append([_text(header), *_cells(column, for_spreadsheets)])
    if len(columns) == 1:
        # Readers skip empty lines.
        columns = [[cell or '""' for cell in columns[0]]]
    text = "".join(",".join(cells) + "\n" for cells in zip(*columns, strict=True))
    if for_spreadsheets:
        text = f"{BYTE_ORDER_MARK}{text}"
    if path is None:
        return text
    try:
        replace_file(Path(path), text.encode())
    except OSError as error:
        raise StoreError(
            f"{path} cannot be written: {error.strerror}; choose another path."
        ) from error
    return Path(path)


def sql_types(frame: pd.DataFrame) -> dict[str, str]:
    """Return the SQL type of each column, with which a database reads its CSV exactly.

    ``duckdb.read_csv(path, dtype=export.sql_types(frame))``; for Polars
    ``pl.read_csv(path, try_parse_dates=True, schema_overrides={name: pl.String for name, sql in
    export.sql_types(frame).items() if sql == "VARCHAR"})``.

    Args:
        frame: The frame that was written by ``to_csv``, not for spreadsheets.

    Returns:
        By column: ``TIMESTAMPTZ``, ``TIMESTAMP`` (moments without a time zone), ``BOOLEAN``,
        ``BIGINT``, ``DOUBLE``, or ``VARCHAR`` for everything else, lists as JSON included.
    """
    return {str(name): _sql_type(frame.iloc[:, i].dtype) for i, name in enumerate(frame)}


def _sql_type(dtype: Any) -> str:
    if isinstance(dtype, pd.DatetimeTZDtype):
        return "TIMESTAMPTZ"
    tests = {
        "TIMESTAMP": pd.api.types.is_datetime64_dtype,
        "BOOLEAN": pd.api.types.is_bool_dtype,
        "BIGINT": pd.api.types.is_integer_dtype,
        "DOUBLE": pd.api.types.is_float_dtype,
    }
    return next((name for name, fits in tests.items() if fits(dtype)), "VARCHAR")


def add_personas(
    frame: pd.DataFrame, personas: pd.DataFrame, sightings: pd.DataFrame, *, now: datetime
) -> pd.DataFrame:
    """Return the frame with the name and the end of the persona of each row.

    Args:
        frame: Any frame; one without ``persona_id`` is returned as it is.
        personas: ``store.personas()``.
        sightings: ``store.sightings()``.
        now: The moment on the session's clock.

    Returns:
        The same rows and columns, with these after ``persona_id``:

        - ``creator_name``: text; the frame's own one where it has that column.
        - ``end``: text; ``done``, ``failed`` or ``rejected``; missing while no end was seen.
        - ``end_seen_at``: datetime64[us, UTC], by when it had ended: ``ended_before`` of
          ``stages.lives``; NaT while no end was seen.

    Raises:
        ValueError: ``now`` has no time zone, or a column is missing.
    """
    if "persona_id" not in frame:
        return frame
    lives = stages.lives(sightings, now=now, personas=personas)
    ended = lives.loc[lives["state"] != stages.RUNNING]
    added = {
        "creator_name": _of_personas(frame, personas, "creator_name"),
        "end": _of_personas(frame, ended, "state"),
        "end_seen_at": _of_personas(frame, ended, "ended_before"),
    }
    if "creator_name" in frame:
        added["creator_name"] = frame["creator_name"]
    rest = frame.drop(columns=list(added), errors="ignore")
    place = rest.columns.tolist().index("persona_id") + 1
    return pd.concat([rest.iloc[:, :place], pd.DataFrame(added), rest.iloc[:, place:]], axis=1)


def _of_personas(frame: pd.DataFrame, source: pd.DataFrame, column: str) -> pd.Series[Any]:
    """Return a column of ``source``, which has a row a persona, for the rows of ``frame``."""
    values = source.drop_duplicates("persona_id").set_index("persona_id")[column]
    return values.reindex(frame["persona_id"]).set_axis(frame.index)


def _is_in_utc(column: pd.Series[Any]) -> bool:
    """Tell whether a column holds moments that are written in UTC."""
    if column.dtype != object:
        return isinstance(column.dtype, pd.DatetimeTZDtype)
    return any(isinstance(value, datetime) and value.tzinfo is not None for value in column)


def _cells(column: pd.Series[Any], for_spreadsheets: bool) -> list[str]:
    """Return the cells of a column, quoted where needed."""
    is_aware = isinstance(column.dtype, pd.DatetimeTZDtype)
    if is_aware or pd.api.types.is_datetime64_dtype(column.dtype):
        moments = (column.dt.tz_convert(None) if is_aware else column).to_numpy()
        if for_spreadsheets:
            return [text.replace("T", " ") for text in _moments(moments.astype("datetime64[s]"))]
        in_us = moments.astype("datetime64[us]")
        is_finer = bool((in_us != moments)[~np.isnat(moments)].any())
        return _moments(moments if is_finer else in_us, "+00:00" if is_aware else "")
    return [_cell(value, for_spreadsheets) for value in column.tolist()]


def _moments(moments: np.ndarray[Any, np.dtype[np.datetime64]], offset: str = "") -> list[str]:
    texts = np.datetime_as_string(moments).tolist()
    return ["" if text == "NaT" else f"{text}{offset}" for text in texts]


def _cell(value: Any, for_spreadsheets: bool) -> str:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, (list, tuple, dict)):
        return _quoted(json.dumps(value, ensure_ascii=False))
    if value is None or pd.isna(value):
        return ""
    if isinstance(value, (bool, np.bool_)):
        return str(bool(value))
    if isinstance(value, (int, np.integer)):
        return str(int(value))
    if isinstance(value, (float, np.floating)):
        number = repr(float(value))
        return _text(number) if for_spreadsheets and number == "-inf" else number
    if isinstance(value, datetime):
        aware = value.astimezone(UTC) if value.tzinfo else value
        if for_spreadsheets:
            return aware.replace(tzinfo=None).isoformat(" ", "seconds")
        return aware.isoformat(timespec="microseconds")
    return _text(str(value))


def _text(value: str) -> str:
    return _quoted(f"'{value}" if _FORMULA.match(value) else value)


def _quoted(value: str) -> str:
    value = _SURROGATE.sub("\ufffd", value)
    return '"' + value.replace('"', '""') + '"' if _NEEDS_QUOTES.search(value) else value
