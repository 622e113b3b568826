"""Build the wheel, and install it into an empty environment with each extra: ``nox -s package``.

uv links the packages from its cache, so an environment takes a second. Where uv fails, as it does
not know pip's settings, pip does the same more slowly.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import threading
import tomllib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from zipfile import ZipFile

import avatarkit
from support.project import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CONSTRAINTS = str(ROOT / "requirements-dev.txt")
BIN = "Scripts" if os.name == "nt" else "bin"
UV = Path(shutil.which("uv") or "uv").absolute()
"""Nox names its folder relative to the project, which ``main`` leaves."""

NEEDS = {
    "": "from avatarkit import Store, Tracker, charts, eta, export",
    "preflight": "import avatarkit.preflight.decode, avatarkit.preflight.faces",
    "sandbox": "import avatarkit.sandbox.web.app, avatarkit.sandbox.web.asgi_server",
    "app": "import streamlit, avatarkit.ui.webhooks, avatarkit.ui.views.avatars",
    "postgres": "import psycopg; assert psycopg.pq.__impl__ == 'binary'",
    "notify": "import apprise",
    "notebooks": "import anywidget, ipykernel, ipywidgets, vl_convert",
}
"""What works with an extra, by its name; without any for the empty one."""

LIGHT = "import avatarkit, sys; assert not {'pandas', 'sqlalchemy', 'altair'} & set(sys.modules)"


def run(*command: str | Path, env: Mapping[str, str] | None = None, fails: bool = False) -> str:
    """Run a command; return what it prints.

    Args:
        *command: The command.
        env: Variables beside those of this process.
        fails: Whether it has to fail.
    """
    try:
        answer = subprocess.run(
            [str(part) for part in command],
            capture_output=True,
            text=True,
            env={**os.environ, **(env or {})},
            timeout=900,
        )
    except FileNotFoundError as error:
        raise SystemExit(f"{command[0]} is missing.") from error
    printed = answer.stdout + answer.stderr
    if (answer.returncode != 0) is not fails:
        raise SystemExit(
            f"{' '.join(map(str, command))} ended with {answer.returncode}:\n{printed}"
        )
    return printed


def build(folder: Path) -> Path:
    """Build the wheel into a folder; return its path."""
    try:
        run(UV, "build", "--wheel", "--quiet", "--out-dir", folder, ROOT)
    except SystemExit as error:
        print(f"uv cannot build it, pip tries: {error}", flush=True)
        run(sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", folder, ROOT)
    (wheel,) = folder.glob("*.whl")
    return wheel


def check_content(wheel: Path) -> None:
    """Check that the wheel holds every file of the package, and nothing else."""
    files = {path for path in (ROOT / "avatarkit").rglob("*") if path.is_file()}
    package = {path.relative_to(ROOT).as_posix() for path in files if path.suffix != ".pyc"}
    with ZipFile(wheel) as archive:
        names = set(archive.namelist())
    ours = {name for name in names if ".dist-info/" not in name}
    assert ours == package, f"More or less than the package: {sorted(ours ^ package)}."
    for name in ("py.typed", "ui/favicon.svg", "sandbox/web/openapi.json"):
        assert f"avatarkit/{name}" in names, f"{name} is missing."
    assert any("/migrations/versions/" in name for name in names), "There are no migrations."


def install(wheel: Path, extra: str, environment: Path) -> Path:
    """Make an empty environment, and install the wheel with an extra; return its folder bin."""
    requirement = f"{wheel}[{extra}]" if extra else str(wheel)
    shutil.rmtree(environment, ignore_errors=True)
    programs = environment / BIN
    python = programs / "python"
    packages = ("--constraint", CONSTRAINTS, requirement)
    try:
        run(UV, "venv", "--quiet", "--python", sys.executable, environment)
        run(UV, "pip", "install", "--quiet", "--python", python, *packages)
    except SystemExit as error:
        print(f"uv cannot install it, pip tries: {error}", flush=True)
        run(sys.executable, "-m", "venv", "--clear", environment)
        run(python, "-m", "pip", "install", "--quiet", "--no-compile", *packages)
    return programs


def check_programs(programs: Path, env: Mapping[str, str]) -> None:
    """Check what works without any extra: the import is light, and the console script runs."""
    run(programs / "python", "-W", "error", "-c", LIGHT, env=env)
    for command in ([programs / "avatarkit"], [programs / "python", "-m", "avatarkit"]):
        assert avatarkit.__version__ in run(*command, "--version", env=env)
    assert "submit" in run(programs / "python", "-m", "avatarkit", "--help", env=env)
    sentence = run(programs / "avatarkit", "status", env=env, fails=True)
    assert "avatarkit[sandbox]" in sentence, sentence
    assert "Traceback" not in sentence, sentence


def main() -> None:
    """Build, install and check; print a line for each environment."""
    extras = set(PROJECT["optional-dependencies"]) - {"dev"}
    assert extras == set(NEEDS) - {""}, f"pyproject.toml has the extras {sorted(extras)}."
    with tempfile.TemporaryDirectory(prefix="avatarkit-package-") as name:
        folder = Path(name)
        wheel = build(folder)
        check_content(wheel)
        print(f"{wheel.name}: {wheel.stat().st_size / 1e3:,.0f} kB", flush=True)
        # Bytecode is kept from one environment to the next, as they have the same path.
        env = {
            "AVATARKIT_ENV_FILE": "",
            "AVATARKIT_DATA_DIR": str(folder / "data"),
            "PYTHONPATH": "",
            "PYTHONPYCACHEPREFIX": str(folder / "bytecode"),
        }
        os.chdir(folder)  # not where the package lies

        def check(extra: str) -> None:
            place = folder / threading.current_thread().name
            programs = install(wheel, extra, place)
            run(programs / "python", "-c", NEEDS[extra], env=env)
            if not extra:
                check_programs(programs, env)
            print(f"[{extra}] works in an empty environment.", flush=True)

        with ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="environment") as threads:
            for done in [threads.submit(check, extra) for extra in NEEDS]:
                done.result()


if __name__ == "__main__":
    main()
