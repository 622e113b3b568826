"""Send the rows of sheets in threads of the server, independent of the tab that sent them.

The rows of a batch are submissions in the log, so a restart loses none: what was not sent waits
there until a person goes on, and what was sent is never sent again.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from avatarkit.clock import Clock
from avatarkit.errors import AvatarkitError, ConfigError, StoreError
from avatarkit.models import PersonaCreate
from avatarkit.store.batches import SubmitResult
from avatarkit.tracking.sheet import Row
from avatarkit.tracking.tracker import Tracker
from avatarkit.ui.outbox import Outbox, form_fields
from avatarkit.ui.sheet_draft import SheetDraft
from avatarkit.ui.upload_progress import UploadProgress

logger = logging.getLogger("avatarkit")

CHANGED = (
    "The sheet, a file or the account has changed since the rows were checked; nothing was sent. "
    "Look at the rows again."
)


@dataclass
class _Sending:
    """What a thread that sends a batch has done."""

    clock: Clock
    stop: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)
    error: str | None = None
    sent: dict[str, tuple[int, int]] = field(default_factory=dict)
    """By submission, the bytes that were read of its files, and all of them."""
    upload: UploadProgress = field(default_factory=UploadProgress)
    """That of all files together."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, submission_id: str, sent_bytes: int, total_bytes: int) -> None:
        """Take note of how far an upload is."""
        if not total_bytes:  # only its state has changed
            return
        with self.lock:
            self.sent[submission_id] = (sent_bytes, total_bytes)
            sent, total = (sum(counts) for counts in zip(*self.sent.values(), strict=True))
            self.upload.update(sent, total, self.clock.monotonic())


@dataclass(frozen=True)
class Batch:
    """A batch as the log has it, with the progress of its uploads.

    Attributes:
        batch_id: The batch.
        results: What became of each row, in the order of the rows.
        is_running: Whether it is being sent by this server.
        is_stopping: Whether it ends as soon as the uploads that run are through.
        error: Why it was ended, None if it was not.
        sent: By submission, the bytes that were sent of its files, and all of them.
        bytes_per_s: The speed of the uploads; None while that is not known.
        refused: The submissions that can be put back into the sheet of this browser.
    """

    batch_id: str
    results: Sequence[SubmitResult]
    is_running: bool = False
    is_stopping: bool = False
    error: str | None = None
    sent: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    bytes_per_s: float | None = None
    refused: Sequence[str] = ()

    def count(self, *states: str) -> int:
        """Return how many rows are in these states."""
        return sum(result.state in states for result in self.results)

    @property
    def share(self) -> float:
        """The share of the batch that is sent: of its rows, those that are being sent in part."""
        done = float(self.count("accepted", "refused", "uncertain"))
        for result in self.results:
            sent, total = self.sent.get(result.submission_id, (0, 0))
            if result.state == "sending" and total:
                done += sent / total
        return done / len(self.results) if self.results else 1.0


