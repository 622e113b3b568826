"""Moments as the viewer's clock shows them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import streamlit as st

from avatarkit.ui import moments
from avatarkit.ui.running import Running

AT = datetime(2026, 12, 18, 13, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "expected"),
    [
        ("Europe/Berlin", "Fri 18 Dec, 14:05 CET"),
        ("Asia/Dubai", "Fri 18 Dec, 17:05 UTC+04"),
        ("", "Fri 18 Dec, 13:05 UTC"),
        ("../etc/passwd", "Fri 18 Dec, 13:05 UTC"),
    ],
)
def test_a_moment_is_of_the_viewers_zone(
    zone: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A moment is shown in the zone of the browser, with its name; in UTC if that is not known."""
    monkeypatch.setattr(type(st.context), "timezone", property(lambda _: zone))
    assert moments.exact(AT) == expected


def test_how_far_is_by_our_own_clock(app: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a sandbox whose clock is fast, two days ahead are seconds of ours, and it says so."""
    session: Any = app.session
    monkeypatch.setattr(type(session), "sandbox_speed", 3600)
    assert moments.distance(AT + timedelta(days=2), AT) == "in 48 s"
    assert moments.distance(AT, AT + timedelta(days=2)) == "48 s ago"
    assert moments.distance(AT, AT) == "now"
    assert moments.full(AT + timedelta(days=2), AT).endswith("on the sandbox's clock, in 48 s")
