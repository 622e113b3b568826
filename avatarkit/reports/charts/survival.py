"""Does the fit agree with what was counted: two curves of one stage."""

from __future__ import annotations

import altair as alt
import pandas as pd

from avatarkit.reports.charts import style as house
from avatarkit.text import in_words, stage_name

_HEIGHT_PX = 240
_NAMES = {"fitted": "Fitted", "nonparametric": "Counted, with its 95 % band"}
_DASHES = (house.SOLID, (4, 3))


def survival(curves: pd.DataFrame) -> alt.LayerChart:
    """A chart that answers whether the fitted curve of a stage agrees with the counted one.

    ``curves`` is the part of ``durations.survival`` that belongs to one stage: the share of visits
    that take longer, as a line for the fit and as dashed steps with a band for the nonparametric
    curve, where there is one.

    Returns a chart of shares by hours; without a row, the words "Nothing to show yet". Raises
    ``ValueError`` when there are several stages.
    """
    title = "Does the fit agree with what was counted?"
    if curves.empty:
        return house.nothing(title)
    if curves["stage"].nunique() > 1:
        raise ValueError("A survival chart shows one stage; choose the rows of one stage.")
    begin = {"time_h": 0.0, "survival": 1.0, "low": 1.0, "high": 1.0}
    counted = curves.loc[curves["curve"] == "nonparametric"]
    if len(counted):
        counted = pd.concat([counted.head(1).assign(**begin), counted])
    rows = pd.concat([curves.loc[curves["curve"] == "fitted"], counted], ignore_index=True)
    rows = rows.assign(curve=rows["curve"].map(_NAMES), after=rows["time_h"].map(in_words))
    used = [name for name in _NAMES.values() if (rows["curve"] == name).any()]

    end = house.longest(rows[["time_h"]]) or 1.0
    stage = stage_name(curves["stage"].iloc[0])
    x = alt.X(
        "time_h:Q",
        title=f"Hours in {stage.lower()}",
        axis=house.hours_axis(end),
        scale=alt.Scale(domain=[0, end], nice=False),
    )
    axis, whole = alt.Axis(format=".0%", tickCount=5), alt.Scale(domain=[0, 1])
    y = {
        name: alt.Y(f"{name}:Q", title="Share that takes longer", scale=whole, axis=axis)
        for name in ("survival", "low")
    }
    legend, names = house.legend(used, symbolType=house.LINE), list(_NAMES.values())
    dashes = alt.Scale(domain=names, range=[list(dash) for dash in _DASHES])
    dash = alt.StrokeDash("curve:N", scale=dashes, legend=legend)
    colour = alt.Color("curve:N", scale=alt.Scale(domain=names), legend=legend)
    tips = [
        alt.Tooltip("curve:N", title="Curve"),
        alt.Tooltip("after:N", title="After"),
        alt.Tooltip("survival:Q", title="Still in it", format=".0%"),
    ]
    fitted, steps = (rows[rows["curve"] == name] for name in names)
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
    return house.chart(layers, title, height=_HEIGHT_PX)
