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
from typing import Any

import numpy as np
import pandas as pd

from avatarkit.errors import StoreError
from avatarkit.files import replace_file

# Characters that spreadsheets skip before a formula: white space, control and zero-width ones.
_SKIPPED = r"\s\x00-\x1f\x7f-\x9f\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u2064\ufeff"
_FORMULA = re.compile(rf"'*(?:[\t\r\n]|[{_SKIPPED}]*[=+\-@\uff1d\uff0b\uff0d\uff20])")
_NEEDS_QUOTES = re.compile(r'[",;|\t\r\n\x00]|^\s|\s$')
_SURROGATE = re.compile(r"[\ud800-\udfff]")


def to_csv(frame: pd.DataFrame, path: str | os.PathLike[str] | None = None) -> str:
    r"""Return the frame as CSV text, and write it to ``path`` when one is given.

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

    Args:
        frame: Any frame.
        path: A file, which is replaced in one step, or a pipe or a device, which is written to.

    Returns:
        The CSV text.

    Raises:
        StoreError: The file cannot be written; the old one is as it was.

    Source:
        OWASP, "CSV Injection"; RFC 4180 for the quotes.
    """
    columns = [[_text(str(name)), *_cells(frame.iloc[:, i])] for i, name in enumerate(frame)]
    if len(columns) == 1:
        # Readers skip empty lines.
        columns = [[cell or '""' for cell in columns[0]]]
    text = "".join(",".join(cells) + "\n" for cells in zip(*columns, strict=True))
    if path is not None:
        try:
            replace_file(Path(path), text.encode())
        except OSError as error:
            raise StoreError(
                f"{path} cannot be written: {error.strerror}; choose another path."
            ) from error
    return text


def _cells(column: pd.Series[Any]) -> list[str]:
    """Return the cells of a column, quoted where needed."""
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        return _moments(column.dt.tz_convert(None).to_numpy(), "+00:00")
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
    return '"' + value.replace('"', '""') + '"' if _NEEDS_QUOTES.search(value) else value
