"""The Stage times page."""

from __future__ import annotations

import pytest
from streamlit.testing.v1 import AppTest

from avatarkit.ui import cache
from avatarkit.ui.running import Running
from support.app_pages import chart_titles, page, record_lives, stage_times_page, texts


def question(name: str) -> AppTest:
    """Run the page with the tab of this name open."""
    test = page(stage_times_page, {"stage_times_question": name})
    assert not test.exception
    return test


def test_without_visits_it_says_so(app: Running) -> None:
    """Without avatars there is nothing to show."""
    assert "No stage times yet" in texts(page(stage_times_page))


def test_few_visits_are_not_enough(app: Running) -> None:
    """One persona gives ranges, counts and "not enough yet", no percentile."""
    record_lives(app.session, 1)
    test = page(stage_times_page)
    assert not test.exception
    table = test.dataframe[0].value
    assert len(table) == 6
    assert set(table["p50"]) == {""}
    assert table["note"].str.contains("not enough").any()
    assert chart_titles(test) == ["How long does each stage take?"]
    assert "The log is certain of the stage for" in texts(test)


def test_intervals_of_the_medians_and_curves_on_request(app: Running) -> None:
    """Toggles add the interval of each median, and the fit beside what was counted."""
    record_lives(app.session, 12)
    test = page(stage_times_page)
    assert "p50_interval" not in test.dataframe[0].value
    test.toggle(key="stage_times_sure").set_value(True).run()
    assert "p50_interval" in test.dataframe[0].value
    test.toggle(key="stage_times_check").set_value(True).run()
    assert "Does the fit agree with what was counted?" in chart_titles(test)
    chosen = test.selectbox(key="stage_times_check_stage")
    chosen.set_value("reviewing").run()
    assert not test.exception
    assert chosen.value == "reviewing"


@pytest.mark.parametrize(
    ("name", "chart", "text"),
    [
        ("Ends", "How do they end, and when?", "8 done, 0 failed, 0 rejected"),
        ("In flight", "How much is in flight?", "At the end of each day"),
        ("Waiting times", "Did waiting times change?", "80 % range"),
    ],
)
def test_each_question_has_its_chart(app: Running, name: str, chart: str, text: str) -> None:
    """One question is open at a time, with its chart and a sentence."""
    record_lives(app.session, 8, running=2)
    test = question(name)
    assert text in texts(test)
    assert chart_titles(test) == [chart]


@pytest.mark.parametrize("name", ["Stages", "Ends", "In flight", "Waiting times"])
def test_what_is_not_computed_yet_is_said(
    app: Running, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While an estimate is being computed the page says so, and does not stand still."""
    record_lives(app.session, 1)
    monkeypatch.setattr(cache.Estimates, "get", lambda *_: None)
    assert "Still working it out" in texts(question(name))


def test_without_an_end_there_are_no_curves(app: Running) -> None:
    """While all are running, the page says so instead of an empty chart."""
    record_lives(app.session, 0, running=2)
    test = question("Ends")
    assert "No avatar has ended yet." in texts(test)
    assert chart_titles(test) == []
