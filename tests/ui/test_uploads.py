"""Uploads on disk: with whom they go, and when they are deleted."""

from __future__ import annotations

import os
from collections.abc import Collection
from datetime import datetime, timedelta
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from avatarkit import PersonaCreate
from avatarkit.clock import SystemClock
from avatarkit.errors import ConfigError, StoreError
from avatarkit.store.submissions import Submission
from avatarkit.store.tables import IN_FLIGHT
from avatarkit.tracking.tracker import Tracker
from avatarkit.ui.draft import Draft
from avatarkit.ui.outbox import Outbox
from avatarkit.ui.running import Running
from avatarkit.ui.uploads import FORGET_AFTER, Uploads
from support.app_pages import BROWSER
from support.manual_clock import MONDAY, ManualClock

HOUR = timedelta(hours=1)
KEEP = 24 * HOUR


class Log:
    """A tracker whose submissions are in the state that a test gives them."""

    def __init__(self) -> None:
        self.submissions: dict[str, Submission] = {}
        self.store = self
        self.clock = ManualClock(MONDAY)

    def prepare(self, request: PersonaCreate) -> str:
        submission_id = f"{len(self.submissions):032x}"
        paths = {name: str(path) for name, path in request.files.items()}
        fields = request.fields() | paths
        self.submissions[submission_id] = Submission(submission_id, "sending", fields, None, None)
        return submission_id

    def submit(self, *_: object, **__: object) -> None:
        raise ConfigError("The test says what becomes of it.")

    def batch_ids(self, ids: Collection[str]) -> dict[str, str]:
        return {}

    def some_submissions(self, ids: Collection[str]) -> list[Submission]:
        return [self.submissions[i] for i in ids if i in self.submissions]

    def refused(self, submission_id: str, *_: object) -> None:
        self.end(submission_id, "refused")

    def release(self, submission_id: str) -> None:
        pass

    def end(self, submission_id: str, state: str) -> None:
        values = {**vars(self.submissions[submission_id]), "state": state}
        self.submissions[submission_id] = Submission(**values)


def opened(folder: Path) -> tuple[Log, Outbox]:
    log = Log()
    return log, Outbox(cast(Tracker, log), Uploads(folder, KEEP))


def send(outbox: Outbox, draft: Draft, path: Path, **values: Any) -> str:
    """Submit a form that shows this footage."""
    draft.save({"creator_name": "Ada", "gender": "f", "lipsync_input": str(path)})
    request = PersonaCreate(creator_name="Ada", gender="f", lipsync_input=path, **values)
    submission_id = outbox.send(request, draft)
    outbox.wait(submission_id, 300.0)
    return submission_id


def names(outbox: Outbox) -> list[str]:
    return sorted(upload.path.name for upload in outbox.stored())


def test_a_submission_takes_its_uploads(tmp_path: Path) -> None:
    """They leave the draft with the form, whatever another tab submits or deletes afterwards."""
    log, outbox = opened(tmp_path)
    draft = outbox.uploads.draft("b")
    path = draft.save_upload("1", "a.mp4", BytesIO(b"a"))
    consent = draft.save_upload("2", "consent.mp4", BytesIO(b"c"))
    submission_id = send(outbox, draft, path, consent_video=consent)
    sent = log.submissions[submission_id].request
    assert Path(sent["lipsync_input"]).read_bytes() == b"a"
    assert Path(sent["consent_video"]).read_bytes() == b"c"
    assert not path.exists()
    assert outbox.uploads.draft("b").fields == {}
    assert send(outbox, draft, Path(sent["lipsync_input"])) == submission_id
    outbox.delete([upload.path for upload in outbox.stored()])
    assert names(outbox) == ["a.mp4", "consent.mp4"]


def test_a_file_that_is_no_upload_stays(tmp_path: Path) -> None:
    """A file that was given by its path is sent from where it is, and never deleted."""
    log, outbox = opened(tmp_path / "data")
    path = tmp_path / "mine.mp4"
    path.write_bytes(b"x")
    submission_id = send(outbox, outbox.uploads.draft("b"), path)
    assert log.submissions[submission_id].request["lipsync_input"] == str(path)
    log.end(submission_id, "accepted")
    outbox.dismiss(submission_id)
    assert path.exists()


