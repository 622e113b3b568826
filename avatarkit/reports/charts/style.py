"""Build what the charts share: heading and size, axes, legends, labels and tooltips."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, tzinfo
from itertools import count
from typing import Any, NamedTuple, TypeVar

import altair as alt
import numpy as np
import pandas as pd

from avatarkit.reports.charts import display
from avatarkit.text import stage_name

NOTHING = "Nothing to show yet"

STATUS_COLORS = {
    "pending": "#3970FF",
    "processing": "#08A37E",
    "voice_creating": "#7176AE",
    "video_validating": "#AC914F",
    "crop_and_matte": "#0085D3",
    "reviewing": "#A216DC",
    "done": "#1F9200",
    "rejected": "#B8268E",
    "failed": "#FC1B14",
}
"""The colour of each documented status, in every chart and table.

They were chosen by search: each has a contrast of 3 or more to the light and to the dark page, any
two differ by 15 or more in CIELAB as seen with protanopia or deuteranopia, and those that are
stacked on each other differ in lightness.
"""

UNDOCUMENTED_COLOR = "#666666"
"""The colour of every undocumented status, and of what belongs to no status."""

READABLE = "contrast({0}, 'white') > contrast({0}, 'black') ? 'white' : 'black'"
"""A Vega expression for black or white, whichever is readable on a colour."""

# Symbols in a legend.
BAR = "square"
LINE = "stroke"
INTERVAL = "M-1,-.7H-.8V-.1H.8V-.7H1V.7H.8V.1H-.8V.7H-1Z"

SOLID = [1, 0]
"""The dashes of a solid line."""

BACKGROUND = {"expr": "background"}
"""The colour of the page, by the name that Vega has for it."""

_ON_PAGE = READABLE.format("background")
FOREGROUND = {"expr": f"background == 'transparent' ? '{display.TEXT_COLOR}' : {_ON_PAGE}"}
"""Black, or white on a dark page; grey on a page whose colour is not known."""

WIDTH = 600
"""The width in pixels between the axes, where no page gives another one."""

DRAWN_WIDTH = f"(width || {WIDTH})"
"""The width that was given, as a Vega expression; a combined chart has none for all its parts."""

_SHORTEST_TIME = (
    "{0}(datum.value, {1}seconds(datum.value) ? '%H:%M:%S' : "
    "{1}hours(datum.value) || {1}minutes(datum.value) ? '%H:%M' : '%b %d')"
)

_TWO_LINES_PX = -7
"""The offset that centres a label of two lines."""

_TICKS_H = (
    *(minutes / 60 for minutes in (1, 2, 5, 10, 15, 30)),
    *(1, 2, 3, 6, 12, 24, 48, 72, 168, 336, 720),
)

CENTRED: dict[type, dict[str, Any]] = {
    alt.X: {"labelAlign": "center", "labelFlush": False, "labelBound": False},
    alt.Y: {"labelBaseline": "middle", "labelFlush": False, "labelBound": False},
}
"""Options that centre the labels of an axis on their ticks, also those at its ends."""

_LETTER_PX = 6.2
_SYMBOL_PX = 32
_SWATCH_PX = 9
_OUTLINE_PX = 1

_Channel = TypeVar("_Channel", alt.X, alt.Y)
_Named = TypeVar("_Named", alt.Color, alt.FillOpacity, alt.Shape, alt.StrokeDash)


class Part(NamedTuple):
    """A kind of mark in a chart: its name in the legend, its opacity, symbol and dashes."""

    name: str
    opacity: float = 1.0
    symbol: str = LINE
    dash: Sequence[int] = SOLID


def chart(
    layers: list[alt.Chart], title: str, *, height: int, axes_at_both_sides: bool = False
) -> alt.LayerChart:
    """Combine the layers that have data into a chart with a title.

    They share one frame, in which ``_layer`` is the number of the layer: only so can Altair divide
    the chart by a column (``chart.facet``).
    """
    # A layer without data has columns without a declared type.
    filled = [layer for layer in layers if len(layer.data)]
    rows = [layer.data.assign(_layer=number) for number, layer in enumerate(filled)]
    shared = pd.concat(rows, ignore_index=True)
    parts = [
        layer.properties(data=alt.Undefined).transform_filter(f"datum._layer === {number}")
        for number, layer in enumerate(filled)
    ]
    layered = display.Chart(data=shared, layer=parts)
    if axes_at_both_sides:
        layered = layered.resolve_axis(y="independent")
    heading = alt.Title(title, anchor="start")
    return layered.properties(title=heading, width=WIDTH, height=height)


def nothing(title: str) -> alt.LayerChart:
    """Return a chart with the text "Nothing to show yet" under the title."""
    text = words(pd.DataFrame({"text": [NOTHING]}), fontSize=14).encode(text="text:N")
    return chart([text], title, height=80)


def words(frame: pd.DataFrame, **mark: Any) -> alt.Chart:
    """Return text marks in black, or in white on a dark page."""
    text: alt.Chart = alt.Chart(frame).mark_text(color=FOREGROUND, **mark)
    return text


def status_color(status: str) -> str:
    """Return the colour of a status, as ``#rrggbb``."""
    return STATUS_COLORS.get(status, UNDOCUMENTED_COLOR)


