"""The Settings page."""

from __future__ import annotations

import json

import pytest

from avatarkit.ui.running import Running
from avatarkit.ui.views import settings
from support.app_pages import page, settings_page


def test_it_says_what_is_connected(app: Running) -> None:
    """It shows base URL, masked id and the living tracker, and never the key."""
    session = app.session
    session.tracker.start()
    test = page(settings_page)
    assert not test.exception
    shown = json.dumps(test.table[0].value.to_dict(), default=str)
    assert session.client.base_url in shown
    assert "alive" in shown
    assert session.client.api_id not in shown
    assert session.sandbox is not None
    assert session.sandbox.api_key not in shown


@pytest.mark.parametrize(("api_id", "shown"), [("abc", "…"), ("abcd-1234-xy", "abcd…xy")])
def test_ids_are_masked(api_id: str, shown: str) -> None:
    """An id is shown so that it can be recognised and not used."""
    assert settings.masked(api_id) == shown
