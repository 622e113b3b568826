"""Frames as CSV that a spreadsheet can open and a program can read back.

The units are in the names of the columns: ``_h`` is hours, and what ends in ``_at``, ``_after`` or
``_before`` is a moment in UTC.
"""

from __future__ import annotations

import io
import json
import os
import re
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from avatarkit.errors import StoreError

_MOMENT = re.compile(r"_(at|after|before)$")
_WHOLE = frozenset({"visit_no", "times_seen", "n", "finished", "running", "never_seen"})
_FLAGS = frozenset({"is_active", "gone", "late", "first", "inside"})
_LISTS = frozenset({"labels"})

# What a spreadsheet skips before it looks for a formula: white space, control and zero-width signs.
_SKIPPED = r"\s\x00-\x1f\x7f-\x9f\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u2064\ufeff"
_FORMULA = re.compile(rf"'*(?:[\t\r\n]|[{_SKIPPED}]*[=+\-@\uff1d\uff0b\uff0d\uff20])")
_QUOTED = re.compile(r'[",;|\t\r\n\x00]|^\s|\s$')
_SURROGATE = re.compile(r"[\ud800-\udfff]")


def to_csv(frame: pd.DataFrame, path: str | os.PathLike[str] | None = None) -> str:
    r"""The frame as CSV text, and written to ``path`` when one is given.

    A header and one line a row, without the index; comma, ``\n`` on every platform, UTF-8 without
    a byte order mark. Cells:

    - moments: ISO 8601 in UTC with microseconds, ``2026-01-09T20:26:10.074640+00:00`` (with
      nanoseconds where the column has them; a naive moment without the offset).
    - numbers as Python writes them, so that they read back to the last bit; ``inf`` for no end.
    - flags ``True`` and ``False``; lists and mappings as JSON; nothing for NaN, NaT and None.
    - text as it is, but what a spreadsheet would run gets a leading apostrophe: text that begins
      with ``=``, ``+``, ``-``, ``@`` or their full-width forms, also behind white space or
      apostrophes, and text that begins with a tab or a line break. ``read_csv`` takes it away.
      Half a surrogate pair, which UTF-8 cannot hold, becomes U+FFFD.

    Everything that got no apostrophe is read back exactly by ``pandas.read_csv``, text with
    ``dtype="str", keep_default_na=False`` (else "007" becomes 7 and "NA" becomes NaN), moments by
    ``pandas.to_datetime(…, utc=True)``, lists by ``json.loads``. Missing text and empty text are
    both an empty cell.

    The file is replaced at once or not at all. Raises ``StoreError`` when it cannot be written.

    Source: OWASP, "CSV Injection"; RFC 4180 for the quotes.
    """
    columns = [[_text(str(name)), *_cells(frame.iloc[:, i])] for i, name in enumerate(frame)]
    if len(columns) == 1:
        # An empty line would be skipped by whoever reads it.
        columns = [[cell or '""' for cell in columns[0]]]
    text = "".join(",".join(cells) + "\n" for cells in zip(*columns, strict=True))
    if path is not None:
        _write(text, Path(path))
    return text


def read_csv(source: str | os.PathLike[str]) -> pd.DataFrame:
    r"""What ``to_csv`` wrote, with its types and without the apostrophes.

    ``source`` is a path, or the text itself (a ``str`` with a line break in it). Columns whose
    names end in ``_at``, ``_after`` or ``_before`` come back as datetime64[us, UTC], in ``_h`` as
    float64, counts as int64, ``is_active`` and ``gone`` as boolean, ``labels`` as lists; all
    others as text, in which an empty cell is the empty string.

    Raises ``StoreError`` when the file cannot be read or is not such a CSV.
    """
    is_text = isinstance(source, str) and "\n" in source
    what = "This text" if is_text else str(source)
    try:
        text = source if is_text else Path(source).read_bytes().decode()
        frame = pd.read_csv(io.StringIO(str(text)), dtype="str", keep_default_na=False)
        frame = frame.rename(columns=_unescaped)
        return pd.DataFrame({name: _typed(str(name), frame[name]) for name in frame})
    except OSError as error:
        raise StoreError(
            f"{what} cannot be read: {error.strerror}; choose another path."
        ) from error
    except ValueError as error:
        raise StoreError(
            f"{what} is not a CSV that avatarkit wrote ({_first_line(error)}); export it again."
        ) from error


def _cells(column: pd.Series[Any]) -> list[str]:
    """The cells of a column as they stand in the file, quoted where needed."""
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        moments = column.dt.tz_convert("UTC").dt.tz_localize(None)
        return _moments(moments.to_numpy(), "+00:00")
    if pd.api.types.is_datetime64_dtype(column.dtype):
        return _moments(column.to_numpy(), "")
    return [_cell(value) for value in column.tolist()]


def _moments(moments: np.ndarray[Any, np.dtype[np.datetime64]], offset: str) -> list[str]:
    in_us = moments.astype("datetime64[us]")
    finer = bool((in_us != moments)[~np.isnat(moments)].any())
    texts = np.datetime_as_string(moments if finer else in_us).tolist()
    return ["" if text == "NaT" else f"{text}{offset}" for text in texts]


def _cell(value: Any) -> str:
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
        return repr(float(value))
    if isinstance(value, datetime):
        aware = value.astimezone(UTC) if value.tzinfo else value
        return aware.isoformat(timespec="microseconds")
    return _text(str(value))


def _text(value: str) -> str:
    return _quoted(f"'{value}" if _FORMULA.match(value) else value)


def _quoted(value: str) -> str:
    value = _SURROGATE.sub("\ufffd", value)
    return '"' + value.replace('"', '""') + '"' if _QUOTED.search(value) else value


def _unescaped(value: str) -> str:
    return value[1:] if value.startswith("'") and _FORMULA.match(value, 1) else value


def _typed(name: str, cells: pd.Series[str]) -> Any:
    if _MOMENT.search(name):
        return pd.to_datetime(cells, utc=True, format="ISO8601").astype("datetime64[us, UTC]")
    if name.endswith("_h"):
        return cells.map(lambda cell: float(cell or "nan")).astype("float64")
    if name in _WHOLE:
        return cells.astype("int64")
    if name in _FLAGS:
        return cells.map({"True": True, "False": False}).astype("boolean")
    if name in _LISTS:
        return cells.map(lambda cell: json.loads(cell) if cell else None).astype("object")
    return cells.map(_unescaped).astype("str")


def _first_line(error: ValueError) -> str:
    return str(error).partition("\n")[0].rstrip(".")


def _write(text: str, path: Path) -> None:
    data = text.encode()
    try:
        target = path.resolve()
        if target.exists() and not target.is_file():
            # A directory refuses; a pipe or a device is written to, not replaced.
            target.write_bytes(data)
            return
        beside = target.with_name(f".{target.name[:100]}.{secrets.token_hex(6)}")
        try:
            with beside.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(target)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(
            f"{path} cannot be written: {error.strerror}; choose another path."
        ) from error
