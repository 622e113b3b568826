"""Draw the personas by day and status, stacked (cumulative flow)."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from avatarkit.history.groups import GROUP
from avatarkit.models import STAGES, ProcessStatus
from avatarkit.reports.charts import groups, style
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
_DAY = pd.Timedelta(days=1)
_TITLES = {"date": "End of", "status": "Status", "personas": "Avatars", "flying": "In flight"}


def cumulative_flow(flow: pd.DataFrame, *, zone: str = "UTC") -> alt.LayerChart:
    """Draw how many personas are on their way, and where.

    The statuses are stacked: at the bottom the ended ones, above them the stages, the last stage
    lowest. So all stages together show the personas in flight, and each edge shows how many have
    reached that stage. Where the stages would be less than a fifth of the height, the ended ones
    are left out, and the axis says so. Neighbours differ in lightness, and up to 60 days a line in
    the page's colour separates them. The names are beside the last day, in the order of the stack.

    Up to 14 days are drawn as bars, with the names, or their first words, in those with enough
    room. Of more than 180 days 180 are drawn, evenly apart.

    Args:
        flow: The frame of ``flow.cumulative``; with groups, a chart for each.
        zone: The name of the time zone whose days it counts.

    Returns:
        A chart of personas by day; without a persona, the words "Nothing to show yet". With groups,
        their charts one below the other, each with its n: the personas of its last day.

    Raises:
        ValueError: A status is there twice on a day without a column ``group``.
    """
    groups.require_one(flow, "status", "day")
    if GROUP in flow:
        counted = flow.groupby([GROUP, "day"], sort=False)["personas"].sum()
        n = counted.groupby(GROUP, sort=False).last()
        each = [_stacked(rows) for _, rows in flow.groupby(GROUP)]
        hides = any(_without_ended(counts)[2] for counts in each if counts.size)
        options: dict[str, Any] = {"zone": zone, "hides_ended": hides, "highest": 0}
        for counts in each:
            drawn = _without_ended(counts, hides)[0].sum(axis=1).max()
            options["highest"] = max(options["highest"], int(drawn))
        return groups.stacked(_cumulative_flow, n, flow, **options)  # type: ignore[no-any-return]
    return _cumulative_flow(flow, zone=zone)


def _cumulative_flow(
    flow: pd.DataFrame, *, zone: str, hides_ended: bool | None = None, highest: int | None = None
) -> alt.LayerChart:
    title = "How much is in flight?"
    counts = _stacked(flow)
    if not counts.to_numpy().any():
        return style.nothing(title)
    counts = counts.iloc[style.evenly(len(counts), DAYS)]
    counts, in_flight, hidden = _without_ended(counts, hides_ended)
    highest = highest or int(counts.sum(axis=1).max())
    as_bars = len(counts) <= BARS
    rows = _rows(counts, in_flight, as_bars=as_bars)
    thick = rows.loc[rows["personas"] >= _LABEL_PX / _HEIGHT_PX * highest]
    thick = thick.assign(middle=(thick["bottom"] + thick["top"]) / 2)
    last = _names_of_last_day(counts, as_bars=as_bars)
    colour = style.by_status("status", map(stage_name, counts.columns))
    scale = alt.Scale(domain=[0, highest], nice=False)
    day = "begin" if as_bars else "day"
    note = f"; without {hidden:,} ended" if hidden else ""
    x: dict[str, Any] = {"x": _days_axis(day, counts.index, f"Day ({zone}){note}")}
    x |= {"x2": "until:T"} if as_bars else {}
    y = _counts_axis(highest, hidden, scale)
    tips = style.tooltips(_TITLES)
    bands = alt.Chart(rows)
    # Two bands of equal lightness touch where the status between them has no persona.
    lines = alt.Chart(rows if len(counts) <= SEPARATED else rows.head(0))
    layers = [
        (bands.mark_bar(opacity=1) if as_bars else bands.mark_area(line=False, opacity=1)).encode(
            **x, y=y, y2="bottom", color=colour, tooltip=tips
        ),
        (lines.mark_rule() if as_bars else lines.mark_line()).encode(
            **x,
            y=alt.Y("top:Q", scale=scale, axis=None),
            detail="status:N",
            color=alt.value(style.BACKGROUND),
            size=alt.value(_LINE_PX),
            tooltip=tips,
        ),
        style.names_beside(last, last["status"], last["colour"], x=day, y="middle", scale=scale),
    ]
    if as_bars:
        words = _words_within(thick.loc[thick["day"] < counts.index[-1]], len(counts))
        # Keeps the place of days without a persona in flight.
        edge_days = pd.DataFrame({"begin": [counts.index[0], counts.index[-1] + _DAY]})
        layers += [
            words.encode(y=alt.Y("middle:Q", scale=scale, axis=None), tooltip=tips),
            style.invisible(edge_days).encode(x="begin:T"),
        ]
    return style.chart(layers, title, height=_HEIGHT_PX, axes_at_both_sides=True)


def _without_ended(
    counts: pd.DataFrame, hides: bool | None = None
) -> tuple[pd.DataFrame, pd.Series[int], int]:
    """Return the counts to draw, the number in flight by day, and the number that is left out."""
    ends = [name for name in _ENDS if name in counts]
    stages = counts.drop(columns=ends)
    in_flight, ended = stages.sum(axis=1), counts[ends].sum(axis=1)
    if hides is None:
        hides = 0 < in_flight.max() < _SMALLEST_SHARE * (ended + in_flight).max()
    if hides:
        return stages, in_flight, int(ended.iloc[-1])
    return counts, in_flight, 0


def _rows(counts: pd.DataFrame, in_flight: pd.Series[int], *, as_bars: bool) -> pd.DataFrame:
    """Return a row a day and status, with its place in the stack, and for bars their edges."""
    top = counts.cumsum(axis=1)
    stacked = {"personas": counts, "bottom": top - counts, "top": top}
    rows = pd.DataFrame({name: frame.stack() for name, frame in stacked.items()}).reset_index()
    rows = rows.assign(
        status=rows["status"].map(stage_name),
        flying=rows["day"].map(in_flight),
        date=rows["day"].dt.strftime("%Y-%m-%d"),
    )
    if not as_bars:
        return rows
    gap = (1 - _BAR_WIDTH) / 2
    rows = rows.assign(begin=rows["day"] + gap * _DAY, until=rows["day"] + (1 - gap) * _DAY)
    # A bar without height would still have a line around it.
    return rows.loc[rows["personas"] > 0]


def _names_of_last_day(counts: pd.DataFrame, *, as_bars: bool) -> pd.DataFrame:
    """Return a row a status: its name, its colour and a place of its own beside the last day."""
    last = counts.iloc[-1]
    highest = counts.sum(axis=1).max()
    middles = last.cumsum() - last / 2
    day = counts.index[-1]
    return pd.DataFrame(
        {
            "status": [stage_name(name) for name in counts.columns],
            "colour": [style.status_color(name) for name in counts.columns],
            "middle": style.apart(middles, _LABEL_PX / _HEIGHT_PX * highest, highest),
            "begin" if as_bars else "day": day,
        }
    )


def _words_within(thick: pd.DataFrame, days: int) -> alt.Chart:
    """Return the name of each part of a bar, or its first word, or nothing, as there is room."""
    words = thick["status"].str.split(" ").str[0]
    colours = {stage_name(status): colour for status, colour in style.STATUS_COLORS.items()}
    rows = thick.assign(
        noon=thick["day"] + _DAY / 2,
        word=words,
        colour=thick["status"].map(colours).fillna(style.UNDOCUMENTED_COLOR),
        name_px=(thick["status"].str.len() + 1) * _LETTER_PX,
        word_px=(words.str.len() + 1) * _LETTER_PX,
    )
    # The width is known only when the page is drawn, so Vega decides.
    room = f"{style.DRAWN_WIDTH} * {_BAR_WIDTH / days:.4f}"
    text = f"{room} > datum.name_px ? datum.status : {room} > datum.word_px ? datum.word : ''"
    colour = style.READABLE.format("datum.colour")
    chart = alt.Chart(rows).mark_text(fontSize=11, text={"expr": text}, color={"expr": colour})
    encoded: alt.Chart = chart.encode(x="noon:T")
    return encoded


def _days_axis(column: str, days: pd.Index[pd.Timestamp], title: str) -> alt.X:
    """Return the encoding of at most five days, evenly apart; a bar is labelled in its middle."""
    shift = _DAY / 2 if column == "begin" else 0 * _DAY
    axis = alt.Axis(
        values=[style.as_value(day + shift) for day in days[:: -(-len(days) // _TICKS)]],
        labelExpr="utcFormat(datum.value, '%b %d')",
        labelOverlap=True,
        labelSeparation=8,
        **style.CENTRED[alt.X],
    )
    return alt.X(f"{column}:T", title=title, scale=alt.Scale(type="utc"), axis=axis)


def _counts_axis(highest: int, hidden: int, scale: alt.Scale) -> alt.Y:
    """Return the encoding of the upper edges, with at most five steps of a round number."""
    step = next(step for step in style.round_steps() if highest / step <= _TICKS)
    axis = alt.Axis(values=list(range(0, highest + 1, step)), format=",d", **style.CENTRED[alt.Y])
    title = "Avatars in flight" if hidden else "Avatars"
    return alt.Y("top:Q", title=title, scale=scale, axis=axis)


def _stacked(flow: pd.DataFrame) -> pd.DataFrame:
    """Return a row a day and a column a status that ever had a persona, from the bottom up."""
    if flow.empty:
        return pd.DataFrame()
    wide = flow.pivot(index="day", columns="status", values="personas")
    known = [status.value for status in ProcessStatus]
    others = [name for name in wide.columns if name not in known]
    # An undocumented status counts as a stage of unknown place: on top.
    order = [*_ENDS, *(stage.value for stage in reversed(STAGES)), *reversed(others)]
    return wide[[name for name in order if name in wide.columns and wide[name].any()]]
