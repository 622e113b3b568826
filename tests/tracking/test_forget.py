"""A person whose rows, files and backups are erased."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from avatarkit import Client, PersonaCreate, Store, Tracker, errors, open_session
from avatarkit.models import Persona
from avatarkit.store import tables
from avatarkit.store.notifications import Event
from avatarkit.tracking import messages
from avatarkit.tracking.notify import Notifier
from avatarkit.ui.outbox import Outbox
from avatarkit.ui.sheet_draft import SheetDraft
from avatarkit.ui.uploads import Uploads
from support.manual_clock import MONDAY, ManualClock
from support.messages import FakeAddresses

NAME = "Ada Lovelace-Byron"
FOOTAGE = b"footage of a face " * 400


class API:
    """An account: the names by id, and the ids that it does not delete."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}
        self.kept: set[str] = set()
        self.fault: Exception | None = None

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path, body = request.url.path, request.read()
        if request.method == "POST":
            if self.fault is not None:
                raise self.fault
            persona_id = f"id-{len(self.names) + 1}-of-a-persona"
            name = "Bob" if b"Bob" in body else NAME
            self.names[persona_id] = name
            return httpx.Response(201, json=self.body(persona_id))
        if path.endswith("/count/"):
            return httpx.Response(200, json={"max_count": 99, "current_count": len(self.names)})
        if path == "/api/personas_v2/":
            return httpx.Response(200, json=[self.body(each) for each in self.names])
        persona_id = path.split("/")[-2]
        if request.method == "DELETE" and persona_id in self.kept:
            return httpx.Response(500, text="broken")
        if persona_id not in self.names:
            return httpx.Response(404, json={"detail": "No Creator matches the given query."})
        if request.method == "DELETE":
            del self.names[persona_id]
            return httpx.Response(204)
        return httpx.Response(200, json=self.body(persona_id))

    def body(self, persona_id: str) -> dict[str, Any]:
        name = self.names[persona_id]
        return {"id": persona_id, "process_status": "pending", "creator_name": name}


@pytest.fixture
def api() -> API:
    return API()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, folder: Path) -> Iterator[Store]:
    folder.mkdir(exist_ok=True)
    url = f"sqlite:///{folder / 'avatarkit.db'}"
    if request.param == "postgres":
        url = request.getfixturevalue("postgres")
    with Store(url) as opened:
        yield opened


@pytest.fixture
def tracker(api: API, manual_clock: ManualClock, store: Store, folder: Path) -> Iterator[Tracker]:
    transport = httpx.MockTransport(api)
    client = Client("https://a.example", "i", "k" * 16, transport=transport, backoff_s=0, tries=1)
    with client:
        tracker = Tracker(client, store, clock=manual_clock)
        tracker.data_folder = folder
        yield tracker


on_sqlite = pytest.mark.parametrize("store", ["sqlite"], indirect=True)
"""For what is about the file of the database."""


def submitted(tracker: Tracker, name: str = NAME, **more: Any) -> str:
    return tracker.submit(PersonaCreate(creator_name=name, gender="f", **more)).id


def ids(tracker: Tracker) -> list[str]:
    return sorted(tracker.store.personas()["persona_id"])


def found_in(folder: Path, *needles: str | bytes) -> list[str]:
    """Return each needle that stands in a file or in a file's name, with the file."""
    wanted = [each if isinstance(each, bytes) else each.encode() for each in needles]
    return [
        f"{each!r:.30} in {path}"
        for path in folder.rglob("*")
        for each in wanted
        if each in (path.read_bytes() if path.is_file() else b"") + path.name.encode()
    ]


def uploaded(tracker: Tracker, folder: Path, fields: dict[str, str], content: bytes) -> str:
    """Upload a file in a browser and submit the form, which fails; return the submission's id."""
    outbox = Outbox(tracker, Uploads(folder))
    draft = outbox.uploads.draft("b" * 32)
    source = folder.parent / "ada.mp4"
    source.write_bytes(content)
    with source.open("rb") as file:
        path = draft.save_upload("upload", "ada.mp4", file)
    request = PersonaCreate(**fields, lipsync_input=path)
    submission_id = outbox.send(request, draft)
    outbox.wait(submission_id, 30)
    return submission_id


