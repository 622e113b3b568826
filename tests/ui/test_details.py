"""The details of one avatar."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from avatarkit import Persona, PersonaCreate, text
from avatarkit.preflight import Finding, Report, Severity, Source
from avatarkit.tracking.webhooks import Webhooks
from avatarkit.ui import cache, charts_cache
from avatarkit.ui.draft import Draft
from avatarkit.ui.running import Running
from avatarkit.ui.views import details as details_view
from support.app_pages import (
    BROWSER,
    HOUR,
    chart_titles,
    page,
    record,
    record_lives,
    texts,
    unescaped,
)
from support.manual_clock import ManualClock

ADA = PersonaCreate(creator_name="Ada", gender="f")


def details_page() -> None:
    import streamlit as st

    from avatarkit.ui import resubmit, running
    from avatarkit.ui.views import details

    resubmit.show()
    details.show(running.get().session, st.query_params["persona"])


def details(persona_id: str, *, estimates: bool = False) -> AppTest:
    """Open the details, without the estimates and the chart, which take long, if not asked for."""
    with pytest.MonkeyPatch.context() as quick:
        if not estimates:
            quick.setattr(cache.Estimates, "arrivals", lambda *_: None)
            quick.setattr(charts_cache, "draw", lambda *_, **__: None)
        test = page(details_page, persona=persona_id)
    assert not test.exception
    return test


def sent(app: Running, request: PersonaCreate, **reports: Report) -> str:
    """Send a create from the app; return the id of its avatar."""
    draft = Draft(app.outbox.uploads.draft(BROWSER).folder, {})
    submission_id = app.outbox.send(request, draft, reports)
    app.outbox.wait(submission_id, 300.0)
    [submission] = app.session.store.some_submissions([submission_id])
    assert submission.persona_id is not None, submission.error
    return submission.persona_id


def answers(app: Running, persona_id: str, **fields: object) -> None:
    """Log what a poll answers about an avatar."""
    clock = app.session.clock
    assert isinstance(clock, ManualClock)
    clock.advance(HOUR)
    answer = {"id": persona_id, "creator_name": "Ada", **fields}
    record(app.session, Persona.model_validate(answer))


def test_what_was_sent_is_shown(app: Running, tmp_path: Path) -> None:
    """All fields, of a file its name and size, which are kept; of our own address no token."""
    app.session.tracker.webhooks = Webhooks(
        app.session.store, app.session.clock, "https://me.example"
    )
    video = tmp_path / "ada in may.mp4"
    video.write_bytes(b"x" * 2_340_000)
    request = PersonaCreate(
        creator_name="Ada",
        gender="f",
        video_scene="office",
        keywords="one, two",
        labels=["red", "blue"],
        lipsync_input=video,
    )
    persona_id = sent(app, request)
    video.unlink()
    shown = texts(details(persona_id))
    for line in (
        "Creator name: Ada",
        "Gender: f",
        "Footage: ada in may.mp4, 2.3 MB",
        "Video scene: office",
        "Keywords: one, two",
        "Labels: red, blue",
        "Webhook URL: https://me.example/webhooks/personas/[token]",
    ):
        assert f"- {line}" in shown
    assert str(tmp_path) not in shown


def test_no_token_stands_on_the_page(app: Running) -> None:
    """The create's answer repeats our address of webhooks; its token is not shown anywhere."""
    webhooks = Webhooks(app.session.store, app.session.clock, "https://me.example")
    app.session.tracker.webhooks = webhooks
    test = details(sent(app, ADA))
    token = str(webhooks.token())
    assert len(token) > 20
    everything = texts(test) + "".join(code.value for code in test.code)
    assert "me.example/webhooks/personas/[token]" in everything
    assert token not in everything


