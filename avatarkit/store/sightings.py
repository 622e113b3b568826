"""Write answers into the run-length encoded log."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from avatarkit.models import STAGES, TERMINAL, Persona, as_status
from avatarkit.store import answers, clock_skew, tables
from avatarkit.store.clock_skew import Stamps
from avatarkit.store.database import Database
from avatarkit.store.footage import AFTER_VALIDATION
from avatarkit.store.tables import to_moment, to_us

GONE_AFTER = timedelta(hours=6)
GONE_MISSES = 3
"""A persona is gone after this many 404s in a row, over at least ``GONE_AFTER``."""

_OF_ERRORS = {
    "gone", "last_error", "last_error_us", "failures", "missed_since_us", "deleted_us",
}  # fmt: skip
"""The columns that an answer resets, unless the error is that of a later call."""

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

    def __repr__(self) -> str:
        reason = f", {self.failed_reason}" if self.failed_reason else ""
        statuses = f"{self.before or 'not seen before'} → {self.after}"
        name = self.creator_name or "no name"
        moment = f"seen {self.at:%Y-%m-%d %H:%M} UTC"
        return f"Change({name!r}, {self.persona_id}: {statuses}, {moment}{reason})"


@dataclass(frozen=True)
class Recorded:
    """An answer as it was logged: the status, when it was first seen, and the change, if any.

    ``notice`` is a sentence if a clock was found to be wrong. ``is_disputed`` says that another
    status was not logged, and that it may be the newer one: the persona should be polled at once.
    """

    status: str
    since: datetime
    change: Change | None
    notice: str | None = None
    is_disputed: bool = False


class SightingLog(Database):
    """The runs of each persona's status, and what the answers about each persona said."""

    def persona(self, persona_id: str) -> Persona | None:
        """Return the union of all answers about a persona, None for an unknown one.

        The newest value of each field, so that what only the answer to the create carries is still
        there; see ``answers.union``. ``labels`` are those that were sent from here, if it was.
        """
        columns, sent = tables.personas.c, tables.submissions.c
        is_sent = (sent.account == columns.account) & (sent.persona_id == columns.persona_id)
        query = (
            sa.select(columns.answer, sent.request)
            .outerjoin(tables.submissions, is_sent)
            .where(self._is_read(columns, persona_id))
            .order_by(columns.last_seen_us.desc(), sent.sent_us.desc())
        )
        with self.transaction(reading=True) as connection:
            row = connection.execute(query.limit(1)).first()
        if row is None:
            return None
        persona = Persona.model_validate_json(row.answer)
        if row.request is None:
            return persona
        return persona.with_labels(json.loads(row.request).get("labels") or [])

    def record(
        self,
        persona: Persona,
        *,
        asked_at: datetime,
        answered_at: datetime,
        source: str,
        submission: sa.Row[Any] | None = None,
        asked_no: int | None = None,
        dates: Sequence[datetime] = (),
        known_only: bool = False,
    ) -> Recorded:
        """Log one answer.

        The caller plans the next poll (``plan``) in the same transaction. Of a persona that was
        deleted here, only answers to calls from before are logged, and it stays deleted.

        Nor is a persona that the log does not have logged by an answer to a call from before a
        person was forgotten, as it may be that person's.

        Args:
            persona: The answer.
            asked_at: When the request was sent. An unchanged status is known to have lasted until
                then.
            answered_at: When the answer arrived. A new status is known to have begun by then.
            source: ``create``, ``poll`` or ``list``.
            submission: The submission that this answer completes, if any; its request fills the
                fields that the answer does not have.
            asked_no: The number of the call, from ``ask``. If the log holds an answer to a later
                call, this one is not logged; nor if it was asked before the newest answer was
                logged and its status is not a later one, as the API may have handled the two calls
                in either order. Without a number the times tell which is later.
            dates: The ``Date`` headers of the call's answers. If they show that this machine's
                clock is wrong, the times are logged so that they hold by both clocks.
            known_only: Log nothing about a persona that the log does not have: it may have been
                erased while the call was out.

        Returns:
            What was logged. If the log holds a newer answer, that one without a change; this one
            then only adds the fields that it lacks.
        """
        account, status = self._own(), persona.status_text
        key = tables.is_persona(account, persona.id)
        query = sa.select(tables.personas).where(key)
        stamps = clock_skew.stamp(asked_at, answered_at, dates)
        with self.transaction() as connection:
            row = connection.execute(query.with_for_update()).one_or_none()
            run, runs = None, tables.sightings
            if row is None and known_only:
                return Recorded(status, answered_at, None)
            if row is None:  # another process may log it now, too
                self.lock_account()
                row = connection.execute(query.with_for_update()).one_or_none()
                is_new = row is None and submission is None
                if is_new and _may_be_forgotten(connection, account, asked_no):
                    return Recorded(status, answered_at, None)
            if row is not None:
                run = connection.execute(sa.select(runs).where(runs.c.id == row.run_id)).one()
            deleted_us = row.deleted_us if row is not None and row.deleted_here else None
            if run is not None and deleted_us is not None and to_us(asked_at) >= deleted_us:
                return Recorded(run.status, to_moment(run.first_seen_us), None)
            if (
                row is not None
                and run is not None
                and _is_older(row, run, status, asked_no, stamps.answered_us)
            ):
                added = answers.union(persona, Persona.model_validate_json(row.answer))
                values = _shown_columns(added, submission, stamps)
                connection.execute(tables.personas.update().where(key).values(**values))
                is_newer = asked_no is not None and asked_no >= (row.asked_no or 0)
                may_be_newer = is_newer or not _follows(status, run.status)
                is_disputed = run.status != status and may_be_newer
                since = to_moment(run.first_seen_us)
                return Recorded(run.status, since, None, is_disputed=is_disputed)
            if row is not None and asked_no is not None:
                stamps = clock_skew.correct(connection, row, persona, stamps)
                if stamps.notice is not None:
                    run = connection.execute(sa.select(runs).where(runs.c.id == row.run_id)).one()
            first_us, seen_us = stamps.answered_us, stamps.answered_us
            if run is not None and max(run.first_seen_us, run.last_seen_us) > stamps.answered_us:
                _end(connection, run, stamps.answered_us)
            if run is not None and run.status == status:
                first_us = min(run.first_seen_us, stamps.answered_us)
                seen_us = max(min(run.last_seen_us, stamps.answered_us), stamps.asked_us)
                run_id = run.id
                _extend(connection, run, seen_us, persona)
            else:
                reported_us = _reported_us(persona, submission, source, stamps)
                run_id = _begin(connection, account, persona, stamps, source, reported_us)
            known = persona
            if row is not None:
                known = answers.union(Persona.model_validate_json(row.answer), persona)
            values = _columns(known, submission, stamps)
            values |= {"last_seen_us": seen_us, "run_id": run_id}
            error_no = 0 if row is None else row.error_no or 0
            if deleted_us is not None or (asked_no is not None and asked_no < error_no):
                values = {name: values[name] for name in values.keys() - _OF_ERRORS}
            if asked_no is not None:
                values |= {"asked_no": asked_no, "asked_us": stamps.asked_us}
                values["logged_no"] = _last_asked(account)
            if row is None:
                new = {"account": account, "persona_id": persona.id, "first_seen_us": first_us}
                connection.execute(tables.personas.insert().values(**values, **new))
            else:
                values["first_seen_us"] = min(row.first_seen_us, stamps.answered_us)
                connection.execute(tables.personas.update().where(key).values(**values))
        change = None
        if run is None or run.status != status:
            name = values.get("creator_name") or (row.creator_name if row is not None else None)
            before = None if run is None else run.status
            change = Change(persona.id, name, before, status, answered_at, persona.failed_reason)
        return Recorded(status, to_moment(first_us), change, stamps.notice)

    def record_error(
        self,
        persona_id: str,
        error: str,
        *,
        at: datetime,
        missing: bool,
        asked_no: int | None = None,
    ) -> bool:
        """Log a poll that failed; the persona's history stays.

        Args:
            persona_id: The persona; an unknown one changes nothing.
            error: One sentence, kept as ``last_error`` until the next answer.
            at: When it failed.
            missing: The API answered that it has no such persona.
            asked_no: The number of the call; if the log holds an answer to a later one, or its
                error, nothing is changed.

        Returns:
            True when the persona is gone: missing three times in a row, over six hours or more; or
            once after it had ended, and then it was deleted. It stays gone until it is seen.
        """
        table = tables.personas
        key = tables.is_persona(self._own(), persona_id)
        query = sa.select(table).where(key)
        with self.transaction() as connection:
            row = connection.execute(query.with_for_update()).one_or_none()
            if row is None:
                return False
            if row.deleted_here:
                return True
            if asked_no is not None and asked_no < max(row.asked_no or 0, row.error_no or 0):
                return bool(row.gone)
            # A clock that was ahead must not put it off.
            since_us = min(row.missed_since_us or to_us(at), to_us(at)) if missing else None
            # Failures in a row are of one kind: 404s, or other errors.
            same_kind = missing == (row.missed_since_us is not None)
            failures = row.failures + 1 if same_kind else 1
            is_over = since_us is not None and to_moment(since_us) + GONE_AFTER <= at
            is_deleted = missing and row.status in TERMINAL
            gone = row.gone or is_deleted or (is_over and failures >= GONE_MISSES)
            if is_deleted and row.deleted_us is None:
                connection.execute(table.update().where(key).values(deleted_us=to_us(at)))
            values = {
                "failures": failures,
                "missed_since_us": since_us,
                "gone": gone,
                "last_error": error,
                "last_error_us": to_us(at),
                "error_no": asked_no,
            }
            connection.execute(table.update().where(key).values(values))
        return gone


