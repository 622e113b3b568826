"""Draw the stages of one persona in time."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import altair as alt
import pandas as pd

from avatarkit.reports.charts import style
from avatarkit.text import in_words, stage_name, took

_ROW_PX = 44

_CERTAIN = "certain"
_BETWEEN = "between looks"
_UNSEEN = "never seen"
_SINCE_POLL = "since last look"
_EARLIER = "began earlier"
_RUNNING = "still running"
_PARTS = {
    _CERTAIN: (1.0, style.BAR),
    _BETWEEN: (0.4, style.BAR),
    _UNSEEN: (0.25, style.BAR),
    _SINCE_POLL: (0.15, style.BAR),
    _EARLIER: (1.0, "triangle-left"),
    _RUNNING: (1.0, "triangle-right"),
}


def timeline(visits: pd.DataFrame, *, now: datetime, title: str | None = None) -> alt.LayerChart:
    """Draw what happened to one persona.

    A row a visit, in order: a thick bar for the time in which it was certainly in that stage, thin
    and fainter where the change lies between two polls, fainter still for a stage that was never
    seen, and from the last poll until ``now`` for one that is running. An arrow marks an end that
    is open. Beside each stage's name stands how long it took.

    Args:
        visits: The rows of ``stages.visits`` of one persona.
        now: The moment on the session's clock.
        title: By default, "What happened to this avatar?".

    Returns:
        A chart of UTC time by visit; without a visit, the words "Nothing to show yet".

    Raises:
        ValueError: The visits are of several personas.
    """
    title = title or "What happened to this avatar?"
    if visits.empty:
        return style.nothing(title)
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
            _bars(rows[running].assign(until=until[running]), _SINCE_POLL, "left_after", "until"),
        ],
        ignore_index=True,
    )
    thick = bars["part"] == _CERTAIN
    open_begin = rows["entered_after"].isna()
    arrows = pd.concat(
        [
            rows.loc[running, ["row"]].assign(at=until[running], part=_RUNNING),
            rows.loc[open_begin, ["row"]].assign(
                at=rows.loc[open_begin, "entered_before"], part=_EARLIER
            ),
        ],
        ignore_index=True,
    )
    # A visit seen by one poll only has no length.
    edges = bars.loc[thick & (bars["from"] == bars["to"]), ["row", "from"]]

    begin = f"Time (UTC), from {bars['from'].min():%Y-%m-%d}"
    scale = alt.Scale(type="utc")
    x = alt.X("from:T", title=begin, scale=scale, axis=style.moments_axis())
    y = style.rows(rows["row"])
    opacity, shape = style.parts_by_name(_PARTS, pd.concat([bars["part"], arrows["part"]]))
    tips = [
        alt.Tooltip("stage:N", title="Stage"),
        alt.Tooltip("part:N", title="This part"),
        *style.moment_tooltips(**{"from": "From", "to": "To"}),
        alt.Tooltip("length:N", title="Length"),
        alt.Tooltip("took:N", title="Took"),
    ]
    layers = [
        *(
            alt.Chart(part)
            .mark_bar(size=size)
            .encode(y=y, x=x, x2="to:T", opacity=opacity, tooltip=tips)
            for part, size in ((bars[~thick], 8), (bars[thick], 18))
        ),
        alt.Chart(edges).mark_tick(size=18, thickness=3).encode(y=y, x=x),
        alt.Chart(arrows)
        .mark_point(filled=True, size=110)
        .encode(y=y, x="at:T", opacity=opacity, shape=shape),
    ]
    return style.chart(layers, title, height=_ROW_PX * len(rows))


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
    # The certain part is kept even when it is a single poll.
    return bars if part == _CERTAIN else bars[bars["from"] < bars["to"]]


def _took(visit: Any) -> str:
    return took(visit["state"], visit["min_h"], visit["max_h"])


def _visit_labels(visits: pd.DataFrame) -> list[str]:
    nth = visits.groupby("stage").cumcount() + 1
    return [
        f"{stage_name(visit['stage'])}{f' ({n})' if n > 1 else ''}\n{_took(visit)}"
        for n, (_, visit) in zip(nth, visits.iterrows(), strict=True)
    ]
