"""Compute the estimates of the pages once for all tabs, in background threads.

A page reruns every few seconds in every tab, and an estimate may take longer than that. Streamlit's
``cache_resource(refresh_mode="background")`` does not fit: its ``ttl`` is fixed, while an estimate
takes milliseconds or minutes; it computes again even if the log is the same; a page waits for a
value that was not read for two ttls; and the error of a refresh is only logged.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Generic, TypeVar, cast

import pandas as pd

from avatarkit.clock import Clock
from avatarkit.estimates import backtest, durations, eta, outcomes, waiting
from avatarkit.history import coverage, flow, stages
from avatarkit.store.store import Store

FIRST_WAIT_S = 1.0
"""Wall seconds that a page waits for an estimate that is not there yet."""

REFRESH_WAIT_S = 0.1
"""Wall seconds that a page waits for a newer estimate before it shows the one before."""

PAUSE = 10
"""An estimate that took t seconds is computed again after this many times t at the earliest."""

_KEY_COLUMNS = [
    *("persona_id", "status", "created_at", "last_seen_at"),
    *("gone", "followed", "deleted_at"),
]

Value = TypeVar("Value")


class BackgroundValue(Generic[Value]):
    """A value that a thread recomputes when its key has changed, for at most 10 % of the time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._future: Future[tuple[Value, Hashable, float]] | None = None
        self._value: Value | None = None
        self._key: Hashable = None
        self._started_s = self._due_s = 0.0

    def get(
        self, key: Hashable, compute: Callable[[], Value], *, patient: bool = False
    ) -> Value | None:
        """Return the value of ``key``, or the one before while that is computed or not due.

        Args:
            key: Identifies the input of ``compute``; the value is recomputed when it changes.
            compute: Called in a thread, by one caller at a time.
            patient: Wait as long as it takes, instead of ``FIRST_WAIT_S`` or ``REFRESH_WAIT_S``
                wall seconds since the thread began.

        Returns:
            None when there is no value yet.

        Raises:
            Exception: Whatever ``compute`` raised, once; the next call computes again.
        """
        with self._lock:
            self._collect()
            now_s = self._clock.monotonic()
            if self._future is None and key != self._key and now_s >= self._due_s:
                self._started_s = now_s
                self._future = _workers.submit(self._run, key, compute)
            future = self._future
            timeout_s = FIRST_WAIT_S if self._value is None else REFRESH_WAIT_S
            # A second call in the same rerun does not wait again.
            left_s = max(0.0, self._started_s + timeout_s - now_s)
        if future is not None:
            wait([future], None if patient else left_s)
            with self._lock:
                self._collect()
        return self._value

    def _run(self, key: Hashable, compute: Callable[[], Value]) -> tuple[Value, Hashable, float]:
        started_s = self._clock.monotonic()
        value = compute()
        return value, key, self._clock.monotonic() - started_s

    def _collect(self) -> None:
        if self._future is not None and self._future.done():
            future, self._future = self._future, None
            self._value, self._key, took_s = future.result()
            self._due_s = self._clock.monotonic() + PAUSE * took_s


@dataclass(frozen=True)
class StageTimes:
    """The percentiles of each stage, and the hours after which a persona is late in it."""

    summary: pd.DataFrame
    late_after: pd.Series[float]


