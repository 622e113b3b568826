"""Draw Altair charts for pages and notebooks, each for one question.

A status has one colour in all charts, on a light and on a dark page. Length, thickness, opacity,
dashes, shape and names carry the same information, so that the charts are readable in grey. Legends
are under the title, or names at the ends of lines; the theme colours both. Moments are in UTC, or
on a page in the time zone of the browser; the axis names it. A chart has at most a few thousand
rows: more are thinned evenly, and an axis says so.

In a notebook a chart is a picture that needs no network, or interactive after
``charts.interactive()``. ``a | b``, ``a & b``, ``chart.facet`` and ``chart.save("chart.png")`` are
Altair's.
"""

from __future__ import annotations

from avatarkit.reports.charts.aging_wip import aging as aging
from avatarkit.reports.charts.cumulative_flow import cumulative_flow as cumulative_flow
from avatarkit.reports.charts.cumulative_incidence import outcomes as outcomes
from avatarkit.reports.charts.cycle_time import waiting as waiting
from avatarkit.reports.charts.display import interactive as interactive
from avatarkit.reports.charts.display import use_pictures
from avatarkit.reports.charts.stage_times import stage_times as stage_times
from avatarkit.reports.charts.style import NOTHING as NOTHING
from avatarkit.reports.charts.survival import survival as survival
from avatarkit.reports.charts.timeline import timeline as timeline

__all__ = [
    *("NOTHING", "aging", "cumulative_flow", "interactive", "outcomes", "stage_times"),
    *("survival", "timeline", "waiting"),
]

use_pictures()
