"""Takes the screenshots of ``track`` in a terminal and of ``Tracker.watch`` in a notebook.

``python tests/support/live_screenshots.py`` writes ``7-track.png`` and ``8-watch.png`` to
``tests/screenshots/``: the one from the bytes that a pseudo-terminal got, the other from the HTML
that a kernel sent. It takes about a minute.
"""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from jupyter_client.manager import start_new_kernel
from rich.console import Console
from rich.text import Text

from avatarkit import PersonaCreate, open_session
from avatarkit.clock import SystemClock
from support import chromium
from support.project import ROOT

SECONDS = 16.0
FOLDER = ROOT / "tests" / "screenshots"
AVATARS = {"Ada Lovelace": "done", "Łukasz": "rejected", "Bo": "failed", "Grace": "stuck"}
WATCH = """
from avatarkit import open_session
session = open_session()
session.tracker.watch(timeout={seconds})
"""


def submit() -> None:
    """Submit a few avatars to a new sandbox, which ends with the session."""
    with open_session() as session:
        for name, outcome in AVATARS.items():
            labels = [f"sandbox:{outcome}"]
            session.tracker.submit(PersonaCreate(creator_name=name, gender="f", labels=labels))


def terminal_output(seconds: float) -> str:
    """Return what ``track`` writes to a terminal in this time."""
    process, descriptor = pty.fork()
    if process == 0:
        os.environ |= {"TERM": "xterm-256color", "COLUMNS": "124", "LINES": "24"}
        os.execv(sys.executable, [sys.executable, "-m", "avatarkit", "track"])  # noqa: S606
    clock, output = SystemClock(), b""
    end_s = clock.monotonic() + seconds
    while (left_s := end_s - clock.monotonic()) > 0:
        if select.select([descriptor], [], [], left_s)[0]:
            output += os.read(descriptor, 65_536)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    return output.decode()


def screen(output: str) -> Text:
    """Return the rows that a terminal shows: rich erases a row before it writes it anew."""
    rows, row = [""], 0
    for part in re.split(r"(\r|\n|\x1b\[2K|\x1b\[\d*A|\x1b\[\?25[lh])", output):
        if part == "\n":
            row += 1
            rows += [""] * (row + 1 - len(rows))
        elif part == "\x1b[2K":
            rows[row] = ""
        elif part.endswith("A") and part.startswith("\x1b["):
            row -= int(part[2:-1] or 1)
        elif part != "\r" and not part.startswith("\x1b[?"):
            rows[row] += part
    return Text.from_ansi("\n".join(rows))


def notebook_html(seconds: float) -> str:
    """Return the last table that ``watch`` shows in a kernel within this time."""
    manager, client = start_new_kernel(kernel_name="python3")
    shown = [""]

    def keep(message: dict) -> None:
        if message["msg_type"] in ("display_data", "update_display_data"):
            shown.append(message["content"]["data"]["text/html"])

    client.execute_interactive(WATCH.format(seconds=seconds), output_hook=keep, timeout=300)
    manager.shutdown_kernel(now=True)
    return shown[-1]


def take(html: str, name: str, width: int, height: int) -> None:
    """Draw a page with Chromium."""
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder, "page.html")
        page.write_text(f"<!doctype html><meta charset=utf-8>{html}", encoding="utf-8")
        subprocess.run(
            [
                *(chromium.find(), "--headless", "--no-sandbox", "--disable-gpu"),
                *(f"--window-size={width},{height}", "--hide-scrollbars"),
                *(f"--screenshot={FOLDER / name}", f"--user-data-dir={folder}/profile"),
                page.as_uri(),
            ],
            check=True,
            capture_output=True,
        )


def main() -> None:
    """Take both."""
    FOLDER.mkdir(exist_ok=True)
    data = tempfile.mkdtemp()
    os.environ |= {
        "AVATARKIT_ENV_FILE": "",
        "AVATARKIT_DATA_DIR": data,
        "AVATARKIT_SANDBOX_SPEED": "8000",
        "PYTHONPATH": str(ROOT),
    }
    submit()
    console = Console(record=True, width=124, file=open(os.devnull, "w"))  # noqa: SIM115, PTH123
    console.print(screen(terminal_output(SECONDS)))
    svg = console.export_svg(title="python -m avatarkit track")
    take(f"<body style='margin:0'>{svg}", "7-track.png", 1100, 410)
    light = "font:14px sans-serif;padding:8px 16px;"
    dark = f"{light}background:#111;color:#ddd;"
    style = "<style>body{margin:0} th,td{padding:3px 12px;text-align:left}</style>"
    table = notebook_html(SECONDS / 2)
    both = f"<div style='{light}'>{table}</div><div style='{dark}'>{table}</div>"
    take(f"{style}{both}", "8-watch.png", 1250, 330)
    shutil.rmtree(data, ignore_errors=True)


if __name__ == "__main__":
    main()
