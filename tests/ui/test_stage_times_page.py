"""The Stage times page."""

from __future__ import annotations

from datetime import timedelta

import pytest
from streamlit.testing.v1 import AppTest

from avatarkit.estimates import backtest
from avatarkit.ui import cache
from avatarkit.ui.log_filter import LogFilter
from avatarkit.ui.running import Running
from avatarkit.ui.views import stage_times
from support.app_pages import chart_titles, page, record, record_lives, stage_times_page, texts


def question(name: str) -> AppTest:
    """Run the page with the tab of this name open."""
    test = page(stage_times_page, {"times_tab": name})
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


@pytest.mark.long
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
    monkeypatch.setattr(cache.Estimates, "get", lambda *_, **__: None)
    assert "Still working it out" in texts(question(name))


def test_without_an_end_there_are_no_curves(app: Running) -> None:
    """While all are running, the page says so instead of an empty chart."""
    record_lives(app.session, 0, running=2)
    test = question("Ends")
    assert "No avatar has ended yet." in texts(test)
    assert chart_titles(test) == []


def test_dates_and_labels_choose_avatars_and_live_in_the_url(app: Running) -> None:
    """A link opens the page with its dates, labels and tab, and everything is about these."""
    ids = record_lives(app.session, 12)
    persona = app.session.store.persona(ids[0])
    assert persona is not None
    record(app.session, persona.model_copy(update={"labels": ["team 1"]}))
    test = page(stage_times_page, times_label="team 1", times_tab="Ends")
    assert not test.exception
    assert "1 done, 0 failed, 0 rejected" in texts(test)
    assert "1 of 12 avatars." in texts(test)
    test.pills(key="times_label").set_value([]).run()
    assert "12 done" in texts(test)
    first = app.session.store.personas()["created_at"].min().date()
    linked = page(stage_times_page, times_until=str(first - timedelta(days=1)))
    assert "No avatar with these labels was submitted then." in texts(linked)
    test.date_input(key="times_since").set_value(first + timedelta(days=90)).run()
    assert not test.exception
    assert "No avatar with these labels was submitted then." in texts(test)


@pytest.mark.parametrize(
    "query",
    [
        {"times_label": "unknown"},
        {"times_since": "soon"},
        {"times_until": "9999-99-99"},
        {"times_tab": "Nothing"},
    ],
)
def test_what_a_link_says_wrong_is_left_out(app: Running, query: dict[str, str]) -> None:
    """A label that is not known, or no date, does no harm."""
    record_lives(app.session, 1)
    test = page(stage_times_page, **query)
    assert not test.exception
    assert chart_titles(test) == ["How long does each stage take?"]


def test_downloads_hold_what_is_chosen(app: Running) -> None:
    """The CSV of stage times is of the chosen avatars only."""
    ids = record_lives(app.session, 3, running=1)
    persona = app.session.store.persona(ids[-1])
    assert persona is not None
    record(app.session, persona.model_copy(update={"labels": ["new"]}))
    chosen = LogFilter(labels=("new",))
    for read in (stage_times._visits, stage_times._arrivals):
        assert set(read(chosen)["persona_id"]) == {ids[-1]}
        assert ids[-1] in set(read(LogFilter())["persona_id"])
    assert stage_times._percentiles(chosen)["n"].max() == 1
    assert stage_times._percentiles(LogFilter())["n"].max() == 4


def test_ranges_that_did_not_hold_are_a_warning(
    app: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When too few arrivals fell in their ranges, the sentence is a warning."""
    record_lives(app.session, 8, running=2)
    monkeypatch.setattr(backtest, "is_too_narrow", lambda _: True)
    assert "80 % range" in question("Waiting times").warning[0].value


@pytest.mark.long
def test_an_unchanged_page_is_sent_as_the_same_bytes(app: Running) -> None:
    """A rerun that finds the same log sends the same charts and tables, to the byte."""
    record_lives(app.session, 6, running=2)
    test = page(stage_times_page)

    def sent() -> list[bytes]:
        elements = [*test.get("vega_lite_chart"), *test.dataframe]
        return [element.proto.SerializeToString() for element in elements]

    before = sent()
    assert len(before) == 2
    assert (test.run(), sent()) == (test, before)
