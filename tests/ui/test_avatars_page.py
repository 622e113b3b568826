"""The Avatars page."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from avatarkit import PersonaCreate, text
from avatarkit.ui.running import Running
from avatarkit.ui.views import filters
from support.app_pages import (
    HOUR,
    avatars_page,
    chart_titles,
    page,
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
    assert "Needs attention **1**" in test.button_group(key=filters.COUNTS).options


def test_addresses_in_names_are_no_links() -> None:
    """Markdown links them without any sign, so an invisible word joiner splits them."""
    joiner = "\u2060"
    assert text.plain("HTTPS://a.b") == f"HTTPS\\:{joiner}//a.b"
    assert text.plain("Www.a.b") == f"Www{joiner}.a.b"
    assert text.plain("ada@a.b, @ada, a//b") == f"ada{joiner}@a.b, @ada, a//b"


def test_no_rerun_calls_the_api(app: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages read the store: and the client is not touched."""
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
    assert re.search(r"Next is Ada (9|10), in 5 of 10 cases by ", texts(test))
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


def test_what_is_polled_no_longer_is_not_in_progress(app: Running) -> None:
    """Neither one that was deleted here before it ended, nor one that is not followed."""
    tracker = app.session.tracker
    first, second, _ = (tracker.submit(ADA).id for _ in range(3))
    changes = (lambda: None, lambda: tracker.delete(first), lambda: tracker.unfollow(second))
    for left, change in zip((3, 2, 1), changes, strict=True):
        change()
        options = page(avatars_page).button_group(key=filters.COUNTS).options
        assert f"In progress **{left}**" in options
