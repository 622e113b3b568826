"""Draw total times by submission, with percentiles (cycle time)."""

from __future__ import annotations

from datetime import UTC, tzinfo
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from avatarkit.history.groups import GROUP
from avatarkit.reports.charts import groups, style
from avatarkit.reports.tables import times_taken
from avatarkit.text import format_hours, stage_name, zone_name

DRAWN = 600
"""Maximum of personas that are drawn."""

RANGES = 60
"""Maximum of personas up to which the bounds are drawn as well."""

_HEIGHT_PX = 300
_REACH = 2.0

_LABEL_SHARE = 0.1
_PERCENTILES = {"p50_h": "half", "p90_h": "9 of 10", "p10_h": "1 in 10"}
_LINES = {column: f"{share} took at most" for column, share in _PERCENTILES.items()}
_DASHES = dict(zip(_LINES.values(), (style.SOLID, [7, 3], [2, 3]), strict=True))
_ENDS = {"done": "circle", "rejected": "cross", "failed": "diamond", "running": "triangle-up"}


def waiting(
    totals: pd.DataFrame, percentiles: pd.DataFrame, *, zone: tzinfo = UTC
) -> alt.LayerChart:
    """Draw whether waiting times have changed.

    A point a persona, at its submission and its total time: the middle of the bounds, or the time
    so far while it runs. Up to 60 personas the bounds are drawn as well; of more than 600, 600 are
    drawn, evenly over time, and the axis says so. Over them are lines for the known percentiles of
    each period, with the names of the last ones at their ends. A point beyond twice the longest
    percentile is an arrow at the end of the axis, and the axis says so.

    Args:
        totals: The frame of ``flow.waiting``; with groups, a chart for each.
        percentiles: The frame of ``flow.waiting_percentiles`` of these.
        zone: The time zone of the axis: UTC, or that of the browser which draws the chart.

    Returns:
        A chart of hours by submission; without a persona, "Nothing to show yet". With groups, their
        charts one below the other, each with its n, to one scale.

    Raises:
        ValueError: A persona or a period is there twice without a column ``group``, or only one of
            the frames has groups.
    """
    groups.require_one(totals, "persona_id")
    groups.require_one(percentiles, "from")
    if (GROUP in totals) != (GROUP in percentiles):
        raise ValueError("Both frames must have groups; compute both of the same flow.waiting().")
    if GROUP in totals and len(totals):
        span = _span(totals)
        end = _end(totals, _lines(percentiles, *span, zone))
        n = totals.groupby(GROUP, sort=False).size()
        options: dict[str, Any] = {"zone": zone, "span": span, "end": end}
        return groups.stacked(_waiting, n, totals, percentiles, **options)  # type: ignore[no-any-return]
    return _waiting(totals, percentiles, zone=zone)


def _span(totals: pd.DataFrame) -> tuple[pd.Timestamp, pd.Timestamp]:
    """Return the whole days of the first and the last submission."""
    begin = totals["submitted_at"].min().floor("D")
    return begin, max(totals["submitted_at"].max().ceil("D"), begin + pd.Timedelta(days=1))


def _waiting(
    totals: pd.DataFrame,
    percentiles: pd.DataFrame,
    *,
    zone: tzinfo,
    span: tuple[pd.Timestamp, pd.Timestamp] | None = None,
    end: float | None = None,
) -> alt.LayerChart:
    title = "Did waiting times change?"
    if totals.empty:
        return style.nothing(title)
    begin, until = span or _span(totals)
    lines = _lines(percentiles, begin, until, zone)
    end = end or _end(totals, lines)
    points = _points(totals.iloc[style.evenly(len(totals), DRAWN)], end, zone)
    bounds = points.loc[points["low"] < points["high"]] if len(totals) <= RANGES else points.head(0)
    beyond = points["beyond"]
    colour, shape = _colour_and_shape(points["part"])
    dash = style.by_name(alt.StrokeDash, "part", _DASHES, None)
    note = f"; {len(points):,} of {len(totals):,} drawn" if len(points) < len(totals) else ""
    domain = [style.as_value(moment) for moment in (begin, until)]
    submitted_in = f"Submitted ({zone_name(until, zone)}){note}"
    # A line of its own, as a phone would cut a longer one.
    title_x = [submitted_in, "Arrows: longer than shown"] if beyond.any() else submitted_in
    submitted = style.moments("submitted_at", title_x, zone, domain=domain, nice=False)
    hours_scale, names = alt.Scale(domain=[0, end], nice=False), _names(lines, end)
    y = {
        column: alt.Y(f"{column}:Q", scale=hours_scale, axis=None)
        for column in ("at_h", "low", "hours")
    }
    titles = {"submitted": "Submitted", "part": "End", "took": "Took"}
    tips = ["persona_id", *style.tooltips(titles)]
    titles = {"begin": "Submitted from", "end": "To", "part": "Percentile", "took": "Took"}
    line_tips = style.tooltips(titles | {"n": "Avatars", "running": "Still running"})
    symbols: dict[str, Any] = {"x": submitted, "y": y["at_h"], "color": colour, "tooltip": tips}
    size, opacity = (90, 1.0) if len(points) <= RANGES else (45, 0.75)
    layers = [
        # The axis is this layer's; the others have none, as the names at the right are one.
        style.invisible(points[["submitted_at", "at_h"]].head(1)).encode(
            x=submitted, y=style.hours(alt.Y, "at_h", "Total time in hours", end)
        ),
        alt.Chart(bounds)
        .mark_rule(strokeWidth=3, opacity=0.35)
        .encode(x=submitted, y=y["low"], y2="high", color=colour, tooltip=tips),
        style.points(points[~beyond], size=size, opacity=opacity).encode(**symbols, shape=shape),
        style.points(points[beyond], size=200, shape="arrow", opacity=1).encode(**symbols),
        alt.Chart(lines)
        .mark_rule(strokeWidth=2.5, color=style.FOREGROUND)
        # With the domain of the axis, Vega-Lite would warn that x2 has another one.
        .encode(x="since:T", x2="until:T", y=y["hours"], strokeDash=dash, tooltip=line_tips),
        style.names_beside(
            names, names["name"], names["colour"], x="until", y="beside", scale=hours_scale
        ),
    ]
    return style.chart(layers, title, height=_HEIGHT_PX, axes_at_both_sides=True)


