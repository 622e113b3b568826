"""Show the avatars and the state of the tracker live, in a notebook or as lines of text."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from html import escape
from typing import Any

from avatarkit.clock import Clock
from avatarkit.errors import StoreError
from avatarkit.store.live import ShownPersona
from avatarkit.store.store import Store
from avatarkit.text import printable, stage_name
from avatarkit.tracking.state import TrackerState, format_change, format_moment

READ_EVERY_S = 1.0
"""Wall seconds between two reads of the log."""

MOST_ROWS = 50
"""How many avatars the table in a notebook shows."""

_HEADINGS = ("Avatar", "Id", "Status", "Since (UTC)", "Next poll (UTC)", "Last error")
# The notebook's own colours, so that it fits a light and a dark theme.
_CELL = (
    'style="text-align:left;padding:0.2em 0.8em;background:transparent;color:inherit;'
    'border-bottom:1px solid rgba(128,128,128,0.35)"'
)


@dataclass(frozen=True)
class LiveTable:
    """The avatars and the state at one moment, as HTML for a notebook and as text.

    ``lines`` are the state's; ``more`` counts the avatars that ``rows`` leaves out.
    """

    rows: tuple[tuple[str, ...], ...]
    lines: tuple[str, ...]
    more: int = 0

    def _repr_html_(self) -> str:
        head = "".join(f"<th {_CELL}>{heading}</th>" for heading in _HEADINGS)
        body = "".join(
            f"<tr>{''.join(f'<td {_CELL}>{escape(text)}</td>' for text in row)}</tr>"
            for row in self.rows
        )
        notes = "".join(f"<div>{escape(line)}</div>" for line in (*self._left_out(), *self.lines))
        return (
            f'<div style="overflow-x:auto"><table style="border-collapse:collapse">'
            f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{notes}</div>"
        )

    def __repr__(self) -> str:
        table = (_HEADINGS, *self.rows)
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        texts = [
            "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
            for row in table
        ]
        return "\n".join([*texts, *self._left_out(), *self.lines])

    def _left_out(self) -> list[str]:
        return [f"and {self.more} more"] if self.more else []


def watch(
    store: Store,
    clock: Clock,
    read_state: Callable[[], TrackerState],
    *,
    timeout: float | None = None,
) -> None:
    """Show the log live until no avatar is left to poll; see ``Tracker.watch``.

    Args:
        store: The log, which is only read.
        clock: The session's clock.
        read_state: Returns the state of the tracker.
        timeout: Wall seconds after which it ends in any case; None for no limit.
    """
    display = _notebook_display()
    view = _Lines(store) if display is None else _Table(store, display)
    began_s = clock.monotonic()
    with suppress(KeyboardInterrupt):
        while True:
            try:
                state = read_state()
                view.show(state)
                if state.in_flight == 0:
                    return
            except StoreError as error:
                view.show_error(str(error))
            left_s = READ_EVERY_S
            if timeout is not None:
                left_s = min(left_s, began_s + timeout - clock.monotonic())
                if left_s <= 0:
                    return
            clock.sleep(left_s)


class _Table:
    """A table in a notebook, which is updated only when something changed."""

    def __init__(self, store: Store, display: Callable[..., Any]) -> None:
        self._store = store
        self._display = display
        self._handle: Any = None
        self._shown: LiveTable | None = None

    def show(self, state: TrackerState) -> None:
        """Show the personas in the log, and the state."""
        rows = tuple(_row(persona, state.now) for persona in self._store.shown(MOST_ROWS))
        more = max(state.total - MOST_ROWS, 0)
        self._update(LiveTable(rows, tuple(state.lines()), more))

    def show_error(self, error: str) -> None:
        """Show an error below the avatars as they were shown last."""
        shown = self._shown or LiveTable((), ())
        self._update(LiveTable(shown.rows, (printable(error),), shown.more))

    def _update(self, table: LiveTable) -> None:
        if table == self._shown:
            return
        if self._handle is None:
            self._handle = self._display(table, display_id=True)
        else:
            self._handle.update(table)
        self._shown = table


class _Lines:
    """Lines on standard output: the state at the beginning, then a line for each change."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._run_id: int | None = None
        self._notes: list[str] = []

    def show(self, state: TrackerState) -> None:
        """Print what changed since the last time."""
        with self._store.transaction(reading=True):
            run_id = self._store.last_run_id()
            changes = [] if self._run_id is None else self._store.changes_after(self._run_id)
        if self._run_id is None:
            _write(state.lines()[0])
        for change in changes:
            _write(format_change(change))
        self._run_id = run_id
        self._show_notes(state.lines()[1:])

    def show_error(self, error: str) -> None:
        """Print an error, once while it repeats."""
        self._show_notes([printable(error)])

    def _show_notes(self, notes: list[str]) -> None:
        for note in notes:
            if note not in self._notes:
                _write(note)
        self._notes = notes


def _row(persona: ShownPersona, now: datetime) -> tuple[str, ...]:
    next_poll = ""
    if persona.next_poll_at is not None:
        is_due = persona.next_poll_at <= now
        next_poll = "due" if is_due else format_moment(persona.next_poll_at, now)
    status = stage_name(persona.status)
    if persona.failed_reason:
        status = f"{status}: {persona.failed_reason}"
    error = persona.last_error or ""
    if persona.last_error_at is not None and error:
        error = f"{format_moment(persona.last_error_at, now)} {error}"
    texts = (
        persona.creator_name or "",
        persona.persona_id,
        f"{status} (gone from the API)" if persona.gone else status,
        f"{persona.since:%Y-%m-%d %H:%M:%S}",
        next_poll,
        error,
    )
    return tuple(" ".join(printable(text).split())[:200] for text in texts)


def _notebook_display() -> Callable[..., Any] | None:
    """Return IPython's ``display`` in a notebook; None in a terminal and in plain Python."""
    if "IPython" not in sys.modules:  # nothing runs in it then
        return None
    from IPython.core.getipython import get_ipython
    from IPython.display import display

    shell = get_ipython()
    return display if getattr(shell, "kernel", None) is not None else None


def _write(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
