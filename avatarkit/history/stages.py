"""Compute visits of stages and whole lives, with bounds on when each began and ended.

The log has the moments of polls, not those of changes. So each visit of a stage has four bounds:
it was entered in ``(entered_after, entered_before]`` and left in ``(left_after, left_before]``, and
its true duration lies between ``min_h`` and ``max_h``.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from avatarkit.history import groups
from avatarkit.history.frames import Floats, Frame, Integers, Moments, utc_series
from avatarkit.history.runs import NAT, RANKS, Runs, created_at, gone_now, runs_until, submitted_at

__all__ = ["BOUNDS", "FINISHED", "NEVER_SEEN", "RUNNING", "lives", "poll_bounds", "visits"]

FINISHED = "finished"
RUNNING = "running"
NEVER_SEEN = "never_seen"

BOUNDS = ("entered_after", "entered_before", "left_after", "left_before")
"""The bounds of a visit, in this order."""

_HOUR = np.timedelta64(1, "h")


def visits(
    sightings: pd.DataFrame,
    *,
    now: datetime,
    personas: pd.DataFrame | None = None,
    carry: Iterable[str] = (),
) -> pd.DataFrame:
    """Return every visit of every persona to a stage, with bounds on its beginning and its end.

    Args:
        sightings: ``store.sightings()``; a row is an unbroken run of one status.
        now: The moment, aware. Runs first seen after it are left out and ``last_seen_at`` is cut to
            it, so that a past moment can be replayed.
        personas: ``store.personas()``, or any frame with ``persona_id`` and ``created_at``, for the
            creation times of personas that were not submitted here; ``submitted_at`` is used if it
            exists, as no persona was created before its create was sent.
        carry: Columns of ``personas`` to add at the end, such as ``["creator_name", "labels"]``.

    Returns:
        A row a persona and visit, ordered by ``persona_id`` and ``visit_no``, index 0…n-1; an empty
        frame has the same columns and dtypes:

        - ``persona_id``, ``stage``: text; ``visit_no``: int64, 1, 2, … within the persona.
        - ``state``: text; ``finished`` (another status was seen after it), ``running`` (it was the
          last status seen) or ``never_seen``.
        - ``entered_after``, ``entered_before``, ``left_after``, ``left_before``: datetime64[us,
          UTC]; NaT where nothing bounds that side (``left_before`` while running,
          ``entered_after`` of a persona found midway whose creation is not known).
        - ``min_h``, ``max_h``: float64 hours; ``max_h`` is inf where a side is open.
        - ``entered_seen_at``, ``left_seen_at``: datetime64[us, UTC], the upper bounds by polls
          alone, which the estimates need; see ``poll_bounds``.

        Rules of the bounds:

        - A change lies after the last poll with the old status and not after the first one with
          the new status.
        - ``reported_at``, the API's ``updated_at`` in the first answer with the new status, lowers
          the upper bound when it lies between those two polls: the object was last modified then
          and already had the new status. It does not affect the lower bound, as something else may
          have been modified after the change.
        - A persona submitted here entered its first status exactly at its ``created_at``, which is
          ``reported_at`` of the sighting from the ``create``; or when it was first seen, if that is
          earlier (the clocks disagree) or the API did not send it. It was not created before its
          create was sent, whatever the API says.
        - A persona found midway entered its first status between its creation and the first poll,
          and exactly at its creation if that status is ``pending``.
        - Stages that no poll saw are ``never_seen`` visits of 0 to the whole gap when a later stage
          or ``done`` proves that they were passed. ``failed`` and ``rejected`` prove nothing, and
          nothing is concluded across them. An undocumented status is a visit like any other but
          proves nothing; the stages before and after it still do.
        - ``done``, ``failed`` and ``rejected`` are not visits; they end the one before. A stage
          seen again after another one is a further visit.

    Raises:
        ValueError: ``now`` has no time zone, or a column is missing.

    Source:
        The order of the statuses is that of the contract's enum, see ``ProcessStatus``.
    """
    runs = runs_until(sightings, now)
    entered_after, entered_before, entered_seen = _entries(runs, personas)
    # A run is left where the next one of the persona is entered.
    lasted = np.fmax(runs.last_seen, entered_after)
    left_after = np.where(runs.is_last, lasted, np.roll(entered_after, -1))
    left_before = np.where(runs.is_last, NAT, np.roll(entered_before, -1))
    left_seen = np.where(runs.is_last, NAT, np.roll(entered_seen, -1))

    # Unseen stages are rows before the run that proves them.
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
    seen = {
        "entered_seen_at": bound(entered_seen, entered_seen),
        "left_seen_at": bound(left_seen, entered_seen),
    }
    stage_names = pd.Index([*runs.status_names, *RANKS], dtype="str")
    stage = np.where(unseen, len(runs.status_names) + first_rank[of_run] + nth, runs.status[of_run])
    state_names = pd.Index([FINISHED, RUNNING, NEVER_SEEN], dtype="str")
    state = np.where(unseen, 2, runs.is_last[of_run].astype(np.int64))
    persona = runs.persona[of_run]
    frame = Frame(
        {
            "persona_id": runs.persona_ids.take(persona),
            "visit_no": np.arange(persona.size) - np.searchsorted(persona, persona) + 1,
            "stage": stage_names.take(stage),
            "state": state_names.take(state),
            **{name: utc_series(at) for name, at in bounds.items()},
            "min_h": _lower_h(bounds["left_after"] - bounds["entered_before"]),
            "max_h": _upper_h(bounds["left_before"] - bounds["entered_after"]),
            **{name: utc_series(at) for name, at in seen.items()},
        }
    )
    return groups.carry(frame, personas, carry)


def poll_bounds(visits: pd.DataFrame) -> pd.DataFrame:
    """Return the same visits with the bounds that polls alone give, for estimates.

    The API's ``updated_at`` is often the exact moment of the change. An interval that is cut there
    always has the true moment at its end, and an estimate that takes all moments in it as equally
    likely is biased: by 40 % in a simulation of polls every 6 h and stages of 4 h. For the same
    reason a persona found in ``pending`` entered it between its creation and the first poll.

    Args:
        visits: The frame of ``stages.visits``; one without ``entered_seen_at`` and
            ``left_seen_at`` is returned as it is.
    """
    if not {"entered_seen_at", "left_seen_at"} <= set(visits.columns):
        return visits
    entered, left = visits["entered_seen_at"], visits["left_seen_at"]
    return visits.assign(
        entered_before=entered,
        left_before=left,
        min_h=_lower_h(visits["left_after"] - entered),
        max_h=_upper_h(left - visits["entered_after"]),
    )


def lives(
    sightings: pd.DataFrame,
    *,
    now: datetime,
    personas: pd.DataFrame | None = None,
    carry: Iterable[str] = (),
) -> pd.DataFrame:
    """Return the life of every persona, from its creation to its end, with bounds on both.

    Args:
        sightings: As for ``visits``.
        now: As for ``visits``.
        personas: As for ``visits``; the column ``gone`` is used if it exists.
        carry: As for ``visits``.

    Returns:
        A row a persona, ordered by ``persona_id``, index 0…n-1; an empty frame has the same columns
        and dtypes. The bounds follow the rules of ``visits`` but come from polls alone, see
        ``poll_bounds``.

        - ``persona_id``, ``status`` (the last one seen): text.
        - ``state``: text; ``done``, ``failed``, ``rejected``, or ``running``.
        - ``began_after``, ``began_before``: datetime64[us, UTC], between which it was created: the
          same moment twice where ``created_at`` is known, ``began_after`` NaT where nothing bounds
          it.
        - ``seen_from``: datetime64[us, UTC], when its observation began: at its creation if it was
          submitted here, else at the first poll.
        - ``ended_after``, ``ended_before``: datetime64[us, UTC], between which it ended. While it
          runs, ``ended_after`` is the last poll and ``ended_before`` NaT; of a persona found
          already ended, ``ended_after`` is its creation, NaT where that is not known.
        - ``min_h``, ``max_h``: float64 hours of the whole life; ``max_h`` is inf where a side is
          open.
        - ``gone``: bool; the API no longer finds it, or it is not followed any longer (by
          ``personas``), and no end was seen.
        - ``found_ended``: bool; it had ended already when it was first seen, and that was not in
          the answer to its create.

    Raises:
        ValueError: ``now`` has no time zone, or a column is missing.
    """
    runs = runs_until(sightings, now)
    entered_after, _, entered_seen = _entries(runs, personas)
    first, last = runs.is_first, runs.is_last
    # Where the creation is known it is the lower bound of the first status.
    began_after = entered_after[first]
    began_before = np.where(np.isnat(began_after), entered_seen[first], began_after)

    end = runs.is_end[last]
    lasted = np.fmax(runs.last_seen, entered_after)
    ended_after = np.where(end, entered_after[last], lasted[last])
    ended_before = np.where(end, entered_seen[last], NAT)
    status = pd.Index(runs.status_names, dtype="str").take(runs.status[last])
    bounds: dict[str, Moments] = {
        "began_after": began_after,
        "began_before": began_before,
        "seen_from": np.where(runs.submitted_here[first], began_before, runs.first_seen[first]),
        "ended_after": ended_after,
        "ended_before": ended_before,
    }
    frame = Frame(
        {
            "persona_id": runs.persona_ids.take(runs.persona[last]),
            "status": status,
            "state": status.where(end, RUNNING),
            **{name: utc_series(at) for name, at in bounds.items()},
            "min_h": _lower_h(ended_after - began_before),
            "max_h": _upper_h(ended_before - began_after),
            "gone": gone_now(runs.persona_ids, personas) & ~end,
            "found_ended": runs.is_end[first] & ~runs.submitted_here[first],
        }
    )
    return groups.carry(frame, personas, carry)


def _lower_h(spans: Any) -> Floats:
    return np.asarray(np.fmax(spans / _HOUR, 0.0), dtype="float64")


def _upper_h(spans: Any) -> Floats:
    hours = spans / _HOUR
    return np.where(np.isnan(hours), np.inf, hours)


def _entries(runs: Runs, personas: pd.DataFrame | None) -> tuple[Moments, Moments, Moments]:
    """Return entered_after, entered_before and entered_seen of each run."""
    created = created_at(runs.persona_ids, personas)[runs.persona]
    submitted = runs.is_first & runs.submitted_here
    sent = submitted_at(runs.persona_ids, personas)[runs.persona]
    begun = np.where(runs.reported < sent, sent, runs.reported)
    created = np.where(submitted, np.fmin(begun, runs.first_seen), created)
    after = np.where(runs.is_first, created, np.roll(runs.last_seen, 1))
    # A run is sure as of asking: for one seen once that may be before the run before it was seen.
    after = pd.Series(after).groupby(runs.persona).cummax().to_numpy()
    after = np.minimum(after, runs.first_seen)
    tighter = (runs.reported < runs.first_seen) & (np.isnat(after) | (runs.reported > after))
    before = np.where(tighter, runs.reported, runs.first_seen)

    before[submitted] = after[submitted]
    seen = np.where(submitted, before, runs.first_seen)
    found = runs.is_first & ~submitted & (runs.rank == 0) & ~np.isnat(after)
    before[found] = after[found]
    return after, before, seen


def _skipped(runs: Runs, entered_after: Moments) -> tuple[Integers, Integers, Moments]:
    """Return for each run how many unseen stages it proves, their first rank, and their start."""
    index = np.arange(runs.size)
    start = np.maximum.accumulate(np.where(runs.is_first, index, 0))
    known = (runs.rank >= 0) | runs.is_end
    latest = np.maximum.accumulate(np.where(known, index, -1))
    before = np.append(-1, latest[:-1])[: runs.size]
    follows = before >= start

    rank_before = np.where(follows, runs.rank[before], -1)
    lasted = np.fmax(runs.last_seen, entered_after)
    since = np.where(follows, lasted[before], entered_after[start])
    # A persona submitted here began in its first status: no stage was passed before.
    proves = np.where(follows, ~runs.is_end[before], ~(runs.is_first & runs.submitted_here))
    proves &= ~np.isnat(since)
    skipped = np.where(proves, np.maximum(runs.rank - rank_before - 1, 0), 0)
    return skipped, rank_before + 1, np.fmin(since, runs.first_seen)
