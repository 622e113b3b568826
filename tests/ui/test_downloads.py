"""What the pages offer to download, and what is in it."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest
import streamlit

from avatarkit.ui.elements import FOR_SPREADSHEETS
from avatarkit.ui.running import Running
from support.app_pages import page, record_lives, stage_times_page, tracker_page

PAGES = {
    tracker_page: ["statuses"],
    stage_times_page: ["stage times", "percentiles", "arrivals"],
}


@pytest.fixture
def downloads(monkeypatch: pytest.MonkeyPatch) -> dict[str, Callable[[], str]]:
    """Collect by label what each button of the last run would download."""
    collected: dict[str, Callable[[], str]] = {}

    def download_button(label: str, data: Callable[[], str], **_: Any) -> None:
        collected[label] = data

    monkeypatch.setattr(streamlit, "download_button", download_button)
    return collected


@pytest.mark.parametrize("script", PAGES)
@pytest.mark.parametrize("count", [0, 8])
def test_each_table_in_both_forms(
    app: Running, downloads: dict[str, Callable[[], str]], script: Callable[[], None], count: int
) -> None:
    """As it is for programs; with the mark, names and ends for spreadsheets; also without rows."""
    record_lives(app.session, count, running=min(count, 2))
    test = page(script)
    assert not test.exception
    assert list(downloads) == [f"Download {name} (CSV)" for name in PAGES[script]]
    plain = {label: pd.read_csv(io.StringIO(read())) for label, read in downloads.items()}
    test.checkbox(key=FOR_SPREADSHEETS).check().run()
    assert not test.exception
    for label, read in downloads.items():
        text = read()
        assert text.startswith("\ufeff")
        full = pd.read_csv(io.BytesIO(text.encode()))
        assert len(full) == len(plain[label])
        assert (len(full) > 0) == (count > 0 or "percentiles" in label)
        added = {"creator_name", "end", "end_seen_at (UTC)"}
        assert added <= set(full) or "percentiles" in label
        assert not [name for name in full if name.endswith(("_at", "_after", "_before"))]
    test.checkbox(key=FOR_SPREADSHEETS).uncheck().run()
    assert not any(read().startswith("\ufeff") for read in downloads.values())


def test_arrivals_say_who_is_late(app: Running, downloads: dict[str, Callable[[], str]]) -> None:
    """The download waits for the stage times, without which no avatar is late."""
    record_lives(app.session, 12, running=2, late=1)
    page(stage_times_page)
    arrivals = pd.read_csv(io.StringIO(downloads["Download arrivals (CSV)"]()))
    assert sorted(arrivals["late"]) == [False, True]
