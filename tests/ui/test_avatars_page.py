"""The Avatars page."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from avatarkit import Persona, PersonaCreate, errors, text
from avatarkit.tracking.access import Access
from avatarkit.ui import cache
from avatarkit.ui.running import Running
from support.app_pages import (
    HOUR,
    avatars_page,
    chart_titles,
    page,
    record,
    record_lives,
    settings_page,
    stage_times_page,
    submit_page,
    texts,
)
from support.manual_clock import ManualClock

ADA = PersonaCreate(creator_name="Ada", gender="f")


def test_a_person_settles_it_on_the_page(app: Running, app_clock: ManualClock) -> None:
    """An uncertain create is shown with what it may be; a click settles it."""
    session, store = app.session, app.session.store
    ids = []
    for _ in range(2):
        ids.append(store.prepare(ADA, app_clock.now()))
        store.sending(ids[-1], app_clock.now())
    created = session.client.create_persona(ADA)
    for submission_id in ids:
        store.uncertain(submission_id, app_clock.now(), "It broke.")
    app_clock.advance(HOUR)
    session.tracker.reconcile()
    test = page(avatars_page)
    assert "not certain whether Ada was created" in texts(test)
    test.button(key=f"uncertain_settle_{ids[0]}_{created.id}").click().run()
    test.button(key=f"uncertain_settle_{ids[1]}_never").click().run()
    assert not test.exception
    assert list(store.submissions()["state"].sort_values()) == ["accepted", "refused"]
    assert "not certain" not in texts(test)


def test_a_person_may_name_what_the_list_hides(app: Running, app_clock: ManualClock) -> None:
    """Without a candidate the id can be typed; a wrong one is a sentence."""
    session, store = app.session, app.session.store
    submission_id = store.prepare(ADA, app_clock.now())
    store.sending(submission_id, app_clock.now())
    store.uncertain(submission_id, app_clock.now(), "It broke.")
    other = session.client.create_persona(PersonaCreate(creator_name="Renamed", gender="f"))
    test = page(avatars_page)
    key = f"uncertain_settle_{submission_id}"
    assert f"{key}_never" not in [button.key for button in test.button]
    for given, said in (("nobody", "no such persona"), (other.id, "")):
        test.text_input(key=f"{key}_id").set_value(given)
        [send] = [button for button in test.button if button.label == "It is this one"]
        send.click().run()
        assert said in texts(test)
    assert store.submissions()["persona_id"].tolist() == [other.id]
    assert "not certain" not in texts(test)


def test_what_the_account_has_is_imported(app: Running, app_clock: ManualClock) -> None:
    """A button says how many avatars are not followed here; a click follows them all."""
    tracker = app.session.tracker
    created = [app.session.client.create_persona(ADA).id for _ in range(2)]
    assert "uncertain_import" not in [button.key for button in page(avatars_page).button]
    assert len(tracker.unknown()) == 2
    test = page(avatars_page)
    assert "2 avatars" in test.button(key="uncertain_import").label
    test.button(key="uncertain_import").click().run()
    assert not test.exception
    assert tracker.store.known_ids() == set(created)
    assert "uncertain_import" not in [button.key for button in test.button]
    assert tracker.store.has_running()


def test_an_import_that_fails_is_a_sentence(app: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page shows the error, and the button stays."""
    app.session.tracker.store.set_unknown_count(1)
    error = errors.ConnectionFailed("It is down.", method="GET", url="", maybe_sent=False)

    def fail() -> None:
        raise error

    monkeypatch.setattr(app.session.tracker, "adopt", fail)
    test = page(avatars_page)
    test.button(key="uncertain_import").click().run()
    assert not test.exception
    assert "It is down." in texts(test)
    assert test.button(key="uncertain_import").label.endswith("1 avatar more")


def test_without_avatars_it_says_so(app: Running) -> None:
    """An empty tracker invites to submit."""
    assert "No avatars yet" in texts(page(avatars_page))


def test_the_table_and_the_details(app: Running, app_clock: ManualClock) -> None:
    """Table, counts and details show what the tracker has followed to its end."""
    tracker, store = app.session.tracker, app.session.store
    request = PersonaCreate(creator_name="Ada", gender="f", labels=["sandbox:failed"])
    persona_id = tracker.submit(request).id
    while (due_at := store.next_look_at(persona_id)) is not None:
        app_clock.advance(max(due_at - app_clock.now(), timedelta(0)))
        tracker.look()
    test = page(avatars_page, persona=persona_id)
    assert not test.exception
    table = test.dataframe[0].value
    assert list(table["persona_id"]) == [persona_id]
    assert list(table["status"]) == ["Failed"]
    assert store.personas().iloc[0]["failed_reason"] in texts(test)
    counts = {metric.label: metric.value for metric in test.metric}
    assert counts["Needs attention"] == "1"


