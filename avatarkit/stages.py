"""From what was seen to when a stage can have begun and ended.

The log knows the moments at which somebody looked, not those at which something changed. So each
visit of a stage has four bounds: it was entered in ``(entered_after, entered_before]`` and left in
``(left_after, left_before]``, and its true duration lies between ``min_h`` and ``max_h``.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from avatarkit.models import STAGES, TERMINAL, UNKNOWN, ProcessStatus

FINISHED = "finished"
RUNNING = "running"
NEVER_SEEN = "never_seen"

_NEEDED = ("persona_id", "status", "first_seen_at", "last_seen_at", "reported_at", "source")
_RANKS = {status.value: rank for rank, status in enumerate((*STAGES, ProcessStatus.DONE))}
_ENDS = frozenset(status.value for status in TERMINAL)
_HOUR = np.timedelta64(1, "h")
_NAT = np.datetime64("NaT", "us")

Moments = np.ndarray[Any, np.dtype[np.datetime64]]
Numbers = np.ndarray[Any, np.dtype[np.int64]]
Flags = np.ndarray[Any, np.dtype[np.bool_]]


def visits(
    sightings: pd.DataFrame, *, now: datetime, personas: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Every visit of every persona to a stage, with bounds on its beginning and its end.

    ``sightings`` is ``store.sightings()``; a row is an unbroken run of one status. ``personas``
    (``store.personas()``, or any frame with ``persona_id`` and ``created_at``) says when a persona
    that was not submitted here was created. ``now`` is the moment that is looked from: runs first
    seen after it are left out and ``last_seen_at`` is cut to it, so a past moment can be replayed.

    Returns one row a persona and visit, ordered by ``persona_id`` and ``visit_no`` (1, 2, …), index
    0…n-1; an empty frame has the same columns and dtypes:

    - ``persona_id``, ``stage``, ``state``: text; ``visit_no``: int64.
    - ``entered_after``, ``entered_before``, ``left_after``, ``left_before``: datetime64[us, UTC];
      NaT where nothing bounds that side (``left_before`` while running, ``entered_after`` of a
      persona found midway whose creation is not known).
    - ``min_h``, ``max_h``: float64 hours; ``max_h`` is inf where a side is open.

    ``state`` is ``finished`` (something else was seen after it), ``running`` (it was the last
    thing seen) or ``never_seen``. How the bounds come about:

    - A change lies after the last look at the old status and not after the first look at the new.
    - ``reported_at``, the API's ``updated_at`` in the first answer with the new status, lowers
      the upper bound when it lies between those two looks. The object was last modified then, and
      already had the new status when we read it, so the change came no later. It says nothing of
      the lower bound: something else may have been modified after the change.
    - A persona submitted here entered its first status exactly at its ``created_at`` (which the
      log keeps as ``reported_at`` of the ``create``), or when it was first seen if that is
      earlier, as it can only be when two clocks disagree, or if the API did not say.
    - One found midway entered its first status between its creation and the first look; exactly
      at its creation if that status is ``pending``.
    - Stages that nobody saw are ``never_seen`` visits of 0 to the whole gap, when a later stage or
      ``done`` proves that they were passed. ``failed`` and ``rejected`` prove nothing, and nothing
      is concluded across them. A status that nobody has heard of is a visit as it came and proves
      nothing; the stages around it still do.
    - ``done``, ``failed`` and ``rejected`` are no visits; they end the one before. A stage seen
      again after another one is a further visit.

    Raises ``ValueError`` when ``now`` has no time zone or a column is missing.

    Source: the order of the statuses is the contract's enum, see ``ProcessStatus``.
    """
    runs = _runs(sightings, now)
    created = _created(runs.persona_ids, personas)[runs.persona]
    previous_last, entered_after, entered_before = _entries(runs, created)

    ended = ~runs.is_last
    left_after = runs.last_seen.copy()
    left_before = np.full(runs.size, _NAT)
    left_after[ended] = previous_last[1:][~runs.is_first[1:]]
    left_before[ended] = entered_before[1:][~runs.is_first[1:]]

    # A gap of unseen stages belongs to the run after it, which proves them.
    skipped, first_rank, gap_start = _skipped(runs, entered_after)
    rows = skipped + 1
    of_run = np.repeat(np.arange(runs.size), rows)
    nth = np.arange(of_run.size) - np.repeat(np.cumsum(rows) - rows, rows)
    unseen = nth < skipped[of_run]
    kept = unseen | ~runs.is_end[of_run]
    of_run, nth, unseen = of_run[kept], nth[kept], unseen[kept]

    def bound(of_seen: Moments, of_unseen: Moments) -> Moments:
        return np.where(unseen, of_unseen[of_run], of_seen[of_run])

    bounds = {
        "entered_after": bound(entered_after, gap_start),
        "entered_before": bound(entered_before, entered_before),
        "left_after": bound(left_after, gap_start),
        "left_before": bound(left_before, entered_before),
    }
    stage_names = pd.Index([*runs.status_names, *_RANKS], dtype="str")
    stage = np.where(unseen, len(runs.status_names) + first_rank[of_run] + nth, runs.status[of_run])
    state_names = pd.Index([FINISHED, RUNNING, NEVER_SEEN], dtype="str")
    state = np.where(unseen, 2, runs.is_last[of_run].astype(np.int64))
    least = (bounds["left_after"] - bounds["entered_before"]) / _HOUR
    most = (bounds["left_before"] - bounds["entered_after"]) / _HOUR
    persona = runs.persona[of_run]
    return pd.DataFrame(
        {
            "persona_id": runs.persona_ids.take(persona),
            "visit_no": _number_within(persona),
            "stage": stage_names.take(stage),
            "state": state_names.take(state),
            **{name: pd.Series(at).dt.tz_localize("UTC") for name, at in bounds.items()},
            "min_h": np.maximum(least, 0.0),
            "max_h": np.where(np.isnan(most), np.inf, most),
        }
    )


