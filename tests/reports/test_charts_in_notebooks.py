"""Charts in notebooks: pictures that need no network, combined, saved, or interactive."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import altair as alt
import pandas as pd
import pytest
import vl_convert

from avatarkit import charts, flow
from avatarkit.errors import ConfigError
from avatarkit.reports.charts import display, style
from support.chart_frames import (
    MONDAY,
    NAN,
    arrivals,
    counts,
    incidence,
    lives,
    many,
    medians,
    summary,
    waits,
)

SVG = "image/svg+xml"
WIDGET = "application/vnd.jupyter.widget-view+json"
SYMBOLS = re.compile(r'<g class="mark-symbol role-legend-symbol".*?</g>')


def survival() -> alt.LayerChart:
    """Return both curves of one stage."""
    rows = [
        ("reviewing", curve, hours, 1 - hours / 10, 0.9 - hours / 10, 1.0)
        for curve in ("fitted", "nonparametric")
        for hours in (1.0, 4.0, 9.0)
    ]
    columns = ["stage", "curve", "time_h", "survival", "low", "high"]
    return charts.survival(pd.DataFrame(rows, columns=columns))


def stage_times() -> alt.LayerChart:
    """Return percentiles with an interval of the median, and the visits of a stage without."""
    percentiles = summary(9, [12] * 5 + [NAN], running=2)
    with_interval = percentiles.assign(p50_low_h=11.0, p50_high_h=14.0)
    return charts.stage_times(with_interval, lives(9, running=2))


def every_chart() -> dict[str, alt.LayerChart]:
    """Return each chart by name, also the forms that it takes with more data or none."""
    days = [{"pending": 3, "reviewing": 5, "polishing": 2, "done": n} for n in range(40)]
    waiting, visits = waits(40), lives(9, running=2)
    ends = incidence(done=[(10, 0.5, 8), (30, 0.8, 3)], failed=[(5, 0.1, 9)])
    return {
        "aging": charts.aging(many(30), medians(reviewing=20)),
        "aging without percentiles": charts.aging(arrivals(("a", "pending", 1, True)), medians()),
        "cumulative_flow in bars": charts.cumulative_flow(counts(*days[:9])),
        "cumulative_flow": charts.cumulative_flow(counts(*days)),
        "nothing": charts.cumulative_flow(counts()),
        "outcomes": charts.outcomes(ends),
        "stage_times": stage_times(),
        "survival": survival(),
        "timeline": charts.timeline(
            visits.loc[visits["persona_id"] == "p0008"], now=MONDAY + pd.Timedelta(days=9)
        ),
        "waiting": charts.waiting(waiting, flow.waiting_percentiles(waiting)),
    }


CHARTS = every_chart()


@pytest.fixture(autouse=True)
def renderer() -> Iterator[None]:
    """Show pictures, and afterwards what was shown before."""
    with alt.renderers.enable(display.PICTURE):
        yield


def picture(chart: alt.TopLevelMixin) -> str:
    """Return the SVG that a notebook gets."""
    bundle: dict[str, str] = chart._repr_mimebundle_()
    assert set(bundle) == {SVG, "text/plain"}
    return bundle[SVG]


def width(svg: str) -> float:
    found = re.search(r'<svg [^>]*\bwidth="([\d.]+)"', svg)
    assert found
    return float(found[1])


def contrast(grey: str, other: str) -> float:
    """Return the contrast ratio of WCAG 2 of two greys."""
    parts = (int(colour[1:3], 16) / 255 for colour in (grey, other))
    low, high = sorted(((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return (high + 0.05) / (low + 0.05)


def test_importing_charts_makes_pictures_the_default() -> None:
    """Unless another renderer was chosen, Altair's charts are shown as pictures."""
    with alt.renderers.enable("png"):
        display.use_pictures()
        assert alt.renderers.active == "png"
    with alt.renderers.enable("default"):
        display.use_pictures()
        assert alt.renderers.active == display.PICTURE


@pytest.mark.parametrize("name", CHARTS)
def test_a_picture_is_wide_and_asks_no_one_for_anything(name: str) -> None:
    """Between 500 and 900 pixels, without a script, and with no address but its namespaces."""
    svg = picture(CHARTS[name])
    assert 500 < width(svg) < 900
    assert 'style="max-width:100%' in svg
    assert "<script" not in svg
    addresses = set(re.findall(r"\w+://[^\"'\s]*", svg))
    assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}


