"""The form of the Submit page: its videos, the consent sentence, and how it is cleared."""

from __future__ import annotations

from pathlib import Path

from streamlit.testing.v1 import AppTest

from avatarkit import Quota
from avatarkit.ui.running import Running
from support.app_pages import entered, fill, page, submit_page, texts

URL = "https://cdn.example.com/a.mp4"


def upload(test: AppTest, number: int = 0) -> AppTest:
    """Upload the footage, or with 1 the consent video."""
    test.file_uploader[number].upload(f"{number}.mp4", b"no video", "video/mp4")
    return test.run()


def clear(test: AppTest) -> AppTest:
    return test.button(key="submit_clear_now").click().run()


def report_page() -> None:
    from pathlib import Path

    from avatarkit.preflight import Finding, Report, Severity, Source
    from avatarkit.ui import video_report

    def finding(check: str, severity: Severity, value: str = "") -> Finding:
        return Finding(check, severity, f"The {check}.", value, "", Source.OWN)

    fatal, warning, fine = Severity.FATAL, Severity.WARNING, Severity.FINE
    findings = [
        *(finding("cuts", severity) for severity in (warning, fatal)),
        *(finding("faces", severity) for severity in (warning, fatal)),
        finding("resolution", fine, "720 x 1280"),
        finding("audio", fine),
        finding("container", fine),
    ]
    video_report.show(Report(Path("a.mp4"), tuple(findings)))


def test_the_checks_that_matter_come_first() -> None:
    """Errors before warnings, faces before cuts, and what is fine in one line; the rest folded."""
    test = page(report_page)
    assert [error.value for error in test.error] == ["The faces.", "The cuts."]
    assert [warning.value for warning in test.warning] == ["The faces.", "The cuts."]
    assert test.caption[0].value == ":material/check: The audio. 720 x 1280."
    assert test.expander[0].label == "1 more check is fine"
    assert test.expander[0].caption[0].value == "The container."


def test_places_of_the_plan_are_said_before_an_upload(app: Running) -> None:
    """They are the first line of the form."""
    app.session.tracker.quota = Quota(max_count=3, current_count=2)
    kinds = [
        "plan" if "2 of 3 avatars" in str(getattr(element, "value", "")) else element.type
        for element in submit_page().main
    ]
    assert kinds.index("plan") < kinds.index("text_input") < kinds.index("file_uploader")


def test_a_video_has_one_control(app: Running) -> None:
    """A switch changes it between an upload and an address; what was given stays."""
    test = fill(submit_page(), lipsync_input=URL)
    assert len(test.file_uploader) == 1
    test.button_group(key="submit_lipsync_input_way").set_value("Upload").run()
    assert len(test.file_uploader) == 2
    assert entered(test, "lipsync_input") == URL
    upload(test)
    assert Path(entered(test, "lipsync_input")).read_bytes() == b"no video"
    assert test.button_group(key="submit_lipsync_input_way").value == "Upload"


def test_a_video_is_taken_out_of_the_form(app: Running) -> None:
    """Remove empties the field and deletes the upload; a file of one's own stays."""
    test = upload(submit_page())
    assert "0.mp4, 0.0 MB" in texts(test)
    test.button(key="submit_lipsync_input_remove").click().run()
    assert entered(test, "lipsync_input") == ""
    assert app.outbox.stored() == []
    own = Path("own.mp4")
    own.write_bytes(b"no video")
    fill(test, lipsync_input=str(own)).button(key="submit_lipsync_input_remove").click().run()
    assert entered(test, "lipsync_input") == ""
    assert own.exists()


def test_a_form_is_cleared_with_its_uploads(app: Running) -> None:
    """It says first what becomes of them; a new tab shows an empty form, too."""
    test = fill(upload(upload(submit_page()), 1), creator_name="Ada", gender="f", keywords="a")
    assert "The 2 uploads (0.0 MB) are deleted from this app; your own files stay." in texts(test)
    clear(test)
    for shown in (test, submit_page()):
        assert entered(shown, "creator_name") == ""
        assert entered(shown, "lipsync_input") == ""
        assert shown.button_group(key="submit_gender").value is None
    assert app.outbox.stored() == []


def test_a_form_that_was_sent_is_not_cleared(app: Running) -> None:
    """A click that comes after it was sent from there deletes nothing of the submission."""
    draft = app.outbox.uploads.draft("b" * 32)
    draft.save({"creator_name": "Ada"})
    sent = type(draft)(draft.folder, {})
    draft.next = sent
    app.outbox.clear(draft)
    assert draft.next is sent
    assert app.outbox.uploads.draft("b" * 32).fields == {"creator_name": "Ada"}


def test_a_sentence_to_read_aloud(app: Running) -> None:
    """It has the name, can be copied, and is said to be ours."""
    test = fill(submit_page(), creator_name="Ada *Lovelace*")
    assert test.code[0].value.startswith("I, Ada *Lovelace*, am the person in this video.")
    assert "it is ours, not the vendor's" in texts(test)
