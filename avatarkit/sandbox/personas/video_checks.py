"""Check the videos of each persona once, in the background, and keep the results."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from avatarkit import preflight
from avatarkit.sandbox.personas.previews import save_previews
from avatarkit.sandbox.personas.records import Record, Records
from avatarkit.sandbox.state.files import read_json, write_private

logger = logging.getLogger("avatarkit")

RESULT_FILE = "video_check.json"
"""The file in a persona's folder that keeps its ``CheckResult``."""

_FOOTAGE, _CONSENT = "lipsync_input", "consent_video"
# Wall seconds that stop() waits for a running check; a later result is dropped.
_PATIENCE_S = 1.0


@dataclass(frozen=True)
class CheckResult:
    """``flaw``: why the videos cannot be used, or None; ``previews``: the images that were made."""

    flaw: str | None
    previews: tuple[str, ...]


class VideoChecks:
    """The check results of all personas; a thread checks one persona after another.

    A result is written to disk before it is used, and never changes. Checks that a kill or a stop
    prevented are made at the next start.
    """

    def __init__(self, records: Records) -> None:
        self._records = records
        self._results: dict[str, CheckResult] = {}
        self._queue: queue.SimpleQueue[Record | None] = queue.SimpleQueue()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sandbox-video-checks", daemon=True)

    def start(self) -> None:
        """Read the results on disk, and start the missing checks."""
        adapter = TypeAdapter(CheckResult)
        for record in reversed(self._records.newest_first()):
            result = read_json(self._records.folder_of(record.id) / RESULT_FILE, adapter)
            if result is None:
                self.enqueue(record)
            else:
                self._results[record.id] = result
        self._thread.start()

    def stop(self) -> None:
        """Start no more checks, and wait a little for the thread."""
        self._stopped.set()
        self._queue.put(None)
        self._thread.join(_PATIENCE_S)

    def enqueue(self, record: Record) -> None:
        """Queue the videos of ``record`` for a check; without files the result is set at once."""
        if _files(record):
            self._queue.put(record)
        else:
            self._results[record.id] = CheckResult(None, ())

    def get(self, persona_id: str) -> CheckResult | None:
        """Return the result for that persona, or None while it is not known."""
        return self._results.get(persona_id)

    def forget(self, persona_id: str) -> None:
        """Drop the result for a persona that was removed."""
        self._results.pop(persona_id, None)

    def _run(self) -> None:
        while (record := self._queue.get()) is not None and not self._stopped.is_set():
            folder = self._records.folder_of(record.id)
            try:
                result = check_videos(_files(record), folder)
            except Exception:  # a bug must not block the checks of later personas
                logger.exception("The sandbox cannot check a video; it counts as good.")
                result = CheckResult(None, ())
            if self._stopped.is_set():
                return
            try:
                write_private(folder / RESULT_FILE, result)
            except OSError as error:
                if self._records.get(record.id) is None:  # deleted meanwhile
                    continue
                logger.warning("The sandbox cannot keep a check: %s.", error.strerror or error)
            self._results[record.id] = result


def check_videos(videos: Mapping[str, str], folder: Path) -> CheckResult:
    """Check the files ``videos`` (name by field) in ``folder``, and write previews there.

    Footage has a flaw when ``preflight`` finds something fatal. A consent video, for which no
    requirements are known, has one only when it cannot be read.
    """
    reasons = []
    if _FOOTAGE in videos:
        reasons.append(_reason(folder / videos[_FOOTAGE], _FOOTAGE, "The footage"))
    if _CONSENT in videos:
        reason = _reason(folder / videos[_CONSENT], _CONSENT, "The file")
        reasons.append(reason and f"Consent video: {reason}")
    flaw = " ".join(filter(None, reasons)) or None
    previews: tuple[str, ...] = ()
    if flaw is None and _FOOTAGE in videos:
        with suppress(OSError):  # without previews if the disk is full
            previews = save_previews(folder / videos[_FOOTAGE], folder)
    return CheckResult(flaw, previews)


def _reason(path: Path, field: str, name: str) -> str | None:
    reason = preflight.check_field(path, field).reason
    # The name under which the sandbox keeps the file is not the one that was uploaded.
    return reason and reason.replace(path.name, name)


def _files(record: Record) -> dict[str, str]:
    return {name: video for name, video in record.videos.items() if "://" not in video}
