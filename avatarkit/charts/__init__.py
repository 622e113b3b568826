"""Charts of one question each, as Altair charts that any page or notebook can draw.

Colours are left to the theme. What matters is told by length, thickness, opacity, dashes and shape
too, so that the charts read in grey. Explanations stand in legends and axis labels, as these are
what a theme colours; ``width`` is the container's. No chart holds more than some thousand rows,
whatever the number of personas: what is more is thinned evenly, and the legend says so.
"""

from __future__ import annotations

from avatarkit.charts.age_points import aging
from avatarkit.charts.flow_bands import cumulative_flow
from avatarkit.charts.house_style import NOTHING
from avatarkit.charts.life_timeline import timeline
from avatarkit.charts.outcome_curves import outcomes
from avatarkit.charts.percentile_bars import LANES, stage_times
from avatarkit.charts.survival_curves import survival
from avatarkit.charts.waiting_points import waiting

__all__ = [
    "LANES",
    "NOTHING",
    "aging",
    "cumulative_flow",
    "outcomes",
    "stage_times",
    "survival",
    "timeline",
    "waiting",
]
