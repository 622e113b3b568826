"""Find and erase the rows of one person, in a database or in a backup of it."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from avatarkit.models import VIDEO_FIELDS
from avatarkit.store import tables
from avatarkit.store.tables import IN_FLIGHT

FORGOTTEN = "(forgotten)"
"""What takes the place of a name or an id in a text that is about others too."""

_PERSONAS, _RUNS = tables.personas.c, tables.sightings.c
_SUBMISSIONS, _EVENTS = tables.submissions.c, tables.notifications.c


@dataclass(frozen=True)
class Person:
    """The rows of one person in an account.

    Attributes:
        who: The name or the id that was asked for.
        persona_ids: Their avatars.
        submission_ids: Their submissions, with those that were refused.
        in_flight: Those of which an avatar may still come.
        names: Every ``creator_name`` of these.
        files: What their submissions named as videos: paths, URLs and links.
        files_of_others: The same of all other submissions of the account.
    """

    who: str
    persona_ids: frozenset[str] = frozenset()
    submission_ids: frozenset[str] = frozenset()
    in_flight: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    files_of_others: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.persona_ids or self.submission_ids)


def is_name(name: str | None, who: str) -> bool:
    """Return whether a name is the one that was asked for; white space around it is ignored."""
    return name is not None and name.strip() == who.strip() != ""


def find(
    connection: sa.Connection, account: str, who: str, *, without: Collection[str] = ()
) -> Person:
    """Return what the database has of a person.

    Args:
        connection: A connection with an open transaction.
        account: The fingerprint of the account.
        who: The id of an avatar, or else a ``creator_name``.
        without: Avatars to leave out, with the submissions that became them.
    """
    query = sa.select(_PERSONAS.persona_id, _PERSONAS.creator_name)
    named = {
        row.persona_id: row.creator_name
        for row in connection.execute(query.where(_PERSONAS.account == account))
    }
    names = ("submission_id", "persona_id", "creator_name", "state", "request")
    query = sa.select(*(_SUBMISSIONS[name] for name in names))
    submissions = connection.execute(query.where(_SUBMISSIONS.account == account)).all()
    if who in named:
        ids = {who}
    else:
        ids = {persona_id for persona_id, name in named.items() if is_name(name, who)}
        ids |= {s.persona_id for s in submissions if s.persona_id and is_name(s.creator_name, who)}
    ids -= set(without)

    def is_theirs(submission: Any) -> bool:
        if submission.persona_id is None:
            return who not in named and is_name(submission.creator_name, who)
        return submission.persona_id in ids

    own = [submission for submission in submissions if is_theirs(submission)]
    own_ids = frozenset(submission.submission_id for submission in own)
    all_names = {s.creator_name for s in own} | {named.get(persona_id) for persona_id in ids}
    return Person(
        who=who,
        persona_ids=frozenset(ids),
        submission_ids=own_ids,
        in_flight=tuple(s.submission_id for s in own if s.state in IN_FLIGHT),
        names=tuple(sorted(name for name in all_names if name)),
        files=tuple(dict.fromkeys(file for s in own for file in _files(s.request))),
        files_of_others=frozenset(
            file
            for s in submissions
            if s.submission_id not in own_ids
            for file in _files(s.request)
        ),
    )


def count_rows(connection: sa.Connection, account: str, person: Person) -> dict[str, int]:
    """Return how many rows of each table are a person's; tables without any are left out."""
    counts = {
        table.name: connection.scalar(
            sa.select(sa.func.count()).select_from(table).where(condition)
        )
        for table, condition in _conditions(account, person)
    }
    return {name: count for name, count in counts.items() if count}


def erase(connection: sa.Connection, account: str | None, person: Person) -> Counter[str]:
    """Erase the rows of a person, and their name and ids in the texts of others.

    Args:
        connection: A connection with an open transaction. The database may be of an older version.
        account: The fingerprint of the account; None erases the ids in all accounts.
        person: Whose rows.

    Returns:
        The number of rows that were erased, by table.
    """
    erased: Counter[str] = Counter()
    inspector = sa.inspect(connection)
    present = set(inspector.get_table_names())
    (_, is_theirs), *_ = conditions = _conditions(account, person)
    # A poll locks the row of its persona first, too, so that neither waits for the other.
    locked = sa.select(_PERSONAS.persona_id).where(is_theirs).order_by(_PERSONAS.persona_id)
    connection.execute(locked.with_for_update()).all()
    for table, condition in conditions:
        if table.name in present:
            erased[table.name] += connection.execute(table.delete().where(condition)).rowcount
    if tables.notifications.name in present:
        _erase_in_texts(connection, account, person)
    if "candidates" in {column["name"] for column in inspector.get_columns("submissions")}:
        _erase_candidates(connection, account, person)
    return +erased