def test_what_cannot_be_taken_is_not_sent(tmp_path: Path) -> None:
    """If another tab has taken the file meanwhile, nothing is sent and the form stays as it is."""
    log, outbox = opened(tmp_path)
    draft = outbox.uploads.draft("b")
    path = draft.save_upload("1", "a.mp4", BytesIO(b"a"))
    consent = draft.save_upload("2", "consent.mp4", BytesIO(b"c"))
    request = PersonaCreate(
        creator_name="Ada", gender="f", lipsync_input=path, consent_video=consent
    )
    draft.save({"creator_name": "Ada"})
    consent.unlink()
    consent.parent.rmdir()
    with pytest.raises(StoreError, match="nothing was sent"):
        outbox.send(request, draft)
    assert path.exists()
    assert [s.state for s in log.submissions.values()] == ["refused"]
    assert outbox.items("b") == []
    assert outbox.uploads.draft("b").fields == {"creator_name": "Ada"}


def test_a_crash_before_the_files_are_moved_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The form is still there with its upload, as the submission was logged but not sent."""
    log, outbox = opened(tmp_path)
    draft = outbox.uploads.draft("b")
    path = draft.save_upload("1", "a.mp4", BytesIO(b"a"))

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Uploads, "take", crash)
    with pytest.raises(KeyboardInterrupt):
        send(outbox, draft, path)
    assert len(log.submissions) == 1
    assert outbox.uploads.draft("b").fields["lipsync_input"] == str(path)
    assert path.exists()


@pytest.mark.parametrize(("state", "is_kept"), [("uncertain", True), ("accepted", False)])
def test_an_uncertain_submission_keeps_its_uploads(
    tmp_path: Path, state: str, is_kept: bool
) -> None:
    """Dismissed or a year old, it keeps them until it is settled."""
    log, outbox = opened(tmp_path)
    draft = outbox.uploads.draft("b")
    submission_id = send(outbox, draft, draft.save_upload("1", "a.mp4", BytesIO(b"a")))
    log.end(submission_id, "uncertain")
    outbox.dismiss(submission_id)
    assert outbox.items("b") == []
    log.end(submission_id, state)
    outbox.sweep(SystemClock().now() + 365 * KEEP)
    assert bool(names(outbox)) == is_kept


def test_an_upload_that_is_not_submitted_is_kept_for_a_day(tmp_path: Path) -> None:
    """A day after it, and after the last change of its form, it is deleted; the text stays."""
    _, outbox = opened(tmp_path)
    draft = outbox.uploads.draft("b")
    path = draft.save_upload("1", "a.mp4", BytesIO(b"a"))
    draft.save({"creator_name": "Ada"})
    for file, hour in ((path, 0), (draft.folder / "draft.json", 10)):
        os.utime(file, ((MONDAY + hour * HOUR).timestamp(),) * 2)
    outbox.sweep(MONDAY + 33 * HOUR)
    assert path.exists()
    outbox.sweep(MONDAY + 34 * HOUR)
    assert not path.exists()
    assert outbox.uploads.draft("b").fields == {"creator_name": "Ada"}
    outbox.sweep(MONDAY + 10 * HOUR + FORGET_AFTER)
    assert outbox.uploads.draft("b").fields == {}


def test_a_refused_submission_keeps_its_uploads_for_a_day(tmp_path: Path) -> None:
    """Counted from when it was last in flight, so that it can be put back into the form."""
    log, outbox = opened(tmp_path)
    draft = outbox.uploads.draft("b")
    submission_id = send(outbox, draft, draft.save_upload("1", "a.mp4", BytesIO(b"a")))
    log.end(submission_id, "uncertain")
    outbox.sweep(MONDAY)
    log.end(submission_id, "refused")
    outbox.sweep(MONDAY + 23 * HOUR)
    assert names(outbox) == ["a.mp4"]
    outbox.sweep(MONDAY + 24 * HOUR)
    assert names(outbox) == []
    outbox.put_back(log.submissions[submission_id], draft)
    assert outbox.uploads.draft("b").fields["creator_name"] == "Ada"


def test_what_older_versions_left_is_deleted(tmp_path: Path) -> None:
    """Uploads and the draft of versions without browsers belong to nobody, and are swept."""
    _, outbox = opened(tmp_path)
    upload, draft = tmp_path / "uploads" / "12345678" / "a.mp4", tmp_path / "draft.json"
    upload.parent.mkdir(parents=True)
    for path in (upload, draft):
        path.write_text("x")
        os.utime(path, (MONDAY.timestamp(),) * 2)
    assert [stored.browser for stored in outbox.stored()] == [None]
    outbox.sweep(MONDAY + FORGET_AFTER)
    assert not upload.parent.exists()
    assert not draft.exists()


def test_the_uploads_of_another_account_are_kept(tmp_path: Path) -> None:
    """What the log does not know may be in flight in another account's."""
    log, outbox = opened(tmp_path)
    draft = outbox.uploads.draft("b")
    send(outbox, draft, draft.save_upload("1", "a.mp4", BytesIO(b"a")))
    outbox.sweep(MONDAY)
    log.submissions.clear()
    outbox.sweep(MONDAY + 10 * KEEP)
    assert names(outbox) == ["a.mp4"]


