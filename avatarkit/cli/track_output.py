"""Print what ``track`` sees: lines, JSON, or lines above a live status in a terminal."""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Self

import typer
from rich.console import Console
from rich.live import Live
from rich.text import Text

from avatarkit.clock import Clock
from avatarkit.errors import StoreError
from avatarkit.store.sightings import Change
from avatarkit.text import printable
from avatarkit.tracking.state import TrackerState, format_change

REFRESH_S = 1.0
"""Wall seconds between two refreshes of the live status."""

LONGEST_JOIN_S = 2.0
"""Wall seconds to wait at the end for a refresh that reads a slow database."""

logger = logging.getLogger("avatarkit")


class Lines(AbstractContextManager["Lines"]):
    """Prints a line for each change on standard output, errors on standard error.

    ``errors`` lists the errors.
    """

    def __init__(self) -> None:
        self.errors: list[str] = []

    def change(self, change: Change) -> None:
        """Print a change of status."""
        typer.echo(format_change(change))

    def error(self, error: str) -> None:
        """Print and log what went wrong in a pass."""
        self.errors.append(error)
        logger.warning("%s", error)
        self._print_error(error)

    def notice(self, text: str) -> None:
        """Print that this tracker stands by, or takes over."""
        self._print_error(text)

    def _print_error(self, error: str) -> None:
        typer.echo(printable(error), err=True)

    def __exit__(self, *_: object) -> None:
        pass


class JSONLines(Lines):
    """Prints an object a line on standard output for each change and each error.

    Other letters than ASCII are escaped, so that no console or pipe changes a text, and no text
    drives a terminal.
    """

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def change(self, change: Change) -> None:
        """Print a change of status."""
        self._print(vars(change) | {"at": change.at.isoformat()})

    def notice(self, text: str) -> None:
        """Print that this tracker stands by, or takes over."""
        self._print({"notice": text, "at": self._clock.now().isoformat()})

    def _print_error(self, error: str) -> None:
        self._print({"error": error, "at": self._clock.now().isoformat()})

    def _print(self, values: dict[str, Any]) -> None:
        typer.echo(json.dumps(values))


class LiveLines(Lines):
    """Prints lines above a status that is refreshed at the bottom of a terminal.

    Args:
        read_state: Returns the state of the tracker.
        clock: The session's clock.
    """

    def __init__(self, read_state: Callable[[], TrackerState], clock: Clock) -> None:
        super().__init__()
        self._read_state = read_state
        self._clock = clock
        self._console = Console(highlight=False)
        self._errors_too = sys.stderr.isatty()
        # What other parts write to standard error is shown above the status, too.
        self._live = Live(
            console=self._console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=self._errors_too,
        )
        self._stop = threading.Event()
        # Not in the thread of the passes: a database that is slow to answer holds up no line.
        self._thread = threading.Thread(target=self._refresh, name="avatarkit-status", daemon=True)

    def change(self, change: Change) -> None:
        """Print a change of status."""
        self._print(format_change(change))

    def _print_error(self, error: str) -> None:
        if self._errors_too:
            self._print(printable(error))
        else:
            super()._print_error(error)

    def _print(self, line: str) -> None:
        self._console.print(Text(line), soft_wrap=True)

    def __enter__(self) -> Self:
        self._live.start()
        # Shown, so that a process that is killed leaves the terminal as it was.
        self._console.show_cursor(True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(LONGEST_JOIN_S)
        self._live.stop()

    def _refresh(self) -> None:
        while not self._stop.is_set():
            try:
                lines = self._read_state().lines()
            except StoreError as error:
                lines = [printable(error)]
            lines[0] = f"{self._clock.now():%H:%M:%S}Z  {lines[0]}"
            status = Text("\n".join(lines), "dim", no_wrap=True, overflow="ellipsis")
            self._live.update(status, refresh=True)
            self._clock.sleep(REFRESH_S, self._stop)
