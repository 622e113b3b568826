"""Show the avatars and the state of the tracker live, in a notebook or as lines of text."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Any

from avatarkit.clock import Clock
from avatarkit.errors import StoreError
from avatarkit.reports.live_table import LiveTable
from avatarkit.store.live import ShownPersona
from avatarkit.store.store import Store
from avatarkit.text import printable, stage_name
from avatarkit.tracking.progress_bar import notebook_display
from avatarkit.tracking.state import TrackerState, format_change, format_moment

READ_EVERY_S = 1.0
"""Wall seconds between two reads of the log."""

MOST_ROWS = 50
"""How many avatars the table in a notebook shows."""

LONGEST_TEXT = 200
"""Characters of a text in the table."""


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
    display = notebook_display()
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
                view.show_error(printable(error))
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
        self._shown = LiveTable((), ())

    def show(self, state: TrackerState) -> None:
        rows = tuple(_row(persona, state.now) for persona in self._store.shown(MOST_ROWS))
        lines = state.lines()
        if state.total > len(rows):
            lines.insert(0, f"and {state.total - len(rows)} more")
        self._update(LiveTable(rows, tuple(lines)))

    def show_error(self, error: str) -> None:
        self._update(LiveTable(self._shown.rows, (error,)))

    def _update(self, table: LiveTable) -> None:
        if self._handle is None:
            self._handle = self._display(table, display_id=True)
        elif table != self._shown:
            self._handle.update(table)
        self._shown = table


class _Lines:
    """Lines on standard output: the state at the beginning, then a line for each change."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._run_id: int | None = None
        self._notes: list[str] = []

    def show(self, state: TrackerState) -> None:
        counts, *notes = state.lines()
        with self._store.transaction(reading=True):
            run_id = self._store.last_run_id()
            changes = [] if self._run_id is None else self._store.changes_after(self._run_id)
        if self._run_id is None:
            _write(counts)
        for change in changes:
            _write(format_change(change))
        self._run_id = run_id
        self._show_notes(notes)

    def show_error(self, error: str) -> None:
        self._show_notes([error])

    def _show_notes(self, notes: list[str]) -> None:
        for note in notes:
            if note not in self._notes:
                _write(note)
        self._notes = notes


def _row(persona: ShownPersona, now: datetime) -> tuple[str, ...]:
    status, next_poll, error = stage_name(persona.status), "", persona.last_error or ""
    if persona.failed_reason:
        status = f"{status}: {persona.failed_reason}"
    if persona.gone:
        status = f"{status} ({'deleted' if persona.deleted else 'gone from the API'})"
    if persona.next_poll_at is not None:
        is_due = persona.next_poll_at <= now
        next_poll = "due" if is_due else format_moment(persona.next_poll_at, now)
    if persona.last_error_at is not None:
        error = f"{format_moment(persona.last_error_at, now)} {error}"
    since = f"{persona.since:%Y-%m-%d %H:%M}"
    texts = (persona.creator_name or "", persona.persona_id, status, since, next_poll, error)
    return tuple(" ".join(printable(text).split())[:LONGEST_TEXT] for text in texts)


def _write(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
