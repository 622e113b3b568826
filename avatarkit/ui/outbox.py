"""Send submissions in threads of the server, independent of the tab that submitted them.

During a long upload the tab may be closed, reloaded or show another page, and the server may be
restarted: submissions that were not dismissed are shown again in the state that the log has.
"""

from __future__ import annotations

import logging
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avatarkit.errors import AvatarkitError
from avatarkit.models import VIDEO_FIELDS, PersonaCreate
from avatarkit.store.submissions import Submission
from avatarkit.tracking.tracker import Tracker
from avatarkit.ui import draft

logger = logging.getLogger("avatarkit")


@dataclass(frozen=True)
class OutboxItem:
    """A submission as the log has it, with the progress of its upload."""

    submission: Submission
    sent_bytes: int
    total_bytes: int
    error: str | None
    """The error, None without one."""


class Outbox:
    """Sends submissions in the background; keeps uploads in ``folder`` until they are accepted."""

    def __init__(self, tracker: Tracker, folder: Path) -> None:
        self._tracker = tracker
        self.uploads = folder / "uploads"
        # One empty file for each submission that is shown: two servers cannot overwrite each
        # other's.
        self._shown = folder / "outbox"
        self._progress: dict[str, tuple[int, int]] = {}
        self._errors: dict[str, str] = {}
        self._threads: dict[str, threading.Thread] = {}
        # At most two uploads at a time; more would only slow each other down.
        self._slots = threading.Semaphore(2)

    def send(self, request: PersonaCreate) -> str:
        """Log the request and start to send it; return the id of the submission."""
        total = sum(path.stat().st_size for path in request.files.values())
        self._shown.mkdir(exist_ok=True, mode=0o700)
        # Logged before it waits for a slot, as the form is cleared now.
        submission_id = self._tracker.prepare(request)
        with suppress(OSError):  # if the disk is full it is sent but not shown
            (self._shown / submission_id).touch()
        self._progress[submission_id] = (0, total)
        thread = threading.Thread(target=self._send, args=(request, submission_id), daemon=True)
        self._threads[submission_id] = thread
        thread.start()
        return submission_id

    def wait(self, submission_id: str, timeout_s: float) -> None:
        """Wait until the submission is sent, for at most ``timeout_s`` wall seconds."""
        self._threads[submission_id].join(timeout_s)

    def items(self) -> list[OutboxItem]:
        """Return the submissions that were sent from here and not dismissed, newest first."""
        shown = {path.name for path in self._shown.glob("*")}
        return [
            OutboxItem(
                submission,
                *self._progress.get(submission.submission_id, (0, 0)),
                error=submission.error or self._errors.get(submission.submission_id),
            )
            for submission in self._tracker.store.some_submissions(shown)
        ]

    def dismiss(self, submission_id: str) -> None:
        """Hide a submission; it stays in the log."""
        for submission in self._tracker.store.some_submissions([submission_id]):
            # If reconcile accepted it, its uploads still exist.
            if submission.state == "accepted":
                self._delete_uploads(submission.request)
        (self._shown / submission_id).unlink(missing_ok=True)

    def dismiss_persona(self, persona_id: str) -> None:
        """Hide the submission that became this persona."""
        for item in self.items():
            if item.submission.persona_id == persona_id:
                self.dismiss(item.submission.submission_id)

    def _send(self, request: PersonaCreate, submission_id: str) -> None:
        def progress(sent: int, total: int) -> None:
            self._progress[submission_id] = (sent, total)

        with self._slots:
            try:
                self._tracker.submit(request, progress=progress, submission_id=submission_id)
            except AvatarkitError as error:
                self._errors[submission_id] = str(error)
            except Exception as error:
                logger.exception("A submission failed.")
                self._errors[submission_id] = f"Sending ended in {type(error).__name__}."
            else:
                self._delete_uploads(request.files)

    def _delete_uploads(self, request: dict[str, Any]) -> None:
        for name in VIDEO_FIELDS:
            if request.get(name):
                draft.delete_upload(self.uploads, Path(request[name]))