def test_the_sweeping_goes_on_after_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It begins when the app starts, goes on after an error, and ends with the app."""
    _, outbox = opened(tmp_path)
    clock, swept = ManualClock(MONDAY), []

    def sweep(now: datetime) -> None:
        swept.append(now)
        if len(swept) == 3:
            outbox._closing.set()
        raise StoreError("The database is locked.")

    monkeypatch.setattr(outbox, "sweep", sweep)
    outbox.start(clock)
    assert outbox._sweeper is not None
    outbox._sweeper.join()
    assert [moment - MONDAY for moment in swept] == [timedelta(minutes=i) for i in range(3)]


def test_the_upload_of_a_create_that_was_found_is_deleted(app: Running) -> None:
    """Its upload is kept while it is uncertain, and deleted once it is settled."""
    session, outbox = app.session, app.outbox
    draft = outbox.uploads.draft(BROWSER)
    path = draft.save_upload("1", "a.mp4", BytesIO(b"x" * 99))
    request = PersonaCreate(creator_name="Ada", gender="f", lipsync_input=path)
    submission_id = session.tracker.prepare(
        request.model_copy(update={"lipsync_input": outbox.uploads.taken_path(path, draft)})
    )
    outbox.uploads.take(submission_id, draft, [path])
    session.store.sending(submission_id, session.clock.now())
    session.store.uncertain(submission_id, session.clock.now(), "It broke.")
    outbox.sweep(MONDAY)
    assert [upload.expires_at for upload in outbox.stored()] == [None]
    persona = session.client.create_persona(PersonaCreate(creator_name="Ada", gender="f"))
    session.tracker.settle(submission_id, persona.id)
    outbox.sweep(MONDAY)
    assert outbox.stored() == []


class Browsers(RuleBasedStateMachine):
    """Two browsers upload, submit, put back, dismiss and delete in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.log, self.outbox = opened(Path(self.folder.name))
        self.drafts: list[Draft] = []
        self.contents: dict[str, str] = {}  # of a submission
        self.count = 0

    @rule(browser=st.sampled_from("ab"))
    def open_tab(self, browser: str) -> None:
        self.drafts.append(self.outbox.uploads.draft(browser))

    @precondition(lambda self: self.drafts)
    @rule(data=st.data(), times=st.integers(1, 2))
    def upload(self, data: st.DataObject, times: int) -> None:
        draft = self.form(data)
        self.count += 1
        for _ in range(times):
            content = f"{draft.browser}{self.count}"
            path = draft.save_upload(str(self.count), "a.mp4", BytesIO(content.encode()))
        draft.save({"creator_name": draft.browser, "lipsync_input": str(path)})

    @precondition(lambda self: self.drafts)
    @rule(data=st.data(), times=st.integers(1, 2))
    def submit(self, data: st.DataObject, times: int) -> None:
        draft = self.form(data)
        path = Path(draft.fields.get("lipsync_input", ""))
        if not path.is_file():
            return
        content = path.read_text()
        request = PersonaCreate(creator_name=draft.browser, gender="f", lipsync_input=path)
        for _ in range(times):
            submission_id = self.outbox.send(request, draft)
        self.outbox.wait(submission_id, 300.0)
        self.contents[submission_id] = content

    @precondition(lambda self: self.contents)
    @rule(data=st.data(), state=st.sampled_from(["accepted", "refused", "uncertain"]))
    def end(self, data: st.DataObject, state: str) -> None:
        submission = self.submission(data)
        if submission.state in IN_FLIGHT:
            self.log.end(submission.submission_id, state)

    @precondition(lambda self: self.contents)
    @rule(data=st.data())
    def dismiss(self, data: st.DataObject) -> None:
        self.outbox.dismiss(self.submission(data).submission_id)

    @precondition(lambda self: self.contents)
    @rule(data=st.data())
    def put_back(self, data: st.DataObject) -> None:
        submission = self.submission(data)
        shown = [
            i.submission.submission_id
            for i in self.outbox.items(submission.request["creator_name"])
        ]
        if submission.state == "refused" and submission.submission_id in shown:
            draft = self.outbox.uploads.draft(submission.request["creator_name"])
            self.outbox.put_back(submission, draft)
            self.drafts.append(draft)

    @rule(hours=st.integers(0, 48))
    def sweep(self, hours: int) -> None:
        # Files have the machine's times.
        self.outbox.sweep(SystemClock().now() + hours * HOUR)

    @invariant()
    def each_submission_has_its_file(self) -> None:
        for submission_id, content in self.contents.items():
            submission = self.log.submissions[submission_id]
            assert content.startswith(submission.request["creator_name"])
            if submission.state in IN_FLIGHT:
                assert Path(submission.request["lipsync_input"]).read_text() == content

    @invariant()
    def each_file_is_stored_once_and_by_its_owner(self) -> None:
        stored = self.outbox.stored()
        contents = [upload.path.read_text() for upload in stored]
        assert len(set(contents)) == len(contents)
        assert [upload.browser for upload in stored] == [content[0] for content in contents]

    def teardown(self) -> None:
        for submission in list(self.log.submissions.values()):
            if submission.state in IN_FLIGHT:
                self.log.end(submission.submission_id, "accepted")
        self.outbox.sweep(SystemClock().now() + 2 * FORGET_AFTER)
        left = [path for path in Path(self.folder.name).rglob("*") if path.is_file()]
        self.folder.cleanup()
        assert left == []

    def form(self, data: st.DataObject) -> Draft:
        """Return the form that one of the tabs shows."""
        draft = data.draw(st.sampled_from(self.drafts))
        while draft.next is not None:
            draft = draft.next
        return draft

    def submission(self, data: st.DataObject) -> Submission:
        return self.log.submissions[data.draw(st.sampled_from(sorted(self.contents)))]


@pytest.mark.long
def test_whatever_browsers_do_each_submission_has_its_own_file() -> None:
    """No file is stored twice, sent for another, lost while it is needed, or left for ever."""
    run_state_machine_as_test(Browsers, settings=settings(max_examples=30, stateful_step_count=25))


def test_our_own_webhook_is_no_entry_of_the_form(tmp_path: Path) -> None:
    """What the tracker added to a refused submission does not come back; a user's own does."""
    log, outbox = opened(tmp_path)
    draft = outbox.uploads.draft("b")
    own, users = "https://a.example/webhooks/personas/s3cret", "https://b.example/hook"
    for url, shown in ((own, None), (users, users)):
        submission_id = send(outbox, draft, draft.save_upload("1", "a.mp4", BytesIO(b"a")))
        log.submissions[submission_id].request["webhook_url"] = url
        log.end(submission_id, "refused")
        draft = outbox.uploads.draft("b")
        outbox.put_back(log.submissions[submission_id], draft)
        assert outbox.uploads.draft("b").fields.get("webhook_url") == shown
