"""The Submit page."""

from __future__ import annotations

import threading
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest

from avatarkit import PersonaCreate, Quota
from avatarkit.errors import ConfigError
from avatarkit.ui import draft
from avatarkit.ui.running import Running
from support.app_pages import fill, submit_page, texts

ADA = PersonaCreate(creator_name="Ada", gender="f")
DRIVE = "https://drive.google.com/file/d/1/view"
URL = "https://cdn.example.com/a.mp4"
SENT_S = 300.0


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
            app.outbox.send(PersonaCreate(creator_name=name, gender="f"))
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
        app.outbox.send(PersonaCreate(creator_name=name, gender="f", labels=["x"]))
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


def test_the_videos_of_a_create_that_was_found_are_deleted(app: Running) -> None:
    """They are kept until it is accepted, and then not for good."""
    session, outbox = app.session, app.outbox
    path = draft.save_upload(outbox.uploads, "a.mp4", BytesIO(b"x" * 99))
    request = PersonaCreate(creator_name="Ada", gender="f", lipsync_input=path)
    submission_id = session.tracker.prepare(request)
    session.store.sending(submission_id, session.clock.now())
    session.store.uncertain(submission_id, session.clock.now(), "It broke.")
    outbox.dismiss(submission_id)
    assert path.exists()
    session.tracker.settle(submission_id, session.client.create_persona(ADA).id)
    outbox.dismiss(submission_id)
    assert not path.exists()


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
    [item] = app.outbox.items()
    app.outbox.wait(item.submission.submission_id, SENT_S)
    test.run()
    [item] = app.outbox.items()
    assert item.submission.state == "accepted", item.error
    assert any(str(item.submission.persona_id) in success.value for success in test.success)
    assert test.text_input(key="submit_creator_name").value == ""
    assert app.session.store.personas().iloc[0]["labels"] == ["sandbox:done", "mine"]


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
    [item] = app.outbox.items()
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


@pytest.mark.parametrize(("used", "text"), [(2, "2 of 3 avatars"), (3, "Delete one")])
def test_the_plan_is_shown_and_a_full_one_said(app: Running, used: int, text: str) -> None:
    """How much of the plan is used stands above the button, and when it is full."""
    app.session.tracker.quota = Quota(max_count=3, current_count=used)
    assert text in texts(submit_page())
