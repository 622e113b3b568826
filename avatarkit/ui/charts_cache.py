"""Show charts that are built once for all tabs.

To build a chart takes Altair up to a tenth of a second, and ``st.altair_chart`` does so at each
rerun. Here the finished specification is kept; a rerun only sends it, and as it is the same to the
byte, Streamlit sends a reference to what the browser has already.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any

import altair as alt
import pandas as pd
import streamlit as st

KEPT = 64
"""Finished charts that are kept, those that were used last."""

Spec = dict[str, Any]
"""A specification of Vega-Lite, with its data by name as frames."""


def draw(key: str, build: Callable[..., alt.LayerChart], *args: object, **options: object) -> None:
    """Show a chart, which is built when it was not shown with these arguments lately.

    Args:
        key: The key of the element.
        build: A function of ``charts``.
        args: Its arguments: frames, which are compared by content and have no column of lists, and
            hashable values. None of them is the present moment.
        options: Its arguments by name.
    """
    named = {"": args, **options}
    contents = tuple((name, _content(value)) for name, value in sorted(named.items()))
    show(_finished(_Call((build, contents), partial(build, *args, **options))), key)


def finish(chart: alt.LayerChart) -> Spec:
    """Return a chart as ``show`` sends it, as wide as its container; safe in any thread.

    Streamlit's own way changes settings of Altair that all threads share.
    """
    # The height is the rows'; a theme that fits axis and legend into it would squash them.
    fit = alt.AutoSizeParams(type="fit-x", contains="padding")
    chart = chart.properties(width="container", autosize=fit)
    # The check against the schema takes half of the time, and the tests of the charts do it.
    spec: Spec = chart.to_dict(validate=False)
    # The sizes of Altair's theme; the chart has its own.
    spec.pop("config", None)
    parts = [(spec, chart), *zip(spec["layer"], chart.layer, strict=True)]
    spec["datasets"] = {
        part["data"]["name"]: source.data for part, source in parts if "data" in part
    }
    return spec


def show(spec: Spec, key: str) -> None:
    """Show a finished chart."""
    st.vega_lite_chart(spec=spec, key=key)


@dataclass(frozen=True)
class _Call:
    """A chart to build, equal to another one with the same arguments."""

    state: Hashable
    build: Callable[[], alt.LayerChart] = field(compare=False)


@lru_cache(KEPT)
def _finished(call: _Call) -> Spec:
    return finish(call.build())


def _content(value: Any) -> Hashable:
    if isinstance(value, tuple):
        return tuple(map(_content, value))
    if isinstance(value, pd.DataFrame):
        rows = pd.util.hash_pandas_object(value, index=False).to_numpy()
        return tuple(value.columns), tuple(map(str, value.dtypes)), rows.tobytes()
    hashable: Hashable = value
    return hashable
