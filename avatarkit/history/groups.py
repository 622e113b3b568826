"""Divide avatars into groups: by a label, a column, a function, or the period of submission."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from datetime import datetime
from typing import Any

import pandas as pd

from avatarkit.history.frames import require_columns

__all__ = [
    "FREQUENCIES",
    "GROUP",
    "By",
    "When",
    "between",
    "carry",
    "check_frequency",
    "compare",
    "explode_labels",
]

By = str | Callable[[pd.DataFrame], Any]
"""A column, a label, or a function of the frame that returns a value a row."""

When = datetime | str
"""An aware moment, or text such as ``2026-03-01``, in UTC unless it has an offset."""

FREQUENCIES = {"D": "days", "W": "weeks", "M": "months", "Q": "quarters", "Y": "years"}
"""The periods that ``freq`` may name: weeks begin on Monday, all of them at 00:00 UTC."""

GROUP = "group"
"""The column with the name of the group, in every frame that is divided."""

NO_LABEL = "no label"
NO_VALUE = "none"
_WITHOUT = "without "


def explode_labels(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each label of each row.

    Args:
        frame: A frame with ``labels``, such as ``store.personas()``.

    Returns:
        The same columns with ``label``, text, in the place of ``labels``; index 0…n-1. A row with
        two labels is there twice, so counts of the rows add up to more than the avatars; one
        without labels is there once, with a missing ``label``.

    Raises:
        ValueError: There is no column ``labels``.
    """
    require_columns(frame, ["labels"], "frame", _WITH_LABELS)
    labels = frame["labels"].map(lambda labels: labels if isinstance(labels, list) else [])
    rows = frame.assign(labels=labels).explode("labels", ignore_index=True)
    return rows.rename(columns={"labels": "label"}).astype({"label": "str"})


def carry(frame: pd.DataFrame, personas: pd.DataFrame | None, names: Iterable[str]) -> pd.DataFrame:
    """Return the frame with columns of the persona of each row, at its end.

    Args:
        frame: A frame with ``persona_id``.
        personas: ``store.personas()``.
        names: Columns of it, such as ``creator_name`` and ``labels``.

    Raises:
        ValueError: There are no personas, or they have no such column.
    """
    if isinstance(names, str):
        names = [names]
    if not (names := list(names)):
        return frame
    personas = pd.DataFrame() if personas is None else personas
    require_columns(personas, ["persona_id", *names], "personas", "store.personas()")
    rows = personas.drop_duplicates("persona_id").set_index("persona_id")[names]
    return frame.join(rows, on="persona_id")


def between(
    frame: pd.DataFrame, at: pd.Series[Any], since: When | None, until: When | None
) -> pd.DataFrame:
    """Return the rows with since <= at < until.

    Args:
        frame: Any frame.
        at: A moment for each of its rows, in UTC; a row without one is in no period.
        since: The begin, None for no bound.
        until: The end, None for no bound.

    Raises:
        ValueError: ``since`` or ``until`` is no moment.
    """
    chosen = pd.Series(True, index=frame.index)
    if since is not None:
        chosen &= at >= _moment(since, "since")
    if until is not None:
        chosen &= at < _moment(until, "until")
    return frame.loc[chosen]


