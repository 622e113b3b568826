"""Show the sheet from which many avatars are submitted, its problems, and what was sent."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from avatarkit.errors import AvatarkitError, ConfigError
from avatarkit.models import Gender
from avatarkit.paths import pasted_path
from avatarkit.settings import is_loopback
from avatarkit.text import plain
from avatarkit.tracking import sheet as sheets
from avatarkit.tracking.sheet import Row
from avatarkit.ui import running
from avatarkit.ui.batches import is_ready
from avatarkit.ui.browser import browser_id
from avatarkit.ui.elements import free_uploads
from avatarkit.ui.sheet_check import Checked, SheetCheck, check_video
from avatarkit.ui.sheet_draft import MOST_BYTES, SheetDraft
from avatarkit.ui.views import sent_batches

CHECK_WAIT_S = 0.3
"""Wall seconds that a page waits for a check before it shows how far that is."""

CHECKING_EVERY_S = 1
"""Wall seconds between two looks at a check."""

MOST_ROWS = 1_000
"""A sheet has at most this many rows."""

MOST_CSV_BYTES = 10_000_000

MOST_LISTED = 20
"""If more rows have problems, the list under the table counts the rest."""

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
HELP_FILES = (
    "A CSV with a row for each avatar; it replaces the rows below. Larger videos are put into a "
    "folder on the server."
)
HELP_FOLDER = "The videos that the rows name are looked for here, with or without their suffix."
HELP_VIDEO = "The name of a file in the folder or among those dropped, a path, or a URL."


def show() -> None:
    """Show the tab."""
    sheet, check = _state()
    _take_dropped(sheet)
    folder = _sources(sheet)
    _take_edits(sheet)
    checker = _checker(sheet, folder)
    checked = None
    if sheet.filled:
        check.start(_key(sheet, folder), checker, wait_s=CHECK_WAIT_S)
        checked = check.checked
    _table(sheet, checked)
    # In a container: what comes and goes must not move what stands below.
    with st.container(key="many_findings"):
        if sheet.filled:
            _findings(sheet, check, checked, checker)
    sent_batches.show(sheet)


def _state() -> tuple[SheetDraft, SheetCheck]:
    """Return the sheet of this tab and its check."""
    app = running.get()
    if "many_sheet" not in st.session_state:
        sheet = SheetDraft(app.outbox.uploads.draft(browser_id()).folder)
        st.session_state["many_sheet"] = sheet, SheetCheck()
    sheet, check = st.session_state["many_sheet"]
    app.batches.recover(sheet)
    return sheet, check


def _take_dropped(sheet: SheetDraft) -> None:
    """Take over what was dropped, one file after the other, and free each in memory at once."""
    dropped: list[UploadedFile] = st.session_state.get(_dropper(sheet)) or []
    rows: list[dict[str, str]] = []
    fresh = [file for file in dropped if sheet.is_new(file.file_id)]
    if not dropped:
        return
    sheet.notices, sheet.drops = [], sheet.drops + 1
    is_csv = False
    for file in fresh:
        try:
            if file.name.lower().endswith(".csv"):
                rows += _read_csv(file)
                is_csv = True
            else:
                sheet.save_video(file.file_id, file.name, file, file.size)
        except (AvatarkitError, ValueError) as error:
            sheet.notices.append(str(error))
        except OSError as error:
            sheet.notices.append(f"{file.name} could not be kept on disk ({error.strerror}).")
        file.close()
    if is_csv:
        sheet.replace(rows)
    free_uploads([file.file_id for file in dropped])


def _read_csv(file: UploadedFile) -> list[dict[str, str]]:
    if file.size > MOST_CSV_BYTES:
        raise ConfigError(f"{file.name} is larger than {MOST_CSV_BYTES / 1e6:.0f} MB; split it.")
    try:
        rows = sheets.read(file.getvalue())
    except AvatarkitError as error:
        raise ConfigError(f"{file.name}: {error}") from None
    if len(rows) > MOST_ROWS:
        raise ConfigError(
            f"{file.name} has {len(rows):,} rows; a sheet has at most {MOST_ROWS:,}: split it."
        )
    return rows


def _dropper(sheet: SheetDraft) -> str:
    return f"many_drop_{sheet.drops}"


def _sources(sheet: SheetDraft) -> Path | None:
    """Show where rows and videos come from; return the folder on the server, if one is named."""
    with st.container(key="many_sources"):
        st.file_uploader(
            f"A CSV, and the videos that it names: together up to {MOST_BYTES / 1e9:,.0f} GB",
            type=["csv", "mp4", "mov", "m4v"],
            accept_multiple_files=True,
            max_upload_size=MOST_BYTES // 1_000_000,
            key=_dropper(sheet),
            help=HELP_FILES,
        )
        for notice in sheet.notices:
            st.error(plain(notice), icon=":material/error:")
        _dropped(sheet)
        if "many_folder" not in st.session_state:
            st.session_state["many_folder"] = sheet.videos_folder
        text = st.text_input(
            "Folder on the server with the videos", key="many_folder", help=HELP_FOLDER
        )
        sheet.set_folder(text.strip())
        folder, error = _folder(sheet.videos_folder)
        if error:
            st.error(plain(error), icon=":material/error:")
    return folder


def _folder(text: str) -> tuple[Path | None, str]:
    """Return the folder that a text names, and a sentence if there is none."""
    if not text:
        return None, ""
    try:
        folder = pasted_path(text).absolute()
        if folder.is_dir():
            return folder, ""
    except (OSError, ValueError, RuntimeError):  # no name that a folder can have
        pass
    return None, f"{text} is not a folder on the server; check the path."


def _dropped(sheet: SheetDraft) -> None:
    paths = sheet.dropped().values()
    if paths:
        size = sum(path.stat().st_size for path in paths if path.exists())
        names = ", ".join(sorted(path.name for path in paths))
        videos = "1 video is" if len(paths) == 1 else f"{len(paths)} videos are"
        st.caption(plain(f"{videos} here, {size / 1e6:,.1f} MB: {names}"))


def _take_edits(sheet: SheetDraft) -> None:
    """Take over what was typed and pasted into the table."""
    if _table_key(sheet) not in st.session_state:
        # The table was not shown before, or forgot its edits while another page was.
        sheet.rebase()
    else:
        sheet.edit(st.session_state[_table_key(sheet)]["edited_rows"])


def _table_key(sheet: SheetDraft) -> str:
    return f"many_table_{sheet.version}"


def _table(sheet: SheetDraft, checked: Checked | None) -> None:
    """Show the table, with the problems of each row, and what can be done with all rows."""
    frame = pd.DataFrame(sheet.base, columns=list(COLUMN_NAMES), dtype="str")
    frame.index += 1
    filled, problems = set(sheet.filled), [""] * len(frame)
    for row in checked.rows if checked is not None else ():
        if row.number in filled:
            problems[row.number - 1] = _problem(row) or "none"
    frame.insert(0, PROBLEMS, pd.Series(problems, frame.index, dtype="str"))
    text = st.column_config.TextColumn
    # What is no gender is shown as well, so that it can be corrected.
    genders = dict.fromkeys([*Gender, *(row["gender"] for row in sheet.rows if row["gender"])])
    columns: dict[str, Any] = {name: text(title) for name, title in COLUMN_NAMES.items()}
    columns |= {
        PROBLEMS: text("Problems", disabled=True, width=150),
        "gender": st.column_config.SelectboxColumn(
            "Gender", options=list(genders), help="m, f or nb", width="small"
        ),
        "lipsync_input": text("Footage", help=HELP_VIDEO),
        "consent_video": text("Consent", help=HELP_VIDEO),
        "labels": text("Labels", help="Your own marks, comma separated."),
    }
    # With a fixed number of rows the problems change in place, whatever is being typed.
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
                f"Bring back the {_rows(len(sheet.replaced))} before",
                key="many_undo",
                on_click=sheet.undo,
            )


def _checker(sheet: SheetDraft, folder: Path | None) -> Callable[..., Sequence[Row]]:
    """Return a function that checks the rows as they are now; it may be called in a thread."""
    session = running.get().session
    check = partial(
        sheets.check,
        sheet.located(),
        folder=folder or list(sheet.dropped().values()) or None,
        store=session.store,
        live=not is_loopback(session.client.base_url),
        check_video=check_video,
    )
    return lambda on_checked=None: check(on_checked=on_checked)


def _key(sheet: SheetDraft, folder: Path | None) -> Hashable:
    """Return what differs when the rows, or the files that they may name, have changed."""
    rows = tuple(tuple(row.values()) for row in sheet.located())
    files = []
    for path in [*(folder.iterdir() if folder is not None else ()), *sheet.dropped().values()]:
        try:
            stat = path.stat()
        except OSError:  # gone meanwhile, or a link to nothing
            continue
        files.append((path, stat.st_mtime_ns, stat.st_size))
    return rows, folder, frozenset(files)


def _problem(row: Row) -> str:
    """Return why a row is not sent as it is, or what to know about it; empty without anything."""
    if row.sent_as is not None:
        return f"Sent before as {row.sent_as}; it is not sent again."
    problems = [*map(_worded, row.faults), *([row.twin] if row.twin else [])]
    hints = ["Hint:"] if row.warnings and not problems else []
    return " ".join([*problems, *hints, *map(_worded, row.warnings)])


def _worded(sentence: str) -> str:
    """Return a sentence with the titles of the columns in place of their names."""
    return _COLUMN.sub(lambda match: COLUMN_NAMES[match[0]], sentence)


def _findings(
    sheet: SheetDraft,
    check: SheetCheck,
    checked: Checked | None,
    checker: Callable[[], Sequence[Row]],
) -> None:
    """Show what the check has found, and the button that sends."""
    if checked is None:
        _show_checking(check)
        return
    if checked.error is not None:
        st.error(plain(checked.error), icon=":material/error:")
        return
    filled = set(sheet.filled)
    rows = [row for row in checked.rows if row.number in filled]
    _list_rows(
        st.error,
        ":material/error:",
        f"{_rows(sum(bool(row.faults) for row in rows))} cannot be sent:",
        [(row, " ".join(map(_worded, row.faults))) for row in rows if row.faults],
    )
    sent = [(r, f"was sent before as {r.sent_as}.") for r in rows if r.sent_as and not r.faults]
    title = f"{_rows(len(sent))} are not sent again:" if len(sent) > 1 else "Not sent again:"
    _list_rows(st.info, ":material/done_all:", title, sent)
    twins = [row for row in rows if row.twin and is_ready(row, [row.twin])]
    allowed = _ask_about_twins(twins)
    _list_warnings([row for row in rows if not row.faults and row.sent_as is None])
    _send(sheet, rows, allowed, checker)


def _show_checking(check: SheetCheck) -> None:
    @st.fragment(run_every=CHECKING_EVERY_S)
    def progress() -> None:
        if check.checked is not None:
            st.rerun()
        share = check.done / check.total if check.total else 0.0
        total = f" of {check.total:,}" if check.total else ""
        st.progress(share, f"Checking the rows: {check.done:,}{total} videos")

    progress()


def _list_rows(
    show: Callable[..., object], icon: str, title: str, found: Sequence[tuple[Row, str]]
) -> None:
    """Show a sentence for each of some rows."""
    if found:
        lines = [f"- {_name(row)}: {plain(text)}" for row, text in found[:MOST_LISTED]]
        if len(found) > MOST_LISTED:
            lines.append(f"- and {_rows(len(found) - MOST_LISTED)} more; the table has them all.")
        show("\n".join([title, "", *lines]), icon=icon)


def _ask_about_twins(twins: Sequence[Row]) -> frozenset[str]:
    """List the rows whose name exists already; return the sentences of those to send anyway."""
    sentences = frozenset(row.twin for row in twins if row.twin)
    if not twins:
        return sentences
    title = "These may exist already; plans allow only a few avatars:"
    found = [(row, row.twin or "") for row in twins]
    _list_rows(st.warning, ":material/content_copy:", title, found)
    label = "Send this one, too" if len(twins) == 1 else f"Send these {len(twins)}, too"
    # The key names the rows: others have to be confirmed again.
    is_sent = st.checkbox(label, key=f"many_twins_{hash(sentences)}")
    return sentences if is_sent else frozenset()


def _list_warnings(rows: Sequence[Row]) -> None:
    """Show what to know about the rows that can be sent, each sentence once."""
    numbers = defaultdict(list)
    for row in rows:
        for warning in row.warnings:
            numbers[warning].append(row.number)
    if not numbers:
        return
    count = len({number for found in numbers.values() for number in found})
    with st.expander(f"Hints about {_rows(count)}", icon=":material/warning:", key="many_hints"):
        for warning, found in numbers.items():
            named = ", ".join(map(str, found[:MOST_LISTED]))
            more = ", …" if len(found) > MOST_LISTED else ""
            st.caption(
                f"{'Row' if len(found) == 1 else 'Rows'} {named}{more}: {plain(_worded(warning))}"
            )


def _send(
    sheet: SheetDraft,
    rows: Sequence[Row],
    twins: frozenset[str],
    checker: Callable[[], Sequence[Row]],
) -> None:
    """Show how many places the plan has, and the button; send when it is clicked."""
    app = running.get()
    ready = [row for row in rows if is_ready(row, twins)]
    _show_places(len(ready))
    rest = len(rows) - len(ready)
    label = f"Send {_avatars(len(ready))}" if ready else "Send"
    if ready and rest:
        label += f" without the other {rest:,}"
    is_clicked = st.button(label, icon=":material/send:", key="many_send", disabled=not ready)
    # What a click confirms is what was listed when it was clicked.
    listed, sheet.listed = sheet.listed, [(row.number, row.fields) for row in ready]
    if not is_clicked or not ready:
        return
    if listed != sheet.listed:
        st.info("The rows have changed; look at them, and send again.", icon=":material/info:")
        return
    try:
        app.batches.send(sheet, [row.number for row in ready], checker, twins=twins)
    except AvatarkitError as error:
        st.error(plain(error), icon=":material/error:")
        return
    st.rerun()


def _show_places(count: int) -> None:
    quota = running.get().session.tracker.quota
    if quota is None or quota.max_count <= 0:
        return
    if quota.is_full:
        text = "The plan is full: what you send waits until you have deleted avatars, and go on."
        st.warning(text, icon=":material/block:")
    elif count > quota.room:
        text = (
            f"The plan has room for {quota.room:,} of these {count:,}; the rest wait until you "
            "have deleted avatars, and go on."
        )
        st.warning(text, icon=":material/block:")
    else:
        st.caption(f"The plan has room for {quota.room:,} more avatars.")


def _name(row: Row) -> str:
    name = row.fields.get("creator_name", "").strip()
    return f"Row {row.number}, {plain(name)}" if name else f"Row {row.number}"


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"


def _avatars(count: int) -> str:
    return "1 avatar" if count == 1 else f"{count:,} avatars"
