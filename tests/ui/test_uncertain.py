"""Submissions that may have been created, on top of the Avatars page."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from avatarkit import PersonaCreate, errors
from avatarkit.models import Persona
from avatarkit.tracking.reconcile import Verdict
from avatarkit.ui.running import Running
from avatarkit.ui.views import actions, uncertain
from support.app_pages import HOUR, page, record, texts
from support.manual_clock import ManualClock

ADA = PersonaCreate(creator_name="Ada", gender="f")


def uncertain_page() -> None:
    from avatarkit.ui.views import uncertain

    uncertain.show()


def sent(app: Running, count: int = 1) -> list[str]:
    """Log submissions whose connection broke; return their ids."""
    store, now = app.session.store, app.session.clock.now()
    ids = [store.prepare(ADA, now) for _ in range(count)]
    for submission_id in ids:
        store.sending(submission_id, now)
        store.uncertain(submission_id, now, "It broke.")
    return ids


def test_without_uncertain_submissions_nothing_is_shown(app: Running) -> None:
    """The page is not longer by anything that asks for nothing."""
    test = page(uncertain_page)
    assert not test.exception
    assert texts(test) == ""
    assert not test.button


def test_find_out_now_asks_the_account_and_says_what_came_of_it(
    app: Running, app_clock: ManualClock
) -> None:
    """What the account has is followed, and the box is gone."""
    [submission_id] = sent(app)
    created = app.session.client.create_persona(ADA)
    test = page(uncertain_page)
    assert "not certain whether Ada was created" in texts(test)
    test.button(key="uncertain_ask").click().run()
    assert not test.exception
    store = app.session.store
    assert store.submissions().set_index("submission_id")["state"][submission_id] == "accepted"
    assert created.id in test.toast[0].value
    assert "not certain" not in texts(test)
    assert not test.run().toast


def test_what_stays_uncertain_is_said_and_can_be_asked_again(app: Running) -> None:
    """Its absence is no proof yet: the reason is shown, and the button is another one."""
    sent(app)
    test = page(uncertain_page)
    test.button(key="uncertain_ask").click().run()
    assert "It does not show yet" in texts(test)
    assert "It does not show yet" in test.toast[0].value
    assert next(button.key for button in test.button) == "uncertain_ask_1"


def test_an_account_that_does_not_answer_is_a_sentence(
    app: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error stays under the button until it is clicked again."""
    sent(app)
    error = errors.ConnectionFailed("It is down.", method="GET", url="", maybe_sent=False)
    outcomes = iter((error, None))

    def reconcile() -> list[Verdict]:
        if (raised := next(outcomes)) is not None:
            raise raised
        return []

    monkeypatch.setattr(app.session.tracker, "reconcile", reconcile)
    test = page(uncertain_page)
    test.button(key="uncertain_ask").click().run()
    assert "It is down." in texts(test)
    test.button(key="uncertain_ask").click().run()
    assert "It is down." not in texts(test)
    assert "settled meanwhile" in test.toast[0].value


@pytest.mark.usefixtures("app")
def test_two_tabs_ask_once() -> None:
    """A click while the account is being asked waits for that answer; a later one asks again."""
    go_on, calls = threading.Event(), []

    def ask(_: object) -> int:
        calls.append(1)
        assert go_on.wait(300)
        return len(calls)

    first, second = (actions.start("ask", ask) for _ in range(2))
    go_on.set()
    assert [first.future.result(), second.future.result()] == [1, 1]
    assert actions.start("ask", ask).future.result() == 2


def test_it_says_when_it_is_tried_again_by_itself(app: Running, app_clock: ManualClock) -> None:
    """The moment, in the pause of all calls that, and without a tracker how often."""
    sent(app)
    tracker = app.session.tracker
    tracker.reconcile_at = app_clock.now() - HOUR
    assert "by itself every 10 min" in texts(page(uncertain_page))
    tracker.reconcile_at = app_clock.now() + timedelta(minutes=4)
    assert "by itself Mon 5 Jan, 09:04 UTC" in texts(page(uncertain_page))
    tracker.submit(ADA)
    app_clock.advance(HOUR)
    assert app.session.sandbox is not None
    app.session.sandbox.fail_next("429-seconds", retry_after_s=3600)
    tracker.look()
    assert "by itself after the pause" in texts(page(uncertain_page))


def test_what_another_tab_has_settled_is_settled_once(app: Running, app_clock: ManualClock) -> None:
    """A click on the box that this tab still shows changes nothing."""
    first, _ = sent(app, 2)
    app_clock.advance(HOUR)
    test = page(uncertain_page)
    button = test.button(key=f"uncertain_settle_{first}_never")
    app.session.tracker.settle(first, None)
    button.click().run()
    assert not test.exception
    assert sorted(app.session.store.submissions()["state"]) == ["refused", "uncertain"]


def test_the_answer_for_several_counts_them() -> None:
    """One sentence, whatever became of each."""
    verdicts = [
        Verdict("a", "accepted", persona=Persona(id="p1")),
        Verdict("b", "refused", reason="No."),
        Verdict("c", "uncertain", reason="Wait."),
    ]
    answer = uncertain.answer_of(verdicts, {})
    assert answer == (
        "Of 3 submissions: 1 created and followed now, 1 not created, so that they may be sent "
        "again, 1 still uncertain."
    )
    assert uncertain.answer_of(verdicts[1:2], {"b": "Ada"}) == "Ada was not created. No."
    assert uncertain.answer_of(verdicts[2:], {"c": "Ada"}) == "Ada is uncertain. Wait."


def test_an_import_is_offered_beside_what_is_followed_and_says_how_many(app: Running) -> None:
    """It is on top, as the account may have more than what was submitted here."""
    tracker = app.session.tracker
    app.session.client.create_persona(ADA)
    assert len(tracker.unknown()) == 1
    record(app.session, Persona(id="followed", process_status="done"))
    test = page(uncertain_page)
    assert test.button(key="uncertain_import").label.endswith("1 avatar more")
    test.button(key="uncertain_import").click().run()
    assert test.toast[0].value == "1 avatar is followed now."
    assert len(tracker.store.known_ids()) == 2
    assert not test.button
