"""The notebooks, executed in a Jupyter kernel without a network."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest

from support.notebooks import NOTEBOOKS, charts_of, outputs_of, outside_addresses

BLOCKED = """
import socket
try:
    with socket.socket() as outside:
        outside.connect(("192.0.2.1", 80))
except Exception as error:
    print(type(error).__name__)
"""
# By how far apart the polls are on a busy machine, only the long stages are certain to have one.
NUMBERS = 'assert summary.loc[[1, 4, 5], "p50_h"].notna().all(), list(summary["note"])'


def test_there_are_notebooks() -> None:
    """There is a notebook, and none is kept with its outputs."""
    assert NOTEBOOKS
    command = [sys.executable, "-m", "nbstripout", "--verify", *map(str, NOTEBOOKS)]
    assert subprocess.run(command, check=False).returncode == 0


@pytest.mark.parametrize(
    "path",
    [
        # The other two import what this one does.
        pytest.param(path, marks=pytest.mark.long if path.stem == "03_account" else ())
        for path in NOTEBOOKS
    ],
    ids=lambda path: path.stem,
)
def test_a_notebook_runs_from_top_to_bottom(
    path: Path,
    execute: Callable[..., Any],
    kernel_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Offline, without keys and data, each runs, shows its charts anywhere, and leaves no file."""
    monkeypatch.setenv("TMPDIR", str(kernel_folder))
    *sources, close = code_of(path)
    assert close.endswith("session.close()")
    notebook = execute(BLOCKED, *sources, NUMBERS, close)
    assert "SocketConnectBlockedError" in notebook.cells[0].outputs[0].text
    assert list(kernel_folder.iterdir()) == []
    assert outside_addresses(notebook) == set()
    own = outputs_of({"cells": notebook.cells[1:]})
    warned = [each["text"] for each in own if each.get("name") == "stderr"]
    assert warned == []
    charts = charts_of(notebook)
    assert len(charts) >= 2
    for data in charts:
        assert set(data) == {"image/svg+xml", "text/plain"}
        width = re.search(r'<svg [^>]*\bwidth="([\d.]+)"', data["image/svg+xml"])
        assert width
        assert float(width[1]) > 500


def code_of(path: Path) -> list[str]:
    """Return the sources of the code cells of a notebook."""
    cells = nbformat.read(path, as_version=4).cells
    return [cell.source for cell in cells if cell.cell_type == "code"]
