"""Ask about submissions that may have been created, and offer what the account has besides."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import streamlit as st

from avatarkit.errors import AvatarkitError
from avatarkit.models import Persona
from avatarkit.store.submissions import Uncertain
from avatarkit.text import format_hours, plain
from avatarkit.tracking.reconcile import SETTLING, Verdict
from avatarkit.tracking.run import RECONCILE_EVERY
from avatarkit.tracking.tracker import Tracker
from avatarkit.ui import moments, running
from avatarkit.ui.views import actions

NEVER_CREATED = (
    "Look at your account on the vendor's own pages first: sent again, an avatar that is there "
    "after all is made twice."
)
ANSWER = "uncertain_answer"
"""Where a tab keeps what an action brought until it is shown."""


def show() -> None:
    """Show the submissions that are uncertain, and how many avatars could be imported."""
    if (answer := st.session_state.pop(ANSWER, None)) is not None:
        st.toast(plain(answer), icon=":material/info:", duration="long")
    tracker = running.get().session.tracker
    submissions = tracker.store.open_submissions()
    if submissions:
        _find_out(tracker, submissions)
        submitted_ids = tracker.store.submitted_ids()
        for submission in submissions:
            _submission(tracker, submission, submitted_ids)
    if count := tracker.unknown_count:
        avatars = "1 avatar" if count == 1 else f"{count:,} avatars"
        import_button(f"Import what the account has: {avatars} more", "uncertain_import")


@st.fragment
def import_button(label: str, name: str) -> None:
    """Show a button that follows what the account has and the log does not.

    Args:
        label: Its label.
        name: Its key, one for each place of a page.
    """
    tracker = running.get().session.tracker

    def done(adopted: Sequence[Persona]) -> None:
        avatars = "1 avatar is" if len(adopted) == 1 else f"{len(adopted):,} avatars are"
        none = "The account's list has no avatar that is not here."
        st.session_state[ANSWER] = f"{avatars} followed now." if adopted else none

    text = "Reading the account's list"
    actions.act(name, label, text, lambda _: tracker.adopt(), done, icon=":material/download:")


@st.fragment
def _find_out(tracker: Tracker, submissions: Sequence[Uncertain]) -> None:
    names = {each.submission_id: each.creator_name for each in submissions}

    def done(verdicts: Sequence[Verdict]) -> None:
        st.session_state[ANSWER] = answer_of(verdicts, names)

    actions.act(
        "uncertain_ask",
        "Find out now",
        "Asking the account",
        lambda _: tracker.reconcile(),
        done,
        icon=":material/search:",
    )
    _next_trial()


@st.fragment(run_every=60)
def _next_trial() -> None:
    """Show when the submissions are looked for again without a click."""
    tracker = running.get().session.tracker
    now, at = tracker.clock.now(), tracker.reconcile_at
    if tracker.pause is not None:
        st.caption("Looked for again by itself after the pause of all calls.")
    elif at is not None and at > now:
        st.caption(f"Looked for again by itself {moments.full(at, now)}.")
    else:
        every = format_hours(RECONCILE_EVERY.total_seconds() / 3600)
        st.caption(f"Looked for again by itself every {every} while a tracker runs.")


def answer_of(verdicts: Sequence[Verdict], names: dict[str, str]) -> str:
    """Return a sentence about what became of uncertain submissions.

    Args:
        verdicts: What was found out.
        names: The creator names by the id of the submission.
    """
    if not verdicts:
        return "All of them were settled meanwhile."
    if len(verdicts) == 1:
        [verdict] = verdicts
        name = names.get(verdict.submission_id, "It")
        if verdict.persona is not None:
            return f"{name} was created as {verdict.persona.id} and is followed now."
        is_refused = verdict.state == "refused"
        return f"{name} {'was not created' if is_refused else 'is uncertain'}. {verdict.reason}"
    counts = Counter(verdict.state for verdict in verdicts)
    ends = {
        "accepted": "created and followed now",
        "refused": "not created, so that they may be sent again",
        "uncertain": "still uncertain",
    }
    found = ", ".join(f"{counts[state]:,} {end}" for state, end in ends.items() if counts[state])
    return f"Of {len(verdicts):,} submissions: {found}."


def _submission(tracker: Tracker, submission: Uncertain, submitted_ids: set[str]) -> None:
    submission_id = submission.submission_id
    name = f"uncertain_settle_{submission_id}"
    with st.container(border=True):
        st.warning(
            f"It is not certain whether {plain(submission.creator_name)} was created, sent "
            f"{moments.exact(submission.sent_at)}. {plain(submission.reason)}",
            icon=":material/help:",
        )
        with st.container(horizontal=True):
            for persona_id in [p.id for p in submission.candidates if p.id not in submitted_ids]:
                if st.button(f"It is {plain(persona_id)}", key=f"{name}_{persona_id}"):
                    _settle(tracker, submission_id, persona_id)
            with (
                st.popover("I know its id", icon=":material/search:"),
                st.form(f"{name}_form", border=False),
            ):
                given_id = st.text_input(
                    "Its id",
                    key=f"{name}_id",
                    help="As the vendor's pages or another program show it.",
                )
                if st.form_submit_button("It is this one"):
                    _settle(tracker, submission_id, given_id.strip())
            # A time that lies ahead was logged while the clock was wrong.
            if abs(tracker.clock.now() - submission.broke_at) >= SETTLING:
                with st.popover("It was never created", icon=":material/block:"):
                    st.caption(NEVER_CREATED)
                    if st.button("I have looked: it is not there", key=f"{name}_never"):
                        _settle(tracker, submission_id, None)
        if f"{name}_error" in st.session_state:
            st.error(plain(st.session_state[f"{name}_error"]), icon=":material/error:")


def _settle(tracker: Tracker, submission_id: str, persona_id: str | None) -> None:
    error_key = f"uncertain_settle_{submission_id}_error"
    st.session_state.pop(error_key, None)
    try:
        tracker.settle(submission_id, persona_id)
    except AvatarkitError as error:
        st.session_state[error_key] = str(error)
    st.rerun()
