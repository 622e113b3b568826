"""Log submissions and their states.

prepared -> sending -> accepted | refused | uncertain; an uncertain one becomes accepted or refused
when it is settled.
"""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from avatarkit.errors import StoreError
from avatarkit.models import Persona, PersonaCreate
from avatarkit.store import clock_skew, tables
from avatarkit.store.clock_skew import Call
from avatarkit.store.footage import FootageLog
from avatarkit.store.process import is_alive, this_process
from avatarkit.store.sightings import Recorded, SightingLog
from avatarkit.store.tables import IN_FLIGHT, to_moment, to_us

LONGEST_SENDING = timedelta(hours=12)
"""No upload takes longer than this."""

_TABLE = tables.submissions
_COLUMNS = _TABLE.c

_owned: dict[str, bool] = {}
"""Submissions that this process may still send, in any store; True if a thread reserved it."""
_reserving = threading.Lock()


class SentBefore(StoreError):
    """The submission was sent before, or another thread sends it."""


@dataclass(frozen=True)
class Submission:
    """A create and what became of it; ``request`` are its fields, videos as path or URL."""

    submission_id: str
    state: str
    request: dict[str, Any]
    persona_id: str | None
    error: str | None


@dataclass(frozen=True)
class Instant:
    """A moment on a scale that setting this machine's clock does not move.

    ``scale`` is the API's clock, or the uptime of one machine as one process reads it.
    """

    scale: str
    us: int

    def since(self, earlier: Instant | None) -> timedelta:
        """Return the time since another moment, 0 if that is on another scale."""
        if earlier is None or earlier.scale != self.scale:
            return timedelta(0)
        return timedelta(microseconds=self.us - earlier.us)


@dataclass(frozen=True)
class Uncertain:
    """An uncertain submission: its fields, when it was sent and when the connection broke.

    ``candidates`` are the personas that it may have become according to ``listing``, a list of the
    account; the user has to choose among them. ``reason`` says why it is not settled. ``absent`` is
    when it was first not found; None if it was not looked for, or something like it was found.
    ``sent_by_api`` is what the API's clock had shown before it was sent; None if that is unknown.
    """

    submission_id: str
    creator_name: str
    gender: str
    video_scene: str | None
    sent_at: datetime
    broke_at: datetime
    candidates: tuple[Persona, ...]
    reason: str
    listing: Call | None = None
    absent: Instant | None = None
    sent_by_api: datetime | None = None


