"""Write answers into the run-length encoded log."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from avatarkit.models import Persona
from avatarkit.store import answers, tables
from avatarkit.store.database import Database
from avatarkit.store.footage import AFTER_VALIDATION
from avatarkit.store.tables import to_moment, to_us

GONE_AFTER = timedelta(hours=6)
GONE_MISSES = 3
"""A persona is gone after this many 404s in a row, over at least ``GONE_AFTER``."""

_KEPT = ("creator_name", "gender", "video_scene", "keywords", "labels")


@dataclass(frozen=True)
class Change:
    """A change of a persona's status; ``before`` is None at the first sighting."""

    persona_id: str
    creator_name: str | None
    before: str | None
    after: str
    at: datetime
    failed_reason: str | None = None


@dataclass(frozen=True)
class Recorded:
    """An answer as it was logged: the status, when it was first seen, and the change, if any."""

    status: str
    since: datetime
    change: Change | None


class SightingLog(Database):
    """The runs of each persona's status, and what the answers about each persona said."""

    def persona(self, persona_id: str) -> Persona | None:
        """Return the union of all answers about a persona, None for an unknown one.

        The newest value of each field, so that what only the answer to the create carries is still
        there; see ``answers.union``.
        """
        key = tables.is_persona(self._own(), persona_id)
        with self.transaction(reading=True) as connection:
            answer = connection.scalar(sa.select(tables.personas.c.answer).where(key))
        return None if answer is None else Persona.model_validate_json(answer)

    def record(
        self,
        persona: Persona,
        *,
        asked_at: datetime,
        answered_at: datetime,
        source: str,
        submission: sa.Row[Any] | None = None,
    ) -> Recorded | None:
        """Log one answer.

        The caller plans the next poll (``plan``) in the same transaction.

        Args:
            persona: The answer.
            asked_at: When the request was sent. An unchanged status is known to have lasted until
                then.
            answered_at: When the answer arrived. A new status is known to have begun by then.
            source: ``create``, ``poll`` or ``list``.
            submission: The submission that this answer completes, if any; its request fills the
                fields that the answer does not have.

        Returns:
            What was logged; None if the log holds a newer answer, to which this one then only adds
            the fields that it lacks.
        """
        account, status = self._own(), persona.status_text
        key = tables.is_persona(account, persona.id)
        query = sa.select(tables.personas).where(key)
        with self.transaction() as connection:
            row = connection.execute(query.with_for_update()).one_or_none()
            run = None
            if row is not None:
                runs = tables.sightings
                run = connection.execute(sa.select(runs).where(runs.c.id == row.run_id)).one()
            since, seen_us = answered_at, to_us(answered_at)
            if run is not None and run.status == status:
                since = to_moment(run.first_seen_us)
                seen_us = max(run.last_seen_us, to_us(asked_at))
                run_id = run.id
                _extend(connection, run, seen_us, persona)
            elif row is not None and run is not None and seen_us <= run.last_seen_us:
                added = answers.union(persona, Persona.model_validate_json(row.answer))
                values = _shown_columns(added, submission)
                connection.execute(tables.personas.update().where(key).values(**values))
                return None
            else:
                run_id = _begin(connection, account, persona, seen_us, source)
            known = persona
            if row is not None:
                known = answers.union(Persona.model_validate_json(row.answer), persona)
            values = _columns(known, submission) | {"last_seen_us": seen_us, "run_id": run_id}
            if row is None:
                new = {"account": account, "persona_id": persona.id, "first_seen_us": seen_us}
                connection.execute(tables.personas.insert().values(**values, **new))
            else:
                connection.execute(tables.personas.update().where(key).values(**values))
        change = None
        if run is None or run.status != status:
            name = values.get("creator_name") or (row.creator_name if row is not None else None)
            before = None if run is None else run.status
            change = Change(persona.id, name, before, status, answered_at, persona.failed_reason)
        return Recorded(status, since, change)

    def record_error(self, persona_id: str, error: str, *, at: datetime, missing: bool) -> bool:
        """Log a poll that failed; the persona's history stays.

        Args:
            persona_id: The persona; an unknown one changes nothing.
            error: One sentence, kept as ``last_error`` until the next answer.
            at: When it failed.
            missing: The API answered that it has no such persona.

        Returns:
            True when the persona is gone: missing three times in a row, over six hours or more.
        """
        table = tables.personas
        key = tables.is_persona(self._own(), persona_id)
        query = sa.select(table.c.failures, table.c.missed_since_us).where(key)
        with self.transaction() as connection:
            row = connection.execute(query.with_for_update()).one_or_none()
            if row is None:
                return False
            since_us = (row.missed_since_us or to_us(at)) if missing else None
            # Failures in a row are of one kind: 404s, or other errors.
            same_kind = missing == (row.missed_since_us is not None)
            failures = row.failures + 1 if same_kind else 1
            is_over = since_us is not None and to_moment(since_us) + GONE_AFTER <= at
            gone = is_over and failures >= GONE_MISSES
            values = {
                "failures": failures,
                "missed_since_us": since_us,
                "gone": gone,
                "last_error": error,
                "last_error_us": to_us(at),
            }
            connection.execute(table.update().where(key).values(values))
        return gone


def _extend(connection: sa.Connection, run: sa.Row[Any], seen_us: int, persona: Persona) -> None:
    runs = tables.sightings
    connection.execute(
        runs.update()
        .where(runs.c.id == run.id)
        .values(
            last_seen_us=seen_us,
            times_seen=run.times_seen + 1,
            failed_reason=persona.failed_reason or run.failed_reason,
        )
    )


def _begin(
    connection: sa.Connection, account: str, persona: Persona, seen_us: int, source: str
) -> int:
    # When the status began according to the API: the creation, or else the last update.
    reported_at = persona.created_at if source == "create" else persona.updated_at
    result = connection.execute(
        tables.sightings.insert().values(
            account=account,
            persona_id=persona.id,
            status=persona.status_text,
            first_seen_us=seen_us,
            last_seen_us=seen_us,
            times_seen=1,
            reported_us=to_us(reported_at) if reported_at else None,
            failed_reason=persona.failed_reason,
            source=source,
        )
    )
    return int(result.inserted_primary_key[0])  # type: ignore[index] # an INSERT of one row has one


def _columns(persona: Persona, submission: sa.Row[Any] | None) -> dict[str, Any]:
    """Return the columns of ``personas`` from the union of all answers, the newest included."""
    return _shown_columns(persona, submission) | {
        "status": persona.status_text,
        "gone": False,
        "last_error": None,
        "last_error_us": None,
        "failures": 0,
        "missed_since_us": None,
        "is_active": persona.is_active,
        "failed_reason": persona.failed_reason,
    }


def _shown_columns(persona: Persona, submission: sa.Row[Any] | None) -> dict[str, Any]:
    """Return the columns that do not depend on the status, from answers or the create's request."""
    request = {} if submission is None else json.loads(submission.request)
    values: dict[str, Any] = {
        "answer": json.dumps(persona.answer(), ensure_ascii=False),
        **answers.previews(persona),
    }
    if persona.status in AFTER_VALIDATION:
        values["footage_missing"] = False
    for name in _KEPT:
        value = getattr(persona, name)
        if value is None or name in persona.odd_fields:
            value = request.get(name, value)
        if value is not None:
            values[name] = json.dumps(value) if name == "labels" else value
    for column, moment in (("created_us", persona.created_at), ("updated_us", persona.updated_at)):
        if moment is not None:
            values[column] = to_us(moment)
    if submission is not None:
        values["submitted_us"] = submission.sent_us
    return values
