"""Build what the charts share: heading and size, axes, legends, labels and tooltips."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import count
from typing import Any, NamedTuple, TypeVar

import altair as alt
import numpy as np
import pandas as pd

NOTHING = "Nothing to show yet"

# Symbols in a legend.
BAR = "square"
LINE = "stroke"
INTERVAL = "M-1,-.7H-.8V-.1H.8V-.7H1V.7H.8V.1H-.8V.7H-1Z"

SOLID = [1, 0]
"""The dashes of a solid line."""

BACKGROUND = {"expr": "background"}
"""The colour of the page, by the name that Vega has for it."""

MOMENT = "%Y-%m-%d %H:%M:%S UTC"
"""The format of a moment in a tooltip."""

_SHORTEST_TIME = (
    "utcFormat(datum.value, utcseconds(datum.value) ? '%H:%M:%S' : "
    "utchours(datum.value) || utcminutes(datum.value) ? '%H:%M' : '%b %d')"
)

_TWO_LINES_PX = -7
"""The offset that centres a label of two lines."""

_FLUSH_PX = 24
"""A label of a moment this near to an end of the axis is moved inwards, or it would be cut off."""

_TICKS_H = (
    *(minutes / 60 for minutes in (1, 2, 5, 10, 15, 30)),
    *(1, 2, 3, 6, 12, 24, 48, 72, 168, 336, 720),
)

_Channel = TypeVar("_Channel", alt.X, alt.Y)
_Named = TypeVar("_Named", alt.Color, alt.Opacity, alt.Shape, alt.StrokeDash)


class Part(NamedTuple):
    """A kind of mark in a chart: its name in the legend, its opacity, symbol and dashes."""

    name: str
    opacity: float = 1.0
    symbol: str = LINE
    dash: Sequence[int] = SOLID


def chart(
    layers: list[alt.Chart], title: str, *, height: int, axes_at_both_sides: bool = False
) -> alt.LayerChart:
    """Combine the layers that have data into a chart with a title."""
    # A layer without data has columns without a declared type.
    filled = [layer for layer in layers if len(layer.data)]
    heading = alt.Title(title, anchor="start")
    # The height is the rows'; a theme that fits axis and legend into it would squash them.
    fit = alt.AutoSizeParams(type="fit-x", contains="padding")
    layered = alt.LayerChart(layer=filled)
    if axes_at_both_sides:
        layered = layered.resolve_axis(y="independent")
    return layered.properties(title=heading, width="container", height=height, autosize=fit)


def nothing(title: str) -> alt.LayerChart:
    """Return a chart with the text "Nothing to show yet" under the title."""
    text = words(pd.DataFrame({"text": [NOTHING]}), fontSize=14).encode(text="text:N")
    return chart([text], title, height=80)


def words(frame: pd.DataFrame, **mark: Any) -> alt.Chart:
    """Return text marks in the theme's first colour; the default is black, even on a dark page."""
    colour = alt.Color("tone:N", legend=None)
    text: alt.Chart = alt.Chart(frame.assign(tone="text")).mark_text(**mark)
    return text.encode(color=colour)


def legend(names: list[str], columns: int = 2, **symbols: Any) -> alt.Legend:
    """Return a legend of these names below the chart."""
    place: dict[str, Any] = {"title": None, "orient": "bottom", "columns": columns}
    return alt.Legend(**place, labelLimit=0, values=names, **symbols)


def by_name(
    channel: type[_Named],
    field: str,
    values: dict[str, Any],
    legend: alt.Legend,
) -> _Named:
    """Return an encoding that gives each name of a field a value of its own.

    Args:
        channel: Such as ``alt.Opacity``.
        field: The column of the names.
        values: By name, such as opacities; for ``alt.Color`` they are left to the theme.
        legend: Legends of the same names in the same order are drawn as one.
    """
    options: dict[str, Any] = {} if channel is alt.Color else {"range": list(values.values())}
    if channel is alt.Opacity:
        # By default, Vega-Lite interpolates between the first and the last opacity.
        options["type"] = "ordinal"
    return channel(f"{field}:N", scale=alt.Scale(domain=list(values), **options), legend=legend)


