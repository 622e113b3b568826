"""What is wrong with the videos of each persona: found out once, in the background, and kept."""

from __future__ import annotations

import json
import logging
import queue
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from avatarkit import preflight
from avatarkit.sandbox.personas.previews import save_stills
from avatarkit.sandbox.personas.records import Record, Records
from avatarkit.sandbox.state.files import write_private

logger = logging.getLogger("avatarkit")

VERDICT = "verdict.json"
_FOOTAGE, _CONSENT = "lipsync_input", "consent_video"
# A look that takes longer than this goes on alone when the sandbox stops; it then changes nothing.
_PATIENCE_S = 1.0


@dataclass(frozen=True)
class Verdict:
    """``flaw`` is why the videos cannot be used, or None; ``stills`` are the previews made."""

    flaw: str | None = None
    stills: tuple[str, ...] = ()


class Verdicts:
    """The verdicts on all personas, by a thread that looks at one after another.

    A verdict is written beside the persona before anybody sees it, and never changes. One that a
    kill or a stop has prevented is found out at the next start.
    """

    def __init__(self, records: Records) -> None:
        self._records = records
        self._known: dict[str, Verdict] = {}
        self._queue: queue.SimpleQueue[Record | None] = queue.SimpleQueue()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sandbox-verdicts", daemon=True)

    def start(self) -> None:
        """Read what is known, and begin with what is not."""
        for record in reversed(self._records.newest_first()):
            kept = _read(self._records.place(record.id) / VERDICT)
            if kept is None:
                self.ask(record)
            else:
                self._known[record.id] = kept
        self._thread.start()

    def stop(self) -> None:
        """Begin nothing more; return when the thread has ended, or soon."""
        self._stopped.set()
        self._queue.put(None)
        self._thread.join(_PATIENCE_S)

    def ask(self, record: Record) -> None:
        """Have the videos of a settled persona looked at; known at once where there are none."""
        if _files(record):
            self._queue.put(record)
        else:
            self._known[record.id] = Verdict()

    def get(self, persona_id: str) -> Verdict | None:
        """The verdict on that persona, or None while it is not known."""
        return self._known.get(persona_id)

    def forget(self, persona_id: str) -> None:
        """Drop the verdict on a persona that was removed."""
        self._known.pop(persona_id, None)

    def _run(self) -> None:
        while (record := self._queue.get()) is not None and not self._stopped.is_set():
            place = self._records.place(record.id)
            try:
                verdict = look(_files(record), place)
            except Exception:  # a defect here must not leave all later personas waiting
                logger.exception("The sandbox cannot look at a video; it is taken for good.")
                verdict = Verdict()
            if self._stopped.is_set():
                return
            try:
                write_private(place / VERDICT, asdict(verdict))
            except OSError as error:
                if self._records.get(record.id) is None:  # deleted meanwhile
                    continue
                logger.warning("The sandbox cannot keep a verdict: %s.", error.strerror or error)
            self._known[record.id] = verdict


def look(videos: Mapping[str, str], place: Path) -> Verdict:
    """The verdict on the files in ``place``, by field; stills are written there too.

    The flaw of the footage is what ``preflight`` finds fatal. Of the consent video, about which
    nothing is known, only that it cannot be read at all.
    """
    reasons = []
    if _FOOTAGE in videos:
        reasons.append(_reason(place / videos[_FOOTAGE], _FOOTAGE, "The footage"))
    if _CONSENT in videos:
        reason = _reason(place / videos[_CONSENT], _CONSENT, "The file")
        reasons.append(reason and f"Consent video: {reason}")
    flaw = " ".join(filter(None, reasons)) or None
    if flaw or _FOOTAGE not in videos:
        return Verdict(flaw)
    try:
        return Verdict(None, save_stills(place / videos[_FOOTAGE], place))
    except OSError:  # a full disk costs the previews, nothing else
        return Verdict(None)


def _reason(path: Path, field: str, name: str) -> str | None:
    reason = preflight.check_field(path, field).reason
    # The name under which the sandbox keeps the file is not the one that was uploaded.
    return reason and reason.replace(path.name, name)


def _files(record: Record) -> dict[str, str]:
    return {name: video for name, video in record.videos.items() if "://" not in video}


def _read(path: Path) -> Verdict | None:
    try:
        value = json.loads(path.read_text("utf-8"))
        return Verdict(value["flaw"], tuple(value["stills"]))
    except (OSError, ValueError, TypeError, LookupError):
        return None
