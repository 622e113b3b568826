"""Sightings as arrays: an element a run of one status, in order, as far as a moment has it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from avatarkit.models import STAGES, TERMINAL, UNKNOWN, ProcessStatus

RANKS = {status.value: rank for rank, status in enumerate((*STAGES, ProcessStatus.DONE))}
NAT = np.datetime64("NaT", "us")

Moments = np.ndarray[Any, np.dtype[np.datetime64]]
Numbers = np.ndarray[Any, np.dtype[np.int64]]
Flags = np.ndarray[Any, np.dtype[np.bool_]]

_NEEDED = ("persona_id", "status", "first_seen_at", "last_seen_at", "reported_at", "source")
_ENDS = frozenset(status.value for status in TERMINAL)


class Runs:
    """The sightings as arrays, one element a run: sorted, cut to ``now``, neighbours merged."""

    def __init__(self, sightings: pd.DataFrame, now: np.datetime64) -> None:
        frame = sightings.loc[:, list(_NEEDED)]
        first = _moments(frame["first_seen_at"])
        if (late := first > now).any():
            frame, first = frame.loc[~late], first[~late]
        persona, names = pd.factorize(frame["persona_id"].astype("str"), sort=True)
        if not _in_order(persona, first):
            order = np.lexsort((first, persona))
            frame, first, persona = frame.iloc[order], first[order], persona[order]
        status, status_names = pd.factorize(frame["status"].astype("str").fillna(UNKNOWN))

        starts = np.ones(len(frame), dtype=bool)
        starts[1:] = (persona[1:] != persona[:-1]) | (status[1:] != status[:-1])
        stops = np.append(starts[1:], True)[: len(frame)]
        last = np.minimum(np.maximum(_moments(frame["last_seen_at"]), first), now)

        self.size = int(starts.sum())
        self.persona: Numbers = persona[starts].astype(np.int64)
        self.persona_ids = pd.Index(names, dtype="str")
        self.status: Numbers = status[starts].astype(np.int64)
        self.status_names = list(status_names)
        self.first_seen: Moments = first[starts]
        self.last_seen: Moments = last[stops]
        self.reported: Moments = _moments(frame["reported_at"])[starts]
        self.submitted_here: Flags = (frame["source"] == "create").to_numpy(dtype=bool)[starts]

        self.is_first: Flags = np.ones(self.size, dtype=bool)
        self.is_first[1:] = self.persona[1:] != self.persona[:-1]
        self.is_last: Flags = np.append(self.is_first[1:], True)[: self.size]
        ranks = [RANKS.get(name, -1) for name in self.status_names]
        self.rank: Numbers = np.array(ranks, dtype=np.int64)[self.status]
        ends = [name in _ENDS for name in self.status_names]
        self.is_end: Flags = np.array(ends, dtype=bool)[self.status]


def runs_until(sightings: pd.DataFrame, now: datetime) -> Runs:
    """The runs first seen by ``now``. Raises ``ValueError`` without a zone or a column."""
    if now.tzinfo is None:
        raise ValueError("now must carry a time zone; use the session's clock: clock.now().")
    _check_columns(sightings, _NEEDED, "sightings", "store.sightings()")
    return Runs(sightings, pd.Timestamp(now).tz_convert("UTC").tz_localize(None).to_datetime64())


def created_at(persona_ids: pd.Index[str], personas: pd.DataFrame | None) -> Moments:
    """When each persona was created, by ``personas``; NaT where that does not say."""
    if personas is None:
        return np.full(len(persona_ids), NAT)
    _check_columns(personas, ("persona_id", "created_at"), "personas", "store.personas()")
    ids = personas["persona_id"].astype("str")
    known = pd.Series(_moments(personas["created_at"]), index=pd.Index(ids))
    known = known.loc[~known.index.duplicated()]
    return _moments(known.reindex(persona_ids))


def gone_now(persona_ids: pd.Index[str], personas: pd.DataFrame | None) -> Flags:
    """Which personas the API knows no more, by ``personas``."""
    if personas is None or "gone" not in personas.columns:
        return np.zeros(len(persona_ids), dtype=bool)
    gone = personas.loc[personas["gone"].to_numpy(dtype=bool), "persona_id"]
    return np.asarray(persona_ids.isin(gone.astype("str")), dtype=bool)


def _check_columns(frame: pd.DataFrame, names: tuple[str, ...], what: str, instead: str) -> None:
    if missing := [name for name in names if name not in frame.columns]:
        raise ValueError(f"{what} has no column {', '.join(missing)}; pass {instead}.")


def _moments(column: pd.Series[Any]) -> Moments:
    """UTC moments without a zone, as NumPy computes with them."""
    aware = pd.to_datetime(column, utc=True)
    return np.asarray(aware.dt.tz_localize(None).to_numpy(), dtype="datetime64[us]")


def _in_order(persona: Numbers, first: Moments) -> bool:
    same = persona[1:] == persona[:-1]
    later = (first[1:] >= first[:-1]) | ~same
    return bool(((persona[1:] >= persona[:-1]) & later).all())
