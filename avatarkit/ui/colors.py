"""Choose the colour of a badge for each status."""

from __future__ import annotations

from typing import Literal

BadgeColor = Literal["blue", "gray", "green", "orange", "primary", "red", "violet", "yellow"]

# The nearest to ``charts.style.STATUS_COLORS``; but green is for done alone, red for bad ends.
_COLORS: dict[str, BadgeColor] = {
    "pending": "blue",
    "processing": "primary",
    "voice_creating": "blue",
    "video_validating": "yellow",
    "crop_and_matte": "blue",
    "reviewing": "violet",
    "done": "green",
    "rejected": "red",
    "failed": "red",
}


def badge_color(status: str) -> BadgeColor:
    """Return the colour of a status's badge; Streamlit has eight, so that some share one."""
    return _COLORS.get(status, "gray")
