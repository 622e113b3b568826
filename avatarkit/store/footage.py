"""Compare the footage that was sent with what the API says of it."""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa

from avatarkit.models import Persona, ProcessStatus, is_url
from avatarkit.store import tables
from avatarkit.store.database import Database

AFTER_VALIDATION = (ProcessStatus.CROP_AND_MATTE, ProcessStatus.REVIEWING, ProcessStatus.DONE)
"""The statuses that a persona without footage does not reach."""

_ADVICE = "look at it in your account, and if it has none, delete it and submit it again"


class FootageLog(Database):
    """Which personas may lack the footage that was sent."""

    def compare_footage(self, submission: sa.Row[Any], persona: Persona, source: str) -> None:
        """Log whether the footage of a new persona may be missing, and why.

        What the log knows already is kept, as a status may have proved that the footage is there.

        Args:
            submission: The row of the submission that made it.
            persona: The answer to the create, or the persona as it was listed.
            source: ``create`` or ``list``.
        """
        table = tables.personas
        key = tables.is_persona(self._own(), persona.id) & table.c.footage_missing.is_(None)
        missing, note = _judge(submission, persona, source)
        update = table.update().where(key).values(footage_missing=missing, footage_note=note)
        with self.transaction() as connection:
            connection.execute(update)

    def footage_note(self, persona_id: str) -> str | None:
        """Return in a sentence why a persona's footage may be missing; None if it is not."""
        columns = tables.personas.c
        query = sa.select(columns.footage_note).where(
            self._is_read(columns, persona_id), columns.footage_missing
        )
        with self.transaction(reading=True) as connection:
            return connection.scalar(query)


def _judge(
    submission: sa.Row[Any], persona: Persona, source: str
) -> tuple[bool | None, str | None]:
    """Return whether the footage may be missing, and why; None where nothing is known of it.

    Source: neither lists nor "Get avatar by ID" name the footage, only the answer to the create,
    and that does not always name a ``gdown_url``.
    """
    request, answer = json.loads(submission.request), persona.model_dump()
    footage = request.get("lipsync_input") or request.get("gdown_url")
    if footage is None:
        return None, None
    if any(answer[name] for name in ("lipsync_input", "lipsync_input_url", "gdown_url")):
        return False, None
    if source == "create" and request.get("lipsync_input"):
        return True, f"The answer to the create names no footage; {_ADVICE}."
    if submission.upload_broke is None or is_url(footage):
        return None, None
    return True, f"Its footage may be missing, as {submission.upload_broke}; {_ADVICE}."
