"""Rows of the log as DataFrames: their columns, dtypes, grain and order.

Moments are ``datetime64[us, UTC]``, statuses plain strings, ``labels`` lists; a frame without
rows has the same columns and dtypes.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import sqlalchemy as sa

from avatarkit import schema


@dataclass(frozen=True)
class Frame:
    """A table, its order, and the frame's columns with their kinds."""

    table: sa.Table
    order: tuple[sa.ColumnElement[Any], ...]
    columns: dict[str, str]


_P, _R, _S = schema.personas.c, schema.sightings.c, schema.submissions.c

PERSONAS = Frame(
    schema.personas,
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
    schema.sightings,
    (_R.persona_id, _R.first_seen_us, _R.id),
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
)
SUBMISSIONS = Frame(
    schema.submissions,
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
            columns[name.removesuffix("_at") + "_us" if kind == "moment" else name]
            for name, kind in frame.columns.items()
        )
    ).order_by(*frame.order)
    if account is not None:
        query = query.where(columns.account == account)
    if persona_id is not None:
        query = query.where(columns.persona_id == persona_id)
    with connect() as connection:
        rows = connection.execute(query).all()
    values = list(zip(*rows, strict=True)) if rows else [()] * len(frame.columns)
    return pd.DataFrame(
        {
            name: _column(kind, column)
            for (name, kind), column in zip(frame.columns.items(), values, strict=True)
        }
    )


def _column(kind: str, values: Any) -> Any:
    if kind == "moment":
        not_a_time = np.iinfo("int64").min
        us = np.array([not_a_time if v is None else v for v in values], dtype="int64")
        return pd.DatetimeIndex(us.view("datetime64[us]")).tz_localize("UTC")
    if kind == "list":
        return pd.Series([[] if v is None else json.loads(v) for v in values], dtype="object")
    dtype: Any = "str" if kind == "text" else kind
    return pd.Series(list(values), dtype=dtype)
