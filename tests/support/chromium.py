"""Finds a Chromium for the browser tests, and installs one where there is none.

``python tests/support/chromium.py`` prints the path of one, after installing it if need be; with
``--find`` it only looks. The order: ``AVATARKIT_CHROMIUM``; an installed Chromium, Chrome or Edge;
Playwright's own; Debian's package.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

OVERRIDE = "AVATARKIT_CHROMIUM"
NONE_FOUND = (
    "No Chromium was found; install Chromium, Chrome or Edge, or set "
    f"{OVERRIDE} to the path of one."
)

_COMMANDS = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
    "microsoft-edge",
    "microsoft-edge-stable",
    "msedge",
)
_MAC = (
    "Chromium.app/Contents/MacOS/Chromium",
    "Google Chrome.app/Contents/MacOS/Google Chrome",
    "Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
)
_WINDOWS = (
    "Chromium/Application/chrome.exe",
    "Google/Chrome/Application/chrome.exe",
    "Microsoft/Edge/Application/msedge.exe",
)
_WINDOWS_ROOTS = ("PROGRAMFILES", "PROGRAMFILES(X86)", "LOCALAPPDATA")


class NoChromium(Exception):
    """No browser is there, or it could not be installed; the text says what to do."""


def find() -> Path:
    """The path of a Chromium that starts. Raises ``NoChromium``."""
    named = os.environ.get(OVERRIDE)
    if named:
        path = Path(shutil.which(named) or named).expanduser()
        if not starts(path):
            raise NoChromium(f"{OVERRIDE} is set to {named}, which does not start; correct it.")
        return path
    for path in _candidates():
        if starts(path):
            return path
    raise NoChromium(NONE_FOUND)


def install() -> Path:
    """The path of a Chromium that starts, installed if there was none. Raises ``NoChromium``."""
    try:
        return find()
    except NoChromium:
        if os.environ.get(OVERRIDE):
            raise
    for attempt in (_install_playwrights, _install_debians):
        attempt()
        try:
            return find()
        except NoChromium:
            continue
    raise NoChromium(NONE_FOUND)


def starts(path: Path) -> bool:
    """True when this is a browser that runs: one without its libraries is none."""
    if not path.is_file():
        return False
    if sys.platform == "win32":
        return True  # --version would open a window there
    try:
        answer = subprocess.run(
            [path, "--version"], capture_output=True, timeout=30, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return answer.returncode == 0


def _candidates() -> Iterator[Path]:
    for command in _COMMANDS:
        if found := shutil.which(command):
            yield Path(found)
    if sys.platform == "darwin":
        for root in (Path("/Applications"), Path.home() / "Applications"):
            yield from (root / app for app in _MAC)
    if sys.platform == "win32":
        for variable in _WINDOWS_ROOTS:
            if root := os.environ.get(variable):
                yield from (Path(root) / app for app in _WINDOWS)
    if playwrights := _playwrights():
        yield playwrights


def _playwrights() -> Path | None:
    """Where Playwright's own Chromium is, or would be."""
    if find_spec("playwright") is None:
        return None
    # In a process of its own: Playwright refuses to start where an event loop is running.
    code = (
        "from playwright.sync_api import sync_playwright\n"
        "with sync_playwright() as p: print(p.chromium.executable_path)"
    )
    answer = _run([sys.executable, "-c", code], seconds=60)
    return Path(answer) if answer else None


def _install_playwrights() -> None:
    print("No Chromium is installed; fetching Playwright's own …", file=sys.stderr)
    _run([sys.executable, "-m", "playwright", "install", "chromium"], seconds=300)


def _install_debians() -> None:
    """Debian's package. Ubuntu's of that name only points to a snap, which may not start here."""
    if shutil.which("apt-get") is None:
        return
    print("Installing Debian's package of Chromium …", file=sys.stderr)
    root = [] if os.geteuid() == 0 else ["sudo", "--non-interactive"]
    quiet = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq"]
    _run([*root, *quiet, "update"], seconds=300)
    # The fonts, as a bare machine has none and would draw boxes for letters.
    packages = ["chromium", "fonts-liberation"]
    _run([*root, *quiet, "install", "--yes", "--no-install-recommends", *packages], seconds=900)


def _run(command: list[str], *, seconds: float) -> str:
    """What it prints, or nothing when it fails: the next way is then tried."""
    try:
        answer = subprocess.run(
            command, capture_output=True, text=True, timeout=seconds, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        print(f"That did not work: {error}", file=sys.stderr)
        return ""
    if answer.returncode != 0:
        said = (answer.stderr or answer.stdout).strip().splitlines() or ["no word of why"]
        reason = next((line for line in said if line.startswith(("E:", "Error:"))), said[-1])
        print(f"That did not work: {reason}", file=sys.stderr)
        return ""
    return answer.stdout.strip()


if __name__ == "__main__":
    try:
        print(find() if "--find" in sys.argv[1:] else install())
    except NoChromium as error:
        sys.exit(str(error))
