"""Draw total times by submission, with percentiles (cycle time)."""

from __future__ import annotations

import altair as alt
import numpy as np
import pandas as pd

from avatarkit.reports.charts import style
from avatarkit.text import in_words, stage_name, took

DRAWN = 600
"""Maximum of personas that are drawn."""

RANGES = 60
"""Maximum of personas whose bounds are drawn, too."""

_HEIGHT_PX = 300
_REACH = 2.0

_P50 = "half took at most"
_P90 = "9 of 10 took at most"
_P10 = "1 in 10 took at most"
_RUNNING = "still running, so far"
_BEYOND = "beyond the axis"
# Ordered so that the lines and the rare ends have the theme's strongest colours.
_PARTS = {
    _P50: (1.0, style.LINE, style.SOLID),
    _P90: (0.99, style.LINE, [7, 3]),
    _P10: (0.98, style.LINE, [2, 3]),
    "Rejected": (0.8, "cross", style.SOLID),
    "Done": (0.5, "circle", style.SOLID),
    "Failed": (0.81, "diamond", style.SOLID),
    _RUNNING: (0.55, "triangle-up", style.SOLID),
    _BEYOND: (1.0, "arrow", style.SOLID),
}
_LINES = {"p50_h": _P50, "p90_h": _P90, "p10_h": _P10}


def waiting(totals: pd.DataFrame, percentiles: pd.DataFrame) -> alt.LayerChart:
    """Draw whether waiting times have changed.

    A point a persona, at its submission and its total time: the middle of the bounds, for a running
    one what it is so far. Up to 60 personas the bounds are drawn as well; of more than 600, 600 are
    drawn, evenly over time, and the axis says so. Over them a line a period for each percentile
    that is known. A point beyond twice the longest percentile stands at the end of the axis.

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
    beyond, size = points["part"] == _BEYOND, 70 if len(points) <= RANGES else 28

    drawn = pd.concat([lines["part"], points["part"]])
    legend = style.legend([part for part in _PARTS if (drawn == part).any()])
    opacities, shapes, dashes = (
        dict(zip(_PARTS, values, strict=True)) for values in zip(*_PARTS.values(), strict=True)
    )
    colour = style.by_name(alt.Color, "part", _PARTS, legend)
    opacity = style.by_name(alt.Opacity, "part", opacities, legend)
    shape = style.by_name(alt.Shape, "part", shapes, legend)
    dash = style.by_name(alt.StrokeDash, "part", dashes, legend)
    note = f"; {len(points):,} of {len(totals):,} drawn" if len(points) < len(totals) else ""
    domain = [style.as_value(moment) for moment in (begin, until)]
    submitted, period = (
        alt.X(
            f"{column}:T",
            title=f"Submitted (UTC){note}",
            scale=alt.Scale(type="utc", domain=domain, nice=False),
            axis=style.moments_axis(),
        )
        for column in ("submitted_at", "since")
    )
    y = {
        column: style.hours(alt.Y, column, "Total time in hours", end)
        for column in ("at_h", "low", "hours")
    }
    tips = [
        "persona_id",
        *style.moment_tooltips(submitted_at="Submitted"),
        alt.Tooltip("part:N", title="End"),
        alt.Tooltip("took:N", title="Took"),
    ]
    line_tips = [
        *style.moment_tooltips(**{"from": "Submitted from", "to": "To"}),
        alt.Tooltip("part:N", title="Percentile"),
        alt.Tooltip("took:N", title="Took"),
        alt.Tooltip("n:Q", title="Avatars"),
        alt.Tooltip("running:Q", title="Still running"),
    ]
    symbols = {"opacity": opacity, "shape": shape, "color": colour, "tooltip": tips}
    layers = [
        alt.Chart(bounds)
        .mark_rule(strokeWidth=3, opacity=0.35)
        .encode(x=submitted, y=y["low"], y2="high", color=colour, tooltip=tips),
        alt.Chart(points[~beyond])
        .mark_point(filled=True, size=size)
        .encode(x=submitted, y=y["at_h"], **symbols),
        alt.Chart(points[beyond])
        .mark_point(filled=True, size=200)
        .encode(x=submitted, y=y["at_h"], **symbols),
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
        took=lines["hours"].map(in_words).astype("str"),
        since=lines["from"].where(lines["from"] > begin, begin),
        until=lines["to"].where(lines["to"] < until, until),
    )


def _end(totals: pd.DataFrame, lines: pd.DataFrame) -> float:
    """Return the end of the axis: one endless wait must not squeeze all others."""
    longest, percentile = style.longest(totals[["min_h", "max_h"]]), style.longest(lines[["hours"]])
    if percentile > 0:
        longest = min(longest, _REACH * percentile)
    return longest * 1.05 or 1.0


def _points(totals: pd.DataFrame, end: float) -> pd.DataFrame:
    running = ~np.isfinite(totals["max_h"].to_numpy())
    high = totals["max_h"].where(~running, totals["min_h"])
    middle = (totals["min_h"] + high) / 2
    ends = totals["state"].map(stage_name)
    part = ends.where(totals["state"] != "running", _RUNNING).where(middle <= end, _BEYOND)
    bounds = zip(totals["state"], totals["min_h"], totals["max_h"], strict=True)
    return pd.DataFrame(
        {
            "persona_id": totals["persona_id"],
            "submitted_at": totals["submitted_at"],
            "part": part,
            "took": [took(*row) for row in bounds],
            "low": totals["min_h"].clip(upper=end),
            # Within the axis, so that the whole symbol is seen.
            "at_h": middle.where(middle <= end, 0.97 * end),
            "high": high.clip(upper=end),
        }
    )
