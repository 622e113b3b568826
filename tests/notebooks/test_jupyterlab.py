"""The notebooks in JupyterLab, driven by a real browser that reaches this machine only.

``nox -s notebooks`` installs JupyterLab and runs this; screenshots of each notebook, on a light and
on a dark page, lie in ``tests/screenshots/`` afterwards.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from avatarkit.clock import SystemClock
from support.notebooks import NOTEBOOKS, charts_of, outputs_of, outside_addresses
from support.project import ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

pytestmark = pytest.mark.jupyterlab

PROGRAM = "JUPYTERLAB"
"""The variable with the path of ``jupyter-lab``."""

SETTINGS = {
    "notebook-extension/tracker": {"windowingMode": "none"},
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
}
OPENED = "() => window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel"
RUN = """async () => {
    const {context, sessionContext} = window.jupyterapp.shell.currentWidget
    await Promise.all([context.ready, sessionContext.ready])
    return window.jupyterapp.commands.execute('notebook:run-all-cells')
}"""
READ = "() => window.jupyterapp.shell.currentWidget.context.model.toJSON()"
GO_DARK = """() => window.jupyterapp.commands.execute(
    'apputils:change-theme', {theme: 'JupyterLab Dark'})"""
HEIGHT = """() => {
    const cells = [...document.querySelectorAll('.jp-Notebook .jp-Cell')]
    document.querySelector('.jp-WindowedPanel-outer').scrollTop = 0
    return Math.ceil(cells.reduce((sum, cell) => sum + cell.offsetHeight, 0)) + 200
}"""
CHART = ".jp-RenderedSVG img, .jp-RenderedSVG svg"
SCREENSHOTS = ROOT / "tests" / "screenshots"


@pytest.fixture
def lab(kernel_folder: Path, tmp_path: Path) -> Iterator[str]:
    """Serve copies of the notebooks by JupyterLab, with kernels of this Python; yield its URL."""
    program = os.environ.get(PROGRAM) or shutil.which("jupyter-lab")
    if program is None:
        pytest.fail(f"JupyterLab is not installed; run nox -s notebooks, or set {PROGRAM}.")
    for path in NOTEBOOKS:
        shutil.copy(path, kernel_folder)
    _write(tmp_path / "data/kernels/python3/kernel.json", {
        "argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": "Python 3",
        "language": "python",
    })  # fmt: skip
    for name, values in SETTINGS.items():
        _write(tmp_path / f"settings/@jupyterlab/{name}.jupyterlab-settings", values)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folders = {"CONFIG_DIR": "config", "DATA_DIR": "data", "RUNTIME_DIR": "runtime"}
    environment = {f"JUPYTER_{name}": str(tmp_path / folder) for name, folder in folders.items()}
    # Before the folders of the environment in which JupyterLab is installed.
    environment["JUPYTER_PATH"] = environment["JUPYTER_DATA_DIR"]
    environment["JUPYTERLAB_SETTINGS_DIR"] = str(tmp_path / "settings")
    options = [f"--ServerApp.port={port}", "--ServerApp.ip=127.0.0.1", "--IdentityProvider.token="]
    options += [f"--ServerApp.root_dir={kernel_folder}", "--LabApp.extension_manager=readonly"]
    options += ["--no-browser", "--allow-root", "--expose-app-in-browser"]
    with (tmp_path / "lab.log").open("w") as log:
        process = subprocess.Popen(
            [program, *options], env={**os.environ, **environment}, stdout=log, stderr=log
        )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_until_served(url, process, tmp_path / "lab.log")
        yield url
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_cell_runs_and_every_chart_is_seen(path: Path, lab: str, page: Page) -> None:
    """Without a network all cells run, and each chart is wider than 500 pixels on either theme."""
    asked: list[str] = []

    def only_this_machine(route: Route) -> None:
        if route.request.url.startswith(("http://127.0.0.1:", "data:", "blob:")):
            route.continue_()
        else:
            asked.append(route.request.url)
            route.abort()

    from playwright.sync_api import expect

    page.route("**/*", only_this_machine)
    page.goto(f"{lab}/doc/tree/{path.name}")
    page.wait_for_function(OPENED)
    have_run = page.evaluate(RUN)
    notebook = page.evaluate(READ)
    assert [each for each in outputs_of(notebook) if each["output_type"] == "error"] == []
    assert have_run is True
    assert outside_addresses(notebook) == set()
    charts = page.locator(CHART)
    expect(charts).to_have_count(len(charts_of(notebook)))
    # As high as the notebook, so that all of it is in the picture.
    page.set_viewport_size({"width": 1280, "height": page.evaluate(HEIGHT)})
    SCREENSHOTS.mkdir(exist_ok=True)
    for theme in ("light", "dark"):
        if theme == "dark":
            page.evaluate(GO_DARK)
            page.wait_for_function("document.body.dataset.jpThemeLight === 'false'")
        boxes = [chart.bounding_box() for chart in charts.all()]
        assert all(box is not None and box["width"] > 500 and box["height"] > 50 for box in boxes)
        page.screenshot(path=SCREENSHOTS / f"lab-{path.stem}-{theme}.png")
    assert asked == []


def _write(path: Path, values: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values), encoding="utf-8")


def _wait_until_served(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    clock = SystemClock()
    while process.poll() is None:
        with suppress(OSError), urllib.request.urlopen(f"{url}/api", timeout=10):  # noqa: S310
            return
        clock.sleep(0.2)
    pytest.fail(f"JupyterLab has ended: {log.read_text()[-2_000:]}")
