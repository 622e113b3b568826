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
from support.app_pages import BROWSER, fill, submit_page, texts

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
    """Pressing Submit on an empty form says what is missing, and nothing is recorded."""
    test = submit_page()
    test.button(key="submit_send").click().run()
    assert "gender" in test.error[0].value
    fill(test, gender="f")
    test.button(key="submit_send").click().run()
    assert "creator_name: must not be empty" in texts(test)
    assert app.session.store.submissions().empty


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("lipsync_input", "/no/such.mp4", "does not exist"),
        ("lipsync_input", "/", "is a directory"),
        ("webhook_url", "nope", "must be a URL"),
        ("lipsync_input", "ftp://x/y.mp4", "http"),
        ("creator_name", "x" * 256, "creator_name: String should have at most 255"),
        ("video_scene", "x" * 256, "video_scene: String should have at most 255"),
        ("webhook_url", f"https://example.com/{'x' * 181}", "webhook_url: String should have"),
        ("labels", "one, , two", "A label must not be empty"),
    ],
)
def test_bad_input_is_a_sentence_and_loses_nothing(
    app: Running, field: str, value: str, sentence: str
) -> None:
    """Errors are shown, and everything typed is still in the form."""
    test = fill(submit_page(), **{"creator_name": "Ada", "gender": "f", field: value})
    if test.checkbox:
        test.checkbox[0].check().run()
    test.button(key="submit_send").click().run()
    assert sentence in texts(test)
    assert test.text_input(key=f"submit_{field}").value == value
    assert app.session.store.submissions().empty


def test_255_emoji_are_a_name(app: Running) -> None:
    """Characters are counted, as the API counts them, and not their halves."""
    test = fill(submit_page(), creator_name="🎬" * 255, gender="f", lipsync_input=URL)
    test.button(key="submit_send").click().run()
    assert not test.error
    assert app.session.store.submissions()["creator_name"].tolist() == ["🎬" * 255]


def test_an_unusable_video_has_to_be_confirmed(app: Running, tmp_path: Path) -> None:
    """A file that is no video needs a tick, and another one needs another tick."""
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / name).write_text("no video " * 99)
    first, second = str(tmp_path / "a.mp4"), str(tmp_path / "b.mp4")
    test = fill(submit_page(), creator_name="Ada", gender="f", lipsync_input=first)
    assert test.error
    assert test.button(key="submit_send").disabled
    test.checkbox[0].check().run()
    assert not test.button(key="submit_send").disabled
    fill(test, lipsync_input=second)
    assert test.button(key="submit_send").disabled


def test_a_create_without_footage_has_to_be_confirmed(app: Running) -> None:
    """A plan has few places, so an avatar that cannot be made of anything needs a tick."""
    test = fill(submit_page(), creator_name="Ada", gender="f")
    assert "There is no footage" in texts(test)
    assert test.button(key="submit_send").disabled
    test.checkbox[0].check().run()
    assert not test.button(key="submit_send").disabled
    fill(test, creator_name="Bo")
    assert test.button(key="submit_send").disabled
    fill(test, gdown_url=DRIVE)
    assert not test.button(key="submit_send").disabled
    test.button(key="submit_send").click().run()
    store = app.session.store
    [submission] = store.some_submissions(store.submissions()["submission_id"])
    assert submission.request["gdown_url"] == DRIVE


def test_a_url_that_may_not_be_fetched_is_a_warning(app: Running) -> None:
    """It is shown before the create is sent, and does not keep anybody from sending it."""
    test = fill(submit_page(), creator_name="Ada", gender="f", lipsync_input="https://youtu.be/1")
    assert "this is a page of YouTube" in texts(test)
    assert "There is no consent video" in texts(test)
    assert not test.button(key="submit_send").disabled


@pytest.mark.parametrize("path", ["~nosuchuser/a.mp4", "x" * 400, "a\0b.mp4"])
def test_a_path_that_no_file_can_have_is_a_finding(
    app: Running, restart: Callable[..., Running], path: str
) -> None:
    """It is shown beside the form, and nothing that was typed is lost."""
    test = fill(submit_page(), creator_name="Ada", gender="f", lipsync_input=path)
    assert not test.exception
    assert test.error
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
    """Submit sends what stands in the form, says the id, and clears the form."""
    test = fill(
        submit_page(),
        creator_name="Ada",
        gender="f",
        labels="sandbox:done, mine",
        lipsync_input=str(talking_head),
    )
    test.button(key="submit_send").click().run()
    [item] = app.outbox.items(BROWSER)
    app.outbox.wait(item.submission.submission_id, SENT_S)
    test.run()
    [item] = app.outbox.items(BROWSER)
    assert item.submission.state == "accepted", item.error
    assert any(str(item.submission.persona_id) in success.value for success in test.success)
    assert test.text_input(key="submit_creator_name").value == ""
    assert app.session.store.personas().iloc[0]["labels"] == ["sandbox:done", "mine"]


@pytest.mark.long
def test_a_sample_video_is_made(app: Running) -> None:
    """In the sandbox somebody without a video can have one made, and it is fine."""
    test = submit_page()
    test.button(key="submit_sample").click().run()
    path = Path(test.text_input(key="submit_lipsync_input").value)
    assert path.stat().st_size > 100_000
    assert not test.error