def all_names(connection: sa.Connection, account: str) -> set[str]:
    """Return every ``creator_name`` of an account."""
    found: set[str | None] = set()
    for columns in (_PERSONAS, _SUBMISSIONS):
        query = sa.select(columns.creator_name).where(columns.account == account).distinct()
        found.update(connection.scalars(query))
    return {name for name in found if name}


def in_other_accounts(connection: sa.Connection, account: str, person: Person) -> int:
    """Return how many avatars of the same name other accounts in this database have."""
    same = _PERSONAS.creator_name.in_({*person.names, person.who})
    query = sa.select(sa.func.count()).where(_PERSONAS.account != account, same)
    return int(connection.scalar(query) or 0)


def _conditions(
    account: str | None, person: Person
) -> list[tuple[sa.Table, sa.ColumnElement[bool]]]:
    """Return which rows of each table are the person's; the personas come first."""
    ids, sent = person.persona_ids, person.submission_ids
    theirs = {
        tables.personas: _PERSONAS.persona_id.in_(ids),
        tables.sightings: _RUNS.persona_id.in_(ids),
        tables.submissions: _SUBMISSIONS.submission_id.in_(sent) | _SUBMISSIONS.persona_id.in_(ids),
        tables.notifications: _is_about(ids | sent),
    }
    return [(table, _of(table, account) & is_theirs) for table, is_theirs in theirs.items()]


def _is_about(ids: Collection[str]) -> sa.ColumnElement[bool]:
    """Return whether an event is about one of these ids: its subject is that, or begins with it."""
    # Compared by length, as a pattern for each id would be too many for one statement.
    begins_with = [
        sa.func.substr(_EVENTS.subject, 1, length + 1).in_(
            [f"{each} " for each in ids if len(each) == length]
        )
        for length in sorted({len(each) for each in ids})
    ]
    return sa.or_(_EVENTS.subject.in_(ids), *begins_with)


def _of(table: sa.Table, account: str | None) -> sa.ColumnElement[bool]:
    return sa.true() if account is None else table.c.account == account


def _files(request: str) -> list[str]:
    fields = json.loads(request)
    return [str(fields[name]) for name in (*VIDEO_FIELDS, "gdown_url") if fields.get(name)]


def _erase_in_texts(connection: sa.Connection, account: str | None, person: Person) -> None:
    """Replace a person's names and ids in messages that are about others too."""
    words = sorted({*person.names, *person.persona_ids, *person.submission_ids}, key=len)
    if not words:
        return
    pattern = re.compile("|".join(rf"(?<!\w){re.escape(word)}(?!\w)" for word in reversed(words)))
    names = ("account", "event", "subject", "text", "error")
    query = sa.select(*(_EVENTS[name] for name in names))
    for row in connection.execute(query.where(_of(tables.notifications, account))).all():
        texts = {"text": row.text, "error": row.error}
        cleaned = {name: text and pattern.sub(FORGOTTEN, text) for name, text in texts.items()}
        if cleaned != texts:
            is_row = (_EVENTS.event == row.event) & (_EVENTS.subject == row.subject)
            update = tables.notifications.update().where(_EVENTS.account == row.account, is_row)
            connection.execute(update.values(**cleaned))


def _erase_candidates(connection: sa.Connection, account: str | None, person: Person) -> None:
    """Take a person's avatars out of those that the submissions of others may have become."""
    query = sa.select(_SUBMISSIONS.submission_id, _SUBMISSIONS.candidates).where(
        _of(tables.submissions, account), _SUBMISSIONS.candidates.is_not(None)
    )
    for row in connection.execute(query).all():
        candidates = json.loads(row.candidates)
        kept = [each for each in candidates if each.get("id") not in person.persona_ids]
        if kept != candidates:
            is_row = _SUBMISSIONS.submission_id == row.submission_id
            update = tables.submissions.update().where(is_row)
            connection.execute(update.values(candidates=json.dumps(kept)))
