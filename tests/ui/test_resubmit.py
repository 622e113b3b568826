"""Submitting avatars again."""

from __future__ import annotations

from datetime import timedelta
from io import BytesIO
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from avatarkit import Persona, PersonaCreate, Quota
from avatarkit.tracking.webhooks import Webhooks
from avatarkit.ui import browser
from avatarkit.ui.draft import Draft
from avatarkit.ui.running import Running
from support.app_pages import BROWSER, HANGS_S, entered, fill, record, submit, texts
from support.manual_clock import ManualClock

URL = "https://cdn.example.com/a.mp4"
CONSENT = "https://cdn.example.com/c.mp4"
DRIVE = "https://drive.google.com/file/d/1/view"


def failed(
    app: Running, name: str = "Ada", *, status: str = "failed", draft: Draft | None = None,
    **fields: object,
) -> str:  # fmt: skip
    """Submit an avatar that ends in a status; return its id."""
    request = PersonaCreate.model_validate({"creator_name": name, "gender": "f", **fields})
    draft = draft or Draft(app.outbox.uploads.draft(BROWSER).folder, {})
    submission_id = app.outbox.send(request, draft)
    app.outbox.wait(submission_id, 300.0)
    [submission] = app.session.store.some_submissions([submission_id])
    assert submission.persona_id is not None, submission.error
    app.outbox.dismiss(submission_id)
    clock = app.session.clock
    assert isinstance(clock, ManualClock)
    clock.advance(timedelta(minutes=1))
    persona = Persona(id=submission.persona_id, creator_name=name, process_status=status)
    record(app.session, persona)
    return submission.persona_id


def details_app() -> None:
    import streamlit as st

    from avatarkit.ui import resubmit, running
    from avatarkit.ui.views import details, submit

    def chosen() -> None:
        # Bound to the URL, as on the Avatars page.
        persona_id = st.text_input("Id", key="persona", bind="query-params")
        resubmit.show()
        details.show(running.get().session, persona_id)

    pages = [st.Page(chosen, default=True), st.Page(submit.show, url_path="submit")]
    st.session_state["avatars_page"], st.session_state["submit_page"] = pages
    st.navigation(pages).run()


def opened(persona_id: str) -> AppTest:
    """Open the details of an avatar, with the Submit page beside them."""
    test = AppTest.from_function(details_app, default_timeout=HANGS_S)
    test.session_state[browser.SESSION_KEY] = BROWSER
    test.query_params["persona"] = persona_id
    test.run()
    assert not test.exception
    return test


def again(persona_id: str) -> AppTest:
    """Click *Submit again* in the details of an avatar."""
    test = opened(persona_id)
    test.button(key=f"details_submit_{persona_id}").click().run()
    assert not test.exception
    return test


def typed(test: AppTest, *fields: str) -> list[str]:
    return [entered(test, field) for field in fields]


def chosen_page() -> None:
    import streamlit as st

    from avatarkit.ui import resubmit

    def chosen() -> None:
        st.text_input("Search", key="q", bind="query-params")
        resubmit.show()
        if st.button("Submit again", key="again"):
            resubmit.submit_again(st.session_state["chosen"])

    def submit() -> None:
        st.markdown("The Submit page.")

    pages = [st.Page(chosen, default=True), st.Page(submit, url_path="submit")]
    st.session_state["submit_page"] = pages[1]
    st.navigation(pages).run()


def several(persona_ids: list[str]) -> AppTest:
    """Choose several avatars, and ask to submit them again."""
    test = AppTest.from_function(chosen_page, default_timeout=HANGS_S)
    test.session_state[browser.SESSION_KEY] = BROWSER
    test.session_state["chosen"] = persona_ids
    test.query_params["q"] = "ada"
    test.run().button(key="again").click().run()
    assert not test.exception
    return test


def sent_names(app: Running) -> list[str]:
    """Return the names of all submissions once they are sent."""
    rows = app.session.store.submissions()
    for submission_id in rows["submission_id"]:
        if submission_id in app.outbox._threads:
            app.outbox.wait(submission_id, 300.0)
    return sorted(rows["creator_name"])


def test_one_fills_the_form_with_all_fields(app: Running) -> None:
    """Everything that was sent stands in the form, and nothing is sent before it is looked at."""
    persona_id = failed(
        app,
        video_scene="office",
        keywords="one, two",
        labels=["red", "blue"],
        webhook_url="https://mine.example/hook",
        lipsync_input=URL,
        consent_video=CONSENT,
    )
    test = again(persona_id)
    assert typed(test, "creator_name", "video_scene", "keywords", "labels", "webhook_url") == [
        "Ada", "office", "one, two", "red, blue", "https://mine.example/hook",
    ]  # fmt: skip
    assert typed(test, "lipsync_input", "consent_video") == [URL, CONSENT]
    assert test.button_group(key="submit_gender").value == "f"
    assert len(app.session.store.submissions()) == 1


