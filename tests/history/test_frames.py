"""Checks and conversions of frames."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from avatarkit.history import frames

DAY = datetime(2026, 3, 2, tzinfo=UTC)


def test_a_missing_column_is_named_with_what_to_pass_instead() -> None:
    """All missing columns stand in the sentence; a complete frame passes."""
    frame = pd.DataFrame({"a": [1]})
    frames.require_columns(frame, ("a",), "rows", "store.rows()")
    with pytest.raises(ValueError, match=r"^rows has no column b, c; pass store\.rows\(\)\.$"):
        frames.require_columns(frame, ("a", "b", "c"), "rows", "store.rows()")


def test_a_moment_without_a_zone_is_refused() -> None:
    """The error names the session's clock."""
    frames.require_aware(DAY)
    with pytest.raises(ValueError, match=r"now must carry a time zone; .*clock\.now"):
        frames.require_aware(DAY.replace(tzinfo=None))


def test_moments_become_utc_and_back() -> None:
    """Whatever the zone, the moment is the same; NaT stays NaT."""
    series = pd.Series([pd.Timestamp(DAY), pd.NaT]).astype("datetime64[us, UTC]")
    moments = frames.utc_moments(series.dt.tz_convert("Asia/Tokyo"))
    assert moments[0] == frames.utc_moment(DAY) == np.datetime64("2026-03-02")
    pd.testing.assert_series_equal(frames.utc_series(moments), series)
    assert frames.hours(series - pd.Timestamp(DAY)).tolist()[0] == 0
