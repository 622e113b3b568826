"""What stands on every page when the API is not called."""

from __future__ import annotations

import pytest
import streamlit as st

from avatarkit import PersonaCreate, errors
from avatarkit.tracking.access import Access
from avatarkit.ui.running import Running
from support.app_pages import HOUR, submit_page, texts
from support.manual_clock import ManualClock

ADA = PersonaCreate(creator_name="Ada", gender="f")
REFUSED = errors.AuthError("Check both keys.", method="GET", url="", status_code=401)


def test_every_page_says_until_when_the_api_asked_to_wait(
    app: Running, app_clock: ManualClock
) -> None:
    """The pause is a calm sentence above the page, and goes when it is over."""
    tracker = app.session.tracker
    tracker.submit(ADA)
    app_clock.advance(HOUR)
    assert app.session.sandbox is not None
    app.session.sandbox.fail_next("429-seconds", retry_after_s=3600)
    tracker.look()
    sentence = "The API asked to wait until Mon 5 Jan, 11:00 UTC on the sandbox's clock, in 1 h;"
    test = submit_page()
    assert sentence in texts(test)
    assert not test.error
    tracker.access = Access(REFUSED, app_clock.now())
    tried = "Check both keys. Tried Mon 5 Jan, 10:00 UTC, and again"
    assert f"{tried} after the pause." in texts(submit_page())
    app_clock.advance(HOUR)
    shown = texts(submit_page())
    assert sentence not in shown
    assert f"{tried} at least every hour." in shown


def test_times_are_those_of_the_viewer(
    app: Running, app_clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are in the time zone of the browser, which is named."""
    monkeypatch.setattr(type(st.context), "timezone", property(lambda _: "Asia/Tokyo"))
    app.session.tracker.access = Access(REFUSED, app_clock.now())
    assert "Tried Mon 5 Jan, 18:00 JST" in texts(submit_page())
