"""Turn sightings into arrays with an element for each run of one status."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pandas as pd

from avatarkit.history import frames
from avatarkit.history.frames import Flags, Integers, Moments
from avatarkit.models import STAGES, TERMINAL, UNKNOWN, ProcessStatus

RANKS = {status.value: rank for rank, status in enumerate((*STAGES, ProcessStatus.DONE))}
"""The position of each stage in the API's order; ``done`` is the last."""

NAT = np.datetime64("NaT", "us")

_COLUMNS = ("persona_id", "status", "first_seen_at", "last_seen_at", "reported_at", "source")
_ENDS = frozenset(status.value for status in TERMINAL)


class Runs:
    """The runs as arrays: sorted by persona and time, cut to ``now``, equal neighbours merged.

    ``persona`` and ``status`` are positions in ``persona_ids`` and ``status_names``; ``rank`` is
    that of ``RANKS``, -1 for others; ``is_end`` is True for the three terminal statuses.
    """

    def __init__(self, sightings: pd.DataFrame, now: np.datetime64) -> None:
        frame = sightings.loc[:, list(_COLUMNS)]
        first = frames.utc_moments(frame["first_seen_at"])
        if (late := first > now).any():
            frame, first = frame.loc[~late], first[~late]
        persona, names = pd.factorize(frame["persona_id"].astype("str"), sort=True)
        order = np.lexsort((first, persona))
        if (np.diff(order) < 0).any():
            frame, first, persona = frame.iloc[order], first[order], persona[order]
        status, status_names = pd.factorize(frame["status"].astype("str").fillna(UNKNOWN))

        starts = np.ones(len(frame), dtype=bool)
        starts[1:] = (persona[1:] != persona[:-1]) | (status[1:] != status[:-1])
        stops = np.append(starts[1:], True)[: len(frame)]
        # Not raised to ``first``: that would say that the status lasted until then.
        last = np.minimum(frames.utc_moments(frame["last_seen_at"]), now)

        self.size = int(starts.sum())
        self.persona: Integers = persona[starts].astype(np.int64)
        self.persona_ids = pd.Index(names, dtype="str")
        self.status: Integers = status[starts].astype(np.int64)
        self.status_names = list(status_names)
        self.first_seen: Moments = first[starts]
        self.last_seen: Moments = last[stops]
        self.reported: Moments = frames.utc_moments(frame["reported_at"])[starts]
        self.submitted_here: Flags = (frame["source"] == "create").to_numpy(dtype=bool)[starts]

        self.is_first: Flags = np.ones(self.size, dtype=bool)
        self.is_first[1:] = self.persona[1:] != self.persona[:-1]
        self.is_last: Flags = np.append(self.is_first[1:], True)[: self.size]
        ranks = [RANKS.get(name, -1) for name in self.status_names]
        self.rank: Integers = np.array(ranks, dtype=np.int64)[self.status]
        ends = [name in _ENDS for name in self.status_names]
        self.is_end: Flags = np.array(ends, dtype=bool)[self.status]


def runs_until(sightings: pd.DataFrame, now: datetime) -> Runs:
    """Return the runs that had been seen by ``now``.

    Args:
        sightings: ``store.sightings()``.
        now: The moment, aware; runs first seen after it are left out.

    Raises:
        ValueError: ``now`` has no time zone, or a column is missing.
    """
    frames.require_aware(now)
    frames.require_columns(sightings, _COLUMNS, "sightings", "store.sightings()")
    return Runs(sightings, frames.utc_moment(now))


def created_at(persona_ids: pd.Index[str], personas: pd.DataFrame | None) -> Moments:
    """Return when each persona was created.

    Args:
        persona_ids: The personas.
        personas: ``store.personas()``, or any frame with ``persona_id`` and ``created_at``; its
            ``submitted_at`` is used if it exists.

    Returns:
        A moment in UTC for each id, never before its create was sent; NaT where unknown.
    """
    created = _moments(persona_ids, personas, "created_at")
    submitted = submitted_at(persona_ids, personas)
    # An API that writes local times without an offset may name an earlier moment.
    return np.where(created < submitted, submitted, created)


def submitted_at(persona_ids: pd.Index[str], personas: pd.DataFrame | None) -> Moments:
    """Return when the create of each persona was sent from here; NaT where it was not."""
    if personas is None or "submitted_at" not in personas.columns:
        return np.full(len(persona_ids), NAT)
    return _moments(persona_ids, personas, "submitted_at")


def _moments(persona_ids: pd.Index[str], personas: pd.DataFrame | None, name: str) -> Moments:
    if personas is None:
        return np.full(len(persona_ids), NAT)
    frames.require_columns(personas, ("persona_id", name), "personas", "store.personas()")
    known = personas[name].set_axis(pd.Index(personas["persona_id"].astype("str")))
    known = known.loc[~known.index.duplicated()]
    return frames.utc_moments(known.reindex(persona_ids))


def gone_now(persona_ids: pd.Index[str], personas: pd.DataFrame | None) -> Flags:
    """Return for each persona whether it is ``gone`` or not ``followed`` in ``personas``.

    Either way nothing more is seen of it.
    """
    if personas is None or "gone" not in personas.columns:
        return np.zeros(len(persona_ids), dtype=bool)
    is_gone = personas["gone"].to_numpy(dtype=bool)
    if "followed" in personas.columns:
        is_gone = is_gone | ~personas["followed"].to_numpy(dtype=bool)
    gone = personas.loc[is_gone, "persona_id"]
    return np.asarray(persona_ids.isin(gone.astype("str")), dtype=bool)
