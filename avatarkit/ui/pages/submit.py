"""The Submit page: a form that forgets nothing, a look at the videos, and what is on its way."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st
from pydantic import ValidationError

from avatarkit.models import Gender, PersonaCreate, is_url, sentence
from avatarkit.text import in_words, plain
from avatarkit.ui import draft, running, video_report
from avatarkit.ui.outbox import Outbox, Parcel
from avatarkit.ui.pages import tracker

GENDERS = {Gender.M: "Male", Gender.F: "Female", Gender.NB: "Non-binary"}
VIDEOS = {
    "lipsync_input": (
        "Footage",
        "One person speaking, facing the camera, 15 seconds to 5 minutes, with sound.",
    ),
    "consent_video": ("Consent", "The same person, saying that they agree. Optional."),
}


def show() -> None:
    """The page."""
    outbox = running.get().outbox
    refill = st.session_state.pop("submit_refill", None)
    if refill is not None:
        _fill(refill)
    _outbox()
    folder = outbox.uploads.parent
    _restore(folder)
    with st.container(border=True):
        left, right = st.columns(2)
        left.text_input("Creator name", key=_key("creator_name"), help=HELP_NAME)
        right.segmented_control(
            "Gender", list(GENDERS), format_func=GENDERS.__getitem__, key=_key("gender")
        )
        draft.save(folder, _fields())
        for field in VIDEOS:
            # A place of its own: what is said of a video must not move, and so close, what follows.
            with st.container(key=f"submit_{field}_place"):
                _video(field, outbox)
        with st.expander("More: scene, keywords, labels, webhook", key="submit_more"):
            left, right = st.columns(2)
            left.text_input("Video scene", key=_key("video_scene"), help=HELP_SCENE)
            right.text_input("Keywords, comma separated", key=_key("keywords"))
            left.text_input("Labels, comma separated", key=_key("labels"), help=HELP_LABELS)
            right.text_input("Webhook URL", key=_key("webhook_url"))
        fields = _fields()
        draft.save(folder, fields)
        _send(fields, outbox)


HELP_NAME = "Identifies the real person; it is not displayed. At most 255 characters."
HELP_SCENE = "A word for the background, such as office."
HELP_LABELS = (
    "Your own marks. In the sandbox, sandbox:done, sandbox:failed, sandbox:rejected, "
    "sandbox:stuck, sandbox:unknown-status, sandbox:slow-review and sandbox:skips-stages choose "
    "what happens."
)


def _key(field: str) -> str:
    return f"submit_{field}"


def _restore(folder: Path) -> None:
    # Widgets lose their state on another page, the whole tab on a reload; the draft does not.
    kept: dict[str, str] | None = None
    for field in draft.FIELDS:
        if _key(field) not in st.session_state:
            kept = draft.load(folder) if kept is None else kept
            value: Any = kept.get(field, "")
            if field == "gender":
                value = Gender(value) if value in set(Gender) else None
            st.session_state[_key(field)] = value


def _fields() -> dict[str, str]:
    return {field: str(st.session_state.get(_key(field)) or "") for field in draft.FIELDS}


def _fill(fields: dict[str, str]) -> None:
    for field in draft.FIELDS:
        value: Any = fields.get(field, "")
        st.session_state[_key(field)] = (
            (Gender(value) if value else None) if field == "gender" else value
        )


def _video(field: str, outbox: Outbox) -> None:
    title, hint = VIDEOS[field]
    nonce = st.session_state.setdefault(f"submit_{field}_nonce", 0)
    widget = f"submit_{field}_upload_{nonce}"
    left, right = st.columns(2)
    left.file_uploader(
        f"{title}: upload",
        type=["mp4", "mov", "m4v"],
        key=widget,
        help=hint,
        on_change=partial(_keep, field, widget, outbox),
    )
    right.text_input(f"{title}: or its path or URL", key=_key(field), help=hint)
    given = str(st.session_state[_key(field)] or "").strip()
    if not given:
        if field == "lipsync_input" and running.get().session.sandbox is not None:
            right.button(
                "Use a sample video",
                key="submit_sample",
                icon=":material/movie:",
                on_click=partial(_sample, field, outbox),
            )
        return
    if is_url(given):
        right.caption("The API will fetch this URL; it is not checked here.")
        return
    path = draft.typed_path(given)
    # A name that no file can have is said by the look at the video.
    with suppress(OSError, ValueError):
        size = path.stat().st_size
        right.caption(plain(f"{path.name}, {size / 1e6:,.1f} MB"))
    video_report.show(path, field)


def _sample(field: str, outbox: Outbox) -> None:
    from avatarkit.sandbox.footage import talking_head

    path = outbox.uploads.parent / "sample.mp4"
    if not path.exists():
        with st.spinner("Making a video …"):
            talking_head(path)
    st.session_state[_key(field)] = str(path)


def _keep(field: str, widget: str, outbox: Outbox) -> None:
    uploaded = st.session_state.get(widget)
    if uploaded is None:
        return
    # One that was there before stays on disk: the browser may still have its path in the form.
    path = draft.keep_upload(outbox.uploads, uploaded.name, uploaded)
    st.session_state[_key(field)] = str(path)
    # A new widget: the upload in the server's memory is freed, the copy on disk is what counts.
    st.session_state[f"submit_{field}_nonce"] += 1


def _send(fields: dict[str, str], outbox: Outbox) -> None:
    quota = running.get().session.tracker.quota
    if quota is not None:
        text = f"{quota.current_count} of {quota.max_count} avatars of the plan are used."
        if quota.is_full:
            st.error(f"{text} Delete one before you submit another.", icon=":material/block:")
        else:
            st.caption(text)
    fatal = [fields[name] for name in VIDEOS if video_report.is_fatal(fields[name], name)]
    anyway = True
    if fatal:
        # For just these: another video has to be wanted anew.
        anyway = st.checkbox(
            "Send it although a video looks unusable", key=f"submit_anyway_{fatal}", value=False
        )
    twin = _twin(fields["creator_name"])
    if twin:
        st.warning(f"{plain(twin)} Plans allow only a few avatars.", icon=":material/content_copy:")
        key = f"submit_twin_{fields['creator_name']}"
        anyway = st.checkbox("Submit another one of this name", key=key) and anyway
    if st.button(
        "Submit", type="primary", icon=":material/send:", key="submit_send", disabled=not anyway
    ):
        _submit(fields, outbox)


def _submit(fields: dict[str, str], outbox: Outbox) -> None:
    labels = fields["labels"].split(",") if fields["labels"].strip() else []
    values: dict[str, Any] = {name: value or None for name, value in fields.items()}
    values |= {"creator_name": fields["creator_name"], "labels": labels}
    if not fields["gender"]:
        st.error("gender: choose one.", icon=":material/error:")
        return
    try:
        request = PersonaCreate(**values)
    except ValidationError as error:
        st.error(plain(sentence(error)), icon=":material/error:")
        return
    # A small create is answered before the page is drawn again.
    outbox.wait(outbox.send(request), 0.5)
    st.session_state["submit_refill"] = {}
    st.rerun()


def _twin(creator_name: str) -> str | None:
    """A sentence about a persona of the same name that has not ended badly, or may be there."""
    session = running.get().session
    sent = session.store.submissions()
    sent = sent[sent["state"].isin(["prepared", "sending", "uncertain"])]
    if (sent["creator_name"] == creator_name.strip()).any():
        return f"An avatar of {creator_name.strip()} is being sent, or may have been created."
    personas = session.store.personas()
    same = personas[
        (personas["creator_name"] == creator_name.strip())
        & ~personas["status"].isin(["failed", "rejected"])
        & ~personas["gone"]
    ]
    if same.empty or not creator_name.strip():
        return None
    newest = same.iloc[0]
    begun = newest["first_seen_at"] if pd.isna(newest["created_at"]) else newest["created_at"]
    age = in_words((session.clock.now() - begun) / timedelta(hours=1))
    return f"An avatar of {creator_name.strip()} was submitted {age} ago ({newest['status']})."


@st.fragment(run_every=1)
def _outbox() -> None:
    outbox = running.get().outbox
    for parcel in outbox.parcels():
        with st.container(border=True):
            _parcel(parcel, outbox)


def _parcel(parcel: Parcel, outbox: Outbox) -> None:
    sent = parcel.submission
    name, said = plain(sent.request["creator_name"]), plain(parcel.error)
    if sent.state in ("prepared", "sending") and parcel.error is None:
        share = parcel.sent_bytes / parcel.total_bytes if parcel.total_bytes else 1.0
        size = f"{parcel.sent_bytes / 1e6:,.1f} of {parcel.total_bytes / 1e6:,.1f} MB"
        text = f"Sending {name}: {size}" if share < 1 else f"Sending {name}: waiting for the answer"
        st.progress(min(share, 1.0), text=text)
        st.caption("You may leave this page; it goes on.")
        return
    if sent.state == "accepted":
        st.success(f"{name} was submitted as {sent.persona_id}.", icon=":material/check_circle:")
    elif sent.state == "refused":
        st.error(f"{name} was not submitted: {said}", icon=":material/error:")
    else:
        st.warning(
            f"It is not known yet whether {name} was created. {said} It is not sent again; "
            "the account's list will tell, or the Tracker page asks you.",
            icon=":material/help:",
        )
    with st.container(horizontal=True, vertical_alignment="center"):
        if sent.state == "accepted":
            # A link and not st.switch_page: this part reruns by itself, and a rerun of it that is
            # under way while the server changes the page would leave the browser with a blank one.
            st.page_link(
                st.session_state["main_pages"]["tracker"],
                label="Follow it",
                icon=":material/radar:",
                query_params={tracker.LINKED: str(sent.persona_id)},
            )
        if sent.state == "refused" and st.button(
            "Put it back into the form", key=f"submit_again_{sent.submission_id}"
        ):
            outbox.dismiss(sent.submission_id)
            st.session_state["submit_refill"] = _typed(sent.request)
            st.rerun()
        st.button(
            "Dismiss",
            key=f"submit_dismiss_{sent.submission_id}",
            on_click=outbox.dismiss,
            args=(sent.submission_id,),
        )


def _typed(request: dict[str, Any]) -> dict[str, str]:
    """The fields of the form that make this request."""
    return {**request, "labels": ", ".join(request.get("labels", []))}
