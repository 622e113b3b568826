"""Show the Submit page: the form, checks of the videos, submissions in progress."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from pathlib import Path

import streamlit as st
from pydantic import ValidationError
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.uploaded_file_manager import UploadedFile

from avatarkit.errors import AvatarkitError
from avatarkit.models import Gender, PersonaCreate, error_sentence, is_url
from avatarkit.preflight import Report, Severity, check_request
from avatarkit.settings import is_loopback
from avatarkit.store.submissions import Submission
from avatarkit.text import plain
from avatarkit.ui import draft, resubmit, running, video_report
from avatarkit.ui.browser import browser_id
from avatarkit.ui.draft import Draft
from avatarkit.ui.outbox import Outbox, OutboxItem
from avatarkit.ui.views import avatars, submit_many

GENDERS = {Gender.M: "Male", Gender.F: "Female", Gender.NB: "Non-binary"}
VIDEOS = {
    "lipsync_input": (
        "Footage",
        "One person speaking, facing the camera, 15 seconds to 5 minutes, with sound.",
    ),
    "consent_video": ("Consent", "The same person, saying that they agree. Optional."),
}
GONE = (
    "This upload is not here any more: it was submitted from another tab, or its time was over. "
    "Upload it again."
)
SENDING_EVERY_S = 1
"""Wall seconds between two looks at what is being sent."""
HELP_NAME = "Identifies the real person; it is not displayed. At most 255 characters."
HELP_DRIVE = "In place of an upload, a path or a URL. Share it with everybody who has the link."
HELP_SCENE = "A word for the background, such as office."
HELP_LABELS = (
    "Your own marks. In the sandbox, sandbox:done, sandbox:failed, sandbox:rejected, "
    "sandbox:stuck, sandbox:unknown-status, sandbox:slow-review and sandbox:skips-stages choose "
    "what happens."
)


def show() -> None:
    """Show the page."""
    kinds = {"one": "One", "many": "Many, from a sheet"}
    kind = st.segmented_control(
        "How many",
        list(kinds),
        default="one",
        required=True,
        format_func=kinds.__getitem__,
        key="avatars",
        bind="query-params",
        label_visibility="collapsed",
    )
    if kind == "many":
        submit_many.show()
        return
    outbox = running.get().outbox
    _submissions()
    form, is_stale = _form(outbox)
    fields = _fields()
    form.save(fields)
    for field, note in form.notes.items():
        if not fields[field]:
            st.info(plain(note), icon=":material/movie:")
    with st.container(border=True):
        left, right = st.columns(2)
        left.text_input("Creator name", key=_key("creator_name"), help=HELP_NAME)
        right.segmented_control(
            "Gender", list(GENDERS), format_func=GENDERS.__getitem__, key=_key("gender")
        )
        unusable = []
        for field in VIDEOS:
            # In a container: findings must not move the elements below, which would close them.
            with st.container(key=f"submit_{field}_place"):
                if _video(field, fields[field].strip(), outbox, form):
                    unusable.append(fields[field])
        st.text_input("Footage: or a Google Drive link", key=_key("gdown_url"), help=HELP_DRIVE)
        with st.expander("More: scene, keywords, labels, webhook", key="submit_more"):
            left, right = st.columns(2)
            left.text_input("Video scene", key=_key("video_scene"), help=HELP_SCENE)
            right.text_input("Keywords, comma separated", key=_key("keywords"))
            left.text_input("Labels, comma separated", key=_key("labels"), help=HELP_LABELS)
            right.text_input("Webhook URL", key=_key("webhook_url"))
        _send(fields, unusable, outbox, form, is_stale=is_stale)
    if is_stale:
        _await_browser(form)


def _await_browser(form: Draft) -> None:
    """Draw the page again as soon as the browser shows the fields that were set."""
    is_drawn = False

    @st.fragment(run_every=SENDING_EVERY_S)
    def confirm() -> None:
        nonlocal is_drawn
        # In the run that has set them, the session state has them, and the browser has not.
        if is_drawn:
            form.confirm(_fields())
            if not form.unconfirmed:
                st.rerun()
        is_drawn = True

    confirm()


def _fields() -> dict[str, str]:
    return {field: str(st.session_state.get(_key(field)) or "") for field in draft.FIELDS}


def _key(field: str) -> str:
    return f"submit_{field}"


def _form(outbox: Outbox) -> tuple[Draft, bool]:
    """Return the form of this tab, and whether a field was set now, which the browser shows next.

    A newer run may end this one whenever the session state is used, and it begins with the fields
    as the browser showed them when it asked for it. So the form itself knows what replaces it and
    which fields it has set, until the browser shows them.
    """
    known: Draft | None = st.session_state.get("submit_draft")
    form = resubmit.current_form(outbox)
    shown = _fields()
    if form is known:
        form.confirm(shown)
    else:
        # On a page that was not shown before, the browser has nothing to confirm.
        form.replace({n: value for n, value in shown.items() if _key(n) in st.session_state})
    taken = _take_uploads(form, shown)
    for name in draft.FIELDS:
        if name in form.unconfirmed:
            _set(name, form.unconfirmed[name][1])
        elif _key(name) not in st.session_state:
            # Widgets lose their state when another page is shown; the form does not.
            _set(name, form.fields.get(name, ""))
    st.session_state["submit_draft"] = form
    # Only now, as a run that was ended before this would need them again.
    _free(taken)
    return form, bool(form.unconfirmed)


def _set(field: str, value: str) -> None:
    is_gender = field == "gender"
    gender = Gender(value) if value in set(Gender) else None
    st.session_state[_key(field)] = gender if is_gender else value


def _take_uploads(form: Draft, shown: dict[str, str]) -> list[str]:
    """Copy what was uploaded to disk, and set the field to its path; return the ids of the files.

    Not in the widget's callback, which is called again when a rerun of a fragment is waiting.
    """
    taken = []
    for field in VIDEOS:
        uploaded = st.session_state.get(_uploader(field))
        if isinstance(uploaded, UploadedFile):
            try:
                path = form.save_upload(uploaded.file_id, uploaded.name, uploaded)
            except OSError as error:
                text = f"{uploaded.name} could not be kept on disk ({error.strerror})."
                st.error(plain(text), icon=":material/error:")
            else:
                form.unconfirmed[field] = (shown[field], str(path))
            # A new widget, as the copy on disk is used from now on.
            st.session_state[f"submit_{field}_nonce"] += 1
            taken.append(uploaded.file_id)
    return taken


def _free(file_ids: list[str]) -> None:
    """Free uploads in the server's memory, which Streamlit keeps for as long as the tab lives."""
    context = get_script_run_ctx()
    if context is not None and isinstance(context.uploaded_file_mgr, MemoryUploadedFileManager):
        for file_id in file_ids:
            context.uploaded_file_mgr.remove_file(context.session_id, file_id)


