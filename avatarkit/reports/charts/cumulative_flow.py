"""Draw the personas by day and status, stacked (cumulative flow)."""

from __future__ import annotations

from datetime import timedelta

import altair as alt
import numpy as np
import pandas as pd

from avatarkit.models import STAGES, ProcessStatus
from avatarkit.reports.charts import style
from avatarkit.text import stage_name

BARS = 14
"""Maximum of days that are drawn as bars; more are drawn as bands."""

SEPARATED = 60
"""Maximum of days with lines between the bands; with more there would be mostly lines."""

DAYS = 180
"""Maximum of days that are drawn, evenly apart."""

_HEIGHT_PX = 300
_LABEL_PX = 14
_LETTER_PX = 5.8
_LINE_PX = 1
_BAR_WIDTH = 0.92
_TICKS = 5
_SMALLEST_SHARE = 0.2
_ENDS = ("failed", "rejected", "done")
_LIGHT_AND_DARK = (0.9, 0.45)
_DAY = pd.Timedelta(days=1)


def cumulative_flow(flow: pd.DataFrame) -> alt.LayerChart:
    """Draw how many personas are on their way, and where.

    The statuses are stacked: at the bottom those that have ended, above them the stages, the last
    one lowest, so that all stages together are as thick as what is in flight, and every edge is the
    number that has come that far. Where the stages would be less than a fifth of the height, the
    ended ones are left out, and the axis says so. Most neighbours differ in lightness, and up to
    60 days a line in the colour of the page separates them; beside the last day stand the names.

    Up to 14 days are drawn as bars, with the names, or their first words, within those that have
    room for them; of more than 180 days 180 are drawn, evenly apart.

    Args:
        flow: The frame of ``flow.cumulative``.

    Returns:
        A chart of personas by day (UTC); without a persona, the words "Nothing to show yet".
    """
    title = "How much is in flight?"
    counts = _stacked(flow)
    if not counts.to_numpy().any():
        return style.nothing(title)
    counts = counts.iloc[style.evenly(len(counts), DAYS)]
    counts, in_flight, hidden = _without_ended(counts)
    highest = int(counts.sum(axis=1).max())
    as_bars = len(counts) <= BARS
    rows = _rows(counts, in_flight)
    if as_bars:
        gap = (1 - _BAR_WIDTH) / 2
        rows = rows.assign(begin=rows["day"] + gap * _DAY, until=rows["day"] + (1 - gap) * _DAY)
        # A bar without height would still have a line around it.
        rows = rows.loc[rows["personas"] > 0]
    thick = rows.loc[rows["personas"] >= _LABEL_PX / _HEIGHT_PX * highest]
    thick = thick.assign(middle=(thick["bottom"] + thick["top"]) / 2)
    is_last = thick["day"] == counts.index[-1]

    names = [stage_name(name) for name in reversed(counts.columns)]
    opacities = {name: _LIGHT_AND_DARK[place % 2] for place, name in enumerate(names)}
    # All of them, so that a status has one colour whichever others are there.
    colours = dict.fromkeys([*map(stage_name, ProcessStatus), *sorted(names)])
    legend = style.legend(names)
    scale = alt.Scale(domain=[0, highest], nice=False)
    step = next(step for step in style.round_steps() if highest / step <= _TICKS)
    counts_axis = alt.Axis(values=list(range(0, highest + 1, step)), format=",d")
    x = alt.X(
        "begin:T" if as_bars else "day:T",
        title=f"Day (UTC){f'; without {hidden:,} ended' if hidden else ''}",
        scale=alt.Scale(type="utc"),
        axis=_days_axis(counts.index, noon=as_bars),
    )
    y_title = "Avatars in flight" if hidden else "Avatars"
    tips = [
        alt.Tooltip("day:T", title="End of", format="%Y-%m-%d"),
        alt.Tooltip("status:N", title="Status"),
        alt.Tooltip("personas:Q", title="Avatars"),
        alt.Tooltip("flying:Q", title="In flight"),
    ]
    bands = alt.Chart(rows)
    bands = bands.mark_bar() if as_bars else bands.mark_area(line=False)
    bands = bands.encode(
        x=x,
        y=alt.Y("top:Q", title=y_title, scale=scale, axis=counts_axis),
        y2="bottom",
        color=style.by_name(alt.Color, "status", colours, legend),
        opacity=style.by_name(alt.Opacity, "status", opacities, legend),
        tooltip=tips,
    )
    # Where a status has no persona on a day, two of one lightness touch.
    lines = alt.Chart(rows if len(counts) <= SEPARATED else rows.head(0))
    lines = lines.mark_rule() if as_bars else lines.mark_line()
    lines = lines.encode(
        x=x,
        y=alt.Y("top:Q", scale=scale, axis=None),
        detail="status:N",
        color=alt.value(style.BACKGROUND),
        size=alt.value(_LINE_PX),
        tooltip=tips,
    )
    last = thick.loc[is_last]
    beside = style.names_beside(last, last["status"], x=x.shorthand, y="middle", scale=scale)
    layers = [bands, lines, beside]
    if as_bars:
        within = thick.assign(shade=thick["status"].map(opacities)).loc[~is_last]
        words = _words_within(within, len(counts))
        # Days without a persona in flight have their place, too.
        edge_days = pd.DataFrame({"begin": [counts.index[0], counts.index[-1] + _DAY]})
        layers = [
            bands.encode(x2="until:T"),
            lines.encode(x2="until:T"),
            beside,
            words.encode(y=alt.Y("middle:Q", scale=scale, axis=None), tooltip=tips),
            style.invisible(edge_days).encode(x="begin:T"),
        ]
    return style.chart(layers, title, height=_HEIGHT_PX, axes_at_both_sides=True)


