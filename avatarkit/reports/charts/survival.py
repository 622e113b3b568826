"""Draw the fitted and the nonparametric survival curve of one stage."""

from __future__ import annotations

import altair as alt
import pandas as pd

from avatarkit.reports.charts import style
from avatarkit.text import in_words, stage_name

_HEIGHT_PX = 240
_NAMES = {"fitted": "Fitted", "nonparametric": "Counted, with its 95 % band"}
_DASHES = {_NAMES["fitted"]: style.SOLID, _NAMES["nonparametric"]: [4, 3]}


def survival(curves: pd.DataFrame) -> alt.LayerChart:
    """Draw whether the fitted curve of a stage agrees with the counted one.

    A line for the fit, and dashed steps with a band for the nonparametric curve.

    Args:
        curves: The rows of ``durations.survival`` of one stage.

    Returns:
        A chart of the share of visits that take longer, by hours; without a row, the words
        "Nothing to show yet".

    Raises:
        ValueError: The rows are of several stages.
    """
    title = "Does the fit agree with what was counted?"
    if curves.empty:
        return style.nothing(title)
    if curves["stage"].nunique() > 1:
        raise ValueError("A survival chart shows one stage; choose the rows of one stage.")
    begin = {"time_h": 0.0, "survival": 1.0, "low": 1.0, "high": 1.0}
    counted = curves.loc[curves["curve"] == "nonparametric"]
    if len(counted):
        counted = pd.concat([counted.head(1).assign(**begin), counted])
    rows = pd.concat([curves.loc[curves["curve"] == "fitted"], counted], ignore_index=True)
    rows = rows.assign(curve=rows["curve"].map(_NAMES), after=rows["time_h"].map(in_words))
    used = [name for name in _NAMES.values() if (rows["curve"] == name).any()]

    end = style.longest(rows[["time_h"]]) or 1.0
    stage = stage_name(curves["stage"].iloc[0])
    x = style.hours(alt.X, "time_h", f"Hours in {stage.lower()}", end)
    axis, scale = style.shares_axis(), alt.Scale(domain=[0, 1])
    y = {
        name: alt.Y(f"{name}:Q", title="Share that takes longer", scale=scale, axis=axis)
        for name in ("survival", "low")
    }
    legend = style.legend(used, symbolType=style.LINE)
    dash = style.by_name(alt.StrokeDash, "curve", _DASHES, legend)
    colour = style.by_name(alt.Color, "curve", _DASHES, legend)
    tips = [
        alt.Tooltip("curve:N", title="Curve"),
        alt.Tooltip("after:N", title="After"),
        alt.Tooltip("survival:Q", title="Still in it", format=".0%"),
    ]
    fitted, steps = (rows[rows["curve"] == name] for name in _NAMES.values())
    band = alt.Chart(steps).mark_area(interpolate="step-after", opacity=0.15)
    # The legend takes its symbols from the first layer.
    layers = [
        alt.Chart(steps)
        .mark_line(interpolate="step-after", strokeWidth=2)
        .encode(x=x, y=y["survival"], color=colour, strokeDash=dash, tooltip=tips),
        alt.Chart(fitted)
        .mark_line(strokeWidth=2.5)
        .encode(x=x, y=y["survival"], color=colour, strokeDash=dash, tooltip=tips),
        band.encode(x=x, y=y["low"], y2="high", color=colour),
    ]
    return style.chart(layers, title, height=_HEIGHT_PX)
