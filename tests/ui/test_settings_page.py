"""The Settings page."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from datetime import timedelta
from io import BytesIO

import pytest
from streamlit.testing.v1 import AppTest

from avatarkit import Persona, PersonaCreate, Store, Tracker, errors
from avatarkit.store import backup
from avatarkit.store.notifications import Event
from avatarkit.tracking.access import Access
from avatarkit.ui.running import Running
from support.app_pages import BROWSER, page, settings_page, submit_page, texts, unescaped
from support.manual_clock import ManualClock
from support.messages import message_server

HOUR = timedelta(hours=1)


def rows_shown(test: AppTest) -> dict[str, str]:
    """Return the facts on the page by name, as they are shown."""
    lines = texts(test).splitlines()
    return dict(re.findall(r"- (?:. \w+ )?\*\*(.+)\*\*: (.*)", "\n".join(lines)))


def test_it_says_what_a_person_asks_first(app: Running) -> None:
    """It shows whether the keys are taken, the account, the tracker, and never the key."""
    session = app.session
    session.tracker.ask_quota()
    session.tracker.start()
    test = page(settings_page)
    assert not test.exception
    rows = rows_shown(test)
    assert list(rows)[:3] == ["Connected", "Account", "Tracked by"]
    assert rows["Connected"].startswith("Yes: the API takes the keys. Tried Mon 5 Jan, 09:00 UTC")
    assert "0 of 100 avatars" in rows["Connected"]
    assert rows["Tracked by"].startswith("This app")
    assert (rows["Pause"], rows["Last error"]) == ("None", "None")
    assert session.sandbox is not None
    assert session.client.api_id not in texts(test)
    assert session.sandbox.api_key not in texts(test)


def test_it_says_why_it_is_not_connected(app: Running, app_clock: ManualClock) -> None:
    """The answer to the keys, the pause with its end, and the last error with its time."""
    tracker = app.session.tracker
    tracker.submit(PersonaCreate(creator_name="Ada", gender="f"))
    assert rows_shown(page(settings_page))["Tracked by"].startswith("None: ")
    app_clock.advance(HOUR)
    assert app.session.sandbox is not None
    app.session.sandbox.fail_next("429-seconds", retry_after_s=3600)
    tracker.look()
    refused = errors.AuthError("Check both keys.", method="GET", url="", status_code=401)
    tracker.access = Access(refused, app_clock.now())
    rows = rows_shown(page(settings_page))
    assert rows["Connected"].startswith("No: Check both keys. Tried Mon 5 Jan, 10:00 UTC")
    assert "asked to wait until Mon 5 Jan, 11:00 UTC" in rows["Pause"]
    assert rows["Last error"].startswith("Mon 5 Jan, 10:00 UTC")


def test_the_headings_are_in_order(app: Running) -> None:
    """The page's title is the first level; each part has the second."""
    test = page(settings_page)
    assert [header.value for header in test.header] == [
        "Connection", "Doctor", "Webhook", "Messages", "Uploads on disk", "Database", "About",
    ]  # fmt: skip
    assert not test.subheader


def test_the_doctor_finds_what_the_command_finds(app: Running) -> None:
    """Each check is a row with one sentence; a second run begins with a button of its own."""
    session = app.session
    test = page(settings_page)
    test.button(key="settings_doctor").click().run()
    assert not test.exception
    found = rows_shown(test)
    parts = ("settings", "keys", "database", "tracker", "disk", "versions")
    assert [found[part][-1] for part in parts] == ["."] * len(parts)
    assert "checks: " in texts(test)
    assert session.sandbox is not None
    assert session.sandbox.api_key not in texts(test)
    assert "settings_doctor_1" in [button.key for button in test.button]


def test_a_button_makes_a_backup(app: Running) -> None:
    """The page says when the last one was made; one that fails is a sentence."""
    file = app.session.store.backup_file
    assert file is not None
    # That of the tracker, which may have run for a moment.
    shutil.rmtree(backup.folder_of(file), ignore_errors=True)
    test = page(settings_page)
    assert rows_shown(test)["Last backup"] == "None yet"
    test.button(key="settings_backup").click().run()
    assert not test.exception
    assert len(backup.backups(file)) == 1
    assert rows_shown(test)["Last backup"].endswith("UTC")
    shutil.rmtree(backup.folder_of(file))
    backup.folder_of(file).write_text("in the way")
    test.button(key="settings_backup_1").click().run()
    assert "could not be made" in texts(test)


def test_it_names_the_other_accounts_of_the_database(app: Running) -> None:
    """With the number of their avatars."""
    session = app.session
    now = session.clock.now()
    persona = Persona(id="a", process_status="pending")
    with Store(session.settings.store_url, account="other") as other:
        other.record(persona, asked_at=now, answered_at=now, source="list")
    test = page(settings_page)
    assert "This database also holds 1 avatar of an account" in texts(test)
    assert rows_shown(test)["Account"] == session.tracker.account_name


def test_it_says_where_settings_were_found(
    monkeypatch: pytest.MonkeyPatch, restart: Callable[..., Running]
) -> None:
    """It names the files of settings, or that none was read, and names that are misspelt."""
    monkeypatch.setenv("AVATARKIT_APIKEY", "canary")
    restart()
    test = page(settings_page)
    assert "AVATARKIT_ENV_FILE is empty" in rows_shown(test)["Settings"]
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
    assert "of 60 calls an hour" in rows_shown(test)["Changes"]
    assert "AVATARKIT_CALLS_PER_HOUR" in texts(test)


def test_it_says_what_lies_on_disk_and_deletes_it(app: Running) -> None:
    """Its own by name, size and age, others' by number; a button deletes what is not in flight."""
    outbox = app.outbox
    own, other = outbox.uploads.draft(BROWSER), outbox.uploads.draft("a" * 32)
    sent = own.save_upload("1", "sent.mp4", BytesIO(b"x" * 2_000_000))
    request = PersonaCreate(creator_name="Ada", gender="f", lipsync_input=sent)
    outbox.uploads.take(app.session.tracker.prepare(request), own, [sent])
    own.save_upload("2", "own.mp4", BytesIO(b"x" * 1_000_000))
    other.save_upload("3", "other.mp4", BytesIO(b"x"))
    test = page(settings_page)
    shown = unescaped(texts(test))
    assert re.search(r"- sent.mp4: 2.0 MB, uploaded \d+ s ago, being submitted\n", shown)
    assert re.search(r"- own.mp4: 1.0 MB, uploaded \d+ s ago\n", shown)
    assert "- Of other browsers: 1 file (0.0 MB)" in shown
    assert "other.mp4" not in shown
    assert str(own.folder) not in shown
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
            test.button(key="settings_test_notify_1").click().run()
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
        rows = rows_shown(page(settings_page))
        above = texts(submit_page())
        session.tracker.stop()
    assert rows["Tracked by"] == "server-2 (track), 0 s ago; this app stands by."
    assert "this app stands by" in above
