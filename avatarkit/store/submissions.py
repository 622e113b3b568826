"""The journal of creates: SQL of ``submissions`` within a transaction of ``Store``.

prepared -> sending -> accepted | refused | uncertain; an uncertain one ends as accepted or refused
once it is settled.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import sqlalchemy as sa

from avatarkit.errors import StoreError
from avatarkit.models import Persona, PersonaCreate
from avatarkit.store import tables
from avatarkit.store.tables import to_moment, to_us

LONGEST_SENDING = timedelta(hours=12)
"""No upload takes longer than this."""

_ours: dict[str, bool] = {}
"""The submissions of this process, of all its stores: True once a thread has reserved it."""
_reserving = threading.Lock()


@dataclass(frozen=True)
class Submission:
    """A create and what became of it; ``request`` are its fields, videos as path or URL."""

    submission_id: str
    state: str
    request: dict[str, Any]
    persona_id: str | None
    error: str | None


@dataclass(frozen=True)
class Uncertain:
    """A create that may have happened: its fields, and when it was sent and broke off.

    ``candidates`` are personas that it may have become, by the last listing of the account, among
    which a person has to choose. ``reason`` says why it is not settled.
    """

    submission_id: str
    creator_name: str
    gender: str
    video_scene: str | None
    sent_at: datetime
    broke_at: datetime
    candidates: tuple[Persona, ...]
    reason: str


def prepare(connection: sa.Connection, account: str, request: PersonaCreate, at: datetime) -> str:
    """Write down a request that will be sent; return the new submission's id."""
    submission_id = uuid.uuid4().hex
    _ours[submission_id] = False
    connection.execute(
        tables.submissions.insert().values(
            submission_id=submission_id,
            account=account,
            state="prepared",
            creator_name=request.creator_name,
            # Not by the model, which refuses a file that has been moved since.
            request=json.dumps(
                {**request.fields(), **request.urls}
                | {name: str(path) for name, path in request.files.items()}
            ),
            prepared_us=to_us(at),
            sender=_this_process(),
        )
    )
    return submission_id


def reserve(connection: sa.Connection, submission_id: str) -> None:
    """Reserve a submission for this thread; ``StoreError`` if it was sent or is reserved."""
    with _reserving:
        if _ours.get(submission_id) or get(connection, submission_id).state != "prepared":
            raise StoreError(f"Submission {submission_id} was sent before; prepare another one.")
        _ours[submission_id] = True


def release(submission_id: str) -> None:
    """Say that this process does not send the submission any more."""
    _ours.pop(submission_id, None)


def sending(connection: sa.Connection, submission_id: str, at: datetime) -> None:
    """Mark a submission as being sent; ``StoreError`` if it was sent before."""
    left = _update(
        connection,
        submission_id,
        ("prepared",),
        state="sending",
        sent_us=to_us(at),
        sender=_this_process(),
    )
    if not left:
        raise StoreError(f"Submission {submission_id} was sent before; prepare another one.")


def uncertain(connection: sa.Connection, submission_id: str, at: datetime, error: str) -> None:
    """Mark a submission whose create may have happened."""
    left = ("prepared", "sending")
    _update(connection, submission_id, left, state="uncertain", broke_us=to_us(at), error=error)


def accepted(connection: sa.Connection, submission_id: str, at: datetime, persona_id: str) -> None:
    """End a submission as this persona, whatever its state."""
    _update(
        connection,
        submission_id,
        state="accepted",
        persona_id=persona_id,
        ended_us=to_us(at),
        error=None,
        candidates=None,
    )


def may_become(
    connection: sa.Connection, account: str, submission_id: str, persona_id: str
) -> bool:
    """Return True while the submission is uncertain and no other became this persona."""
    table = tables.submissions
    # All of them are locked, so that two processes that settle at once take turns.
    query = sa.select(table.c.submission_id).where(
        (table.c.account == account) & (table.c.state == "uncertain")
    )
    uncertain_ids = connection.scalars(query.with_for_update()).all()
    return submission_id in uncertain_ids and persona_id not in submitted_ids(connection, account)


def refused(connection: sa.Connection, submission_id: str, at: datetime, error: str) -> None:
    """End a submission whose create did not happen; one that was accepted stays so."""
    _update(
        connection,
        submission_id,
        ("prepared", "sending", "uncertain"),
        state="refused",
        ended_us=to_us(at),
        error=error,
        candidates=None,
    )


def keep_uncertain(
    connection: sa.Connection, submission_id: str, reason: str, candidates: Sequence[Persona]
) -> None:
    """Write down why a submission is not settled, and the personas it may have become."""
    kept = [candidate.model_dump(mode="json", exclude_unset=True) for candidate in candidates]
    _update(connection, submission_id, ("uncertain",), error=reason, candidates=json.dumps(kept))


