"""The commands about the whole account, run for real against a sandbox."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner, Result

from avatarkit import Persona, PersonaCreate, Sandbox, open_session
from avatarkit.cli import commands
from support.sandbox_client import create


def run(*arguments: str) -> Result:
    return CliRunner().invoke(commands.app, list(arguments))


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox) -> Sandbox:
    """A sandbox that is opened with keys, as the live account is."""
    monkeypatch.setenv("AVATARKIT_BASE_URL", sandbox.url)
    monkeypatch.setenv("AVATARKIT_API_ID", sandbox.api_id)
    monkeypatch.setenv("AVATARKIT_API_KEY", sandbox.api_key)
    return sandbox


def log_of(api_id: str, *, persona_id: str = "theirs") -> str:
    """Log an avatar under another API id; return the id's fingerprint."""
    with open_session(api_id=api_id) as session:
        now = session.clock.now()
        persona = Persona(id=persona_id, process_status="pending")
        session.store.record(persona, asked_at=now, answered_at=now, source="list")
        return session.client.account


def test_adopt_lists_and_follows(account: Sandbox) -> None:
    """Alone it lists what the log lacks; with ids or --all it follows them."""
    first, second = create(account)["id"], create(account)["id"]
    listed = run("adopt")
    assert listed.exit_code == 0, listed.output
    assert first in listed.stdout
    assert "'adopt --all'" in listed.stderr
    assert "2 avatars of this account are not followed here" in run("status").stdout
    assert second not in run("adopt", first).stdout
    assert second in run("adopt", "--all").stdout
    assert "Every avatar in the account's list is in the log." in run("adopt").stderr
    assert run("adopt", first, "--all").exit_code == 2
    assert "not followed here" not in run("status").stdout


def test_follow_and_unfollow(account: Sandbox) -> None:
    """One that is unknown is requested; an id that does not exist is one sentence."""
    persona_id = create(account)["id"]
    assert persona_id in run("follow", persona_id).stdout
    assert run("unfollow", persona_id).exit_code == 0
    with open_session() as session:
        assert not session.store.personas()["followed"].any()
    assert run("follow", persona_id).exit_code == 0
    wrong = run("unfollow", "unknown")
    assert wrong.exit_code == 1
    assert wrong.stderr.startswith("The log has no avatar unknown")


def test_status_names_the_account_and_the_others(account: Sandbox) -> None:
    """An empty log in a database with other accounts says so in place of an empty table."""
    log_of("another-id-0123")
    empty = run("status")
    assert empty.exit_code == 0, empty.output
    assert f"…{account.api_id[-4:]} at 127.0.0.1" in empty.stdout
    assert "This database also holds 1 avatar of another sandbox, …123 at" in empty.stdout
    assert "No avatars yet" not in empty.stdout
    tracked = run("track", "--once")
    assert tracked.exit_code == 0, tracked.output
    assert "Tracking the sandbox account …" in tracked.stderr
    assert "also holds 1 avatar" in tracked.stderr


def test_status_carries_over_after_a_new_api_id(account: Sandbox) -> None:
    """It is said once, and the avatars are in the table at once."""
    persona_id = create(account)["id"]
    log_of("older-id-01234567", persona_id=persona_id)
    shown = run("status")
    assert "1 avatar was carried over from another API id of this account (…4567 at" in shown.stdout
    assert persona_id in shown.stdout
    again = run("status")
    assert "carried over" not in again.stdout
    assert "also holds" not in again.stdout


def test_a_submission_does_not_hide_the_older_api_id(account: Sandbox) -> None:
    """What was submitted with the new API id first is joined when the list shows the others."""
    persona_id = create(account)["id"]
    log_of("older-id-01234567", persona_id=persona_id)
    with open_session() as session:
        session.tracker.submit(PersonaCreate(creator_name="Bob", gender="m"))
    tracked = run("track", "--once")
    assert "1 avatar was carried over" in tracked.stderr
    assert tracked.exit_code == 0