def test_a_second_avatar_of_a_name_has_to_be_confirmed(app: Running) -> None:
    """Another avatar of the same name needs a tick, as plans allow only a few."""
    app.session.tracker.submit(ADA)
    test = fill(submit_page(), creator_name="Ada", gender="f", lipsync_input=URL)
    assert "Ada was submitted" in texts(test)
    assert test.button(key="submit_send").disabled
    test.checkbox[0].check().run()
    assert not test.button(key="submit_send").disabled


def test_a_name_whose_create_is_uncertain_has_to_be_confirmed(app: Running) -> None:
    """An uncertain create counts as one of its name: sent again it could be made twice."""
    session = app.session
    submission_id = session.tracker.prepare(ADA)
    session.store.sending(submission_id, session.clock.now())
    session.store.uncertain(submission_id, session.clock.now(), "It broke.")
    test = fill(submit_page(), creator_name="Ada", gender="f")
    assert "may have been created" in texts(test)
    assert test.button(key="submit_send").disabled


def test_a_refused_submission_goes_back_into_the_form(
    app: Running, restart: Callable[..., Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a refusal everything that was typed can be put back, after a restart too."""
    test = fill(submit_page(), creator_name="Ada", gender="nb", labels="a, b", gdown_url=DRIVE)

    def refuse(*_: object, **__: object) -> None:
        raise ConfigError("The plan is full.")

    monkeypatch.setattr(app.session.client, "create_persona", refuse)
    test.button(key="submit_send").click().run()
    [item] = app.outbox.items(BROWSER)
    app.outbox.wait(item.submission.submission_id, SENT_S)
    assert "The plan is full." in test.run().error[0].value
    restart()
    test = submit_page()
    assert "The plan is full." in test.error[0].value
    test.button(key=f"submit_again_{item.submission.submission_id}").click().run()
    assert test.text_input(key="submit_creator_name").value == "Ada"
    assert test.text_input(key="submit_labels").value == "a, b"
    assert test.text_input(key="submit_gdown_url").value == DRIVE
    assert test.button_group(key="submit_gender").value == "nb"


def test_a_form_is_not_replaced_unasked(app: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Putting a submission back is said to replace what was typed meanwhile."""

    def refuse(*_: object, **__: object) -> None:
        raise ConfigError("The plan is full.")

    monkeypatch.setattr(app.session.client, "create_persona", refuse)
    test = fill(submit_page(), creator_name="Ada", gender="f", gdown_url=DRIVE)
    test.button(key="submit_send").click().run()
    [item] = app.outbox.items(BROWSER)
    app.outbox.wait(item.submission.submission_id, SENT_S)
    submission_id = item.submission.submission_id
    # The click comes together with what was typed before it.
    test.run().button(key=f"submit_again_{submission_id}").click()
    fill(test, creator_name="Bob")
    assert test.text_input(key="submit_creator_name").value == "Bob"
    assert "What is in the form now is replaced." in texts(test)
    test.button(key=f"submit_replace_{submission_id}").click().run()
    assert test.text_input(key="submit_creator_name").value == "Ada"


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
    assert test.text_input(key="submit_lipsync_input").value == str(upload.path)


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
    assert test.text_input(key="submit_lipsync_input").value == str(saved[0])


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
    assert bob.text_input(key="submit_lipsync_input").value == ""
    footage(fill(bob, creator_name="Bob", gender="m"), b"none either", "bob.mp4")
    bob.checkbox[0].check().run()
    bob.button(key="submit_send").click().run()
    app = running.get()
    [item] = app.outbox.items("c" * 32)
    assert item.submission.request["lipsync_input"].endswith("bob.mp4")
    assert app.outbox.items("a" * 32) == []
    ada = submit_page("a" * 32)
    assert ada.text_input(key="submit_creator_name").value == "Ada"
    assert Path(ada.text_input(key="submit_lipsync_input").value).exists()
    assert "Bob was" not in texts(ada)


def test_a_submitted_form_does_not_come_back(app: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the tab is closed while its submission is handed over, a new tab shows an empty form."""

    def end(*_: object) -> None:
        raise StopException

    monkeypatch.setattr(app.outbox, "wait", end)
    test = fill(submit_page(), creator_name="Ada", gender="f", lipsync_input=URL)
    test.button(key="submit_send").click().run()
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
    test.button(key="submit_send").click().run()
    assert test.text_input(key="submit_creator_name").value == ""
    # And when it has arrived after the form was emptied, before the browser knew.
    fill(test, creator_name="Ada", gender="f", lipsync_input=URL)
    assert test.text_input(key="submit_creator_name").value == ""
    assert not test.error
    assert len(app.session.store.submissions()) == 1


def test_two_tabs_submit_what_they_show(app: Running, talking_head: Path) -> None:
    """A tab sends its own fields and files; a file that another one has taken is not there."""
    first = footage(submit_page(), talking_head.read_bytes(), "ada.mp4")
    fill(first, creator_name="Ada", gender="f")
    second = submit_page()
    assert second.text_input(key="submit_creator_name").value == "Ada"
    path = second.text_input(key="submit_lipsync_input").value
    first.button(key="submit_send").click().run()
    fill(second, creator_name="Bob")
    assert "not here any more" in texts(second)
    second.checkbox[0].check().run()
    second.button(key="submit_send").click().run()
    assert "does not exist" in second.error[-1].value
    assert app.session.store.submissions()["creator_name"].tolist() == ["Ada"]
    footage(second, talking_head.read_bytes(), "bob.mp4")
    assert second.text_input(key="submit_lipsync_input").value != path
    second.button(key="submit_send").click().run()
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