@on_sqlite
def test_every_trace_of_a_person_is_gone_and_nothing_of_others(
    tracker: Tracker, api: API, folder: Path, manual_clock: ManualClock
) -> None:
    """Neither database, journal, backups nor files hold the name, an id or the footage."""
    api.fault = httpx.ConnectError("refused")
    refused = uploaded(tracker, folder, {"creator_name": NAME, "gender": "f"}, FOOTAGE)
    api.fault = None
    draft = Uploads(folder).draft("c" * 32)
    draft.save({"creator_name": NAME, "keywords": "her draft"})
    other_draft = Uploads(folder).draft("d" * 32)
    other_draft.save({"creator_name": "Bob"})
    first, bob = submitted(tracker), submitted(tracker, "Bob")
    second = submitted(tracker)
    with closing(sqlite3.connect(folder / "avatarkit.db")) as raw:
        # An older row, whose bytes a SQLite without secure_delete leaves where they are.
        raw.execute("PRAGMA secure_delete = OFF")
        raw.execute("INSERT INTO meta VALUES ('x', ?)", ("her old room " * 900,))
        raw.commit()
        raw.execute("DELETE FROM meta WHERE key = 'x'")
        raw.commit()
    path = tracker.store.back_up(manual_clock.now())
    (path.parent / ".cut-off.tmp").write_bytes(path.read_bytes()[:-1])  # of a killed process
    manual_clock.advance(timedelta(hours=6))
    tracker.look()
    for persona_id in (first, second, bob):
        assert found_in(folder, persona_id)
    assert len(found_in(folder, "her old room")) >= 2
    assert found_in(folder, FOOTAGE[:100], "her draft", refused)
    others = tracker.store.sightings(bob)

    planned = tracker.forget(NAME, dry_run=True)
    assert found_in(folder, NAME, FOOTAGE[:100])
    forgotten = tracker.forget(NAME)
    assert (
        found_in(folder, NAME, first, second, refused, "her old room", FOOTAGE[:100], "her draft")
        == []
    )
    assert forgotten.failed == ()
    assert dict(forgotten.rows) == dict(planned.rows)
    assert forgotten.rows == {"personas": 2, "submissions": 3, "sightings": 2}
    assert {path.name for path in forgotten.files} == {"ada.mp4", "draft.json", refused}
    assert len(forgotten.backups) == 1
    assert ids(tracker) == [bob]
    assert tracker.store.sightings(bob).equals(others)
    assert Uploads(folder).draft("d" * 32).fields == {"creator_name": "Bob"}
    assert first in api.names
    with Store(f"sqlite:///{forgotten.backups[0]}", account=tracker.store.account) as backup:
        assert list(backup.personas()["persona_id"]) == [bob]


@on_sqlite
def test_the_rows_of_a_person_leave_the_sheets(tracker: Tracker, folder: Path) -> None:
    """Also those that a CSV has replaced, with the dropped files; those of others stay."""
    sheet = SheetDraft(Uploads(folder).draft("c" * 32).folder)
    for name, content in (("her.mp4", FOOTAGE), ("his.mp4", b"his footage")):
        sheet.save_video(name, name, BytesIO(content), len(content))
    sheet.replace([{"creator_name": NAME, "keywords": "typed before"}, {"creator_name": "Bob"}])
    her = {"creator_name": f" {NAME}", "gender": "f", "lipsync_input": "her.mp4"}
    sheet.replace([her, {"creator_name": "Bob", "lipsync_input": "his.mp4"}])
    tracker.forget(NAME, dry_run=True)
    assert found_in(folder, NAME, FOOTAGE[:100], "her.mp4", "typed before")
    forgotten = tracker.forget(NAME)
    assert found_in(folder, NAME, FOOTAGE[:100], "her.mp4", "typed before") == []
    assert {path.name for path in forgotten.files} == {"her.mp4", "sheet.json"}
    again = SheetDraft(sheet.form.folder)
    assert [row["creator_name"] for row in again.rows] == ["", "Bob"]
    assert list(again.dropped()) == ["his.mp4"]