class SubmissionLog(SightingLog, FootageLog):
    """The submissions of an account."""

    def prepare(self, request: PersonaCreate, at: datetime) -> str:
        """Log a request that will be sent.

        Args:
            request: The create.
            at: The moment, on the session's clock.

        Returns:
            The id of the new submission.
        """
        submission_id = uuid.uuid4().hex
        _owned[submission_id] = False
        with self.transaction() as connection:
            row = self._new_row(submission_id, request, at)
            connection.execute(_TABLE.insert().values(**row))
        return submission_id

    def reserve(self, submission_id: str) -> None:
        """Reserve a submission for the calling thread until ``release``.

        Raises:
            SentBefore: It was sent before, or another thread has reserved it.
        """
        with self.transaction(reading=True), _reserving:
            if _owned.get(submission_id) or self._state(submission_id) != "prepared":
                raise _sent_before(submission_id)
            _owned[submission_id] = True

    def release(self, submission_id: str) -> None:
        """End a reservation; ``settle_abandoned`` may settle the submission from now on."""
        _owned.pop(submission_id, None)

    def sending(self, submission_id: str, at: datetime, by_api: datetime | None = None) -> None:
        """Mark a submission as being sent, before the request is sent.

        Args:
            submission_id: The submission.
            at: The moment, on the session's clock.
            by_api: The last moment that the API's own clock is known to have shown.

        Raises:
            SentBefore: It was sent before: a create is sent once.
        """
        sent: dict[str, Any] = {"sent_us": to_us(at), "sender": this_process(), "error": None}
        sent["sent_api_us"] = None if by_api is None else to_us(by_api)
        if not self._update(submission_id, ("prepared",), state="sending", **sent):
            raise _sent_before(submission_id)

    def accepted(
        self,
        submission_id: str,
        persona: Persona,
        at: datetime,
        *,
        source: str = "create",
        call: Call | None = None,
    ) -> Recorded:
        """Mark a submission as accepted, and log the first sighting of its persona.

        Args:
            submission_id: The submission, in any state.
            persona: The answer to the create, or the persona as it was listed.
            at: When that became known.
            source: ``create`` or ``list``.
            call: The call that it answers; without it, the answer is logged as of ``at``.

        Returns:
            As ``record``; the caller plans the next poll in the same transaction.
        """
        with self.transaction():
            submission = self._submission(submission_id)
            recorded = self.record(
                persona,
                asked_at=at if call is None else call.asked_at,
                answered_at=at if call is None else call.answered_at,
                source=source,
                submission=submission,
                asked_no=None if call is None else call.no,
                dates=() if call is None else call.dates,
            )
            self.compare_footage(submission, persona, source)
            self._update(
                submission_id,
                state="accepted",
                persona_id=persona.id,
                ended_us=to_us(at),
                error=None,
                candidates=None,
            )
            return recorded

    def refused(self, submission_id: str, at: datetime, error: str) -> None:
        """Mark a submission as refused: no persona was created. An accepted one stays accepted.

        Args:
            submission_id: The submission.
            at: When that became known.
            error: Why, in one sentence.
        """
        ended = {"state": "refused", "ended_us": to_us(at), "error": error, "candidates": None}
        self._update(submission_id, IN_FLIGHT, **ended)

    def uncertain(
        self, submission_id: str, at: datetime, error: str, *, upload_broke: str | None = None
    ) -> None:
        """Mark a submission as uncertain: a persona may have been created.

        Args:
            submission_id: The submission, prepared or sending.
            at: When the connection broke.
            error: What broke, in one sentence.
            upload_broke: How the upload of its files ended without an answer, as a clause such as
                "the connection broke after 512 of 1,024 MB"; None if there was an answer.
        """
        values = {"state": "uncertain", "broke_us": to_us(at), "error": error}
        values["upload_broke"] = upload_broke
        self._update(submission_id, ("prepared", "sending"), **values)

    def keep_uncertain(
        self,
        submission_id: str,
        reason: str,
        candidates: Sequence[Persona] = (),
        *,
        listing: Call | None = None,
        absent: Instant | None = None,
    ) -> None:
        """Log why an uncertain submission is not settled.

        Args:
            submission_id: The submission.
            reason: Why, in a sentence.
            candidates: The personas that it may have become.
            listing: The call that listed them.
            absent: When it was first not found, if it still is not.
        """
        kept = [candidate.answer() for candidate in candidates]
        values: dict[str, Any] = {"error": reason, "candidates": json.dumps(kept)}
        if listing is not None:
            stamps = clock_skew.stamp(listing.asked_at, listing.answered_at, listing.dates)
            values |= {"listed_no": listing.no, "listed_after_us": stamps.asked_us}
            values["listed_before_us"] = stamps.answered_us
        values["absent_scale"] = None if absent is None else absent.scale
        values["absent_us"] = None if absent is None else absent.us
        self._update(submission_id, ("uncertain",), **values)

    def may_become(self, submission_id: str, persona_id: str) -> bool:
        """Return whether a submission is uncertain and no other one became this persona.

        The answer holds until the end of the transaction in which this is called.
        """
        # Locks all uncertain rows, so that two processes that settle at once take turns.
        query = sa.select(_COLUMNS.submission_id).where(
            _COLUMNS.account == self._own(), _COLUMNS.state == "uncertain"
        )
        with self.transaction() as connection:
            uncertain_ids = connection.scalars(query.with_for_update()).all()
            return submission_id in uncertain_ids and persona_id not in self.submitted_ids()

    def settle_abandoned(self, at: datetime) -> int:
        """Settle the submissions whose process has ended, or whose reservation was released.

        One that was being sent becomes uncertain, one that was only prepared refused, unless it is
        a row of a batch, which waits until it is sent. A process on another machine, or in another
        container, counts as ended after ``LONGEST_SENDING``.

        Returns:
            The number of these submissions.
        """
        query = sa.select(_TABLE).where(
            _COLUMNS.account == self._own(),
            (_COLUMNS.state == "sending")
            | (_COLUMNS.state == "prepared") & _COLUMNS.batch_id.is_(None),
        )
        now_us, longest = to_us(at), LONGEST_SENDING // timedelta(microseconds=1)
        ours = this_process()
        with self.transaction() as connection:
            abandoned = [
                row
                for row in connection.execute(query).all()
                if row.submission_id not in _owned
                and (
                    row.sender == ours
                    or not is_alive(
                        row.sender,
                        elsewhere=abs((row.sent_us or row.prepared_us) - now_us) < longest,
                        one_machine=connection.dialect.name == "sqlite",
                    )
                )
            ]
            for row in abandoned:
                if row.state == "sending":
                    error = "The program ended while it was sending."
                    broke = "the program ended while it was sending"
                    self.uncertain(row.submission_id, at, error, upload_broke=broke)
                else:
                    error = "The program ended before it was sent; it is safe to send it again."
                    self.refused(row.submission_id, at, error)
        return len(abandoned)

    def open_submissions(self, state: str = "uncertain") -> list[Uncertain]:
        """Return the submissions in a state, oldest first."""
        query = sa.select(_TABLE).where(self._is_read(_COLUMNS), _COLUMNS.state == state)
        query = query.order_by(_COLUMNS.sent_us, _COLUMNS.submission_id)
        with self.transaction(reading=True) as connection:
            return [_uncertain(row) for row in connection.execute(query)]

    def some_submissions(self, ids: Collection[str]) -> list[Submission]:
        """Return the submissions of these ids, newest first; unknown ids are left out."""
        query = sa.select(_TABLE).where(self._is_read(_COLUMNS), _COLUMNS.submission_id.in_(ids))
        query = query.order_by(_COLUMNS.prepared_us.desc(), _COLUMNS.submission_id)
        with self.transaction(reading=True) as connection:
            return [
                Submission(
                    row.submission_id, row.state, json.loads(row.request), row.persona_id, row.error
                )
                for row in connection.execute(query)
            ]

    def submitted_ids(self) -> set[str]:
        """Return the ids of the personas that submissions became."""
        query = sa.select(_COLUMNS.persona_id).where(
            self._is_read(_COLUMNS), _COLUMNS.persona_id.is_not(None)
        )
        with self.transaction(reading=True) as connection:
            return set(connection.scalars(query))

    def _new_row(self, submission_id: str, request: PersonaCreate, at: datetime) -> dict[str, Any]:
        return {
            "submission_id": submission_id,
            "account": self._own(),
            "state": "prepared",
            "creator_name": request.creator_name,
            "request": json.dumps(sent_fields(request)),
            "prepared_us": to_us(at),
            "sender": this_process(),
        }

    def _submission(self, submission_id: str) -> sa.Row[Any]:
        query = sa.select(_TABLE).where(_COLUMNS.submission_id == submission_id)
        with self.transaction(reading=True) as connection:
            return connection.execute(query).one()

    def _state(self, submission_id: str) -> str | None:
        query = sa.select(_COLUMNS.state).where(_COLUMNS.submission_id == submission_id)
        with self.transaction(reading=True) as connection:
            return connection.scalar(query)

    def _update(self, submission_id: str, states: Sequence[str] = (), **values: Any) -> bool:
        """Update a submission in one of ``states``, if given; return False if it is in another."""
        update = _TABLE.update().where(_COLUMNS.submission_id == submission_id).values(**values)
        if states:
            update = update.where(_COLUMNS.state.in_(states))
        with self.transaction() as connection:
            return connection.execute(update).rowcount > 0


