"""Draw the fitted and the nonparametric survival curve of one stage."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from avatarkit.history.groups import GROUP
from avatarkit.reports.charts import groups, style
from avatarkit.text import format_hours, stage_name

_HEIGHT_PX = 240
_FITTED = style.Part("Fitted")
_COUNTED = style.Part("Counted, with its 95 % band", dash=[4, 3])


def survival(curves: pd.DataFrame) -> alt.LayerChart:
    """Draw whether the fitted curve of a stage agrees with the counted one.

    A line for the fit, and dashed steps with a band for the nonparametric curve. Groups, from
    ``durations.survival(…, by=…)``, are in one picture, each in its colour, named, with its n.

    Args:
        curves: The rows of ``durations.survival`` of one stage.

    Returns:
        A chart of the share of visits that take longer, by hours; without a row, the words
        "Nothing to show yet".

    Raises:
        ValueError: The rows are of several stages, or a curve is there twice without ``group``.
    """
    title = "Does the fit agree with what was counted?"
    if curves.empty:
        return style.nothing(title)
    if curves["stage"].nunique() > 1:
        raise ValueError("A survival chart shows one stage; choose the rows of one stage.")
    _require_one_curve(curves)
    if GROUP in curves:
        curves = curves.assign(group=groups.with_n(curves, curves["n"]))
    curves = curves.assign(
        after=curves["time_h"].map(format_hours), stage=curves["stage"].map(stage_name)
    )
    fitted = curves.loc[curves["curve"] == "fitted"].assign(curve=_FITTED.name)
    counted = curves.loc[curves["curve"] == "nonparametric"].assign(curve=_COUNTED.name)
    first = counted.drop_duplicates(GROUP) if GROUP in counted else counted.head(1)
    begin = first.assign(time_h=0.0, after="0 s", survival=1.0, low=1.0, high=1.0)
    counted = pd.concat([begin, counted])

    end = style.longest(curves[["time_h"]]) or 1.0
    stage = curves["stage"].iloc[0]
    x = style.hours(alt.X, "time_h", f"Hours in {stage.lower()}", end)
    names = list(curves[GROUP].unique()) if GROUP in curves else []
    colour = groups.colours(names) if names else style.by_status("stage", [stage])
    axis, scale = style.shares_axis(), alt.Scale(domain=[0, 1])
    y = {
        name: alt.Y(f"{name}:Q", title="Share that takes longer", scale=scale, axis=axis)
        for name in ("survival", "low")
    }
    drawn = pd.concat([fitted["curve"], counted["curve"]])
    _, _, dash = style.by_part((_FITTED, _COUNTED), drawn, symbolType=style.LINE)
    titles = {GROUP: "Group"} if names else {}
    titles |= {"curve": "Curve", "after": "After", "survival": "Still in it"}
    tips = style.tooltips(titles, {"survival": ".0%"})
    line: dict[str, Any] = {"x": x, "y": y["survival"], "tooltip": tips}
    line |= {"color": colour, "strokeDash": dash}
    steps = alt.Chart(counted)
    # The legend takes its symbols from the first layer.
    layers = [
        steps.mark_line(interpolate="step-after", strokeWidth=2).encode(**line),
        alt.Chart(fitted).mark_line(strokeWidth=2.5).encode(**line),
        steps.mark_area(interpolate="step-after", opacity=0.15).encode(
            x=x, y=y["low"], y2="high", color=colour
        ),
    ]
    return style.chart(layers, title, height=_HEIGHT_PX)


def _require_one_curve(curves: pd.DataFrame) -> None:
    """Check that each curve is there once: the time of a curve never goes back."""
    keys = [name for name in (GROUP, "curve") if name in curves]
    if (curves.groupby(keys, sort=False)["time_h"].diff() < 0).any():
        raise ValueError(
            "A curve is there twice and would be drawn over itself; compute the curves with by=."
        )
