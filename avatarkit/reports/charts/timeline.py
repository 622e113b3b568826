"""Draw the stages of one persona on a time axis."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo

import altair as alt
import pandas as pd

from avatarkit.reports.charts import style
from avatarkit.reports.tables import times_taken
from avatarkit.text import format_hours, stage_name, zone_name

_ROW_PX = 44

_CERTAIN = style.Part("certain", 1.0, style.BAR)
_BETWEEN = style.Part("between polls", 0.4, style.BAR)
_UNSEEN = style.Part("never seen", 0.25, style.BAR)
_SINCE_POLL = style.Part("since last poll", 0.15, style.BAR)
_EARLIER = style.Part("began earlier", 1.0, "triangle-left")
_RUNNING = style.Part("still running", 1.0, "triangle-right")
_END = style.Part("the end", 1.0, "diamond")
_PARTS = (_CERTAIN, _BETWEEN, _UNSEEN, _SINCE_POLL, _EARLIER, _RUNNING, _END)


def timeline(
    visits: pd.DataFrame,
    *,
    now: datetime,
    lives: pd.DataFrame | None = None,
    title: str | None = None,
    zone: tzinfo = UTC,
) -> alt.LayerChart:
    """Draw what happened to one persona.

    A row a visit, in order: a thick bar for the time in which it was certainly in that stage, thin
    and fainter where the change lies between two polls, fainter still for a stage that was never
    seen, and from the last poll until ``now`` for one that is running. An arrow marks an open end.
    The time that it took is beside the name of the stage. With ``lives``, the last row is the end.

    Args:
        visits: The rows of ``stages.visits`` of one persona.
        now: The moment on the session's clock.
        lives: The row of ``stages.lives`` of the same persona.
        title: By default, "What happened to this avatar?".
        zone: The time zone of the axis: UTC, or that of the browser which draws the chart.

    Returns:
        A chart of time by visit; without a visit and an end, the words "Nothing to show yet".

    Raises:
        ValueError: The visits are of several personas.
    """
    title = title or "What happened to this avatar?"
    if visits["persona_id"].nunique() > 1:
        raise ValueError("A timeline shows one persona; choose the visits of one persona_id.")
    rows, end = _rows(visits, now), _end(visits, lives, zone)
    if rows.empty and end.empty:
        return style.nothing(title)
    unseen, running = rows["state"] == "never_seen", rows["state"] == "running"
    seen = rows[~unseen]
    bars = pd.concat(
        [
            _bars(seen, _CERTAIN, "entered_before", "left_after"),
            _bars(seen, _BETWEEN, "entered_after", "entered_before"),
            _bars(seen, _BETWEEN, "left_after", "left_before"),
            _bars(rows[unseen], _UNSEEN, "entered_after", "left_before"),
            _bars(rows[running], _SINCE_POLL, "left_after", "until"),
            _bars(end, _BETWEEN, "left_after", "left_before"),
        ],
        ignore_index=True,
    )
    ends = rows.assign(at=rows["until"], part=_RUNNING.name)[running]
    begins = rows.assign(at=rows["entered_before"], part=_EARLIER.name)
    begins = begins[rows["entered_after"].isna()]
    marks = pd.concat([ends, begins, end], ignore_index=True)[["row", "stage", "at", "part"]]
    thick = bars["part"] == _CERTAIN.name
    # A visit seen by one poll only has no length.
    edges = bars.loc[thick & (bars["from"] == bars["to"]), ["row", "stage", "from"]]

    drawn = pd.concat([bars["from"], bars["to"], marks["at"]])
    begin = drawn.min().tz_convert(zone)
    axis = f"Time ({zone_name(drawn.max(), zone)}), from {begin:%Y-%m-%d}"
    x = style.moments("from", axis, zone)
    every = pd.concat([rows, end])[["row", "stage"]]
    y = style.rows(every["row"])
    opacity, shape, _ = style.by_part(_PARTS, pd.concat([bars["part"], marks["part"]]))
    colour = style.by_status("stage", every["stage"])
    bars["since"], bars["until"] = (style.written(bars[name], zone) for name in ("from", "to"))
    titles = {"stage": "Stage", "part": "This part", "since": "From", "until": "To"}
    tips = style.tooltips(titles | {"length": "Length", "took": "Took"})
    layers = [
        style.invisible(every).encode(y=y, color=colour, shape=shape),
        *(
            alt.Chart(part)
            .mark_bar(size=size)
            .encode(y=y, x=x, x2="to:T", color=colour, fillOpacity=opacity, tooltip=tips)
            for part, size in ((bars[~thick], 8), (bars[thick], 18))
        ),
        alt.Chart(edges).mark_tick(size=18, thickness=3, opacity=1).encode(y=y, x=x, color=colour),
        style.points(marks, size=110).encode(
            y=y, x=style.moments("at", axis, zone), color=colour, fillOpacity=opacity, shape=shape
        ),
    ]
    return style.chart(layers, title, height=_ROW_PX * len(every))


def _rows(visits: pd.DataFrame, now: datetime) -> pd.DataFrame:
    """Return the visits with their labels as ``row``, and ``until``, the end of a running one."""
    names, times, moment = visits["stage"].map(stage_name), times_taken(visits), pd.Timestamp(now)
    numbers = names.groupby(names).cumcount() + 1
    return visits.assign(
        stage=names,
        took=times,
        row=[
            f"{name}{f' ({number})' if number > 1 else ''}\n{time}"
            for name, number, time in zip(names, numbers, times, strict=True)
        ],
        until=visits["left_after"].where(visits["left_after"] > moment, moment),
    )


def _end(visits: pd.DataFrame, lives: pd.DataFrame | None, zone: tzinfo) -> pd.DataFrame:
    """Return the end of the persona as a row below its visits, none while it has not ended."""
    bounds = [("left_after", "ended_after"), ("left_before", "ended_before")]
    life = pd.DataFrame() if lives is None else lives.loc[lives["ended_before"].notna()]
    rows = []
    for _, ended in life.iterrows():
        # Those of a visit are narrower, as they know the API's own word, too.
        after, before = (
            ended[of_life] if visits.empty else visits[of_visit].iloc[-1]
            for of_visit, of_life in bounds
        )
        name, at = stage_name(ended["status"]), before.tz_convert(zone)
        label = f"{name}\nby {at.day} {at:%b}, {at:%H:%M}"
        rows.append((label, name, "", after, before, before, _END.name))
    columns = ["row", "stage", "took", "left_after", "left_before", "at", "part"]
    frame = pd.DataFrame(rows, columns=columns)
    for column in ("left_after", "left_before", "at"):
        frame[column] = pd.to_datetime(frame[column], utc=True)
    return frame


def _bars(rows: pd.DataFrame, part: style.Part, start: str, stop: str) -> pd.DataFrame:
    """Return the bars from one moment of each visit to another, where both are known."""
    bars = rows[["row", "stage", "took", start, stop]].dropna()
    bars.columns = pd.Index(["row", "stage", "took", "from", "to"])
    bars["part"] = part.name
    if part is _CERTAIN:  # seen once, it is certain as of asking, before the answer came
        bars["to"] = bars["to"].where(bars["to"] > bars["from"], bars["from"])
    hours = (bars["to"] - bars["from"]).dt.total_seconds() / 3600
    bars["length"] = hours.map(format_hours)
    # The certain part is kept even when it is a single poll.
    return bars if part is _CERTAIN else bars[bars["from"] < bars["to"]]