def _colour_and_shape(drawn: pd.Series[str]) -> tuple[alt.Color, alt.Shape]:
    """Return colour and shape of each end, with one legend."""
    names = {status: stage_name(status) for status in _ENDS}
    legend = style.legend(
        [name for name in names.values() if (drawn == name).any()], symbolOpacity=1
    )
    colours = {name: style.status_color(status) for status, name in names.items()}
    shapes = {name: _ENDS[status] for status, name in names.items()}
    return (
        style.by_name(alt.Color, "part", colours, legend),
        style.by_name(alt.Shape, "part", shapes, legend),
    )


def _names(lines: pd.DataFrame, end: float) -> pd.DataFrame:
    """Return a row a line of the last period: its name and time, and the height of its label."""
    last: pd.DataFrame = lines.loc[lines["until"] == lines["until"].max()].sort_values(
        "hours", ignore_index=True
    )
    shares = {part: _PERCENTILES[column] for column, part in _LINES.items()}
    names: pd.DataFrame = last.assign(
        name=last["part"].map(shares) + " by\n" + last["took"],
        colour="transparent",
        beside=style.apart(last["hours"], _LABEL_SHARE * end, end),
    )
    return names


def _lines(
    percentiles: pd.DataFrame, begin: pd.Timestamp, until: pd.Timestamp, zone: tzinfo
) -> pd.DataFrame:
    """Return a row a period and known percentile, cut to ``begin`` and ``until``."""
    parts = [
        percentiles[["from", "to", "n", "running"]].assign(hours=percentiles[name], part=part)
        for name, part in _LINES.items()
    ]
    lines = pd.concat(parts, ignore_index=True).dropna(subset="hours")
    return lines.assign(
        took=lines["hours"].map(format_hours).astype("str"),
        begin=style.written(lines["from"], zone),
        end=style.written(lines["to"], zone),
        since=lines["from"].where(lines["from"] > begin, begin),
        until=lines["to"].where(lines["to"] < until, until),
    )


def _end(totals: pd.DataFrame, lines: pd.DataFrame) -> float:
    """Return the end of the axis; very long waits lie beyond it, as they would squeeze others."""
    longest, percentile = style.longest(totals[["min_h", "max_h"]]), style.longest(lines[["hours"]])
    if percentile > 0:
        longest = min(longest, _REACH * percentile)
    return longest * 1.05 or 1.0


def _points(totals: pd.DataFrame, end: float, zone: tzinfo) -> pd.DataFrame:
    running = ~np.isfinite(totals["max_h"].to_numpy())
    high = totals["max_h"].where(~running, totals["min_h"])
    middle = (totals["min_h"] + high) / 2
    return pd.DataFrame(
        {
            "persona_id": totals["persona_id"],
            "submitted_at": totals["submitted_at"],
            "submitted": style.written(totals["submitted_at"], zone),
            "part": totals["state"].map(stage_name),
            "beyond": middle > end,
            "took": times_taken(totals),
            "low": totals["min_h"].clip(upper=end),
            # Inside the axis, so that the whole symbol is visible.
            "at_h": middle.where(middle <= end, 0.97 * end),
            "high": high.clip(upper=end),
        }
    )
