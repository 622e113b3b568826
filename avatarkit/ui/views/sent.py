"""Show what this browser has sent, one line each, until its avatar has ended."""

from __future__ import annotations

import streamlit as st

from avatarkit.models import TERMINAL
from avatarkit.store.submissions import Submission
from avatarkit.text import plain
from avatarkit.ui import form_state, running
from avatarkit.ui.browser import browser_id
from avatarkit.ui.elements import short
from avatarkit.ui.outbox import Outbox, OutboxItem
from avatarkit.ui.views import avatars

SENDING_EVERY_S = 1
"""Wall seconds between two looks at what is being sent."""


def show() -> None:
    """Show the lines; they renew themselves while something is being sent."""
    outbox = running.get().outbox
    items = outbox.items(browser_id())
    for submission in _ended([item.submission for item in items]):
        outbox.dismiss(submission.submission_id)
    is_sending = any(map(_is_sending, items))
    st.fragment(_lines, run_every=SENDING_EVERY_S if is_sending else None)(is_sending=is_sending)


def _ended(submissions: list[Submission]) -> list[Submission]:
    """Return those whose avatars have ended or were deleted."""
    store = running.get().session.store
    final, ended = [status.value for status in TERMINAL], []
    running_ids = {each for each, status in store.running().items() if status not in final}
    for submission in submissions:
        if submission.persona_id is not None and submission.persona_id not in running_ids:
            personas = store.personas(submission.persona_id)
            is_final = personas["status"].isin(final)
            if (is_final | personas["deleted_at"].notna()).any():
                ended.append(submission)
    return ended


def _lines(*, is_sending: bool) -> None:
    outbox = running.get().outbox
    items = outbox.items(browser_id())
    if is_sending and not any(map(_is_sending, items)):
        st.rerun()  # which ends the timer
    if not items:
        return
    with st.container(border=True, key="submit_sent"):
        with st.container(
            horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"
        ):
            st.markdown("**Sent from this browser**", width="content")
            _dismiss_all(items, outbox)
        for item in items:
            if _is_sending(item):
                _progress(item)
            else:
                _line(item, outbox)
        if is_sending:
            st.caption("You may leave this page; it goes on.")


def _is_sending(item: OutboxItem) -> bool:
    return item.submission.state in ("prepared", "sending") and item.error is None


def _progress(item: OutboxItem) -> None:
    name = short(item.submission.request["creator_name"])
    share = min(item.sent_bytes / item.total_bytes, 1.0) if item.total_bytes else 1.0
    if item.submission.state == "prepared":
        text, share = f"{name} waits to be sent", 0.0
    elif share == 1:
        text = f"{name} is sent; waiting for the answer"
    else:
        size = f"{item.sent_bytes / 1e6:,.1f} of {item.total_bytes / 1e6:,.1f} MB"
        rate = "" if item.bytes_per_s is None else f", {item.bytes_per_s / 1e6:,.1f} MB/s"
        text = f"Sending {name}: {share:.0%} ({size}){rate}"
    st.progress(share, text=text)


def _line(item: OutboxItem, outbox: Outbox) -> None:
    submission = item.submission
    name, error = short(submission.request["creator_name"], 22), plain(item.error)
    with st.container(horizontal=True, vertical_alignment="center"):
        if submission.state == "accepted":
            # A link, not st.switch_page: this fragment reruns by itself, and a rerun while the
            # server changes the page would leave the browser with a blank page.
            st.page_link(
                st.session_state["avatars_page"],
                label=f"{name} was submitted",
                icon=":material/check_circle:",
                query_params={avatars.LINKED: str(submission.persona_id)},
            )
        elif submission.state == "refused":
            st.markdown(f":small[:red[:material/error:] {name} was not submitted: {error}]")
            _put_back(submission, outbox)
        else:
            st.markdown(
                f":small[:orange[:material/help:] It is not known yet whether {name} was created. "
                f"{error} It is not sent again; the account's list will tell, or the Avatars page "
                "asks you.]"
            )
        st.button(
            "Dismiss",
            key=f"submit_dismiss_{submission.submission_id}",
            type="tertiary",
            help="Its uploads are deleted, too." if submission.state == "refused" else None,
            on_click=outbox.dismiss,
            args=(submission.submission_id,),
        )


def _dismiss_all(items: list[OutboxItem], outbox: Outbox) -> None:
    """Show a button that dismisses all that is not being sent, if that is several."""
    ended = [item.submission for item in items if not _is_sending(item)]
    if len(ended) < 2:
        return
    ids = [submission.submission_id for submission in ended]
    refused = [submission for submission in ended if submission.state == "refused"]
    label, place = "Dismiss all", st.container(width="content")
    if refused:
        place = st.popover(label, type="tertiary", key=f"submit_dismiss_all_{len(ids)}")
        is_one = len(refused) == 1
        count, what = ("1 was", "it") if is_one else (f"{len(refused):,} were", "them")
        place.caption(f"{count} not submitted; what was uploaded for {what} is deleted.")
        label = "Dismiss them"
    place.button(
        label, key="submit_dismiss_all_now", type="tertiary", on_click=_dismiss, args=(ids, outbox)
    )


def _dismiss(submission_ids: list[str], outbox: Outbox) -> None:
    for submission_id in submission_ids:
        outbox.dismiss(submission_id)


def _put_back(submission: Submission, outbox: Outbox) -> None:
    """Show a button that puts a submission back into the form, and asks before it replaces one."""
    form = form_state.current(outbox)
    label, kind, place = "Put it back into the form", "again", st.container(width="content")
    if form.fields or any(form_state.fields().values()):
        place = st.popover(label)
        place.caption("What is in the form now is replaced, and its uploads are deleted.")
        # Of another key, so that a click before this was shown is none.
        label, kind = "Replace it", "replace"
    if place.button(label, key=f"submit_{kind}_{submission.submission_id}"):
        outbox.put_back(submission, form)
        outbox.delete_replaced(form)
        st.rerun()
