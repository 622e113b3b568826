"""The log, on SQLite and on a real PostgreSQL."""

from __future__ import annotations

import dataclasses
import sqlite3
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import sqlalchemy as sa

from avatarkit import PersonaCreate, Store, errors
from avatarkit.models import Persona
from avatarkit.store import database, frames, tables
from avatarkit.store.account import Pause
from avatarkit.store.sightings import Change

T0 = datetime(2026, 1, 5, 12, 0, 0, 123456, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)

between_stores = pytest.mark.parametrize("url", ["sqlite", "postgres"], indirect=True)
"""For tests that open a database twice; each one in memory is its own."""


def persona(status: str | None = "pending", **values: Any) -> Persona:
    return Persona.model_validate({"id": "p1", "process_status": status, **values})


def see(
    store: Store,
    at: datetime,
    status: str | None = "pending",
    *,
    asked_at: datetime | None = None,
    source: str = "poll",
    **values: Any,
) -> Change | None:
    """Log an answer and plan the next poll for an hour later."""
    seen = persona(status, **values)
    with store.transaction():
        recorded = store.record(seen, asked_at=asked_at or at, answered_at=at, source=source)
        if recorded is None:
            return None
        store.plan(seen.id, None if status == "done" else recorded.since + HOUR)
    return recorded.change


def submitted(store: Store, at: datetime = T0, **values: Any) -> str:
    request = PersonaCreate(
        creator_name="James", gender="m", labels=["l1", "l2"], keywords="k", video_scene="office"
    )
    submission_id = store.prepare(request, at)
    store.sending(submission_id, at + MINUTE)
    answer = persona(created_at=at, updated_at=at, **values)
    store.accepted(submission_id, answer, at + 2 * MINUTE)
    return submission_id