def compare(
    compute: Callable[[pd.DataFrame], pd.DataFrame],
    frame: pd.DataFrame,
    at: pd.Series[Any],
    *,
    by: By | None = None,
    since: When | None = None,
    until: When | None = None,
    freq: str | None = None,
    personas: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Compute a frame for each group of personas.

    Args:
        compute: Computes it from the rows of ``frame`` of a group.
        frame: A frame with ``persona_id``.
        at: When the persona of each row was submitted.
        by: A column of ``personas``, a label in its column ``labels``, or a function of it. A
            column that holds lists, as ``labels`` does, makes a group of each text in them, so
            that a persona can be in several; a label makes two groups: with it and without it.
        since: Only personas that were submitted at this moment or later.
        until: Only personas that were submitted before this moment.
        freq: A period of ``FREQUENCIES``: a group for each in which a persona was submitted.
        personas: A row a persona, to group by; by default the first row of each in ``frame``.

    Returns:
        What ``compute`` returns for all chosen rows; with ``by`` or ``freq`` for each group one
        below the other, in order, behind the column ``group``: text, the name of the group.

    Raises:
        ValueError: An argument does not fit the frame.
    """
    check_frequency(freq)
    chosen = between(frame, at, since, until)
    if by is None and freq is None:
        return compute(chosen)
    require_columns(frame, ["persona_id"], "frame", "one with a row or more for each persona")
    ids = chosen["persona_id"]
    members = pd.DataFrame({"persona_id": ids.drop_duplicates()}).reset_index(drop=True)
    orders = []
    if by is not None:
        rows = chosen if personas is None else personas.loc[personas["persona_id"].isin(ids)]
        members = members.merge(_values(rows, by), how="left", on="persona_id")
        orders.append(_order(members["value"]))
        members["value"] = members["value"].map(_name)
    if freq is not None:
        starts = at.loc[chosen.index].groupby(ids).min()
        members["period"] = members["persona_id"].map(_periods(starts, freq))
        orders.append(sorted(members["period"].dropna().unique()))
    names = list(members.columns[1:])
    parts = []
    for key in pd.MultiIndex.from_product(orders):
        inside = (members[names] == list(key)).all(axis=1)
        if inside.any():
            part = compute(chosen.loc[ids.isin(members.loc[inside, "persona_id"])])
            part.insert(0, GROUP, ", ".join(key))
            parts.append(part)
    if not parts:
        part = compute(chosen).head(0)
        part.insert(0, GROUP, "")
        parts.append(part)
    return pd.concat(parts, ignore_index=True).astype({GROUP: "str"})


_WITH_LABELS = "one with labels: store.personas(), session.visits(), or carry=['labels']"


def _values(rows: pd.DataFrame, by: By) -> pd.DataFrame:
    """Return the value of each persona, or a row for each of its values."""
    first = rows.drop_duplicates("persona_id")
    if callable(by):
        values = list(by(first))
        if len(values) != len(first):
            raise ValueError("by must return a value for each row of the frame that it is given.")
    elif by in rows.columns:
        values = first[by].tolist()
        is_list = any(isinstance(value, list) for value in values)
        if not is_list and (rows.groupby("persona_id")[by].nunique(dropna=False) > 1).any():
            raise ValueError(f"by={by!r} differs within an avatar; choose a column that does not.")
    else:
        require_columns(rows, ["labels"], f"The frame to divide by={by!r}", _WITH_LABELS)
        labels = set(explode_labels(first)["label"].dropna())
        if by not in labels and len(first):
            known = ", ".join(sorted(labels)[:10]) or "none"
            raise ValueError(f"by={by!r} is neither a column nor a label; the labels are: {known}.")
        values = [by if by in labels else f"{_WITHOUT}{by}" for labels in first["labels"]]
    values = [value or [NO_LABEL] if isinstance(value, list) else value for value in values]
    frame = pd.DataFrame({"persona_id": first["persona_id"].to_numpy()})
    frame["value"] = pd.Series(values, index=frame.index, dtype="object")
    return frame.explode("value", ignore_index=True).drop_duplicates()


def _order(values: pd.Series[Any]) -> list[str]:
    """Return the names of the groups, by value, those of no value last."""
    found: list[Any] = list(values.dropna().unique())
    try:
        found.sort()
    except TypeError:  # of several types
        found.sort(key=str)
    names = [_name(value) for value in found]
    names.sort(key=lambda name: (name == NO_LABEL, name.startswith(_WITHOUT)))
    return list(dict.fromkeys([*names, *([NO_VALUE] if values.isna().any() else [])]))


def _name(value: Hashable) -> str:
    return NO_VALUE if value is None or pd.isna(value) else str(value)  # type: ignore[call-overload] # a scalar


def _periods(at: pd.Series[Any], freq: str) -> pd.Series[str]:
    """Return the name of each moment's period; a week is named by its Monday."""
    period = at.dt.tz_convert(None).dt.to_period(freq)
    names = period.dt.strftime("%Y-%m-%d") if freq == "D" else period.astype("str")
    if freq == "W":
        names = "week of " + period.dt.start_time.dt.strftime("%Y-%m-%d")
    named: pd.Series[str] = names.where(at.notna())
    return named


def check_frequency(freq: str | None) -> None:
    """Check that ``freq`` is one of ``FREQUENCIES``, or None.

    Raises:
        ValueError: It is not.
    """
    if freq is not None and freq not in FREQUENCIES:
        known = ", ".join(f"{letter} ({name})" for letter, name in FREQUENCIES.items())
        raise ValueError(f"freq={freq!r} is no period; choose one of {known}.")


def _moment(value: When, name: str) -> pd.Timestamp:
    try:
        at = pd.Timestamp(value)
        if pd.isna(at):
            raise ValueError
    except (ValueError, TypeError):
        raise ValueError(f"{name}={value!r} is no moment; write it as in 2026-03-01.") from None
    if at.tzinfo is None and isinstance(value, datetime):
        raise ValueError(f"{name} must carry a time zone, such as clock.now() has.")
    return at.tz_localize("UTC") if at.tzinfo is None else at.tz_convert("UTC")
