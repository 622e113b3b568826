"""How do they end, and when: the share of each outcome over time."""

from __future__ import annotations

from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from avatarkit.reports.charts import style as house
from avatarkit.text import in_words, stage_name

STEPS = 200
"""So many steps of a curve are drawn at most."""

FOLLOWED = 5
"""With fewer personas at risk than this a curve is faint: the next one may move it far."""

_HEIGHT_PX = 280
_FAINT = 0.35
_REACH = 1.5
_APART = 0.12
_ENDS = ("done", "rejected", "failed")
_DASHES = (house.SOLID, (8, 4), (2, 3))


def outcomes(incidence: pd.DataFrame) -> alt.LayerChart:
    """A chart that answers how personas end, and how long after their submission.

    ``incidence`` is the frame of ``outcomes.incidence``: for each way to end the share of all
    personas that have come to it, those that are still running counted, with its 95 % band. A
    number stands where fewer than 5 personas were followed any longer; from there on the curve is
    faint, and it is not drawn beyond one and a half times as long. A number says up to when it is
    counted, stands beside the end of its curve, and a dot is where it is read off. A curve of more
    than 200 steps is thinned, evenly in time.

    Returns a chart of shares by hours since submission; without an end, the words "Nothing to
    show yet".
    """
    title = "How do they end, and when?"
    present = [end for end in _ENDS if _of(incidence, end)["share"].max() > 0]
    if not present:
        return house.nothing(title)
    followed = incidence.loc[incidence["at_risk"] >= FOLLOWED, "time_h"].max()
    known = 0.0 if np.isnan(followed) else float(followed)
    longest = house.longest(incidence[["time_h"]])
    end = (min(longest, _REACH * known) if known else longest) or 1.0
    parts = []
    for outcome in present:
        curve = _thinned(_of(incidence, outcome))
        until = curve.loc[curve["time_h"] <= known]
        at_known = until.tail(1).assign(time_h=known)
        solid = pd.concat([until, at_known]).assign(followed=True)
        rest = curve.loc[(curve["time_h"] > known) & (curve["time_h"] <= end)]
        at_end = curve.loc[curve["time_h"] <= end].tail(1).assign(time_h=end)
        faint = pd.concat([at_known, rest, at_end]).assign(followed=False)
        drawn = [solid] if known > 0 else []
        drawn += [faint] if end > known else []
        parts += [part.assign(outcome=stage_name(outcome)) for part in drawn]
    steps = pd.concat(parts, ignore_index=True)
    steps["after"] = steps["time_h"].map(in_words)
    last = _numbers(steps, known)

    names = [stage_name(outcome) for outcome in _ENDS]
    legend = house.legend([stage_name(outcome) for outcome in present], 3, symbolType=house.LINE)
    colour = alt.Color("outcome:N", scale=alt.Scale(domain=names), legend=legend)
    dashes = alt.Scale(domain=names, range=[list(dash) for dash in _DASHES])
    dash = alt.StrokeDash("outcome:N", scale=dashes, legend=legend)
    faded = steps["time_h"].max() > known
    hours = alt.X(
        "time_h:Q",
        title=f"Hours since submission{f'; faint: fewer than {FOLLOWED} left' if faded else ''}",
        axis=house.hours_axis(end),
        scale=alt.Scale(domain=[0, end], nice=False),
    )
    scale = alt.Scale(domain=[0, 1])
    shares = alt.Axis(format=".0%", tickCount=5)
    # Each layer has an axis of its own, and one of them is enough.
    first = alt.Y("share:Q", title="Share of all avatars", scale=scale, axis=shares)
    y = {name: alt.Y(f"{name}:Q", scale=scale, axis=None) for name in ("share", "low")}
    tips = [
        alt.Tooltip("outcome:N", title="End"),
        alt.Tooltip("after:N", title="Within"),
        alt.Tooltip("share:Q", title="Share", format=".1%"),
        alt.Tooltip("low:Q", title="At least (95 % sure)", format=".1%"),
        alt.Tooltip("high:Q", title="At most", format=".1%"),
        alt.Tooltip("at_risk:Q", title="Not ended before"),
    ]
    layers: list[alt.Chart] = []
    for rows, strength in ((steps[steps["followed"]], 1.0), (steps[~steps["followed"]], _FAINT)):
        line = alt.Chart(rows).mark_line(
            interpolate="step-after", strokeWidth=2.5, opacity=strength
        )
        band = alt.Chart(rows).mark_area(
            interpolate="step-after", opacity=0.15 * strength, line=False
        )
        share = y["share"] if any(len(layer.data) for layer in layers) else first
        layers.append(line.encode(x=hours, y=share, color=colour, strokeDash=dash, tooltip=tips))
        layers.append(band.encode(x=hours, y=y["low"], y2="high", color=colour, tooltip=tips))
    dots = alt.Chart(last).mark_point(filled=True, size=60, opacity=1)
    layers.append(dots.encode(x=hours, y=y["share"], color=colour, tooltip=tips[:3]))
    layers.append(house.names_beside(last, last["label"], x="time_h:Q", y="beside", scale=scale))
    return house.chart(layers, title, height=_HEIGHT_PX, axes_at_both_sides=True)


def _numbers(steps: pd.DataFrame, known: float) -> pd.DataFrame:
    """A row an outcome: its share at ``known`` hours, the words, and where these stand."""
    followed = steps.loc[steps["followed"]]
    last = followed.drop_duplicates("outcome", keep="last")
    ends = steps.drop_duplicates("outcome", keep="last").set_index("outcome")["share"]
    last = last[["outcome", "time_h", "after", "share"]]
    last = last.assign(end=last["outcome"].map(ends)).sort_values("end", ignore_index=True)
    hours = f"{known:,.0f} h" if known >= 10 else in_words(known)
    last["label"] = [
        f"{outcome}\n{share:.0%} by {hours}"
        for outcome, share in zip(last["outcome"], last["share"], strict=True)
    ]
    return last.assign(beside=_apart(last["end"].to_numpy()))


def _of(incidence: pd.DataFrame, outcome: str) -> pd.DataFrame:
    columns = ["time_h", "share", "low", "high", "at_risk"]
    return incidence.loc[incidence["outcome"] == outcome, columns]


def _apart(shares: np.ndarray[Any, np.dtype[np.float64]]) -> list[float]:
    """Where labels of two lines stand for ascending shares: each above the one before."""
    places: list[float] = []
    for share in shares:
        places.append(max(float(share), places[-1] + _APART if places else 0.0))
    return places


def _thinned(curve: pd.DataFrame) -> pd.DataFrame:
    """The rows that hold at moments evenly apart: each at its own time, no step is moved."""
    if len(curve) <= STEPS:
        return curve
    times = curve["time_h"].to_numpy()
    at = np.searchsorted(times, np.linspace(0.0, times[-1], STEPS), side="right") - 1
    return curve.iloc[np.unique(at)]
