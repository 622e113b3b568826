"""``Outbox``: creates on their way, sent by threads of the server and not of a tab.

A tab may be closed, reloaded or turned to another page in the middle of an upload of minutes.
"""

from __future__ import annotations

import itertools
import logging
import threading
from dataclasses import dataclass, field
from pathlib import Path

from avatarkit.errors import AvatarkitError, SubmissionUncertain
from avatarkit.models import PersonaCreate
from avatarkit.tracker import Tracker

logger = logging.getLogger("avatarkit")


@dataclass
class Parcel:
    """One create on its way, and what came of it.

    ``state`` is sending, accepted, refused or uncertain; ``message`` is the sentence about it.
    """

    number: int
    request: PersonaCreate
    submission_id: str
    total_bytes: int
    sent_bytes: int = 0
    state: str = "sending"
    persona_id: str | None = None
    message: str = ""
    ended: threading.Event = field(default_factory=threading.Event)


class Outbox:
    """Sends creates in the background; ``folder`` is where uploads are kept until accepted."""

    def __init__(self, tracker: Tracker, folder: Path) -> None:
        self._tracker = tracker
        self.uploads = folder / "uploads"
        self._parcels: dict[int, Parcel] = {}
        self._numbers = itertools.count(1)
        # Two uploads at a time share a line well; more would only slow each other down.
        self._slots = threading.Semaphore(2)

    def send(self, request: PersonaCreate) -> Parcel:
        """Write the request down and begin to send it; the parcel to watch."""
        total = sum(path.stat().st_size for path in request.files.values())
        # Before it waits for its turn: the form is cleared now, and the log is what is left of it.
        submission_id = self._tracker.prepare(request)
        parcel = Parcel(next(self._numbers), request, submission_id, total)
        self._parcels[parcel.number] = parcel
        threading.Thread(target=self._send, args=(parcel,), daemon=True).start()
        return parcel

    def parcels(self) -> list[Parcel]:
        """What is on its way or has arrived and was not dismissed, newest first."""
        return sorted(self._parcels.values(), key=lambda parcel: -parcel.number)

    def dismiss(self, number: int) -> None:
        """Show this parcel no more; its submission stays in the log."""
        parcel = self._parcels.get(number)
        if parcel is not None and parcel.state != "sending":
            del self._parcels[number]

    def _send(self, parcel: Parcel) -> None:
        def progress(sent: int, total: int) -> None:
            parcel.sent_bytes, parcel.total_bytes = sent, total

        with self._slots:
            try:
                persona = self._tracker.submit(
                    parcel.request, progress=progress, submission_id=parcel.submission_id
                )
            except SubmissionUncertain as error:
                parcel.state, parcel.message = "uncertain", str(error)
            except AvatarkitError as error:
                parcel.state, parcel.message = "refused", str(error)
            except Exception as error:
                logger.exception("A submission failed.")
                name = type(error).__name__
                parcel.state, parcel.message = "uncertain", f"Sending failed unexpectedly ({name})."
            else:
                parcel.persona_id, parcel.state = persona.id, "accepted"
                self._tidy(parcel.request)
            finally:
                parcel.ended.set()

    def _tidy(self, request: PersonaCreate) -> None:
        for path in request.files.values():
            if path.parent == self.uploads:
                path.unlink(missing_ok=True)
