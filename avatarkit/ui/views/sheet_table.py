"""Show the table of a sheet, in which rows are typed and pasted, with the problems of each."""

from __future__ import annotations

import re
from typing import Any

import pandas as pd
import streamlit as st

from avatarkit.models import Gender
from avatarkit.tracking import sheet as sheets
from avatarkit.tracking.sheet import Row
from avatarkit.ui.sheet_check import Checked
from avatarkit.ui.sheet_draft import SheetDraft

COLUMN_NAMES = {
    "creator_name": "Creator name",
    "gender": "Gender",
    "video_scene": "Video scene",
    "keywords": "Keywords",
    "labels": "Labels",
    "lipsync_input": "Footage",
    "consent_video": "Consent",
    "gdown_url": "Google Drive link",
    "webhook_url": "Webhook URL",
}
PROBLEMS = "problems"
# Those that begin a sentence, and those that are no words of their own.
_COLUMN = re.compile(rf"^({'|'.join(COLUMN_NAMES)})(?=:)|\b(lipsync_input|gdown_url)\b")
HELP_NAME = "Identifies the real person; it is not displayed. Columns with * are needed."
HELP_VIDEO = "The name of a file in the folder or among those dropped, a path, or a URL."


def take_edits(sheet: SheetDraft) -> None:
    """Take over what was typed and pasted into the table."""
    if _table_key(sheet) not in st.session_state:
        # The table was not shown before, or forgot its edits while another page was.
        sheet.rebase()
    else:
        sheet.edit(st.session_state[_table_key(sheet)]["edited_rows"])


def _table_key(sheet: SheetDraft) -> str:
    return f"many_table_{sheet.version}"


def show(sheet: SheetDraft, checked: Checked | None) -> None:
    """Show the table, with the problems of each row, and what can be done with all rows."""
    frame = pd.DataFrame(sheet.base, columns=list(COLUMN_NAMES), dtype="str")
    frame.index += 1
    filled, problems = set(sheet.filled), [""] * len(frame)
    for row in checked.rows if checked is not None else ():
        if row.number in filled:
            problems[row.number - 1] = _problem(row) or "none"
    frame.insert(0, PROBLEMS, pd.Series(problems, frame.index, dtype="str"))
    text = st.column_config.TextColumn
    # Words can be pasted, and what is no gender is shown as well, so that it can be corrected.
    words = [word.capitalize() for word in sheets.GENDERS]
    typed = [row["gender"] for row in sheet.rows if row["gender"]]
    genders = dict.fromkeys([*Gender, *words, *typed])
    columns: dict[str, Any] = {name: text(title) for name, title in COLUMN_NAMES.items()}
    columns["creator_name"] = text("Creator name *", help=HELP_NAME)
    columns |= {
        PROBLEMS: text("Problems", disabled=True, width=150),
        "gender": st.column_config.SelectboxColumn(
            "Gender *", options=list(genders), help="m, f or nb", width=110
        ),
        "lipsync_input": text("Footage", help=HELP_VIDEO),
        "consent_video": text("Consent", help=HELP_VIDEO),
        "labels": text("Labels", help="Your own marks, comma separated."),
    }
    # Only with a fixed number of rows do the problems change in place while a cell is typed.
    st.data_editor(
        frame,
        key=_table_key(sheet),
        num_rows="fixed",
        column_config=columns,
        placeholder="",
        alt="The avatars to submit, one a row",
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        st.download_button(
            "Download a template",
            sheets.template,
            file_name="avatars.csv",
            mime="text/csv",
            on_click="ignore",
            icon=":material/download:",
        )
        if sheet.filled or sheet.dropped():
            with st.popover("Clear the sheet"):
                st.caption("All rows, and the videos that were dropped here.")
                st.button("Clear it", key="many_clear", on_click=sheet.clear)
        if sheet.replaced is not None:
            st.button(
                f"Bring back the {count_rows(len(sheet.replaced))} before",
                key="many_undo",
                on_click=sheet.undo,
            )


def _problem(row: Row) -> str:
    """Return why a row is not sent as it is, or what to know about it; empty without anything."""
    if row.sent_as is not None:
        return f"Sent before as {row.sent_as}; it is not sent again."
    problems = [*map(worded, row.faults), *([row.twin] if row.twin else [])]
    hints = ["Hint:"] if row.warnings and not problems else []
    return " ".join([*problems, *hints, *map(worded, row.warnings)])


def worded(sentence: str) -> str:
    """Return a sentence with the titles of the columns in place of their names."""
    return _COLUMN.sub(lambda match: COLUMN_NAMES[match[0]], sentence)


def count_rows(count: int) -> str:
    """Return a number of rows in words."""
    return "1 row" if count == 1 else f"{count:,} rows"
