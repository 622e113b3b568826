"""Show the batches that this browser has sent: how far each is, and what became of each row."""

from __future__ import annotations

from functools import partial

import pandas as pd
import streamlit as st

from avatarkit.errors import StoreError
from avatarkit.reports import export
from avatarkit.store.batches import to_frame
from avatarkit.text import plain
from avatarkit.ui import running
from avatarkit.ui.batches import Batch
from avatarkit.ui.browser import browser_id
from avatarkit.ui.sheet_draft import SheetDraft

SENDING_EVERY_S = 1
"""Wall seconds between two looks at what is being sent."""

STATES = {
    "accepted": "accepted",
    "sending": "being sent",
    "prepared": "waiting",
    "uncertain": "uncertain",
    "refused": "not created",
}


def show(sheet: SheetDraft) -> None:
    """Show the batches; they renew themselves while one is being sent.

    Args:
        sheet: The sheet of this tab, into which refused rows are put back.
    """
    batches = running.get().batches.batches(browser_id())
    is_running = any(batch.is_running for batch in batches)
    show_batches = st.fragment(_batches, run_every=SENDING_EVERY_S if is_running else None)
    show_batches(sheet, is_running=is_running)


def results_csv(batch_id: str) -> str:
    """Return what became of each row by now, as CSV that spreadsheets open safely."""
    return export.to_csv(to_frame(running.get().session.store.batch(batch_id)))


def _batches(sheet: SheetDraft, *, is_running: bool) -> None:
    batches = running.get().batches.batches(browser_id())
    if is_running and not any(batch.is_running for batch in batches):
        st.rerun()  # which ends the timer
    for batch in batches:
        with st.container(border=True):
            _batch(batch, sheet)


def _batch(batch: Batch, sheet: SheetDraft) -> None:
    counts = [f"{batch.count(s):,} {text}" for s, text in STATES.items() if batch.count(s)]
    size = len(batch.results)
    title = f"{size:,} avatar{'s' if size != 1 else ''}: {', '.join(counts)}"
    st.progress(batch.share, f"{title} ({batch.share:.0%}{_speed(batch)})")
    _explain(batch)
    st.dataframe(
        _frame(batch),
        hide_index=True,
        placeholder="",
        column_config={
            "number": st.column_config.NumberColumn("Row", width="small"),
            "creator_name": "Creator name",
            "state": "State",
            "share": st.column_config.ProgressColumn("Sent", format="percent", max_value=1.0),
            "persona_id": st.column_config.TextColumn("Id", width="medium"),
            "error": st.column_config.TextColumn("Why", width="large"),
        },
        key=f"many_results_{batch.batch_id}",
        alt="What became of each row",
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        _buttons(batch, sheet)


def _buttons(batch: Batch, sheet: SheetDraft) -> None:
    if batch.count("accepted"):
        # A link, as a rerun while the server changes the page would leave a blank page.
        st.page_link(st.session_state["avatars_page"], label="Follow them", icon=":material/radar:")
    batches, batch_id = running.get().batches, batch.batch_id
    waiting = batch.count("prepared")
    if batch.is_running:
        st.button(
            "Stopping …" if batch.is_stopping else "Stop",
            key=f"many_stop_{batch_id}",
            icon=":material/stop_circle:",
            disabled=batch.is_stopping,
            on_click=batches.stop,
            args=(batch_id,),
        )
    elif waiting and st.button(
        f"Go on with {waiting:,}", key=f"many_go_on_{batch_id}", icon=":material/play_arrow:"
    ):
        batches.start(batch_id)
        st.rerun()  # which starts the timer
    st.download_button(
        "Download the results",
        partial(results_csv, batch_id),
        file_name="avatarkit-batch.csv",
        mime="text/csv",
        key=f"many_csv_{batch_id}",
        on_click="ignore",
        icon=":material/download:",
    )
    if batch.is_running:
        return
    if batch.refused and st.button(
        f"Put {len(batch.refused):,} back into the sheet", key=f"many_again_{batch_id}"
    ):
        _put_back(batch, sheet)
    if not waiting:
        st.button(
            "Dismiss", key=f"many_dismiss_{batch_id}", on_click=batches.dismiss, args=(batch_id,)
        )
        return
    with st.popover("Dismiss"):
        st.caption("What waits is not sent then.")
        label = "Drop the one that waits" if waiting == 1 else f"Drop the {waiting:,} that wait"
        st.button(label, key=f"many_drop_{batch_id}", on_click=batches.dismiss, args=(batch_id,))


def _put_back(batch: Batch, sheet: SheetDraft) -> None:
    try:
        running.get().batches.put_back(batch, sheet)
    except StoreError as error:
        st.error(plain(error), icon=":material/error:")
    else:
        st.rerun()


def _speed(batch: Batch) -> str:
    if not batch.bytes_per_s:
        return ""
    return f", {batch.bytes_per_s / 1e6:,.1f} MB/s"


def _explain(batch: Batch) -> None:
    """Say how it goes on, and why it does not."""
    if batch.error is not None:
        st.error(plain(batch.error), icon=":material/error:")
    quota = running.get().session.tracker.quota
    places = ""
    if quota is not None and quota.max_count > 0 and not quota.is_full:
        places = f" The plan has room for {quota.room:,} more."
    if batch.is_stopping:
        st.caption("It stops after the uploads that run.")
    elif batch.is_running:
        st.caption(f"You may leave this page; it goes on.{places}")
    elif batch.count("prepared"):
        reasons = dict.fromkeys(r.error for r in batch.results if r.state == "prepared" and r.error)
        text = " ".join(reasons) or "It was stopped."
        st.caption(plain(f"{text}{places} What waits is kept, and nothing is sent twice."))
    if batch.count("uncertain"):
        st.warning(
            "Whether the uncertain ones were created is found out by itself, or asked on the "
            "Avatars page; they are not sent again.",
            icon=":material/help:",
        )


def _frame(batch: Batch) -> pd.DataFrame:
    """Return a row a row of the sheet: its number, name, state, share, avatar and error."""
    frame = to_frame(batch.results)
    sent = [batch.sent.get(result.submission_id, (0, 0)) for result in batch.results]
    shares = [bytes_sent / total if total else 0.0 for bytes_sent, total in sent]
    frame["share"] = [
        1.0 if result.state == "accepted" else share
        for result, share in zip(batch.results, shares, strict=True)
    ]
    frame["state"] = frame["state"].map(STATES)
    return frame[["number", "creator_name", "state", "share", "persona_id", "error"]]