class TestFrames:
    def test_empty_frames_have_their_columns_and_dtypes(self, store: Store) -> None:
        """A frame without rows has the columns and dtypes of one with rows."""
        empty = [store.personas(), store.sightings(), store.submissions()]
        submitted(store)
        full = [store.personas(), store.sightings(), store.submissions()]
        for none, some in zip(empty, full, strict=True):
            assert none.empty
            assert len(some) == 1
            assert list(none.dtypes.items()) == list(some.dtypes.items())
        assert list(full[0].columns) == list(frames.PERSONAS.dtypes)

    def test_sightings_are_by_persona_and_time_on_every_database(self, store: Store) -> None:
        """Letters sort by their code, not as a language of the server has them."""
        for minutes, name, status in (
            (5, "b", "pending"),
            (6, "B", "pending"),
            (7, "a-2", "pending"),
            (8, "a1", "pending"),
            (9, "b", "processing"),
            (10, "b", "voice_creating"),
        ):
            see(store, T0 + minutes * MINUTE, status, id=name, source="list")
        rows = store.sightings()
        assert list(zip(rows["persona_id"], rows["status"], strict=True)) == [
            ("B", "pending"),
            ("a-2", "pending"),
            ("a1", "pending"),
            ("b", "pending"),
            ("b", "processing"),
            ("b", "voice_creating"),
        ]
        assert rows.index.tolist() == list(range(6))
        alone = store.sightings("b")
        assert alone["status"].tolist() == ["pending", "processing", "voice_creating"]

    def test_many_rows_come_whole(self, store: Store) -> None:
        """All rows arrive, in the order they came where times agree."""
        count = 1_507
        start = tables.to_us(T0)
        with store.transaction() as connection:
            rows = [
                {
                    "account": "other" if number % 10 == 9 else "mine",
                    "persona_id": f"p{number % 50:02d}",
                    "status": "pending" if number % 2 else "processing",
                    "first_seen_us": start + number // 100,
                    "last_seen_us": start + 2 * number,
                    "times_seen": number,
                    "reported_us": None if number % 3 else start - number,
                    "failed_reason": None if number % 7 else f"reason {number}",
                    "source": "poll",
                }
                for number in range(count)
            ]
            connection.execute(tables.sightings.insert(), rows)
        expected = sorted(
            (row for row in rows if row["account"] == "mine"),
            key=lambda row: (row["persona_id"], row["first_seen_us"]),
        )
        frame = store.sightings()
        for name in ("persona_id", "status", "times_seen", "failed_reason", "source"):
            found = frame[name].astype("object")
            assert found.where(found.notna(), None).tolist() == [row[name] for row in expected]
        for name in ("first_seen", "last_seen", "reported"):
            found = [None if pd.isna(at) else tables.to_us(at) for at in frame[f"{name}_at"]]
            assert found == [row[f"{name}_us"] for row in expected]
        assert len(store.sightings("p03")) == sum(row["persona_id"] == "p03" for row in expected)

    def test_a_database_that_breaks_while_it_is_read_is_told_in_a_sentence(
        self, tmp_path: Path
    ) -> None:
        """A damaged file ends in a StoreError that names the file, not in a driver's error."""
        file = tmp_path / "log.db"
        with Store(f"sqlite:///{file}", account="mine") as store, store.transaction() as connection:
            row = {
                "account": "mine",
                "status": "pending",
                "first_seen_us": 1,
                "last_seen_us": 2,
                "times_seen": 1,
                "source": "poll",
            }
            rows = [{**row, "persona_id": f"p{number}"} for number in range(20_000)]
            connection.execute(tables.sightings.insert(), rows)
        damaged = bytearray(file.read_bytes())
        middle = len(damaged) // 2
        damaged[middle:] = b"\xff" * (len(damaged) - middle)
        file.write_bytes(damaged)
        with (
            Store(f"sqlite:///{file}", account="mine") as store,
            pytest.raises(errors.StoreError, match=r"log\.db did not work \(.*malformed"),
        ):
            store.sightings()

    def test_a_submission_tells_its_story(self, store: Store) -> None:
        """What was sent, when, and what became of it stand in one row."""
        submission_id = submitted(store)
        row = store.submissions().iloc[0]
        assert row["submission_id"] == submission_id
        assert (row["state"], row["persona_id"], row["creator_name"]) == ("accepted", "p1", "James")
        assert row["prepared_at"] == T0
        assert row["sent_at"] == T0 + MINUTE
        assert row["ended_at"] == T0 + 2 * MINUTE
        assert pd.isna(row["error"])

    def test_what_was_sent_fills_what_does_not_come_back(self, store: Store) -> None:
        """Name, scene, keywords and labels stay known though the API does not repeat them."""
        submitted(store)
        see(store, T0 + HOUR, "processing", creator_name="James B.")
        row = store.personas().iloc[0]
        assert row["labels"] == ["l1", "l2"]
        assert (row["video_scene"], row["keywords"], row["gender"]) == ("office", "k", "m")
        assert row["creator_name"] == "James B."
        assert row["submitted_at"] == T0 + MINUTE
        assert row["first_seen_at"] == T0 + 2 * MINUTE

    def test_labels_are_lists_with_and_without(self, store: Store) -> None:
        """A persona without labels has an empty list, also beside one with labels."""
        see(store, T0, id="without")
        assert store.personas()["labels"].tolist() == [[]]
        submitted(store)
        rows = store.personas().set_index("persona_id")
        assert rows["labels"].to_dict() == {"without": [], "p1": ["l1", "l2"]}
        assert rows["is_active"].isna().all()
        see(store, T0 + HOUR, id="without", is_active=True)
        rows = store.personas().set_index("persona_id")
        assert rows["is_active"].dtype == "boolean"
        assert bool(rows.loc["without", "is_active"])

    def test_personas_are_newest_first(self, store: Store) -> None:
        """The newest persona stands first."""
        for number in (1, 3, 2):
            see(store, T0 + HOUR, id=f"p{number}", created_at=T0 + number * MINUTE)
        assert list(store.personas()["persona_id"]) == ["p3", "p2", "p1"]

    def test_times_are_exact_to_the_microsecond(self, store: Store) -> None:
        """Moments come back as they went in, aware and in UTC."""
        see(store, T0)
        row = store.sightings().iloc[0]
        assert row["first_seen_at"] == T0
        assert str(store.sightings()["first_seen_at"].dtype) == "datetime64[us, UTC]"