def _without_ended(counts: pd.DataFrame) -> tuple[pd.DataFrame, pd.Series[int], int]:
    """Return the counts to draw, the number in flight by day, and the number that is left out."""
    ends = [name for name in _ENDS if name in counts]
    stages = counts.drop(columns=ends)
    in_flight, ended = stages.sum(axis=1), counts[ends].sum(axis=1)
    if 0 < in_flight.max() < _SMALLEST_SHARE * (ended + in_flight).max():
        return stages, in_flight, int(ended.iloc[-1])
    return counts, in_flight, 0


def _rows(counts: pd.DataFrame, in_flight: pd.Series[int]) -> pd.DataFrame:
    """Return a row a day and status, with its place in the stack."""
    top = counts.cumsum(axis=1)
    return pd.DataFrame(
        {
            "day": np.repeat(counts.index, counts.shape[1]),
            "status": np.tile([stage_name(str(name)) for name in counts], len(counts)),
            "personas": counts.to_numpy().ravel(),
            "bottom": (top - counts).to_numpy().ravel(),
            "top": top.to_numpy().ravel(),
            "flying": np.repeat(in_flight.to_numpy(), counts.shape[1]),
        }
    )


def _words_within(thick: pd.DataFrame, days: int) -> alt.Chart:
    """Return the name of each part of a bar, or its first word, or nothing, as there is room."""
    words = [name.partition(" ")[0] for name in thick["status"]]
    rows = thick.assign(
        noon=thick["day"] + _DAY / 2,
        word=pd.Series(words, index=thick.index, dtype="str"),
        name_px=[(len(name) + 1) * _LETTER_PX for name in thick["status"]],
        word_px=[(len(word) + 1) * _LETTER_PX for word in words],
    )
    # How wide the chart is shows only on the page.
    room = f"width * {_BAR_WIDTH / days:.4f}"
    text = f"{room} > datum.name_px ? datum.status : {room} > datum.word_px ? datum.word : ''"
    # What is strong has its own colour behind the words, what is pale has the page's.
    behind = "(datum.shade > 0.5 ? scale('color', datum.status) : background)"
    colour = f"contrast({behind}, 'white') > contrast({behind}, 'black') ? 'white' : 'black'"
    chart: alt.Chart = alt.Chart(rows).mark_text(
        fontSize=11, text={"expr": text}, color={"expr": colour}
    )
    return chart.encode(x="noon:T")


def _days_axis(days: pd.Index[pd.Timestamp], *, noon: bool) -> alt.Axis:
    """Return the axis of at most five days, evenly apart; a bar is labelled in its middle."""
    chosen = days[:: -(-len(days) // _TICKS)]
    moments = [moment + timedelta(hours=12 if noon else 0) for moment in chosen]
    values = [style.as_value(moment) for moment in moments]
    return alt.Axis(
        values=values,
        labelExpr="utcFormat(datum.value, '%b %d')",
        labelOverlap=True,
        labelSeparation=8,
    )


def _stacked(flow: pd.DataFrame) -> pd.DataFrame:
    """Return a row a day and a column a status that ever had a persona, from the bottom up."""
    if flow.empty:
        return pd.DataFrame()
    wide = flow.pivot(index="day", columns="status", values="personas")
    known = [status.value for status in ProcessStatus]
    others = [name for name in wide.columns if name not in known]
    # An undocumented status is taken for a stage, and its place is not known: on top.
    order = [*_ENDS, *(stage.value for stage in reversed(STAGES)), *reversed(others)]
    return wide[[name for name in order if name in wide.columns and wide[name].any()]]
