"""Draw the running personas by stage and age (aging work in progress)."""

from __future__ import annotations

from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from avatarkit.history.groups import GROUP
from avatarkit.reports.charts import groups, style
from avatarkit.text import format_hours, stage_name

DRAWN = 100
"""Maximum of points for a stage: of those on time, and again of the late ones."""

_ROW_PX = 50
_REACH_OF_PERCENTILE = 3.0
_REACH_OF_MEDIAN_AGE = 2.0
_FEWEST_FOR_MEDIAN = 3
_GOLDEN_RATIO = (5**0.5 - 1) / 2

_P50 = style.Part("half are through", 0.4, style.BAR)
_P90 = style.Part("9 of 10 are", 0.18, style.BAR)
_ON_TIME = style.Part("running", 1.0, "circle")
_LATE = style.Part("late", 1.0, "triangle-up")
_BEYOND = style.Part("beyond the axis", 1.0, "M-1,-1L0,0L-1,1L-.1,1L1,0L-.1,-1Z")
_LATE_BEYOND = style.Part("late, beyond it", 1.0, "triangle-right")
_PARTS = (_P50, _P90, _ON_TIME, _LATE, _BEYOND, _LATE_BEYOND)


def aging(arrivals: pd.DataFrame, summary: pd.DataFrame) -> alt.LayerChart:
    """Draw which running personas have been in their stage for too long.

    A point a persona, at the lower bound of its hours in the stage; late ones are triangles. Behind
    them a bar ends where half are through (p50) and a fainter one where nine of ten are (p90), if
    these are known.

    Of more than 100 personas of a stage that are on time, and of more than 100 late ones, 100 are
    drawn, evenly by age, and the axis says so. What is older than three times the longest
    percentile, or than twice the median age of three or more in a stage without percentiles, is
    drawn at the end of the axis: as a triangle that points there if it is late, as a hook if not.

    Args:
        arrivals: The frame of ``eta.arrivals``: ``persona_id``, ``stage``, ``in_stage_h``, ``late``
            and optionally ``creator_name``.
        summary: The frame of ``durations.summarize``.

    Returns:
        A chart of hours by stage: in the order of ``summary``, then other stages by name, without
        those that have neither personas nor percentiles. Without a running persona, the words
        "Nothing to show yet".
    """
    title = "Is mine late?"
    if arrivals.empty:
        return style.nothing(title)
    groups.require_one(summary.drop(columns=GROUP, errors="ignore"), "stage")
    stages = [*summary["stage"], *sorted(set(arrivals["stage"]) - set(summary["stage"]))]
    percentiles = summary.set_index("stage").reindex(stages)[["p50_h", "p90_h"]].astype("float64")
    is_shown = percentiles["p50_h"].notna() | percentiles.index.isin(arrivals["stage"])
    percentiles = percentiles.loc[is_shown]
    end = _end(percentiles, arrivals)
    points = _points(arrivals, end)
    labels = {str(stage): _label(str(stage), arrivals) for stage in percentiles.index}
    points["row"] = points["stage"].map(labels)
    points["stage"] = points["stage"].map(stage_name)
    bars = _bars(percentiles, labels, end)

    title_x = "Hours in the stage so far, at least"
    if len(points) < len(arrivals):
        title_x = f"Hours in the stage so far; {len(points):,} of {len(arrivals):,} drawn"
    x = {name: style.hours(alt.X, name, title_x, end) for name in ("from_h", "at_h")}
    y = style.rows(labels.values())
    spread = alt.YOffset("place:Q", scale=alt.Scale(domain=[-0.2, 1.2]))
    opacity, shape, _ = style.by_part(_PARTS, pd.concat([bars["part"], points["part"]]))
    looks: dict[str, Any] = {
        "color": style.by_status("stage", map(stage_name, labels)),
        "fillOpacity": opacity,
    }
    names = [name for name in ("creator_name", "persona_id") if name in points]
    tips = [
        *style.plain_tooltips(*names, "stage"),
        alt.Tooltip("in_stage:N", title="In it for"),
        alt.Tooltip("part"),
    ]
    within = style.plain_tooltips("stage", "part", "Within")
    layers = [
        # Every stage has its row, also one that nothing can be drawn for.
        style.invisible(pd.DataFrame({"row": list(labels.values())})).encode(y=y),
        alt.Chart(bars)
        .mark_bar(size=32)
        .encode(y=y, x=x["from_h"], x2=alt.X2("to_h"), **looks, tooltip=within),
        style.points(points, size=75).encode(
            y=y, yOffset=spread, x=x["at_h"], **looks, shape=shape, tooltip=tips
        ),
    ]
    return style.chart(layers, title, height=_ROW_PX * len(labels))


