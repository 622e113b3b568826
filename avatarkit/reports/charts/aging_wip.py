"""Is mine late: who is running, by stage and age."""

from __future__ import annotations

import altair as alt
import numpy as np
import pandas as pd

from avatarkit.reports.charts import style as house
from avatarkit.text import in_words, stage_name

DRAWN = 100
"""Of the personas that run in a stage so many points are drawn at most, and of its late ones."""

_ROW_PX = 50
_REACH = 3.0
_REACH_OF_USUAL = 2.0
_SEVERAL = 3
_GOLDEN = (5**0.5 - 1) / 2

_HALF = "half are through"
_NINE = "9 of 10 are"
_FINE = "running"
_LATE = "late"
_BEYOND = "beyond the axis"
_LATE_BEYOND = "late, beyond it"
_PARTS = {
    _HALF: (0.4, house.BAR),
    _NINE: (0.18, house.BAR),
    _FINE: (0.8, "circle"),
    _LATE: (1.0, "triangle-up"),
    _BEYOND: (0.8, "M-1,-1L0,0L-1,1L-.1,1L1,0L-.1,-1Z"),
    _LATE_BEYOND: (1.0, "triangle-right"),
}


def aging(arrivals: pd.DataFrame, summary: pd.DataFrame) -> alt.LayerChart:
    """A chart that answers which running personas have been in their stage for too long.

    ``arrivals`` is the frame of ``eta.arrivals``, of which ``persona_id``, ``stage``,
    ``in_stage_h`` and ``late`` are used, ``creator_name`` too where the caller has joined it;
    ``summary`` is that of ``durations.summarize``. A point a persona, at the hours that it has
    been in its stage at least; late ones are triangles. Behind them stand a bar to where half are
    through and a fainter one to where nine of ten are, as far as these are known.

    Of more than 100 personas in a stage 100 are drawn, evenly by age, of its late ones as well,
    and the axis says so. What is older than three times the longest percentile, or
    than twice what is usual among three or more in a stage that nothing is known of, is drawn at
    the end of the axis: as a triangle that points there if it is late, as a hook if not.

    Returns a chart of hours by stage, in the order of ``summary``, then other stages by name,
    without those that nobody is in and nothing is known of; without a running persona, the words
    "Nothing to show yet".
    """
    title = "Is mine late?"
    if arrivals.empty:
        return house.nothing(title)
    stages = [*summary["stage"], *sorted(set(arrivals["stage"]) - set(summary["stage"]))]
    known = summary.set_index("stage").reindex(stages)[["p50_h", "p90_h"]].astype("float64")
    known = known.loc[known["p50_h"].notna() | known.index.isin(arrivals["stage"])]
    end = _end(known, arrivals)
    points = _points(arrivals, end)
    rows = {str(stage): _label(str(stage), arrivals) for stage in known.index}
    points["row"] = points["stage"].map(rows)
    points["stage"] = points["stage"].map(stage_name)
    bars = pd.DataFrame(_bars(known, rows, end), columns=["row", "stage", "part", "from_h", "to_h"])
    bars["Within"] = bars["to_h"].map(in_words)

    title_x = "Hours in the stage so far, at least"
    if len(points) < len(arrivals):
        title_x = f"Hours in the stage so far; {len(points):,} of {len(arrivals):,} drawn"
    scale = alt.Scale(domain=[0, end], nice=False)
    x = alt.X("from_h:Q", title=title_x, axis=house.hours_axis(end), scale=scale)
    y = alt.Y("row:O", title=None, sort=list(rows.values()), axis=house.row_axis())
    spread = alt.YOffset("place:Q", scale=alt.Scale(domain=[-0.2, 1.2]))
    opacity, shape = house.meanings(_PARTS, pd.concat([bars["part"], points["part"]]))
    names = [name for name in ("creator_name", "persona_id") if name in points]
    every = pd.DataFrame({"row": list(rows.values())})
    layers = [
        # Every stage has its row, also one that nothing can be drawn for.
        alt.Chart(every).mark_point(opacity=0, size=1).encode(y=y),
        alt.Chart(bars)
        .mark_bar(size=32)
        .encode(y=y, x=x, x2="to_h", opacity=opacity, tooltip=["stage", "part", "Within"]),
        alt.Chart(points)
        .mark_point(filled=True, size=55)
        .encode(
            y=y,
            yOffset=spread,
            x=alt.X("at_h:Q", title=title_x, axis=house.hours_axis(end), scale=scale),
            opacity=opacity,
            shape=shape,
            tooltip=[*names, "stage", alt.Tooltip("here:N", title="In it for"), "part"],
        ),
    ]
    return house.chart(layers, title, height=_ROW_PX * len(rows))


def _end(known: pd.DataFrame, arrivals: pd.DataFrame) -> float:
    """The end of the axis: one very old persona must not squeeze all that is to be seen."""
    oldest, longest = house.longest(arrivals[["in_stage_h"]]), house.longest(known)
    # Where nothing is known of a stage, it is what most of those in it show.
    nothing_known = arrivals["stage"].map(known["p50_h"].isna()).to_numpy(dtype=bool)
    ages = arrivals.loc[nothing_known].groupby("stage")["in_stage_h"]
    usual = ages.quantile(0.5, interpolation="lower")[ages.size() >= _SEVERAL]
    if longest > 0:
        reach = max(_REACH * longest, _REACH_OF_USUAL * house.longest(usual.to_frame()))
        oldest = min(oldest, reach)
    return max(oldest, longest) * 1.05 or 1.0


def _points(arrivals: pd.DataFrame, end: float) -> pd.DataFrame:
    """The personas that are drawn, each with its part and its place across the row."""
    by_age = arrivals.sort_values(["stage", "in_stage_h", "persona_id"], ignore_index=True)
    late = by_age["late"].to_numpy(dtype=bool)
    beyond = (by_age["in_stage_h"] > end).to_numpy()
    part = np.select([late & beyond, late, beyond], [_LATE_BEYOND, _LATE, _BEYOND], _FINE)
    by_age = by_age.assign(part=part, at_h=by_age["in_stage_h"].clip(upper=end))
    kept = [
        rows.iloc[house.evenly(len(rows), DRAWN)]
        for _, rows in by_age.groupby(["stage", late], sort=True)
    ]
    points = pd.concat(kept, ignore_index=True)
    # Evenly across the row, and neighbours by age far apart.
    points["turn"] = points.groupby("stage").cumcount() * _GOLDEN % 1
    turns = points.groupby("stage")["turn"]
    points["place"] = (turns.rank() - 0.5) / turns.transform("size")
    points["here"] = [f"at least {in_words(hours)}" for hours in points["in_stage_h"]]
    names = ["creator_name", "persona_id", "stage", "here", "part", "at_h", "place"]
    return points[[name for name in names if name in points]]


def _bars(
    known: pd.DataFrame, rows: dict[str, str], end: float
) -> list[tuple[str, str, str, float, float]]:
    bars = []
    for stage, half, nine in known.itertuples():
        begin = 0.0 if np.isnan(half) else half
        if half > 0:
            bars.append((rows[stage], stage_name(stage), _HALF, 0.0, half))
        if nine > begin:
            bars.append((rows[stage], stage_name(stage), _NINE, begin, min(nine, end)))
    return bars


def _label(stage: str, arrivals: pd.DataFrame) -> str:
    its = arrivals.loc[arrivals["stage"] == stage]
    late = int(its["late"].sum())
    counts = [f"{len(its):,} running" if len(its) else "none running"]
    counts += [f"{late:,} late"] if late else []
    return f"{stage_name(stage)}\n{', '.join(counts)}"