def _may_be_forgotten(connection: sa.Connection, account: str, asked_no: int | None) -> bool:
    """Return whether a person was erased since a call was asked."""
    meta = tables.meta.c
    query = sa.select(meta.value).where(meta.key == tables.forgotten_key(account))
    last_no = connection.scalar(query)
    return last_no is not None and asked_no is not None and asked_no <= int(last_no)


def _is_older(
    row: sa.Row[Any], run: sa.Row[Any], status: str, asked_no: int | None, answered_us: int
) -> bool:
    """Return whether the log holds a newer answer, or one that may be newer."""
    if asked_no is None:
        return bool(answered_us < run.last_seen_us + (run.status != status))
    if asked_no < (row.asked_no or 0):
        return True
    # Asked before the log's answer was logged, so perhaps handled by the API before it.
    overlaps = asked_no <= (row.logged_no or 0)
    return overlaps and run.status != status and not _follows(run.status, status)


def _follows(before: str, after: str) -> bool:
    """Return whether a status is a later one in the API's order than another."""
    first, second = as_status(before), as_status(after)
    if second in TERMINAL:
        return first not in TERMINAL
    in_order = first in STAGES and second in STAGES
    return in_order and STAGES.index(first) < STAGES.index(second)


def _last_asked(account: str) -> sa.ScalarSelect[Any]:
    query = sa.select(tables.accounts.c.asked_no).where(tables.accounts.c.account == account)
    return query.scalar_subquery()


