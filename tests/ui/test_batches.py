"""Batches of the page: from a sheet to the log, and from the log to the API, once."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Collection
from datetime import timedelta
from functools import partial

import pytest

from avatarkit import errors
from avatarkit.clock import SystemClock
from avatarkit.errors import ConfigError, StoreError
from avatarkit.preflight import Report
from avatarkit.tracking import sheet as sheets
from avatarkit.tracking.sheet import Row
from avatarkit.ui.batches import Batch, is_ready
from avatarkit.ui.running import Running
from avatarkit.ui.sheet_draft import SheetDraft
from avatarkit.ui.uploads import Uploads
from support.app_pages import BROWSER, HANGS_S

URL = "https://cdn.example.com/{}.mp4"


class Killed(BaseException):
    """The process ends here."""


def a_sheet(app: Running, *names: str, files: Collection[str] = ()) -> SheetDraft:
    """Return a sheet of a new tab, with a row for each name; footage is a URL or a dropped file."""
    sheet = SheetDraft(app.outbox.uploads.draft(BROWSER).folder)
    for name in files:
        content = f"video {name}".encode()
        sheet.save_video(name, name, io.BytesIO(content), len(content))
    rows = []
    for name in names:
        footage = f"{name.lower()}.mp4"
        url = URL.format(name.lower())
        rows.append(
            {
                "creator_name": name,
                "gender": "f",
                "lipsync_input": footage if footage in files else url,
            }
        )
    sheet.replace(rows)
    return sheet


def check(app: Running, sheet: SheetDraft) -> list[Row]:
    """Check a sheet; every file is a good video."""
    return sheets.check(
        sheet.located(),
        folder=None,
        store=app.session.store,
        live=False,
        check_video=lambda path, _: Report(path, ()),
    )


def send(app: Running, sheet: SheetDraft, **given: Collection[str]) -> str:
    """Send all rows of a sheet."""
    return app.batches.send(sheet, sheet.filled, partial(check, app, sheet), **given)


def ended(app: Running, batch_id: str) -> Batch:
    app.batches.wait(batch_id, HANGS_S)
    return app.batches.batch(batch_id)


def created(app: Running) -> list[str]:
    """Return the names of the avatars that the API has, in order."""
    return sorted(str(each.creator_name) for each in app.session.client.list_personas())


def videos(app: Running) -> list[str]:
    """Return the dropped files that are on disk, by any browser or submission."""
    folder = app.outbox.uploads.folder
    return sorted(p.name for kind in ("drafts", "uploads") for p in (folder / kind).rglob("*.mp4"))


def test_a_batch_is_sent_with_its_files(app: Running) -> None:
    """Each row has an avatar and its id; its file is deleted here, and the sheet is empty."""
    sheet = a_sheet(app, "Ada", "Bob", files=["ada.mp4", "bob.mp4"])
    batch = ended(app, send(app, sheet))
    assert [(r.number, r.state) for r in batch.results] == [(1, "accepted"), (2, "accepted")]
    assert all(result.persona_id for result in batch.results)
    assert (batch.share, batch.is_running, batch.error) == (1.0, False, None)
    assert created(app) == ["Ada", "Bob"]
    assert videos(app) == []
    assert SheetDraft(sheet.form.folder).rows == sheet.rows == []


def test_a_file_that_two_rows_name_is_sent_with_both(app: Running) -> None:
    """The one row that is sent first does not take the file away from the other."""
    sheet = a_sheet(app, "Ada", "Bob", files=["ada.mp4"])
    sheet.edit({1: {"lipsync_input": "ada"}})
    batch = ended(app, send(app, sheet))
    assert batch.count("accepted") == 2
    assert videos(app) == []


def test_rows_that_are_not_sent_stay_in_the_sheet(app: Running) -> None:
    """What is sent leaves the sheet, and only that."""
    sheet = a_sheet(app, "Ada", "Bob", "Cy", files=["ada.mp4", "cy.mp4"])
    ended(app, app.batches.send(sheet, [1, 2], partial(check, app, sheet)))
    assert [each["creator_name"] for each in sheet.rows] == ["Cy"]
    assert videos(app) == ["cy.mp4"]
    assert created(app) == ["Ada", "Bob"]


def test_a_second_tab_does_not_send_the_same_rows(app: Running) -> None:
    """A tab that was opened before still shows the sheet; it says so, and sends nothing."""
    sheet = a_sheet(app, "Ada", "Bob", files=["bob.mp4"])
    other = SheetDraft(sheet.form.folder)
    assert all(is_ready(row) for row in check(app, other))
    ended(app, send(app, sheet))
    with pytest.raises(ConfigError, match="has changed since"):
        send(app, other)
    assert created(app) == ["Ada", "Bob"]


def test_twins_are_sent_if_they_are_asked_for(app: Running) -> None:
    """A name that the account has needs a confirmation of that very sentence."""
    ended(app, send(app, a_sheet(app, "Ada")))
    sheet = a_sheet(app, "Ada", files=["ada.mp4"])
    [row] = check(app, sheet)
    assert row.twin is not None
    for twins in ([], ["Another one."]):
        with pytest.raises(ConfigError):
            send(app, sheet, twins=twins)
    ended(app, send(app, sheet, twins=[row.twin]))
    assert created(app) == ["Ada", "Ada"]


def sweep_later(app: Running) -> None:
    """Delete what no submission needs, as 20 days later by the machine's clock."""
    app.outbox.sweep(SystemClock().now() + timedelta(days=20))