def by_status(field: str, names: Iterable[str]) -> alt.Color:
    """Return the colours of a column of statuses as people read them, without a legend.

    Args:
        field: The column of the names.
        names: The names in the chart; those that are not documented get one colour.
    """
    colours = {stage_name(status): colour for status, colour in STATUS_COLORS.items()}
    colours |= dict.fromkeys(sorted(set(names) - set(colours)), UNDOCUMENTED_COLOR)
    return by_name(alt.Color, field, colours, None)


def legend(names: list[str], **symbols: Any) -> alt.Legend:
    """Return a legend of these names in one row under the title, in more where one is too wide."""
    widths = [len(name) * _LETTER_PX + _SYMBOL_PX for name in names] or [1.0]
    fitting = f"max(1, floor({DRAWN_WIDTH} / {max(widths):.0f}))"
    columns = alt.ExprRef(f"{DRAWN_WIDTH} > {sum(widths):.0f} ? {len(widths)} : {fitting}")
    place: dict[str, Any] = {"title": None, "orient": "top", "columns": columns}
    return alt.Legend(**place, labelLimit=0, values=names, **symbols)


def by_name(
    channel: type[_Named],
    field: str,
    values: dict[str, Any],
    legend: alt.Legend | None,
) -> _Named:
    """Return an encoding that gives each name of a field a value of its own.

    Args:
        channel: Such as ``alt.FillOpacity``.
        field: The column of the names.
        values: By name, such as opacities.
        legend: Legends of the same names in the same order are drawn as one.
    """
    options: dict[str, Any] = {}
    if channel is alt.FillOpacity:
        # By default, Vega-Lite interpolates between the first and the last opacity.
        options["type"] = "ordinal"
    scale = alt.Scale(domain=list(values), range=list(values.values()), **options)
    # Of an opacity without an order Vega-Lite warns.
    order = list(values) if channel is alt.FillOpacity else alt.Undefined
    return channel(f"{field}:N", scale=scale, legend=legend, sort=order)


def by_part(
    parts: Sequence[Part], drawn: pd.Series[str], **symbols: Any
) -> tuple[alt.FillOpacity, alt.Shape, alt.StrokeDash]:
    """Return opacity, shape and dashes of each part, the last two with a legend in grey.

    So that faint symbols can be seen in the legend, it is the shape's and has outlines. At least
    one layer of points has the shape and a field as colour, if need be an invisible one.

    Args:
        parts: All parts, in the order of the legend.
        drawn: The names of the parts that are in the chart; the name of the series is the
            column of the encodings.
        symbols: Options of the legend.
    """
    names, *looks = zip(*parts, strict=True)
    field = str(drawn.name)
    grey: dict[str, Any] = {"symbolOpacity": 1, "symbolStrokeColor": UNDOCUMENTED_COLOR}
    if symbols.get("symbolType") != LINE:
        fills = {
            part.name: f"{UNDOCUMENTED_COLOR}{round(part.opacity * 255):02x}" for part in parts
        }
        grey["symbolFillColor"] = alt.ExprRef(f"{json.dumps(fills)}[datum.value]")
        # A thicker stroke would make small symbols, such as that of an interval, a blot.
        grey["symbolStrokeWidth"] = _OUTLINE_PX
    shared = legend([name for name in names if (drawn == name).any()], **grey, **symbols)
    opacities, shapes, dashes = (dict(zip(names, look, strict=True)) for look in looks)
    return (
        by_name(alt.FillOpacity, field, opacities, None),
        by_name(alt.Shape, field, shapes, shared),
        by_name(alt.StrokeDash, field, dashes, shared),
    )