class Batches:
    """Makes batches of sheets, and sends them in the background.

    Args:
        tracker: Sends and logs.
        outbox: The uploads and the reports of what is sent.
    """

    def __init__(self, tracker: Tracker, outbox: Outbox) -> None:
        self._tracker = tracker
        self._outbox = outbox
        self._sendings: dict[str, _Sending] = {}
        self._lock = threading.Lock()

    def send(
        self,
        sheet: SheetDraft,
        numbers: Collection[int],
        check: Callable[[], Sequence[Row]],
        *,
        twins: Collection[str] = (),
    ) -> str:
        """Make a batch of rows of a sheet, and start to send it; the other rows stay in the sheet.

        Args:
            sheet: The sheet.
            numbers: The numbers of the rows.
            check: Checks the sheet now; another tab may have sent the same rows meanwhile.
            twins: The sentences of the twins that are sent all the same.

        Returns:
            The id of the batch.

        Raises:
            ConfigError: A row cannot be sent any more; nothing is sent.
            StoreError: The batch could not be logged, or its files could not be taken; nothing is
                sent, and the sheet is as it was.
        """
        with self._lock:
            checked = {row.number: row for row in check()}
            rows = [checked[number] for number in sorted(numbers) if number in checked]
            if len(rows) != len(numbers) or not all(is_ready(row, twins) for row in rows):
                raise ConfigError(CHANGED)
            batch_id = self._hand_over(sheet, rows)
        self.start(batch_id)
        return batch_id

    def recover(self, sheet: SheetDraft) -> None:
        """Finish a handing over during which the server was killed; nothing is done without one.

        Raises:
            StoreError: Its files could not be taken; it is tried again with the next call.
        """
        if sheet.batch_id is None:
            return
        with self._lock:
            store = self._tracker.store
            results = store.batch(sheet.batch_id)
            try:
                self._take(sheet, results)
            except OSError as error:
                message = f"Files of the sheet could not be taken ({error.strerror})."
                raise StoreError(message) from None
            sheet.finish(is_logged=bool(results))

    def recover_all(self) -> None:
        """Do so for the sheets of all browsers, before their files are taken for old; for a start.

        An error is logged; it is tried again when the browser shows its sheet.
        """
        uploads = self._outbox.uploads
        for browser in uploads.browsers():
            try:
                self.recover(SheetDraft(uploads.draft(browser).folder))
            except StoreError as error:
                logger.warning("A sheet is not handed over yet: %s", error)

    def start(self, batch_id: str) -> None:
        """Send what is left of a batch in a thread, unless one does by now."""
        with self._lock:
            sending = self._sendings.get(batch_id)
            if sending is not None and not sending.ended.is_set():
                return
            sending = self._sendings[batch_id] = _Sending(self._tracker.clock)
        threading.Thread(target=self._run, args=(batch_id, sending), daemon=True).start()

    def stop(self, batch_id: str) -> None:
        """Send no more of a batch; the uploads that run go on."""
        sending = self._sendings.get(batch_id)
        if sending is not None:
            sending.stop.set()

    def wait(self, batch_id: str, timeout_s: float) -> None:
        """Wait until no thread sends a batch, for at most ``timeout_s`` wall seconds."""
        self._sendings[batch_id].ended.wait(timeout_s)

    def close(self) -> None:
        """Stop all batches; the uploads that run go on."""
        for batch_id in list(self._sendings):
            self.stop(batch_id)

    def batches(self, browser: str) -> list[Batch]:
        """Return the batches that a browser has sent and not dismissed, newest first."""
        shown = self._outbox.shown(browser)
        batch_ids = self._tracker.store.batch_ids(shown).values()
        batches = [self.batch(batch_id) for batch_id in dict.fromkeys(batch_ids)]
        return [
            replace(
                batch,
                refused=[
                    result.submission_id
                    for result in batch.results
                    if result.state == "refused" and result.submission_id in shown
                ],
            )
            for batch in batches
        ]

    def batch(self, batch_id: str) -> Batch:
        """Return a batch."""
        # First, so that one that has just ended is not shown as ended before its last result.
        sending = self._sendings.get(batch_id)
        is_running = sending is not None and not sending.ended.is_set()
        results = self._tracker.store.batch(batch_id)
        if sending is None:
            return Batch(batch_id, results)
        return Batch(
            batch_id,
            results,
            is_running=is_running,
            is_stopping=is_running and sending.stop.is_set(),
            error=sending.error,
            sent=sending.sent.copy(),
            bytes_per_s=sending.upload.rate(sending.clock.monotonic()) if is_running else None,
        )

    def dismiss(self, batch_id: str) -> None:
        """Hide a batch; what of it was not sent is not sent any more."""
        self.stop(batch_id)
        self._tracker.store.cancel_batch(batch_id, self._tracker.clock.now())
        for result in self._tracker.store.batch(batch_id):
            self._outbox.dismiss(result.submission_id)

    def put_back(self, batch: Batch, sheet: SheetDraft) -> None:
        """Put the refused rows of a batch back into a sheet, with their files, to send them again.

        Raises:
            StoreError: Their files could not be moved.
        """
        uploads, store = self._outbox.uploads, self._tracker.store
        with self._lock:
            records = {r.submission_id: r for r in uploads.records(sheet.form.browser)}
            requests = {s.submission_id: s.request for s in store.some_submissions(batch.refused)}
            ids = [each for each in batch.refused if each in records and each in requests]
            try:
                rows = [
                    uploads.move_back(records[each], sheet.form, form_fields(requests[each]))
                    for each in ids
                ]
            except OSError as error:
                message = f"Its files could not be moved ({error.strerror}); try it again."
                raise StoreError(message) from None
            sheet.append(rows)
            for each in ids:
                records[each].path.unlink(missing_ok=True)

    def _hand_over(self, sheet: SheetDraft, rows: Sequence[Row]) -> str:
        """Log the creates with the paths that their files will have, then move them there.

        In this order a crash loses nothing: see ``recover``.
        """
        store = self._tracker.store
        try:
            requests = self._with_taken_paths(sheet, rows)
        except OSError as error:
            raise StoreError(_not_taken(error)) from None
        batch_id = uuid.uuid4().hex
        sheet.begin(batch_id, [row.number for row in rows])
        try:
            numbers = [row.number for row in rows]
            self._tracker.prepare_many(requests, numbers=numbers, batch_id=batch_id)
            results = store.batch(batch_id)
            try:
                self._take(sheet, results)
            except OSError as error:
                store.cancel_batch(batch_id, self._tracker.clock.now())
                self._give_back(sheet, results)
                raise StoreError(_not_taken(error)) from None
        except AvatarkitError:
            sheet.finish(is_logged=False)
            raise
        reports = {row.number: row.reports for row in rows}
        for result in results:
            self._outbox.reports.keep(result.submission_id, reports[result.number])
        sheet.finish(is_logged=True)
        return batch_id

    def _with_taken_paths(self, sheet: SheetDraft, rows: Sequence[Row]) -> list[PersonaCreate]:
        uploads, used = self._outbox.uploads, set[Path]()
        requests = []
        for row in rows:
            assert row.request is not None  # noqa: S101 - it is ready
            paths = {}
            for name, file in row.request.files.items():
                # Each submission owns its files, as it deletes them when it is accepted.
                is_shared = file in used and sheet.form.owns(file)
                path = uploads.copy(file, sheet.form) if is_shared else file
                used.add(path)
                paths[name] = uploads.taken_path(path, sheet.form)
            requests.append(row.request.model_copy(update=paths))
        return requests

    def _take(self, sheet: SheetDraft, results: Sequence[SubmitResult]) -> None:
        uploads = self._outbox.uploads
        ids = [result.submission_id for result in results]
        for submission in self._tracker.store.some_submissions(ids):
            uploads.take_logged(submission.submission_id, sheet.form, submission.request)
        # A row that waited in a batch of another browser has left that.
        for record in uploads.records():
            if record.submission_id in ids and record.browser != sheet.form.browser:
                record.path.unlink(missing_ok=True)

    def _give_back(self, sheet: SheetDraft, results: Sequence[SubmitResult]) -> None:
        uploads = self._outbox.uploads
        ids = {result.submission_id for result in results}
        for record in uploads.records(sheet.form.browser):
            if record.submission_id in ids:
                uploads.move_back(record, sheet.form, {})
                record.path.unlink(missing_ok=True)

    def _run(self, batch_id: str, sending: _Sending) -> None:
        def note(result: SubmitResult, sent_bytes: int, total_bytes: int) -> None:
            sending.note(result.submission_id, sent_bytes, total_bytes)
            if result.state == "accepted":
                self._outbox.release(result.submission_id)

        try:
            self._tracker.send_many(batch_id, on_progress=note, stop=sending.stop)
        except AvatarkitError as error:
            sending.error = str(error)
        except Exception as error:
            logger.exception("A batch failed.")
            sending.error = f"Sending ended in {type(error).__name__}."
        finally:
            sending.ended.set()


def is_ready(row: Row, twins: Collection[str] = ()) -> bool:
    """Return whether a row can be sent.

    Args:
        row: The row.
        twins: The sentences of the twins that are sent all the same.
    """
    is_new = row.sent_as is None and (row.twin is None or row.twin in twins)
    return row.request is not None and not row.faults and is_new


def _not_taken(error: OSError) -> str:
    return f"Files of the sheet could not be taken ({error.strerror}); nothing was sent."