def sent_fields(request: PersonaCreate) -> dict[str, Any]:
    """Return all fields of a create as the log keeps them: videos as URL or whole path.

    They are text, as the model would refuse a file that has been moved since.
    """
    paths = {name: str(path.absolute()) for name, path in request.files.items()}
    return request.fields() | request.urls | paths


def _sent_before(submission_id: str) -> SentBefore:
    return SentBefore(f"Submission {submission_id} was sent before; prepare another one.")


def _uncertain(row: sa.Row[Any]) -> Uncertain:
    request = json.loads(row.request)
    candidates = json.loads(row.candidates or "[]")
    return Uncertain(
        submission_id=row.submission_id,
        creator_name=row.creator_name,
        gender=request["gender"],
        video_scene=request.get("video_scene"),
        sent_at=to_moment(row.sent_us or row.prepared_us),
        broke_at=to_moment(row.broke_us or row.sent_us or row.prepared_us),
        candidates=tuple(Persona.model_validate(candidate) for candidate in candidates),
        reason=row.error,
        listing=None
        if row.listed_no is None
        else Call(row.listed_no, to_moment(row.listed_after_us), to_moment(row.listed_before_us)),
        absent=None if row.absent_scale is None else Instant(row.absent_scale, row.absent_us),
        sent_by_api=None if row.sent_api_us is None else to_moment(row.sent_api_us),
    )


def instant(call: Call, uptime_s: float) -> Instant:
    """Return when a call was answered: by the API's clock, or else by this machine's uptime.

    Args:
        call: The call.
        uptime_s: The clock's ``monotonic`` seconds after the call.
    """
    if call.dates:
        return Instant("API", to_us(max(call.dates)))
    return Instant(this_process(), int(uptime_s * 1e6))
