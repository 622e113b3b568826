"""Charts that are built once and sent as they are."""

from __future__ import annotations

import json
import re

import altair as alt
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from avatarkit import charts, flow
from avatarkit.ui import charts_cache
from support.app_pages import page
from support.chart_frames import MONDAY, arrivals, lives, many, medians, summary, waits

CALLS: list[int] = []


def build(frame: pd.DataFrame, *, height: int = 20) -> alt.LayerChart:
    """Count the calls."""
    CALLS.append(len(frame))
    return alt.layer(alt.Chart(frame).mark_bar().encode(x="hours:Q")).properties(
        title=alt.Title("How long?"), height=height
    )


def test_a_chart_is_built_once_for_each_content(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another frame with the same content brings no new chart; another content does."""
    drawn: list[charts_cache.Spec] = []
    monkeypatch.setattr(charts_cache, "show", lambda spec, _: drawn.append(spec))
    CALLS.clear()
    for hours, height in (([1.0, 2.0], 20), ([1.0, 2.0], 20), ([1.0, 3.0], 20), ([1.0, 3.0], 30)):
        charts_cache.draw("key", build, pd.DataFrame({"hours": hours}), height=height)
    assert len(CALLS) == 3
    assert drawn[0] is drawn[1]
    assert len({id(spec) for spec in drawn}) == 3
    charts_cache.draw("key", build, pd.DataFrame({"days": [1.0, 3.0]}), height=30)
    assert len(CALLS) == 4


def streamlits_way() -> None:
    import altair as alt
    import streamlit as st

    from avatarkit.ui import charts_cache

    for number, chart in enumerate(st.session_state["charts"]):
        fit = alt.AutoSizeParams(type="fit-x", contains="padding")
        wide = chart.properties(width="container", autosize=fit)
        st.altair_chart(wide, key=f"theirs_{number}")
        charts_cache.show(charts_cache.finish(chart), f"ours_{number}")


def test_a_finished_chart_is_what_streamlit_would_send() -> None:
    """Specification and data are the same as those of ``st.altair_chart``."""
    frame, waiting = lives(7, running=2), waits(40)
    drawn = [
        charts.aging(many(30), medians(reviewing=20)),
        charts.aging(arrivals(), medians()),
        charts.stage_times(summary(7, [12] * 5 + [float("nan")]), frame),
        charts.timeline(frame.loc[frame["persona_id"] == "p0000"], now=MONDAY),
        charts.waiting(waiting, flow.waiting_percentiles(waiting)),
    ]
    test: AppTest = page(streamlits_way, {"charts": drawn})  # type: ignore[dict-item]
    assert not test.exception
    sent = [element.proto for element in test.get("vega_lite_chart")]
    assert len(sent) == 2 * len(drawn)
    for theirs, ours in zip(sent[::2], sent[1::2], strict=True):
        specs = []
        for proto in (theirs, ours):
            spec = json.loads(proto.spec)
            names = list(dict.fromkeys(re.findall(r'"data": {"name": "([^"]*)"', proto.spec)))
            assert spec.pop("title")
            data = {dataset.name: dataset.data.data for dataset in proto.datasets}
            assert set(data) == set(names)
            text = json.dumps(spec, sort_keys=True)
            for place, name in enumerate(names):
                text = text.replace(name, f"data {place}")
            specs.append((text, [data[name] for name in names]))
        assert specs[0] == specs[1]