def lives(
    sightings: pd.DataFrame, *, now: datetime, personas: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Every persona from its beginning to its end, with bounds on both.

    The arguments are those of ``visits``, and so are the rules for the bounds. Returns one row a
    persona, ordered by ``persona_id``, index 0…n-1; an empty frame has the same columns and dtypes:

    - ``persona_id``, ``status`` (the last one seen): text.
    - ``state``: text; ``done``, ``failed``, ``rejected``, or ``running``.
    - ``began_after``, ``began_before``: datetime64[us, UTC], between which it was created: the same
      moment twice where ``created_at`` is known, ``began_after`` NaT where nothing bounds it.
    - ``seen_from``: datetime64[us, UTC], since when it is followed: its creation if it was
      submitted here, else the first look.
    - ``ended_after``, ``ended_before``: datetime64[us, UTC], between which it ended. While it runs
      ``ended_after`` is the last look and ``ended_before`` NaT; for what was found already ended
      ``ended_after`` is its creation, NaT where that is not known.
    - ``min_h``, ``max_h``: float64 hours of the whole life; ``max_h`` is inf where a side is open.

    Raises ``ValueError`` when ``now`` has no time zone or a column is missing.
    """
    runs = _runs(sightings, now)
    created = _created(runs.persona_ids, personas)[runs.persona]
    previous_last, entered_after, entered_before = _entries(runs, created)
    first, last = runs.is_first, runs.is_last
    here = runs.submitted_here[first]
    unknown = np.isnat(created[first]) & ~here
    # Neither its first status nor the API's updated_at can be older than the persona.
    began_before = np.where(here | unknown, entered_before[first], entered_after[first])
    began_after = np.where(unknown, _NAT, began_before)

    end = runs.is_end[last]
    ended_after = np.where(end, previous_last[last], runs.last_seen[last])
    found_ended = end & first[last]
    ended_after[found_ended] = entered_after[last][found_ended]
    ended_before = np.where(end, entered_before[last], _NAT)
    status = pd.Index(runs.status_names, dtype="str").take(runs.status[last])
    most = (ended_before - began_after) / _HOUR
    bounds: dict[str, Moments] = {
        "began_after": began_after,
        "began_before": began_before,
        "seen_from": np.where(here, began_before, runs.first_seen[first]),
        "ended_after": ended_after,
        "ended_before": ended_before,
    }
    return pd.DataFrame(
        {
            "persona_id": runs.persona_ids.take(runs.persona[last]),
            "status": status,
            "state": status.where(end, RUNNING),
            **{name: pd.Series(at).dt.tz_localize("UTC") for name, at in bounds.items()},
            "min_h": np.fmax((ended_after - began_before) / _HOUR, 0.0),
            "max_h": np.where(np.isnan(most), np.inf, most),
        }
    )


class _Runs:
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
        ranks = [_RANKS.get(name, -1) for name in self.status_names]
        self.rank: Numbers = np.array(ranks, dtype=np.int64)[self.status]
        ends = [name in _ENDS for name in self.status_names]
        self.is_end: Flags = np.array(ends, dtype=bool)[self.status]


def _runs(sightings: pd.DataFrame, now: datetime) -> _Runs:
    if now.tzinfo is None:
        raise ValueError("now must carry a time zone; use the session's clock: clock.now().")
    _check_columns(sightings, _NEEDED, "sightings", "store.sightings()")
    return _Runs(sightings, pd.Timestamp(now).tz_convert("UTC").tz_localize(None).to_datetime64())


def _entries(runs: _Runs, created: Moments) -> tuple[Moments, Moments, Moments]:
    """(the last look before each run, entered_after, entered_before)."""
    previous_last = np.full(runs.size, _NAT)
    # Two machines that look at once may log runs that overlap a little.
    previous_last[1:] = np.minimum(runs.last_seen[:-1], runs.first_seen[1:])
    previous_last[runs.is_first] = _NAT

    after = np.where(runs.is_first, np.fmin(created, runs.first_seen), previous_last)
    after[runs.is_first & np.isnat(created)] = _NAT
    tighter = (runs.reported < runs.first_seen) & (np.isnat(after) | (runs.reported > after))
    before = np.where(tighter, runs.reported, runs.first_seen)

    here = runs.is_first & runs.submitted_here
    before[here] = np.fmin(runs.reported, runs.first_seen)[here]
    after[here] = before[here]
    found = runs.is_first & ~here & (runs.rank == 0) & ~np.isnat(after)
    before[found] = after[found]
    return previous_last, after, before


def _skipped(runs: _Runs, entered_after: Moments) -> tuple[Numbers, Numbers, Moments]:
    """For each run: how many stages it proves unseen, the first one's rank, since when."""
    index = np.arange(runs.size)
    start = np.maximum.accumulate(np.where(runs.is_first, index, 0))
    heard_of = (runs.rank >= 0) | runs.is_end
    latest = np.maximum.accumulate(np.where(heard_of, index, -1))
    before = np.append(-1, latest[:-1])[: runs.size]
    follows = before >= start

    rank_before = np.where(follows, runs.rank[before], -1)
    since = np.where(follows, runs.last_seen[before], entered_after[start])
    # Where it was first seen it had been put by its creator: nothing was passed before.
    proves = np.where(follows, ~runs.is_end[before], ~(runs.is_first & runs.submitted_here))
    proves &= ~np.isnat(since)
    skipped = np.where(proves, np.maximum(runs.rank - rank_before - 1, 0), 0)
    return skipped, rank_before + 1, np.fmin(since, runs.first_seen)


def _created(persona_ids: pd.Index[str], personas: pd.DataFrame | None) -> Moments:
    if personas is None:
        return np.full(len(persona_ids), _NAT)
    _check_columns(personas, ("persona_id", "created_at"), "personas", "store.personas()")
    ids = personas["persona_id"].astype("str")
    known = pd.Series(_moments(personas["created_at"]), index=pd.Index(ids))
    known = known.loc[~known.index.duplicated()]
    return _moments(known.reindex(persona_ids))


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


def _number_within(persona: Numbers) -> Numbers:
    index = np.arange(persona.size)
    begins = np.ones(persona.size, dtype=bool)
    begins[1:] = persona[1:] != persona[:-1]
    numbers: Numbers = index - np.maximum.accumulate(np.where(begins, index, 0)) + 1
    return numbers