def test_id_and_link_can_be_copied(app: Running) -> None:
    """Both stand in boxes that have a button for it; the id is quoted in the link."""
    record(app.session, Persona(id="a/b c", process_status="done"), source="list")
    test = AppTest.from_function(details_page, default_timeout=300)
    test.query_params["persona"] = "a/b c"
    test.context = {"url": "http://127.0.0.1:8501/"}
    test.run()
    assert not test.exception
    codes = [code.value for code in test.code]
    assert "a/b c" in codes
    assert "http://127.0.0.1:8501/?persona=a%2Fb%20c" in codes


def test_a_failed_avatar_says_what_to_do(app: Running, tmp_path: Path) -> None:
    """Reason, next step and what the checks had found stand there, with the frames."""
    import numpy as np

    from avatarkit.preflight.footage import Shot

    video = tmp_path / "a.mp4"
    video.write_bytes(b"no video")
    finding = Finding("audio", Severity.WARNING, "It is quiet.", "-40", "-30", Source.OWN)
    fine = Finding("cuts", Severity.FINE, "No cuts.", "0", "0", Source.OWN)
    picture = np.zeros((240, 426, 3), np.uint8)
    report = Report(video, (finding, fine), (Shot(1.0, picture),))
    request = ADA.model_copy(update={"lipsync_input": video})
    persona_id = sent(app, request, lipsync_input=report)
    test = details(persona_id)
    assert not any(button.label == "Submit again" for button in test.button)
    answers(app, persona_id, process_status="failed", failed_reason="No clear voice was found.")
    test = details(persona_id)
    assert "No clear voice was found." in test.error[0].value
    assert "Next step: Record it again" in texts(test).replace("*", "")
    assert "It is quiet." in test.warning[0].value
    assert len(test.image) == 1
    assert [button.label for button in test.button] == ["Submit again"]


def test_an_end_without_a_reason_says_so(app: Running) -> None:
    """Of a reason that is missing or blank there is no empty box, and still a next step."""
    for persona_id, reason in (("a", None), ("b", " ")):
        answers(app, persona_id, process_status="rejected", failed_reason=reason)
        test = details(persona_id)
        assert [error.value for error in test.error] == ["The API gives no reason."]
        assert "A reviewer turned it down" in texts(test)


@pytest.mark.long
def test_a_blank_reason_is_not_shown(app: Running) -> None:
    """The API may send an empty reason where nothing failed: there is no empty box."""
    answers(app, "a", process_status="reviewing", failed_reason=" ")
    assert not details("a").error


def test_previews_are_loaded_on_a_click(app: Running) -> None:
    """They lie elsewhere, so the browser is not sent there before the person says so."""
    image, video = "https://cdn.example/a.jpg", "https://cdn.example/a.mp4"
    answers(app, "a", process_status="done", preview_image_16_9=image, preview_video_16_9=video)
    test = details("a")
    assert not test.image
    assert not test.get("video")
    assert test.toggle[0].label == "Load the picture and video from cdn.example"
    test.toggle[0].set_value(True).run()
    assert not test.exception
    assert [url for shown in test.image for url in shown.value] == [image]
    assert test.get("video")[0].proto.url == video


@pytest.mark.long
def test_only_web_addresses_are_previews(app: Running) -> None:
    """What is no http(s) URL with a host is never handed to the browser, or opened here."""
    for url in ("javascript:alert(1)", "/etc/passwd", "data:image/png;base64,x", "ftp://a/b", None):
        assert details_view._host(url) == ""
    answers(app, "a", process_status="done", preview_image_16_9="http://[")
    assert not details("a").toggle


def test_every_sighting_is_listed(app: Running, app_clock: ManualClock) -> None:
    """A row a status, with when it was seen first and last, how often, and how."""
    for hours, status in ((0, "pending"), (1, "pending"), (2, "quality_check")):
        at = app_clock.now() + hours * HOUR
        persona = Persona(id="a", process_status=status)
        record(app.session, persona, at=at, source="poll" if hours else "create")
    [table] = [frame.value for frame in details("a").dataframe]
    assert table["status"].tolist() == ["Pending", "Quality check"]
    assert table["times_seen"].tolist() == [2, 1]
    assert table["source"].tolist() == ["Answer to the create", "Poll"]
    assert ((table["to"] - table["from"]) / HOUR).tolist() == [1.0, 0.0]