def test_what_failed_does_not_stand_in_the_way_of_its_name(app: Running) -> None:
    """The form can be sent at once: the older avatar of this name is no duplicate."""
    test = again(failed(app, gdown_url=DRIVE))
    submit(test)
    assert sent_names(app) == ["Ada", "Ada"]
    requests = app.session.store.submissions()["gdown_url"]
    assert requests.tolist() == [DRIVE, DRIVE]


def test_a_video_that_is_there_is_taken_from_its_path(app: Running, tmp_path: Path) -> None:
    """A file that was given by its path need not be chosen again."""
    path = tmp_path / "ada.mp4"
    path.write_bytes(b"no video")
    test = again(failed(app, lipsync_input=path))
    assert typed(test, "lipsync_input") == [str(path)]


def test_a_video_that_is_gone_is_asked_for_by_its_name(app: Running) -> None:
    """An upload is deleted once it was sent: its field is empty, and a sentence names it."""
    draft = app.outbox.uploads.draft(BROWSER)
    path = draft.save_upload("1", "ada in may.mp4", BytesIO(b"no video"))
    test = again(failed(app, draft=draft, lipsync_input=path))
    assert typed(test, "creator_name", "lipsync_input") == ["Ada", ""]
    sentence = "Choose ada in may.mp4 again as the footage"
    assert sentence in texts(test)
    assert sentence not in texts(fill(test, lipsync_input=URL))


@pytest.mark.long
def test_our_own_address_of_webhooks_is_not_typed_in(app: Running) -> None:
    """The form did not have it; it is added when the create is sent."""
    webhooks = Webhooks(app.session.store, app.session.clock, "https://me.example")
    app.session.tracker.webhooks = webhooks
    test = again(failed(app, lipsync_input=URL))
    assert typed(test, "webhook_url") == [""]
    assert str(webhooks.token()) not in Path(app.outbox.uploads.draft(BROWSER)._path).read_text()


def test_an_imported_avatar_is_submitted_with_what_the_api_tells(app: Running) -> None:
    """Its footage has to be chosen, and a sentence says so."""
    persona = Persona(id="p1", creator_name="Bo", gender="m", process_status="rejected")
    record(app.session, persona, source="list")
    test = again("p1")
    assert typed(test, "creator_name", "lipsync_input") == ["Bo", ""]
    assert test.button_group(key="submit_gender").value == "m"
    assert "was not submitted here: choose its footage" in texts(test)


def test_a_filled_form_is_replaced_after_a_question_only(app: Running) -> None:
    """What was typed meanwhile stays until the person says that it may go."""
    persona_id = failed(app, lipsync_input=URL)
    draft = app.outbox.uploads.draft(BROWSER)
    draft.save({"creator_name": "Bob", "keywords": "mine"})
    test = again(persona_id)
    assert "filled in for Bob" in texts(test)
    assert app.outbox.uploads.draft(BROWSER).fields["creator_name"] == "Bob"
    test.button(key="resubmit_replace").click().run()
    assert not test.exception
    assert typed(test, "creator_name", "keywords", "lipsync_input") == ["Ada", "", URL]


@pytest.mark.long
def test_a_field_that_was_filled_in_can_be_emptied(app: Running) -> None:
    """What the person clears first does not come back."""
    test = again(failed(app, keywords="one", lipsync_input=URL))
    fill(test, keywords="")
    assert typed(test, "keywords", "lipsync_input") == ["", URL]
    assert "keywords" not in app.outbox.uploads.draft(BROWSER).fields


@pytest.mark.long
def test_a_second_click_on_one_asks_nothing(app: Running) -> None:
    """A form that holds these fields already is shown as it is."""
    persona_id = failed(app, lipsync_input=URL)
    again(persona_id)
    test = again(persona_id)
    assert typed(test, "creator_name") == ["Ada"]


def test_several_are_sent_after_one_confirmation(app: Running, app_clock: ManualClock) -> None:
    """The dialog says how full the plan is and which are sent; the Submit page follows."""
    ids = [failed(app, name, lipsync_input=URL, labels=[name]) for name in ("Ada", "Bo")]
    app.session.tracker.quota = Quota(max_count=5, current_count=2)
    test = several(ids)
    assert "2 of 5 avatars of the plan are used." in texts(test)
    assert sent_names(app) == ["Ada", "Bo"]
    test.button(key="resubmit_send").click().run()
    assert not test.exception
    assert "The Submit page." in texts(test)
    assert sent_names(app) == ["Ada", "Ada", "Bo", "Bo"]
    assert app.session.store.submissions()["state"].eq("accepted").all()
    assert sorted(app.session.store.submissions()["labels"].map(tuple)) == [
        ("Ada",), ("Ada",), ("Bo",), ("Bo",),
    ]  # fmt: skip


