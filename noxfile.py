"""``nox`` checks everything; ``nox -l`` lists the parts, ``nox -s tests`` runs one of them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import nox
from nox.command import CommandFailed

ROOT = Path(__file__).parent
CONSTRAINTS = "requirements-dev.txt"

CORE_COVERAGE = 95
"""Per cent of the branches of the core, which ``[tool.coverage.run]`` lists."""

CORE_TESTS = ("tests/api", "tests/store", "tests/tracking", "tests/history")

UNTRACED = (
    "tests/api/test_django_rest_framework.py",
    "tests/api/test_multipart.py",
    "tests/api/test_odd_answers.py",
    "tests/history/test_stages.py",
    "tests/store/test_answers.py",
    "tests/store/test_interleavings.py",
    "tests/store/test_pooler.py",
    "tests/store/test_postgres_server.py",
    "tests/test_package.py",
    "tests/test_readme.py",
    "tests/test_session_questions.py",
    "tests/tracking/test_access.py",
    "tests/tracking/test_clocks.py",
    "tests/tracking/test_delete.py",
    "tests/tracking/test_fault_matrix.py",
    "tests/tracking/test_gate.py",
    "tests/tracking/test_gone.py",
    "tests/tracking/test_kills.py",
    "tests/tracking/test_odd_creates.py",
    "tests/tracking/test_server_clock.py",
    "tests/tracking/test_several_trackers.py",
    "tests/tracking/test_throttling.py",
    "tests/tracking/test_tracker.py",
)
"""Tests of the core that repeat much and cover hardly anything that the others do not."""

JOURNEY = "tests/ui/test_journey.py"

JUPYTERLAB = "jupyterlab==4.6.6"
"""What ``notebooks`` installs for itself: more than 200 MB that nothing else needs."""

SUPPORT: dict[str, str | None] = {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
"""The variable with which Python finds the modules in tests/support."""

# One more than there are processors, as some tests wait.
PARALLEL = ("-n", str((os.cpu_count() or 1) + 1), "--dist", "worksteal")

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_venv = "yes"
nox.options.error_on_external_run = True


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and likely bugs with ruff, and imports with import-linter."""
    session.install("-c", CONSTRAINTS, "ruff", "import-linter")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("lint-imports")


@nox.session
def prepare(session: nox.Session) -> None:
    """Make the environment that the sessions below share; once, as it takes longest."""
    packages = ("-c", CONSTRAINTS, "-e", ".[dev]")
    session.install("uv")
    try:
        session.run("uv", "pip", "install", *packages)
    except CommandFailed:  # it knows nothing of pip's settings, such as another index
        # Most modules are never imported, and compiling all of them takes most of the time.
        session.install("--no-compile", *packages)


@nox.session(requires=["prepare"], venv_backend="none")
def types(session: nox.Session) -> None:
    """Check types with mypy."""
    run(session, "mypy", "--num-workers", "auto")


@nox.session(requires=["prepare"], venv_backend="none")
def package(session: nox.Session) -> None:
    """Build the wheel, and install it into an empty environment with each extra."""
    run(session, "python", "-m", "support.package_check", env=SUPPORT)


@nox.session(requires=["prepare"], venv_backend="none")
def tests(session: nox.Session) -> None:
    """Run all tests but the long ones, and check the coverage of the core."""
    pytest = ["pytest", "-m", "not long and not jupyterlab", *PARALLEL]
    if session.posargs:
        run(session, *pytest, *session.posargs, env=find_browser(session))
        return
    # Tracing slows the tests by half, so only those of the core are traced.
    folders = {str(path.parent.relative_to(ROOT)) for path in ROOT.glob("tests/*/test_*.py")}
    files = {str(path.relative_to(ROOT)) for path in ROOT.glob("tests/test_*.py")}
    ignored = [f"--ignore={path}" for path in UNTRACED]
    # No test of the core needs this plugin, which takes each process a second to import.
    core = [*pytest, "-p", "no:schemathesis"]
    core += [*CORE_TESTS, *sorted(files.difference(UNTRACED)), *ignored]
    run(session, *core, "--cov", "--cov-report=")
    run(session, "coverage", "report", f"--fail-under={CORE_COVERAGE}")
    others = sorted(folders.difference(CORE_TESTS))
    run(session, *pytest, *others, *UNTRACED, env=find_browser(session))