def test_rows_of_both_databases_are_erased(tracker: Tracker) -> None:
    """All tables, of the person alone; the report says what is not ours."""
    first, bob = submitted(tracker, lipsync_input="https://a.example/ada.mp4"), None
    bob = submitted(tracker, "Bob")
    events = tables.notifications
    with tracker.store.transaction() as connection:
        for subject, text in ((first, f"{NAME} is done."), (bob, f"Bob and {NAME} are done.")):
            values = {"account": tracker.store.account, "event": "done", "created_us": 1}
            connection.execute(events.insert().values(subject=subject, text=text, **values))
    report = tracker.forget(NAME)
    assert report.rows == {"personas": 1, "submissions": 1, "sightings": 1, "notifications": 1}
    with tracker.store.transaction(reading=True) as connection:
        texts = connection.scalars(sa.select(events.c.text)).all()
    assert texts == ["Bob and (forgotten) are done."]
    assert ids(tracker) == [bob]
    assert list(tracker.store.submissions()["persona_id"]) == [bob]
    text = str(report)
    assert "https://a.example/ada.mp4" in text
    assert "the API's own copies" in text
    assert ("PostgreSQL" in text) == tracker.store.url.startswith("postgresql")


def test_a_forgotten_persons_late_messages_are_erased(tracker: Tracker) -> None:
    """Their subject is the avatar's id with its stage; those of a longer id stay."""
    persona_id, store = submitted(tracker), tracker.store
    late = [
        Event("late", f"{persona_id}{more} reviewing", f"{NAME}: Reviewing for 9 h.")
        for more in ("", "0")
    ]
    store.add_notifications(late, MONDAY, MONDAY)
    assert tracker.forget(persona_id).rows["notifications"] == 1
    assert [each.subject for each in store.last_notifications(9)] == [f"{persona_id}0 reviewing"]


def test_an_id_erases_that_avatar_alone(tracker: Tracker) -> None:
    """The others of the same name are counted in what stays."""
    first, second = submitted(tracker), submitted(tracker)
    report = tracker.forget(first)
    assert ids(tracker) == [second]
    assert list(tracker.store.submissions()["persona_id"]) == [second]
    assert f"other avatars and creates of {NAME} (2)" in str(report)


def test_a_name_in_other_letters_is_named_and_not_erased(tracker: Tracker, api: API) -> None:
    """Upper and lower case may be two people; a name that fits nothing names those near it."""
    submitted(tracker, "Bob")
    with pytest.raises(errors.ConfigError, match="Did you mean Bob"):
        tracker.forget("bob")
    api.names.clear()
    now = tracker.clock.now()
    for persona_id, name in (("x1", "Bob"), ("x2", "BOB")):
        persona = Persona.model_validate(
            {"id": persona_id, "process_status": "done", "creator_name": name}
        )
        tracker.store.record(persona, asked_at=now, answered_at=now, source="list")
    report = tracker.forget(" Bob ")
    assert ids(tracker) == ["x2"]
    assert "what belongs to BOB" in str(report)
    for nothing in ("", "  ", "Nemo"):
        with pytest.raises(errors.ConfigError, match="Nothing is kept here"):
            tracker.forget(nothing)


def test_at_the_api_what_cannot_be_deleted_is_kept_here_too(tracker: Tracker, api: API) -> None:
    """It can be tried again, and goes on where it ended."""
    first, second = submitted(tracker), submitted(tracker)
    api.kept = {second}
    report = tracker.forget(NAME, at_api=True)
    assert report.deleted == (first,)
    assert ids(tracker) == [second]
    assert second in report.failed[0]
    api.kept = set()
    report = tracker.forget(NAME, at_api=True)
    assert report.failed == ()
    assert ids(tracker) == []
    assert api.names == {}


