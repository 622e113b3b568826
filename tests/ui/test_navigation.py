"""The links to the pages, and where they lead when they are copied or opened in another tab."""

from __future__ import annotations

from typing import Any

import pytest
from streamlit.util import calc_hash

from avatarkit import errors
from avatarkit.tracking.access import Access
from avatarkit.ui.running import Running
from avatarkit.ui.views import filters
from support.app_pages import main_page, record_lives
from support.manual_clock import ManualClock


def place(node: Any, key: str) -> tuple[int, ...] | None:
    """Return where the widget with a key stands on the page."""
    for index, child in getattr(node, "children", {}).items():
        inner = () if getattr(child, "key", None) == key else place(child, key)
        if inner is not None:
            return (index, *inner)
    return None


@pytest.mark.parametrize(
    ("url_path", "first"), [("", ""), ("avatars", "avatars"), ("settings", "avatars")]
)
def test_the_link_to_avatars_has_an_address_of_its_own(
    app: Running, url_path: str, first: str
) -> None:
    """An empty one would be that of the page on which the link stands."""
    links = [link.proto for link in main_page(url_path).get("page_link")]
    assert [link.page for link in links[:4]] == [first, "submit", "stage-times", "settings"]
    assert [link.label for link in links[:2]] == ["Avatars", "Submit"]


def test_what_comes_and_goes_above_a_page_moves_none_of_its_widgets(
    app: Running, app_clock: ManualClock
) -> None:
    """A browser would else no longer write into the URL what is chosen in them."""
    record_lives(app.session, 2, running=1)
    test = main_page("")
    before = place(test.main, "q")
    test.button(key="main_dismiss_sandbox").click().run()
    assert before is not None
    assert place(test.main, "q") == before
    refused = errors.AuthError("Check both keys.", method="GET", url="", status_code=401)
    app.session.tracker.access = Access(refused, app_clock.now())
    record_lives(app.session, 1)
    assert test.run().error
    assert place(test.main, "q") == before


def test_a_link_back_to_a_page_leads_to_what_was_left(app: Running) -> None:
    """In one step, which the Back button takes back; restored by the widgets, each is a step."""
    record_lives(app.session, 2)
    test = main_page("")
    test.button_group(key=filters.COUNTS).set_value(filters.DONE).run()
    test._page_hash = calc_hash("settings")
    links = [link.proto for link in test.run().get("page_link")]
    assert [link.query_string for link in links[:3]] == ["show=Done", "", ""]
