"""Log batches: submissions that were logged together, each of which waits until it is sent."""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from avatarkit.models import PersonaCreate, ProcessStatus
from avatarkit.store import tables
from avatarkit.store.submissions import SubmissionLog, sent_fields
from avatarkit.store.tables import IN_FLIGHT, to_moment, to_us
from avatarkit.text import hide_webhook_token

if TYPE_CHECKING:
    import pandas as pd

_SUBMISSIONS, _PERSONAS = tables.submissions, tables.personas
_COLUMNS = _SUBMISSIONS.c

_BAD = (ProcessStatus.FAILED.value, ProcessStatus.REJECTED.value)


@dataclass(frozen=True)
class SubmitResult:
    """A row of a batch, and what became of it."""

    number: int
    """Its number in the batch, or its place in the requests that were given, from 1."""

    submission_id: str

    creator_name: str

    state: str
    """``prepared`` while it waits, ``sending``, ``accepted``, ``refused`` or ``uncertain``."""

    persona_id: str | None = None

    error: str | None = None
    """Why it was refused, is uncertain, or still waits."""


@dataclass(frozen=True)
class Batch:
    """A batch: when it was logged, and how many of its rows are in each state."""

    batch_id: str
    prepared_at: datetime
    counts: Mapping[str, int]

    @property
    def waiting(self) -> int:
        """How many rows are still to be sent."""
        return self.counts.get("prepared", 0)


def to_frame(results: Sequence[SubmitResult]) -> pd.DataFrame:
    """Return results as a frame.

    Returns:
        A row a result, in their order: number (int64), and submission_id, creator_name, state,
        persona_id, error (str).
    """
    import pandas as pd

    names = [field.name for field in fields(SubmitResult)]
    frame = pd.DataFrame([asdict(result) for result in results], columns=names)
    return frame.astype({name: "int64" if name == "number" else "str" for name in names})