@pytest.mark.parametrize("state", ["prepared", "uncertain"])
def test_a_create_in_flight_has_to_be_settled_first(tracker: Tracker, api: API, state: str) -> None:
    """An avatar may still come of it; nothing is erased."""
    submitted(tracker)
    request = PersonaCreate(creator_name=NAME, gender="f")
    if state == "uncertain":
        api.fault = httpx.ReadError("broke")
        with pytest.raises(errors.SubmissionUncertain):
            tracker.submit(request)
    else:
        tracker.prepare(request)
    for dry_run in (True, False):
        with pytest.raises(errors.ConfigError, match="Settle it"):
            tracker.forget(NAME, dry_run=dry_run)
    assert len(ids(tracker)) == 1


def test_rows_of_a_batch_that_wait_are_erased(tracker: Tracker, api: API, folder: Path) -> None:
    """None is sent afterwards, though a program has read that it waits; those of others go on."""
    requests = [PersonaCreate(creator_name=name, gender="f") for name in (NAME, "Bob")]
    batch_id = tracker.prepare_many(requests)
    waiting = tracker.store.batch(batch_id)[0].submission_id
    assert tracker.forget(NAME, dry_run=True).rows == {"submissions": 1}
    assert len(tracker.store.batch(batch_id)) == 2
    tracker.forget(NAME)
    assert found_in(folder, NAME) == []
    with pytest.raises(errors.StoreError, match="sent before"):
        tracker.submit(requests[0], submission_id=waiting)
    assert [r.state for r in tracker.send_many(batch_id)] == ["accepted"]
    assert set(api.names.values()) == {"Bob"}


def test_a_row_of_a_batch_that_is_being_sent_is_kept(tracker: Tracker) -> None:
    """It begins between the person was looked for and their rows are erased."""
    batch_id = tracker.prepare_many([PersonaCreate(creator_name=NAME, gender="f")])
    [row] = tracker.store.batch(batch_id)
    tracker.store.reserve(row.submission_id)
    erase = tracker.store.backup_files

    def begin() -> list[Path]:
        tracker.store.sending(row.submission_id, MONDAY)
        tracker.store.backup_files = erase  # type: ignore[method-assign]
        return []

    tracker.store.backup_files = begin  # type: ignore[method-assign]
    with pytest.raises(errors.ConfigError, match="is being sent"):
        tracker.forget(NAME)
    assert [r.state for r in tracker.store.batch(batch_id)] == ["sending"]
    tracker.store.release(row.submission_id)


def test_a_poll_in_flight_writes_nothing_back(
    tracker: Tracker, api: API, manual_clock: ManualClock
) -> None:
    """Nor does the list, a pass, or reconcile."""
    first, bob = submitted(tracker), submitted(tracker, "Bob")
    poller = tracker._poller
    (due,) = tracker.store.due(tracker.clock.now(), first)
    alone = poller.fetch(due, poller.api.ask())
    together = poller.fetch(due, poller.api.ask())
    listed = tracker._listing.read([due], tracker.store.running(), poller.api.ask())
    tracker.forget(NAME)
    assert poller.log_alone(alone).change is None
    poller.log_many([together])
    tracker._listing.log(listed)
    tracker.look()
    tracker.reconcile()
    assert ids(tracker) == [bob]
    assert set(tracker.store.sightings()["persona_id"]) == {bob}
    assert not tracker.store.make_due(first, manual_clock.now())


