"""What the pages estimate from the log: worked out once for all tabs, beside their reruns.

A page reruns every few seconds in every tab, and an estimate may take longer than that. So each is
kept while the log is the same, is worked out by a thread of its own, and is not worked out again
before ten times as long has passed as it took; until then a page shows the one before.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar, cast
from weakref import WeakKeyDictionary

import pandas as pd

from avatarkit import flow
from avatarkit.clock import Clock
from avatarkit.estimates import backtest, durations, eta, outcomes
from avatarkit.history import coverage, stages
from avatarkit.session import Session
from avatarkit.store.store import Store

FIRST_S = 1.0
"""So long a page waits for an estimate that is not there yet, then shows the rest without it."""

NEXT_S = 0.1
"""So long it waits for a newer one before it shows the one before."""

PAUSE = 10
"""An estimate is worked out again after so many times what it took."""

_STATE = ["persona_id", "status", "created_at", "last_seen_at", "gone"]

Value = TypeVar("Value")


@dataclass(frozen=True)
class Log:
    """The log of an account, with the visits and lives that follow from it.

    ``now`` is the moment of reading, on the session's clock; ``state`` is another one whenever
    the log is.
    """

    personas: pd.DataFrame
    sightings: pd.DataFrame
    visits: pd.DataFrame
    lives: pd.DataFrame
    now: datetime
    state: Hashable


@dataclass(frozen=True)
class StageTimes:
    """The frame of ``durations.summarize``, and the hours after which a persona is late."""

    summary: pd.DataFrame
    late_after: pd.Series[float]


@dataclass(frozen=True)
class Ends:
    """The frames of ``outcomes`` and those of ``flow`` that come of lives."""

    incidence: pd.DataFrame
    chances: pd.DataFrame
    totals: pd.DataFrame
    percentiles: pd.DataFrame


class Kept(Generic[Value]):
    """One estimate: its last value, the state that it is of, and when it may be renewed."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._working: Future[tuple[Value, float]] | None = None
        self._coming: Hashable = None
        self._begun_at = 0.0
        self._value: Value | None = None
        self._state: Hashable = None
        self._again_at = 0.0

    def get(
        self,
        state: Hashable,
        work: Callable[[], Value],
        *,
        first_s: float | None = FIRST_S,
        next_s: float | None = NEXT_S,
    ) -> Value | None:
        """The value of ``state``, or the one before while it is too early for another.

        A value that is being worked out is waited for: the first for ``first_s`` wall seconds, a
        newer one for ``next_s``, None for as long as it takes. None when there is no value by
        then. What ``work`` raised is raised here.
        """
        with self._lock:
            self._take()
            is_old = state != self._state and self._clock.monotonic() >= self._again_at
            if (self._value is None or is_old) and self._working is None:
                self._coming, self._begun_at = state, self._clock.monotonic()
                self._working = _workers.submit(self._timed, work)
            working, patience = self._working, first_s if self._value is None else next_s
        if working is not None:
            # Who asks again in the same rerun does not wait again.
            waited = self._clock.monotonic() - self._begun_at
            wait([working], None if patience is None else max(0.0, patience - waited))
            with self._lock:
                self._take()
        return self._value

    def _timed(self, work: Callable[[], Value]) -> tuple[Value, float]:
        begun = self._clock.monotonic()
        return work(), self._clock.monotonic() - begun

    def _take(self) -> None:
        if self._working is not None and self._working.done():
            working, self._working = self._working, None
            self._value, took_s = working.result()
            self._state = self._coming
            self._again_at = self._clock.monotonic() + PAUSE * took_s


class Estimates:
    """All that is estimated for the pages of one session; made by ``of``.

    What is not there yet is None: the first time takes longer the more there is.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._log: Kept[Log] = Kept(clock)
        self._times: Kept[StageTimes] = Kept(clock)
        self._sure: Kept[pd.DataFrame] = Kept(clock)
        self._curves: Kept[pd.DataFrame] = Kept(clock)
        self._arrivals: Kept[pd.DataFrame] = Kept(clock)
        self._ends: Kept[Ends] = Kept(clock)
        self._certain: Kept[str] = Kept(clock)
        self._kept_word: Kept[str] = Kept(clock)

    def log(self) -> Log:
        """The log as it was a moment ago."""
        personas = self._store.personas()
        state = int(pd.util.hash_pandas_object(personas[_STATE], index=False).sum())

        def read() -> Log:
            now, sightings = self._clock.now(), self._store.sightings()
            visits = stages.visits(sightings, now=now, personas=personas)
            lives = stages.lives(sightings, now=now, personas=personas)
            return Log(personas, sightings, visits, lives, now, state)

        return cast(Log, self._log.get(state, read, first_s=None, next_s=None))

    def stage_times(self, log: Log) -> StageTimes | None:
        """How long each stage takes."""

        def work() -> StageTimes:
            return StageTimes(durations.summarize(log.visits), durations.late_after(log.visits))

        return self._times.get(log.state, work)

    def sure(self, log: Log) -> pd.DataFrame | None:
        """The summary with the intervals of the medians."""
        return self._sure.get(log.state, lambda: durations.summarize(log.visits, interval=True))

    def curves(self, log: Log) -> pd.DataFrame | None:
        """The fitted and the nonparametric curve of each stage."""
        return self._curves.get(log.state, lambda: durations.survival(log.visits))

    def arrivals(self, log: Log) -> pd.DataFrame | None:
        """When each running persona will be ready; nobody is late before stage times are known."""
        times, now = self.stage_times(log), self._clock.now()
        late_after = pd.Series(dtype="float64") if times is None else times.late_after
        minute = now.replace(second=0, microsecond=0)

        def work() -> pd.DataFrame:
            return eta.arrivals(
                log.sightings, now=now, personas=log.personas, late_after=late_after
            )

        return self._arrivals.get((log.state, minute, times is None), work)

    def ends(self, log: Log) -> Ends | None:
        """How lives end, and how long they take by submission."""

        def work() -> Ends:
            totals = flow.waiting(log.lives)
            return Ends(
                outcomes.incidence(log.lives),
                outcomes.chances(log.lives),
                totals,
                flow.waiting_percentiles(totals),
            )

        return self._ends.get(log.state, work)

    def certain(self, log: Log) -> str | None:
        """Of how much of the lives the log is certain, in a sentence."""

        def work() -> str:
            return coverage.sentence(
                coverage.certainty(log.visits, now=log.now, personas=log.personas)
            )

        return self._certain.get(log.state, work)

    def kept_word(self, log: Log) -> str | None:
        """How many past arrivals fell in their range, in a sentence."""

        def work() -> str:
            return backtest.sentence(
                backtest.replay(log.sightings, now=log.now, personas=log.personas)
            )

        return self._kept_word.get(log.state, work)


_workers = ThreadPoolExecutor(2, thread_name_prefix="avatarkit-estimates")
_lock = threading.Lock()
_of: WeakKeyDictionary[Session, Estimates] = WeakKeyDictionary()


def of(session: Session) -> Estimates:
    """The estimates of this session, the same ones for every tab."""
    with _lock:
        if session not in _of:
            _of[session] = Estimates(session.store, session.clock)
        return _of[session]
