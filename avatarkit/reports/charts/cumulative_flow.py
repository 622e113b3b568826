"""How much is in flight: personas by day and status."""

from __future__ import annotations

from datetime import timedelta

import altair as alt
import numpy as np
import pandas as pd

from avatarkit.models import STAGES, ProcessStatus
from avatarkit.reports.charts import style as house
from avatarkit.text import stage_name

BARS = 14
"""So many days are drawn as bars; more make bands."""

PARTED = 60
"""Up to so many days a line parts the bands; on a phone more would be lines more than bands."""

DAYS = 180
"""Of more days than this so many are drawn, evenly apart."""

_HEIGHT_PX = 300
_LABEL_PX = 14
_LETTER_PX = 5.8
_EDGE_PX = 1
_BAR = 0.92
_TICKS = 5
_SEEN = 0.2
_ENDS = ("failed", "rejected", "done")
_LIGHT_AND_DARK = (0.9, 0.45)
_DAY = pd.Timedelta(days=1)


def cumulative_flow(flow: pd.DataFrame) -> alt.LayerChart:
    """A chart that answers how many personas are on their way, and where.

    ``flow`` is the frame of ``flow.cumulative``. The statuses are stacked: at the bottom those
    that have ended, above them the stages, the last one lowest, so that all stages together are
    as thick as what is in flight, and every edge is the number that has come that far. Where so
    many have ended that the stages would be less than a fifth of the height, those are left out,
    and the axis says so. Most neighbours differ in lightness, and up to 60 days a line in the
    colour of the page parts them; beside the last day stand the names.

    Up to 14 days are drawn as bars, with the names, or their first words, within those that have
    room for them; of more than 180 days 180 are drawn, evenly apart.

    Returns a chart of personas by day (UTC); without a persona, the words "Nothing to show yet".
    """
    title = "How much is in flight?"
    counts = _stacked(flow)
    if not counts.to_numpy().any():
        return house.nothing(title)
    counts = counts.iloc[house.evenly(len(counts), DAYS)]
    ends = [name for name in _ENDS if name in counts]
    ended, flying = counts[ends].sum(axis=1), counts.drop(columns=ends).sum(axis=1)
    hidden = int(ended.iloc[-1]) if 0 < flying.max() < _SEEN * (ended + flying).max() else 0
    if hidden:
        counts = counts.drop(columns=ends)
    top = counts.cumsum(axis=1)
    highest = int(top.iloc[:, -1].max())
    as_bars = len(counts) <= BARS

    rows = pd.DataFrame(
        {
            "day": np.repeat(counts.index, counts.shape[1]),
            "status": np.tile([stage_name(str(name)) for name in counts], len(counts)),
            "personas": counts.to_numpy().ravel(),
            "bottom": (top - counts).to_numpy().ravel(),
            "top": top.to_numpy().ravel(),
            "flying": np.repeat(flying.to_numpy(), counts.shape[1]),
        }
    )
    names = [stage_name(name) for name in reversed(counts.columns)]
    # All of them, so that a status has one colour whichever others are there.
    every = list(dict.fromkeys([*map(stage_name, ProcessStatus), *sorted(names)]))
    shades = [_LIGHT_AND_DARK[place % 2] for place in range(len(names))]
    if as_bars:
        beside = (1 - _BAR) / 2
        rows = rows.assign(
            begin=rows["day"] + beside * _DAY, until=rows["day"] + (1 - beside) * _DAY
        )
        # A bar without height would still be parted from its neighbours.
        rows = rows.loc[rows["personas"] > 0]
    shared = house.legend(names)
    shade = alt.Scale(type="ordinal", domain=names, range=shades)
    upto = alt.Scale(domain=[0, highest], nice=False)
    step = next(step for step in house.round_steps() if highest / step <= _TICKS)
    whole = alt.Axis(values=list(range(0, highest + 1, step)), format=",d")
    y = alt.Y("top:Q", title="Avatars in flight" if hidden else "Avatars", scale=upto, axis=whole)
    first = "begin:T" if as_bars else "day:T"
    says = f"; without {hidden:,} ended" if hidden else ""
    x = alt.X(
        first,
        title=f"Day (UTC){says}",
        scale=alt.Scale(type="utc"),
        axis=_days_axis(counts.index, noon=as_bars),
    )
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
        y=y,
        y2="bottom",
        color=alt.Color("status:N", scale=alt.Scale(domain=every), legend=shared),
        opacity=alt.Opacity("status:N", scale=shade, legend=shared),
        tooltip=tips,
    )
    # Where a status holds nobody on a day, two of one lightness touch.
    edges = alt.Chart(rows if len(counts) <= PARTED else rows.head(0))
    edges = edges.mark_rule() if as_bars else edges.mark_line()
    edges = edges.encode(
        x=x,
        y=alt.Y("top:Q", scale=upto, axis=None),
        detail="status:N",
        color=alt.value(house.BACKGROUND),
        size=alt.value(_EDGE_PX),
        tooltip=tips,
    )
    thick = rows.loc[rows["personas"] >= _LABEL_PX / _HEIGHT_PX * highest]
    thick = thick.assign(middle=(thick["bottom"] + thick["top"]) / 2)
    is_last = thick["day"] == counts.index[-1]
    last = thick.loc[is_last]
    layers = [
        bands,
        edges,
        house.names_beside(last, last["status"], x=first, y="middle", scale=upto),
    ]
    if as_bars:
        layers[:2] = bands.encode(x2="until:T"), edges.encode(x2="until:T")
        shade_of = dict(zip(names, shades, strict=True))
        within = thick.assign(shade=thick["status"].map(shade_of)).loc[~is_last]
        words = _words_within(within, len(counts))
        layers.append(words.encode(y=alt.Y("middle:Q", scale=upto, axis=None), tooltip=tips))
        # Days on which nobody is in flight have their place, too.
        edge_days = pd.DataFrame({"begin": [counts.index[0], counts.index[-1] + _DAY]})
        layers.append(alt.Chart(edge_days).mark_point(opacity=0, size=1).encode(x="begin:T"))
    return house.chart(layers, title, height=_HEIGHT_PX, axes_at_both_sides=True)


