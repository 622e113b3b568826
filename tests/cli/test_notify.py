"""The command ``notify``."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner, Result

from avatarkit import open_session
from avatarkit.cli import commands
from avatarkit.store.notifications import Event
from support.messages import message_server


def run(*arguments: str) -> Result:
    return CliRunner().invoke(commands.app, ["notify", *arguments])


def test_without_addresses_it_says_how_to_set_them() -> None:
    """It is an error, so that a script finds out."""
    result = run("--test")
    assert result.exit_code == 1
    assert "set AVATARKIT_NOTIFY to URLs of Apprise" in result.stderr


def test_a_test_reaches_each_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says of each whether it took the test, and fails if one did not."""
    with message_server() as server:
        good, bad = server.url("canary"), "json://127.0.0.1:9/canary"
        monkeypatch.setenv("AVATARKIT_NOTIFY", good)
        result = run("--test")
        assert result.exit_code == 0, result.output
        assert result.stdout == "address 1 (json): taken\n"
        assert server.posts[0]["title"] == "A test of avatarkit (sandbox)"
        monkeypatch.setenv("AVATARKIT_NOTIFY", f"{good} {bad} foo://canary")
        result = run("--test")
    assert result.exit_code == 1
    assert "address 1 (json): taken\naddress 2 (json): not taken: " in result.stdout
    assert "address 3 (foo) is not as Apprise expects it" in result.stderr
    assert "canary" not in result.output


def test_it_prints_where_messages_go_and_the_last_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """Schemes only, and each event with what became of it."""
    monkeypatch.setenv("AVATARKIT_NOTIFY", "json://127.0.0.1:9/canary")
    with open_session() as session:
        now = session.clock.now()
        session.store.add_notifications([Event("done", "p1", "Ada: done (p1)")], now, now)
    result = run()
    assert result.exit_code == 0, result.output
    assert "address 1: json\n" in result.stdout
    assert "Ada: done (p1)  waiting" in result.stdout
    assert "canary" not in result.output