@pytest.mark.parametrize("place", ["prepare_many", "take_logged", "finish"])
def test_a_kill_while_the_sheet_is_handed_over_loses_nothing(
    app: Running,
    restart: Callable[..., Running],
    monkeypatch: pytest.MonkeyPatch,
    place: str,
) -> None:
    """After the restart each row is in the sheet or in a batch, with its file; never in both."""
    sheet = a_sheet(app, "Ada", "Bob", "Cy", files=["ada.mp4", "bob.mp4"])
    owner = {
        "prepare_many": app.session.tracker,
        "take_logged": Uploads,
        "finish": SheetDraft,
    }[place]

    def kill(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(owner, place, kill)
        with pytest.raises(Killed):
            app.batches.send(sheet, [1, 2], partial(check, app, sheet))
    app = restart()
    if place != "prepare_many":  # a draft is not kept for long
        sweep_later(app)
    sheet = SheetDraft(sheet.form.folder)
    names = [each["creator_name"] for each in sheet.rows]
    assert videos(app) == ["ada.mp4", "bob.mp4"]
    if place == "prepare_many":
        assert names == ["Ada", "Bob", "Cy"]
        ended(app, send(app, sheet))
    else:
        assert names == ["Cy"]
        [batch] = app.batches.batches(BROWSER)
        assert batch.count("prepared") == 2
        app.batches.start(batch.batch_id)
        ended(app, batch.batch_id)
        ended(app, send(app, sheet))
    assert created(app) == ["Ada", "Bob", "Cy"]
    assert videos(app) == []


def test_files_that_cannot_be_taken_leave_the_sheet_as_it_was(
    app: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second file is in the way; the first one is back, and nothing waits in the log."""
    sheet = a_sheet(app, "Ada", "Bob", files=["ada.mp4", "bob.mp4"])
    take, taken = Uploads.take_logged, []

    def fail(uploads: Uploads, submission_id: str, *given: object) -> None:
        if taken:
            raise OSError(28, "No space left on device")
        taken.append(submission_id)
        take(uploads, submission_id, *given)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(Uploads, "take_logged", fail)
        with pytest.raises(StoreError, match=r"No space left on device.*nothing was sent"):
            send(app, sheet)
    assert app.batches.batches(BROWSER) == []
    assert all(is_ready(row) for row in check(app, sheet))
    ended(app, send(app, sheet))
    assert created(app) == ["Ada", "Bob"]


def test_a_full_plan_keeps_the_rest(restart: Callable[..., Running]) -> None:
    """What has no place waits with its file, over a restart, and goes on once there is one."""
    app = restart(sandbox_plan=2)
    sheet = a_sheet(app, "Ada", "Bob", "Cy", files=["ada.mp4", "bob.mp4", "cy.mp4"])
    batch = ended(app, send(app, sheet))
    assert (batch.count("accepted"), batch.count("prepared")) == (2, 1)
    assert len(videos(app)) == 1
    app = restart(sandbox_plan=2)
    sweep_later(app)
    [batch] = app.batches.batches(BROWSER)
    [persona_id, *_] = [each.persona_id for each in batch.results if each.persona_id]
    app.session.tracker.delete(persona_id)
    app.batches.start(batch.batch_id)
    assert ended(app, batch.batch_id).count("accepted") == 3
    assert len(created(app)) == 2
    assert videos(app) == []


def test_a_batch_is_stopped_and_goes_on(app: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop ends it after the uploads that run; the rest wait, and are sent when it goes on."""
    entered, go_on = threading.Semaphore(0), threading.Event()
    create = app.session.client.create_persona

    def slow(*given: object, **named: object) -> object:
        entered.release()
        assert go_on.wait(HANGS_S)
        return create(*given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(app.session.client, "create_persona", slow)
    sheet = a_sheet(app, *(f"N{n}" for n in range(6)))
    batch_id = send(app, sheet)
    assert entered.acquire(timeout=HANGS_S)
    app.batches.start(batch_id)  # a second click
    assert app.batches.batch(batch_id).is_running
    app.batches.stop(batch_id)
    assert app.batches.batch(batch_id).is_stopping
    go_on.set()
    batch = ended(app, batch_id)
    assert 1 <= batch.count("accepted") <= 2
    assert batch.count("prepared") == 6 - batch.count("accepted")
    app.batches.start(batch_id)
    assert ended(app, batch_id).count("accepted") == 6
    assert created(app) == [f"N{n}" for n in range(6)]


def test_an_api_that_is_down_keeps_all_rows(app: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """They wait, and the reason is said."""

    def down(*_: object, **__: object) -> None:
        raise errors.ConnectionFailed("It is down.", method="POST", url="", maybe_sent=False)

    with monkeypatch.context() as patched:
        patched.setattr(app.session.client, "create_persona", down)
        batch = ended(app, send(app, a_sheet(app, "Ada", "Bob", files=["ada.mp4"])))
    assert batch.count("prepared") == 2
    assert {result.error for result in batch.results} == {"It is down."}
    assert videos(app) == ["ada.mp4"]
    app.batches.start(batch.batch_id)
    assert ended(app, batch.batch_id).count("accepted") == 2


def test_dismissed_rows_are_not_sent_and_their_files_are_deleted(
    restart: Callable[..., Running],
) -> None:
    """What waits is dropped, and the batch is not shown any more."""
    app = restart(sandbox_plan=1)
    sheet = a_sheet(app, "Ada", "Bob", files=["ada.mp4", "bob.mp4"])
    batch = ended(app, send(app, sheet))
    app.batches.dismiss(batch.batch_id)
    assert app.batches.batches(BROWSER) == []
    assert videos(app) == []
    states = {result.state for result in app.session.store.batch(batch.batch_id)}
    assert states == {"accepted", "refused"}


def test_browsers_have_their_own_batches(app: Running) -> None:
    """What one browser has sent is not shown to another, nor among the creates of the form."""
    ended(app, send(app, a_sheet(app, "Ada")))
    assert len(app.batches.batches(BROWSER)) == 1
    assert app.batches.batches("other") == []
    assert app.outbox.items(BROWSER) == []


def test_refused_rows_are_put_back_into_the_sheet(
    app: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With their files and all fields, once; they are sent again as they were."""
    sheet = a_sheet(app, "Ada", "Bob", files=["ada.mp4"])
    sheet.edit({0: {"labels": "x, y", "video_scene": "office"}})

    def refuse(*_: object, **__: object) -> None:
        raise errors.InvalidRequest(
            "No.", method="POST", url="", status_code=400, from_api=True, fields={"x": ["No."]}
        )

    with monkeypatch.context() as patched:
        patched.setattr(app.session.client, "create_persona", refuse)
        ended(app, send(app, sheet))
    [batch] = app.batches.batches(BROWSER)
    assert len(batch.refused) == 2
    sheet.edit({0: {"creator_name": "Cy", "gender": "m", "gdown_url": URL}})
    app.batches.put_back(batch, sheet)
    app.batches.put_back(batch, sheet)  # a second click
    names = [(row["creator_name"], row["labels"], row["video_scene"]) for row in sheet.rows]
    assert names == [("Cy", "", ""), ("Ada", "x, y", "office"), ("Bob", "", "")]
    assert app.batches.batches(BROWSER) == []
    ended(app, send(app, sheet))
    assert created(app) == ["Ada", "Bob", "Cy"]
    assert videos(app) == []
