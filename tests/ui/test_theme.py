"""The colours of the pages can be read."""

from __future__ import annotations

import tomllib

import pytest

from support.project import ROOT

THEME = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text(encoding="utf-8"))["theme"]
CAPTION = 0.6
"""The opacity of captions in Streamlit."""
READABLE = 4.5
"""The contrast that text needs (WCAG 2.2, 1.4.3)."""

Color = tuple[float, float, float]


def color(text: str) -> Color:
    """Return the parts of ``#rrggbb``, from 0 to 1."""
    red, green, blue = (int(text[place : place + 2], 16) / 255 for place in (1, 3, 5))
    return red, green, blue


def mixed(above: Color, below: Color, share: float) -> Color:
    """Return a colour drawn over another with an opacity."""
    red, green, blue = (share * a + (1 - share) * b for a, b in zip(above, below, strict=True))
    return red, green, blue


def luminance(parts: Color) -> float:
    """Return the relative luminance (WCAG 2.2)."""
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(first: Color, second: Color) -> float:
    """Return the contrast of two colours, from 1 to 21."""
    darker, lighter = sorted((luminance(first), luminance(second)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("background", ["backgroundColor", "secondaryBackgroundColor"])
@pytest.mark.parametrize("mode", ["light", "dark"])
def test_captions_can_be_read(mode: str, background: str) -> None:
    """Streamlit draws them paler than text, and what is left is enough in both modes."""
    below = color(THEME[mode][background])
    assert contrast(mixed(color(THEME[mode]["textColor"]), below, CAPTION), below) >= READABLE


@pytest.mark.parametrize("background", ["backgroundColor", "secondaryBackgroundColor"])
@pytest.mark.parametrize("mode", ["light", "dark"])
def test_what_is_chosen_can_be_read(mode: str, background: str) -> None:
    """Streamlit writes it in the primary colour, on a tenth of that colour."""
    primary, below = color(THEME[mode]["primaryColor"]), color(THEME[mode][background])
    for share in (0, 0.1):
        assert contrast(primary, mixed(primary, below, share)) >= READABLE


def test_no_element_is_too_pale_in_dark() -> None:
    """Streamlit writes white on the primary colour in a primary button and a multiselect's tags."""
    assert contrast(color("#FFFFFF"), color(THEME["dark"]["primaryColor"])) < READABLE
    files = sorted((ROOT / "avatarkit" / "ui").rglob("*.py"))
    pale = (".multiselect(", 'type="primary"')
    assert files
    assert [p.name for p in files if any(name in p.read_text("utf-8") for name in pale)] == []
