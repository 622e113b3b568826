"""Read what a chart holds from its specification."""

from __future__ import annotations

import json
import re
from typing import Any

import altair as alt

from avatarkit.reports.charts import display, style


def layers(chart: alt.LayerChart) -> list[dict[str, Any]]:
    """Return each layer with its mark, its encoding and its rows."""
    spec = chart.to_dict()
    shared = spec["datasets"][spec["data"]["name"]]
    made = []
    for number, layer in enumerate(spec["layer"]):
        rows = [row for row in shared if row["_layer"] == number]
        own = [name for name in shared[0] if any(row[name] not in (None, "") for row in rows)]
        made.append({**layer, "rows": [{name: row[name] for name in own} for row in rows]})
    return made


def parts(chart: alt.LayerChart) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of all layers, by the part that they draw."""
    found: dict[str, list[dict[str, Any]]] = {}
    for layer in layers(chart):
        for row in layer["rows"]:
            if layer["mark"]["type"] != "text" and "part" in row:
                found.setdefault(row["part"], []).append(row)
    return found


def words(chart: alt.LayerChart) -> list[Any]:
    """Return the texts that a chart without marks shows."""
    return [row.get("text") for layer in layers(chart) for row in layer["rows"]]


def axes(chart: alt.LayerChart) -> dict[str, str]:
    """Return the titles of the axes x and y."""
    found: dict[str, str] = {}
    for layer in layers(chart):
        for name in ("x", "y"):
            title = layer["encoding"].get(name, {}).get("title")
            if title is not None:
                found[name] = title if isinstance(title, str) else "\n".join(title)
    return found


def check_house_style(chart: alt.LayerChart) -> None:
    """Assert a question as title, a width, the statuses' colours, and little data."""
    spec = chart.to_dict()
    assert spec["title"]["text"].endswith("?")
    assert spec["width"] == style.WIDTH
    assert "autosize" not in spec
    text = json.dumps({key: spec[key] for key in ("layer", "title")})
    colours = {*style.STATUS_COLORS.values(), style.UNDOCUMENTED_COLOR, display.TEXT_COLOR}
    assert set(re.findall(r"#[0-9A-Fa-f]{6}", text)) <= colours
    for word in ("scheme", "fill", "stroke"):
        assert f'"{word}":' not in text
    for layer in layers(chart):
        for channel in layer["encoding"].values():
            legend = channel.get("legend") if isinstance(channel, dict) else None
            assert legend is None or legend["orient"] == "top"
    assert sum(len(rows) for rows in spec.get("datasets", {}).values()) < 5_000
    assert len(json.dumps(spec)) < 400_000
