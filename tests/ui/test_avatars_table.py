"""The table of the Avatars page: what it shows, how it is filtered, and what its rows do."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from avatarkit import Persona, PersonaCreate, errors
from avatarkit.ui import visits
from avatarkit.ui.running import Running
from avatarkit.ui.views import bar, filters, selection
from support.app_pages import HOUR, avatars_page, page, record, record_lives, texts, unescaped
from support.manual_clock import ManualClock


def table(test: AppTest) -> Any:
    """Return the frame that the table shows."""
    assert not test.exception
    return test.dataframe[0].value


def ids(test: AppTest) -> list[str]:
    return list(table(test)["persona_id"])


def counts(test: AppTest) -> dict[str, int]:
    """Return the four counts by their names."""
    options = test.button_group(key=filters.COUNTS).options
    parts = (option.replace("*", "").replace(",", "").rpartition(" ") for option in options)
    return {name: int(number) for name, _, number in parts}


def choose(test: AppTest, *rows: int, cell: int | None = None) -> AppTest:
    """Check the boxes of these rows, and click on a cell of one, as the browser tells it."""
    cells = [] if cell is None else [(cell, "status")]
    chosen = {"rows": list(rows), "columns": [], "cells": cells}
    test.session_state[selection.TABLE] = {"selection": chosen}
    return test.run()


def chosen(test: AppTest) -> list[str]:
    """Return the ids of the rows whose boxes the browser shows as checked."""
    shown = ids(test)
    return [shown[row] for row in test.session_state[selection.TABLE]["selection"]["rows"]]


def click(test: AppTest, label: str) -> AppTest:
    [button] = [button for button in test.button if button.label == label]
    return button.click().run()


def submit(app: Running, *names: str, label: str = "") -> list[str]:
    labels = [label] if label else []
    requests = [PersonaCreate(creator_name=name, gender="f", labels=labels) for name in names]
    return [app.session.tracker.submit(request).id for request in requests]


def fail(app: Running, persona_id: str, name: str, reason: str) -> None:
    """Record an avatar that has failed."""
    failed = Persona(
        id=persona_id,
        creator_name=name,
        process_status="failed",
        failed_reason=reason,
        created_at=app.session.clock.now() - HOUR,
    )
    record(app.session, failed, source="list")


def test_counts_filter_the_table(app: Running) -> None:
    """Each of the four counts is the number of rows of its choice."""
    record_lives(app.session, 3, running=2)
    fail(app, "bad", "Bob", "No face.")
    test = page(avatars_page)
    assert counts(test) == {"All": 6, "In progress": 2, "Needs attention": 1, "Done": 3}
    for name, count in counts(test).items():
        test.button_group(key=filters.COUNTS).set_value(name).run()
        assert len(table(test)) == count
        assert test.session_state["show"] == name
        assert test.query_params.get("show", "All") in (name, [name])


@pytest.mark.long
def test_uncertain_submissions_count_as_needing_attention(
    app: Running, app_clock: ManualClock
) -> None:
    """They stand above the table, and in the same count."""
    record_lives(app.session, 1)
    store, now = app.session.store, app_clock.now()
    submission_id = store.prepare(PersonaCreate(creator_name="Ada", gender="f"), now)
    store.sending(submission_id, now)
    store.uncertain(submission_id, now, "It broke.")
    assert counts(page(avatars_page))["Needs attention"] == 1


def test_a_search_finds_names_ids_labels_and_reasons(app: Running) -> None:
    """All words have to be found, in any of them, in any case."""
    [labelled] = submit(app, "Grace", label="Spring 24")
    fail(app, "abc-123", "Bob Failed", "No face was found.")
    test = page(avatars_page)
    for words, found in {
        "grace": [labelled],
        "spring": [labelled],
        "ABC-1": ["abc-123"],
        "bob FACE": ["abc-123"],
        "grace face": [],
        "12": [],  # in many ids
        "(": [],
    }.items():
        test.text_input(key="q").set_value(words).run()
        assert ids(test) == found, words


def test_rows_are_filtered_by_status_label_and_day(app: Running, app_clock: ManualClock) -> None:
    """The last day counts to its end."""
    [first] = submit(app, "Ada", label="a")
    app_clock.advance(timedelta(days=2))
    [second] = submit(app, "Bob", label="b")
    today = app_clock.now().date()
    test = page(avatars_page)
    test.pills(key="label").set_value(["b"]).run()
    assert ids(test) == [second]
    click(test, "Show all")
    assert len(ids(test)) == 2
    test.date_input(key="until").set_value(today - timedelta(days=2)).run()
    assert ids(test) == [first]
    test.date_input(key="since").set_value(today).run()
    assert ids(test) == []
    click(test, "Show all")
    test.pills(key="status").set_value(["done"]).run()
    assert ids(test) == []


@pytest.mark.long
def test_a_chosen_status_stays_chosen_when_no_avatar_is_in_it(
    app: Running, app_clock: ManualClock
) -> None:
    """The table of it is empty, and not that of all; an undocumented status can be chosen, too."""
    record(app.session, Persona(id="odd", process_status="on_hold"), source="list")
    test = page(avatars_page)
    test.pills(key="status").set_value(["on_hold"]).run()
    assert ids(test) == ["odd"]
    app_clock.advance(HOUR)
    record(app.session, Persona(id="odd", process_status="done"))
    test.run()
    assert test.pills(key="status").value == ["on_hold"]
    assert ids(test) == []


def test_rows_are_sorted_as_chosen(app: Running) -> None:
    """What needs attention comes first unless another order is chosen."""
    lived = record_lives(app.session, 2, running=2)
    fail(app, "bad", "aaron", "No face.")
    test = page(avatars_page)
    assert ids(test)[0] == "bad"
    assert set(ids(test)[1:3]) == set(lived[2:])
    orders = {}
    for order in test.selectbox(key="sort").options:
        test.selectbox(key="sort").set_value(order).run()
        orders[order] = ids(test)
    assert orders["Newest first"][0] == "bad"
    assert orders["Newest first"][-1] == lived[0]
    assert orders["Name"] == ["bad", *lived]
    assert set(orders["Ready first"][:2]) == set(lived[2:])
    assert set(orders["Longest in its stage"][:2]) == set(lived[2:])


def test_a_link_shows_the_same(app: Running) -> None:
    """The URL holds choice, search, filters, order and the avatar whose details are open."""
    lived = record_lives(app.session, 3, running=2)
    query = {"show": "Done", "q": "ada", "status": "Done", "sort": "Name"}
    test = page(avatars_page, persona=lived[4], **query)
    assert ids(test) == lived[:3]
    assert test.button_group(key=filters.COUNTS).value == "Done"
    assert test.selectbox(key="sort").value == "Name"
    # It is open though the table does not show it.
    assert test.header[0].value == "Ada 4"


@pytest.mark.parametrize("value", ["<b>", "0001-01-01", "1" * 999])
def test_a_bad_value_in_the_url_does_no_harm(app: Running, value: str) -> None:
    """It is as if it was not there."""
    record_lives(app.session, 1)
    names = ("show", "status", "label", "since", "until", "sort")
    test = page(avatars_page, **dict.fromkeys(names, value))
    assert len(table(test)) == 1


def test_a_click_on_a_row_opens_its_details(app: Running) -> None:
    """So does the first box that is checked; the URL has the id; closing them closes them."""
    lived = record_lives(app.session, 3)
    test = page(avatars_page)
    assert not test.header
    shown = ids(test)
    choose(test, cell=1)
    assert test.session_state["persona"] == shown[1]
    assert test.query_params["persona"] in (shown[1], [shown[1]])
    choose(test, 2)
    assert test.session_state["persona"] == shown[2]
    assert chosen(test) == [shown[2]]
    click(test, "Close")
    assert not test.header
    assert chosen(test) == []
    assert set(shown) == set(lived)


def test_the_table_does_not_move_when_a_row_is_chosen(app: Running) -> None:
    """The buttons stand there before, disabled: a second click would else meet another row."""
    record_lives(app.session, 2)
    test = page(avatars_page)
    before = {button.label: button.disabled for button in test.button}
    assert before == dict.fromkeys(("Poll now", "Submit again", "Unfollow", "Delete"), True)
    assert "None chosen" in texts(test)
    choose(test, 0)
    assert not any(button.disabled for button in test.button)


def test_a_cell_that_the_browser_chooses_by_itself_opens_nothing(app: Running) -> None:
    """A short click on the head of a column, or Tab to the table, chooses the first one.

    The arrow keys go on from there, and open the rows that they come to.
    """
    record_lives(app.session, 3)
    test = page(avatars_page)
    shown = ids(test)
    cells = []
    for row in (0, 1):
        chosen = {"rows": [], "columns": [], "cells": [(row, selection.MARK)]}
        test.session_state[selection.TABLE] = {"selection": chosen}
        test.run()
        cells.append(test.session_state[selection.TABLE]["selection"]["cells"])
        assert bool(test.header) == (row == 1)
    assert test.session_state["persona"] == shown[1]
    assert cells == [[(0, selection.MARK)], [(1, "creator_name")]]


@pytest.mark.long
def test_several_boxes_keep_the_details_that_are_open(app: Running) -> None:
    """The buttons act on what is checked."""
    record_lives(app.session, 3)
    test = page(avatars_page)
    shown = ids(test)
    choose(test, 0, 2, cell=1)
    assert test.session_state["persona"] == shown[1]
    assert "2 chosen" in texts(test)


def test_what_is_chosen_stays_chosen_when_rows_move(app: Running, app_clock: ManualClock) -> None:
    """Places are ids as soon as they arrive; new rows and another order change nothing."""
    record_lives(app.session, 4)
    test = page(avatars_page)
    shown = ids(test)
    choose(test, 1, 3)
    app_clock.advance(HOUR)
    fail(app, shown[2], "Ada", "No face.")
    fail(app, "new", "New", "No face.")
    test.run()
    assert ids(test) != shown
    assert sorted(chosen(test)) == sorted([shown[1], shown[3]])
    test.selectbox(key="sort").set_value("Name").run()
    assert sorted(chosen(test)) == sorted([shown[1], shown[3]])


def test_what_a_filter_hides_is_no_longer_chosen(app: Running) -> None:
    """A button never acts on a row that is not there."""
    record_lives(app.session, 2)
    fail(app, "bad", "Bob", "No face.")
    test = page(avatars_page)
    choose(test, 0, 1, 2)
    test.button_group(key=filters.COUNTS).set_value("Needs attention").run()
    assert chosen(test) == ["bad"]
    test.button_group(key=filters.COUNTS).set_value("All").run()
    assert chosen(test) == ["bad"]


@pytest.mark.long
def test_opening_details_polls_soon_and_once(app: Running, app_clock: ManualClock) -> None:
    """A rerun of the page does not bring the poll forward again."""
    store = app.session.store
    [persona_id] = submit(app, "Ada")
    store.plan(persona_id, app_clock.now() + 3 * HOUR, app_clock.now())
    test = choose(page(avatars_page), cell=0)
    assert store.next_look_at(persona_id) == app_clock.now() + timedelta(minutes=5)
    store.plan(persona_id, app_clock.now() + 3 * HOUR, app_clock.now())
    test.run()
    assert store.next_look_at(persona_id) == app_clock.now() + 3 * HOUR


def test_chosen_avatars_are_polled_now(app: Running, app_clock: ManualClock) -> None:
    """Each outcome is a sentence; it can be dismissed."""
    polled = submit(app, "Ada", "Bob")
    app_clock.advance(HOUR)
    test = click(choose(page(avatars_page), 0, 1), "Poll now")
    assert all(f"{name}: polled" in texts(test) for name in ("Ada", "Bob"))
    frame = app.session.store.personas().set_index("persona_id")
    assert (frame.loc[polled, "last_seen_at"] == app_clock.now()).all()
    click(test, "Dismiss")
    assert "polled" not in texts(test)


def test_avatars_are_unfollowed_and_followed_again(app: Running) -> None:
    """Both by the same button, for the one whose details are open, too."""
    [persona_id] = submit(app, "Ada")
    test = click(choose(page(avatars_page), cell=0), "Unfollow")
    assert "Ada: is not polled any more" in texts(test)
    assert not app.session.store.personas().iloc[0]["followed"]
    assert table(test)["reason"].tolist() == ["Not followed."]
    click(test, "Follow again")
    assert app.session.store.personas().iloc[0]["followed"]
    assert app.session.store.next_look_at(persona_id) is not None


@pytest.mark.parametrize(("names", "wanted"), [(["Ada"], "Ada"), (["Ada", "Bob"], "2")])
def test_a_deletion_asks_for_the_name_or_the_number(
    app: Running, names: list[str], wanted: str
) -> None:
    """Anything else deletes nothing, and a second click finds nothing to delete."""
    created = submit(app, *names)
    test = click(choose(page(avatars_page), *range(len(names))), "Delete")
    assert app.session.store.deleted_ids() == set()
    typed = next(box for box in test.text_input if box.key.startswith("avatars_typed"))
    typed.set_value("3")
    click(test, "Delete for good")
    assert "nothing was deleted" in texts(test)
    assert app.session.store.deleted_ids() == set()
    typed = next(box for box in test.text_input if box.key.startswith("avatars_typed"))
    typed.set_value(f" {wanted} ")
    click(test, "Delete for good")
    assert not test.exception
    assert app.session.store.deleted_ids() == set(created)
    assert "is deleted" in texts(test)
    assert bar.DELETING not in test.session_state


@pytest.mark.long
def test_a_deletion_asks_for_the_id_where_the_name_is_long(app: Running) -> None:
    """The question says that it is the id, and the bar shows the name in one line."""
    [persona_id] = submit(app, "A" * 61)
    test = choose(page(avatars_page), 0)
    assert f"**{'A' * 29}…**" in texts(test)
    click(test, "Delete")
    typed = next(box for box in test.text_input if box.key.startswith("avatars_typed"))
    assert typed.label.replace("\\", "") == f"Type the beginning of its id: {persona_id[:8]}"


@pytest.mark.parametrize(
    ("name", "typed"),
    [("Ada B", "Ada B"), ("", "0123abcd"), ("A  B", "0123abcd"), ("A\nB", "0123abcd"),
     ("A" * 61, "0123abcd")],
)  # fmt: skip
def test_what_cannot_be_typed_is_confirmed_by_the_id(name: str, typed: str) -> None:
    """A name with line breaks, or a very long one, would be a riddle."""
    assert bar._typed("0123abcd-4", {"0123abcd-4": name}) == typed


def test_an_error_that_meets_all_stops_at_the_first(
    app: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise each of hundreds would wait for a host that is down."""
    submit(app, "Ada", "Bob", "Eve")
    polled = []

    def fail(persona_id: str) -> None:
        polled.append(persona_id)
        raise errors.ConnectionFailed("It is down.", method="GET", url="", maybe_sent=False)

    monkeypatch.setattr(app.session.tracker, "poll", fail)
    test = click(choose(page(avatars_page), 0, 1, 2), "Poll now")
    assert len(polled) == 1
    [error] = [unescaped(error.value) for error in test.error]
    assert error.endswith(": It is down.  \nThe other 2 were left as they were.")
    assert not test.info


