"""The Settings page."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from io import BytesIO

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from avatarkit import Persona, PersonaCreate, Store, Tracker
from avatarkit.store.notifications import Event
from avatarkit.ui.running import Running
from avatarkit.ui.views import settings
from support.app_pages import BROWSER, page, settings_page, submit_page, texts, unescaped
from support.messages import message_server

HOUR = timedelta(hours=1)


def rows_shown(test: AppTest) -> pd.DataFrame:
    """Return the first table as it is shown, without the signs of Markdown."""
    return test.table[0].value.map(lambda value: unescaped(str(value)))


def test_it_says_what_is_connected(app: Running) -> None:
    """It shows base URL, masked id and the living tracker, and never the key."""
    session = app.session
    session.tracker.start()
    test = page(settings_page)
    assert not test.exception
    shown = json.dumps(rows_shown(test).to_dict(), default=str)
    assert session.client.base_url in shown
    assert "alive" in shown
    assert session.client.api_id not in shown
    assert session.sandbox is not None
    assert session.sandbox.api_key not in shown


def test_it_names_the_other_accounts_of_the_database(app: Running) -> None:
    """With the number of their avatars."""
    session = app.session
    now = session.clock.now()
    persona = Persona(id="a", process_status="pending")
    with Store(session.settings.store_url, account="other") as other:
        other.record(persona, asked_at=now, answered_at=now, source="list")
    test = page(settings_page)
    assert "This database also holds 1 avatar of an account" in texts(test)
    assert rows_shown(test)["Value"].iloc[0] == session.tracker.account_name


def test_it_says_where_settings_were_found(
    monkeypatch: pytest.MonkeyPatch, restart: Callable[..., Running]
) -> None:
    """It names the files of settings, or that none was read, and names that are misspelt."""
    monkeypatch.setenv("AVATARKIT_APIKEY", "canary")
    restart()
    test = page(settings_page)
    rows = rows_shown(test)
    assert "AVATARKIT_ENV_FILE is empty" in json.dumps(rows.to_dict(), default=str)
    assert "did you mean AVATARKIT_API_KEY?" in texts(test)
    assert "canary" not in texts(test)


def test_it_says_how_late_changes_are_seen(
    monkeypatch: pytest.MonkeyPatch, restart: Callable[..., Running]
) -> None:
    """It shows the staleness that the budget promises, and warns of a budget that is too small."""
    monkeypatch.setenv("AVATARKIT_CALLS_PER_HOUR", "60")
    session = restart().session
    now = session.clock.now()
    session.tracker.schedule.balance([("reviewing", now)] * 100, now)
    test = page(settings_page)
    assert "of 60 calls an hour" in json.dumps(rows_shown(test).to_dict(), default=str)
    assert "AVATARKIT_CALLS_PER_HOUR" in texts(test)


@pytest.mark.parametrize(("api_id", "shown"), [("abc", "…"), ("abcd-1234-xy", "abcd…xy")])
def test_ids_are_masked(api_id: str, shown: str) -> None:
    """An id is shown so that it can be recognised and not used."""
    assert settings.masked(api_id) == shown


def test_it_says_what_lies_on_disk_and_deletes_it(app: Running) -> None:
    """A button deletes this browser's uploads, except those of a submission in flight."""
    outbox = app.outbox
    own, other = outbox.uploads.draft(BROWSER), outbox.uploads.draft("a" * 32)
    sent = own.save_upload("1", "sent.mp4", BytesIO(b"x" * 2_000_000))
    request = PersonaCreate(creator_name="Ada", gender="f", lipsync_input=sent)
    outbox.uploads.take(app.session.tracker.prepare(request), own, [sent])
    own.save_upload("2", "own.mp4", BytesIO(b"x" * 1_000_000))
    other.save_upload("3", "other.mp4", BytesIO(b"x"))
    test = page(settings_page)
    shown = test.table[1].value
    assert shown["Files"].tolist() == [2, 1]
    assert shown["Size"].tolist() == ["3.0 MB", "0.0 MB"]
    assert shown["Being submitted"].tolist() == [1, 0]
    test.button(key="settings_delete_own").click().run()
    assert sorted(u.path.name for u in outbox.stored()) == ["other.mp4", "sent.mp4"]
    test.button(key="settings_delete_others").click().run()
    assert [u.path.name for u in outbox.stored()] == ["sent.mp4"]


def test_it_shows_the_address_of_webhooks(restart: Callable[..., Running]) -> None:
    """To copy, if there is a public URL; else there is none."""
    restart()
    assert not page(settings_page).code
    session = restart(public_url="https://avatars.example.com").session
    test = page(settings_page)
    assert [code.value for code in test.code] == [session.tracker.webhooks.url()]
    assert "Keep it to yourself" in texts(test)


class TestMessages:
    def test_it_says_how_to_be_told(self, app: Running) -> None:
        """Without addresses it names the setting."""
        assert "AVATARKIT_NOTIFY" in texts(page(settings_page))

    def test_it_says_where_messages_go_and_tries_them(
        self, monkeypatch: pytest.MonkeyPatch, restart: Callable[..., Running]
    ) -> None:
        """It shows schemes and the last error, never the addresses, and sends a test."""
        with message_server() as server:
            monkeypatch.setenv("AVATARKIT_NOTIFY", server.url("canary"))
            session = restart().session
            now = session.clock.now()
            store, event = session.store, Event("done", "p1", "Ada: done (p1)")
            store.add_notifications([event], now, now)
            (claimed,) = store.claim_notifications(now, lambda _: HOUR, since=now)
            store.end_attempt(claimed, (), None, "address 1 (json): It is *down*.")
            test = page(settings_page)
            assert not test.exception
            assert "1 address (json); none sent yet; 1 waiting" in texts(test)
            assert "It is *down*." in texts(test)
            test.button(key="settings_test_notify").click().run()
            assert "address 1 (json): taken" in texts(test)
            assert [post["title"] for post in server.posts] == ["A test of avatarkit (sandbox)"]
            server.status = 500
            test.button(key="settings_test_notify").click().run()
            assert "address 1 (json): not taken" in texts(test)
            assert "canary" not in texts(test)


def test_it_says_which_other_tracker_makes_the_calls(app: Running) -> None:
    """While another tracker holds the lease, the page names it and says that this one stands by."""
    session = app.session
    with Store(session.settings.store_url) as store:
        other = Tracker(session.client, store, clock=session.clock)
        other.lease.name = "server-2 (track)"
        assert other.lease.keep()
        session.tracker.start()
        rows = rows_shown(page(settings_page)).set_index("Setting")["Value"]
        above = texts(submit_page())
        session.tracker.stop()
    assert rows["Tracker"] == "stands by: tracked by server-2 (track), 0 s ago"
    assert rows["Polls"] == "by server-2 (track)"
    assert "this app stands by" in above
