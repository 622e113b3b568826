"""How long does each stage take: percentiles, and single visits while there are none."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from avatarkit.reports.charts import style as house
from avatarkit.text import in_words, stage_name, took

LANES = 6
"""At most so many single visits are drawn for a stage that has no percentiles yet."""

_ROW_PX = 50
_BELOW_PX = 15

_MOST = "8 of 10 avatars"
_MIDDLE = "the middle half"
_OPEN = "not known how far"
_LEAST = "at least"
_UP_TO = "at most"
_HALF = "half are through"
_SURE = "half, 95 % sure"
_STILL = "still running"
_PARTS = {
    _HALF: (1.0, "diamond"),
    _SURE: (0.99, house.SPAN),
    _MIDDLE: (0.75, house.BAR),
    _MOST: (0.45, house.BAR),
    _OPEN: (0.15, house.BAR),
    _LEAST: (1.0, house.BAR),
    _UP_TO: (0.35, house.BAR),
    _STILL: (1.0, "triangle-right"),
}
_SIZES = {_MIDDLE: 14, _MOST: 7, _OPEN: 7}
_HOURS = ["p10_h", "p25_h", "p50_h", "p75_h", "p90_h"]
_INTERVAL = ["p50_low_h", "p50_high_h"]


def stage_times(summary: pd.DataFrame, visits: pd.DataFrame | None = None) -> alt.LayerChart:
    """A chart that answers how long each stage takes.

    ``summary`` is the frame of ``durations.summarize``: a bar from the 10th to the 90th percentile,
    a thicker one from the 25th to the 75th and a mark where half are through, with n beside the
    stage's name. Where one end is beyond the longest time observed, or too short to be known, a
    fainter bar takes its place. With the columns of ``interval=True`` a line below the bar spans
    the 95 % interval of the median.

    Where a stage has no percentiles yet and ``visits`` (of ``stages.visits``) is given, its six
    latest visits are drawn one by one: solid for the least time that it took, fainter up to the
    most. One that is still running ends in an arrow; one that was never seen is faint from 0.

    Returns a chart of hours by stage, in the order of ``summary``; without a visit, the words
    "Nothing to show yet".
    """
    title = "How long does each stage take?"
    if summary.empty or not summary[["finished", "running", "never_seen"]].to_numpy().any():
        return house.nothing(title)
    rows = summary.reindex(columns=[*dict.fromkeys([*summary.columns, *_HOURS, *_INTERVAL])])
    rows = rows.assign(row=_labels(summary))
    single = _single_visits(rows, visits)
    end = house.longest(rows[[*_HOURS, *_INTERVAL]], single[["min_h", "max_h"]]) * 1.15 or 1.0

    told = {"Percentiles": _percentile_words, "Visits": _count_words, "Note": _note_words}
    facts = rows.assign(**{name: rows.apply(say, axis=1) for name, say in told.items()})
    facts = facts.assign(stage=facts["stage"].map(stage_name))
    facts = facts[["row", "stage", "p50_h", *_INTERVAL, *told]]
    bars = pd.DataFrame(_bars(rows, end), columns=["row", "part", "from_h", "to_h"])
    bars = bars.merge(facts, on="row").drop(columns=["p50_h", *_INTERVAL])
    halves = facts.dropna(subset=["p50_h"]).drop(columns=_INTERVAL).assign(part=_HALF)
    halves["half"] = halves["p50_h"].map(in_words)
    sure = facts.dropna(subset=_INTERVAL).drop(columns="p50_h").assign(part=_SURE)
    sure["median"] = [
        f"{in_words(low)} to {in_words(high)}"
        for low, high in sure[_INTERVAL].itertuples(index=False)
    ]
    ranges = pd.DataFrame(
        _ranges(single), columns=["row", "lane", "part", "from_h", "to_h", "stage", "Took"]
    )
    arrows = single.loc[single["state"] == "running"].assign(part=_STILL)
    arrows = arrows.assign(stage=arrows["stage"].map(stage_name), Took=arrows.apply(_took, axis=1))
    arrows = arrows[["row", "lane", "part", "min_h", "stage", "Took"]]

    scale = alt.Scale(domain=[0, end], nice=False)
    x = alt.X("from_h:Q", title="Hours", axis=house.hours_axis(end), scale=scale)
    y = alt.Y("row:O", title=None, sort=list(rows["row"]), axis=house.row_axis())
    lane = alt.YOffset(
        "lane:O", scale=alt.Scale(domain=list(range(2 * LANES - 1))), bandPosition=0.5
    )
    drawn = pd.concat([frame["part"] for frame in (bars, halves, sure, ranges, arrows)])
    opacity, shape = house.meanings(_PARTS, drawn)
    tips, took_tips = ["stage", *told], ["stage", "Took"]
    sure_tips = ["stage", alt.Tooltip("median:N", title="Half are through, 95 % sure"), *told]
    layers = [
        # Every stage has its row, also one that nothing can be drawn for.
        alt.Chart(facts).mark_point(opacity=0, size=1).encode(y=y, tooltip=tips),
        *(
            alt.Chart(bars[bars["part"] == part])
            .mark_bar(size=size)
            .encode(y=y, x=x, x2="to_h", opacity=opacity, tooltip=tips)
            for part, size in reversed(_SIZES.items())
        ),
        alt.Chart(ranges)
        .mark_bar(height=5)
        .encode(y=y, yOffset=lane, x=x, x2="to_h", opacity=opacity, tooltip=took_tips),
        alt.Chart(sure)
        .mark_bar(size=2, yOffset=_BELOW_PX)
        .encode(y=y, x="p50_low_h:Q", x2="p50_high_h", opacity=opacity, tooltip=sure_tips),
        *(
            alt.Chart(sure)
            .mark_tick(size=7, thickness=2, yOffset=_BELOW_PX)
            .encode(y=y, x=f"{name}:Q", opacity=opacity, tooltip=sure_tips)
            for name in _INTERVAL
        ),
        alt.Chart(halves)
        .mark_point(filled=True, size=130)
        .encode(y=y, x="p50_h:Q", opacity=opacity, shape=shape, tooltip=tips),
        house.words(halves, align="left", dx=2, dy=-15, fontSize=11).encode(
            y=y, x="p50_h:Q", text="half:N", tooltip=tips
        ),
        alt.Chart(arrows)
        .mark_point(filled=True, size=70)
        .encode(y=y, yOffset=lane, x="min_h:Q", opacity=opacity, shape=shape, tooltip=took_tips),
    ]
    return house.chart(layers, title, height=_ROW_PX * len(rows))


def _bars(rows: pd.DataFrame, end: float) -> Iterable[tuple[str, str, float, float]]:
    for _, row in rows.dropna(subset=["p50_h"]).iterrows():
        name, least, low, half, high, most = row[["row", *_HOURS]]
        low, high = (half if np.isnan(known) else known for known in (low, high))
        if np.isnan(least):
            yield name, _OPEN, 0.0, low
        if np.isnan(most):
            yield name, _OPEN, high, end
        if not (np.isnan(least) and np.isnan(most)):
            begin, stop = low if np.isnan(least) else least, high if np.isnan(most) else most
            yield name, _MOST, begin, stop
        if low < high:
            yield name, _MIDDLE, low, high


def _single_visits(rows: pd.DataFrame, visits: pd.DataFrame | None) -> pd.DataFrame:
    """The latest visits of the stages without percentiles, with the row and lane of each."""
    if visits is None:
        return pd.DataFrame(columns=["row", "lane", "stage", "state", "min_h", "max_h"])
    names = rows.loc[rows["p50_h"].isna()].set_index("stage")["row"]
    chosen = visits.loc[visits["stage"].isin(names.index)]
    # What has ended says more than what began a moment ago.
    chosen = chosen.assign(ended=chosen["state"] != "running")
    chosen = chosen.sort_values(["ended", "entered_before"], kind="stable")
    chosen = chosen.groupby("stage").tail(LANES).sort_values("entered_before", kind="stable")
    by_stage = chosen.groupby("stage")["stage"]
    # Lanes have half steps, so that few visits stand in the middle of the row.
    lane = LANES - by_stage.transform("size") + 2 * by_stage.cumcount()
    return chosen.assign(row=chosen["stage"].map(names), lane=lane)


def _ranges(single: pd.DataFrame) -> Iterable[tuple[str, int, str, float, float, str, str]]:
    for _, visit in single.iterrows():
        words = stage_name(visit["stage"]), _took(visit)
        if visit["min_h"] > 0:
            yield visit["row"], visit["lane"], _LEAST, 0.0, visit["min_h"], *words
        if np.isfinite(visit["max_h"]):
            yield visit["row"], visit["lane"], _UP_TO, visit["min_h"], visit["max_h"], *words


def _took(visit: Any) -> str:
    return took(visit["state"], visit["min_h"], visit["max_h"])


def _labels(summary: pd.DataFrame) -> list[str]:
    labels = []
    for _, row in summary.iterrows():
        more = f"{row['running']:,} running" if row["running"] else ""
        if np.isnan(row["p50_h"]) and row["n"]:
            more = row["note"].split(":")[0]
        counts = ", ".join(filter(None, (f"n {row['n']:,}", more)))
        labels.append(f"{stage_name(row['stage'])}\n{counts}")
    return labels


def _percentile_words(row: Any) -> str:
    return ", ".join(f"{name[1:3]} % within {in_words(row[name])}" for name in _HOURS)


def _count_words(row: Any) -> str:
    counts = f"{row['finished']} finished, {row['running']} running"
    return f"n {row['n']}: {counts}, {row['never_seen']} never seen"


def _note_words(row: Any) -> str:
    return row["note"] or "none"