def _uploader(field: str) -> str:
    nonce = st.session_state.setdefault(f"submit_{field}_nonce", 0)
    return f"submit_{field}_upload_{nonce}"


def _video(field: str, value: str, outbox: Outbox, form: Draft) -> bool:
    """Show the fields of a video and its findings; return whether it looks unusable."""
    title, hint = VIDEOS[field]
    left, right = st.columns(2)
    left.file_uploader(
        f"{title}: upload",
        type=["mp4", "mov", "m4v"],
        key=_uploader(field),
        help=hint,
    )
    right.text_input(f"{title}: or its path or URL", key=_key(field), help=hint)
    if not value and field == "lipsync_input" and running.get().session.sandbox is not None:
        right.button(
            "Use a sample video",
            key="submit_sample",
            icon=":material/movie:",
            on_click=partial(_use_sample, field, outbox),
        )
    if is_url(value):
        right.caption("The API will fetch this URL; it is not checked here.")
    if form.owns(Path(value)) and not Path(value).exists():
        st.error(GONE, icon=":material/error:")
        return True
    report = video_report.check(value, field)
    if report is None:
        return False
    # An impossible name is one of the findings.
    with suppress(OSError, ValueError):
        size = report.path.stat().st_size
        right.caption(plain(f"{report.path.name}, {size / 1e6:,.1f} MB"))
    video_report.show(report)
    return not report.ok


def _use_sample(field: str, outbox: Outbox) -> None:
    from avatarkit.sandbox.footage import talking_head

    path = outbox.uploads.folder / "sample.mp4"
    if not path.exists():
        with st.spinner("Making a video …"):
            talking_head(path)
    st.session_state[_key(field)] = str(path)


def _send(
    fields: dict[str, str], unusable: list[str], outbox: Outbox, form: Draft, *, is_stale: bool
) -> None:
    session = running.get().session
    quota = session.tracker.quota
    if quota is not None:
        used = f"{quota.current_count:,} of {quota.max_count:,} avatars of the plan are used."
        if quota.is_full:
            st.error(f"{used} Delete one before you submit another.", icon=":material/block:")
        else:
            st.caption(used)
    confirmed = True
    if unusable:
        # The key names the videos: another unusable one has to be confirmed again.
        confirmed = st.checkbox(
            "Send it although a video looks unusable", key=f"submit_anyway_{unusable}"
        )
    # In a container: what comes and goes must not move the button while it is clicked.
    with st.container(key="submit_findings"):
        confirmed = _confirm(fields) and confirmed
    duplicate = resubmit.duplicate(
        fields["creator_name"].strip(),
        session.store.personas(),
        session.store.submissions(),
        session.clock.now(),
    )
    if duplicate:
        text = f"{plain(duplicate)} Plans allow only a few avatars."
        st.warning(text, icon=":material/content_copy:")
        key = f"submit_twin_{fields['creator_name']}"
        confirmed = st.checkbox("Submit another one of this name", key=key) and confirmed
    is_clicked = st.button(
        "Submit", icon=":material/send:", key="submit_send", disabled=not confirmed
    )
    # A click on a page that showed something else, such as the second of a double click, is none.
    if is_clicked and confirmed and not is_stale:
        _submit(fields, outbox, form)


