"""What all charts share: heading and size, axes of hours and of rows, legends, words."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import count
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

NOTHING = "Nothing to show yet"

BAR = "square"
LINE = "stroke"
SPAN = "M-1,-.7H-.8V-.1H.8V-.7H1V.7H.8V.1H-.8V.7H-1Z"
"""Three shapes of a part: what its symbol in the legend is. The last one is a bar with two ends."""

SOLID = (1, 0)
"""The dashes of a line that has none."""

CLOCK = (
    "utcFormat(datum.value, utcseconds(datum.value) ? '%H:%M:%S' : "
    "utchours(datum.value) || utcminutes(datum.value) ? '%H:%M' : '%b %d')"
)
"""The label of a moment: as short as it can be."""

BACKGROUND = {"expr": "background"}
"""The colour of the page, by the name that Vega has for it."""

_TWO_LINES_PX = -7
"""The offset that puts the middle of two lines, not the first, beside their place."""

_FLUSH_PX = 24
"""A label of a moment so near an end of its axis is set inwards; centred it would be cut off."""

_TICKS_H = (
    *(minutes / 60 for minutes in (1, 2, 5, 10, 15, 30)),
    *(1, 2, 3, 6, 12, 24, 48, 72, 168, 336, 720),
)


def chart(
    layers: list[alt.Chart], title: str, *, height: int, axes_at_both_sides: bool = False
) -> alt.LayerChart:
    """The layers that hold something, one over the other, under their question."""
    # A layer without data would only bring types that nobody declared.
    filled = [layer for layer in layers if len(layer.data)]
    heading = alt.Title(title, anchor="start")
    # The height is the rows'; a theme that fits axis and legend into it would squash them.
    fit = alt.AutoSizeParams(type="fit-x", contains="padding")
    whole = alt.LayerChart(layer=filled)
    if axes_at_both_sides:
        whole = whole.resolve_axis(y="independent")
    return whole.properties(title=heading, width="container", height=height, autosize=fit)


def nothing(title: str) -> alt.LayerChart:
    """The words "Nothing to show yet" under the question."""
    none = words(pd.DataFrame({"text": [NOTHING]}), fontSize=14).encode(text="text:N")
    return chart([none], title, height=80)


def words(frame: pd.DataFrame, **mark: Any) -> alt.Chart:
    """Text in the theme's first colour; left alone it is black, also on a dark page."""
    colour = alt.Color("tone:N", legend=None)
    text: alt.Chart = alt.Chart(frame.assign(tone="text")).mark_text(**mark)
    return text.encode(color=colour)


def legend(names: list[str], columns: int = 2, **symbols: Any) -> alt.Legend:
    """A legend below the chart, in so many columns, that shows these names."""
    place: dict[str, Any] = {"title": None, "orient": "bottom", "columns": columns}
    return alt.Legend(**place, labelLimit=0, values=names, **symbols)


def meanings(
    parts: dict[str, tuple[float, str]], drawn: pd.Series[str]
) -> tuple[alt.Opacity, alt.Shape]:
    """Opacity and shape of each part, with one legend of those that are in the chart."""
    names, used = list(parts), [part for part in parts if (drawn == part).any()]
    opacities, shapes = zip(*parts.values(), strict=True)
    # Legends of the same parts in the same order are drawn as one; some renderers lose the second.
    shared = legend(used)
    # Left alone, Vega-Lite would take opacities for two ends and share them out evenly.
    opacity = alt.Scale(type="ordinal", domain=names, range=list(opacities))
    shape = alt.Scale(domain=names, range=list(shapes))
    return (
        alt.Opacity("part:N", scale=opacity, legend=shared),
        alt.Shape("part:N", scale=shape, legend=shared),
    )


def names_beside(
    frame: pd.DataFrame, names: pd.Series[str], *, x: str, y: str, scale: alt.Scale
) -> alt.Chart:
    """The names as an axis at the right, each at its ``y``; ``x`` and ``y`` are columns.

    For a chart with ``axes_at_both_sides``. The names are of one line, or all of two.
    """
    # An axis, as its labels have the theme's colour and get the room that they need.
    places = frame[y].round(3)
    texts = json.dumps({f"{at:g}": name for at, name in zip(places, names, strict=True)})
    axis = alt.Axis(
        orient="right",
        values=places.tolist(),
        labelExpr=f"split({texts}[format(datum.value, '.6~g')], '\\n')",
        title=None,
        grid=False,
        ticks=False,
        domain=False,
        labelLimit=0,
        labelOffset=_TWO_LINES_PX if any("\n" in name for name in names) else 0,
        labelOverlap=False,
    )
    rows = frame[[x.removesuffix(":T").removesuffix(":Q")]].assign(place=places)
    points: alt.Chart = alt.Chart(rows).mark_point(opacity=0)
    return points.encode(x=x, y=alt.Y("place:Q", scale=scale, axis=axis))


def row_axis() -> alt.Axis:
    """The axis of rows that are named in two lines."""
    # A theme may cut labels off at 100 pixels; these are short already.
    two_lines = "split(datum.label, '\\n')"
    return alt.Axis(
        labelExpr=two_lines,
        labelLimit=0,
        labelOffset=_TWO_LINES_PX,
        labelPadding=8,
        ticks=False,
        domain=False,
    )


def hours_axis(end: float) -> alt.Axis:
    """The axis of hours from 0 to ``end``, with at most six round numbers."""
    # A format of the axis would be rounded to the ticks that Vega would have chosen.
    plain = "format(datum.value, '.3~f')"
    return alt.Axis(values=_ticks(end), labelExpr=plain, labelOverlap=True)


def moments_axis() -> alt.Axis:
    """The axis of moments, UTC, labelled as shortly as can be."""
    return alt.Axis(
        labelExpr=CLOCK,
        labelFlush=_FLUSH_PX,
        labelOverlap=True,
        tickCount=4,
        labelSeparation=8,
    )


def as_value(moment: datetime) -> str:
    """A UTC moment as a value of an axis or a domain."""
    # Some versions of Vega-Lite take a bare number for a year.
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def moment_tips(**names: str) -> list[alt.Tooltip]:
    """Tooltips of moments, by their column."""
    return [
        alt.Tooltip(f"{column}:T", title=title, format="%Y-%m-%d %H:%M:%S UTC")
        for column, title in names.items()
    ]


def longest(*frames: pd.DataFrame) -> float:
    """The largest finite number in the frames, 0 without one."""
    values: Iterable[Any] = (frame.to_numpy(dtype="float64").ravel() for frame in frames)
    every = np.concatenate([np.zeros(1), *values])
    return float(every[np.isfinite(every)].max())


def evenly(size: int, most: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """At most ``most`` places of 0…size-1, evenly apart, the first and the last among them."""
    return np.unique(np.linspace(0, size - 1, min(size, most)).round().astype(np.int64))


def round_steps() -> Iterator[int]:
    """1, 2, 5, 10, 20, 50, and so on."""
    return (digit * 10**power for power in count() for digit in (1, 2, 5))


def _ticks(end: float) -> list[float]:
    """At most six round numbers of hours from 0 to ``end``, days as multiples of 24."""
    step = next((step for step in _TICKS_H if end / step <= 6), _TICKS_H[-1] * np.ceil(end / 4320))
    return [float(tick) for tick in np.arange(0, end, step)]
