"""The tab of the Submit page from which many avatars are submitted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import Button

from avatarkit.errors import ConnectionFailed
from avatarkit.ui.running import Running
from avatarkit.ui.views import sent_batches
from support.app_pages import BROWSER, HANGS_S, main_page, texts

URL = "https://cdn.example.com/{}.mp4"


def csv(*rows: str) -> bytes:
    """Return a sheet of URLs with these creator names, gender and footage."""
    return "\n".join(["creator_name,gender,lipsync_input", *rows]).encode()


def row(name: str, gender: str = "f") -> str:
    return f"{name},{gender},{URL.format(name.lower())}"


def many_page(browser_id: str = BROWSER) -> AppTest:
    """Run the whole app at the tab."""
    test = main_page("submit", browser_id)
    return test.button_group(key="avatars").set_value("Many").run()


def drop(test: AppTest, name: str, content: bytes) -> AppTest:
    test.file_uploader[0].upload(name, content, "text/csv")
    return test.run()


def send_button(test: AppTest) -> Button:
    """Return the button that sends, once the rows are checked."""
    while not any(button.key == "many_send" for button in test.button):
        test.run()
    return test.button(key="many_send")


def problems(test: AppTest) -> list[str]:
    """Return the problem of each row, as its table shows them."""
    return list(test.dataframe[0].value["problems"])


def sent(app: Running) -> None:
    """Wait until the threads have sent what was clicked."""
    for batch in app.batches.batches(BROWSER):
        app.batches.wait(batch.batch_id, HANGS_S)


def test_an_empty_sheet_offers_a_template(app: Running) -> None:
    """Without rows nothing can be sent, and a template can be downloaded."""
    test = many_page()
    assert not test.exception
    assert not test.error
    assert [button.label for button in test.button if "Send" in button.label] == []
    assert [each.label for each in test.get("download_button")] == ["Download a template"]


def test_a_sheet_is_sent(app: Running) -> None:
    """A CSV that is dropped and sent becomes avatars, and the sheet is empty."""
    test = drop(many_page(), "batch.csv", csv(row("Ada"), row("Bob", "m")))
    assert not test.exception
    assert send_button(test).label == "Send 2 avatars"
    send_button(test).click().run()
    assert not test.exception
    sent(app)
    submissions = app.session.store.submissions()
    assert sorted(submissions["creator_name"]) == ["Ada", "Bob"]
    assert set(submissions["state"]) == {"accepted"}


def test_bad_rows_are_named_and_the_others_are_sent(app: Running, tmp_path: Path) -> None:
    """Faults stand in the row and in a list; what is fine goes without them, and they stay."""
    bad = "\n".join(["x" * 300 + ",f,", "Cy,q," + URL.format("cy"), "Di,f,/no/such.mp4"])
    test = drop(many_page(), "batch.csv", csv(row("Ada"), bad, row("Bob", "m")))
    send = send_button(test)
    assert send.label == "Send 2 avatars without the other 3"
    named = texts(test)
    for sentence in ("Row 2", "Row 3, Cy: Gender: ", "Row 4, Di: Footage: ", "does not exist"):
        assert sentence in named
    assert problems(test)[1].startswith("Creator name: String should have at most 255")
    assert problems(test)[2].startswith("Gender: ")
    assert problems(test)[0].startswith("Hint: There is no consent video")
    assert app.session.store.submissions().empty
    send.click().run()
    sent(app)
    assert sorted(app.session.store.submissions()["creator_name"]) == ["Ada", "Bob"]
    assert "3 rows cannot be sent" in texts(test.run())


def test_twins_are_sent_only_if_ticked(app: Running) -> None:
    """Rows of one name, in the sheet or in the account, are pointed out and left out."""
    test = drop(many_page(), "batch.csv", csv(row("Ada"), row("Ada"), row("Bob")))
    assert send_button(test).label == "Send 2 avatars without the other one"
    test.checkbox[0].check().run()
    send_button(test).click().run()
    sent(app)
    again = f"Ada,m,{URL.format('other')}"
    test = drop(test, "batch.csv", csv(again, row("Bob")))
    assert send_button(test).disabled
    assert "The account has this name already" in texts(test)
    assert "Row 2, Bob: was sent before as" in texts(test)


def test_what_is_no_sheet_is_a_sentence(app: Running) -> None:
    """A CSV with other columns changes nothing that is in the sheet."""
    test = drop(many_page(), "batch.csv", csv(row("Ada")))
    for content in (b"name,age\nAda,3\n", b"", b"\xff\xfe\xff", csv(*[row("Ada")] * 1001)):
        drop(test, "other.csv", content)
        assert test.error[0].value.startswith("other.csv")
    assert send_button(test).label == "Send 1 avatar"


def test_dropped_videos_go_with_the_rows_that_name_them(app: Running) -> None:
    """A CSV and its videos are dropped together; a file that is no video is named in its row."""
    test = many_page()
    files = [("batch.csv", csv("Ada,f,ada.mp4", "Bob,m,bob"), "text/csv")]
    files += [(f"{name}.mp4", b"no video " * 99, "video/mp4") for name in ("ada", "bob")]
    for name, content, kind in files:
        test.file_uploader[0].upload(name, content, kind)
    test.run()
    assert send_button(test).disabled
    assert "Row 1, Ada: Footage: " in texts(test)
    assert "2 videos are here" in texts(test)
    test.button(key="many_clear").click().run()
    assert "videos are here" not in texts(test)


def test_dropped_files_leave_the_memory_one_by_one(
    app: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is freed as soon as its copy is on disk, and before the next one is copied."""
    on_disk, free = [], MemoryUploadedFileManager.remove_file

    def remove_file(manager: MemoryUploadedFileManager, session_id: str, file_id: str) -> None:
        assert manager.get_files(session_id, [file_id])
        free(manager, session_id, file_id)
        on_disk.append(sorted(upload.path.name for upload in app.outbox.stored()))

    monkeypatch.setattr(MemoryUploadedFileManager, "remove_file", remove_file)
    test = many_page()
    for name in ("a.mp4", "b.mp4"):
        test.file_uploader[0].upload(name, name.encode() * 99, "video/mp4")
    test.run()
    assert on_disk == [["a.mp4"], ["a.mp4", "b.mp4"]]


