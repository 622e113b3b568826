"""Charts of one question each, as Altair charts that any page or notebook can draw.

Colours are left to the theme. What matters is told by length, thickness, opacity and shape too,
so that the charts read in grey. Explanations stand in legends and axis labels, as these are what
a theme colours; ``width`` is the container's.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from avatarkit.words import in_words, stage_name, took

LANES = 6
"""At most so many single visits are drawn for a stage that has no percentiles yet."""

NOTHING = "Nothing to show yet"

_ROW_PX = 50

_MOST = "8 of 10 avatars"
_OPEN = "not known how far"
_LEAST = "at least"
_UP_TO = "at most"
_HALF = "half are through"
_STILL = "still running"

_CERTAIN = "certain"
_BETWEEN = "between looks"
_UNSEEN = "never seen"
_SINCE = "since last look"
_EARLIER = "began earlier"

_BAR = "square"
_STAGE_PARTS = {
    _HALF: (1.0, "diamond"),
    _MOST: (0.7, _BAR),
    _OPEN: (0.2, _BAR),
    _LEAST: (1.0, _BAR),
    _UP_TO: (0.35, _BAR),
    _STILL: (1.0, "triangle-right"),
}
_LIFE_PARTS = {
    _CERTAIN: (1.0, _BAR),
    _BETWEEN: (0.4, _BAR),
    _UNSEEN: (0.25, _BAR),
    _SINCE: (0.15, _BAR),
    _EARLIER: (1.0, "triangle-left"),
    _STILL: (1.0, "triangle-right"),
}
_CLOCK = (
    "utcFormat(datum.value, utcseconds(datum.value) ? '%H:%M:%S' : "
    "utchours(datum.value) || utcminutes(datum.value) ? '%H:%M' : '%b %d')"
)
_TICKS_H = (
    *(minutes / 60 for minutes in (1, 2, 5, 10, 15, 30)),
    *(1, 2, 3, 6, 12, 24, 48, 72, 168, 336, 720),
)


def stage_times(summary: pd.DataFrame, visits: pd.DataFrame | None = None) -> alt.LayerChart:
    """A chart that answers how long each stage takes.

    ``summary`` is the frame of ``durations.summarize``: a bar from the 10th to the 90th percentile
    and a mark where half are through, with n beside the stage's name. Where the 90th is beyond the
    longest time observed, or the 10th too short to be known, a fainter bar takes its place.

    Where a stage has no percentiles yet and ``visits`` (of ``stages.visits``) is given, its six
    latest visits are drawn one by one: solid for the least time that it took, fainter up to the
    most. One that is still running ends in an arrow; one that was never seen is faint from 0.

    Returns a chart of hours by stage, in the order of ``summary``; without a visit, the words
    "Nothing to show yet".
    """
    title = "How long does each stage take?"
    if summary.empty or not summary[["finished", "running", "never_seen"]].to_numpy().any():
        return _nothing(title)
    rows = summary.assign(row=_stage_labels(summary))
    single = _single_visits(rows, visits)
    latest = [rows[["p10_h", "p50_h", "p90_h"]], single[["min_h", "max_h"]].replace(np.inf, np.nan)]
    longest = max(np.nanmax([0.0, *frame.to_numpy(dtype="float64").ravel()]) for frame in latest)
    end = longest * 1.15 or 1.0

    bars = pd.DataFrame(_percentile_bars(rows, end), columns=["row", "part", "from_h", "to_h"])
    told = {"Percentiles": _percentile_words, "Visits": _count_words, "Note": _note_words}
    facts = rows.assign(**{name: rows.apply(words, axis=1) for name, words in told.items()})
    facts = facts.assign(stage=facts["stage"].map(stage_name))[["row", "stage", "p50_h", *told]]
    bars = bars.merge(facts, on="row")
    halves = facts.dropna(subset=["p50_h"]).assign(part=_HALF)
    halves["half"] = halves["p50_h"].map(in_words)
    ranges = pd.DataFrame(
        _range_bars(single), columns=["row", "lane", "part", "from_h", "to_h", "stage", "Took"]
    )
    arrows = single.loc[single["state"] == "running"].assign(part=_STILL)
    arrows = arrows.assign(stage=arrows["stage"].map(stage_name), Took=arrows.apply(_took, axis=1))
    arrows = arrows[["row", "lane", "part", "min_h", "stage", "Took"]]

    # A format of the axis would be rounded to the ticks that Vega would have chosen.
    plain = "format(datum.value, '.3~f')"
    hours = alt.Axis(values=_ticks(end), labelExpr=plain, labelOverlap=True)
    x = alt.X("from_h:Q", title="Hours", axis=hours, scale=alt.Scale(domain=[0, end], nice=False))
    y = alt.Y("row:O", title=None, sort=list(rows["row"]), axis=_row_axis())
    lanes = alt.Scale(domain=list(range(2 * LANES - 1)))
    lane = alt.YOffset("lane:O", scale=lanes, bandPosition=0.5)
    drawn = pd.concat([frame["part"] for frame in (bars, halves, ranges, arrows)])
    opacity, shape = _meanings(_STAGE_PARTS, drawn)
    tips = ["stage", *told]
    layers = [
        # Every stage has its row, also one that nothing can be drawn for.
        alt.Chart(facts).mark_point(opacity=0, size=1).encode(y=y, tooltip=tips),
        alt.Chart(bars).mark_bar(size=9).encode(y=y, x=x, x2="to_h", opacity=opacity, tooltip=tips),
        alt.Chart(ranges)
        .mark_bar(height=5)
        .encode(y=y, yOffset=lane, x=x, x2="to_h", opacity=opacity, tooltip=["stage", "Took"]),
        alt.Chart(halves)
        .mark_point(filled=True, size=130)
        .encode(y=y, x="p50_h:Q", opacity=opacity, shape=shape, tooltip=tips),
        _words(halves, align="left", dx=2, dy=-13, fontSize=11).encode(
            y=y, x="p50_h:Q", text="half:N", tooltip=tips
        ),
        alt.Chart(arrows)
        .mark_point(filled=True, size=70)
        .encode(
            y=y, yOffset=lane, x="min_h:Q", opacity=opacity, shape=shape, tooltip=["stage", "Took"]
        ),
    ]
    return _chart(layers, title, height=_ROW_PX * len(rows))


def timeline(visits: pd.DataFrame, *, now: datetime, title: str | None = None) -> alt.LayerChart:
    """A chart that answers what happened to one persona.

    ``visits`` is the part of ``stages.visits`` that belongs to one persona; ``now`` is the moment
    of looking, on the session's clock. A row a visit, in order: a thick bar for the time in which
    it was certainly in that stage, thin and fainter where the change lies between two looks,
    fainter still for a stage that nobody saw, and from the last look until ``now`` for one that is
    running. An arrow marks an end that is open. Beside each stage's name stands how long it took.

    Returns a chart of UTC time by visit; without a visit, the words "Nothing to show yet". Raises
    ``ValueError`` when there are visits of several personas.
    """
    title = title or "What happened to this avatar?"
    if visits.empty:
        return _nothing(title)
    if visits["persona_id"].nunique() > 1:
        raise ValueError("A timeline shows one persona; choose the visits of one persona_id.")
    rows = visits.assign(row=_visit_labels(visits))
    moment = pd.Timestamp(now)
    until = rows["left_after"].where(rows["left_after"] > moment, moment)

    unseen, running = rows["state"] == "never_seen", rows["state"] == "running"
    bars = pd.concat(
        [
            _bars(rows[~unseen], _CERTAIN, "entered_before", "left_after"),
            _bars(rows[~unseen], _BETWEEN, "entered_after", "entered_before"),
            _bars(rows[~unseen], _BETWEEN, "left_after", "left_before"),
            _bars(rows[unseen], _UNSEEN, "entered_after", "left_before"),
            _bars(rows[running].assign(until=until[running]), _SINCE, "left_after", "until"),
        ],
        ignore_index=True,
    )
    thick = bars["part"] == _CERTAIN
    open_begin = rows["entered_after"].isna()
    arrows = pd.concat(
        [
            rows.loc[running, ["row"]].assign(at=until[running], part=_STILL),
            rows.loc[open_begin, ["row"]].assign(
                at=rows.loc[open_begin, "entered_before"], part=_EARLIER
            ),
        ],
        ignore_index=True,
    )
    # A visit seen at one look only has no length.
    edges = bars.loc[thick & (bars["from"] == bars["to"]), ["row", "from"]]

    axis = alt.Axis(labelExpr=_CLOCK, labelOverlap=True, tickCount=4, labelSeparation=8)
    begin = f"Time (UTC), from {bars['from'].min():%Y-%m-%d}"
    x = alt.X("from:T", title=begin, scale=alt.Scale(type="utc"), axis=axis)
    y = alt.Y("row:O", title=None, sort=list(rows["row"]), axis=_row_axis())
    opacity, shape = _meanings(_LIFE_PARTS, pd.concat([bars["part"], arrows["part"]]))
    tips = [
        alt.Tooltip("stage:N", title="Stage"),
        alt.Tooltip("part:N", title="This part"),
        *(
            alt.Tooltip(f"{name}:T", title=name.capitalize(), format="%Y-%m-%d %H:%M:%S UTC")
            for name in ("from", "to")
        ),
        alt.Tooltip("length:N", title="Length"),
        alt.Tooltip("took:N", title="Took"),
    ]
    layers = [
        alt.Chart(bars[~thick])
        .mark_bar(size=8)
        .encode(y=y, x=x, x2="to:T", opacity=opacity, tooltip=tips),
        alt.Chart(bars[thick])
        .mark_bar(size=18)
        .encode(y=y, x=x, x2="to:T", opacity=opacity, tooltip=tips),
        alt.Chart(edges).mark_tick(size=18, thickness=3).encode(y=y, x=x),
        alt.Chart(arrows)
        .mark_point(filled=True, size=110)
        .encode(y=y, x="at:T", opacity=opacity, shape=shape),
    ]
    return _chart(layers, title, height=44 * len(rows))


def _percentile_bars(rows: pd.DataFrame, end: float) -> Iterable[tuple[str, str, float, float]]:
    for _, row in rows.dropna(subset=["p50_h"]).iterrows():
        name, low, half, high = row[["row", "p10_h", "p50_h", "p90_h"]]
        below, above = np.isnan(low), np.isnan(high)
        if below:
            yield name, _OPEN, 0.0, half
        if above:
            yield name, _OPEN, half, end
        if not (below and above):
            yield name, _MOST, half if below else low, half if above else high


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


def _range_bars(single: pd.DataFrame) -> Iterable[tuple[str, int, str, float, float, str, str]]:
    for _, visit in single.iterrows():
        words = stage_name(visit["stage"]), _took(visit)
        if visit["min_h"] > 0:
            yield visit["row"], visit["lane"], _LEAST, 0.0, visit["min_h"], *words
        if np.isfinite(visit["max_h"]):
            yield visit["row"], visit["lane"], _UP_TO, visit["min_h"], visit["max_h"], *words


def _bars(rows: pd.DataFrame, part: str, start: str, stop: str) -> pd.DataFrame:
    bars = pd.DataFrame(
        {
            "row": rows["row"],
            "stage": rows["stage"].map(stage_name),
            "part": pd.Series(part, index=rows.index, dtype="str"),
            "from": rows[start],
            "to": rows[stop],
            "took": rows.apply(_took, axis=1) if len(rows) else pd.Series(dtype="str"),
        }
    ).dropna()
    hours = (bars["to"] - bars["from"]).dt.total_seconds() / 3600
    bars["length"] = hours.map(in_words)
    # The certain part is kept even when it is a single look.
    return bars if part == _CERTAIN else bars[bars["from"] < bars["to"]]


def _took(visit: Any) -> str:
    return took(visit["state"], visit["min_h"], visit["max_h"])


def _stage_labels(summary: pd.DataFrame) -> list[str]:
    labels = []
    for _, row in summary.iterrows():
        more = f"{row['running']:,} running" if row["running"] else ""
        if np.isnan(row["p50_h"]) and row["n"]:
            more = row["note"].split(":")[0]
        counts = ", ".join(filter(None, (f"n {row['n']:,}", more)))
        labels.append(f"{stage_name(row['stage'])}\n{counts}")
    return labels


def _visit_labels(visits: pd.DataFrame) -> list[str]:
    nth = visits.groupby("stage").cumcount() + 1
    return [
        f"{stage_name(visit['stage'])}{f' ({n})' if n > 1 else ''}\n{_took(visit)}"
        for n, (_, visit) in zip(nth, visits.iterrows(), strict=True)
    ]


def _percentile_words(row: Any) -> str:
    shares = (("10 %", "p10_h"), ("50 %", "p50_h"), ("90 %", "p90_h"))
    return ", ".join(f"{share} within {in_words(row[name])}" for share, name in shares)


def _count_words(row: Any) -> str:
    counts = f"{row['finished']} finished, {row['running']} running"
    return f"n {row['n']}: {counts}, {row['never_seen']} never seen"


def _note_words(row: Any) -> str:
    return row["note"] or "none"


def _ticks(end: float) -> list[float]:
    """At most six round numbers of hours from 0 to ``end``, days as multiples of 24."""
    step = next((step for step in _TICKS_H if end / step <= 6), _TICKS_H[-1] * np.ceil(end / 4320))
    return [float(tick) for tick in np.arange(0, end, step)]


def _row_axis() -> alt.Axis:
    # A theme may cut labels off at 100 pixels; these are short already.
    # The offset puts the middle of the two lines, not the first, beside the row.
    two_lines = "split(datum.label, '\\n')"
    return alt.Axis(labelExpr=two_lines, labelLimit=0, labelOffset=-7, ticks=False, domain=False)


def _meanings(
    parts: dict[str, tuple[float, str]], drawn: pd.Series[str]
) -> tuple[alt.Opacity, alt.Shape]:
    """Opacity and shape of each part, with one legend of those that are in the chart."""
    names, used = list(parts), [part for part in parts if (drawn == part).any()]
    opacities, shapes = zip(*parts.values(), strict=True)
    # Legends of the same parts in the same order are drawn as one; some renderers lose the second.
    legend = alt.Legend(title=None, orient="bottom", columns=2, labelLimit=0, values=used)
    # Left alone, Vega-Lite would take opacities for two ends and share them out evenly.
    opacity = alt.Scale(type="ordinal", domain=names, range=list(opacities))
    shape = alt.Scale(domain=names, range=list(shapes))
    return (
        alt.Opacity("part:N", scale=opacity, legend=legend),
        alt.Shape("part:N", scale=shape, legend=legend),
    )


def _words(frame: pd.DataFrame, **mark: Any) -> alt.Chart:
    """Text in the theme's first colour; left alone it is black, also on a dark page."""
    colour = alt.Color("tone:N", legend=None)
    words: alt.Chart = alt.Chart(frame.assign(tone="text")).mark_text(**mark)
    return words.encode(color=colour)


def _chart(layers: list[alt.Chart], title: str, *, height: int) -> alt.LayerChart:
    # A layer without data would only bring types that nobody declared.
    filled = [layer for layer in layers if len(layer.data)]
    heading = alt.Title(title, anchor="start")
    chart = alt.LayerChart(layer=filled)
    # The height is the rows'; a theme that fits axis and legend into it would squash them.
    fit = alt.AutoSizeParams(type="fit-x", contains="padding")
    return chart.properties(title=heading, width="container", height=height, autosize=fit)


def _nothing(title: str) -> alt.LayerChart:
    words = _words(pd.DataFrame({"text": [NOTHING]}), fontSize=14).encode(text="text:N")
    return _chart([words], title, height=80)