@pytest.mark.long
def test_an_error_of_one_avatar_leaves_the_others(app: Running) -> None:
    """Each has its own sentence."""
    first, _ = submit(app, "Ada", "Bob")
    app.session.tracker.delete(first)
    test = click(choose(page(avatars_page), 0, 1), "Poll now")
    assert "was deleted here, and is not polled" in test.error[0].value
    assert "polled, and nothing has changed" in test.info[0].value


def test_the_same_is_said_once_of_many() -> None:
    """What came of one avatar among hundreds is not hidden by what came of all others."""
    same = [bar.Outcome(f"Ada {number}", "polled.") for number in range(100)]
    left = bar.Outcome("", "The other 2 were left.")
    outcomes = [*same, bar.Outcome("Bob", "It is down."), left]
    sentences = bar._sentences(outcomes)
    assert sentences == ["Bob: It is down.", "The other 2 were left.", "100 avatars: polled."]
    assert bar._sentences(same[:2]) == ["Ada 0: polled.", "Ada 1: polled."]


def test_two_tabs_do_nothing_at_the_same_time(app: Running) -> None:
    """The second one says so, and nothing is sent."""
    submit(app, "Ada")
    test = choose(page(avatars_page), 0)
    with bar._at_work:
        click(test, "Poll now")
    assert "Another tab is doing this now" in texts(test)