@nox.session(requires=["prepare"], venv_backend="none", default=False)
def journey(session: nox.Session) -> None:
    """Run the tests of the whole app in a real browser alone."""
    pytest = ["pytest", "-m", "journey", "-n", "2", *(session.posargs or [JOURNEY])]
    run(session, *pytest, env=find_browser(session))


@nox.session(requires=["prepare"], default=False)
def notebooks(session: nox.Session) -> None:
    """Run the notebooks without a network: in kernels, and in JupyterLab in a real browser."""
    session.install(JUPYTERLAB)
    program = shutil.which("jupyter-lab", path=session.bin)
    env = {**find_browser(session), "JUPYTERLAB": program}
    run(session, "pytest", "tests/notebooks", *session.posargs, env=env)


@nox.session(requires=["prepare"], venv_backend="none", default=False)
def long(session: nox.Session) -> None:
    """Run the tests that take long."""
    run(session, "pytest", "-m", "long", *PARALLEL, *session.posargs)


@nox.session(requires=["prepare"], venv_backend="none", default=False)
def peers(session: nox.Session) -> None:
    """Run other people's clients against the sandbox; those of npm where node is installed."""
    if npm := shutil.which("npm"):
        options = ("--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts")
        with session.chdir(ROOT / "tests" / "peers" / "node"):
            session.run(npm, "install", *options, external=True)
    run(session, "pytest", "tests/peers", *session.posargs)


@nox.session(requires=["prepare"], venv_backend="none", default=False)
def screenshots(session: nox.Session) -> None:
    """Make the pictures of the README, the same each time; names make only these."""
    env = SUPPORT | find_browser(session)
    run(session, "python", "-m", "support.screenshots", *session.posargs, env=env)


@nox.session(requires=["prepare"], venv_backend="none", default=False)
def bench(session: nox.Session) -> None:
    """Run the benchmarks in bench/ and print their results."""
    scripts = sorted((ROOT / "bench").glob("*.py"))
    if not scripts:
        session.error("There is no bench in bench/.")
    for script in scripts:
        run(session, "python", str(script), *session.posargs)


def find_browser(session: nox.Session) -> dict[str, str | None]:
    """Install a browser if there is none, and return the variable that holds its path."""
    output = run(session, "python", "tests/support/chromium.py", silent=True)
    path = output.strip().splitlines()[-1]
    session.log(f"Browser: {path}")
    return {"AVATARKIT_CHROMIUM": path}


def run(
    session: nox.Session,
    *command: str,
    env: dict[str, str | None] | None = None,
    silent: bool = False,
) -> str:
    """Run a command of the shared environment; if ``silent``, return its output."""
    programs = session.cache_dir.parent / "prepare" / ("Scripts" if os.name == "nt" else "bin")
    path = os.pathsep.join([str(programs), os.environ.get("PATH", "")])
    program = shutil.which(command[0], path=str(programs))
    if program is None:
        session.error(f"{command[0]} is not installed; run nox -s prepare.")
    output = session.run(
        program,
        *command[1:],
        # No file with keys is read: nothing here must reach somebody's live account. Bytecode is
        # kept, or each of the many processes would compile anew what it imports.
        env={
            "PATH": path,
            "VIRTUAL_ENV": str(programs.parent),
            "AVATARKIT_ENV_FILE": "",
            "PYTHONDONTWRITEBYTECODE": "",
            **(env or {}),
        },
        silent=silent,
        external=True,
    )
    return str(output)
