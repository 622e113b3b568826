"""``Outbox``: creates on their way, sent by threads of the server and not of a tab.

A tab may be closed, reloaded or turned to another page in the middle of an upload of minutes, and
the server may be restarted: what a person has not dismissed yet is shown again as the log has it.
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
class Parcel:
    """A create as the log has it, and how much of its files has been read for sending."""

    submission: Submission
    sent_bytes: int
    total_bytes: int
    error: str | None
    """What went wrong, None where nothing did."""


class Outbox:
    """Sends creates in the background; ``folder`` is where uploads are kept until accepted."""

    def __init__(self, tracker: Tracker, folder: Path) -> None:
        self._tracker = tracker
        self.uploads = folder / "uploads"
        # An empty file for each parcel that is shown, so that two servers never overwrite a list.
        self._shown = folder / "outbox"
        self._progress: dict[str, tuple[int, int]] = {}
        self._failed: dict[str, str] = {}
        self._sending: dict[str, threading.Thread] = {}
        # Two uploads at a time share a line well; more would only slow each other down.
        self._slots = threading.Semaphore(2)

    def send(self, request: PersonaCreate) -> str:
        """Write the request down and begin to send it; the id of the submission."""
        total = sum(path.stat().st_size for path in request.files.values())
        self._shown.mkdir(exist_ok=True, mode=0o700)
        # Before it waits for its turn: the form is cleared now, and the log is what is left of it.
        submission_id = self._tracker.prepare(request)
        with suppress(OSError):  # a full disk: it is sent, and only not shown
            (self._shown / submission_id).touch()
        self._progress[submission_id] = (0, total)
        thread = threading.Thread(target=self._send, args=(request, submission_id), daemon=True)
        self._sending[submission_id] = thread
        thread.start()
        return submission_id

    def wait(self, submission_id: str, seconds: float) -> None:
        """Wait until it is sent, for so many wall seconds at most."""
        self._sending[submission_id].join(seconds)

    def parcels(self) -> list[Parcel]:
        """What is on its way or has ended and was not dismissed, newest first."""
        shown = {path.name for path in self._shown.glob("*")}
        if not shown:
            return []
        return [
            Parcel(
                one,
                *self._progress.get(one.submission_id, (0, 0)),
                error=one.error or self._failed.get(one.submission_id),
            )
            for one in self._tracker.store.some_submissions(shown)
        ]

    def dismiss(self, submission_id: str) -> None:
        """Show it no more; it stays in the log."""
        for one in self._tracker.store.some_submissions([submission_id]):
            # It may have been found in the account's list, and its videos are here still.
            if one.state == "accepted":
                self._tidy(one.request)
        (self._shown / submission_id).unlink(missing_ok=True)

    def followed(self, persona_id: str) -> None:
        """Whoever looks at this persona knows that it was accepted: show its parcel no more."""
        for parcel in self.parcels():
            if parcel.submission.persona_id == persona_id:
                self.dismiss(parcel.submission.submission_id)

    def _send(self, request: PersonaCreate, submission_id: str) -> None:
        def progress(sent: int, total: int) -> None:
            self._progress[submission_id] = (sent, total)

        with self._slots:
            try:
                self._tracker.submit(request, progress=progress, submission_id=submission_id)
            except AvatarkitError as error:
                self._failed[submission_id] = str(error)
            except Exception as error:
                logger.exception("A submission failed.")
                self._failed[submission_id] = f"Sending ended in {type(error).__name__}."
            else:
                self._tidy({name: str(path) for name, path in request.files.items()})

    def _tidy(self, request: dict[str, Any]) -> None:
        for name in VIDEO_FIELDS:
            if request.get(name):
                draft.forget_upload(self.uploads, Path(request[name]))
