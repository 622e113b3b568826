"""Check and convert frames; shared by everything that is computed from the log."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

Moments = np.ndarray[Any, np.dtype[np.datetime64]]
Floats = np.ndarray[Any, np.dtype[np.float64]]
Integers = np.ndarray[Any, np.dtype[np.int64]]
Flags = np.ndarray[Any, np.dtype[np.bool_]]


def require_columns(frame: pd.DataFrame, names: Iterable[str], what: str, instead: str) -> None:
    """Check that a frame has these columns.

    Args:
        frame: The frame to check.
        names: The columns that it must have.
        what: What the caller calls the frame, for the error text.
        instead: What to pass instead, for the error text.

    Raises:
        ValueError: A column is missing.
    """
    if missing := [name for name in names if name not in frame.columns]:
        raise ValueError(f"{what} has no column {', '.join(missing)}; pass {instead}.")


def require_aware(now: datetime) -> None:
    """Check that a moment has a time zone.

    Raises:
        ValueError: It has none.
    """
    if now.tzinfo is None:
        raise ValueError("now must carry a time zone; use the session's clock: clock.now().")


def utc_moments(column: pd.Series[Any]) -> Moments:
    """Convert timestamps to NumPy moments in UTC (datetime64[us], without a time zone)."""
    aware = pd.to_datetime(column, utc=True)
    return np.asarray(aware.dt.tz_localize(None).to_numpy(), dtype="datetime64[us]")


def utc_series(moments: Moments) -> pd.Series[pd.Timestamp]:
    """Convert NumPy moments in UTC to ``datetime64[us, UTC]``; the inverse of ``utc_moments``."""
    return pd.Series(moments.astype("datetime64[us]")).dt.tz_localize("UTC")


def utc_moment(now: datetime) -> np.datetime64:
    """Convert an aware datetime to a NumPy moment in UTC."""
    return pd.Timestamp(now).tz_convert("UTC").tz_localize(None).to_datetime64()


def hours(spans: pd.Series[pd.Timedelta]) -> Floats:
    """Convert time spans to float hours; NaN for NaT."""
    return np.asarray(spans / pd.Timedelta(hours=1), dtype="float64")


REASONS = ("note", "failed_reason", "last_error", "error", "basis")
"""Columns whose texts are shown in full."""


class Frame(pd.DataFrame):
    """A DataFrame that shows moments to the minute and reasons in full.

    Only its display differs; it holds, computes and exports every value like any other.
    """

    @property
    def _constructor(self) -> type[Frame]:
        return Frame

    def __repr__(self) -> str:
        """Return the frame as text, cut to the options of pandas."""
        names = ("max_rows", "min_rows", "show_dimensions")
        options = {name: pd.get_option(f"display.{name}") for name in names}
        options |= {"max_cols": pd.get_option("display.max_columns")}
        formatters = self._formatters()
        with pd.option_context("display.max_colwidth", None):
            text = self.to_string(
                **options, formatters=formatters, line_width=pd.get_option("display.width")
            )
        return str(text)

    def _repr_html_(self) -> str | None:
        if not pd.get_option("display.notebook_repr_html"):
            return None
        rows: int | None = pd.get_option("display.max_rows")
        if rows and len(self) > rows:
            rows = pd.get_option("display.min_rows")
        formatters = self._formatters()
        with pd.option_context("display.max_colwidth", None):
            html = self.to_html(
                max_rows=rows or None,
                max_cols=pd.get_option("display.max_columns") or None,
                show_dimensions=pd.get_option("display.show_dimensions"),
                formatters=formatters,
                notebook=True,
            )
        return str(html)

    def _formatters(self) -> dict[Any, Callable[[Any], str]]:
        """Return how the columns of moments and of other texts than reasons are written."""
        width = pd.get_option("display.max_colwidth") or 0
        found: dict[Any, Callable[[Any], str]] = {}
        for name, dtype in self.dtypes.items():
            if isinstance(dtype, pd.DatetimeTZDtype):
                found[name] = _to_the_minute
            elif isinstance(dtype, pd.StringDtype) and name not in REASONS and width:
                found[name] = partial(_cut, width=width)
        return found


def _to_the_minute(moment: Any) -> str:
    return "NaT" if pd.isna(moment) else f"{moment:%Y-%m-%d %H:%M}{moment:%z}".replace("+0000", "Z")


def _cut(text: Any, width: int) -> str:
    line = " ".join(str(text).split())
    return line if len(line) <= width else f"{line[: width - 1]}…"
