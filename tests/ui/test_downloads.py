"""What the pages offer to download, and what is in it."""

from __future__ import annotations

import io
import tomllib
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest
import streamlit

from avatarkit.ui import cache
from avatarkit.ui.elements import FOR_SPREADSHEETS
from avatarkit.ui.running import Running
from support.app_pages import avatars_page, page, record_lives, stage_times_page
from support.project import ROOT

PAGES = {
    avatars_page: ["statuses"],
    stage_times_page: ["stage times", "percentiles", "arrivals"],
}


@pytest.fixture
def downloads(monkeypatch: pytest.MonkeyPatch) -> dict[str, Callable[[], str]]:
    """Collect by label what each button of the last run would download."""
    collected: dict[str, Callable[[], str]] = {}

    def download_button(label: str, data: Callable[[], str], **_: Any) -> None:
        if label.startswith("Download"):
            collected[label] = data

    monkeypatch.setattr(streamlit, "download_button", download_button)
    return collected


@pytest.mark.parametrize("script", PAGES)
@pytest.mark.parametrize("count", [0, 3])
def test_each_table_in_both_forms(
    app: Running, downloads: dict[str, Callable[[], str]], script: Callable[[], None], count: int
) -> None:
    """As it is for programs; with the mark, names and ends for spreadsheets; none without rows."""
    record_lives(app.session, count, running=min(count, 1))
    test = page(script)
    assert not test.exception
    names = PAGES[script] if count else []
    assert list(downloads) == [f"Download {name} (CSV)" for name in names]
    if not count:
        return
    plain = {label: pd.read_csv(io.StringIO(read())) for label, read in downloads.items()}
    downloads.clear()
    test.checkbox(key=FOR_SPREADSHEETS).check().run()
    assert not test.exception
    assert list(downloads) == [f"Download {name} (for spreadsheets)" for name in names]
    for label, read in downloads.items():
        text = read()
        assert text.startswith("\ufeff")
        full = pd.read_csv(io.BytesIO(text.encode()))
        assert len(full) == len(plain[label.replace("for spreadsheets", "CSV")])
        assert (len(full) > 0) == (count > 0 or "percentiles" in label)
        added = {"creator_name", "end", "end_seen_at (UTC)"}
        assert added <= set(full) or "percentiles" in label
        assert not [name for name in full if name.endswith(("_at", "_after", "_before"))]


def test_a_download_waits_for_its_estimates(
    app: Running, downloads: dict[str, Callable[[], str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page shows what there is at once; a download is of all, with who is late."""
    monkeypatch.setattr(cache, "FIRST_WAIT_S", 0.0)
    record_lives(app.session, 8, running=2, late=1)
    page(stage_times_page)
    arrivals = pd.read_csv(io.StringIO(downloads["Download arrivals (CSV)"]()))
    assert sorted(arrivals["late"]) == [False, True]


def test_the_tables_own_export_is_off() -> None:
    """Streamlit's download and copying write names that a spreadsheet would run as formulas."""
    config = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text(encoding="utf-8"))
    assert config["client"]["disableDataExport"] is True
