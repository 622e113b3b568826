"""Show the Submit page: the form of one avatar, and what this browser has sent."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

import streamlit as st

from avatarkit.errors import AvatarkitError
from avatarkit.models import VIDEO_FIELDS, Gender, PersonaCreate
from avatarkit.preflight import Report, Severity, check_request
from avatarkit.settings import is_loopback
from avatarkit.text import plain
from avatarkit.ui import elements, form_faults, form_state, resubmit, running, video_report
from avatarkit.ui.draft import Draft
from avatarkit.ui.form_faults import FormReading
from avatarkit.ui.form_state import key
from avatarkit.ui.outbox import Outbox
from avatarkit.ui.views import sent, submit_many, submit_videos
from avatarkit.ui.views.submit_videos import Entered

ONE, MANY = "One", "Many"
GENDERS = {Gender.M: "Male", Gender.F: "Female", Gender.NB: "Non-binary"}
TITLES = {
    "creator_name": "Creator name",
    "gender": "Gender",
    "video_scene": "Video scene",
    "lipsync_input": "Footage",
    "consent_video": "Consent video",
    "keywords": "Keywords",
    "labels": "Labels",
    "webhook_url": "Webhook URL",
}
# Each is one line, as a fault in its place is: what is below must not move.
HINTS = {
    "creator_name": "Identifies the real person; it is not displayed.",
    "gender": "Of the person in the video.",
    "video_scene": "Such as office; the vendor's guide asks for it.",
    "keywords": "Comma separated.",
    "labels": "Comma separated.",
    "webhook_url": "Called when the status changes.",
}
PERSON, MORE = ("creator_name", "gender", "video_scene"), ("keywords", "labels", "webhook_url")
HELP_LABELS = (
    "Your own marks. In the sandbox, sandbox:done, sandbox:failed, sandbox:rejected, "
    "sandbox:stuck, sandbox:unknown-status, sandbox:slow-review and sandbox:skips-stages choose "
    "what happens."
)
CONSENT = (
    "I, {name}, am the person in this video. I agree that an avatar is made of my face and "
    "my voice."
)
AWAIT_EVERY_S = 1
"""Wall seconds between two looks whether the browser shows the fields that were set."""


def show() -> None:
    """Show the page."""
    kind = st.segmented_control(
        "How many",
        [ONE, MANY],
        default=ONE,
        required=True,
        key="avatars",
        bind="query-params",
        label_visibility="collapsed",
    )
    if kind == MANY:
        submit_many.show()
        return
    outbox = running.get().outbox
    form, is_stale = form_state.open_form(outbox)
    fields = form_state.fields()
    form.save(fields)
    reading = form_faults.read(fields)
    warnings = _warnings(reading)
    entered = {
        field: Entered(
            fields[field],
            reading.faults.get(field),
            warnings.get(field, []),
            fields["creator_name"],
        )
        for field in VIDEO_FIELDS
    }
    with st.container(border=True, key="submit_form"):
        _plan()
        twin = _twin(fields["creator_name"])
        _person(reading, form, has_twin=bool(twin))
        lines = {}
        for field, place in zip(VIDEO_FIELDS, st.columns(2, gap="medium"), strict=True):
            with place, st.container(key=f"submit_{field}_control"):
                lines[field] = submit_videos.control(field, entered[field], form, outbox)
                if field == "consent_video":
                    _consent_sentence(fields["creator_name"])
        _more(reading, warnings)
        row = st.container(horizontal=True, vertical_alignment="center")
        # Below what is clicked and typed, which must not move when they come.
        blocked = [*_blocked(reading, PERSON), *_ask_twin(twin, fields["creator_name"])]
        for field, place in zip(VIDEO_FIELDS, st.columns(2, gap="medium"), strict=True):
            with place, st.container(key=f"submit_{field}_checks"):
                if not submit_videos.checks(field, entered[field], form, lines[field]):
                    blocked.append(field)
        blocked += _blocked(reading, MORE)
        with row:
            _send(reading, blocked, form, outbox, is_stale=is_stale)
    if is_stale:
        _await_browser(form)
    sent.show()


def _await_browser(form: Draft) -> None:
    """Draw the page again as soon as the browser shows the fields that were set."""
    is_drawn = False

    @st.fragment(run_every=AWAIT_EVERY_S)
    def confirm() -> None:
        nonlocal is_drawn
        # In the run that has set them, the session state has them, and the browser has not.
        if is_drawn:
            form.confirm(form_state.fields())
            if not form.unconfirmed:
                st.rerun()
        is_drawn = True

    confirm()


def _warnings(reading: FormReading) -> dict[str, list[str]]:
    """Return by field what the API may not like about its URL."""
    if reading.request is None:
        return {}
    warnings: dict[str, list[str]] = {}
    live = not is_loopback(running.get().session.client.base_url)
    for finding in check_request(reading.request, live=live):
        if finding.severity is Severity.WARNING and finding.check != "consent":
            field = "lipsync_input" if finding.check == "gdown_url" else finding.check
            text = finding.message.removeprefix(f"{finding.check}: ")
            warnings.setdefault(field, []).append(f"{text[:1].upper()}{text[1:]}")
    return warnings


def _plan() -> None:
    """Show how much of the plan is used, before anything is uploaded."""
    quota, marks = running.get().session.tracker.quota, "Fields with * are required."
    if quota is None:
        elements.note(f"How many places of the plan are free is not known. {marks}")
        return
    if quota.is_full:
        # As high as the note, so that the form does not move when the last place is taken.
        elements.fault(f"{quota.used} Delete one before you submit another. {marks}")
    else:
        elements.note(f"{quota.used} {marks}")


def _blocked(reading: FormReading, fields: Iterable[str]) -> list[str]:
    """Return the fields that cannot be sent as they are."""
    return [field for field in fields if field in reading.missing or field in reading.faults]


def _person(reading: FormReading, form: Draft, *, has_twin: bool) -> None:
    """Show name, gender and scene."""
    places = dict(zip(PERSON, st.columns(3, gap="medium"), strict=True))
    with places["creator_name"]:
        st.text_input("Creator name *", key=key("creator_name"))
    with places["gender"]:
        st.segmented_control(
            "Gender *", list(GENDERS), format_func=GENDERS.__getitem__, key=key("gender")
        )
    with places["video_scene"]:
        st.text_input("Video scene", key=key("video_scene"))
    faults = {**(reading.missing if form.is_attempted else {}), **reading.faults}
    if has_twin:
        faults.setdefault("creator_name", f"There is one of this name. {submit_videos.BELOW}")
    for field, place in places.items():
        with place:
            _hint(field, faults.get(field))


def _hint(field: str, fault: str | None) -> None:
    """Say under a field what is wrong with it, or else what it is for."""
    if fault is None:
        elements.note(HINTS[field])
    else:
        elements.fault(fault)


def _twin(name: str) -> str | None:
    """Return a sentence about another avatar of this name, if there is one."""
    session = running.get().session
    return resubmit.duplicate(
        name, session.store.personas(), session.store.submissions(), session.clock.now()
    )


def _ask_twin(twin: str | None, name: str) -> list[str]:
    """Ask before an avatar of the name of another is sent; return the name until it may be."""
    if not twin:
        return []
    st.warning(f"{plain(twin)} Plans allow only a few avatars.", icon=":material/content_copy:")
    is_meant = st.checkbox("Submit another one of this name", key=f"submit_twin_{name.strip()}")
    return [] if is_meant else ["creator_name"]


def _consent_sentence(name: str) -> None:
    elements.note("A sentence to read aloud in it; it is ours, not the vendor's.")
    st.code(CONSENT.format(name=name.strip() or "[name]"), language=None, wrap_lines=True)


def _more(reading: FormReading, warnings: dict[str, list[str]]) -> None:
    """Show the fields that are seldom needed."""
    with st.expander("More: keywords, labels, webhook", key="submit_more"):
        for field, place in zip(MORE, st.columns(3, gap="medium"), strict=True):
            with place:
                help_text = HELP_LABELS if field == "labels" else None
                st.text_input(TITLES[field], key=key(field), help=help_text)
                _hint(field, reading.faults.get(field))
                for text in warnings.get(field, []):
                    st.warning(plain(text), icon=":material/warning:")


def _send(
    reading: FormReading, blocked: list[str], form: Draft, outbox: Outbox, *, is_stale: bool
) -> None:
    is_clicked = st.button(
        "Submit", icon=":material/send:", key="submit_send", on_click=form.attempt
    )
    _clear(form, outbox)
    # A click on a page that showed something else, such as the second of a double click, is none.
    if is_clicked and not is_stale and not blocked and reading.request is not None:
        _submit(reading.request, form, outbox)
    elif form.is_attempted and blocked:
        names = ", ".join(dict.fromkeys(TITLES[field] for field in blocked))
        elements.fault(f"Not sent yet. Look at: {names}.")


def _submit(request: PersonaCreate, form: Draft, outbox: Outbox) -> None:
    try:
        submission_id = outbox.send(request, form, _reports(request))
    except AvatarkitError as error:
        st.error(plain(error), icon=":material/error:")
        return
    # A small create is answered before the page is drawn again.
    outbox.wait(submission_id, 0.5)
    st.rerun()


def _reports(request: PersonaCreate) -> dict[str, Report]:
    """Return the findings on the files of a create, which are in the cache."""
    reports = {field: video_report.check(str(path), field) for field, path in request.files.items()}
    return {field: report for field, report in reports.items() if report is not None}


def _clear(form: Draft, outbox: Outbox) -> None:
    """Show a button that empties the form, after it has said what becomes of the uploads."""
    if not form.fields:
        # Of another key, so that the popover is closed once the form is empty.
        st.button("Clear form", key="submit_nothing_to_clear", type="tertiary", disabled=True)
        return
    with st.popover("Clear form", type="tertiary", key="submit_clear"):
        st.caption(_what_is_cleared(form))
        st.button("Clear it", key="submit_clear_now", on_click=outbox.clear, args=(form,))


def _what_is_cleared(form: Draft) -> str:
    sizes = []
    for path in form.uploads():
        with suppress(OSError):  # it is gone by now
            sizes.append(path.stat().st_size)
    if not sizes:
        return "Empties all fields."
    size = f"{sum(sizes) / 1e6:,.1f} MB"
    what = (
        f"The upload ({size}) is" if len(sizes) == 1 else f"The {len(sizes)} uploads ({size}) are"
    )
    return f"Empties all fields. {what} deleted from this app; your own files stay."
