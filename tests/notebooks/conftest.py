"""A Jupyter kernel without a network, in which tests of notebooks run their cells."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from support.project import ROOT

OFFLINE = """
from pytest_socket import socket_allow_hosts
socket_allow_hosts(["127.0.0.1", "localhost", "::1"], allow_unix_socket=True)
"""


@pytest.fixture
def kernel_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let kernels import avatarkit and connect to this machine only; return an empty folder."""
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    startup = tmp_path / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "offline.py").write_text(OFFLINE, encoding="utf-8")
    folder = tmp_path / "notebooks"
    folder.mkdir()
    return folder


@pytest.fixture
def execute(kernel_folder: Path) -> Callable[..., Any]:
    """Return a function that runs cells in a kernel of their own and returns the notebook."""

    def execute(*sources: str) -> Any:
        cells = [nbformat.v4.new_code_cell(source) for source in sources]
        notebook = nbformat.v4.new_notebook(cells=cells)
        client = NotebookClient(notebook, timeout=300, kernel_name="python3")
        client.execute(cwd=str(kernel_folder))
        return notebook

    return execute
