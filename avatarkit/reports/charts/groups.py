"""Draw the groups of a frame that was computed with ``by=`` or ``freq=``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import altair as alt
import pandas as pd

from avatarkit.history.groups import GROUP
from avatarkit.reports.charts import style

_WIDTH_PX = 560
# As different as the colours of the statuses are, with any two next to each other far apart.
_COLORS = ("#3970FF", "#AC914F", "#A216DC", "#08A37E", "#FC1B14", "#7176AE", "#B8268E", "#0085D3")


def require_one(frame: pd.DataFrame, *keys: str) -> None:
    """Check that a frame has each row of a chart once, or a column ``group`` that tells them apart.

    Raises:
        ValueError: It has one twice, which would be drawn over itself.
    """
    names = [name for name in (GROUP, *keys) if name in frame]
    twice = frame.loc[frame.duplicated(names), keys[0]]
    if len(twice):
        raise ValueError(
            f"{keys[0]} {twice.iloc[0]} is there twice in the frame and would be drawn over "
            f"itself; compute the frame with by=, or give it a column {GROUP!r}."
        )


def colours(names: list[str]) -> alt.Color:
    """Return the colours of the column ``group``, with a legend."""
    values = {name: _COLORS[number % len(_COLORS)] for number, name in enumerate(names)}
    return style.by_name(alt.Color, GROUP, values, style.legend(names, symbolOpacity=1))


def with_n(frame: pd.DataFrame, n: pd.Series[Any]) -> pd.Series[str]:
    """Return the name of each row's group with its number of avatars or visits."""
    return frame[GROUP] + " (n " + n.map("{:,}".format) + ")"


def stacked(
    draw: Callable[..., Any], n: pd.Series[Any], *frames: pd.DataFrame, **options: Any
) -> Any:
    """Return the charts of the groups one below the other, each with its name and n.

    Args:
        draw: Draws a frame, or several, without groups.
        n: The number of avatars by group, in the order of the charts.
        frames: What ``draw`` takes, with the column ``group``.
        options: What else it takes.
    """
    charts = []
    for group, count in n.items():
        rows = [frame.loc[frame[GROUP] == group].drop(columns=GROUP) for frame in frames]
        chart = draw(*rows, **options)
        title = f"{chart.title.text} {group}, n {count:,}"
        chart = chart.properties(title=alt.Title(title, anchor="start"), width=_WIDTH_PX)
        # A part of a picture has no size of its own.
        chart.autosize = alt.Undefined
        charts.append(chart)
    return alt.vconcat(*charts)
