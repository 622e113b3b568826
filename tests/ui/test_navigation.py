"""The links to the pages, and where they lead when they are copied or opened in another tab."""

from __future__ import annotations

import pytest

from avatarkit.ui.running import Running
from support.app_pages import main_page


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