def test_a_folder_that_is_none_is_a_sentence(app: Running, tmp_path: Path) -> None:
    """It stands below its field; rows with URLs are sent all the same."""
    test = drop(many_page(), "batch.csv", csv(row("Ada")))
    for text in ("/no/such/folder", "a\0b", "~nosuchuser/x"):
        test.text_input(key="many_folder").set_value(text).run()
        assert "is not a folder on the server" in texts(test)
    assert send_button(test).label == "Send 1 avatar"
    test.text_input(key="many_folder").set_value(str(tmp_path)).run()
    assert "is not a folder" not in texts(test)


def test_what_was_typed_survives_a_restart_and_is_of_one_browser(
    app: Running, restart: Callable[..., Running], tmp_path: Path
) -> None:
    """Another browser has an empty sheet; this one has its rows and its folder again."""
    test = drop(many_page(), "batch.csv", csv(row("Ada")))
    test.text_input(key="many_folder").set_value(str(tmp_path)).run()
    restart()
    assert send_button(many_page()).label == "Send 1 avatar"
    assert many_page().text_input(key="many_folder").value == str(tmp_path)
    other = many_page("c" * 32)
    assert not other.exception
    assert other.text_input(key="many_folder").value == ""
    assert not any(button.key == "many_send" for button in other.button)


def test_the_results_are_there_after_a_restart(
    app: Running, restart: Callable[..., Running]
) -> None:
    """They stand on the page with the ids, as a CSV too, until they are dismissed."""
    test = drop(many_page(), "batch.csv", csv(row("=Ada()"), row("Bob")))
    send_button(test).click().run()
    sent(app)
    app = restart()
    test = many_page()
    [batch] = app.batches.batches(BROWSER)
    frame = test.dataframe[1].value
    assert frame["state"].tolist() == ["accepted", "accepted"]
    assert frame["persona_id"].tolist() == [result.persona_id for result in batch.results]
    text = sent_batches.results_csv(batch.batch_id)
    assert "'=Ada()" in text
    assert str(batch.results[0].persona_id) in text
    test.button(key=f"many_dismiss_{batch.batch_id}").click().run()
    assert not test.exception
    assert app.batches.batches(BROWSER) == []


def test_a_full_plan_is_said_before_and_after(restart: Callable[..., Running]) -> None:
    """How many places there are stands above the button, and the rest waits for Go on."""
    app = restart(sandbox_plan=1)
    app.session.tracker.ask_quota()
    test = drop(many_page(), "batch.csv", csv(row("Ada"), row("Bob")))
    send_button(test)
    assert "The plan has room for 1 of these 2" in texts(test)
    test.button(key="many_send").click().run()
    sent(app)
    test.run()
    [batch] = app.batches.batches(BROWSER)
    assert test.button(key=f"many_go_on_{batch.batch_id}").label == "Go on with 1"
    assert "The plan is full" in texts(test)
    test.button(key=f"many_go_on_{batch.batch_id}").click().run()
    assert not test.exception