@pytest.mark.long
def test_what_does_not_fit_the_plan_is_said_first(app: Running) -> None:
    """The person knows before the confirmation that not all find room."""
    ids = [failed(app, name, lipsync_input=URL) for name in ("Ada", "Bo")]
    app.session.tracker.quota = Quota(max_count=3, current_count=2)
    assert "There is room for 1 more" in texts(several(ids))


def test_which_need_their_video_and_which_are_left_out(app: Running, tmp_path: Path) -> None:
    """Only what can be sent as it was is offered; the others have a sentence each."""
    draft = app.outbox.uploads.draft(BROWSER)
    path = draft.save_upload("1", "bo.mp4", BytesIO(b"no video"))
    bad = tmp_path / "cy.mp4"
    bad.write_bytes(b"no video")
    ids = [
        failed(app, "Ada", lipsync_input=URL),
        failed(app, "Bo", draft=draft, lipsync_input=path),
        failed(app, "Cy", lipsync_input=bad),
        failed(app, "Di", lipsync_input=URL, status="reviewing"),
        failed(app, "Ed"),
    ]
    test = several(ids)
    shown = texts(test)
    assert "Can be sent again as they are** (1)" in shown
    assert "Choose bo.mp4 again" in shown
    assert "not an MP4" in shown
    assert "It was sent without footage." in shown
    assert "It has neither failed nor been rejected." in shown
    assert test.button(key="resubmit_send").label == "Submit this one again"
    test.button(key="resubmit_send").click().run()
    assert sent_names(app) == ["Ada", "Ada", "Bo", "Cy", "Di", "Ed"]


def test_a_second_tab_sends_nothing_twice(app: Running, app_clock: ManualClock) -> None:
    """Two tabs with the same question open send each avatar once."""
    ids = [failed(app, name, lipsync_input=URL) for name in ("Ada", "Bo")]
    first, second = several(ids), several(ids)
    app_clock.advance(timedelta(minutes=1))
    first.button(key="resubmit_send").click().run()
    second.button(key="resubmit_send").click().run()
    assert not second.exception
    assert sent_names(app) == ["Ada", "Ada", "Bo", "Bo"]


def test_only_what_was_listed_is_sent(app: Running) -> None:
    """What has failed since the question was drawn was not confirmed."""
    ids = [
        failed(app, "Ada", lipsync_input=URL),
        failed(app, "Bo", lipsync_input=URL, status="reviewing"),
    ]
    test = several(ids)
    record(app.session, Persona(id=ids[1], creator_name="Bo", process_status="failed"))
    test.button(key="resubmit_send").click().run()
    assert not test.exception
    assert sent_names(app) == ["Ada", "Ada", "Bo"]


@pytest.mark.long
def test_only_the_newest_of_a_name_is_sent(app: Running, app_clock: ManualClock) -> None:
    """Two that failed under one name are one avatar that was tried twice."""
    first = failed(app, lipsync_input=URL)
    app_clock.advance(timedelta(hours=1))
    second = failed(app, lipsync_input=URL, video_scene="office")
    test = several([first, second])
    assert "An avatar of this name was submitted later." in texts(test)
    test.button(key="resubmit_send").click().run()
    assert app.session.store.submissions()["video_scene"].tolist()[1:] == ["office", "office"]


def test_a_create_that_fails_keeps_no_other_from_being_sent(
    app: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What went wrong stands in the dialog as a sentence; the others are on their way."""
    from avatarkit.errors import StoreError

    ids = [failed(app, name, lipsync_input=URL) for name in ("Ada", "Bo")]
    send = app.outbox.send

    def fail_for_bo(request: PersonaCreate, draft: Draft, *_: object) -> str:
        if request.creator_name == "Bo":
            raise StoreError("The database is locked.")
        return send(request, draft)

    monkeypatch.setattr(app.outbox, "send", fail_for_bo)
    test = several(ids)
    test.button(key="resubmit_send").click().run()
    assert not test.exception
    assert "Bo was not sent: The database is locked." in texts(test)
    assert sent_names(app) == ["Ada", "Ada", "Bo"]


def test_a_question_stays_open_when_the_page_is_drawn_again(app: Running) -> None:
    """A rerun that the watcher asks for does not take the dialog away."""
    ids = [failed(app, name, lipsync_input=URL) for name in ("Ada", "Bo")]
    test = several(ids)
    assert test.run().button(key="resubmit_send")
    assert not test.exception


@pytest.mark.long
def test_forgotten_avatars_are_no_error(app: Running) -> None:
    """What was forgotten meanwhile is left out of the question."""
    ids = [failed(app, name, lipsync_input=URL) for name in ("Ada", "Bo")]
    test = several([*ids, "nowhere"])
    assert "Can be sent again as they are** (2)" in texts(test)
