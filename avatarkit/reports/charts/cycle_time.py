"""Did waiting times change: total times by submission, with percentiles."""

from __future__ import annotations

import altair as alt
import numpy as np
import pandas as pd

from avatarkit.reports.charts import style as house
from avatarkit.text import in_words, stage_name, took

DRAWN = 600
"""So many personas are drawn as points at most."""

RANGES = 60
"""Of so many personas the bounds of each total are drawn, too."""

_HEIGHT_PX = 300
_REACH = 2.0

_HALF = "half took at most"
_NINE = "9 of 10 took at most"
_ONE = "1 in 10 took at most"
_RUNNING = "still running, so far"
_BEYOND = "beyond the axis"
# In an order in which the lines and the rare ends have the theme's strongest colours.
_PARTS = {
    _HALF: (1.0, house.LINE, house.SOLID),
    _NINE: (0.99, house.LINE, (7, 3)),
    _ONE: (0.98, house.LINE, (2, 3)),
    "Rejected": (0.8, "cross", house.SOLID),
    "Done": (0.5, "circle", house.SOLID),
    "Failed": (0.81, "diamond", house.SOLID),
    _RUNNING: (0.55, "triangle-up", house.SOLID),
    _BEYOND: (1.0, "arrow", house.SOLID),
}
_LINES = {"p50_h": _HALF, "p90_h": _NINE, "p10_h": _ONE}


def waiting(totals: pd.DataFrame, percentiles: pd.DataFrame) -> alt.LayerChart:
    """A chart that answers whether waiting times have changed.

    ``totals`` is the frame of ``flow.waiting``, ``percentiles`` that of
    ``flow.waiting_percentiles``. A point a persona, at its submission and its total time: the
    middle of the bounds, for who is still running what it is so far. Up to 60 personas the bounds
    are drawn as well; of more than 600, 600 are drawn, evenly over time, and the axis says so.
    Over them a line a period for each percentile that is known. A point beyond twice the longest
    percentile stands at the end of the axis.

    Returns a chart of hours by submission (UTC); without a persona, "Nothing to show yet".
    """
    title = "Did waiting times change?"
    if totals.empty:
        return house.nothing(title)
    begin = totals["submitted_at"].min().floor("D")
    until = max(totals["submitted_at"].max().ceil("D"), begin + pd.Timedelta(days=1))
    lines = _lines(percentiles, begin, until)
    end = _end(totals, lines)
    points = _points(totals.iloc[house.evenly(len(totals), DRAWN)], end)
    bounds = points.loc[points["low"] < points["high"]] if len(totals) <= RANGES else points.head(0)

    beyond, size = points["part"] == _BEYOND, 70 if len(points) <= RANGES else 28

    names = list(_PARTS)
    drawn = pd.concat([lines["part"], points["part"]])
    shared = house.legend([part for part in names if (drawn == part).any()])
    opacities, shapes, dashes = zip(*_PARTS.values(), strict=True)
    opacity = alt.Opacity(
        "part:N",
        scale=alt.Scale(type="ordinal", domain=names, range=list(opacities)),
        legend=shared,
    )
    shape = alt.Shape("part:N", scale=alt.Scale(domain=names, range=list(shapes)), legend=shared)
    dash = alt.StrokeDash(
        "part:N",
        scale=alt.Scale(domain=names, range=[list(one) for one in dashes]),
        legend=shared,
    )
    colour = alt.Color("part:N", scale=alt.Scale(domain=names), legend=shared)
    says = f"; {len(points):,} of {len(totals):,} drawn" if len(points) < len(totals) else ""
    span = [house.as_value(moment) for moment in (begin, until)]
    utc = alt.Scale(type="utc", domain=span, nice=False)
    x_title = f"Submitted (UTC){says}"
    when = alt.X("submitted_at:T", title=x_title, scale=utc, axis=house.moments_axis())
    period = alt.X("since:T", title=x_title, scale=utc, axis=house.moments_axis())
    scale = alt.Scale(domain=[0, end], nice=False)
    y_title, hours = "Total time in hours", house.hours_axis(end)
    y = {
        name: alt.Y(f"{name}:Q", title=y_title, scale=scale, axis=hours)
        for name in ("at_h", "low", "hours")
    }
    tips = [
        "persona_id",
        *house.moment_tips(submitted_at="Submitted"),
        alt.Tooltip("part:N", title="End"),
        alt.Tooltip("took:N", title="Took"),
    ]
    line_tips = [
        *house.moment_tips(**{"from": "Submitted from", "to": "To"}),
        alt.Tooltip("part:N", title="Percentile"),
        alt.Tooltip("took:N", title="Took"),
        alt.Tooltip("n:Q", title="Avatars"),
        alt.Tooltip("running:Q", title="Still running"),
    ]
    layers = [
        alt.Chart(bounds)
        .mark_rule(strokeWidth=3)
        .encode(x=when, y=y["low"], y2="high", color=colour, opacity=alt.value(0.35), tooltip=tips),
        *(
            alt.Chart(some)
            .mark_point(filled=True, size=size)
            .encode(x=when, y=y["at_h"], color=colour, opacity=opacity, shape=shape, tooltip=tips)
            for some, size in ((points[~beyond], size), (points[beyond], 200))
        ),
        alt.Chart(lines)
        .mark_rule(strokeWidth=2.5)
        .encode(
            x=period,
            x2="until:T",
            y=y["hours"],
            color=colour,
            opacity=opacity,
            strokeDash=dash,
            tooltip=line_tips,
        ),
    ]
    return house.chart(layers, title, height=_HEIGHT_PX)


def _lines(percentiles: pd.DataFrame, begin: pd.Timestamp, until: pd.Timestamp) -> pd.DataFrame:
    """A row a period and percentile that is known, as far as it lies in ``begin`` to ``until``."""
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
    """The end of the axis: one endless wait must not squeeze all the others."""
    most, percentile = house.longest(totals[["min_h", "max_h"]]), house.longest(lines[["hours"]])
    if percentile > 0:
        most = min(most, _REACH * percentile)
    return most * 1.05 or 1.0


def _points(totals: pd.DataFrame, end: float) -> pd.DataFrame:
    running = ~np.isfinite(totals["max_h"].to_numpy())
    high = totals["max_h"].where(~running, totals["min_h"])
    middle = (totals["min_h"] + high) / 2
    ends = totals["state"].map(stage_name)
    part = ends.where(totals["state"] != "running", _RUNNING).where(middle <= end, _BEYOND)
    told = zip(totals["state"], totals["min_h"], totals["max_h"], strict=True)
    return pd.DataFrame(
        {
            "persona_id": totals["persona_id"],
            "submitted_at": totals["submitted_at"],
            "part": part,
            "took": [took(*one) for one in told],
            "low": totals["min_h"].clip(upper=end),
            # A little within the axis, so that the whole symbol is seen.
            "at_h": middle.where(middle <= end, 0.97 * end),
            "high": high.clip(upper=end),
        }
    )