def test_an_id_that_nobody_has_is_said(app: Running) -> None:
    """A link to it shows no other avatar as if it were that one without a word."""
    record_lives(app.session, 1)
    assert "no avatar nobody" in texts(page(avatars_page, persona="nobody"))


def test_a_gone_persona_can_be_polled_again(app: Running, app_clock: ManualClock) -> None:
    """What the API knew no more may have come back."""
    [persona_id] = record_lives(app.session, 0, running=1)
    store = app.session.store
    for hours in (0, 3, 7):
        at = app_clock.now() + hours * HOUR
        store.record_error(persona_id, "404", at=at, missing=True)
    test = page(avatars_page, persona=persona_id)
    assert "does not find this avatar" in texts(test)
    test.button(key=f"details_again_{persona_id}").click().run()
    assert not test.exception
    assert not store.personas().iloc[0]["gone"]
    assert store.next_look_at(persona_id) is not None


def test_a_deleted_avatar_is_said_to_be_deleted(app: Running, app_clock: ManualClock) -> None:
    """The page tells one that the API has deleted from one that it only does not find."""
    [persona_id, *_] = record_lives(app.session, 1)
    app.session.store.record_error(persona_id, "404", at=app_clock.now(), missing=True)
    assert "The API has deleted this avatar" in texts(page(avatars_page, persona=persona_id))


def test_every_page_says_until_when_the_api_asked_to_wait(
    app: Running, app_clock: ManualClock
) -> None:
    """The pause is a calm line above the page, and goes when it is over."""
    tracker = app.session.tracker
    tracker.submit(ADA)
    app_clock.advance(HOUR)
    assert app.session.sandbox is not None
    app.session.sandbox.fail_next("429-seconds", retry_after_s=3600)
    tracker.look()
    said = "The API asked to wait until Mon 5 Jan, 11:00 UTC"
    assert said in texts(submit_page())
    refused = errors.AuthError("Check both keys.", method="GET", url="", status_code=401)
    tracker.access = Access(refused, app_clock.now())
    assert "Check both keys. Tried Mon 5 Jan, 10:00 UTC, and again after the pause." in texts(
        submit_page()
    )
    app_clock.advance(HOUR)
    shown = texts(submit_page())
    assert said not in shown
    assert "Tried Mon 5 Jan, 10:00 UTC, and again at least every hour." in shown


def test_names_and_reasons_are_not_read_as_markdown(app: Running) -> None:
    """They are shown as they are: no picture of them is fetched."""
    name, reason = "![x](http://127.0.0.1:9/p.png) *Ada* :red[x] $y$", "1. [a](b) `c` <b>"
    persona = Persona(id="a", creator_name=name, process_status="failed", failed_reason=reason)
    record(app.session, persona, source="list")
    test = page(avatars_page, persona="a")
    assert text.plain(name) in test.header[0].value
    assert text.plain(reason) in test.error[0].value
    assert texts(test).count(reason) == 1
    assert text.plain("- a\n+ b: c_d") == "\\- a\n\\+ b\\: c\\_d"


def test_addresses_in_names_are_no_links() -> None:
    """Markdown links them without any sign, so an invisible word joiner splits them."""
    joiner = "\u2060"
    assert text.plain("HTTPS://a.b") == f"HTTPS\\:{joiner}//a.b"
    assert text.plain("Www.a.b") == f"Www{joiner}.a.b"
    assert text.plain("ada@a.b, @ada, a//b") == f"ada{joiner}@a.b, @ada, a//b"


def test_fields_of_another_type_are_named(app: Running) -> None:
    """The answers say which fields are not as documented, and a reason is shown as its JSON."""
    answer = {"id": "a", "process_status": "failed", "failed_reason": {"code": 7}, "gender": [1]}
    record(app.session, Persona.model_validate(answer), source="list")
    test = page(avatars_page, persona="a")
    assert text.plain('{"code": 7}') in test.error[0].value
    assert any("failed\\_reason, gender" in caption.value for caption in test.caption)


@pytest.mark.parametrize("reason", [None, "", " "])
def test_a_blank_reason_is_not_shown(app: Running, reason: str | None) -> None:
    """The API may send an empty reason where nothing failed: there is no empty box."""
    persona = Persona(id="a", process_status="reviewing", failed_reason=reason)
    record(app.session, persona, source="list")
    assert not page(avatars_page, persona="a").error


