"""Keep which avatars are chosen in the table, by id.

The browser knows rows by their places only. A place is turned into an id as soon as it arrives, by
the order in which this tab drew the rows last; where the order has changed since, the browser is
sent the new places.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import streamlit as st

from avatarkit.ui.views.filters import LINKED

TABLE = "avatars_table"
"""The key of the table."""

MARK = "mark"
"""The first column. The browser chooses its cell in the first row by itself, when the table gets
the keyboard's focus, and after a short click on the head of a column."""

_NAME = "creator_name"


@dataclass
class Selection:
    """What is chosen in the table of one tab.

    Streamlit may end a run at any of its calls, so nothing counts as drawn before it is.

    Attributes:
        checked: The ids whose boxes are checked.
        clicked: The id whose details are to be opened, until they are; else empty.
        drawn: The ids in the order in which the rows were drawn last.
        rows: The places of the rows that the browser shows as checked.
        cell: The cell that the browser shows as chosen: the place of its row, and its column.
    """

    checked: list[str] = field(default_factory=list)
    clicked: str = ""
    drawn: list[str] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    cell: tuple[int, str] | None = None
    _placed: tuple[list[int], tuple[int, str] | None] | None = None

    @property
    def opened(self) -> str:
        """The id whose details are shown, empty for none."""
        return str(st.session_state.get(LINKED, "")).strip()

    def read(self) -> None:
        """Take over what was clicked since the table was drawn.

        A click on a cell, or the first box that is checked, opens the details of its row. A cell
        that the browser may have chosen by itself opens none.
        """
        state = st.session_state.get(TABLE)
        rows, cell = ([], None) if state is None else _places(state["selection"])
        if state is None:  # the table was not on the page
            self.rows, self.cell = rows, cell
        elif (rows, cell) != self._placed:
            self._read(rows, cell)
        if self.clicked:
            st.session_state[LINKED] = self.clicked

    def _read(self, rows: list[int], cell: tuple[int, str] | None) -> None:
        if rows != self.rows:
            before, self.checked = self.checked, self._ids(rows)
            if len(self.checked) == 1 and self.checked != before:
                self.clicked = self.checked[0]
        if cell is not None and cell != self.cell and (cell[1] != MARK or self._is_in_mark):
            self.clicked = next(iter(self._ids([cell[0]])), self.clicked)
        self.rows, self.cell = rows, cell

    @property
    def _is_in_mark(self) -> bool:
        return self.cell is not None and self.cell[1] == MARK

    def place(self, ids: list[str]) -> None:
        """Choose the rows of the same ids in a table that is about to be drawn.

        Args:
            ids: The ids in the order of its rows. What is not among them is no longer checked.
        """
        places = {persona_id: place for place, persona_id in enumerate(ids)}
        self.checked = [persona_id for persona_id in self.checked if persona_id in places]
        rows = sorted(places[persona_id] for persona_id in self.checked)
        # From the cell that the browser chose by itself, the arrow keys go on.
        cell = self.cell if self._is_in_mark and not self.opened else None
        if self.opened in places:
            column = self.cell[1] if self.cell and not self._is_in_mark else _NAME
            cell = places[self.opened], column
        self._placed = rows, cell
        if (rows, cell) != (self.rows, self.cell):
            cells = [] if cell is None else [cell]
            st.session_state[TABLE] = {"selection": {"rows": rows, "columns": [], "cells": cells}}

    def drew(self, ids: list[str]) -> None:
        """Take note that the table was drawn as it was placed."""
        if self._placed is not None:
            (self.rows, self.cell), self._placed = self._placed, None
        self.drawn, self.clicked = ids, ""

    def _ids(self, rows: list[int]) -> list[str]:
        return [self.drawn[row] for row in rows if row < len(self.drawn)]


def of_tab() -> Selection:
    """Return the selection of this tab."""
    selection: Selection = st.session_state.setdefault("avatars_selection", Selection())
    return selection


def close_details() -> None:
    """Show no details any more."""
    st.session_state[LINKED] = ""
    of_tab().checked = []


def _places(selection: Any) -> tuple[list[int], tuple[int, str] | None]:
    """Return the rows and the cell that the browser shows as chosen."""
    cells = [(int(row), str(column)) for row, column in selection.get("cells", [])]
    return sorted(selection.get("rows", [])), cells[0] if cells else None
