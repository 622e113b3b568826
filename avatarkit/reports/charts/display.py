"""Show charts in notebooks: as pictures that need nothing from a network, or as widgets.

A picture is a static SVG, drawn by vl-convert on this machine. JupyterLab, VS Code, the classic
Notebook, nbconvert and GitHub show it without a script; Altair's own way loads its scripts from a
third party. JupyterLab embeds it as an image, which cannot know the theme around it: so its ground
is transparent, and its text has the grey that is equally readable on a white and on a dark page.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import altair as alt

from avatarkit.errors import ConfigError

PICTURE = "avatarkit"
"""The name under which Altair knows the renderer of pictures."""

TEXT_COLOR = "#7A7A7A"
"""The colour of text on an unknown ground: a contrast of 4.3 to white and to JupyterLab's dark."""

_OWN: dict[str, Any] = dict.fromkeys(("color", "fillOpacity", "shape", "strokeDash"), "independent")
_NOT_INSTALLED = "{0} vl-convert{1}: pip install 'avatarkit[notebooks]'."
_TEXT = {"labelColor": TEXT_COLOR, "titleColor": TEXT_COLOR, "labelFontSize": 12}
_LINES = {"domainColor": TEXT_COLOR, "tickColor": TEXT_COLOR, "gridColor": TEXT_COLOR}
_CONFIG: dict[str, Any] = {
    "background": "transparent",
    "view": {"stroke": None},
    "title": {"color": TEXT_COLOR, "subtitleColor": TEXT_COLOR, "fontSize": 15, "offset": 12},
    "axis": {**_TEXT, **_LINES, "titleFontSize": 12, "titlePadding": 8, "gridOpacity": 0.25},
    "legend": {**_TEXT, "titleFontSize": 12},
    "header": {**_TEXT, "titleFontSize": 12},
    "text": {"color": TEXT_COLOR},
}


class Chart(alt.LayerChart):
    """A layered chart that keeps its colours, shapes and legend beside another one.

    Altair's own would share them: a name that both charts have would take the colour of one.
    """

    def __or__(self, other: Any) -> alt.HConcatChart:
        beside: alt.HConcatChart = alt.hconcat(self, other).resolve_scale(**_OWN)
        return beside

    def __and__(self, other: Any) -> alt.VConcatChart:
        above: alt.VConcatChart = alt.vconcat(self, other).resolve_scale(**_OWN)
        return above


def use_pictures() -> None:
    """Make pictures Altair's way of showing charts, unless another way was chosen before.

    All Altair charts of the process are shown so, as those that combine others with ``|`` or
    ``&`` are Altair's own. ``alt.renderers.enable("default")`` undoes it.
    """
    alt.renderers.register(PICTURE, _picture)
    if alt.renderers.active == "default":
        alt.renderers.enable(PICTURE)


def interactive(on: bool = True) -> None:
    """Show the charts of this notebook with tooltips from now on; no network is needed.

    They are widgets, with the scripts that vl-convert ships: a notebook that is opened without its
    kernel, and GitHub, do not show them.

    Args:
        on: False to show pictures again.

    Raises:
        ConfigError: anywidget or vl-convert is not installed.
    """
    if on and not (find_spec("anywidget") and find_spec("vl_convert")):
        raise ConfigError(_NOT_INSTALLED.format("Interactive charts need", " and anywidget"))
    if on:
        alt.renderers.enable("jupyter", offline=True)
    else:
        alt.renderers.enable(PICTURE)


def _picture(spec: dict[str, Any], **_: Any) -> dict[str, str]:
    """Return a chart as MIME bundle: its picture, or a sentence where it cannot be drawn."""
    if not find_spec("vl_convert"):
        return {"text/plain": _NOT_INSTALLED.format("A chart. To show it takes", "")}
    import vl_convert

    version = alt.SCHEMA_VERSION.removeprefix("v").rpartition(".")[0]
    svg = vl_convert.vegalite_to_svg(spec, vl_version=version, config=_CONFIG)
    # Never wider than the page.
    fitting = svg.replace("<svg ", '<svg style="max-width:100%;height:auto" ', 1)
    return {"image/svg+xml": fitting, "text/plain": "A chart"}
