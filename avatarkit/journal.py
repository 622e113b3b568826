"""The journal of creates: the SQL of ``submissions``, within a transaction of ``Store``.

prepared -> sending -> accepted | refused | uncertain; an uncertain one ends as accepted or refused
when it is known what became of it.
"""

from __future__ import annotations

import json
import os
import socket
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import psutil
import sqlalchemy as sa

from avatarkit import schema
from avatarkit.models import Persona, PersonaCreate
from avatarkit.schema import to_moment, to_us

LONGEST_SENDING = timedelta(hours=12)
"""No upload takes longer than this."""


@dataclass(frozen=True)
class Uncertain:
    """A create that may have happened: what was sent, and the window in which it was.

    ``candidates`` are personas that it may have become, as the last look at the account's list
    found them: a person has to choose. ``reason`` says why it is still open.
    """

    submission_id: str
    creator_name: str
    gender: str
    video_scene: str | None
    sent_at: datetime
    broke_at: datetime
    quota_before: int | None
    candidates: tuple[Persona, ...]
    reason: str


def prepare(connection: sa.Connection, account: str, request: PersonaCreate, at: datetime) -> str:
    """Write down what is about to be sent; the new submission's id."""
    submission_id = uuid.uuid4().hex
    connection.execute(
        schema.submissions.insert().values(
            submission_id=submission_id,
            account=account,
            state="prepared",
            creator_name=request.creator_name,
            # Not by the model: a file that has been moved since would not be valid any more.
            request=json.dumps(
                {**request.fields(), **request.urls}
                | {name: str(path) for name, path in request.files.items()}
            ),
            prepared_us=to_us(at),
            sender=_this_process(),
        )
    )
    return submission_id


def sending(
    connection: sa.Connection, submission_id: str, at: datetime, quota_before: int | None
) -> None:
    """The request is about to leave from this process."""
    _update(
        connection,
        submission_id,
        state="sending",
        sent_us=to_us(at),
        quota_before=quota_before,
    )


def uncertain(connection: sa.Connection, submission_id: str, at: datetime, error: str) -> None:
    """The create may have happened."""
    _update(connection, submission_id, state="uncertain", broke_us=to_us(at), error=error)


def end(
    connection: sa.Connection,
    submission_id: str,
    state: str,
    at: datetime,
    *,
    persona_id: str | None = None,
    error: str | None = None,
) -> None:
    """It is known what became of it."""
    _update(
        connection,
        submission_id,
        state=state,
        persona_id=persona_id,
        ended_us=to_us(at),
        error=error,
        candidates=None,
    )


def leave_open(
    connection: sa.Connection, submission_id: str, reason: str, candidates: Sequence[Persona]
) -> None:
    """Keep why it is still open, and the personas that it may have become."""
    kept = [candidate.model_dump(mode="json", exclude_unset=True) for candidate in candidates]
    _update(connection, submission_id, error=reason, candidates=json.dumps(kept))


def get(connection: sa.Connection, submission_id: str) -> sa.Row[Any]:
    """The row of a submission."""
    table = schema.submissions
    return connection.execute(sa.select(table).where(table.c.submission_id == submission_id)).one()


def abandon(connection: sa.Connection, account: str, at: datetime) -> int:
    """Settle what processes left behind that are no more; how many submissions there were.

    One that was being sent is uncertain; one that was only prepared never left. Whether a process
    of another machine still lives cannot be asked; after ``LONGEST_SENDING`` it is taken as gone.
    """
    table = schema.submissions
    columns = table.c.submission_id, table.c.sender, table.c.state, table.c.prepared_us
    query = sa.select(*columns).where(
        (table.c.account == account) & table.c.state.in_(["prepared", "sending"])
    )
    long_ago = to_us(at - LONGEST_SENDING)
    rows = connection.execute(query).all()
    dead = [row for row in rows if not _lives(row.sender, elsewhere=row.prepared_us > long_ago)]
    for row in dead:
        if row.state == "sending":
            uncertain(connection, row.submission_id, at, "The program ended while it was sending.")
        else:
            error = "The program ended before it was sent; it is safe to send it again."
            end(connection, row.submission_id, "refused", at, error=error)
    return len(dead)


def open_submissions(connection: sa.Connection, account: str) -> list[Uncertain]:
    """The submissions whose fate is uncertain, oldest first."""
    table = schema.submissions
    query = (
        sa.select(table)
        .where((table.c.account == account) & (table.c.state == "uncertain"))
        .order_by(table.c.sent_us, table.c.submission_id)
    )
    found = []
    for row in connection.execute(query):
        request = json.loads(row.request)
        found.append(
            Uncertain(
                submission_id=row.submission_id,
                creator_name=row.creator_name,
                gender=request["gender"],
                video_scene=request.get("video_scene"),
                sent_at=to_moment(row.sent_us or row.prepared_us),
                broke_at=to_moment(row.broke_us or row.prepared_us),
                quota_before=row.quota_before,
                candidates=tuple(
                    Persona.model_validate(kept) for kept in json.loads(row.candidates or "[]")
                ),
                reason=row.error,
            )
        )
    return found


def submitted_ids(connection: sa.Connection, account: str) -> set[str]:
    """The ids of the personas that submissions have ended with."""
    table = schema.submissions
    query = sa.select(table.c.persona_id).where(
        (table.c.account == account) & table.c.persona_id.is_not(None)
    )
    return set(connection.scalars(query))


def _update(connection: sa.Connection, submission_id: str, **values: Any) -> None:
    table = schema.submissions
    connection.execute(
        table.update().where(table.c.submission_id == submission_id).values(**values)
    )


def _this_process() -> str:
    # A process id alone may be used again after a restart; with its start it is unique.
    return f"{socket.gethostname()}|{os.getpid()}|{psutil.Process().create_time():.2f}"


def _lives(sender: str | None, *, elsewhere: bool) -> bool:
    """False when the process is surely no more; ``elsewhere`` if it is another machine's."""
    host, pid, began = (sender or "||").split("|")
    if host != socket.gethostname():
        return bool(host) and elsewhere
    try:
        return f"{psutil.Process(int(pid)).create_time():.2f}" == began
    except (psutil.Error, ValueError):
        return False