def test_names_and_reasons_are_not_read_as_markdown(app: Running) -> None:
    """They are shown as they are: no picture of them is fetched, and nothing is a link."""
    name, reason = "![x](http://127.0.0.1:9/p.png) *Ada* :red[x] $y$", "1. [a](b) `c` <b>"
    persona = Persona(id="a", creator_name=name, process_status="failed", failed_reason=reason)
    record(app.session, persona, source="list")
    test = details("a")
    assert text.plain(name) in test.header[0].value
    assert text.plain(reason) in test.error[0].value
    assert texts(test).count(reason) == 1


def test_fields_of_another_type_are_named(app: Running) -> None:
    """The answers say which fields are not as documented, and a reason is shown as its JSON."""
    answer = {"id": "a", "process_status": "failed", "failed_reason": {"code": 7}, "gender": [1]}
    record(app.session, Persona.model_validate(answer), source="list")
    test = details("a")
    assert text.plain('{"code": 7}') in test.error[0].value
    assert any("failed\\_reason, gender" in caption.value for caption in test.caption)
    [shown] = [code.value for code in test.code if code.language == "json"]
    assert json.loads(shown) == answer


@pytest.mark.long
def test_headings_are_in_order(app: Running) -> None:
    """The name is the heading below that of the page, the parts are those below the name."""
    answers(app, "a", process_status="done")
    test = details("a")
    assert [heading.value for heading in test.header] == ["Ada"]
    assert [heading.value for heading in test.subheader] == ["What was sent"]
    assert not test.title


@pytest.mark.long
def test_a_persona_without_a_name_goes_by_its_id(app: Running) -> None:
    """The API need not tell a name; an id stands for it."""
    record(app.session, Persona(id="lived-1", process_status="done"), source="list")
    test = details("lived-1")
    assert test.header[0].value == "lived\\-1" or test.header[0].value == "lived-1"
    assert "It was not submitted here" in texts(test)


def test_an_id_that_is_not_in_the_log_is_said(app: Running) -> None:
    """A link to it shows a sentence."""
    assert "no avatar nowhere" in texts(details("nowhere"))


def test_when_it_is_ready_and_that_it_is_late(app: Running) -> None:
    """A running one has a range with its basis, and a mark when late; an ended one has none."""
    ids = record_lives(app.session, 8, running=3, late=1)
    shown = texts(details(ids[8], estimates=True))
    assert "Late: it has been in Reviewing for at least" in shown
    assert re.search(r"Ready .* in 8 of 10 cases|may be ready .* in 9 of 10 cases", shown)
    assert "Chance of done" in shown
    assert "(8 finished avatars)" in shown
    assert "on the sandbox's clock" in shown
    assert "Late: " not in texts(details(ids[9], estimates=True))
    test = details(ids[0], estimates=True)
    assert "Ready" not in texts(test)
    assert chart_titles(test) == ["What happened to this avatar?"]


def test_without_history_it_is_the_vendors_claim(app: Running) -> None:
    """Before anything has ended a range is shown, and called what it is."""
    [persona_id] = record_lives(app.session, 0, running=1)
    assert "Basis" not in texts(details(persona_id))
    shown = texts(details(persona_id, estimates=True))
    assert "Basis: the vendor's claim, not your data." in shown
    assert "Chance of done" not in shown


@pytest.mark.long
def test_moments_are_in_the_zone_of_the_viewer(app: Running) -> None:
    """The range names the zone, and the table of sightings has its times in it."""
    [persona_id] = record_lives(app.session, 0, running=1)
    test = AppTest.from_function(details_page, default_timeout=300)
    test.query_params["persona"] = persona_id
    test.context = {"timezone": "Asia/Kathmandu"}
    test.run()
    assert not test.exception
    assert "(UTC+0545)" in texts(test)
    columns = json.loads(test.dataframe[0].proto.columns)
    assert columns["from"]["type_config"]["timezone"] == "Asia/Kathmandu"