class BatchLog(SubmissionLog):
    """The batches of an account.

    A row of a batch is a submission. While it is ``prepared`` it waits, however often the program
    ends and starts again.
    """

    def prepare_batch(
        self,
        requests: Sequence[PersonaCreate],
        at: datetime,
        numbers: Sequence[int] | None = None,
        batch_id: str | None = None,
    ) -> tuple[str, list[str]]:
        """Log requests that will be sent, in one transaction.

        A request that was sent before and did not fail, with the very same fields, is not logged
        again; one that waits in another batch moves to this one.

        Args:
            requests: The creates.
            at: The moment, on the session's clock.
            numbers: The number of each row; 1, 2, … by default.
            batch_id: The id of the new batch; a new one by default.

        Returns:
            The id of the batch, and the id of each request's submission.
        """
        batch_id, new, ids = batch_id or uuid.uuid4().hex, [], []
        numbers = range(1, len(requests) + 1) if numbers is None else numbers
        with self.transaction() as connection:
            self.lock_account()  # else two processes log the same rows at once
            known = self._known(connection, requests)
            for number, request in zip(numbers, requests, strict=True):
                place = {"batch_id": batch_id, "batch_row": number, "prepared_us": to_us(at)}
                key = _key(sent_fields(request))
                if key not in known:
                    row = self._new_row(uuid.uuid4().hex, request, at) | place
                    new.append(row)
                    known[key] = SubmitResult(
                        number, row["submission_id"], request.creator_name, "new"
                    )
                elif known[key].state == "prepared":
                    # Where it is being sent already, or is no row of a batch, it stays.
                    is_waiting = _COLUMNS.submission_id == known[key].submission_id, _waits()
                    connection.execute(_SUBMISSIONS.update().where(*is_waiting).values(**place))
                ids.append(known[key].submission_id)
            if new:
                connection.execute(_SUBMISSIONS.insert(), new)
        return batch_id, ids

    def batch(self, batch_id: str) -> list[SubmitResult]:
        """Return the rows of a batch by their number; none if there is no such batch."""
        return self._results(_COLUMNS.batch_id == batch_id)

    def results(self, ids: Sequence[str]) -> list[SubmitResult]:
        """Return what became of submissions, in the order of their ids, numbered from 1.

        What is not in the log any longer is left out.
        """
        found = {row.submission_id: row for row in self._results(_COLUMNS.submission_id.in_(ids))}
        return [
            SubmitResult(**asdict(found[submission_id]) | {"number": number})
            for number, submission_id in enumerate(ids, 1)
            if submission_id in found
        ]

    def batches(self) -> list[Batch]:
        """Return the batches, newest first."""
        counts: dict[str, Counter[str]] = {}
        prepared: dict[str, int] = {}
        query = (
            sa.select(
                _COLUMNS.batch_id,
                _COLUMNS.state,
                sa.func.count().label("rows"),
                sa.func.max(_COLUMNS.prepared_us).label("prepared_us"),
            )
            .where(self._is_read(_COLUMNS), _COLUMNS.batch_id.is_not(None))
            .group_by(_COLUMNS.batch_id, _COLUMNS.state)
        )
        with self.transaction(reading=True) as connection:
            for row in connection.execute(query):
                counts.setdefault(row.batch_id, Counter())[row.state] = row.rows
                newest = max(prepared.get(row.batch_id, row.prepared_us), row.prepared_us)
                prepared[row.batch_id] = newest
        newest_first = sorted(counts, key=lambda batch_id: (-prepared[batch_id], batch_id))
        return [Batch(each, to_moment(prepared[each]), dict(counts[each])) for each in newest_first]

    def batch_ids(self, ids: Collection[str]) -> dict[str, str]:
        """Return the batch of each of these submissions that is a row of one, newest first."""
        query = sa.select(_COLUMNS.submission_id, _COLUMNS.batch_id)
        query = query.where(self._is_read(_COLUMNS), _COLUMNS.submission_id.in_(ids))
        query = query.where(_COLUMNS.batch_id.is_not(None))
        query = query.order_by(_COLUMNS.prepared_us.desc(), _COLUMNS.batch_id)
        with self.transaction(reading=True) as connection:
            return {row.submission_id: row.batch_id for row in connection.execute(query)}

    def waiting(self, ids: Sequence[str]) -> list[str]:
        """Return those of these submissions that wait in a batch, in their order."""
        query = sa.select(_COLUMNS.submission_id)
        query = query.where(self._is_read(_COLUMNS), _COLUMNS.submission_id.in_(ids), _waits())
        with self.transaction(reading=True) as connection:
            waiting = set(connection.scalars(query))
        return [submission_id for submission_id in dict.fromkeys(ids) if submission_id in waiting]

    def wait_again(self, submission_id: str, reason: str) -> None:
        """Let a row of a batch wait again that was sent, and refused for no fault of its own.

        Args:
            submission_id: The submission, which this thread has sent.
            reason: Why, in a sentence.
        """
        never_sent = {"state": "prepared", "sent_us": None, "sent_api_us": None}
        self._update(submission_id, ("sending",), **never_sent, error=reason)

    def note_waiting(self, ids: Sequence[str], reason: str) -> None:
        """Log why rows of batches still wait, those among these submissions that do."""
        update = _SUBMISSIONS.update().where(_COLUMNS.submission_id.in_(ids), _waits())
        with self.transaction() as connection:
            connection.execute(update.values(error=reason))

    def refuse_waiting(self, submission_id: str, at: datetime, error: str) -> bool:
        """Mark a row that waits as refused; return False if it does not wait any longer."""
        values = {"state": "refused", "ended_us": to_us(at), "error": error}
        return self._update(submission_id, ("prepared",), **values)

    def cancel_batch(self, batch_id: str, at: datetime) -> int:
        """Mark the rows that wait as refused; those that are being sent go on.

        Returns:
            How many were cancelled.
        """
        update = _SUBMISSIONS.update().where(
            _COLUMNS.account == self._own(), _COLUMNS.batch_id == batch_id, _waits()
        )
        error = "It was cancelled before it was sent."
        with self.transaction() as connection:
            values = {"state": "refused", "ended_us": to_us(at), "error": error}
            return connection.execute(update.values(**values)).rowcount

    def sent_before(
        self, requests: Sequence[PersonaCreate], *, failed: bool = False
    ) -> list[SubmitResult | None]:
        """Return what became of each request when it was sent or logged before.

        Args:
            requests: The creates.
            failed: Return those that were accepted and whose avatar failed or was rejected instead.

        Returns:
            For each request, the submission with the very same fields that waits, is being sent, is
            uncertain, or was accepted and whose avatar did not fail; None without one.
        """
        with self.transaction(reading=True) as connection:
            known = self._known(connection, requests, failed=failed)
        return [known.get(_key(sent_fields(request))) for request in requests]

    def known_names(self) -> dict[str, list[tuple[str, str]]]:
        """Return who has an avatar already, or may get one.

        Returns:
            For each name, with ``folded_name``, the id and the status of its avatars that did not
            fail and are not deleted, and the id and the state of its submissions that are open.
        """
        personas = sa.select(_PERSONAS.c.creator_name, _PERSONAS.c.persona_id, _PERSONAS.c.status)
        personas = personas.where(
            self._is_read(_PERSONAS.c),
            _PERSONAS.c.deleted_us.is_(None),
            _PERSONAS.c.status.not_in(_BAD),
        )
        submissions = sa.select(_COLUMNS.creator_name, _COLUMNS.submission_id, _COLUMNS.state)
        submissions = submissions.where(self._is_read(_COLUMNS), _COLUMNS.state.in_(IN_FLIGHT))
        names: dict[str, list[tuple[str, str]]] = {}
        with self.transaction(reading=True) as connection:
            for query in (personas, submissions):
                for name, found_id, state in connection.execute(query):
                    if name is not None:
                        names.setdefault(folded_name(name), []).append((found_id, state))
        return names

    def _results(self, condition: sa.ColumnElement[bool]) -> list[SubmitResult]:
        names = ("submission_id", "creator_name", "state", "persona_id", "error")
        query = sa.select(_COLUMNS.batch_row, *(_COLUMNS[name] for name in names))
        query = query.where(self._is_read(_COLUMNS), condition).order_by(_COLUMNS.batch_row)
        with self.transaction(reading=True) as connection:
            return [_result(row) for row in connection.execute(query)]

    def _known(
        self, connection: sa.Connection, requests: Sequence[PersonaCreate], *, failed: bool = False
    ) -> dict[str, SubmitResult]:
        """Return the submissions that a request may be the same as, by its key."""
        status = sa.func.coalesce(_PERSONAS.c.status, "")
        is_same = (_PERSONAS.c.account == self._own()) & (
            _PERSONAS.c.persona_id == _COLUMNS.persona_id
        )
        query = (
            sa.select(_SUBMISSIONS)
            .outerjoin(_PERSONAS, is_same)
            .where(
                _COLUMNS.account == self._own(),
                _COLUMNS.state.in_([*IN_FLIGHT, "accepted"]),
                _COLUMNS.creator_name.in_({request.creator_name for request in requests}),
                status.in_(_BAD) if failed else status.not_in(_BAD),
            )
            # What was sent counts more than what waits.
            .order_by(_COLUMNS.state != "prepared", _COLUMNS.prepared_us)
        )
        return {
            _key(json.loads(row.request)): _result(row) for row in connection.execute(query).all()
        }


def _result(row: sa.Row[Any]) -> SubmitResult:
    return SubmitResult(
        row.batch_row or 0,
        row.submission_id,
        row.creator_name,
        row.state,
        row.persona_id,
        row.error,
    )


def folded_name(name: str) -> str:
    """Return a name without what makes no difference: case, and how words are spaced."""
    return " ".join(name.split()).casefold()


def _waits() -> sa.ColumnElement[bool]:
    return (_COLUMNS.state == "prepared") & _COLUMNS.batch_id.is_not(None)


def _key(request: Mapping[str, Any]) -> str:
    """Return the fields of a create as text, without our own address of webhooks."""
    url = str(request.get("webhook_url") or "")
    own = hide_webhook_token(url) != url
    return json.dumps(
        {name: value for name, value in request.items() if not (own and name == "webhook_url")},
        sort_keys=True,
    )