def by_part(
    parts: Sequence[Part], drawn: pd.Series[str], **symbols: Any
) -> tuple[alt.Color, alt.Opacity, alt.Shape, alt.StrokeDash]:
    """Return colour, opacity, shape and dashes of each part, with one legend.

    Args:
        parts: All parts, in the order of the legend.
        drawn: The names of the parts that are in the chart; the name of the series is the
            column of the encodings.
        symbols: Options of the legend.
    """
    names, *looks = zip(*parts, strict=True)
    field = str(drawn.name)
    shared = legend([name for name in names if (drawn == name).any()], **symbols)
    opacities, shapes, dashes = (dict(zip(names, look, strict=True)) for look in looks)
    return (
        by_name(alt.Color, field, dict.fromkeys(names), shared),
        by_name(alt.Opacity, field, opacities, shared),
        by_name(alt.Shape, field, shapes, shared),
        by_name(alt.StrokeDash, field, dashes, shared),
    )


def names_beside(
    frame: pd.DataFrame, names: pd.Series[str], *, x: str, y: str, scale: alt.Scale
) -> alt.Chart:
    """Return the names as an axis at the right, each at its ``y``; ``x`` and ``y`` are columns.

    For a chart with ``axes_at_both_sides``. The names are of one line, or all of two.
    """
    # As an axis, since its labels get the theme's colour and the room that they need.
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
    rows = frame[[x]].assign(place=places)
    return invisible(rows).encode(x=x, y=alt.Y("place:Q", scale=scale, axis=axis))


def points(frame: pd.DataFrame, **mark: Any) -> alt.Chart:
    """Return filled point marks."""
    chart: alt.Chart = alt.Chart(frame).mark_point(filled=True, **mark)
    return chart


def invisible(frame: pd.DataFrame) -> alt.Chart:
    """Return marks that are not visible but extend the axes."""
    return points(frame, opacity=0, size=1)


def rows(labels: Iterable[str]) -> alt.Y:
    """Return the y encoding of the column ``row``, with labels of two lines in this order."""
    # A theme may cut labels off at 100 pixels; these are short already.
    axis = alt.Axis(
        labelExpr="split(datum.label, '\\n')",
        labelLimit=0,
        labelOffset=_TWO_LINES_PX,
        labelPadding=8,
        ticks=False,
        domain=False,
    )
    return alt.Y("row:O", title=None, sort=list(labels), axis=axis)


def hours(channel: type[_Channel], column: str, title: str, end: float) -> _Channel:
    """Return the encoding of a column of hours from 0 to ``end``, with at most six ticks."""
    # An axis format would round to the ticks that Vega would have chosen.
    plain = "format(datum.value, '.3~f')"
    axis = alt.Axis(values=_ticks(end), labelExpr=plain, labelOverlap=True)
    scale = alt.Scale(domain=[0, end], nice=False)
    return channel(f"{column}:Q", title=title, axis=axis, scale=scale)


def shares_axis() -> alt.Axis:
    """Return the axis of shares in percent."""
    return alt.Axis(format=".0%", tickCount=5)


def moments_axis() -> alt.Axis:
    """Return the axis of moments in UTC, with short labels."""
    return alt.Axis(
        labelExpr=_SHORTEST_TIME,
        labelFlush=_FLUSH_PX,
        labelOverlap=True,
        tickCount=4,
        labelSeparation=8,
    )


def as_value(moment: datetime) -> str:
    """Return a UTC moment as a value of an axis or a domain."""
    # Some versions of Vega-Lite take a bare number for a year.
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def tooltips(titles: dict[str, str], formats: Mapping[str, str]) -> list[alt.Tooltip]:
    """Return the tooltips of columns, from their titles and formats by column."""
    return [
        alt.Tooltip(column, title=title, format=formats.get(column, alt.Undefined))
        for column, title in titles.items()
    ]


def longest(*frames: pd.DataFrame) -> float:
    """Return the largest finite number in the frames, 0 without one."""
    values: Sequence[Any] = [frame.to_numpy(dtype="float64").ravel() for frame in frames]
    finite = np.concatenate([np.zeros(1), *values])
    return float(finite[np.isfinite(finite)].max())


def evenly(size: int, count: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return at most ``count`` of the indices 0…size-1, evenly apart, with the first and last."""
    return np.unique(np.linspace(0, size - 1, min(size, count)).round().astype(np.int64))


def round_steps() -> Iterator[int]:
    """Return 1, 2, 5, 10, 20, 50, and so on."""
    return (digit * 10**power for power in count() for digit in (1, 2, 5))


def _ticks(end: float) -> list[float]:
    """Return at most six round numbers of hours from 0 to ``end``, days as multiples of 24."""
    step = next((step for step in _TICKS_H if end / step <= 6), _TICKS_H[-1] * np.ceil(end / 4320))
    return [float(tick) for tick in np.arange(0, end, step)]
