"""Show the tab that submits many avatars: where rows come from, the sheet, what was sent."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from avatarkit.errors import AvatarkitError, ConfigError
from avatarkit.models import VIDEO_FIELDS, is_url
from avatarkit.paths import pasted_path
from avatarkit.settings import is_loopback
from avatarkit.text import format_hours, plain
from avatarkit.tracking import sheet as sheets
from avatarkit.tracking.sheet import Row
from avatarkit.ui import running
from avatarkit.ui.browser import browser_id
from avatarkit.ui.elements import free_uploads
from avatarkit.ui.sheet_check import OnChecked, SheetCheck, check_video
from avatarkit.ui.sheet_draft import MOST_BYTES, SheetDraft
from avatarkit.ui.views import sent_batches, sheet_findings, sheet_table

CHECK_WAIT_S = 0.3
"""Wall seconds that a page waits for a check before it shows how far that is."""

MOST_ROWS = 1_000
"""A sheet has at most this many rows."""

MOST_CSV_BYTES = 10_000_000

HELP_FILES = (
    "A CSV with a row for each avatar; it replaces the rows below. Larger videos are put into a "
    "folder on the server."
)
WAITS = "It waits in another batch already; sent from here, it leaves that one."
HELP_FOLDER = "The videos that the rows name are looked for here, with or without their suffix."


def show() -> None:
    """Show the tab."""
    sheet, check = _state()
    _take_dropped(sheet)
    folder = _sources(sheet)
    sheet_table.take_edits(sheet)
    checker = _checker(sheet, folder)
    checked = None
    if sheet.filled:
        check.start(_key(sheet, folder), checker, wait_s=CHECK_WAIT_S)
        checked = check.checked
    sheet_table.show(sheet, checked)
    # In a container: what comes and goes must not move what stands below.
    with st.container(key="many_findings"):
        if sheet.filled:
            sheet_findings.show(sheet, check, checked, checker)
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
        free_uploads([file.file_id])
    if is_csv:
        sheet.replace(rows)


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
        keep = format_hours(running.get().session.settings.keep_uploads_h)
        text = f"{videos} here, {size / 1e6:,.1f} MB: {names}. Kept for {keep} at most."
        st.caption(plain(text))


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

    def ask_about_waiting(on_checked: OnChecked | None = None) -> list[Row]:
        # That batch may be of another browser, whose list becomes shorter.
        rows = check(on_checked=on_checked)
        return [replace(row, twin=WAITS) if row.waits and not row.twin else row for row in rows]

    return ask_about_waiting


def _key(sheet: SheetDraft, folder: Path | None) -> Hashable:
    """Return what differs when the rows, or the files that they may name, have changed."""
    rows = sheet.located()
    paths = [*sheet.dropped().values()]
    # Whole paths, and those in folders of the folder; what is no path is not found.
    named = {row[field] for row in rows for field in VIDEO_FIELDS if row[field]}
    paths += [(folder or Path()) / text for text in sorted(named) if not is_url(text)]
    if folder is not None:
        with suppress(OSError):  # it may not be read, which its rows say
            paths += folder.iterdir()
    files = []
    for path in paths:
        with suppress(OSError, ValueError):  # gone meanwhile, a link to nothing, no path
            stat = path.stat()
            files.append((path, stat.st_mtime_ns, stat.st_size))
    return tuple(tuple(row.values()) for row in rows), folder, frozenset(files)
