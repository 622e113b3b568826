"""The Submit page."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from streamlit.proto.WidgetStates_pb2 import WidgetStates
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.scriptrunner import (
    RerunData,
    RerunException,
    StopException,
    get_script_run_ctx,
)
from streamlit.testing.v1 import AppTest

from avatarkit import PersonaCreate, Quota
from avatarkit.errors import ConfigError
from avatarkit.ui import running
from avatarkit.ui.draft import Draft
from avatarkit.ui.running import Running
from support.app_pages import BROWSER, entered, fill, submit, submit_page, texts, tick

ADA = PersonaCreate(creator_name="Ada", gender="f")
DRIVE = "https://drive.google.com/file/d/1/view"
URL = "https://cdn.example.com/a.mp4"
SENT_S = 300.0


def form(app: Running, **fields: str) -> Draft:
    """Return a form of ``BROWSER`` in a tab of its own."""
    return Draft(app.outbox.uploads.draft(BROWSER).folder, fields)


def rerun() -> RerunException:
    """Return what Streamlit raises in a run when the browser asks for another one."""
    context = get_script_run_ctx()
    assert context is not None
    states = context.session_state.get_widget_states()
    return RerunException(
        RerunData(
            widget_states=WidgetStates(widgets=states), page_script_hash=context.page_script_hash
        )
    )


def sent_links(test: AppTest) -> list[Any]:
    """Return the links to the avatars that were sent."""
    links = [element.proto for element in test.get("page_link")]
    return [link for link in links if link.query_string]


def footage(test: AppTest, content: bytes, name: str = "a.mp4") -> AppTest:
    """Upload the footage."""
    test.file_uploader[0].upload(name, content, "video/mp4")
    return test.run()


def test_the_page_says_that_it_is_the_sandbox(app: Running) -> None:
    """Which account it is stands on the page, and how fast its clock runs."""
    test = submit_page()
    assert not test.exception
    assert "Sandbox" in texts(test)
    assert "times as fast" in texts(test)


def test_an_empty_form_is_a_sentence(app: Running) -> None:
    """Pressing Submit says at each field what is missing, and which fields; nothing is recorded."""
    test = submit_page()
    assert "Fill in the name" not in texts(test)
    submit(test)
    assert "Not sent yet. Look at: Creator name, Gender, Footage." in texts(test)
    for sentence in ("Fill in the name of the person.", "Choose one.", "There is no footage"):
        assert sentence in texts(test)
    fill(test, gender="f")
    assert "Choose one." not in texts(test)
    assert "Not sent yet. Look at: Creator name, Footage." in texts(test)
    assert app.session.store.submissions().empty


def test_a_fault_stands_under_its_field(app: Running) -> None:
    """What is wrong with a field is written in its column, in the place of its hint."""
    test = fill(submit_page(), video_scene="x" * 256)
    columns = {c.children[0].label: c for c in test.columns if hasattr(c.children[0], "label")}
    notes = {label: [text.value for text in column.markdown] for label, column in columns.items()}
    [fault], [hint] = notes["Video scene"], notes["Creator name *"]
    assert "at most 255 characters" in fault
    assert "Identifies the real person" in hint


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("lipsync_input", "/no/such.mp4", "does not exist"),
        ("webhook_url", "nope", "Must be a URL"),
        ("labels", "one, , two", "A label must not be empty"),
    ],
)
def test_bad_input_is_a_sentence_and_loses_nothing(
    app: Running, field: str, value: str, sentence: str
) -> None:
    """Errors are shown, and everything typed is still in the form."""
    test = fill(submit_page(), **{"creator_name": "Ada", "gender": "f", field: value})
    assert sentence in texts(test)
    submit(test)
    if test.checkbox:
        submit(tick(test))
    assert sentence in texts(test)
    assert entered(test, field) == value
    assert app.session.store.submissions().empty


def test_255_emoji_are_a_name(app: Running) -> None:
    """Characters are counted, as the API counts them, and not their halves."""
    test = fill(submit_page(), creator_name="🎬" * 255, gender="f", lipsync_input=URL)
    submit(test)
    assert not test.error
    assert app.session.store.submissions()["creator_name"].tolist() == ["🎬" * 255]


def test_an_unusable_video_has_to_be_confirmed(app: Running, tmp_path: Path) -> None:
    """A file that is no video needs a tick, and another one needs another tick."""
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / name).write_text("no video " * 99)
    first, second = str(tmp_path / "a.mp4"), str(tmp_path / "b.mp4")
    test = fill(submit_page(), creator_name="Ada", gender="f", lipsync_input=first)
    assert "not an MP4" in test.error[0].value
    assert "Not sent yet. Look at: Footage." in texts(submit(test))
    test.checkbox[0].check().run()
    assert "Not sent yet" not in texts(test)
    assert "Not sent yet" in texts(submit(fill(test, lipsync_input=second)))
    submit(tick(test))
    assert app.session.store.submissions()["lipsync_input"].tolist() == [second]


def test_a_create_without_footage_has_to_be_confirmed(app: Running) -> None:
    """A plan has few places, so the page asks first, and again for another person."""
    test = fill(submit_page(), creator_name="Ada", gender="f")
    assert not test.checkbox
    assert "There is no footage" in texts(submit(test))
    test.checkbox[0].check().run()
    assert "Not sent yet" not in texts(test)
    submit(fill(test, creator_name="Bo"))
    assert "Not sent yet. Look at: Footage." in texts(test)
    assert app.session.store.submissions().empty
    submit(tick(test))
    assert app.session.store.submissions()["creator_name"].tolist() == ["Bo"]


def test_a_link_of_google_drive_is_sent_as_one(app: Running) -> None:
    """The API has a field of its own for it; in the form it is a URL of the footage."""
    test = fill(submit_page(), creator_name="Ada", gender="f", lipsync_input=f" '{DRIVE}'")
    assert "link of Google Drive" in texts(test)
    submit(test)
    store = app.session.store
    [submission] = store.some_submissions(store.submissions()["submission_id"])
    assert submission.request["gdown_url"] == DRIVE


def test_a_url_that_may_not_be_fetched_is_a_warning(app: Running) -> None:
    """It is shown before the create is sent, and does not keep anybody from sending it."""
    test = fill(submit_page(), creator_name="Ada", gender="f", lipsync_input="https://youtu.be/1")
    assert "This is a page of YouTube" in texts(test)
    assert "None: the API takes it, but its review may ask for one." in texts(test)
    submit(test)
    assert len(app.session.store.submissions()) == 1


@pytest.mark.parametrize("path", ["~nosuchuser/a.mp4", "x" * 400, "a\0b.mp4"])
def test_a_path_that_no_file_can_have_is_a_finding(
    app: Running, restart: Callable[..., Running], path: str
) -> None:
    """It is written under the field, and nothing that was typed is lost."""
    test = submit(fill(submit_page(), creator_name="Ada", gender="f", lipsync_input=path))
    assert not test.exception
    assert "Not sent yet. Look at: Footage." in texts(test)
    assert "This page failed" not in texts(test)
    restart()
    assert submit_page().text_input(key="submit_creator_name").value == "Ada"


def test_a_submission_that_waits_for_a_slot_is_in_the_log(
    app: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The form is cleared when it is sent; a crash before its turn loses nothing."""
    go = threading.Event()

    def wait(*_: object, **__: object) -> None:
        assert go.wait(SENT_S)
        raise ConfigError("Enough.")

    monkeypatch.setattr("avatarkit.tracking.submit.send", wait)
    try:
        for name in ("one", "two", "three"):
            app.outbox.send(PersonaCreate(creator_name=name, gender="f"), form(app))
        rows = app.session.store.submissions()
        assert sorted(rows["creator_name"]) == ["one", "three", "two"]
        assert set(rows["state"]) == {"prepared"}
    finally:
        go.set()


