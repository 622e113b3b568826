"""The tab of the Submit page from which many avatars are submitted."""

from __future__ import annotations

from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import Button

from avatarkit.ui.running import Running
from support.app_pages import BROWSER, HANGS_S, main_page

URL = "https://cdn.example.com/{}.mp4"


def csv(*rows: str) -> bytes:
    """Return a sheet of URLs with these creator names, gender and footage."""
    return "\n".join(["creator_name,gender,lipsync_input", *rows]).encode()


def row(name: str, gender: str = "f") -> str:
    return f"{name},{gender},{URL.format(name.lower())}"


def many_page() -> AppTest:
    """Run the whole app at the tab."""
    test = main_page("submit")
    return test.button_group(key="avatars").set_value("many").run()


def drop(test: AppTest, name: str, content: bytes) -> AppTest:
    test.file_uploader[0].upload(name, content, "text/csv")
    return test.run()


def send_button(test: AppTest) -> Button:
    """Return the button that sends, once the rows are checked."""
    while not any(button.key == "many_send" for button in test.button):
        test.run()
    return test.button(key="many_send")


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
    assert submissions["creator_name"].tolist() == ["Ada", "Bob"]
    assert set(submissions["state"]) == {"accepted"}