@dataclass(frozen=True)
class Log:
    """The log of an account at one moment, and the estimates computed from it."""

    personas: pd.DataFrame
    """The frame of ``store.personas()``."""
    sightings: pd.DataFrame
    """The frame of ``store.sightings()``."""
    now: datetime
    """When it was read, on the session's clock."""
    key: Hashable
    """Changes whenever the log has changed."""

    @cached_property
    def visits(self) -> pd.DataFrame:
        """The frame of ``stages.visits``."""
        return stages.visits(self.sightings, now=self.now, personas=self.personas)

    @cached_property
    def lives(self) -> pd.DataFrame:
        """The frame of ``stages.lives``."""
        return stages.lives(self.sightings, now=self.now, personas=self.personas)

    @cached_property
    def fit(self) -> durations.Fit:
        """The distribution of each stage, fitted when first asked for."""
        return durations.fit(self.visits)

    def stage_times(self) -> StageTimes:
        """Return how long each stage takes."""
        return StageTimes(self.fit.summary(), self.fit.late_after())

    def median_intervals(self) -> pd.DataFrame:
        """Return the summary with the confidence intervals of the medians."""
        return self.fit.summary(interval=True)

    def survival(self) -> pd.DataFrame:
        """Return the fitted and the nonparametric curve of each stage."""
        return self.fit.survival()

    def outcomes(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Return the frames of ``outcomes.incidence`` and ``outcomes.chances``."""
        return outcomes.incidence(self.lives), outcomes.chances(self.lives)

    def waiting_times(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Return the frames of ``waiting.waiting`` and ``waiting.waiting_percentiles``."""
        totals = waiting.waiting(self.lives)
        return totals, waiting.waiting_percentiles(totals)

    def in_flight(self) -> pd.DataFrame:
        """Return how many personas stood in each status at the end of each day."""
        return flow.cumulative(self.sightings, now=self.now, personas=self.personas)

    def coverage(self) -> str:
        """Return the share of all lives with a certain stage, as a sentence."""
        certainty = coverage.certainty(self.visits, now=self.now, personas=self.personas)
        return coverage.sentence(certainty)

    def replay(self) -> pd.DataFrame:
        """Return the past predictions that can be judged."""
        return backtest.replay(
            self.sightings, now=self.now, personas=self.personas, lives=self.lives
        )


class Estimates:
    """The estimates that the pages of one session show, computed in threads."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._log = BackgroundValue[Log](clock)
        self._arrivals = BackgroundValue[pd.DataFrame](clock)
        self._values: dict[Callable[[Log], Any], BackgroundValue[Any]] = {}

    def start(self) -> threading.Thread:
        """Start to compute the first estimates before a page asks for them; return the thread."""
        # In its own thread, as it waits for the workers.
        thread = threading.Thread(target=lambda: self.arrivals(self.log()), daemon=True)
        thread.start()
        return thread

    def log(self) -> Log:
        """Return a recent state of the log, and wait until it is read."""
        personas = self._store.personas()
        key = int(pd.util.hash_pandas_object(personas[_KEY_COLUMNS], index=False).sum())

        def read() -> Log:
            now, sightings = self._clock.now(), self._store.sightings()
            return Log(personas, sightings, now, key)

        return cast(Log, self._log.get(key, read, patient=True))

    def get(
        self, compute: Callable[[Log], Value], log: Log, *, patient: bool = False
    ) -> Value | None:
        """Return what a method of ``Log`` computes, once for each state of the log.

        Args:
            compute: The method, such as ``Log.survival``.
            log: The log.
            patient: Wait until there is a value, as a download does.

        Returns:
            The value, possibly of an earlier state; None until there is one.
        """
        value = self._values.setdefault(compute, BackgroundValue(self._clock))
        return value.get(log.key, lambda: compute(log), patient=patient)

    def arrivals(self, log: Log, *, patient: bool = False) -> pd.DataFrame | None:
        """Return the frame of ``eta.arrivals``, None until there is one.

        Until the stage times are computed, no persona in it is late; ``patient`` waits for both.
        """
        times, now = self.get(Log.stage_times, log, patient=patient), self._clock.now()
        late_after = pd.Series(dtype="float64") if times is None else times.late_after
        key = (log.key, now.replace(second=0, microsecond=0), times is None)

        def compute() -> pd.DataFrame:
            return eta.arrivals(
                log.sightings,
                now=now,
                personas=log.personas,
                late_after=late_after,
                visits=log.visits,
                lives=log.lives,
            )

        return self._arrivals.get(key, compute, patient=patient)


_workers = ThreadPoolExecutor(2, thread_name_prefix="avatarkit-estimates")