def test_an_upload_that_another_create_names_stays(
    tracker: Tracker, api: API, folder: Path
) -> None:
    """A form that was given back and renamed takes its upload along."""
    api.fault = httpx.ConnectError("refused")
    submission_id = uploaded(tracker, folder, {"creator_name": NAME, "gender": "f"}, FOOTAGE)
    (before,) = tracker.store.some_submissions([submission_id])
    path = Path(before.request["lipsync_input"])
    api.fault = httpx.ReadError("broke")
    with pytest.raises(errors.SubmissionUncertain):
        submitted(tracker, "Bob", lipsync_input=path)
    report = tracker.forget(NAME)
    assert path.read_bytes() == FOOTAGE
    assert str(path.parent) in str(report)


def test_a_file_outside_of_the_data_folder_is_not_ours(tracker: Tracker, tmp_path: Path) -> None:
    """It stays, and the report names it."""
    own = tmp_path / "own.mp4"
    own.write_bytes(FOOTAGE)
    submitted(tracker, lipsync_input=own)
    report = tracker.forget(NAME)
    assert own.exists()
    assert str(own) in str(report)


@on_sqlite
def test_a_backup_that_cannot_be_changed_keeps_the_rows_until_it_can(
    tracker: Tracker, manual_clock: ManualClock
) -> None:
    """Nothing is half erased without being said, and the same call finishes it."""
    submitted(tracker)
    path = tracker.store.back_up(manual_clock.now())
    whole = path.read_bytes()
    path.write_bytes(b"no database" * 100)
    report = tracker.forget(NAME)
    assert str(path) in str(report.failed)
    assert report.rows == {}
    assert len(ids(tracker)) == 1
    path.write_bytes(whole)
    report = tracker.forget(NAME)
    assert report.failed == ()
    assert report.backups == (path,)
    assert found_in(path.parent.parent, NAME) == []


