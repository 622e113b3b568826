"""Draw the table of avatars that ``Tracker.watch`` shows, as HTML and as text."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

HEADINGS = ("Avatar", "Id", "Status", "Since (UTC)", "Next poll (UTC)", "Last error")


@dataclass(frozen=True)
class LiveTable:
    """The avatars at one moment, as HTML for a notebook and as text; ``lines`` stand below."""

    rows: tuple[tuple[str, ...], ...]
    lines: tuple[str, ...]

    def _repr_html_(self) -> str:
        import pandas as pd

        # A notebook styles the tables of pandas for its light and its dark theme.
        with pd.option_context("display.max_colwidth", None):
            frame = pd.DataFrame(self.rows, columns=HEADINGS)
            table = frame.to_html(index=False, border=0, justify="left")
        return table + "".join(f"<div>{escape(line)}</div>" for line in self.lines)

    def __repr__(self) -> str:
        table = (HEADINGS, *self.rows)
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        texts = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in table)
        return "\n".join([*texts, *self.lines])
