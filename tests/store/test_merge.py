"""Rows that are carried over from one fingerprint to another."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from itertools import groupby
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from avatarkit import Persona, PersonaCreate, Store
from avatarkit.store import merge, tables
from avatarkit.store.accounts import account_name, api_id_hint
from support.manual_clock import MONDAY

MINUTE = timedelta(minutes=1)
ADA = PersonaCreate(creator_name="Ada", gender="f", labels=["x"])


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgres":
        return str(request.getfixturevalue("postgres"))
    return f"sqlite:///{tmp_path / 'log.db'}"


@pytest.fixture
def stores(url: str) -> Iterator[tuple[Store, Store]]:
    """The log under the old and under the new API id."""
    with Store(url, account="old") as old, Store(url, account="new") as new:
        yield old, new


def see(store: Store, persona_id: str, status: str, minute: int, **fields: Any) -> None:
    at = MONDAY + minute * MINUTE
    persona = Persona.model_validate({"id": persona_id, "process_status": status, **fields})
    with store.transaction():
        store.record(persona, asked_at=at, answered_at=at, source="poll", asked_no=store.ask())
        store.plan(persona_id, None if persona.is_terminal else at + 60 * MINUTE, at)


def runs(store: Store, persona_id: str) -> list[tuple[Any, ...]]:
    frame = store.sightings(persona_id)
    minutes = [
        [round((at - MONDAY) / MINUTE) for at in frame[name]]
        for name in ("first_seen_at", "last_seen_at")
    ]
    return list(zip(frame["status"], *minutes, frame["times_seen"], strict=True))


def test_all_rows_move(stores: tuple[Store, Store]) -> None:
    """Personas, runs, submissions and what was told go to the account; nothing stays behind."""
    old, new = stores
    accepted, uncertain = old.prepare(ADA, MONDAY), old.prepare(ADA, MONDAY)
    old.sending(uncertain, MONDAY)
    old.uncertain(uncertain, MONDAY, "It broke.")
    old.accepted(accepted, Persona.model_validate({"id": "a", "process_status": "pending"}), MONDAY)
    see(old, "b", "done", 3)
    old.ask(40)
    new.note_account("https://a.example", "w", MONDAY)
    before = old.personas(), old.sightings(), old.submissions()
    assert [other.personas for other in new.other_accounts()] == [2]
    assert new.carry_over("old") == 2
    for frame, kept in zip(
        before, (new.personas(), new.sightings(), new.submissions()), strict=True
    ):
        pd.testing.assert_frame_equal(frame, kept)
    assert [each.submission_id for each in new.open_submissions()] == [uncertain]
    assert old.personas().empty
    assert new.other_accounts() == []
    # A later call has a higher number than all before it, or its answer would count as old.
    assert new.ask() > 41
    assert new.carry_over("old") == 0


def test_what_both_have_keeps_the_history_of_both(stores: tuple[Store, Store]) -> None:
    """The runs are joined, the newer answer wins, and fields that only one has are kept."""
    old, new = stores
    see(old, "a", "pending", 0, video_scene="office")
    see(old, "a", "pending", 10)
    see(old, "a", "processing", 20)
    see(new, "a", "processing", 30, creator_name="Ada")
    see(new, "a", "reviewing", 90)
    see(new, "b", "pending", 0)
    new.carry_over("old")
    assert runs(new, "a") == [
        ("pending", 0, 10, 2),
        ("processing", 20, 30, 2),
        ("reviewing", 90, 90, 1),
    ]
    row = new.personas().set_index("persona_id").loc["a"]
    assert (row["status"], row["video_scene"], row["creator_name"]) == (
        "reviewing",
        "office",
        "Ada",
    )
    assert row["first_seen_at"] == MONDAY
    assert row["next_look_at"] == MONDAY + 80 * MINUTE
    see(new, "a", "done", 120)
    assert runs(new, "a")[-1] == ("done", 120, 120, 1)


def test_an_older_row_of_this_account_does_not_win(stores: tuple[Store, Store]) -> None:
    """What the other fingerprint saw later is the status, and an end is not polled again."""
    old, new = stores
    see(new, "a", "pending", 0)
    see(old, "a", "failed", 50, failed_reason="Blurred.")
    new.set_followed("a", False, MONDAY)
    new.carry_over("old")
    row = new.personas().iloc[0]
    assert (row["status"], row["failed_reason"], row["followed"]) == ("failed", "Blurred.", False)
    assert pd.isna(row["next_look_at"])


def test_what_was_told_is_not_told_again(stores: tuple[Store, Store]) -> None:
    """Of two notifications of one event the one that was sent is kept."""
    _, new = stores
    table = tables.notifications
    rows = [
        ("old", "ended", "a", 7), ("new", "ended", "a", None),
        ("old", "ended", "b", None), ("old", "late", "a", 7),
    ]  # fmt: skip
    names = ("account", "event", "subject", "sent_us")
    with new.transaction() as connection:
        for row in rows:
            values = dict(zip(names, row, strict=True))
            connection.execute(table.insert().values(text="", created_us=0, **values))
    new.carry_over("old")
    with new.transaction() as connection:
        found = connection.execute(sa.select(*(table.c[name] for name in names))).all()
    assert sorted(map(str, found)) == sorted(
        map(str, [("new", *row[1:]) for row in rows if row != rows[1]])
    )


CHANGES = st.lists(st.integers(1, 300), max_size=4, unique=True).map(sorted)
POLLS = st.lists(st.integers(0, 400), min_size=1, max_size=12)


@given(changes=CHANGES, old=POLLS, new=POLLS)
def test_merged_runs_are_those_of_one_log(
    changes: list[int], old: list[int], new: list[int]
) -> None:
    """Two logs of one truth become the runs that one log of all polls would have."""

    def status(minute: int) -> str:
        return f"s{sum(change <= minute for change in changes)}"

    def encoded(polls: list[int]) -> list[dict[str, Any]]:
        found = []
        for name, group in groupby(sorted(polls), key=status):
            minutes = list(group)
            found.append(
                {
                    "status": name, "first_seen_us": minutes[0], "last_seen_us": minutes[-1],
                    "times_seen": len(minutes), "reported_us": None, "failed_reason": None,
                    "source": "poll",
                }
            )  # fmt: skip
        return found

    rows = [*encoded(old), *encoded(new)]
    logged = [SimpleNamespace(id=number, **row) for number, row in enumerate(rows)]
    assert merge.merge_runs(logged) == encoded(old + new)


def test_a_run_that_was_interrupted_is_split() -> None:
    """What one fingerprint saw in between is kept, and no bound becomes tighter than it was."""

    def run(number: int, status: str, first: int, last: int, times: int) -> Any:
        values = {"reported_us": None, "failed_reason": None, "source": "poll"}
        us = {"first_seen_us": first * 10**6, "last_seen_us": last * 10**6}
        return SimpleNamespace(id=number, status=status, times_seen=times, **us, **values)

    merged = merge.merge_runs([run(1, "a", 0, 900, 3), run(2, "b", 400, 500, 2)])
    seconds = [
        (
            each["status"],
            each["first_seen_us"] // 10**6,
            each["last_seen_us"] // 10**6,
            each["times_seen"],
        )
        for each in merged
    ]
    assert seconds == [("a", 0, -20, 2), ("b", 400, 500, 2), ("a", 920, 900, 1)]


@pytest.mark.parametrize(
    ("api_id", "name"),
    [
        ("0123456789abcdef", "…cdef at a.example"),
        ("12345678", "…78 at a.example"),
        ("ab", "at a.example"),
    ],
)
def test_an_account_is_named_by_the_end_of_its_id(api_id: str, name: str) -> None:
    """At most four characters, and at most a quarter of a short id."""
    assert account_name("https://a.example", api_id_hint(api_id)) == name
