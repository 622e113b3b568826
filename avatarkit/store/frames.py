"""Rows of the log as DataFrames: their columns, dtypes, grain and order.

Moments are ``datetime64[us, UTC]``, statuses plain strings, ``labels`` lists; a frame without
rows has the same columns and dtypes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import sqlalchemy as sa

from avatarkit.store import tables

_CHUNK = 500
"""Rows read at once: so few stay in the processor's cache until they are columns."""
_NOT_A_TIME = np.iinfo("int64").min

Values = np.ndarray[Any, np.dtype[Any]]
Numbers = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class Frame:
    """A table, the order it is read in, the frame's columns with their kinds.

    ``sort_by`` are the columns that the frame is then sorted by, rows alike as they were read.
    """

    table: sa.Table
    order: tuple[sa.ColumnElement[Any], ...]
    columns: dict[str, str]
    sort_by: tuple[str, ...] = ()


_P, _R, _S = tables.personas.c, tables.sightings.c, tables.submissions.c

PERSONAS = Frame(
    tables.personas,
    (sa.func.coalesce(_P.created_us, _P.first_seen_us).desc(), _P.persona_id),
    {
        "persona_id": "text",
        "creator_name": "text",
        "gender": "text",
        "video_scene": "text",
        "keywords": "text",
        "labels": "list",
        "status": "text",
        "is_active": "boolean",
        "failed_reason": "text",
        "created_at": "moment",
        "updated_at": "moment",
        "submitted_at": "moment",
        "first_seen_at": "moment",
        "last_seen_at": "moment",
        "next_look_at": "moment",
        "gone": "bool",
        "last_error": "text",
    },
)
SIGHTINGS = Frame(
    tables.sightings,
    (_R.id,),
    {
        "persona_id": "text",
        "status": "text",
        "first_seen_at": "moment",
        "last_seen_at": "moment",
        "times_seen": "int64",
        "reported_at": "moment",
        "failed_reason": "text",
        "source": "text",
    },
    # As they lie in the file: fetched by persona they take two and a half times as long.
    sort_by=("persona_id", "first_seen_at"),
)
SUBMISSIONS = Frame(
    tables.submissions,
    (_S.prepared_us, _S.submission_id),
    {
        "submission_id": "text",
        "state": "text",
        "persona_id": "text",
        "creator_name": "text",
        "prepared_at": "moment",
        "sent_at": "moment",
        "ended_at": "moment",
        "error": "text",
    },
)


def read(
    connect: Callable[[], AbstractContextManager[sa.Connection]],
    frame: Frame,
    account: str | None,
    persona_id: str | None = None,
) -> pd.DataFrame:
    """The rows of ``account`` (of all accounts when None), of one persona if it is given."""
    columns = frame.table.c
    query = sa.select(
        *(
            sa.func.coalesce(columns[name.removesuffix("_at") + "_us"], _NOT_A_TIME)
            if kind == "moment"
            else columns[name]
            for name, kind in frame.columns.items()
        )
    ).order_by(*frame.order)
    if persona_id is not None:
        query = query.where(columns.persona_id == persona_id)
    parts = {name: _Column(kind) for name, kind in frame.columns.items()}
    with connect() as connection:
        if account is not None:
            own: sa.ColumnElement[str] = columns.account
            if connection.dialect.name == "sqlite" and frame.sort_by and persona_id is None:
                # Keeps SQLite from the index, by which it would go to and fro in the file, for
                # what are most of its rows. Source: SQLite, "Query Planning", on disqualifying
                # the terms of a WHERE clause.
                own = columns.account.concat("")
            query = query.where(own == account)
        for rows in _chunks(connection, query):
            for part, values in zip(parts.values(), zip(*rows, strict=True), strict=True):
                part.add(values)
    order = None
    if frame.sort_by:
        order = np.lexsort([parts[name].keys() for name in reversed(frame.sort_by)])
    return pd.DataFrame({name: part.whole(order) for name, part in parts.items()})


def _chunks(connection: sa.Connection, query: sa.Select[Any]) -> Iterator[Sequence[Any]]:
    """The rows as the driver gives them: SQLAlchemy's own cost more than all that follows."""
    cursor: Any = connection.execute(query).cursor
    driver: Any = connection.dialect.dbapi
    try:
        while rows := cursor.fetchmany(_CHUNK):
            yield rows
    except driver.Error as error:
        raise sa.exc.DBAPIError(None, None, error) from None


class _Codes(dict[Any, int]):
    """A number for each text, in the order in which they come."""

    def __missing__(self, text: Any) -> int:
        self[text] = code = len(self)
        return code


class _Column:
    """A column of a frame, from the driver's values, chunk by chunk.

    Most texts come again and again, so they are kept as numbers until the end.
    """

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._parts: list[Values] = []
        self._texts = _Codes()

    def add(self, values: tuple[Any, ...]) -> None:
        size = len(values)
        if self._kind == "text":
            codes = map(self._texts.__getitem__, values)
            self._parts.append(np.fromiter(codes, dtype="int64", count=size))
        elif self._kind in ("moment", "int64"):
            self._parts.append(np.fromiter(values, dtype="int64", count=size))
        else:
            part = np.empty(size, dtype="object")
            part[:] = values
            self._parts.append(part)

    def keys(self) -> Values:
        """Numbers in the order of the values."""
        values = self._values()
        if self._kind != "text":
            return values
        in_order = [self._texts[text] for text in sorted(self._texts)]
        places: Numbers = np.empty(len(in_order), dtype="int64")
        places[in_order] = np.arange(len(in_order))
        return places[values]

    def whole(self, order: Numbers | None = None) -> Any:
        """All values, as the frame has them."""
        values = self._values()
        if order is not None:
            values = values[order]
        if self._kind == "text":
            return pd.Index(list(self._texts), dtype="str").take(values)
        if self._kind == "moment":
            return pd.DatetimeIndex(values.view("datetime64[us]")).tz_localize("UTC")
        if self._kind == "int64":
            return values
        if self._kind == "list":
            lists = [[] if value is None else json.loads(value) for value in values]
            return pd.Series(lists, dtype="object")
        # SQLite has no truth values but 0 and 1.
        flags = [None if value is None else bool(value) for value in values]
        return pd.Series(flags, dtype=self._kind)

    def _values(self) -> Values:
        numbers = self._kind in ("text", "moment", "int64")
        empty = np.empty(0, dtype="int64" if numbers else "object")
        return np.concatenate([empty, *self._parts])
