"""How much is in flight: personas by day and status."""

from __future__ import annotations

import json
from datetime import timedelta

import altair as alt
import numpy as np
import pandas as pd

from avatarkit.charts import house_style as house
from avatarkit.models import STAGES, ProcessStatus
from avatarkit.words import stage_name

BARS = 14
"""So many days are drawn as bars; more make bands."""

DAYS = 180
"""Of more days than this so many are drawn, evenly apart."""

_HEIGHT_PX = 300
_LABEL_PX = 14
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
    and the axis says so. Neighbours differ in lightness; beside the last day stand the names.

    Up to 14 days are drawn as bars; of more than 180 days 180 are drawn, evenly apart.

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
    if as_bars:
        rows = rows.assign(begin=rows["day"] + 0.04 * _DAY, until=rows["day"] + 0.96 * _DAY)
    names = [stage_name(name) for name in reversed(counts.columns)]
    shades = [_LIGHT_AND_DARK[place % 2] for place in range(len(names))]
    shared = house.legend(names)
    shade = alt.Scale(type="ordinal", domain=names, range=shades)
    upto = alt.Scale(domain=[0, highest], nice=False)
    step = next(step for step in house.round_steps() if highest / step <= _TICKS)
    whole = alt.Axis(values=list(range(0, highest + 1, step)), format=",d")
    y = alt.Y("top:Q", title="Avatars in flight" if hidden else "Avatars", scale=upto, axis=whole)
    first = "begin:T" if as_bars else "day:T"
    says = f"; without {hidden:,} ended" if hidden else ""
    bands = alt.Chart(rows)
    bands = bands.mark_bar() if as_bars else bands.mark_area(line=False)
    bands = bands.encode(
        x=alt.X(
            first,
            title=f"Day (UTC){says}",
            scale=alt.Scale(type="utc"),
            axis=_days_axis(counts.index, noon=as_bars),
        ),
        y=y,
        y2="bottom",
        color=alt.Color("status:N", scale=alt.Scale(domain=names), legend=shared),
        opacity=alt.Opacity("status:N", scale=shade, legend=shared),
        tooltip=[
            alt.Tooltip("day:T", title="End of", format="%Y-%m-%d"),
            alt.Tooltip("status:N", title="Status"),
            alt.Tooltip("personas:Q", title="Avatars"),
            alt.Tooltip("flying:Q", title="In flight"),
        ],
    )
    if as_bars:
        bands = bands.encode(x2="until:T")
    layers = [bands, _names(rows, first, highest)]
    return house.chart(layers, title, height=_HEIGHT_PX, axes_at_both_sides=True)


def _names(rows: pd.DataFrame, x: str, highest: int) -> alt.Chart:
    """The names of the last day's bands, where these are thick enough, as an axis at the right."""
    least = _LABEL_PX / _HEIGHT_PX * highest
    last = rows.loc[(rows["day"] == rows["day"].max()) & (rows["personas"] >= least)]
    last = last.assign(middle=((last["bottom"] + last["top"]) / 2).round(3))
    # An axis, as its labels have the theme's colour and get the room that they need.
    names = json.dumps({f"{at:g}": name for at, name in zip(last.middle, last.status, strict=True)})
    axis = alt.Axis(
        orient="right",
        values=last["middle"].tolist(),
        labelExpr=f"{names}[format(datum.value, '.6~g')]",
        title=None,
        grid=False,
        ticks=False,
        domain=False,
        labelLimit=0,
        labelOverlap=False,
    )
    scale = alt.Scale(domain=[0, highest], nice=False)
    points: alt.Chart = alt.Chart(last[[x.removesuffix(":T"), "middle"]]).mark_point(opacity=0)
    return points.encode(x=x, y=alt.Y("middle:Q", scale=scale, axis=axis))


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