def test_a_gone_persona_can_be_polled_again(app: Running, app_clock: ManualClock) -> None:
    """What the API knew no more may have come back."""
    [persona_id] = record_lives(app.session, 0, running=1)
    store = app.session.store
    for hours in (0, 3, 7):
        at = app_clock.now() + hours * HOUR
        store.record_error(persona_id, "404", at=at, missing=True)
    test = details(persona_id)
    assert "does not find this avatar" in texts(test)
    assert "failed: 404" in texts(test)
    test.button(key=f"details_again_{persona_id}").click().run()
    assert not test.exception
    assert not store.personas().iloc[0]["gone"]
    assert store.next_look_at(persona_id) is not None


def test_a_deleted_avatar_is_said_to_be_deleted(app: Running, app_clock: ManualClock) -> None:
    """The page tells one that the API has deleted from one that it only does not find."""
    [persona_id, *_] = record_lives(app.session, 1)
    app.session.store.record_error(persona_id, "404", at=app_clock.now(), missing=True)
    assert "The API has deleted this avatar" in texts(details(persona_id))


def test_an_avatar_that_was_deleted_here_says_so(app: Running, app_clock: ManualClock) -> None:
    """Its details say when, and it can not be polled again."""
    persona_id = app.session.tracker.submit(ADA).id
    app_clock.advance(HOUR)
    app.session.tracker.delete(persona_id)
    test = details(persona_id)
    assert "Deleted here Mon 5 Jan, 10:00 UTC; its history is kept." in texts(test)
    assert not any(button.label == "Poll again" for button in test.button)


@pytest.mark.long
def test_what_is_not_followed_says_so(app: Running) -> None:
    """It is not polled, which explains why nothing changes."""
    persona_id = app.session.tracker.submit(ADA).id
    app.session.tracker.unfollow(persona_id)
    assert "It is not followed" in texts(details(persona_id))


def test_footage_that_may_be_missing_is_said(app: Running) -> None:
    """The details of an avatar say that its footage may not have arrived, and what to do."""
    session = app.session
    submission_id = session.tracker.prepare(
        PersonaCreate(creator_name="Ada", gender="f", lipsync_input="https://x.example/a.mp4")
    )
    session.store.sending(submission_id, session.clock.now())
    session.store.accepted(submission_id, Persona(id="p1"), session.clock.now())
    assert "names no footage" in texts(details("p1"))


def test_nothing_but_words_depends_on_the_moment(app: Running, app_clock: ManualClock) -> None:
    """Drawn again later with the same log, the chart and the tables are the same bytes."""
    [persona_id] = record_lives(app.session, 0, running=1)

    def drawn() -> list[bytes]:
        test = details(persona_id, estimates=True)
        elements = [*test.get("arrow_vega_lite_chart"), *test.get("vega_lite_chart")]
        return [e.proto.SerializeToString() for e in (*elements, *test.dataframe)]

    log = app.estimates.log()
    before = drawn()
    app_clock.advance(timedelta(minutes=5))
    with pytest.MonkeyPatch.context() as same_log:
        same_log.setattr(app.estimates, "log", lambda: log)
        assert drawn() == before
    assert len(before) == 2


def test_one_avatar_is_read_and_not_all(app: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a long log only what belongs to the avatar is read for its details."""
    ids = record_lives(app.session, 2, running=1)
    app.estimates.arrivals(app.estimates.log())
    log = app.estimates.log()
    monkeypatch.setattr(app.estimates, "log", lambda: log)
    read: list[int] = []
    for name in ("personas", "sightings", "submissions"):
        original = getattr(app.session.store, name)

        def counted(*args: str, original: object = original) -> object:
            frame = original(*args)  # type: ignore[operator]
            read.append(frame["persona_id"].nunique())
            return frame

        monkeypatch.setattr(app.session.store, name, counted)
    assert unescaped(details(ids[2]).header[0].value) == "Ada 2"
    assert max(read) == 1
