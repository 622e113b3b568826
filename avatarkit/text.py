"""Hours and statuses as people read them, in charts, tables, notes and on pages."""

from __future__ import annotations

import math
import re

_MARKS = re.compile(r"[\\`*_\[\]<>#|~$:]|^\s*[-+=]|(?<=\d)[.)](?=\s)", re.MULTILINE)


def plain(text: object) -> str:
    """Text that somebody else wrote, so that Markdown shows it as it is: no link, no picture."""
    return _MARKS.sub(lambda found: f"{found[0][:-1]}\\{found[0][-1]}", str(text))


def in_words(hours: float) -> str:
    """Hours as people say them, such as ``40 s``, ``12 min``, ``2 h 5 min``, ``1 d 4 h``.

    NaN is ``unknown``, inf ``no end``.
    """
    if math.isnan(hours):
        return "unknown"
    if math.isinf(hours):
        return "no end"
    if hours < 0:
        return f"-{in_words(-hours)}"
    seconds = round(hours * 3600)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 600:
        return _two(seconds // 60, "min", seconds % 60, "s")
    minutes = round(hours * 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 24 * 60:
        return _two(minutes // 60, "h", minutes % 60, "min")
    return _two(*((days := round(hours) // 24), "d"), round(hours) - days * 24, "h")


def _two(large: int, large_unit: str, small: int, small_unit: str) -> str:
    return f"{large} {large_unit} {small} {small_unit}" if small else f"{large} {large_unit}"


def took(state: str, min_h: float, max_h: float) -> str:
    """The bounds of a visit's time, such as ``2 h to 3 h``, ``at most 1 h``, ``2 h so far``."""
    least, most = in_words(min_h), in_words(max_h)
    if state == "running":
        return f"{least} so far"
    if math.isinf(max_h):
        return f"at least {least}"
    if min_h == 0:
        return f"at most {most}"
    return least if least == most else f"{least} to {most}"


def stage_name(stage: str) -> str:
    """A status as people read it: ``video_validating`` is "Video validating"."""
    return stage.replace("_", " ").strip().capitalize() or stage
