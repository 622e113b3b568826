"""Colours: one for each status, distinct on a light and a dark page."""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from avatarkit import charts, flow
from avatarkit.models import ProcessStatus
from avatarkit.reports.charts import style
from support.chart_frames import counts, incidence, totals
from support.chart_specs import layers

Array = NDArray[np.float64]

TO_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)
# Source: Machado, Oliveira and Fernandes (2009), severity 1.0, on linear RGB.
VISION = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
}
COLOURS = {**style.STATUS_COLORS, "undocumented": style.UNDOCUMENTED_COLOR}


def linear(colour: str) -> Array:
    """Return a colour as linear RGB."""
    rgb = np.array([int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)])
    made: Array = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return made


def lab(rgb: Array) -> Array:
    """Return linear RGB as CIELAB."""
    xyz = (TO_XYZ @ rgb) / TO_XYZ.sum(axis=1)
    x, y, z = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def contrast(colour: str, other: str) -> float:
    """Return the contrast ratio of WCAG 2."""
    low, high = sorted(float(TO_XYZ[1] @ linear(each)) for each in (colour, other))
    return (high + 0.05) / (low + 0.05)


def test_every_status_has_a_colour_of_its_own() -> None:
    """The nine documented ones and "undocumented" have ten colours."""
    assert set(style.STATUS_COLORS) == {status.value for status in ProcessStatus}
    assert len(set(COLOURS.values())) == 10
    assert style.status_color("quality_check") == style.UNDOCUMENTED_COLOR


@pytest.mark.parametrize("page", ["#FFFFFF", "#14191B"])
def test_marks_stand_out_from_the_page(page: str) -> None:
    """Each colour has a contrast of 3 or more to the light and the dark page."""
    assert min(contrast(colour, page) for colour in COLOURS.values()) >= 3


@pytest.mark.parametrize("vision", list(VISION))
def test_any_two_colours_are_told_apart_without_red_or_green(vision: str) -> None:
    """Simulated for protanopia and deuteranopia, any two differ by 15 or more in CIELAB."""
    seen = [lab(np.clip(VISION[vision] @ linear(each), 0, 1)) for each in COLOURS.values()]
    assert min(np.linalg.norm(a - b) for a, b in combinations(seen, 2)) >= 15


def test_bands_that_are_stacked_on_each_other_differ_in_lightness() -> None:
    """Without any colour, a band is darker or lighter than the next."""
    stacked = ["failed", "rejected", "done", "reviewing", "crop_and_matte", "video_validating"]
    stacked += ["voice_creating", "processing", "pending", "undocumented"]
    lightness = [lab(linear(COLOURS[name]))[0] for name in stacked]
    assert min(abs(a - b) for a, b in pairwise(lightness)) >= 7


def test_an_end_has_one_colour_in_all_charts() -> None:
    """Done, rejected and failed look the same by day, by share and by submission."""
    ended = totals((0, "done", 10, 20), (1, "failed", 4, 4), (2, "rejected", 5, 5))
    for chart in (
        charts.cumulative_flow(counts({"done": 1, "failed": 1, "rejected": 1, "polishing": 1})),
        charts.outcomes(incidence(done=[(10, 0.5, 8)], failed=[(5, 0.1, 9)])),
        charts.waiting(ended, flow.waiting_percentiles(ended)),
    ):
        found: dict[str, str] = {}
        for layer in layers(chart):
            scale = layer["encoding"].get("color", {}).get("scale", {})
            found |= dict(zip(scale.get("domain", []), scale.get("range", []), strict=True))
        for status in ("done", "rejected", "failed"):
            assert found[status.capitalize()] == style.STATUS_COLORS[status]
        assert found.get("Polishing", style.UNDOCUMENTED_COLOR) == style.UNDOCUMENTED_COLOR


def test_labels_move_apart_and_stay_below_the_end() -> None:
    """Labels that would overlap are moved, the topmost ones down."""
    assert style.apart([0.0, 0.5, 9.8, 9.9], 1.0, 10.0) == [0.0, 1.0, 9.0, 10.0]