@pytest.mark.parametrize("name", CHARTS)
def test_a_picture_reads_on_a_light_and_on_a_dark_page(name: str) -> None:
    """It has no ground, and each text that stands on the page's is of a grey between."""
    svg = picture(CHARTS[name])
    assert not re.search(r'<rect width="[\d.]+" height="[\d.]+" fill="(?!none)', svg)
    fills = set(re.findall(r"<text [^>]*\bfill=\"([^\"]+)\"", svg))
    on_bars = {"black", "white"} if name == "cumulative_flow in bars" else set()
    assert fills <= {display.TEXT_COLOR, *on_bars}
    assert min(contrast(display.TEXT_COLOR, page) for page in ("#FFFFFF", "#111111")) > 4.2


@pytest.mark.parametrize("name", CHARTS)
def test_vega_has_nothing_to_warn_of(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Nothing conflicts, and no channel is misused: a browser's console stays empty."""
    vl_convert.vegalite_to_svg(CHARTS[name].to_dict(), vl_version="6.4", show_warnings=True)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["aging", "stage_times", "survival", "timeline", "waiting"])
def test_symbols_of_a_legend_can_be_seen(name: str) -> None:
    """Also the symbol of a faint part has an outline at full strength."""
    symbols = SYMBOLS.findall(picture(CHARTS[name]))
    assert len(symbols) > 1
    for symbol in symbols:
        assert 'opacity="1"' in symbol
        assert re.search(r'\bstroke="#[0-9A-Fa-f]{6}"', symbol)


@pytest.mark.long
def test_charts_stand_side_by_side_with_their_own_colours(
    capfd: pytest.CaptureFixture[str],
) -> None:
    """A name keeps its colour and its legend beside a chart that has it as well."""
    aging, waiting, outcomes = (CHARTS[name] for name in ("aging", "waiting", "outcomes"))
    for combined in (waiting | aging, (outcomes | aging) & waiting, waiting & (outcomes | aging)):
        svg = picture(combined)
        assert width(svg) > 700
        assert len(SYMBOLS.findall(svg)) == sum(
            len(SYMBOLS.findall(picture(chart))) for chart in (aging, waiting)
        )
        running = re.findall(r'aria-label="[^"]*Running[^>]*', svg)
        assert all(style.UNDOCUMENTED_COLOR in mark for mark in running if "fill=" in mark)
    parts = CHARTS["timeline"] | CHARTS["stage_times"] | aging | CHARTS["survival"] & waiting
    vl_convert.vegalite_to_svg(parts.to_dict(), vl_version="6.4", show_warnings=True)
    assert capfd.readouterr() == ("", "")


def test_a_chart_is_divided_by_a_column_that_it_draws() -> None:
    """``facet`` draws each group in a cell of its own."""
    cells = CHARTS["outcomes"].properties(width=250).facet("outcome:N")
    svg = picture(cells)
    assert width(svg) > 500
    assert re.findall(r"Title text '(.*?)'", svg)[-2:] == ["Done", "Failed"]


def test_a_chart_is_saved_as_a_picture(tmp_path: Path) -> None:
    """``save`` writes a PNG for a report, black on white."""
    path = tmp_path / "stages.png"
    CHARTS["stage_times"].save(path)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_charts_are_interactive_on_request() -> None:
    """Widgets with scripts of this machine, until pictures are asked for again."""
    charts.interactive()
    bundle = CHARTS["survival"]._repr_mimebundle_()
    data = bundle[0] if isinstance(bundle, tuple) else bundle
    assert WIDGET in data
    assert alt.JupyterChart._is_offline
    assert not re.search(r"""(from|import\()\s*["']https?:""", str(alt.JupyterChart._esm))
    charts.interactive(False)
    assert picture(CHARTS["survival"])


def test_without_the_extra_a_sentence_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where vl-convert is missing, a chart says so and asks no third party."""
    monkeypatch.setattr(display, "find_spec", lambda _: None)
    sentence = CHARTS["survival"]._repr_mimebundle_()["text/plain"]
    assert sentence.endswith("pip install 'avatarkit[notebooks]'.")
    with pytest.raises(ConfigError, match="anywidget"):
        charts.interactive()
    assert alt.renderers.active == display.PICTURE
