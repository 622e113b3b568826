"""Colour the statuses."""

from __future__ import annotations

from typing import Literal

Color = Literal["blue", "gray", "green", "orange", "primary", "red", "violet", "yellow"]


def badge_color(status: str) -> Color:
    """Return the colour of the badge of a status."""
    colors: dict[str, Color] = {"done": "green", "failed": "red", "rejected": "red"}
    return colors.get(status, "blue")
