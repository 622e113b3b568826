"""Draw the percentiles of each stage, or single visits of stages without percentiles."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from avatarkit.history.groups import GROUP
from avatarkit.reports import tables
from avatarkit.reports.charts import groups, style
from avatarkit.text import format_hours, stage_name

LANES = 6
"""Maximum of visits that are drawn for a stage without percentiles."""

_ROW_PX = 50
_BELOW_PX = 15

_P50 = style.Part("half are through", 1.0, "diamond")
_P50_INTERVAL = style.Part("half, 95 % sure", 0.99, style.INTERVAL)
_P25_P75 = style.Part("the middle half", 0.75, style.BAR)
_P10_P90 = style.Part("8 of 10 avatars", 0.45, style.BAR)
_OPEN = style.Part("end unknown", 0.15, style.BAR)
_AT_LEAST = style.Part("at least", 1.0, style.BAR)
_AT_MOST = style.Part("at most", 0.35, style.BAR)
_RUNNING = style.Part("still running", 1.0, "triangle-right")
_PARTS = (_P50, _P50_INTERVAL, _P25_P75, _P10_P90, _OPEN, _AT_LEAST, _AT_MOST, _RUNNING)
_SIZES = {_OPEN.name: 7, _P10_P90.name: 7, _P25_P75.name: 14}
_HOURS = ["p10_h", "p25_h", "p50_h", "p75_h", "p90_h"]
_INTERVAL = ["p50_low_h", "p50_high_h"]
_FACTS = ["stage", "Percentiles", "Visits", "Note"]


def stage_times(summary: pd.DataFrame, visits: pd.DataFrame | None = None) -> alt.LayerChart:
    """Draw how long each stage takes.

    A bar from the 10th to the 90th percentile, a thicker one from the 25th to the 75th and a mark
    at the median, with n beside the stage's name. Where an end is not known, as it is beyond the
    longest time observed or too short, a fainter bar takes its place. If ``summary`` has the
    interval of the median, a line below the bar spans it.

    Where a stage has no percentiles yet, its six latest ``visits`` are drawn one by one: solid up
    to the lower bound, fainter up to the upper one. One that is still running ends in an arrow; one
    that was never seen is faint from 0.

    Groups, from ``durations.summarize(…, by=…)``, stand side by side in each stage, named, with
    their n, and without single visits; a stage that no group has visited is left out.

    Args:
        summary: The frame of ``durations.summarize``, also with ``interval=True``.
        visits: The frame of ``stages.visits``.

    Returns:
        A chart of hours by stage, in the order of ``summary``; without a visit, the words "Nothing
        to show yet".

    Raises:
        ValueError: A stage is there twice without a column ``group``.
    """
    title = "How long does each stage take?"
    groups.require_one(summary, "stage")
    if GROUP in summary:
        summary, visits = _by_stage(summary), None
    if summary.empty or not summary[["finished", "running", "never_seen"]].to_numpy().any():
        return style.nothing(title)
    stages = summary.reindex(columns=summary.columns.union([*_HOURS, *_INTERVAL], sort=False))
    stages = stages.assign(row=[_label(stage) for _, stage in summary.iterrows()])
    single = _single_visits(stages, visits)
    end = style.longest(stages[[*_HOURS, *_INTERVAL]], single[["min_h", "max_h"]]) * 1.15 or 1.0
    facts = _facts(stages)
    bars = pd.DataFrame(_bars(stages, end), columns=["row", "part", "from_h", "to_h"])
    bars = bars.merge(facts[["row", *_FACTS]], on="row")
    medians = facts.dropna(subset="p50_h").assign(part=_P50.name)
    intervals = facts.dropna(subset=_INTERVAL).assign(part=_P50_INTERVAL.name)
    ranges = _ranges(single)
    arrows = single.loc[single["state"] == "running"].assign(part=_RUNNING.name)

    x = style.hours(alt.X, "from_h", "Hours", end)
    y = style.rows(stages["row"])
    # With two empty ones at both sides, or the visits of two stages would touch.
    lanes = alt.Scale(domain=list(range(-2, 2 * LANES + 1)))
    lane = alt.YOffset("lane:O", scale=lanes, bandPosition=0.5)
    drawn = pd.concat([frame["part"] for frame in (bars, medians, intervals, ranges, arrows)])
    opacity, shape, _ = style.by_part(_PARTS, drawn)
    # Towards the middle, or a word at the end of a narrow chart would be cut off.
    side = f"datum.p50_h > {end / 2} ? 'right' : 'left'"
    looks: dict[str, Any] = {
        "color": style.by_status("stage", facts["stage"]),
        "fillOpacity": opacity,
    }
    tips, took = style.plain_tooltips(*_FACTS), style.plain_tooltips("stage", "Took")
    layers = [
        # Every stage has its row, also one that nothing can be drawn for.
        style.invisible(facts).encode(y=y, color=looks["color"], shape=shape, tooltip=tips),
        *(
            alt.Chart(bars[bars["part"] == part])
            .mark_bar(size=size)
            .encode(y=y, x=x, x2=alt.X2("to_h"), **looks, tooltip=tips)
            for part, size in _SIZES.items()
        ),
        alt.Chart(ranges)
        .mark_bar(height=5)
        .encode(y=y, yOffset=lane, x=x, x2=alt.X2("to_h"), **looks, tooltip=took),
        *_interval_layers(intervals, y, looks),
        style.points(medians, size=130, shape=_P50.symbol, color=style.FOREGROUND).encode(
            y=y, x=alt.X("p50_h:Q"), fillOpacity=opacity, tooltip=tips
        ),
        style.words(medians, align={"expr": side}, dy=-15, fontSize=11).encode(
            y=y, x=alt.X("p50_h:Q"), text=alt.Text("half:N"), tooltip=tips
        ),
        style.points(arrows, size=70, shape=_RUNNING.symbol).encode(
            y=y, yOffset=lane, x=alt.X("min_h:Q"), **looks, tooltip=took
        ),
    ]
    return style.chart(layers, title, height=_ROW_PX * len(stages))


def _interval_layers(intervals: pd.DataFrame, y: alt.Y, looks: dict[str, Any]) -> list[alt.Chart]:
    """Return a line with a tick at both ends for the interval of each median."""
    tips = style.plain_tooltips(*_FACTS)
    tip = alt.Tooltip("median:N", title="Half are through, 95 % sure")
    chart = alt.Chart(intervals).encode(y=y, **looks, tooltip=[tips[0], tip, *tips[1:]])
    line = chart.mark_bar(size=2, yOffset=_BELOW_PX)
    tick = chart.mark_tick(size=7, thickness=2, opacity=1, yOffset=_BELOW_PX)
    return [
        line.encode(x=alt.X("p50_low_h:Q"), x2=alt.X2("p50_high_h")),
        *(tick.encode(x=alt.X(f"{column}:Q")) for column in _INTERVAL),
    ]


def _bars(stages: pd.DataFrame, end: float) -> Iterable[tuple[str, str, float, float]]:
    for _, stage in stages.dropna(subset=["p50_h"]).iterrows():
        row, p10, p25, p50, p75, p90 = stage[["row", *_HOURS]]
        p25, p75 = (p50 if np.isnan(hours) else hours for hours in (p25, p75))
        if np.isnan(p10):
            yield row, _OPEN.name, 0.0, p25
        if np.isnan(p90):
            yield row, _OPEN.name, p75, end
        if not (np.isnan(p10) and np.isnan(p90)):
            yield row, _P10_P90.name, p25 if np.isnan(p10) else p10, p75 if np.isnan(p90) else p90
        if p25 < p75:
            yield row, _P25_P75.name, p25, p75


def _single_visits(stages: pd.DataFrame, visits: pd.DataFrame | None) -> pd.DataFrame:
    """Return the latest visits of the stages without percentiles, with the row and lane of each."""
    columns = ["row", "lane", "stage", "state", "min_h", "max_h", "Took"]
    if visits is None:
        return pd.DataFrame(columns=columns, dtype="float64")
    rows = stages.loc[stages["p50_h"].isna()].set_index("stage")["row"]
    latest = visits.loc[visits["stage"].isin(rows.index)]
    # Ended visits are preferred to one that began a moment ago.
    latest = latest.assign(ended=latest["state"] != "running")
    latest = latest.sort_values(["ended", "entered_before"], kind="stable")
    latest = latest.groupby("stage").tail(LANES).sort_values("entered_before", kind="stable")
    by_stage = latest.groupby("stage")["stage"]
    # Lanes have half steps, so that few visits are centred in the row.
    lane = LANES - by_stage.transform("size") + 2 * by_stage.cumcount()
    latest = latest.assign(row=latest["stage"].map(rows), lane=lane)
    latest = latest.assign(stage=latest["stage"].map(stage_name), Took=tables.times_taken(latest))
    return latest[columns]


def _ranges(single: pd.DataFrame) -> pd.DataFrame:
    """Return the lower bound of each visit's time, and the range from there to the upper one."""
    lower, upper = single["min_h"], single["max_h"]
    ranges = [
        single.assign(part=_AT_LEAST.name, from_h=0.0, to_h=lower)[lower > 0],
        single.assign(part=_AT_MOST.name, from_h=lower, to_h=upper)[upper < np.inf],
    ]
    return pd.concat(ranges, ignore_index=True).drop(columns=["state", "min_h", "max_h"])