class TestRuns:
    def test_an_unchanged_status_only_moves_last_seen(self, store: Store) -> None:
        """Ten polls of the same status are one row."""
        for number in range(10):
            see(store, T0 + number * MINUTE)
        rows = store.sightings()
        assert len(rows) == 1
        assert rows.iloc[0]["times_seen"] == 10
        assert rows.iloc[0]["first_seen_at"] == T0
        assert rows.iloc[0]["last_seen_at"] == T0 + 9 * MINUTE

    def test_a_change_is_a_new_run(self, store: Store) -> None:
        """A new status is a new row and is returned as a change."""
        first = see(store, T0)
        assert first is not None
        assert (first.before, first.after) == (None, "pending")
        assert see(store, T0 + MINUTE) is None
        change = see(
            store, T0 + HOUR, "failed", failed_reason="No audio", updated_at=T0 + MINUTE * 30
        )
        assert change == Change("p1", None, "pending", "failed", T0 + HOUR, "No audio")
        rows = store.sightings("p1")
        assert list(rows["status"]) == ["pending", "failed"]
        assert rows.iloc[1]["reported_at"] == T0 + 30 * MINUTE
        assert rows.iloc[1]["failed_reason"] == "No audio"

    def test_an_unchanged_status_was_there_when_it_was_asked_for(self, store: Store) -> None:
        """The run reaches to the moment of the question, a new one begins at the answer."""
        see(store, T0)
        for status, asked, answered in (("pending", 10, 12), ("processing", 20, 22)):
            see(store, T0 + answered * MINUTE, status, asked_at=T0 + asked * MINUTE)
        rows = store.sightings()
        assert rows.iloc[0]["last_seen_at"] == T0 + 10 * MINUTE
        assert rows.iloc[1]["first_seen_at"] == T0 + 22 * MINUTE

    def test_an_answer_that_was_overtaken_changes_nothing(self, store: Store) -> None:
        """A late answer of another process does not turn the history back."""
        see(store, T0 + HOUR, "processing")
        assert see(store, T0, "pending") is None
        see(store, T0, "processing")
        rows = store.sightings()
        assert list(rows["status"]) == ["processing"]
        assert rows.iloc[0]["last_seen_at"] == T0 + HOUR

    def test_the_create_is_the_first_sighting(self, store: Store) -> None:
        """The answer to the create begins the first run, not before the create was sent."""
        submitted(store)
        row = store.sightings().iloc[0]
        assert row["source"] == "create"
        assert row["reported_at"] == T0 + MINUTE
        assert row["first_seen_at"] == T0 + 2 * MINUTE

    def test_unknown_statuses_are_kept(self, store: Store) -> None:
        """An undocumented status is logged as it came."""
        see(store, T0, "dreaming")
        assert store.personas().iloc[0]["status"] == "dreaming"

    def test_a_missing_status_is_read_through_is_active(self, store: Store) -> None:
        """Without a status, is_active true is done and anything else unknown."""
        see(store, T0, None, is_active=False)
        assert store.personas().iloc[0]["status"] == "unknown"
        see(store, T0 + HOUR, None, is_active=True)
        assert store.personas().iloc[0]["status"] == "done"

    def test_an_answer_is_kept_whole(self, store: Store) -> None:
        """Unknown fields of an answer come back with the persona."""
        see(store, T0, novel={"x": [1]})
        kept = store.persona("p1")
        assert kept is not None
        assert kept.model_extra == {"novel": {"x": [1]}}
        assert store.persona("nobody") is None

    @between_stores
    def test_two_threads_make_one_run(self, url: str) -> None:
        """Polls from several threads and stores at once never make two runs of one status."""
        stores = [Store(url, account="mine") for _ in range(3)]
        see(stores[0], T0)

        def poll(store: Store) -> None:
            for number in range(15):
                see(store, T0 + number * MINUTE, "pending" if number < 8 else "processing")

        threads = [threading.Thread(target=poll, args=(store,)) for store in stores]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert list(stores[0].sightings()["status"]) == ["pending", "processing"]
        for store in stores:
            store.close()


