"""The colours of badges."""

from __future__ import annotations

from avatarkit.models import ProcessStatus
from avatarkit.ui.colors import badge_color


def test_a_good_and_a_bad_end_have_colours_of_their_own() -> None:
    """Green is done and red failed or rejected; no stage looks so, nor an undocumented status."""
    colors = {status.value: badge_color(status.value) for status in ProcessStatus}
    assert [name for name, color in colors.items() if color == "green"] == ["done"]
    assert {name for name, color in colors.items() if color == "red"} == {"failed", "rejected"}
    assert badge_color("polishing") == "gray"
    assert "gray" not in colors.values()
