"""Show what the check of a sheet has found, and the button that sends its rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

import streamlit as st

from avatarkit.errors import AvatarkitError
from avatarkit.text import plain
from avatarkit.tracking.sheet import Row
from avatarkit.ui import running
from avatarkit.ui.batches import is_ready
from avatarkit.ui.sheet_check import Checked, SheetCheck
from avatarkit.ui.sheet_draft import SheetDraft
from avatarkit.ui.views.sheet_table import count_rows, worded

CHECKING_EVERY_S = 1
"""Wall seconds between two looks at a check."""

MOST_LISTED = 20
"""If more rows have problems, the list under the table counts the rest."""


def show(
    sheet: SheetDraft,
    check: SheetCheck,
    checked: Checked | None,
    checker: Callable[[], Sequence[Row]],
) -> None:
    """Show what the check has found, and the button that sends.

    Args:
        sheet: The sheet.
        check: Its check.
        checked: What the check has found; None while it runs.
        checker: Checks the rows once more before they are sent.
    """
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
        f"{count_rows(sum(bool(row.faults) for row in rows))} cannot be sent:",
        [(row, " ".join(map(worded, row.faults))) for row in rows if row.faults],
    )
    sent = [(r, f"was sent before as {r.sent_as}.") for r in rows if r.sent_as and not r.faults]
    title = f"{count_rows(len(sent))} are not sent again:" if len(sent) > 1 else "Not sent again:"
    _list_rows(st.info, ":material/done_all:", title, sent)
    twins = [row for row in rows if row.twin and is_ready(row, [row.twin])]
    allowed = _ask_about_twins(twins)
    _list_warnings([row for row in rows if not row.faults and row.sent_as is None])
    _send(sheet, check, rows, allowed, checker)


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
            lines.append(
                f"- and {count_rows(len(found) - MOST_LISTED)} more; the table has them all."
            )
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
    with st.expander(
        f"Hints about {count_rows(count)}", icon=":material/warning:", key="many_hints"
    ):
        for warning, found in numbers.items():
            named = ", ".join(map(str, found[:MOST_LISTED]))
            more = ", …" if len(found) > MOST_LISTED else ""
            st.caption(
                f"{'Row' if len(found) == 1 else 'Rows'} {named}{more}: {plain(worded(warning))}"
            )


def _send(
    sheet: SheetDraft,
    check: SheetCheck,
    rows: Sequence[Row],
    twins: frozenset[str],
    checker: Callable[[], Sequence[Row]],
) -> None:
    """Show how many places the plan has, and the button; send when it is clicked."""
    app = running.get()
    ready = [row for row in rows if is_ready(row, twins)]
    if ready:
        _show_places(len(ready))
    rest = len(rows) - len(ready)
    label = f"Send {_avatars(len(ready))}" if ready else "Send"
    if ready and rest:
        label += f" without the other {rest:,}" if rest > 1 else " without the other one"
    is_clicked = st.button(label, icon=":material/send:", key="many_send", disabled=not ready)
    # What a click confirms is what was listed when it was clicked.
    listed, sheet.listed = sheet.listed, [(row.number, row.fields) for row in ready]
    if not is_clicked or not ready:
        if sheet.send_error is not None:
            st.error(plain(sheet.send_error), icon=":material/error:")
            sheet.send_error = None
        return
    if listed != sheet.listed:
        st.info("The rows have changed; look at them, and send again.", icon=":material/info:")
        return
    try:
        app.batches.send(sheet, [row.number for row in ready], checker, twins=twins)
    except AvatarkitError as error:
        sheet.send_error = str(error)
        check.repeat()  # another browser may have sent the same rows
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


def _avatars(count: int) -> str:
    return "1 avatar" if count == 1 else f"{count:,} avatars"
