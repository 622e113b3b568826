"""Draw the share of each outcome over time (cumulative incidence)."""

from __future__ import annotations

import altair as alt
import numpy as np
import pandas as pd

from avatarkit.history.groups import GROUP
from avatarkit.reports.charts import groups, style
from avatarkit.text import format_hours, stage_name

STEPS = 200
"""Maximum of steps that are drawn of a curve."""

FOLLOWED = 5
"""With fewer personas at risk than this a curve is faint: a single end may move it far."""

_HEIGHT_PX = 280
_FAINT = 0.35
_REACH = 1.5
_LABEL_HEIGHT = 0.12
_DASHES = {"done": style.SOLID, "rejected": [8, 4], "failed": [2, 3]}


def outcomes(incidence: pd.DataFrame) -> alt.LayerChart:
    """Draw how personas end, and how long after their submission.

    For each outcome the share of all personas, running ones included, with its 95 % band. From
    where fewer than 5 personas are at risk the curve is faint, and it ends at one and a half times
    that time. A dot marks the last share before that; the label at the end of the curve gives it. A
    curve of more than 200 steps is thinned, evenly in time.

    Args:
        incidence: The frame of ``outcomes.incidence``; with groups, a chart for each.

    Returns:
        A chart of shares by hours since submission; without an ended persona, the words "Nothing
        to show yet". With groups, their charts one below the other, each with its n, to one scale.

    Raises:
        ValueError: A curve is there twice without a column ``group``.
    """
    starts = incidence.loc[incidence["time_h"] == 0]
    groups.require_one(starts, "outcome")
    if GROUP in incidence:
        end = max((_end(rows)[1] for _, rows in incidence.groupby(GROUP)), default=1.0)
        n = starts.groupby(GROUP, sort=False)["n"].first()
        return groups.stacked(_outcomes, n, incidence, end=end)  # type: ignore[no-any-return]
    return _outcomes(incidence)


def _outcomes(incidence: pd.DataFrame, *, end: float | None = None) -> alt.LayerChart:
    title = "How do they end, and when?"
    present = [outcome for outcome in _DASHES if _curve(incidence, outcome)["share"].max() > 0]
    if not present:
        return style.nothing(title)
    known, own_end = _end(incidence)
    end = end or own_end
    curves = {stage_name(name): _thinned(_curve(incidence, name)) for name in present}
    steps = pd.concat(
        [_drawn(curve, known, own_end).assign(outcome=name) for name, curve in curves.items()],
        ignore_index=True,
    )
    steps["after"] = steps["time_h"].map(format_hours)
    labels = _labels(steps, known)

    dashes = {stage_name(outcome): dash for outcome, dash in _DASHES.items()}
    dash = style.by_name(alt.StrokeDash, "outcome", dashes, None)
    colour = style.by_status("outcome", curves)
    note = f"; faint: fewer than {FOLLOWED} left" if steps["time_h"].max() > known else ""
    hours = style.hours(alt.X, "time_h", f"Hours since submission{note}", end)
    scale = alt.Scale(domain=[0, 1])
    # The layers have separate axes; only the first layer's is drawn.
    first = alt.Y("share:Q", title="Share of all avatars", scale=scale, axis=style.shares_axis())
    y = {name: alt.Y(f"{name}:Q", scale=scale, axis=None) for name in ("share", "low")}
    titles = {"outcome": "End", "after": "Within", "share": "Share"}
    titles |= {"low": "At least (95 % sure)", "high": "At most", "at_risk": "Not ended before"}
    tips = style.tooltips(titles, dict.fromkeys(("share", "low", "high"), ".1%"))
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
    dots = style.points(labels if known > 0 else labels.head(0), size=80, opacity=1)
    layers += [
        dots.encode(x=hours, y=y["share"], color=colour, tooltip=tips[:3]),
        style.names_beside(
            labels, labels["label"], labels["colour"], x="time_h", y="beside", scale=scale
        ),
    ]
    return style.chart(layers, title, height=_HEIGHT_PX, axes_at_both_sides=True)


def _end(incidence: pd.DataFrame) -> tuple[float, float]:
    """Return the hours until which enough are followed, and those at which the curves end."""
    followed = incidence.loc[incidence["at_risk"] >= FOLLOWED, "time_h"].max()
    known = 0.0 if np.isnan(followed) else float(followed)
    longest = style.longest(incidence[["time_h"]])
    return known, (min(longest, _REACH * known) if known else longest) or 1.0


def _drawn(curve: pd.DataFrame, known: float, end: float) -> pd.DataFrame:
    """Return the part of a curve up to ``known`` hours, ``followed``, and the part from there."""
    until = curve.loc[curve["time_h"] <= known]
    at_known = until.tail(1).assign(time_h=known)
    solid = pd.concat([until, at_known]).assign(followed=True)
    rest = curve.loc[(curve["time_h"] > known) & (curve["time_h"] <= end)]
    at_end = curve.loc[curve["time_h"] <= end].tail(1).assign(time_h=end)
    faint = pd.concat([at_known, rest, at_end]).assign(followed=False)
    return pd.concat(([solid] if known > 0 else []) + ([faint] if end > known else []))


def _labels(steps: pd.DataFrame, known: float) -> pd.DataFrame:
    """Return a row an outcome: its share at ``known`` hours, its label and the label's height."""
    followed = steps.loc[steps["followed"]] if known > 0 else steps
    last = followed.drop_duplicates("outcome", keep="last")
    ends = steps.drop_duplicates("outcome", keep="last").set_index("outcome")["share"]
    last = last[["outcome", "time_h", "after", "share"]]
    last = last.assign(end=last["outcome"].map(ends)).sort_values("end", ignore_index=True)
    colours = {stage_name(outcome): style.status_color(outcome) for outcome in _DASHES}
    last["colour"] = last["outcome"].map(colours)
    hours = f"{known:,.0f} h" if known >= 10 else format_hours(known)
    last["label"] = [
        f"{outcome}\n{share:.0%} by {hours}" if known > 0 else outcome
        for outcome, share in zip(last["outcome"], last["share"], strict=True)
    ]
    return last.assign(beside=style.apart(last["end"], _LABEL_HEIGHT, 1.0))


def _curve(incidence: pd.DataFrame, outcome: str) -> pd.DataFrame:
    columns = ["time_h", "share", "low", "high", "at_risk"]
    return incidence.loc[incidence["outcome"] == outcome, columns]


def _thinned(curve: pd.DataFrame) -> pd.DataFrame:
    """Return the steps that hold at moments evenly apart, each at its own time."""
    if len(curve) <= STEPS:
        return curve
    times = curve["time_h"].to_numpy()
    at = np.searchsorted(times, np.linspace(0.0, times[-1], STEPS), side="right") - 1
    return curve.iloc[np.unique(at)]
