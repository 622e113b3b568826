"""The notebooks of the project, and what tests read from their outputs."""

from __future__ import annotations

import re
from typing import Any

from support.project import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

_OWN = re.compile(r"https?://(www\.w3\.org/|127\.0\.0\.1\b|localhost\b)")


def outputs_of(notebook: Any) -> list[dict[str, Any]]:
    """Return the outputs of all code cells, in order."""
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    return [output for cell in cells for output in cell["outputs"]]


def charts_of(notebook: Any) -> list[dict[str, str]]:
    """Return the MIME bundle of each cell that ends in a chart."""
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    shown = [
        cell for cell in cells if text_of(cell["source"]).splitlines()[-1].startswith("charts.")
    ]
    return [cell["outputs"][-1]["data"] for cell in shown]


def outside_addresses(notebook: Any) -> set[str]:
    """Return the addresses in any output that are neither a namespace of W3C nor this machine's."""
    texts = [
        text_of(value)
        for output in outputs_of(notebook)
        for value in (output.get("text", ""), *output.get("data", {}).values())
    ]
    found = {address for text in texts for address in re.findall(r"\w+://[^\"'\s<>)]+", text)}
    return {address for address in found if not _OWN.match(address)}


def text_of(value: Any) -> str:
    """Return a text of a notebook, which may be a list of lines, or JSON."""
    return "".join(value) if isinstance(value, list) else str(value)
