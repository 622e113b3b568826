"""The journal of creates: the SQL of ``submissions``, within a transaction of ``Store``.

prepared -> sending -> accepted | refused | uncertain; an uncertain one ends as accepted or refused
when it is known what became of it.
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

_in_hand: dict[str, bool] = {}
"""What this process will send (False) or sends (True): a process sends for all of its stores."""
_taking = threading.Lock()


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
    candidates: tuple[Persona, ...]
    reason: str


def prepare(connection: sa.Connection, account: str, request: PersonaCreate, at: datetime) -> str:
    """Write down what is about to be sent; the new submission's id."""
    submission_id = uuid.uuid4().hex
    _in_hand[submission_id] = False
    connection.execute(
        tables.submissions.insert().values(
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


def take(connection: sa.Connection, submission_id: str) -> None:
    """The caller sends it now; ``StoreError`` if it left before, or another thread sends it."""
    with _taking:
        if _in_hand.get(submission_id) or get(connection, submission_id).state != "prepared":
            raise StoreError(f"Submission {submission_id} was sent before; prepare another one.")
        _in_hand[submission_id] = True


def let_go(submission_id: str) -> None:
    """This process sends it no more: what the log does not know by now, it finds out."""
    _in_hand.pop(submission_id, None)


def sending(connection: sa.Connection, submission_id: str, at: datetime) -> None:
    """The request is about to leave from this process; ``StoreError`` if it left before."""
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
    """The create may have happened."""
    left = ("prepared", "sending")
    _update(connection, submission_id, left, state="uncertain", broke_us=to_us(at), error=error)


def accepted(connection: sa.Connection, submission_id: str, at: datetime, persona_id: str) -> None:
    """The create became this persona, whatever was thought of it before."""
    _update(
        connection,
        submission_id,
        state="accepted",
        persona_id=persona_id,
        ended_us=to_us(at),
        error=None,
        candidates=None,
    )


def may_be(connection: sa.Connection, account: str, submission_id: str, persona_id: str) -> bool:
    """True while this submission is uncertain, and no other has become this persona."""
    table = tables.submissions
    # All of them, so that two processes that settle at once take turns.
    query = sa.select(table.c.submission_id).where(
        (table.c.account == account) & (table.c.state == "uncertain")
    )
    uncertain_ids = connection.scalars(query.with_for_update()).all()
    return submission_id in uncertain_ids and persona_id not in submitted_ids(connection, account)


def refused(connection: sa.Connection, submission_id: str, at: datetime, error: str) -> None:
    """The create did not happen; what was accepted meanwhile stays so."""
    _update(
        connection,
        submission_id,
        ("prepared", "sending", "uncertain"),
        state="refused",
        ended_us=to_us(at),
        error=error,
        candidates=None,
    )


def leave_open(
    connection: sa.Connection, submission_id: str, reason: str, candidates: Sequence[Persona]
) -> None:
    """Keep why it is still open, and the personas that it may have become."""
    kept = [candidate.model_dump(mode="json", exclude_unset=True) for candidate in candidates]
    _update(connection, submission_id, ("uncertain",), error=reason, candidates=json.dumps(kept))


def get(connection: sa.Connection, submission_id: str) -> sa.Row[Any]:
    """The row of a submission."""
    table = tables.submissions
    return connection.execute(sa.select(table).where(table.c.submission_id == submission_id)).one()


def abandon(connection: sa.Connection, account: str, at: datetime) -> int:
    """Settle what nobody sends any more; how many submissions there were.

    One that was being sent is uncertain; one that was only prepared never left. A process that
    ended sends no more, and this one only what it has in hand. Whether a process of another
    machine still lives cannot be asked; after ``LONGEST_SENDING`` it is taken as gone.
    """
    table = tables.submissions
    columns = table.c.submission_id, table.c.sender, table.c.state, table.c.prepared_us
    query = sa.select(*columns).where(
        (table.c.account == account) & table.c.state.in_(["prepared", "sending"])
    )
    long_ago = to_us(at - LONGEST_SENDING)
    rows = connection.execute(query).all()
    ours = _this_process()
    dead = [
        row
        for row in rows
        if row.submission_id not in _in_hand
        and (row.sender == ours or not _lives(row.sender, elsewhere=row.prepared_us > long_ago))
    ]
    for row in dead:
        if row.state == "sending":
            uncertain(connection, row.submission_id, at, "The program ended while it was sending.")
        else:
            error = "The program ended before it was sent; it is safe to send it again."
            refused(connection, row.submission_id, at, error)
    return len(dead)


def open_submissions(
    connection: sa.Connection, account: str, state: str = "uncertain"
) -> list[Uncertain]:
    """The submissions whose fate is uncertain, oldest first; or those that are ``sending``."""
    table = tables.submissions
    query = (
        sa.select(table)
        .where((table.c.account == account) & (table.c.state == state))
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
                broke_at=to_moment(row.broke_us or row.sent_us or row.prepared_us),
                candidates=tuple(
                    Persona.model_validate(kept) for kept in json.loads(row.candidates or "[]")
                ),
                reason=row.error,
            )
        )
    return found


def some(connection: sa.Connection, account: str, ids: Collection[str]) -> list[Submission]:
    """The submissions of these ids, newest first; what is unknown is left out."""
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
    """The ids of the personas that submissions have ended with."""
    table = tables.submissions
    query = sa.select(table.c.persona_id).where(
        (table.c.account == account) & table.c.persona_id.is_not(None)
    )
    return set(connection.scalars(query))


def _update(
    connection: sa.Connection, submission_id: str, states: tuple[str, ...] = (), **values: Any
) -> bool:
    """False when it is in none of the ``states``, if any are given: nothing is changed then."""
    table = tables.submissions
    which = table.c.submission_id == submission_id
    if states:
        which &= table.c.state.in_(states)
    return connection.execute(table.update().where(which).values(**values)).rowcount > 0


def _this_process() -> str:
    # A process id alone may be used again after a restart; with its start it is unique.
    return f"{socket.gethostname()}|{os.getpid()}|{_began(os.getpid())}"


def _lives(sender: str | None, *, elsewhere: bool) -> bool:
    """False when the process is surely no more; ``elsewhere`` if it is another machine's."""
    host, pid, began = (sender or "||").split("|")
    if host != socket.gethostname():
        return bool(host) and elsewhere
    try:
        return _began(int(pid)) == began and psutil.Process(int(pid)).status() not in _DEAD
    except (psutil.Error, ValueError):
        return False


_DEAD = (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)


def _began(pid: int) -> str:
    """When a process began; ``psutil.Error`` when there is none.

    On Linux by a clock that nobody sets: there psutil's moves when the system's clock is set.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
    except OSError:
        return f"{psutil.Process(pid).create_time():.2f}"
    # The 22nd field; the second is a name in brackets, in which anything may stand.
    return f"{boot.strip()}+{fields.rpartition(')')[2].split()[19]}"