def names_beside(
    frame: pd.DataFrame,
    names: pd.Series[str],
    colours: Iterable[str],
    *,
    x: str,
    y: str,
    scale: alt.Scale,
) -> alt.Chart:
    """Return the names as an axis at the right, each at its ``y`` behind a square of its colour.

    For a chart with ``axes_at_both_sides``; ``x`` and ``y`` are columns. The names are of one line,
    or all of two.
    """
    # As an axis, since its labels get the theme's colour and the room that they need.
    places = frame[y].round(3)
    values = [f"{at:g}" for at in places]
    texts = json.dumps(dict(zip(values, names, strict=True)))
    value = "format(datum.value, '.6~g')"
    conditions = [
        {"test": f"{value} == '{at}'", "value": colour}
        for at, colour in zip(values, colours, strict=True)
    ]
    axis = alt.Axis(
        orient="right",
        values=places.tolist(),
        labelExpr=f"split({texts}[{value}], '\\n')",
        title=None,
        grid=False,
        ticks=True,
        tickColor={"condition": conditions, "value": UNDOCUMENTED_COLOR},
        tickSize=_SWATCH_PX,
        tickWidth=_SWATCH_PX,
        domain=False,
        labelLimit=0,
        labelOffset=_TWO_LINES_PX if any("\n" in name for name in names) else 0,
        labelOverlap=False,
        # A name stands at its square, also at the ends.
        labelFlush=False,
        labelBound=False,
    )
    return invisible(frame.assign(place=places)).encode(
        x=x, y=alt.Y("place:Q", scale=scale, axis=axis)
    )


def apart(places: Iterable[float], step: float, end: float) -> list[float]:
    """Return ascending places moved to be ``step`` apart, and below ``end`` if there is room."""
    moved: list[float] = []
    for place in places:
        moved.append(max(place, moved[-1] + step) if moved else place)
    for index in reversed(range(len(moved))):
        moved[index] = max(min(moved[index], end), index * step)
        end = moved[index] - step
    return moved


def points(frame: pd.DataFrame, **mark: Any) -> alt.Chart:
    """Return filled point marks."""
    chart: alt.Chart = alt.Chart(frame).mark_point(**{"filled": True, "opacity": 1, **mark})
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
    axis = alt.Axis(values=_ticks(end), labelExpr=plain, labelOverlap=True, **CENTRED[channel])
    scale = alt.Scale(domain=[0, end], nice=False)
    return channel(f"{column}:Q", title=title, axis=axis, scale=scale)


def shares_axis() -> alt.Axis:
    """Return the axis of shares in percent."""
    return alt.Axis(format=".0%", tickCount=5, **CENTRED[alt.Y])


def moments(column: str, title: str | list[str], zone: tzinfo, **scale: Any) -> alt.X:
    """Return the x encoding of a column of moments, with short labels.

    Args:
        column: The column.
        title: The title of the axis, or its lines.
        zone: UTC, or the zone of the browser that draws the chart; no other can be drawn.
        scale: Options of the scale.
    """
    is_utc = str(zone) == "UTC"
    names = ("utcFormat", "utc") if is_utc else ("timeFormat", "")
    axis = alt.Axis(
        labelExpr=_SHORTEST_TIME.format(*names),
        labelOverlap=True,
        tickCount=4,
        labelSeparation=8,
        **CENTRED[alt.X],
    )
    kind = alt.Scale(type="utc" if is_utc else "time", **scale)
    return alt.X(f"{column}:T", title=title, scale=kind, axis=axis)


def written(moments: pd.Series[Any], zone: tzinfo) -> pd.Series[str]:
    """Return moments as text for a tooltip, as Vega writes them in the browser's zone only."""
    text: pd.Series[str] = moments.dt.tz_convert(zone).dt.strftime("%Y-%m-%d %H:%M:%S %Z")
    return text


def as_value(moment: datetime) -> str:
    """Return a UTC moment as a value of an axis or a domain."""
    # Some versions of Vega-Lite take a bare number for a year.
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def plain_tooltips(*columns: str) -> list[alt.Tooltip]:
    """Return the tooltips of columns, under their own names.

    A name that is given to Altair as text costs 10 ms, as it looks up the class of its channel.
    """
    return [alt.Tooltip(column) for column in columns]


def tooltips(
    titles: Mapping[str, str], formats: Mapping[str, str] | None = None
) -> list[alt.Tooltip]:
    """Return the tooltips of columns, from their titles and formats by column."""
    return [
        alt.Tooltip(column, title=title, format=(formats or {}).get(column, alt.Undefined))
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