def test_the_second_click_of_a_double_click_does_nothing(app: Running) -> None:
    """The button has another key after the first one."""
    submit(app, "Ada")
    test = choose(page(avatars_page), 0)
    [button] = [button for button in test.button if button.label == "Poll now"]
    button.click().run()
    assert button.key not in [other.key for other in test.button]


@pytest.mark.long
def test_what_changed_since_the_last_visit_is_marked(
    app: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the first column, beside the mark of what needs attention."""
    lived = record_lives(app.session, 2)
    fail(app, "bad", "Bob", "No face.")
    monkeypatch.setattr(visits, "changed_ids", lambda: {lived[0], "bad"})
    frame = table(page(avatars_page)).set_index("persona_id")
    assert frame[selection.MARK].to_dict() == {lived[0]: "●", lived[1]: "", "bad": "▲●"}


def test_a_rerun_that_found_the_same_sends_the_same_bytes(
    app: Running, app_clock: ManualClock
) -> None:
    """Nothing but the sentence of who is next depends on the present moment."""
    record_lives(app.session, 3)
    test = page(avatars_page)
    before = test.dataframe[0].proto.SerializeToString()
    app_clock.advance(timedelta(seconds=30))
    test.run()
    assert test.dataframe[0].proto.SerializeToString() == before
