"""Draw a bar of text: how far an upload has come, or which stage an avatar is in.

In a notebook it is one output that is updated in place. It is saved as text, so it reads the same
when the notebook is opened again, and it needs no widgets. In a terminal it is one line, and
elsewhere, such as in a log file, a line for each tenth or stage.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from avatarkit.api.multipart import Progress
from avatarkit.clock import Clock
from avatarkit.models import STAGES, Persona, ProcessStatus
from avatarkit.text import format_hours, printable, stage_name

WIDTH = 24
"""Characters of a bar."""
DRAW_EVERY_S = 0.25
"""Wall seconds between two drawings of the same stage."""


class Bar:
    """One line of text that is drawn again in place."""

    def __init__(self) -> None:
        self._display = notebook_display()
        self._is_terminal = self._display is None and sys.stderr.isatty()
        self._handle: Any = None
        self._drawn = ""
        self._key: object = None

    def draw(self, share: float, text: str, key: object) -> None:
        """Draw the bar.

        Args:
            share: How much of it is filled, from 0 to 1.
            text: What stands beside it.
            key: Where each draw is a line of its own, only one with another key is drawn.
        """
        filled = round(WIDTH * min(max(share, 0.0), 1.0))
        line = f"{'█' * filled}{'░' * (WIDTH - filled)} {printable(text)}"
        if line == self._drawn:
            return
        if self._display is not None:
            if self._handle is None:
                self._handle = self._display(_Line(line), display_id=True)
            else:
                self._handle.update(_Line(line))
        elif self._is_terminal:
            _write(f"\r\x1b[K{line}")
        elif key != self._key:
            _write(f"{line}\n")
        self._drawn, self._key = line, key

    def close(self) -> None:
        """End the line in a terminal."""
        if self._is_terminal and self._drawn:
            _write("\n")


class _Line:
    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


@contextmanager
def show_upload(progress: Progress | bool | None, name: str) -> Iterator[Progress | None]:
    """Draw how far an upload has come.

    Args:
        progress: True draws a bar; a function is called in its place.
        name: What is sent.

    Yields:
        What is to be called with the bytes that were sent and all bytes; None for nothing.
    """
    if not isinstance(progress, bool):
        yield progress
        return
    if not progress:
        yield None
        return
    bar = Bar()

    def report(sent: int, total: int) -> None:
        share = sent / total if total else 1.0
        text = f"{name}: {sent / 1e6:,.1f} of {total / 1e6:,.1f} MB sent"
        if sent >= total:
            text += ", waiting for the answer"
        bar.draw(share, text, (int(share * 10), sent >= total))

    try:
        yield report
        bar.draw(1.0, f"{name}: created", "created")
    finally:
        bar.close()


@contextmanager
def show_stages(
    clock: Clock, *, enabled: bool
) -> Iterator[Callable[[Persona, str | None], None] | None]:
    """Draw which stage an avatar is in.

    The bar counts stages, and not time: how long each takes is not known.

    Args:
        clock: The session's clock.
        enabled: Whether anything is drawn.

    Yields:
        What is to be called with the persona and what is in the way, if anything; None for nothing.
    """
    if not enabled:
        yield None
        return
    bar, began_at = Bar(), clock.now()
    drawn_s, drawn_key, share = -math.inf, None, 0.0

    def report(persona: Persona, error: str | None) -> None:
        nonlocal drawn_s, drawn_key, share
        key, now_s = (persona.status_text, error), clock.monotonic()
        if key == drawn_key and now_s - drawn_s < DRAW_EVERY_S:
            return
        drawn_s, drawn_key = now_s, key
        if persona.status is ProcessStatus.DONE:
            share = 1.0
        elif persona.status in STAGES:
            share = STAGES.index(persona.status) / len(STAGES)
        waited_h = (clock.now() - began_at).total_seconds() / 3600
        name = persona.creator_name or persona.id
        text = f"{name}: {stage_name(persona.status_text)}, waited {format_hours(waited_h)}"
        bar.draw(share, text if error is None else f"{text}; {error}", key)

    try:
        yield report
    finally:
        bar.close()


def notebook_display() -> Callable[..., Any] | None:
    """Return IPython's ``display`` in a notebook; None in a terminal and in plain Python."""
    if "IPython" not in sys.modules:  # nothing runs in it then
        return None
    from IPython.core.getipython import get_ipython
    from IPython.display import display

    return display if getattr(get_ipython(), "kernel", None) is not None else None


def _write(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()