def _end(connection: sa.Connection, run: sa.Row[Any], at_us: int) -> None:
    """Cut all runs of a persona to a moment by which they had been seen."""
    runs = tables.sightings
    own = tables.is_persona(run.account, run.persona_id, runs)
    for column in (runs.c.first_seen_us, runs.c.last_seen_us):
        update = runs.update().where(own, column > at_us).values({column.name: at_us})
        connection.execute(update)


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


def _reported_us(
    persona: Persona, submission: sa.Row[Any] | None, source: str, stamps: Stamps
) -> int | None:
    """Return when the status began according to the API: the creation, or else the last update."""
    reported_at = persona.created_at if source == "create" else persona.updated_at
    if reported_at is None:
        return None
    # An API that writes local times without an offset, or whose clock is behind, names a creation
    # before the create was sent.
    sent_us = _sent_us(submission, stamps) if source == "create" else None
    return max(to_us(reported_at), sent_us or 0)


def _sent_us(submission: sa.Row[Any] | None, stamps: Stamps) -> int | None:
    """Return when a create was sent, or earlier if the clock was ahead."""
    if submission is None or submission.sent_us is None:
        return None
    sent_us = int(submission.sent_us)
    return sent_us if stamps.sent_us is None else min(sent_us, stamps.sent_us)


def _begin(
    connection: sa.Connection,
    account: str,
    persona: Persona,
    stamps: Stamps,
    source: str,
    reported_us: int | None,
) -> int:
    result = connection.execute(
        tables.sightings.insert().values(
            account=account,
            persona_id=persona.id,
            status=persona.status_text,
            first_seen_us=stamps.answered_us,
            last_seen_us=stamps.asked_us,
            times_seen=1,
            reported_us=reported_us,
            failed_reason=persona.failed_reason,
            source=source,
        )
    )
    return int(result.inserted_primary_key[0])  # type: ignore[index] # an INSERT of one row has one


def _columns(persona: Persona, submission: sa.Row[Any] | None, stamps: Stamps) -> dict[str, Any]:
    """Return the columns of ``personas`` from the union of all answers, the newest included."""
    return _shown_columns(persona, submission, stamps) | {
        "status": persona.status_text,
        "gone": False,
        "last_error": None,
        "last_error_us": None,
        "failures": 0,
        "missed_since_us": None,
        "deleted_us": None,
        "is_active": persona.is_active,
        "failed_reason": persona.failed_reason,
    }


def _shown_columns(
    persona: Persona, submission: sa.Row[Any] | None, stamps: Stamps
) -> dict[str, Any]:
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
        values["submitted_us"] = _sent_us(submission, stamps)
    return values
