"""Charts of one question each, as Altair charts that any page or notebook can draw.

Colours are left to the theme. What matters is told by length, thickness, opacity, dashes and shape
too, so that the charts read in grey. Explanations stand in legends and axis labels, as these are
what a theme colours; ``width`` is the container's. No chart holds more than some thousand rows,
whatever the number of personas: what is more is thinned evenly, and the legend says so.
"""

from __future__ import annotations

from avatarkit.reports.charts.aging_wip import aging
from avatarkit.reports.charts.cumulative_flow import cumulative_flow
from avatarkit.reports.charts.cumulative_incidence import outcomes
from avatarkit.reports.charts.cycle_time import waiting
from avatarkit.reports.charts.stage_times import LANES, stage_times
from avatarkit.reports.charts.style import NOTHING
from avatarkit.reports.charts.survival import survival
from avatarkit.reports.charts.timeline import timeline

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