@on_sqlite
def test_a_reader_that_holds_the_journal_is_said_and_the_next_call_finishes(
    tracker: Tracker, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows are erased; their bytes are once the other program has ended."""
    monkeypatch.setattr("avatarkit.store.backup.TIMEOUT_S", 0.1)
    submitted(tracker)
    submitted(tracker, "Bob")
    with Store(tracker.store.url, account=tracker.store.account) as reader:
        with reader.transaction(reading=True) as connection:
            connection.execute(sa.select(tables.personas)).all()
            report = tracker.forget(NAME)
            assert "do it again" in report.failed[0]
            assert len(ids(tracker)) == 1
        assert found_in(folder, NAME)
        with pytest.raises(errors.ConfigError, match="Nothing is kept here"):
            tracker.forget(NAME)
    assert found_in(folder, NAME) == []


@on_sqlite
def test_a_backup_of_another_fingerprint_is_erased_too(
    tracker: Tracker, folder: Path, manual_clock: ManualClock
) -> None:
    """The rows of an account may have been carried over since the backup was made."""
    persona_id = submitted(tracker)
    path = tracker.store.back_up(manual_clock.now())
    with closing(sqlite3.connect(path)) as raw:
        for table in ("personas", "sightings", "submissions"):
            raw.execute(f"UPDATE {table} SET account = 'an earlier one'")  # noqa: S608
        raw.commit()
    assert tracker.forget(NAME).failed == ()
    assert found_in(folder, NAME, persona_id) == []


@on_sqlite
def test_a_backup_of_the_first_version_is_erased_too(
    tracker: Tracker, folder: Path, manual_clock: ManualClock
) -> None:
    """It has fewer tables and columns."""
    persona_id = submitted(tracker)
    path = tracker.store.back_up(manual_clock.now())
    with closing(sqlite3.connect(path)) as raw:
        for change in (
            "DROP TABLE notifications",
            "DROP TABLE leases",
            "ALTER TABLE submissions DROP COLUMN candidates",
            "ALTER TABLE personas DROP COLUMN deleted_here",
            "ALTER TABLE personas DROP COLUMN deleted_us",
        ):
            raw.execute(change)
    path.rename(path.with_name("avatarkit-schema-1.db"))
    assert tracker.forget(NAME).failed == ()
    assert found_in(folder, NAME, persona_id) == []


def test_a_crash_before_the_rows_is_finished_by_the_same_call(
    tracker: Tracker, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that is locked is one sentence."""
    submitted(tracker)
    Uploads(folder).draft("c" * 32).save({"creator_name": NAME})

    def fail(*_: object) -> None:
        raise errors.StoreError("The database is locked.")

    with monkeypatch.context() as patched:
        patched.setattr(tracker.store, "erase_person", fail)
        with pytest.raises(errors.StoreError, match="locked"):
            tracker.forget(NAME)
    assert len(ids(tracker)) == 1
    assert tracker.forget(NAME).failed == ()
    assert ids(tracker) == []


def test_the_candidates_of_others_lose_the_avatar(tracker: Tracker, api: API) -> None:
    """An uncertain create of another person keeps no answer about the one who is forgotten."""
    first = submitted(tracker)
    api.fault = httpx.ReadError("broke")
    with pytest.raises(errors.SubmissionUncertain):
        submitted(tracker, "Bob")
    (uncertain,) = tracker.store.open_submissions()
    answers = [Persona.model_validate(api.body(first)), Persona.model_validate({"id": "x"})]
    tracker.store.keep_uncertain(uncertain.submission_id, "Choose.", answers)
    tracker.forget(NAME)
    (uncertain,) = tracker.store.open_submissions()
    assert [each.id for each in uncertain.candidates] == ["x"]


def test_other_accounts_are_counted_and_left_alone(tracker: Tracker) -> None:
    """The same name under other keys is for those keys."""
    submitted(tracker)
    other = Store(tracker.store._engine.url.render_as_string(hide_password=False), account="other")
    with other:
        persona = Persona.model_validate(
            {"id": "y", "process_status": "done", "creator_name": NAME}
        )
        other.record(persona, asked_at=MONDAY, answered_at=MONDAY, source="list")
        assert "in other accounts of this database (1)" in str(tracker.forget(NAME))
        assert list(other.personas()["persona_id"]) == ["y"]


def test_a_sandbox_deletes_its_copies_too(tmp_path: Path) -> None:
    """Its footage and previews are ours."""
    footage, data = tmp_path / "own.mp4", tmp_path / "sandbox data"
    footage.write_bytes(FOOTAGE)
    with open_session(data_dir=data, clock=ManualClock(MONDAY)) as session:
        request = PersonaCreate(creator_name=NAME, gender="f", lipsync_input=footage)
        persona = session.tracker.submit(request)
        assert found_in(data, FOOTAGE[:100])
        report = session.tracker.forget(NAME)
        assert report.deleted == (persona.id,)
        assert report.failed == ()
        assert found_in(data, FOOTAGE[:100], NAME, persona.id) == []


def test_a_running_app_shows_them_no_longer(tracker: Tracker) -> None:
    """The estimates of the pages are read anew."""
    from avatarkit.ui.cache import Estimates

    first = submitted(tracker)
    submitted(tracker, "Bob")
    estimates = Estimates(tracker.store, tracker.clock)
    assert first in set(estimates.log().personas["persona_id"])
    tracker.forget(NAME)
    assert first not in set(estimates.log().personas["persona_id"])


def late(tracker: Tracker) -> list[Event]:
    return [messages.late(stay, 1.0) for stay in tracker.store.stays_in_flight()]


def test_a_message_that_it_is_late_is_erased(tracker: Tracker, manual_clock: ManualClock) -> None:
    """Its subject has the status after the id; that of a longer id is another's."""
    submitted(tracker)
    now, store = manual_clock.now(), tracker.store
    longer = Event("late", "id-1-of-a-persona-too pending", "Bob")
    store.add_notifications([*late(tracker), longer], now, now)
    assert tracker.forget(NAME, dry_run=True).rows["notifications"] == 1
    assert tracker.forget(NAME).rows["notifications"] == 1
    assert [each.subject for each in store.last_notifications(9)] == [longer.subject]


def test_messages_that_are_being_written_do_not_bring_the_name_back(
    tracker: Tracker, manual_clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are found in the log before it is erased, by a tracker in another process."""
    submitted(tracker)
    bob = submitted(tracker, "Bob")
    notifier = Notifier(tracker.store, manual_clock, FakeAddresses())
    found = late(tracker)

    def find_and_forget(now: datetime) -> list[Event]:
        tracker.forget(NAME)
        return found

    monkeypatch.setattr(notifier, "_late", find_and_forget)
    notifier.finish(None)
    written = tracker.store.last_notifications(9)
    assert [each.subject for each in written] == [f"{bob} pending"]


def test_a_wait_ends_when_the_person_is_forgotten(
    tracker: Tracker, manual_clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not read the log ten times a second until its time is over, nor log it again."""
    first = submitted(tracker)
    sleep, slept = manual_clock.sleep, []

    def forget_and_sleep(seconds: float, *stop: Any) -> Any:
        slept.append(seconds)
        if len(slept) == 2:
            tracker.forget(NAME)
        return sleep(seconds, *stop)

    monkeypatch.setattr(manual_clock, "sleep", forget_and_sleep)
    with pytest.raises(errors.ConfigError, match="in the log no longer: it was forgotten"):
        tracker.wait(first, timeout=100)
    assert len(slept) == 2
    assert ids(tracker) == []


def test_two_that_forget_a_person_at_once(
    tracker: Tracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that comes later says which avatar it did not delete, and ends."""
    first, second = submitted(tracker), submitted(tracker)
    delete = tracker.delete

    def forget_before(persona_id: str) -> bool:
        if persona_id == first:
            tracker.forget(second)
        return delete(persona_id)

    monkeypatch.setattr(tracker, "delete", forget_before)
    report = tracker.forget(NAME, at_api=True)
    assert report.deleted == (first,)
    assert [sentence for sentence in report.failed if second in sentence]
    assert ids(tracker) == []


def test_a_list_that_was_read_before_does_not_bring_them_back(
    tracker: Tracker, api: API, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was asked before a person was forgotten is logged of none: it is asked again."""
    api.names = {"hers": NAME, "bobs": "Bob"}
    tracker.follow("hers")
    api.names["hers too"] = NAME
    read = tracker._read_unknown

    def read_and_forget() -> Any:
        unknown = read()
        if "hers" in api.names:
            tracker.forget(NAME, at_api=True)
            del api.names["hers too"]
        return unknown

    monkeypatch.setattr(tracker, "_read_unknown", read_and_forget)
    assert [persona.id for persona in tracker.adopt()] == ["bobs"]
    assert ids(tracker) == ["bobs"]


def test_an_answer_that_was_asked_for_before_does_not_bring_them_back(
    tracker: Tracker, api: API, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither does following nor waiting for the other avatar of a person who is forgotten."""
    api.names = {"hers": NAME, "hers too": NAME}
    request = Client.get_persona

    def answer_and_forget(client: Client, persona_id: str, **options: Any) -> Persona:
        persona = request(client, persona_id, **options)
        if persona_id == "hers too":
            tracker.forget(NAME)
        return persona

    monkeypatch.setattr(Client, "get_persona", answer_and_forget)
    for bring in (tracker.follow, lambda persona_id: tracker.wait(persona_id, timeout=9)):
        tracker.follow("hers")
        with pytest.raises(errors.ConfigError, match="forgotten"):
            bring("hers too")
        assert ids(tracker) == []


def test_the_data_of_the_sandbox_beside_it_are_named(tracker: Tracker, tmp_path: Path) -> None:
    """The person may have been tried in the sandbox first, whose folder is another account's."""
    submitted(tracker)
    tracker.data_folder = tmp_path / "live"
    sandbox = tmp_path / "sandbox"
    before = tracker.forget(NAME, dry_run=True).not_ours
    sandbox.mkdir()
    (sentence,) = set(tracker.forget(NAME).not_ours) - set(before)
    assert sentence == (
        f"{sandbox}, where the sandbox data lie; forget the person there, too, without keys"
    )
