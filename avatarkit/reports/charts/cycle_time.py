"""Draw total times by submission, with percentiles (cycle time)."""

from __future__ import annotations

from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from avatarkit.reports.charts import style
from avatarkit.reports.tables import times_taken
from avatarkit.text import format_hours, stage_name

DRAWN = 600
"""Maximum of personas that are drawn."""

RANGES = 60
"""Maximum of personas up to which the bounds are drawn as well."""

_HEIGHT_PX = 300
_REACH = 2.0

_P50 = style.Part("half took at most", 1.0)
_P90 = style.Part("9 of 10 took at most", 0.99, dash=[7, 3])
_P10 = style.Part("1 in 10 took at most", 0.98, dash=[2, 3])
_REJECTED = style.Part("Rejected", 0.8, "cross")
_DONE = style.Part("Done", 0.5, "circle")
_FAILED = style.Part("Failed", 0.81, "diamond")
_RUNNING = style.Part("still running, so far", 0.55, "triangle-up")
_BEYOND = style.Part("beyond the axis", 1.0, "arrow")
# Ordered so that the lines and the rare ends have the theme's strongest colours.
_PARTS = (_P50, _P90, _P10, _REJECTED, _DONE, _FAILED, _RUNNING, _BEYOND)
_LINES = {"p50_h": _P50.name, "p90_h": _P90.name, "p10_h": _P10.name}


def waiting(totals: pd.DataFrame, percentiles: pd.DataFrame) -> alt.LayerChart:
    """Draw whether waiting times have changed.

    A point a persona, at its submission and its total time: the middle of the bounds, or the time
    so far while it runs. Up to 60 personas the bounds are drawn as well; of more than 600, 600 are
    drawn, evenly over time, and the axis says so. Over them are lines for the known percentiles of
    each period. A point beyond twice the longest percentile is drawn at the end of the axis.

    Args:
        totals: The frame of ``flow.waiting``.
        percentiles: The frame of ``flow.waiting_percentiles``.

    Returns:
        A chart of hours by submission (UTC); without a persona, "Nothing to show yet".
    """
    title = "Did waiting times change?"
    if totals.empty:
        return style.nothing(title)
    begin = totals["submitted_at"].min().floor("D")
    until = max(totals["submitted_at"].max().ceil("D"), begin + pd.Timedelta(days=1))
    lines = _lines(percentiles, begin, until)
    end = _end(totals, lines)
    points = _points(totals.iloc[style.evenly(len(totals), DRAWN)], end)
    bounds = points.loc[points["low"] < points["high"]] if len(totals) <= RANGES else points.head(0)
    drawn = pd.concat([lines["part"], points["part"]])
    colour, opacity, shape, dash = style.by_part(_PARTS, drawn)
    note = f"; {len(points):,} of {len(totals):,} drawn" if len(points) < len(totals) else ""
    domain = [style.as_value(moment) for moment in (begin, until)]
    scale = alt.Scale(type="utc", domain=domain, nice=False)
    submitted, period = (
        alt.X(f"{column}:T", title=f"Submitted (UTC){note}", scale=scale, axis=style.moments_axis())
        for column in ("submitted_at", "since")
    )
    y = {
        column: style.hours(alt.Y, column, "Total time in hours", end)
        for column in ("at_h", "low", "hours")
    }
    titles = {"submitted_at": "Submitted", "part": "End", "took": "Took"}
    tips = ["persona_id", *style.tooltips(titles, {"submitted_at": style.MOMENT})]
    titles = {"from": "Submitted from", "to": "To", "part": "Percentile", "took": "Took"}
    titles |= {"n": "Avatars", "running": "Still running"}
    line_tips = style.tooltips(titles, {"from": style.MOMENT, "to": style.MOMENT})
    symbols: dict[str, Any] = {"opacity": opacity, "shape": shape, "color": colour, "tooltip": tips}
    beyond, size = points["part"] == _BEYOND.name, 70 if len(points) <= RANGES else 28
    layers = [
        alt.Chart(bounds)
        .mark_rule(strokeWidth=3, opacity=0.35)
        .encode(x=submitted, y=y["low"], y2="high", color=colour, tooltip=tips),
        style.points(points[~beyond], size=size).encode(x=submitted, y=y["at_h"], **symbols),
        style.points(points[beyond], size=200).encode(x=submitted, y=y["at_h"], **symbols),
        alt.Chart(lines)
        .mark_rule(strokeWidth=2.5)
        .encode(x=period, x2="until:T", y=y["hours"], color=colour, tooltip=line_tips)
        .encode(opacity=opacity, strokeDash=dash),
    ]
    return style.chart(layers, title, height=_HEIGHT_PX)


def _lines(percentiles: pd.DataFrame, begin: pd.Timestamp, until: pd.Timestamp) -> pd.DataFrame:
    """Return a row a period and known percentile, cut to ``begin`` and ``until``."""
    parts = [
        percentiles[["from", "to", "n", "running"]].assign(hours=percentiles[name], part=part)
        for name, part in _LINES.items()
    ]
    lines = pd.concat(parts, ignore_index=True).dropna(subset="hours")
    return lines.assign(
        took=lines["hours"].map(format_hours).astype("str"),
        since=lines["from"].where(lines["from"] > begin, begin),
        until=lines["to"].where(lines["to"] < until, until),
    )


def _end(totals: pd.DataFrame, lines: pd.DataFrame) -> float:
    """Return the end of the axis; very long waits lie beyond it, as they would squeeze others."""
    longest, percentile = style.longest(totals[["min_h", "max_h"]]), style.longest(lines[["hours"]])
    if percentile > 0:
        longest = min(longest, _REACH * percentile)
    return longest * 1.05 or 1.0


def _points(totals: pd.DataFrame, end: float) -> pd.DataFrame:
    running = ~np.isfinite(totals["max_h"].to_numpy())
    high = totals["max_h"].where(~running, totals["min_h"])
    middle = (totals["min_h"] + high) / 2
    ends = totals["state"].map(stage_name)
    part = ends.where(totals["state"] != "running", _RUNNING.name)
    part = part.where(middle <= end, _BEYOND.name)
    return pd.DataFrame(
        {
            "persona_id": totals["persona_id"],
            "submitted_at": totals["submitted_at"],
            "part": part,
            "took": times_taken(totals),
            "low": totals["min_h"].clip(upper=end),
            # Inside the axis, so that the whole symbol is visible.
            "at_h": middle.where(middle <= end, 0.97 * end),
            "high": high.clip(upper=end),
        }
    )