class TestDue:
    def test_due_is_what_should_be_polled_by_now(self, store: Store) -> None:
        """Due comes in order of the planned moment; what has ended never comes."""
        see(store, T0 + MINUTE, id="b")
        see(store, T0, id="a")
        see(store, T0, "done", id="c")
        assert store.due(T0) == []
        assert [each.persona_id for each in store.due(T0 + 2 * HOUR)] == ["a", "b"]
        assert store.next_look_at() == T0 + HOUR
        assert store.next_look_at("c") is None
        assert [each.persona_id for each in store.due(T0, "b")] == ["b"]

    def test_an_error_is_kept_and_forgotten_by_the_next_answer(self, store: Store) -> None:
        """last_error holds the sentence until a poll works again."""
        see(store, T0)
        store.record_error("p1", "Broke.", at=T0, missing=False)
        store.record_error("p1", "Broke.", at=T0, missing=False)
        row = store.personas().iloc[0]
        assert (row["last_error"], row["last_error_at"]) == ("Broke.", T0)
        assert store.due(T0, "p1")[0].failures == 2
        see(store, T0 + HOUR)
        assert store.personas().iloc[0][["last_error", "last_error_at"]].isna().all()
        assert store.due(T0, "p1")[0].failures == 0
        store.record_error("nobody", "Broke.", at=T0, missing=True)

    def test_gone_takes_three_misses_over_hours(self, store: Store) -> None:
        """One 404 is not the end; three over six hours are, and it can be undone."""
        see(store, T0)
        for hours, gone in ((1, False), (2, False), (3, False), (7, True)):
            at = T0 + hours * HOUR
            assert store.record_error("p1", "404", at=at, missing=True) is gone
            assert bool(store.personas().iloc[0]["gone"]) is gone
        assert len(store.sightings()) == 1
        assert store.make_due("p1", T0 + 10 * HOUR)
        assert not store.personas().iloc[0]["gone"]
        assert store.next_look_at() == T0 + 10 * HOUR
        assert not store.make_due("nobody", T0)

    def test_two_misses_are_not_three(self, store: Store) -> None:
        """However long they are apart."""
        see(store, T0)
        for hours in (1, 900):
            store.record_error("p1", "404", at=T0 + hours * HOUR, missing=True)
        assert not store.personas().iloc[0]["gone"]

    def test_another_error_between_misses_begins_the_count_anew(self, store: Store) -> None:
        """Only misses in a row count."""
        see(store, T0)
        for hours, missing in ((1, True), (3, True), (8, False), (9, True), (10, True)):
            store.record_error("p1", "x", at=T0 + hours * HOUR, missing=missing)
        assert not store.personas().iloc[0]["gone"]

    def test_a_plan_that_no_gap_explains_is_due(self, store: Store) -> None:
        """A plan was made while a clock was wrong if it lies further ahead than the longest gap."""
        for name, hours in (("soon", 1), ("longest", 24), ("far", 30), ("year", 9_000)):
            see(store, T0, id=name)
            store.plan(name, T0 + hours * HOUR)
        assert {each.persona_id for each in store.due(T0)} == {"far", "year"}
        # One that is gone is polled daily.
        for hours in (0, 3, 7):
            store.record_error("far", "404", at=T0 + hours * HOUR, missing=True)
        store.plan("far", T0 + 25 * HOUR)
        assert {each.persona_id for each in store.due(T0)} == {"year"}
        store.plan("far", T0 + 30 * HOUR)
        assert {each.persona_id for each in store.due(T0)} == {"far", "year"}

    def test_a_plan_of_a_clock_that_was_ahead_is_due(self, store: Store) -> None:
        """A plan that was made later than now is that of a wrong clock, however near it lies."""
        for name, hours in (("now", 0), ("ahead", 2)):
            see(store, T0, id=name)
            store.plan(name, T0 + 3 * HOUR, T0 + hours * HOUR)
        assert {each.persona_id for each in store.due(T0)} == {"ahead"}

    def test_stays_are_those_that_are_polled(self, store: Store) -> None:
        """The status of what is in flight and since when; what has ended is counted."""
        see(store, T0, id="runs")
        see(store, T0 + HOUR, id="runs")
        see(store, T0, "done", id="ended")
        store.plan("runs", T0 + 2 * HOUR)
        assert store.stays() == [("pending", T0)]
        assert store.count_ended() == 1

    def test_misses_count_after_a_clock_was_ahead(self, store: Store) -> None:
        """A first miss that was logged in the future does not keep an avatar from being gone."""
        see(store, T0)
        store.record_error("p1", "404", at=T0 + 9_000 * HOUR, missing=True)
        for hours in (1, 3, 8):
            store.record_error("p1", "404", at=T0 + hours * HOUR, missing=True)
        assert store.personas().iloc[0]["gone"]