def _submit(fields: dict[str, str], outbox: Outbox, form: Draft) -> None:
    labels = fields["labels"].split(",") if fields["labels"].strip() else []
    if not fields["gender"]:
        st.error("gender: choose one.", icon=":material/error:")
        return
    try:
        request = PersonaCreate.model_validate({**fields, "labels": labels})
    except ValidationError as error:
        st.error(plain(error_sentence(error)), icon=":material/error:")
        return
    try:
        submission_id = outbox.send(request, form, _reports(request, fields))
    except AvatarkitError as error:
        st.error(plain(error), icon=":material/error:")
        return
    # A small create is answered before the page is drawn again.
    outbox.wait(submission_id, 0.5)
    st.rerun()


def _reports(request: PersonaCreate, fields: dict[str, str]) -> dict[str, Report]:
    """Return the findings on the files of a create, which are in the cache."""
    reports = {field: video_report.check(fields[field].strip(), field) for field in request.files}
    return {field: report for field, report in reports.items() if report is not None}


def _confirm(fields: dict[str, str]) -> bool:
    """Show the findings on a create; return whether one without footage is to be sent."""
    try:
        request = PersonaCreate.model_validate({**fields, "labels": []})
    except ValidationError:
        return True  # not complete yet, or said when it is submitted
    live = not is_loopback(running.get().session.client.base_url)
    findings = check_request(request, live=live)
    for finding in findings:
        if finding.severity is Severity.FATAL:
            st.caption(plain(finding.message))
            # The key names the person: a create of another one has to be confirmed again.
            key = f"submit_without_footage_{request.creator_name}"
            return st.checkbox("Send it without footage", key=key)
    for finding in findings:
        st.warning(plain(finding.message), icon=":material/warning:")
    return True


def _submissions() -> None:
    """Show what this browser has sent; it renews itself while something is being sent."""
    items = running.get().outbox.items(browser_id())
    is_sending = any(map(_is_sending, items))
    st.fragment(_items, run_every=SENDING_EVERY_S if is_sending else None)(is_sending=is_sending)


def _items(*, is_sending: bool) -> None:
    outbox = running.get().outbox
    if "submit_draft" in st.session_state:
        st.session_state["submit_draft"].confirm(_fields())
    items = outbox.items(browser_id())
    if is_sending and not any(map(_is_sending, items)):
        st.rerun()  # which ends the timer
    for item in items:
        with st.container(border=True):
            if _is_sending(item):
                _progress(item)
            else:
                _result(item, outbox)


def _is_sending(item: OutboxItem) -> bool:
    return item.submission.state in ("prepared", "sending") and item.error is None


def _progress(item: OutboxItem) -> None:
    name = plain(item.submission.request["creator_name"])
    share = item.sent_bytes / item.total_bytes if item.total_bytes else 1.0
    size = f"{item.sent_bytes / 1e6:,.1f} of {item.total_bytes / 1e6:,.1f} MB"
    text = f"Sending {name}: {size if share < 1 else 'waiting for the answer'}"
    st.progress(min(share, 1.0), text=text)
    st.caption("You may leave this page; it goes on.")


def _result(item: OutboxItem, outbox: Outbox) -> None:
    submission = item.submission
    submission_id, request = submission.submission_id, submission.request
    name, error = plain(request["creator_name"]), plain(item.error)
    if submission.state == "accepted":
        text = f"{name} was submitted as {plain(submission.persona_id)}."
        st.success(text, icon=":material/check_circle:")
    elif submission.state == "refused":
        st.error(f"{name} was not submitted: {error}", icon=":material/error:")
    else:
        st.warning(
            f"It is not known yet whether {name} was created. {error} It is not sent again; "
            "the account's list will tell, or the Avatars page asks you.",
            icon=":material/help:",
        )
    with st.container(horizontal=True, vertical_alignment="center"):
        if submission.state == "accepted":
            # A link, not st.switch_page: this fragment reruns by itself, and a rerun while the
            # server changes the page would leave the browser with a blank page.
            st.page_link(
                st.session_state["avatars_page"],
                label="Follow it",
                icon=":material/radar:",
                query_params={avatars.LINKED: str(submission.persona_id)},
            )
        if submission.state == "refused":
            _put_back(submission, outbox)
        st.button(
            "Dismiss",
            key=f"submit_dismiss_{submission_id}",
            on_click=outbox.dismiss,
            args=(submission_id,),
        )


def _put_back(submission: Submission, outbox: Outbox) -> None:
    """Show a button that puts a submission back into the form, and asks before it replaces one."""
    form = resubmit.current_form(outbox)
    label, kind, place = "Put it back into the form", "again", st.container(width="content")
    if form.fields or any(_fields().values()):
        place = st.popover(label)
        place.caption("What is in the form now is replaced.")
        # Of another key, so that a click before this was shown is none.
        label, kind = "Replace it", "replace"
    if place.button(label, key=f"submit_{kind}_{submission.submission_id}"):
        outbox.put_back(submission, form)
        st.rerun()
