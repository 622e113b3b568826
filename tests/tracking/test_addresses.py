"""The addresses of messages: what is taken, and that nothing shows what they hold."""

from __future__ import annotations

import importlib.util
import io
import logging
import threading

import pytest

from avatarkit import Settings, open_session
from avatarkit.tracking import addresses
from avatarkit.tracking.addresses import Addresses, redact
from support.messages import message_server

SECRETS = "mailto://me:pa,ss%21@mail.example slack://TokenA12/TokenB34/TokenC56"


@pytest.mark.parametrize(
    ("text", "schemes"),
    [
        ("ntfy://topic", ["ntfy"]),
        ("ntfy://a, json://b;xml://c\n mailto://u:p@d.example ", ["ntfy", "json", "xml", "mailto"]),
        ("mailto://u:pa,ss@a.example,ntfys://b?tags=x,y", ["mailto", "ntfys"]),
        ("ntfy://a\nnonsense", ["ntfy", "?"]),
        (" ,; ", []),
    ],
)
def test_addresses_are_told_apart(text: str, schemes: list[str]) -> None:
    """By spaces, commas, semicolons and line ends before a scheme; a URL may hold commas."""
    assert Addresses(text).schemes == schemes


def test_what_apprise_does_not_take_is_named_without_its_secret() -> None:
    """By its place and its scheme; the other addresses work."""
    opened = Addresses("json://127.0.0.1/x slack://canary foo://canary:canary@x\ncanary")
    assert [address.scheme for address in opened.open()] == ["json"]
    text = " ".join(opened.problems)
    for part in ("address 2 (slack) is not", "address 3 (foo) is not", "address 4 has no scheme"):
        assert part in text
    assert "canary" not in text


def test_a_message_is_plain_text() -> None:
    """Neither Markdown nor HTML nor escapes in it mean anything."""
    body = "Ada *x*: <b>failed</b> \\n :smile: & `y`"
    with message_server() as server:
        (address,) = Addresses(server.url()).open()
        assert address.send("One\ttitle", body) is None
        (html,) = Addresses(server.url("?format=html")).open()
        assert html.send("One title", body) is None
    assert server.posts[0]["message"] == body
    assert "<b>" not in server.posts[1]["message"]


def test_errors_and_logs_hold_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the log of a program gets of Apprise is nothing, and its reasons are redacted."""
    # pytest's own handler is on every logger.
    root, stream = logging.getLogger(), io.StringIO()
    monkeypatch.setattr(root, "handlers", [*root.handlers, logging.StreamHandler(stream)])
    monkeypatch.setattr(root, "level", logging.DEBUG)
    with message_server() as server:
        server.status = 500
        opened = Addresses(server.url("canary-path/?+X-Key=canary%21key"))
        (address,) = opened.open()
        logging.getLogger("another").debug("This is logged.")
        error = address.send("Title", "Text")
    assert error is not None
    shown = " ".join([error, stream.getvalue(), repr(opened), repr(address), str(address)])
    assert "This is logged." in shown
    assert "canary" not in shown
    assert "500" in error


def test_a_redacted_text_has_no_part_of_the_url() -> None:
    """Neither as it was written nor percent-decoded."""
    text = redact("ss! at mail.example refused pa,ss! and pa,ss%21 of me", SECRETS.split()[0])
    for part in ("mail.example", "ss!", "ss%21"):
        assert part not in text


def test_without_apprise_tracking_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One sentence says what to install, at the start and wherever errors are shown."""
    monkeypatch.setenv("AVATARKIT_NOTIFY", SECRETS)
    monkeypatch.setattr(addresses, "is_installed", lambda: False)
    with open_session() as session:
        session.tracker.run(threading.Event(), once=True)
        assert session.tracker.state().notify_error == addresses.NOT_INSTALLED
    assert addresses.NOT_INSTALLED in caplog.text
    assert "pip install 'avatarkit[notify]'" in addresses.NOT_INSTALLED
    assert importlib.util.find_spec("apprise") is not None


@pytest.mark.parametrize("value", ["", "  "])
def test_an_empty_setting_is_none(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """A line of .env that is not filled in switches nothing on."""
    monkeypatch.setenv("AVATARKIT_NOTIFY", value)
    assert Settings().notify is None


def test_the_setting_is_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """No repr shows it."""
    monkeypatch.setenv("AVATARKIT_NOTIFY", SECRETS)
    settings = Settings()
    assert settings.notify is not None
    assert settings.notify.get_secret_value() == SECRETS
    assert "Token" not in repr(settings)
    assert "Token" not in str(settings)
