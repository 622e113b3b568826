"""Format hours, statuses, time zones and foreign text for charts, tables, notes and pages."""

from __future__ import annotations

import math
import re
from datetime import datetime, tzinfo

_MARKUP = re.compile(r"[\\`*_\[\]<>#|~$:]|^\s*[-+=]|(?<=\d)[.)](?=\s)", re.MULTILINE)

# Where an address is split, which Markdown makes a link of, escaped or not: "://", "www.", "@".
_LINK = re.compile(r"(?<=:)(?=//)|(?<=www)(?=\.)|(?<=\S)(?=@)", re.IGNORECASE)

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")

WEBHOOK_PATH = "/webhooks/personas/"
"""The path at which webhooks arrive, without the secret token at its end."""

# JSON may escape slashes, URLs may encode them, and proxies may double them.
_PATH_PATTERN = WEBHOOK_PATH.replace("/", r"(?:\\?/|\\u002f|%2f)+")
_WEBHOOK_TOKEN = re.compile(rf"""({_PATH_PATTERN})[^\s/\\"'<>?#,&]+""", re.IGNORECASE)


def plain(text: object) -> str:
    """Escape Markdown in foreign text, so that it is shown as it is: no link, no picture.

    Addresses get an invisible word joiner (U+2060), as Markdown has no other way to keep them from
    being links.
    """
    unlinked = _LINK.sub("\u2060", str(text))
    return _MARKUP.sub(lambda match: f"{match[0][:-1]}\\{match[0][-1]}", unlinked)


def printable(text: object) -> str:
    """Replace control characters but tabs and line ends, which would drive a terminal."""
    return _CONTROL.sub("\ufffd", str(text))


def hide_webhook_token(text: str) -> str:
    """Replace the token in the addresses at which webhooks arrive by ``[token]``."""
    return _WEBHOOK_TOKEN.sub(r"\1[token]", text)


def format_hours(hours: float) -> str:
    """Format hours, such as ``40 s``, ``12 min``, ``2 h 5 min``, ``1 d 4 h``.

    NaN is ``unknown``, inf ``no end``.
    """
    if math.isnan(hours):
        return "unknown"
    if math.isinf(hours):
        return "no end"
    if hours < 0:
        return f"-{format_hours(-hours)}"
    seconds = round(hours * 3600)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 600:
        return _two_units(seconds, 60, "min", "s")
    minutes = round(hours * 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 24 * 60:
        return _two_units(minutes, 60, "h", "min")
    return _two_units(round(hours), 24, "d", "h")


def _two_units(amount: int, per_large: int, large_unit: str, small_unit: str) -> str:
    large, small = divmod(amount, per_large)
    return f"{large} {large_unit} {small} {small_unit}" if small else f"{large} {large_unit}"


def format_bounds(state: str, min_h: float, max_h: float) -> str:
    """Format the bounds of a visit's time: ``2 h to 3 h``, ``at most 1 h``, ``2 h so far``.

    Args:
        state: The visit's ``state``.
        min_h: Lower bound in hours.
        max_h: Upper bound in hours, inf for none.
    """
    lower, upper = format_hours(min_h), format_hours(max_h)
    if state == "running":
        return f"{lower} so far"
    if math.isinf(max_h):
        return f"at least {lower}"
    if min_h == 0:
        return f"at most {upper}"
    return lower if lower == upper else f"{lower} to {upper}"


def stage_name(stage: str) -> str:
    """Format a status: ``video_validating`` becomes "Video validating"."""
    return stage.replace("_", " ").strip().capitalize() or stage


def zone_name(at: datetime, zone: tzinfo) -> str:
    """Return the short name of a time zone at a moment, such as ``CET`` or ``UTC+03``."""
    name = at.astimezone(zone).tzname() or "UTC"
    return f"UTC{name}" if name[0] in "+-" else name