def test_a_persona_without_a_name_goes_by_its_id(app: Running) -> None:
    """The API need not tell a name; an id stands for it."""
    record(app.session, Persona(id="lived-1", process_status="done"), source="list")
    test = page(avatars_page, persona="lived-1")
    assert test.dataframe[0].value["creator_name"].tolist() == ["lived-1"]
    assert test.header[0].value == "lived-1"


def test_no_rerun_calls_the_api(app: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages read the store: whatever they show, the client is not touched."""
    record_lives(app.session, 3, running=2)

    def fail(*_: object, **__: object) -> None:
        raise AssertionError("a rerun called the API")

    for name in ("get_persona", "list_personas", "persona_quota", "create_persona"):
        monkeypatch.setattr(app.session.client, name, fail)
    for test in (submit_page(), *map(page, (avatars_page, stage_times_page, settings_page))):
        assert not test.exception
        assert "This page failed" not in texts(test)


def test_when_each_is_ready_and_which_are_late(app: Running) -> None:
    """Running ones have a range and a mark when late, in the table, a chart and the details."""
    ids = record_lives(app.session, 8, running=3, late=1)
    test = page(avatars_page)
    assert not test.exception
    rows = test.dataframe[0].value.set_index("persona_id")
    assert list(rows.index[rows["reason"].str.startswith("Late")]) == [ids[8]]
    assert rows.loc[ids[8:], "ready_to"].notna().all()
    assert rows.loc[ids[:8], "ready_to"].isna().all()
    assert "Late: Ada 8." in texts(test)
    assert re.search(r"Next is Ada (9|10), half of the time by ", texts(test))
    assert chart_titles(test) == ["Is mine late?"]

    test = page(avatars_page, persona=ids[8])
    assert "Late: it has been in Reviewing for at least" in texts(test)
    assert re.search(r"Ready .* in 8 of 10 cases|may be ready .* in 9 of 10 cases", texts(test))
    assert "Chance of done" in texts(test)
    assert "(8 finished avatars)" in texts(test)
    test = page(avatars_page, persona=ids[9])
    assert "Late: it has" not in texts(test)
    test = page(avatars_page, persona=ids[0])
    assert "Ready" not in texts(test)


def test_without_history_it_is_the_vendors_claim(
    app: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything has ended a range is shown, and called what it is."""
    [persona_id] = record_lives(app.session, 0, running=1)
    with monkeypatch.context() as not_computed:
        not_computed.setattr(cache.Estimates, "arrivals", lambda *_: None)
        assert "Basis" not in texts(page(avatars_page, persona=persona_id))
    test = page(avatars_page, persona=persona_id)
    assert "Basis: the vendor's claim, not your data." in texts(test)
    assert "Chance of done" not in texts(test)


def test_footage_that_may_be_missing_is_said(app: Running) -> None:
    """The details of an avatar say that its footage may not have arrived, and what to do."""
    session = app.session
    submission_id = session.tracker.prepare(
        PersonaCreate(creator_name="Ada", gender="f", lipsync_input="https://x.example/a.mp4")
    )
    session.store.sending(submission_id, session.clock.now())
    session.store.accepted(submission_id, Persona(id="p1"), session.clock.now())
    assert "names no footage" in texts(page(avatars_page, persona="p1"))


def test_an_avatar_that_was_deleted_here_says_so(app: Running, app_clock: ManualClock) -> None:
    """Its details say when; it can not be polled again, and the table names it deleted."""
    tracker = app.session.tracker
    persona_id = tracker.submit(ADA).id
    app_clock.advance(HOUR)
    tracker.delete(persona_id)
    test = page(avatars_page, persona=persona_id)
    assert not test.exception
    assert list(test.dataframe[0].value["status"]) == ["Deleted"]
    assert "Deleted here Mon 5 Jan, 10:00 UTC; its history is kept." in texts(test)
    assert not any(button.label == "Poll again" for button in test.button)


def test_what_is_polled_no_longer_is_not_in_progress(app: Running) -> None:
    """Neither one that was deleted here before it ended, nor one that is not followed."""
    tracker = app.session.tracker
    first, second, _ = (tracker.submit(ADA).id for _ in range(3))
    counts = []
    for change in (lambda: None, lambda: tracker.delete(first), lambda: tracker.unfollow(second)):
        change()
        test = page(avatars_page)
        counts.append({metric.label: metric.value for metric in test.metric}["In progress"])
    assert counts == ["3", "2", "1"]
