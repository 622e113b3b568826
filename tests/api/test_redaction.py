"""What is taken out of answers and log records."""

from __future__ import annotations

import logging

import pytest

from avatarkit.api import redaction

URL = "https://avatars.example/webhooks/personas/t0ken-of-a-webhook"


def test_a_short_key_does_not_keep_a_token_from_being_hidden(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The key is a part of the path by which a token is told."""
    monkeypatch.setattr(redaction, "_keys", set())
    redaction.redact_logs("k", "https://api.example")
    logger = logging.getLogger("httpx")
    caplog.set_level(logging.DEBUG, logger.name)
    logger.info("HTTP Request: POST %s", URL)
    assert "t0ken" not in caplog.text
    assert b"t0ken" not in redaction.Redactor("k")(URL.encode())