class TestCalls:
    def test_every_call_has_a_number_of_its_own(self, url: str) -> None:
        """Threads and stores that ask at once get different numbers, each higher than before."""
        stores = [Store(url, account="mine") for _ in range(1 if url == "sqlite://" else 3)]
        numbers: list[list[int]] = [[] for _ in range(6)]

        def ask(store: Store, own: list[int]) -> None:
            own.extend(store.ask() for _ in range(20))

        threads = [
            threading.Thread(target=ask, args=(stores[place % len(stores)], own))
            for place, own in enumerate(numbers)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert all(own == sorted(own) for own in numbers)
        assert sorted(number for own in numbers for number in own) == list(range(1, 121))
        for store in stores:
            store.close()

    def test_a_pause_is_kept_for_the_account(self, url: str, store: Store) -> None:
        """It comes back as it was stored, in another process too, and not for another account."""
        assert store.last_pause() is None
        assert [store.ask(), store.ask()] == [1, 2]
        store.begin_pause(T0, T0 + HOUR, "Wait.", 3)
        pause = Pause(T0, T0 + HOUR, "Wait.", refusals=3, asked_no=2)
        assert store.last_pause() == pause
        assert store.ask() == 3
        store.forget_refusals(2)
        assert store.last_pause() == pause
        store.forget_refusals(3)
        pause = dataclasses.replace(pause, refusals=0)
        assert store.last_pause() == pause
        store.begin_pause(T0 + HOUR, T0 + 2 * HOUR, "Again.", 1)
        if url != "sqlite://":
            with Store(url, account="mine") as again, Store(url, account="other") as other:
                assert again.last_pause() == Pause(T0 + HOUR, T0 + 2 * HOUR, "Again.", 1, 3)
                assert other.last_pause() is None
                assert other.ask() == 1


class TestAccounts:
    @between_stores
    def test_another_account_sees_nothing(self, url: str, store: Store) -> None:
        """Rows of one account are invisible to another, and to due."""
        submitted(store)
        with Store(url, account="other") as other, Store(url) as all_of_them:
            assert other.personas().empty
            assert other.sightings().empty
            assert other.submissions().empty
            assert other.due(T0 + 9 * HOUR) == []
            assert other.persona("p1") is None
            assert len(all_of_them.personas()) == 1
            with pytest.raises(errors.StoreError, match="account"):
                all_of_them.make_due("p1", T0)

    @between_stores
    def test_a_store_without_an_account_reads_all_of_them(self, url: str, store: Store) -> None:
        """Every reading method of a store for analysis alone finds what each account has."""
        submitted(store)
        with Store(url, account="other") as other, Store(url) as every:
            see(other, T0 + HOUR, "processing", id="p2", creator_name="Ada")
            see(other, T0 + 2 * HOUR, "done", id="p2")
            other.begin_pause(T0, T0 + 9 * HOUR, "Until {moment}.", 1)
            other.set_unknown_count(3)
            assert every.known_ids() == {"p1", "p2"} == set(every.personas()["persona_id"])
            assert [every.persona(name).status_text for name in ("p1", "p2")] == ["pending", "done"]
            assert every.persona("p3") is None
            assert [change.after for change in every.changes_after(0)] == [
                *("pending", "processing", "done")
            ]
            assert every.changed_after(every.last_run_id() - 1) == {"p2"}
            assert {row.persona_id for row in every.shown(9)} == {"p1", "p2"}
            assert every.counts(T0 + 9 * HOUR)[0] == every.state_key().personas == 2
            assert (every.count_ended(), every.has_personas(), every.has_running()) == (
                1,
                True,
                False,
            )
            assert every.submitted_ids() == {"p1"}
            assert every.open_submissions() == every.last_notifications(9) == []
            assert every.unknown_count() == every.state_key().unknown == 3
            assert every.last_pause() == other.last_pause() != store.last_pause()
            assert every.clock_offset() is every.footage_note("p1") is every.next_look_at() is None
            assert len(every.other_accounts()) == 2
            assert every.notifications_state() == (None, 0, None)
            assert every.deleted_ids() == set() == set(every.deleted_by_api())

    def test_the_labels_of_a_persona_are_those_that_were_sent(self, store: Store) -> None:
        """What an answer makes of them does not replace them; those of others are the API's."""
        submitted(store)
        for answer in ({}, {"labels": []}, {"labels": "L1; L2"}, {"labels": ["other"]}):
            see(store, T0 + HOUR, **answer)
            persona = store.persona("p1")
            assert persona.labels == ["l1", "l2"]
            assert persona.answer().get("labels") == answer.get(
                "labels", persona.answer().get("labels")
            )
        see(store, T0 + HOUR, id="found", labels=["theirs"])
        assert store.persona("found").labels == ["theirs"]

    def test_a_store_is_bound_once(self, store: Store) -> None:
        """A bound store refuses another account."""
        store.bind("mine")
        with pytest.raises(errors.StoreError, match="second Store"):
            store.bind("other")

    def test_sandbox_and_live_never_share(self, store: Store) -> None:
        """A database that holds sandbox data refuses live data, for good."""
        store.claim("sandbox")
        store.claim("sandbox")
        with pytest.raises(errors.StoreError, match="DATABASE_URL"):
            store.claim("live")


class TestOpening:
    @pytest.mark.parametrize(
        "url",
        [
            "nonsense",
            "sqlite:////nowhere/at/all/x.db",
            "nodb://x/y",
            "postgresql+psycopg://u:hunter2@127.0.0.1:1/x",
        ],
    )
    def test_what_cannot_be_opened_is_one_sentence(self, url: str) -> None:
        """A database that cannot be opened is a StoreError that shows no password."""
        with pytest.raises(errors.StoreError) as caught:
            Store(url)
        assert "hunter2" not in str(caught.value)
        assert "\n" not in str(caught.value)

    def test_a_file_that_is_no_database(self, tmp_path: Path) -> None:
        """A text file is refused and left as it was."""
        path = tmp_path / "notes.txt"
        path.write_text("my notes " * 500)
        with pytest.raises(errors.StoreError, match="not a database"):
            Store(f"sqlite:///{path}")
        assert path.read_text() == "my notes " * 500

    @between_stores
    @pytest.mark.parametrize("statement", [
        "UPDATE meta SET value = '99'", "UPDATE meta SET value = '²'",
        "UPDATE alembic_version SET version_num = '0099'",
        "UPDATE alembic_version SET version_num = '5ca1ab1e'",
    ])  # fmt: skip
    def test_a_newer_schema_is_refused(self, url: str, statement: str) -> None:
        """A database of a newer avatarkit is not touched."""
        with Store(url) as store, store.transaction() as connection:
            connection.exec_driver_sql(statement)
            connection.exec_driver_sql("DROP TABLE submissions")
        with pytest.raises(errors.StoreError, match="newer avatarkit"):
            Store(url)
        engine = sa.create_engine(url)
        assert not sa.inspect(engine).has_table("submissions")
        engine.dispose()

    @between_stores
    def test_everything_survives_a_restart(self, url: str) -> None:
        """Closing and opening loses nothing."""
        with Store(url, account="mine") as store:
            submitted(store)
            before = store.personas()
        with Store(url, account="mine") as store:
            pd.testing.assert_frame_equal(store.personas(), before)

    def test_a_locked_database_is_a_sentence(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A database that another program holds locked is a StoreError and no half record."""
        monkeypatch.setattr(database, "BUSY_TIMEOUT_MS", 10)
        path = tmp_path / "log.db"
        with Store(f"sqlite:///{path}", account="mine") as store:
            holder = sqlite3.connect(path)
            holder.execute("BEGIN IMMEDIATE")
            with pytest.raises(errors.StoreError, match="locked"):
                see(store, T0)
            holder.rollback()
            holder.close()
            assert store.personas().empty

    def test_repr_and_url_hide_the_password(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The repr names the database, and neither it nor url nor an error has the password."""
        with Store(f"sqlite:///{tmp_path / 'x.db'}") as store:
            assert repr(store) == f"Store('sqlite:///{tmp_path / 'x.db'}')"
        engine = sa.create_engine("sqlite://").execution_options()
        engine.url = sa.make_url("postgresql+psycopg://ada:s3cret@h/d")
        monkeypatch.setattr(database, "open_engine", lambda *_, **__: engine)
        assert "s3cret" not in repr(Store("x")) + Store("x").url
        engine.url = sa.make_url("postgresql+psycopg://h/d?user=ada&password=s3cret")
        assert "s3cret" not in repr(Store("x")) + Store("x").url
        monkeypatch.undo()
        for url in (
            "postgresql+psycopg://ada:s3cret@127.0.0.1:1/d",
            "postgresql://a:s3cret:x@h/d",
            "postgresql+psycopg://127.0.0.1:1/d?user=ada&password=s3cret",
            "postgresql+psycopg://127.0.0.1:1/d?sslpassword=s3cret",
            "postgresql+psycopg://ada:half@s3cret@127.0.0.1:1/d",
        ):
            with pytest.raises(errors.StoreError) as caught:
                Store(url)
            assert "s3cret" not in str(caught.value)

    def test_a_file_is_written_ahead_and_safe_against_a_power_cut(self, tmp_path: Path) -> None:
        """Readers do not wait for writers, and what was accepted stays accepted."""
        with (
            Store(f"sqlite:///{tmp_path / 'x.db'}") as store,
            store.transaction(reading=True) as connection,
        ):
            pragmas = [
                connection.exec_driver_sql(f"PRAGMA {name}").scalar()
                for name in ("journal_mode", "synchronous", "busy_timeout")
            ]
        assert pragmas == ["wal", 2, database.BUSY_TIMEOUT_MS]

    @pytest.mark.parametrize(
        "url",
        [
            "postgresql+psycopg://u:p@host:port/db",
            "postgresql+psycopg://ada:p4ss@word:x@h/db",
            "sqlite:///x.db?timeout=abc",
            "foo://x",
            "no url",
        ],
    )
    def test_a_url_that_opens_nothing_is_a_sentence(self, url: str) -> None:
        """Whatever the URL, it is one sentence that says what to write instead."""
        with pytest.raises(errors.StoreError, match=r"sqlite:///file\.db|check that") as caught:
            Store(url)
        assert "p4ss" not in str(caught.value)
