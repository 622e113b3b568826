"""Submit avatars again with the fields that they were sent with.

One fills the form, in which it can be changed; several are sent as they were, after a question.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st
from pydantic import ValidationError
from streamlit.runtime.scriptrunner import get_script_run_ctx

from avatarkit.errors import AvatarkitError
from avatarkit.models import VIDEO_FIELDS, PersonaCreate, Quota, error_sentence, is_url
from avatarkit.store.batches import folded_name
from avatarkit.store.submissions import Submission
from avatarkit.store.tables import IN_FLIGHT
from avatarkit.text import format_hours, hide_webhook_token, plain
from avatarkit.ui import form_state, running, watcher
from avatarkit.ui.browser import browser_id
from avatarkit.ui.draft import Draft
from avatarkit.ui.outbox import Outbox, form_fields

ASKING = "resubmit_asking"
"""The key of the avatars about which a question is open in this tab."""

VIDEO_NAMES = {"lipsync_input": "footage", "consent_video": "consent"}

_LISTED = "resubmit_listed"
"""The key of the avatars that the open question lists as those that are sent."""

_MOST_LISTED = 20

_sending = threading.Lock()


@dataclass(frozen=True)
class Again:
    """What an avatar is submitted again with.

    Attributes:
        persona_id: The avatar.
        name: Its ``creator_name``.
        request: The fields as they were sent, without our own address of webhooks and without the
            videos that are not there any more.
        missing: By field, a sentence about the video that has to be chosen again.
        why_not: Why it cannot be sent as it is, as a sentence; empty if it can.
        by_itself: Whether it can be submitted again all the same, by the form.
    """

    persona_id: str
    name: str
    request: Mapping[str, Any]
    missing: Mapping[str, str] = field(default_factory=dict)
    why_not: str = ""
    by_itself: bool = False


def submit_again(persona_ids: list[str]) -> None:
    """Fill the form with the fields of an avatar, or ask before several are sent as they were.

    A form that is filled is replaced after a question only. A question stays open in a rerun in
    which ``show`` is called.

    Args:
        persona_ids: Avatars in the log.
    """
    outbox = running.get().outbox
    if len(persona_ids) == 1:
        form = form_state.current(outbox)
        for again in _read(persona_ids):
            if not form.fields or form.fields == _form_of(again, form).fields:
                _fill(again, form)
    st.session_state[ASKING] = list(persona_ids)
    show()


def show() -> None:
    """Show the question that is open in this tab, if there is one."""
    persona_ids = st.session_state.get(ASKING)
    context = get_script_run_ctx()
    # Streamlit shows one dialog in a run, and raises an error at a second one.
    if not persona_ids or (context is not None and context.has_dialog_opened):
        return
    if len(persona_ids) == 1:
        _ask_to_replace(persona_ids)
    else:
        _ask_to_send(persona_ids)


def duplicate(
    creator_name: str, personas: pd.DataFrame, submissions: pd.DataFrame, now: datetime
) -> str | None:
    """Return a sentence about an avatar of a name that may exist and has not ended badly.

    Args:
        creator_name: The name; its case and how its words are spaced make no difference.
        personas: The frame of ``store.personas``.
        submissions: The frame of ``store.submissions``.
        now: The moment on the session's clock.
    """
    name = folded_name(creator_name)
    if not name:
        return None
    for sent in submissions.loc[submissions["state"].isin(IN_FLIGHT), "creator_name"]:
        if folded_name(sent) == name:
            return f"An avatar of {sent} is being sent, waits for that, or may have been created."
    kept = personas.query("status not in ['failed', 'rejected'] and not gone")
    same = kept[kept["creator_name"].map(folded_name, na_action="ignore") == name]
    if same.empty:
        return None
    newest = same.iloc[0]
    created_at = newest["first_seen_at"] if pd.isna(newest["created_at"]) else newest["created_at"]
    age = format_hours((now - created_at) / timedelta(hours=1))
    return f"An avatar of {newest['creator_name']} was submitted {age} ago ({newest['status']})."


def _close() -> None:
    st.session_state.pop(ASKING, None)


def _show_submit_page() -> None:
    # Without query_params, Streamlit raises an error where widgets are bound to the URL.
    st.switch_page(st.session_state["submit_page"], query_params={})


def _form_of(again: Again, form: Draft) -> Draft:
    return Draft(form.folder, form_fields(again.request))


def _fill(again: Again, form: Draft) -> None:
    """Replace a form by the fields of an avatar, and show it."""
    new = _form_of(again, form)
    new.notes = again.missing
    new.write()
    form.next = new
    running.get().outbox.delete_replaced(form)
    # In a new tab the form is only known by its file, which has no notes.
    st.session_state[form_state.FORM] = form
    _close()
    _show_submit_page()


@st.dialog("Replace what is in the form?", on_dismiss=_close)
def _ask_to_replace(persona_ids: list[str]) -> None:
    watcher.hold()
    if not (found := _read(persona_ids)):  # forgotten meanwhile
        return
    [again], form = found, form_state.current(running.get().outbox)
    typed = form.fields.get("creator_name", "")
    st.markdown(
        f"The form on the Submit page is filled in{f' for {plain(typed)}' if typed else ''}. To "
        f"submit {plain(again.name)} again, its fields are replaced by those of that avatar, and "
        "its uploads are deleted."
    )
    if st.button("Replace it", key="resubmit_replace"):
        _fill(again, form)


@st.dialog("Submit again", width="medium", on_dismiss=_close)
def _ask_to_send(persona_ids: list[str]) -> None:
    watcher.hold()
    rows = _judged(persona_ids)
    ready = [again for again in rows if not again.why_not]
    st.markdown(_places(running.get().session.tracker.quota, len(ready)))
    _list("Can be sent again as they are", [_title(again) for again in ready])
    needs_video = [again for again in rows if again.by_itself]
    left_out = [again for again in rows if again.why_not and not again.by_itself]
    for title, group in (
        ("Need their video again, or another one: submit each by itself", needs_video),
        ("Are left out", left_out),
    ):
        _list(title, [f"{_title(again)}: {plain(again.why_not)}" for again in group])
    # What a click confirms is what was listed when it was clicked: one may have failed since.
    listed = st.session_state.get(_LISTED, [])
    st.session_state[_LISTED] = [again.persona_id for again in ready]
    label = f"Submit {'this one' if len(ready) == 1 else f'these {len(ready)}'} again"
    if ready and st.button(label, key="resubmit_send", icon=":material/send:"):
        errors = _send(listed)
        for error in errors:
            st.error(plain(error), icon=":material/error:")
        if not errors:
            _close()
            _show_submit_page()


def _send(persona_ids: list[str]) -> list[str]:
    """Send the avatars that can be sent as they were; return what went wrong with each.

    Judged again, by one tab at a time: what another click or tab has sent meanwhile is left out.
    """
    outbox, errors = running.get().outbox, []
    with _sending:
        for again in _judged(persona_ids):
            if not again.why_not:
                draft = Draft(outbox.uploads.draft(browser_id()).folder, {})
                try:
                    outbox.send(PersonaCreate.model_validate(again.request), draft)
                except ValidationError as error:  # a video is gone since it was judged
                    errors.append(f"{again.name} was not sent: {error_sentence(error)}")
                except AvatarkitError as error:
                    errors.append(f"{again.name} was not sent: {error}")
    return errors


def _places(quota: Quota | None, count: int) -> str:
    if quota is None:
        return "How many places of the plan are free is not known; each is asked for when it is."
    if quota.max_count <= 0:
        return "The plan has no limit."
    if quota.room >= count:
        return quota.used
    room = "no other" if quota.room == 0 else f"{quota.room} more"
    return (
        f"{quota.used} There is room for {room}: delete some first, or what does not fit is "
        "refused before it is sent, and can be put back into the form."
    )


def _list(title: str, lines: list[str]) -> None:
    if lines:
        shown = [f"- {line}" for line in lines[:_MOST_LISTED]]
        if more := len(lines) - len(shown):
            shown.append(f"- and {more:,} more")
        st.markdown("\n".join([f"**{title}** ({len(lines)})", "", *shown]))


def _title(again: Again) -> str:
    return f"{plain(again.name)} · {plain(again.persona_id[:8])}"


def _read(persona_ids: list[str]) -> list[Again]:
    """Return what avatars are submitted again with, in the order of the ids."""
    store, outbox = running.get().session.store, running.get().outbox
    found = []
    for persona_id in persona_ids:
        personas = store.personas(persona_id)
        sent = store.some_submissions(store.submissions(persona_id)["submission_id"].tolist())
        if not personas.empty:
            found.append(_again(personas.iloc[0], sent, outbox))
    return found


def _again(persona: pd.Series, sent: list[Submission], outbox: Outbox) -> Again:
    persona_id = str(persona["persona_id"])
    if sent:
        request = dict(sent[0].request)
    else:  # it was imported: the log has what the API tells of it
        names = ("creator_name", "gender", "video_scene", "keywords")
        request = {name: persona[name] for name in names if pd.notna(persona[name])}
        request["labels"] = list(persona["labels"])
    if hide_webhook_token(url := request.get("webhook_url") or "") != url:
        del request["webhook_url"]
    missing = {}
    for name in VIDEO_FIELDS:
        value = request.get(name)
        if value and not is_url(value) and not _is_there(Path(value), outbox):
            del request[name]
            missing[name] = (
                f"Choose {Path(value).name} again as the {VIDEO_NAMES[name]}: it is not kept here."
            )
    if not sent:
        missing["lipsync_input"] = "This avatar was not submitted here: choose its footage."
    return Again(persona_id, str(request.get("creator_name", persona_id)), request, missing)


def _is_there(path: Path, outbox: Outbox) -> bool:
    # An upload belongs to the submission that it was sent with, and is deleted after it.
    if outbox.uploads.folder / "uploads" in path.parents:
        return False
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _judged(persona_ids: Iterable[str]) -> list[Again]:
    """Return what avatars are submitted again with, and which cannot be sent as they are."""
    session, outbox = running.get().session, running.get().outbox
    personas, submissions = session.store.personas(), session.store.submissions()
    rows = personas.loc[personas["persona_id"].isin(list(persona_ids))]
    own = submissions.loc[submissions["persona_id"].isin(rows["persona_id"])]
    sent = {each.persona_id: each for each in session.store.some_submissions(own["submission_id"])}
    kept = submissions.loc[submissions["state"] != "refused"]
    newest = kept.groupby("creator_name")["submission_id"].last()
    now, judged = session.clock.now(), []
    for _, row in rows.iterrows():
        submission = sent.get(row["persona_id"])
        again = _again(row, [submission] if submission else [], outbox)
        by_itself = False
        if row["status"] not in ("failed", "rejected"):
            why_not = "It has neither failed nor been rejected."
        elif same := duplicate(again.name, personas, submissions, now):
            why_not = same
        elif submission and newest.get(again.name) != submission.submission_id:
            why_not = "An avatar of this name was submitted later."
        else:
            why_not = _flaw(again, submission, outbox)
            by_itself = bool(why_not)
        judged.append(replace(again, why_not=why_not, by_itself=by_itself))
    return judged


def _flaw(again: Again, submission: Submission | None, outbox: Outbox) -> str:
    """Return why the create cannot be sent as it is; empty if it can."""
    if again.missing:
        return " ".join(again.missing.values())
    if not (again.request.get("lipsync_input") or again.request.get("gdown_url")):
        return "It was sent without footage."
    if submission is not None:
        for report in outbox.reports.read(submission.submission_id).values():
            if report.reason is not None:
                return report.reason
    try:
        PersonaCreate.model_validate(again.request)
    except ValidationError as error:
        return error_sentence(error)
    return ""