def get(connection: sa.Connection, submission_id: str) -> sa.Row[Any]:
    """Return the row of a submission."""
    table = tables.submissions
    return connection.execute(sa.select(table).where(table.c.submission_id == submission_id)).one()


def settle_abandoned(connection: sa.Connection, account: str, at: datetime) -> int:
    """Settle the submissions of processes that have ended; return how many.

    One that was being sent is uncertain, one that was only prepared is refused. So are this
    process's own that it has released. A process of another machine is taken as ended after
    ``LONGEST_SENDING``.
    """
    table = tables.submissions
    columns = table.c.submission_id, table.c.sender, table.c.state, table.c.prepared_us
    query = sa.select(*columns).where(
        (table.c.account == account) & table.c.state.in_(["prepared", "sending"])
    )
    long_ago = to_us(at - LONGEST_SENDING)
    rows = connection.execute(query).all()
    ours = _this_process()
    abandoned = [
        row
        for row in rows
        if row.submission_id not in _ours
        and (row.sender == ours or not _is_alive(row.sender, elsewhere=row.prepared_us > long_ago))
    ]
    for row in abandoned:
        if row.state == "sending":
            uncertain(connection, row.submission_id, at, "The program ended while it was sending.")
        else:
            error = "The program ended before it was sent; it is safe to send it again."
            refused(connection, row.submission_id, at, error)
    return len(abandoned)


def open_submissions(
    connection: sa.Connection, account: str, state: str = "uncertain"
) -> list[Uncertain]:
    """Return the submissions that are ``uncertain``, or in another state, oldest first."""
    table = tables.submissions
    query = (
        sa.select(table)
        .where((table.c.account == account) & (table.c.state == state))
        .order_by(table.c.sent_us, table.c.submission_id)
    )
    rows = []
    for row in connection.execute(query):
        request = json.loads(row.request)
        rows.append(
            Uncertain(
                submission_id=row.submission_id,
                creator_name=row.creator_name,
                gender=request["gender"],
                video_scene=request.get("video_scene"),
                sent_at=to_moment(row.sent_us or row.prepared_us),
                broke_at=to_moment(row.broke_us or row.sent_us or row.prepared_us),
                candidates=tuple(
                    Persona.model_validate(kept) for kept in json.loads(row.candidates or "[]")
                ),
                reason=row.error,
            )
        )
    return rows


def by_id(connection: sa.Connection, account: str, ids: Collection[str]) -> list[Submission]:
    """Return the submissions of these ids, newest first; unknown ids are left out."""
    table = tables.submissions
    query = (
        sa.select(table)
        .where((table.c.account == account) & table.c.submission_id.in_(ids))
        .order_by(table.c.prepared_us.desc(), table.c.submission_id)
    )
    return [
        Submission(row.submission_id, row.state, json.loads(row.request), row.persona_id, row.error)
        for row in connection.execute(query)
    ]


def submitted_ids(connection: sa.Connection, account: str) -> set[str]:
    """Return the ids of the personas that submissions became."""
    table = tables.submissions
    query = sa.select(table.c.persona_id).where(
        (table.c.account == account) & table.c.persona_id.is_not(None)
    )
    return set(connection.scalars(query))


def _update(
    connection: sa.Connection, submission_id: str, states: tuple[str, ...] = (), **values: Any
) -> bool:
    """Update a submission in one of ``states``, if given; return False if it is in another."""
    table = tables.submissions
    key = table.c.submission_id == submission_id
    if states:
        key &= table.c.state.in_(states)
    return connection.execute(table.update().where(key).values(**values)).rowcount > 0


def _this_process() -> str:
    # A process id alone may be used again after a restart; with its start it is unique.
    return f"{socket.gethostname()}|{os.getpid()}|{_started(os.getpid())}"


def _is_alive(sender: str | None, *, elsewhere: bool) -> bool:
    """Return False when the process has ended; ``elsewhere`` if it is another machine's."""
    host, pid, started = (sender or "||").split("|")
    if host != socket.gethostname():
        return bool(host) and elsewhere
    try:
        return _started(int(pid)) == started and psutil.Process(int(pid)).status() not in _DEAD
    except (psutil.Error, ValueError):
        return False


_DEAD = (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)


def _started(pid: int) -> str:
    """Return when a process started; ``psutil.Error`` when there is none.

    On Linux in ticks since boot: psutil's time moves when the system's clock is set.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
    except OSError:
        return f"{psutil.Process(pid).create_time():.2f}"
    # The 22nd field, counted from the end of the name in brackets, which may hold spaces.
    return f"{boot.strip()}+{fields.rpartition(')')[2].split()[19]}"
