"""Draw the percentiles of each stage, and single visits while there are none."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from avatarkit.reports.charts import style
from avatarkit.text import in_words, stage_name, took

LANES = 6
"""Maximum of visits that are drawn for a stage without percentiles."""

_ROW_PX = 50
_BELOW_PX = 15

_P10_P90 = "8 of 10 avatars"
_P25_P75 = "the middle half"
_OPEN = "not known how far"
_AT_LEAST = "at least"
_AT_MOST = "at most"
_P50 = "half are through"
_P50_INTERVAL = "half, 95 % sure"
_RUNNING = "still running"
_PARTS = {
    _P50: (1.0, "diamond"),
    _P50_INTERVAL: (0.99, style.INTERVAL),
    _P25_P75: (0.75, style.BAR),
    _P10_P90: (0.45, style.BAR),
    _OPEN: (0.15, style.BAR),
    _AT_LEAST: (1.0, style.BAR),
    _AT_MOST: (0.35, style.BAR),
    _RUNNING: (1.0, "triangle-right"),
}
_SIZES = {_OPEN: 7, _P10_P90: 7, _P25_P75: 14}
_HOURS = ["p10_h", "p25_h", "p50_h", "p75_h", "p90_h"]
_INTERVAL = ["p50_low_h", "p50_high_h"]
_FACTS = ["Percentiles", "Visits", "Note"]


def stage_times(summary: pd.DataFrame, visits: pd.DataFrame | None = None) -> alt.LayerChart:
    """Draw how long each stage takes.

    A bar from the 10th to the 90th percentile, a thicker one from the 25th to the 75th and a mark
    where half are through, with n beside the stage's name. Where one end is beyond the longest time
    observed, or too short to be known, a fainter bar takes its place. With the interval of the
    median a line below the bar spans it.

    Where a stage has no percentiles yet, its six latest ``visits`` are drawn one by one: solid for
    the least time that it took, fainter up to the most. One that is still running ends in an arrow;
    one that was never seen is faint from 0.

    Args:
        summary: The frame of ``durations.summarize``, also with ``interval=True``.
        visits: The frame of ``stages.visits``.

    Returns:
        A chart of hours by stage, in the order of ``summary``; without a visit, the words "Nothing
        to show yet".
    """
    title = "How long does each stage take?"
    if summary.empty or not summary[["finished", "running", "never_seen"]].to_numpy().any():
        return style.nothing(title)
    stages = summary.reindex(columns=[*dict.fromkeys([*summary.columns, *_HOURS, *_INTERVAL])])
    stages = stages.assign(row=[_label(stage) for _, stage in summary.iterrows()])
    single = _single_visits(stages, visits)
    end = style.longest(stages[[*_HOURS, *_INTERVAL]], single[["min_h", "max_h"]]) * 1.15 or 1.0
    facts = _facts(stages)
    bars = pd.DataFrame(_bars(stages, end), columns=["row", "part", "from_h", "to_h"])
    bars = bars.merge(facts.drop(columns=["p50_h", *_INTERVAL]), on="row")
    medians = facts.dropna(subset=["p50_h"]).drop(columns=_INTERVAL)
    medians = medians.assign(part=_P50, half=medians["p50_h"].map(in_words))
    intervals = facts.dropna(subset=_INTERVAL).drop(columns="p50_h").assign(part=_P50_INTERVAL)
    intervals["median"] = [
        f"{in_words(low)} to {in_words(high)}"
        for low, high in intervals[_INTERVAL].itertuples(index=False)
    ]
    ranges = pd.DataFrame(
        _ranges(single), columns=["row", "lane", "part", "from_h", "to_h", "stage", "Took"]
    )
    arrows = single.loc[single["state"] == "running"].assign(part=_RUNNING)
    arrows = arrows.assign(stage=arrows["stage"].map(stage_name), Took=arrows.apply(_took, axis=1))
    arrows = arrows[["row", "lane", "part", "min_h", "stage", "Took"]]

    x = style.hours(alt.X, "from_h", "Hours", end)
    y = style.rows(stages["row"])
    lane = alt.YOffset(
        "lane:O", scale=alt.Scale(domain=list(range(2 * LANES - 1))), bandPosition=0.5
    )
    drawn = pd.concat([frame["part"] for frame in (bars, medians, intervals, ranges, arrows)])
    opacity, shape = style.parts_by_name(_PARTS, drawn)
    tips, took_tips = ["stage", *_FACTS], ["stage", "Took"]
    interval_tips = ["stage", alt.Tooltip("median:N", title="Half are through, 95 % sure"), *_FACTS]
    layers = [
        # Every stage has its row, also one that nothing can be drawn for.
        style.invisible(facts).encode(y=y, tooltip=tips),
        *(
            alt.Chart(bars[bars["part"] == part])
            .mark_bar(size=size)
            .encode(y=y, x=x, x2="to_h", opacity=opacity, tooltip=tips)
            for part, size in _SIZES.items()
        ),
        alt.Chart(ranges)
        .mark_bar(height=5)
        .encode(y=y, yOffset=lane, x=x, x2="to_h", opacity=opacity, tooltip=took_tips),
        alt.Chart(intervals)
        .mark_bar(size=2, yOffset=_BELOW_PX)
        .encode(y=y, x="p50_low_h:Q", x2="p50_high_h", opacity=opacity, tooltip=interval_tips),
        *(
            alt.Chart(intervals)
            .mark_tick(size=7, thickness=2, yOffset=_BELOW_PX)
            .encode(y=y, x=f"{column}:Q", opacity=opacity, tooltip=interval_tips)
            for column in _INTERVAL
        ),
        alt.Chart(medians)
        .mark_point(filled=True, size=130)
        .encode(y=y, x="p50_h:Q", opacity=opacity, shape=shape, tooltip=tips),
        style.words(medians, align="left", dx=2, dy=-15, fontSize=11).encode(
            y=y, x="p50_h:Q", text="half:N", tooltip=tips
        ),
        alt.Chart(arrows)
        .mark_point(filled=True, size=70)
        .encode(y=y, yOffset=lane, x="min_h:Q", opacity=opacity, shape=shape, tooltip=took_tips),
    ]
    return style.chart(layers, title, height=_ROW_PX * len(stages))


def _bars(stages: pd.DataFrame, end: float) -> Iterable[tuple[str, str, float, float]]:
    for _, stage in stages.dropna(subset=["p50_h"]).iterrows():
        row, p10, p25, p50, p75, p90 = stage[["row", *_HOURS]]
        p25, p75 = (p50 if np.isnan(hours) else hours for hours in (p25, p75))
        if np.isnan(p10):
            yield row, _OPEN, 0.0, p25
        if np.isnan(p90):
            yield row, _OPEN, p75, end
        if not (np.isnan(p10) and np.isnan(p90)):
            yield row, _P10_P90, p25 if np.isnan(p10) else p10, p75 if np.isnan(p90) else p90
        if p25 < p75:
            yield row, _P25_P75, p25, p75


def _single_visits(stages: pd.DataFrame, visits: pd.DataFrame | None) -> pd.DataFrame:
    """Return the latest visits of the stages without percentiles, with the row and lane of each."""
    if visits is None:
        return pd.DataFrame(columns=["row", "lane", "stage", "state", "min_h", "max_h"])
    rows = stages.loc[stages["p50_h"].isna()].set_index("stage")["row"]
    latest = visits.loc[visits["stage"].isin(rows.index)]
    # Ended visits tell more than one that began a moment ago.
    latest = latest.assign(ended=latest["state"] != "running")
    latest = latest.sort_values(["ended", "entered_before"], kind="stable")
    latest = latest.groupby("stage").tail(LANES).sort_values("entered_before", kind="stable")
    by_stage = latest.groupby("stage")["stage"]
    # Lanes have half steps, so that few visits stand in the middle of the row.
    lane = LANES - by_stage.transform("size") + 2 * by_stage.cumcount()
    return latest.assign(row=latest["stage"].map(rows), lane=lane)


def _ranges(single: pd.DataFrame) -> Iterable[tuple[str, int, str, float, float, str, str]]:
    for _, visit in single.iterrows():
        words = stage_name(visit["stage"]), _took(visit)
        if visit["min_h"] > 0:
            yield visit["row"], visit["lane"], _AT_LEAST, 0.0, visit["min_h"], *words
        if np.isfinite(visit["max_h"]):
            yield visit["row"], visit["lane"], _AT_MOST, visit["min_h"], visit["max_h"], *words


def _took(visit: Any) -> str:
    return took(visit["state"], visit["min_h"], visit["max_h"])


def _label(stage: Any) -> str:
    more = f", {stage['running']:,} running" if stage["running"] else ""
    if np.isnan(stage["p50_h"]) and stage["n"]:
        more = f", {stage['note'].split(':')[0]}"
    return f"{stage_name(stage['stage'])}\nn {stage['n']:,}{more}"


def _facts(stages: pd.DataFrame) -> pd.DataFrame:
    """Return a row a stage with what the tooltips tell of it."""
    rows = [
        (
            ", ".join(f"{name[1:3]} % within {in_words(stage[name])}" for name in _HOURS),
            f"n {stage['n']}: {stage['finished']} finished, {stage['running']} running, "
            f"{stage['never_seen']} never seen",
            stage["note"] or "none",
        )
        for _, stage in stages.iterrows()
    ]
    facts = pd.DataFrame(rows, columns=_FACTS, index=stages.index)
    facts = facts.assign(stage=stages["stage"].map(stage_name))
    return stages[["row", "p50_h", *_INTERVAL]].join(facts)
