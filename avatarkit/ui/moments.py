"""Write moments as the viewer's clock shows them, and how far away they are."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

import streamlit as st

from avatarkit import text
from avatarkit.text import format_hours
from avatarkit.ui import running


def zone() -> tzinfo:
    """Return the time zone of the viewer's browser; UTC if it does not say."""
    try:
        return ZoneInfo(st.context.timezone or "UTC")
    except (ValueError, OSError):  # not a name, or not known on this machine
        return UTC


def zone_name(at: datetime) -> str:
    """Return the short name of the viewer's time zone at a moment: ``CET`` or ``UTC+03``."""
    return text.zone_name(at, zone())


def exact(at: datetime) -> str:
    """Write a moment in the viewer's time zone: ``Fri 18 Dec, 14:05 CET``."""
    local = at.astimezone(zone())
    # Windows has no %-d.
    return f"{local:%a} {local.day} {local:%b}, {local:%H:%M} {zone_name(at)}"


def distance(at: datetime, now: datetime) -> str:
    """Write how far away a moment is, in time of our own: ``in 2 d``, ``12 min ago``, ``now``.

    Args:
        at: The moment on the session's clock.
        now: The present moment on the same clock; a sandbox's runs faster than ours.
    """
    hours = (at - now).total_seconds() / 3600 / running.get().session.sandbox_speed
    if abs(hours) * 3600 < 1:
        return "now"
    return f"in {format_hours(hours)}" if hours > 0 else f"{format_hours(-hours)} ago"


def full(at: datetime, now: datetime) -> str:
    """Write a moment and how far away it is.

    ``Fri 18 Dec, 14:05 CET (in 2 d)``, and in a sandbox ``Fri 18 Dec, 14:05 CET on the sandbox's
    clock, in 40 s``.
    """
    if running.get().session.sandbox is None:
        return f"{exact(at)} ({distance(at, now)})"
    return f"{exact(at)} on the sandbox's clock, {distance(at, now)}"