def _end(percentiles: pd.DataFrame, arrivals: pd.DataFrame) -> float:
    """Return the end of the axis; very old personas lie beyond it, as they would squeeze others."""
    oldest, longest = style.longest(arrivals[["in_stage_h"]]), style.longest(percentiles)
    is_unknown = arrivals["stage"].map(percentiles["p50_h"].isna()).to_numpy(dtype=bool)
    ages = arrivals.loc[is_unknown].groupby("stage")["in_stage_h"]
    medians = ages.quantile(0.5, interpolation="lower")[ages.size() >= _FEWEST_FOR_MEDIAN]
    if longest > 0:
        reach = _REACH_OF_MEDIAN_AGE * style.longest(medians.to_frame())
        oldest = min(oldest, max(_REACH_OF_PERCENTILE * longest, reach))
    return max(oldest, longest) * 1.05 or 1.0


def _points(arrivals: pd.DataFrame, end: float) -> pd.DataFrame:
    """Return the personas to draw, each with its part and its place across the row."""
    by_age = arrivals.sort_values(["stage", "in_stage_h", "persona_id"], ignore_index=True)
    late = by_age["late"].to_numpy(dtype=bool)
    beyond = (by_age["in_stage_h"] > end).to_numpy()
    names = [_LATE_BEYOND.name, _LATE.name, _BEYOND.name]
    part = np.select([late & beyond, late, beyond], names, _ON_TIME.name)
    by_age = by_age.assign(part=part, at_h=by_age["in_stage_h"].clip(upper=end))
    drawn = [
        rows.iloc[style.evenly(len(rows), DRAWN)]
        for _, rows in by_age.groupby(["stage", late], sort=True)
    ]
    points = pd.concat(drawn, ignore_index=True)
    # Spread evenly across the row, with personas of similar age far apart.
    points["turn"] = points.groupby("stage").cumcount() * _GOLDEN_RATIO % 1
    turns = points.groupby("stage")["turn"]
    points["place"] = (turns.rank() - 0.5) / turns.transform("size")
    points["in_stage"] = [f"at least {format_hours(hours)}" for hours in points["in_stage_h"]]
    columns = ["creator_name", "persona_id", "stage", "in_stage", "part", "at_h", "place"]
    return points.filter(columns)


def _bars(percentiles: pd.DataFrame, labels: dict[str, str], end: float) -> pd.DataFrame:
    bars = []
    for stage, p50, p90 in percentiles.itertuples():
        row, name, begin = labels[stage], stage_name(stage), 0.0 if np.isnan(p50) else p50
        if p50 > 0:
            bars.append((row, name, _P50.name, 0.0, p50, format_hours(p50)))
        if p90 > begin:
            to = min(p90, end)
            bars.append((row, name, _P90.name, begin, to, format_hours(to)))
    return pd.DataFrame(bars, columns=["row", "stage", "part", "from_h", "to_h", "Within"])


def _label(stage: str, arrivals: pd.DataFrame) -> str:
    late = arrivals.loc[arrivals["stage"] == stage, "late"]
    counts = f"{len(late):,} running" if len(late) else "none running"
    counts += f", {int(late.sum()):,} late" if late.any() else ""
    return f"{stage_name(stage)}\n{counts}"