def _words_within(thick: pd.DataFrame, days: int) -> alt.Chart:
    """The name of each of these parts of a bar, or its first word, or nothing, as there is room."""
    words = [name.partition(" ")[0] for name in thick["status"]]
    rows = thick.assign(
        noon=thick["day"] + _DAY / 2,
        word=pd.Series(words, index=thick.index, dtype="str"),
        name_px=[(len(name) + 1) * _LETTER_PX for name in thick["status"]],
        word_px=[(len(word) + 1) * _LETTER_PX for word in words],
    )
    # How wide the chart is shows only on the page.
    room = f"width * {_BAR / days:.4f}"
    text = f"{room} > datum.name_px ? datum.status : {room} > datum.word_px ? datum.word : ''"
    # What is strong has its own colour behind the words, what is pale has the page's.
    behind = "(datum.shade > 0.5 ? scale('color', datum.status) : background)"
    colour = f"contrast({behind}, 'white') > contrast({behind}, 'black') ? 'white' : 'black'"
    chart: alt.Chart = alt.Chart(rows).mark_text(
        fontSize=11, text={"expr": text}, color={"expr": colour}
    )
    return chart.encode(x="noon:T")


def _days_axis(days: pd.Index[pd.Timestamp], *, noon: bool) -> alt.Axis:
    """At most five days, evenly apart; a bar is labelled in its middle."""
    chosen = days[:: -(-len(days) // _TICKS)]
    moments = [moment + timedelta(hours=12 if noon else 0) for moment in chosen]
    values = [house.as_value(moment) for moment in moments]
    return alt.Axis(
        values=values,
        labelExpr="utcFormat(datum.value, '%b %d')",
        labelOverlap=True,
        labelSeparation=8,
    )


def _stacked(flow: pd.DataFrame) -> pd.DataFrame:
    """A row a day and a column a status that ever held somebody, from the bottom up."""
    if flow.empty:
        return pd.DataFrame()
    wide = flow.pivot(index="day", columns="status", values="personas")
    known = [status.value for status in ProcessStatus]
    others = [name for name in wide.columns if name not in known]
    # Whatever nobody has heard of has not ended, and where it belongs is not known: on top.
    order = [*_ENDS, *(stage.value for stage in reversed(STAGES)), *reversed(others)]
    return wide[[name for name in order if name in wide.columns and wide[name].any()]]
