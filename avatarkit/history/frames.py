"""Check and convert frames; shared by everything that is computed from the log."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
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