def test_what_a_crash_interrupted_is_shown_after_the_restart(
    app: Running, restart: Callable[..., Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A submission that never left can be sent again, one on its way is uncertain."""
    monkeypatch.setattr("avatarkit.tracking.submit.send", lambda *_, **__: 1 / 0)
    ids = [
        app.outbox.send(PersonaCreate(creator_name=name, gender="f", labels=["x"]), form(app))
        for name in ("waiting", "leaving")
    ]
    for submission_id in ids:
        app.outbox.wait(submission_id, SENT_S)
    app.session.store.sending(ids[1], app.session.clock.now())
    app = restart()
    app.session.tracker.reconcile()
    test = submit_page()
    assert "waiting was not submitted" in texts(test)
    assert "not known yet whether leaving was created" in texts(test)
    for submission_id in ids:
        test.button(key=f"submit_dismiss_{submission_id}").click().run()
    assert "leaving" not in texts(test)
    assert len(app.session.store.submissions()) == 2


def test_what_was_typed_survives_a_reload(app: Running, restart: Callable[..., Running]) -> None:
    """A new tab, or the same after a reload or restart, shows the draft."""
    fill(submit_page(), creator_name="Ada", gender="f", keywords="a, b", labels="x")
    restart()
    test = submit_page()
    assert test.text_input(key="submit_creator_name").value == "Ada"
    assert test.text_input(key="submit_keywords").value == "a, b"
    assert test.button_group(key="submit_gender").value == "f"


def test_a_submission_is_sent_and_the_form_is_empty(app: Running, talking_head: Path) -> None:
    """Submit sends what stands in the form, links to the avatar, and clears the form."""
    test = fill(
        submit_page(),
        creator_name="Ada",
        gender="f",
        labels="sandbox:done, mine",
        lipsync_input=str(talking_head),
    )
    submit(test)
    [item] = app.outbox.items(BROWSER)
    app.outbox.wait(item.submission.submission_id, SENT_S)
    test.run()
    [item] = app.outbox.items(BROWSER)
    assert item.submission.state == "accepted", item.error
    [link] = sent_links(test)
    assert (link.label, link.page) == ("Ada was submitted", "avatars")
    assert link.query_string == f"persona={item.submission.persona_id}"
    assert test.text_input(key="submit_creator_name").value == ""
    assert app.session.store.personas().iloc[0]["labels"] == ["sandbox:done", "mine"]


@pytest.mark.long
def test_a_sample_video_is_made(app: Running) -> None:
    """In the sandbox somebody without a video can have one made, and it is fine."""
    test = submit_page()
    test.button(key="submit_sample").click().run()
    path = Path(entered(test, "lipsync_input"))
    assert path.stat().st_size > 100_000
    assert not test.error


def test_a_second_avatar_of_a_name_has_to_be_confirmed(app: Running) -> None:
    """Another avatar of the same name needs a tick, however it is written."""
    app.session.tracker.submit(ADA)
    test = fill(submit_page(), creator_name="ada ", gender="f", lipsync_input=URL)
    assert "Ada was submitted" in texts(test)
    assert "Not sent yet. Look at: Creator name." in texts(submit(test))
    submit(tick(test))
    assert set(app.session.store.submissions()["creator_name"]) == {"Ada", "ada"}


def test_a_name_whose_create_is_uncertain_has_to_be_confirmed(app: Running) -> None:
    """An uncertain create counts as one of its name: sent again it could be made twice."""
    session = app.session
    submission_id = session.tracker.prepare(ADA)
    session.store.sending(submission_id, session.clock.now())
    session.store.uncertain(submission_id, session.clock.now(), "It broke.")
    test = submit(fill(submit_page(), creator_name="Ada", gender="f", lipsync_input=URL))
    assert "may have been created" in texts(test)
    assert "Not sent yet. Look at: Creator name." in texts(test)


def test_a_refused_submission_goes_back_into_the_form(
    app: Running, restart: Callable[..., Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a refusal everything that was typed can be put back, after a restart too."""
    test = fill(submit_page(), creator_name="Ada", gender="nb", labels="a, b", lipsync_input=DRIVE)

    def refuse(*_: object, **__: object) -> None:
        raise ConfigError("The plan is full.")

    monkeypatch.setattr(app.session.client, "create_persona", refuse)
    submit(test)
    [item] = app.outbox.items(BROWSER)
    app.outbox.wait(item.submission.submission_id, SENT_S)
    assert "Ada was not submitted: The plan is full." in texts(test.run())
    restart()
    test = submit_page()
    assert "Ada was not submitted: The plan is full." in texts(test)
    test.button(key=f"submit_again_{item.submission.submission_id}").click().run()
    assert test.text_input(key="submit_creator_name").value == "Ada"
    assert test.text_input(key="submit_labels").value == "a, b"
    assert entered(test, "lipsync_input") == DRIVE
    assert test.button_group(key="submit_gender").value == "nb"


def test_a_form_is_not_replaced_unasked(app: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Putting a submission back is said to replace what was typed and uploaded meanwhile."""

    def refuse(*_: object, **__: object) -> None:
        raise ConfigError("The plan is full.")

    monkeypatch.setattr(app.session.client, "create_persona", refuse)
    test = fill(submit_page(), creator_name="Ada", gender="f", lipsync_input=DRIVE)
    submit(test)
    [item] = app.outbox.items(BROWSER)
    app.outbox.wait(item.submission.submission_id, SENT_S)
    submission_id = item.submission.submission_id
    # The click comes together with what was typed before it.
    test.run().button(key=f"submit_again_{submission_id}").click()
    fill(test, creator_name="Bob")
    assert test.text_input(key="submit_creator_name").value == "Bob"
    assert "What is in the form now is replaced" in texts(test)
    footage(test, b"x" * 99)
    assert app.outbox.stored()
    test.button(key=f"submit_replace_{submission_id}").click().run()
    assert test.text_input(key="submit_creator_name").value == "Ada"
    assert not app.outbox.stored()


@pytest.mark.parametrize(("used", "text"), [(2, "2 of 3 avatars"), (3, "Delete one")])
def test_the_plan_is_shown_and_a_full_one_said(app: Running, used: int, text: str) -> None:
    """How much of the plan is used stands above the button, and when it is full."""
    app.session.tracker.quota = Quota(max_count=3, current_count=used)
    assert text in texts(submit_page())


def test_an_upload_is_stored_once_under_its_name(app: Running) -> None:
    """However often the page reruns, an upload is one file, which the form shows."""
    test = footage(submit_page(), b"no video " * 99, "Ada in May.mp4")
    test.run()
    fill(test, creator_name="Ada")
    [upload] = app.outbox.stored()
    assert upload.path.name == "Ada in May.mp4"
    assert upload.path.read_bytes() == b"no video " * 99
    assert upload.browser == BROWSER
    assert entered(test, "lipsync_input") == str(upload.path)


def test_an_upload_replaces_the_one_before(app: Running) -> None:
    """The first is deleted, as the form names it no longer."""
    test = footage(submit_page(), b"x" * 99, "first.mp4")
    [first] = app.outbox.stored()
    footage(test, b"y" * 99, "second.mp4")
    [second] = app.outbox.stored()
    assert (first.path.name, second.path.name) == ("first.mp4", "second.mp4")
    assert entered(test, "lipsync_input") == str(second.path)


def test_an_upload_is_stored_once_if_the_run_is_cut_off(
    app: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If Streamlit ends a run after the file was written, the next run does not write it again."""
    save, saved = Draft.save_upload, []

    def save_and_end(form: Draft, *upload: Any) -> Path:
        saved.append(save(form, *upload))
        if len(saved) == 1:
            raise rerun()
        return saved[-1]

    monkeypatch.setattr(Draft, "save_upload", save_and_end)
    test = footage(submit_page(), b"x" * 99)
    test.run()
    assert {upload.path for upload in app.outbox.stored()} == set(saved)
    assert len(app.outbox.stored()) == 1
    assert entered(test, "lipsync_input") == str(saved[0])


def test_an_upload_is_not_kept_in_memory(app: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once it is on disk, the server's memory is free of it, while the tab stays open."""
    freed, free = [], MemoryUploadedFileManager.remove_file

    def remove_file(manager: MemoryUploadedFileManager, session_id: str, file_id: str) -> None:
        assert manager.get_files(session_id, [file_id])
        free(manager, session_id, file_id)
        freed.append((file_id, manager.get_stats()))

    monkeypatch.setattr(MemoryUploadedFileManager, "remove_file", remove_file)
    footage(submit_page(), b"x" * 99)
    assert [stats for _, stats in freed] == [{}]
    [upload] = app.outbox.stored()
    assert upload.path.read_bytes() == b"x" * 99


def test_another_browser_has_another_form(app: Running, restart: Callable[..., Running]) -> None:
    """What one browser typed and uploaded is shown to it alone, and sent under its name alone."""
    ada = footage(submit_page("a" * 32), b"no video", "ada.mp4")
    fill(ada, creator_name="Ada", gender="f")
    restart()
    bob = submit_page("c" * 32)
    assert bob.text_input(key="submit_creator_name").value == ""
    assert entered(bob, "lipsync_input") == ""
    footage(fill(bob, creator_name="Bob", gender="m"), b"none either", "bob.mp4")
    bob.checkbox[0].check().run()
    submit(bob)
    app = running.get()
    [item] = app.outbox.items("c" * 32)
    assert item.submission.request["lipsync_input"].endswith("bob.mp4")
    assert app.outbox.items("a" * 32) == []
    ada = submit_page("a" * 32)
    assert ada.text_input(key="submit_creator_name").value == "Ada"
    assert Path(entered(ada, "lipsync_input")).exists()
    assert "Bob was" not in texts(ada)


def test_a_submitted_form_does_not_come_back(app: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the tab is closed while its submission is handed over, a new tab shows an empty form."""

    def end(*_: object) -> None:
        raise StopException

    monkeypatch.setattr(app.outbox, "wait", end)
    test = fill(submit_page(), creator_name="Ada", gender="f", lipsync_input=URL)
    submit(test)
    assert app.session.store.submissions()["creator_name"].tolist() == ["Ada"]
    assert submit_page().text_input(key="submit_creator_name").value == ""


def test_a_second_click_sends_nothing(app: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """A double click comes with the fields of a form that is sent already; it is sent once."""
    wait = app.outbox.wait

    def click_again(*arguments: Any) -> None:
        wait(*arguments)
        raise rerun()

    monkeypatch.setattr(app.outbox, "wait", click_again)
    test = fill(submit_page(), creator_name="Ada", gender="f", lipsync_input=URL)
    submit(test)
    assert test.text_input(key="submit_creator_name").value == ""
    # And when it has arrived after the form was emptied, before the browser knew.
    fill(test, creator_name="Ada", gender="f")
    assert test.text_input(key="submit_creator_name").value == ""
    assert not test.error
    assert len(app.session.store.submissions()) == 1


@pytest.mark.long
def test_two_tabs_submit_what_they_show(app: Running, talking_head: Path) -> None:
    """A tab sends its own fields and files; a file that another one has taken is not there."""
    first = footage(submit_page(), talking_head.read_bytes(), "ada.mp4")
    fill(first, creator_name="Ada", gender="f")
    second = submit_page()
    assert second.text_input(key="submit_creator_name").value == "Ada"
    path = entered(second, "lipsync_input")
    submit(first)
    fill(second, creator_name="Bob")
    assert "not here any more" in texts(second)
    submit(second)
    assert "Not sent yet. Look at: Footage." in texts(second)
    assert app.session.store.submissions()["creator_name"].tolist() == ["Ada"]
    footage(second, talking_head.read_bytes(), "bob.mp4")
    assert entered(second, "lipsync_input") != path
    submit(second)
    for item in app.outbox.items(BROWSER):
        app.outbox.wait(item.submission.submission_id, SENT_S)
    items = app.outbox.items(BROWSER)
    sent = {i.submission.request["creator_name"]: i.submission.request for i in items}
    assert Path(sent["Ada"]["lipsync_input"]).name == "ada.mp4"
    assert Path(sent["Bob"]["lipsync_input"]).name == "bob.mp4"
    assert {item.submission.state for item in items} == {"accepted"}
    assert app.outbox.stored() == []


def test_a_full_disk_is_a_sentence(app: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """An upload that cannot be written is said, and what was typed stays."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    test = fill(submit_page(), creator_name="Ada")
    monkeypatch.setattr(Draft, "save_upload", full)
    footage(test, b"x")
    assert "No space left on device" in test.error[0].value
    assert test.text_input(key="submit_creator_name").value == "Ada"
