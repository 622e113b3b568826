"""Read the tables of the log as DataFrames.

Timestamps are ``datetime64[us, UTC]``, texts ``str``, ``labels`` lists. A frame without rows has
the same columns and dtypes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import sqlalchemy as sa

from avatarkit.history.frames import Frame as ShownFrame
from avatarkit.store import tables
from avatarkit.text import hide_webhook_token

TIME = "datetime64[us, UTC]"
_NOT_A_TIME = np.iinfo("int64").min
"""The integer that pandas stores for NaT."""


@dataclass(frozen=True)
class Frame:
    """How a table is read: the dtypes of the frame's columns and the order of its rows."""

    table: sa.Table
    dtypes: dict[str, str]
    order_by: tuple[sa.ColumnElement[Any], ...]
    sort_by: tuple[str, ...] = ()
    """Columns to sort by after reading, as databases differ in how they sort text."""
    sent: tuple[str, ...] = ()
    """Columns that are read from the JSON of the column ``request``: the fields of a create."""


_P, _R, _S = tables.personas.c, tables.sightings.c, tables.submissions.c

PERSONAS = Frame(
    tables.personas,
    {
        **dict.fromkeys(("persona_id", "creator_name", "gender", "video_scene", "keywords"), "str"),
        "labels": "object",
        "status": "str",
        "is_active": "boolean",
        "failed_reason": "str",
        **dict.fromkeys(("created_at", "updated_at", "submitted_at"), TIME),
        **dict.fromkeys(("first_seen_at", "last_seen_at", "next_look_at"), TIME),
        "gone": "bool",
        "last_error": "str",
        "last_error_at": TIME,
        "footage_missing": "boolean",
        **dict.fromkeys(("preview_image", "preview_video"), "str"),
        "deleted_at": TIME,
        "followed": "bool",
    },
    (sa.func.coalesce(_P.created_us, _P.first_seen_us).desc(), _P.persona_id),
)
SIGHTINGS = Frame(
    tables.sightings,
    {
        "persona_id": "str",
        "status": "str",
        "first_seen_at": TIME,
        "last_seen_at": TIME,
        "times_seen": "int64",
        "reported_at": TIME,
        "failed_reason": "str",
        "source": "str",
    },
    # In the order of insertion; sorted by persona, SQLite takes twice as long.
    (_R.id,),
    sort_by=("persona_id", "first_seen_at"),
)
SUBMISSIONS = Frame(
    tables.submissions,
    {
        **dict.fromkeys(("submission_id", "state", "persona_id", "creator_name"), "str"),
        **dict.fromkeys(("prepared_at", "sent_at", "ended_at"), TIME),
        "error": "str",
        **dict.fromkeys(("gender", "video_scene", "keywords"), "str"),
        "labels": "object",
        **dict.fromkeys(("lipsync_input", "consent_video", "gdown_url", "webhook_url"), "str"),
    },
    (_S.prepared_us, _S.submission_id),
    sent=(
        *("gender", "video_scene", "keywords", "labels"),
        *("lipsync_input", "consent_video", "gdown_url", "webhook_url"),
    ),
)


def read(
    connection: sa.Connection, frame: Frame, account: str | None, persona_id: str | None = None
) -> pd.DataFrame:
    """Read the rows of an account.

    Args:
        connection: A connection with an open transaction.
        frame: What to read.
        account: The account's fingerprint; None reads all accounts.
        persona_id: Read the rows of this persona only.

    Returns:
        The rows, with the columns, dtypes and order of ``frame``.
    """
    columns = frame.table.c
    stored = [name for name in frame.dtypes if name not in frame.sent]
    query = sa.select(
        *(
            sa.func.coalesce(columns[name.removesuffix("_at") + "_us"], _NOT_A_TIME).label(name)
            if frame.dtypes[name] == TIME
            else columns[name]
            for name in stored
        ),
        *([columns.request] if frame.sent else []),
    ).order_by(*frame.order_by)
    if account is not None:
        # ``|| ''`` keeps SQLite from using an index, which would read the file in random order.
        # Source: SQLite, "Query Planning", on disqualifying the terms of a WHERE clause.
        scan = connection.dialect.name == "sqlite" and frame.sort_by and persona_id is None
        query = query.where((columns.account.concat("") if scan else columns.account) == account)
    if persona_id is not None:
        query = query.where(columns.persona_id == persona_id)
    fetched = _fetch(connection, query)
    values = dict(zip(stored, fetched, strict=False))
    if frame.sent:
        requests = [json.loads(request) for request in fetched[-1]]
        values |= {name: [request.get(name) for request in requests] for name in frame.sent}
        # A frame is exported and shared.
        values["webhook_url"] = [url and hide_webhook_token(url) for url in values["webhook_url"]]
    if "labels" in values:
        values["labels"] = [_as_list(labels) for labels in values["labels"]]
    rows = ShownFrame(
        {
            name: pd.Series(values[name], dtype="int64" if dtype == TIME else dtype)
            for name, dtype in frame.dtypes.items()
        }
    ).astype({name: TIME for name, dtype in frame.dtypes.items() if dtype == TIME})
    for name in reversed(frame.sort_by):
        rows = rows.sort_values(name, kind="stable", ignore_index=True)
    return rows


def _as_list(labels: list[str] | str | None) -> list[str]:
    """Return labels as a list, from a list, from its JSON, or from nothing."""
    value = json.loads(labels) if isinstance(labels, str) else labels
    return value or []


def _fetch(connection: sa.Connection, query: sa.Select[Any]) -> list[list[Any]]:
    """Run a query and return its columns.

    The rows are the driver's: making SQLAlchemy's rows takes as long as everything else. They are
    fetched in parts small enough for the processor's cache.
    """
    cursor: Any = connection.execute(query).cursor
    driver: Any = connection.dialect.dbapi
    columns: list[list[Any]] = [[] for _ in query.selected_columns]
    try:
        while rows := cursor.fetchmany(500):
            for column, part in zip(columns, zip(*rows, strict=True), strict=True):
                column.extend(part)
    except driver.Error as error:
        raise sa.exc.DBAPIError(None, None, error) from None
    return columns