def test_an_api_that_is_down_is_said_and_everything_waits(
    app: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reason stands with the batch, and Go on sends it later."""

    def down(*_: object, **__: object) -> None:
        raise ConnectionFailed("It is down.", method="POST", url="", maybe_sent=False)

    test = drop(many_page(), "batch.csv", csv(row("Ada"), row("Bob")))
    with monkeypatch.context() as patched:
        patched.setattr(app.session.client, "create_persona", down)
        send_button(test).click().run()
        sent(app)
    test.run()
    [batch] = app.batches.batches(BROWSER)
    assert "It is down." in texts(test)
    test.button(key=f"many_go_on_{batch.batch_id}").click().run()
    sent(app)
    assert app.batches.batch(batch.batch_id).count("accepted") == 2


def test_a_double_click_sends_once(app: Running) -> None:
    """The second click, on a page that had the same rows, finds an empty sheet."""
    test = drop(many_page(), "batch.csv", csv(row("Ada")))
    stale = drop(many_page(), "batch.csv", csv(row("Ada")))
    send_button(test).click()
    send_button(stale).click()
    test.run()
    stale.run()
    sent(app)
    assert app.session.store.submissions()["creator_name"].tolist() == ["Ada"]
    assert "changed" in texts(stale)


def test_rows_that_another_browser_has_sent_are_told_after_the_click(app: Running) -> None:
    """Nothing is sent, and the rows show why instead of the same error with each click."""
    test = drop(many_page(), "batch.csv", csv(row("Ada"), row("Bob")))
    send_button(test)
    other = drop(many_page("c" * 32), "batch.csv", csv(row("Ada")))
    send_button(other).click().run()
    [batch] = app.batches.batches("c" * 32)
    app.batches.wait(batch.batch_id, HANGS_S)
    test.button(key="many_send").click().run()
    assert "has changed since the rows were checked" in texts(test)
    assert "Row 1, Ada: was sent before as" in texts(test)
    assert send_button(test).label == "Send 1 avatar without the other one"
    assert "has changed since" not in texts(test.run())


def test_a_row_that_waits_leaves_the_batch_of_another_browser_only_if_ticked(
    restart: Callable[..., Running],
) -> None:
    """It is pointed out; then it is of one batch, and of the browser that took it."""
    app = restart(sandbox_plan=1)
    test = drop(many_page(), "batch.csv", csv(row("Ada"), row("Bob")))
    send_button(test).click().run()
    sent(app)
    # Two are sent at once, so either has taken the only place.
    [batch] = app.batches.batches(BROWSER)
    states = {result.creator_name: result.state for result in batch.results}
    made, waits = sorted(states, key=lambda name: states[name] == "prepared")
    other = drop(many_page("c" * 32), "batch.csv", csv(row(waits), row("Cy")))
    assert send_button(other).label == "Send 1 avatar without the other one"
    assert f"Row 1, {waits}: It waits in another batch already" in texts(other)
    other.checkbox[0].check().run()
    send_button(other).click().run()
    assert not other.exception
    [own] = app.batches.batches(BROWSER)
    [taken] = app.batches.batches("c" * 32)
    assert [result.creator_name for result in own.results] == [made]
    assert [result.creator_name for result in taken.results] == [waits, "Cy"]
    app.batches.wait(taken.batch_id, HANGS_S)


def test_a_file_that_comes_later_is_found_without_an_edit(app: Running, tmp_path: Path) -> None:
    """Also one with a whole path, or in a folder of the folder."""
    folder, whole = tmp_path / "folder", tmp_path / "whole.mp4"
    deep = folder / "a" / "b" / "ada.mp4"
    deep.parent.mkdir(parents=True)
    test = drop(many_page(), "batch.csv", csv("Ada,f,a/b/ada.mp4", f"Bob,m,{whole}"))
    test.text_input(key="many_folder").set_value(str(folder)).run()
    send_button(test)
    assert "does not exist" in texts(test)
    assert "is not in" in texts(test)
    whole.write_bytes(b"a video")
    test.run()
    send_button(test)
    assert "does not exist" not in texts(test)
    deep.write_bytes(b"a video")
    test.run()
    send_button(test)
    assert "is not in" not in texts(test)
