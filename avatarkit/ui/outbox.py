"""Send submissions in threads of the server, independent of the tab that submitted them.

During a long upload the tab may be closed, reloaded or show another page, and the server may be
restarted: submissions that were not dismissed are shown again in the state that the log has, to the
browser that sent them.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from avatarkit.clock import Clock
from avatarkit.errors import AvatarkitError, StoreError, SubmissionUncertain
from avatarkit.models import PersonaCreate
from avatarkit.preflight import Report, check_field
from avatarkit.store.submissions import Submission
from avatarkit.store.tables import IN_FLIGHT
from avatarkit.text import hide_webhook_token
from avatarkit.tracking.tracker import Tracker
from avatarkit.ui.draft import FIELDS, Draft
from avatarkit.ui.footage_reports import FootageReports
from avatarkit.ui.upload_progress import UploadProgress
from avatarkit.ui.uploads import Record, StoredUpload, Uploads

logger = logging.getLogger("avatarkit")

SWEEP_EVERY_S = 60.0
"""Wall seconds between two searches for uploads to delete."""


@dataclass(frozen=True)
class OutboxItem:
    """A submission as the log has it, with the progress of its upload."""

    submission: Submission
    sent_bytes: int
    total_bytes: int
    error: str | None
    """The error, None without one."""
    bytes_per_s: float | None = None
    """How fast it is sent, in bytes per wall second; None while that is not known."""


class Outbox:
    """Sends submissions in the background, each with the uploads that its form named.

    Args:
        tracker: Sends and logs.
        uploads: The uploads on disk.
    """

    def __init__(self, tracker: Tracker, uploads: Uploads) -> None:
        self._tracker = tracker
        self.uploads = uploads
        self.reports = FootageReports(uploads.folder)
        self._progress: dict[str, UploadProgress] = {}
        self._errors: dict[str, str] = {}
        self._threads: dict[str, threading.Thread] = {}
        # At most two uploads at a time; more would only slow each other down.
        self._slots = threading.Semaphore(2)
        self._handing_over = threading.Lock()
        self._closing = threading.Event()
        self._sweeper: threading.Thread | None = None

    def send(
        self, request: PersonaCreate, draft: Draft, reports: Mapping[str, Report] | None = None
    ) -> str:
        """Log a request, give it the uploads that it names, clear the form, and start to send it.

        Args:
            request: The create.
            draft: The form that it was made from. It is sent once, however often this is called.
            reports: The checks of its files, by field, as far as they were made; others are made
                after it was sent.

        Returns:
            The id of the submission.

        Raises:
            AvatarkitError: Nothing is sent, and form and uploads are as they were.
        """
        with self._handing_over:
            if draft.submission_id is not None:
                return draft.submission_id
            request, submission_id, total = self._hand_over(request, draft, reports or {})
            draft.next = Draft(draft.folder, {})
            draft.submission_id = submission_id
        self._progress[submission_id] = UploadProgress(total)
        thread = threading.Thread(target=self._send, args=(request, submission_id), daemon=True)
        self._threads[submission_id] = thread
        thread.start()
        return submission_id

    def wait(self, submission_id: str, timeout_s: float) -> None:
        """Wait until the submission is sent, for at most ``timeout_s`` wall seconds."""
        self._threads[submission_id].join(timeout_s)

    def items(self, browser: str) -> list[OutboxItem]:
        """Return what a browser has sent by itself and not dismissed, newest first."""
        shown = self.shown(browser)
        shown -= self._tracker.store.batch_ids(shown).keys()
        return [
            self._item(submission) for submission in self._tracker.store.some_submissions(shown)
        ]

    def shown(self, browser: str) -> set[str]:
        """Return the submissions that a browser has sent and not dismissed, rows of batches too."""
        records = self.uploads.records(browser)
        return {record.submission_id for record in records if not record.is_hidden}

    def dismiss(self, submission_id: str) -> None:
        """Hide a submission; it stays in the log, and keeps its uploads while it is in flight."""
        for record, state in self._records(submission_id):
            if state in IN_FLIGHT:
                self.uploads.hide(record)
            else:
                self.uploads.release(record, is_dismissed=True)

    def release(self, submission_id: str) -> None:
        """Delete the uploads of a submission that was accepted."""
        for record, _ in self._records(submission_id):
            self.uploads.release(record)

    def dismiss_persona(self, persona_id: str, browser: str) -> None:
        """Hide the submission of this browser that became this persona."""
        for item in self.items(browser):
            if item.submission.persona_id == persona_id:
                self.dismiss(item.submission.submission_id)

    def put_back(self, submission: Submission, draft: Draft) -> None:
        """Make a refused submission the form of a tab, with its uploads, and dismiss it.

        Raises:
            StoreError: Its uploads could not be moved.
        """
        fields = form_fields(submission.request)
        with self._handing_over:
            for record, _ in self._records(submission.submission_id):
                try:
                    self.uploads.give_back(record, draft, fields)
                except OSError as error:
                    message = f"Its files could not be moved ({error.strerror}); try it again."
                    raise StoreError(message) from None

    def clear(self, draft: Draft) -> None:
        """Empty a form that was not sent, and delete the uploads that it names."""
        with self._handing_over:
            if draft.next is not None:
                return
            draft.next = Draft(draft.folder, {})
            draft.clear()
        self.delete(draft.uploads())

    def delete_replaced(self, draft: Draft) -> None:
        """Delete the uploads of a form that was replaced, except those of the form that shows."""
        if draft.next is not None:
            self.delete(set(draft.uploads()) - set(draft.newest.uploads()))

    def stored(self) -> list[StoredUpload]:
        """Return all uploads on disk."""
        return self.uploads.stored(self._states())

    def delete(self, paths: Collection[Path]) -> None:
        """Delete uploads, except those that a submission in flight needs by now."""
        with self._handing_over:
            stored = [upload for upload in self.stored() if upload.path in paths]
            self.uploads.delete([upload for upload in stored if upload.expires_at is not None])

    def sweep(self, now: datetime) -> None:
        """Delete the uploads that no submission needs and whose time is over.

        Args:
            now: The moment on the machine's clock.
        """
        with self._handing_over:
            self.uploads.sweep(self._states(), now)

    def start(self, clock: Clock) -> None:
        """Sweep now, and then regularly until ``close``, in a thread.

        Args:
            clock: The machine's clock: a file is kept for hours of the people who uploaded it.
        """

        def run() -> None:
            while not self._closing.is_set():
                try:
                    self.sweep(clock.now())
                except (AvatarkitError, OSError) as error:
                    logger.warning("Old uploads could not be deleted: %s", error)
                clock.sleep(SWEEP_EVERY_S, self._closing)

        self._sweeper = threading.Thread(target=run, name="avatarkit-uploads", daemon=True)
        self._sweeper.start()

    def close(self) -> None:
        """End the sweeping; what is being sent goes on."""
        self._closing.set()
        if self._sweeper is not None:
            self._sweeper.join()

    def _item(self, submission: Submission) -> OutboxItem:
        submission_id = submission.submission_id
        upload = self._progress.get(submission_id, UploadProgress())
        return OutboxItem(
            submission,
            upload.sent_bytes,
            upload.total_bytes,
            error=submission.error or self._errors.get(submission_id),
            bytes_per_s=upload.rate(self._tracker.clock.monotonic()),
        )

    def _hand_over(
        self, request: PersonaCreate, draft: Draft, reports: Mapping[str, Report]
    ) -> tuple[PersonaCreate, str, int]:
        """Log a create with the paths that its files will have, then move them there.

        In this order a crash loses nothing: until the files are moved the form is as it was, and
        from then on they belong to a submission in the log.
        """
        files = request.files
        paths = {field: self.uploads.taken_path(path, draft) for field, path in files.items()}
        request = request.model_copy(update=paths)
        submission_id = self._tracker.prepare(request)
        self.reports.keep(submission_id, reports)
        try:
            total = sum(path.stat().st_size for path in files.values())
            self.uploads.take(submission_id, draft, files.values())
        except OSError as error:
            store = self._tracker.store
            message = f"Its files could not be taken ({error.strerror}); nothing was sent."
            store.refused(submission_id, self._tracker.clock.now(), message)
            store.release(submission_id)
            raise StoreError(f"{message} Check the videos, and submit again.") from None
        return request, submission_id, total

    def _send(self, request: PersonaCreate, submission_id: str) -> None:
        upload = self._progress[submission_id]

        def progress(sent: int, total: int) -> None:
            upload.update(sent, total, self._tracker.clock.monotonic())

        with self._slots:
            try:
                self._tracker.submit(request, progress=progress, submission_id=submission_id)
            except AvatarkitError as error:
                self._errors[submission_id] = str(error)
                if isinstance(error, SubmissionUncertain):
                    self._tidy(request, submission_id, is_sent=False)
            except Exception as error:
                logger.exception("A submission failed.")
                self._errors[submission_id] = f"Sending ended in {type(error).__name__}."
            else:
                self._tidy(request, submission_id, is_sent=True)

    def _tidy(self, request: PersonaCreate, submission_id: str, *, is_sent: bool) -> None:
        """Keep the reports of what was sent, and release its uploads if it has arrived."""
        try:
            self._keep_reports(request, submission_id)
            for record, _ in self._records(submission_id) if is_sent else ():
                self.uploads.release(record)
        except StoreError as error:  # such as of a closed session; the next start sweeps
            logger.info("What submission %s has left is not tidied up: %s", submission_id, error)

    def _keep_reports(self, request: PersonaCreate, submission_id: str) -> None:
        """Check the files that the form has not checked; the create is sent by now."""
        kept = self.reports.read(submission_id)
        try:
            missing = {f: check_field(p, f) for f, p in request.files.items() if f not in kept}
        except Exception:  # the avatar is made all the same
            logger.exception("A video could not be checked.")
        else:
            self.reports.keep(submission_id, missing)
            if not self._states(submission_id):  # the person was forgotten meanwhile
                self.reports.drop(submission_id)

    def _records(self, submission_id: str) -> list[tuple[Record, str | None]]:
        """Return the record of a submission with its state, if there is one."""
        state = self._states(submission_id).get(submission_id)
        return [(record, state) for record in self.uploads.records("*", submission_id)]

    def _states(self, *submission_ids: str) -> dict[str, str]:
        ids = submission_ids or [record.submission_id for record in self.uploads.records()]
        submissions = self._tracker.store.some_submissions(ids)
        return {submission.submission_id: submission.state for submission in submissions}


def form_fields(request: Mapping[str, Any]) -> dict[str, str]:
    """Return the fields of a create as the form has them, without our own address of webhooks."""
    fields = {n: str(request[n]) for n in (*FIELDS, "gdown_url") if request.get(n)}
    fields["labels"] = ", ".join(request.get("labels") or [])
    if hide_webhook_token(url := fields.get("webhook_url", "")) != url:
        del fields["webhook_url"]
    return fields