def _by_stage(summary: pd.DataFrame) -> pd.DataFrame:
    """Return the groups of each stage one below the other, without stages that have no visit."""
    order = summary["stage"].map({name: i for i, name in enumerate(summary["stage"].unique())})
    seen = (
        summary[["finished", "running", "never_seen"]].sum(axis=1).groupby(order).transform("sum")
    )
    rows = summary.assign(order=order).loc[seen > 0].sort_values("order", kind="stable")
    return rows.drop(columns="order").reset_index(drop=True)


def _label(stage: Any) -> str:
    more = f", {stage['running']:,} running" if stage["running"] else ""
    if np.isnan(stage["p50_h"]) and stage["n"]:
        # A reason without a heading is long, and stands in the tooltip.
        reason, colon, _ = stage["note"].partition(":")
        more = f", {reason}" if colon else ", no median yet"
    group = f", {stage[GROUP]}" if GROUP in stage else ""
    return f"{stage_name(stage['stage'])}{group}\nn {stage['n']:,}{more}"


def _facts(stages: pd.DataFrame) -> pd.DataFrame:
    """Return a row a stage with the texts of its tooltips."""
    rows = [
        (
            ", ".join(f"{name[1:3]} % within {format_hours(stage[name])}" for name in _HOURS),
            f"n {stage['n']}: {stage['finished']} finished, {stage['running']} running, "
            f"{stage['never_seen']} never seen",
            stage["note"] or "none",
        )
        for _, stage in stages.iterrows()
    ]
    facts = pd.DataFrame(rows, columns=_FACTS[1:], index=stages.index)
    words = tables.summary(stages)
    facts = facts.assign(stage=words["stage"], half=words["p50"], median=words["p50_interval"])
    return stages[["row", "p50_h", *_INTERVAL]].join(facts)
