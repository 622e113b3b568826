"""Draw Altair charts for pages and notebooks, each for one question.

Colours are left to the theme. Length, thickness, opacity, dashes and shape tell the same, so that
the charts read in grey. Explanations stand in legends and axis labels, which a theme colours. The
width is the container's. No chart holds more than some thousand rows, whatever the number of
personas: more are thinned evenly, and an axis says so.
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
