"""Compute the estimates of the pages once for all tabs, in background threads.

A page is drawn again when what it shows has changed, and an estimate may take longer than a page
should wait. Streamlit's ``cache_resource(refresh_mode="background")`` does not fit: its ``ttl`` is
fixed, while an estimate takes milliseconds or minutes; it computes again even if the log is the
same; a page waits for a value that was not read for two ttls; and the error of a refresh is only
logged.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, Generic, TypeVar, cast

import pandas as pd

from avatarkit.clock import Clock, ScaledClock
from avatarkit.estimates import backtest, durations, eta, outcomes, waiting
from avatarkit.history import coverage, stages
from avatarkit.models import TERMINAL
from avatarkit.reports import attention
from avatarkit.store.live import StateKey
from avatarkit.store.store import Store

FIRST_WAIT_S = 3.0
"""Wall seconds that a page waits for an estimate that is not there yet, such as a chart."""

LOG_WAIT_S = 1.0
"""Wall seconds that a page waits for the newest log before it shows the one before."""

REFRESH_WAIT_S = 0.1
"""Wall seconds that a page waits for a newer estimate before it shows the one before."""

START_WAIT_S = 3.0
"""Wall seconds that the start of the app waits for the first estimates, which take twice as long
while a page is loaded and drawn."""

PAUSE, LOG_PAUSE = 10, 1
"""An estimate that took t seconds is computed again after this many times t at the earliest; the
log is read again sooner, as its changes are to be seen within seconds."""

LOG_EVERY_S, ESTIMATES_EVERY_S = 300.0, 3_600.0
"""Seconds after which the log is read again, and the estimates are computed again, though no status
has changed: the polls that found nothing new say how long each has lasted. Those of the log are on
the session's clock, as a sandbox's may be fast, but at least ``LEAST_LOG_EVERY_S`` wall seconds."""

LEAST_LOG_EVERY_S = 60.0

MOST_VALUES = 64
"""How many estimates are kept, those of each filter counted; the last used ones."""

VISIBLE = 0.05
"""A range whose ends moved by less than this share of its length looks the same."""

Value = TypeVar("Value")


class BackgroundValue(Generic[Value]):
    """A value that a thread recomputes when its key has changed, for at most 10 % of the time.

    Args:
        clock: Its monotonic seconds are waited and counted.
        pause: The value is recomputed after this many times the seconds that it took.
        is_eager: Wait for a newer value as long as for the first one, and compute it beside the
            others, which may take longer.
        on_newer: Called in a thread when there is a newer value, or an error, than a page was
            shown.
        looks_new: Returns whether the second value looks other than the first one. With it
            ``on_newer`` is also called if no page has asked for the newer value, or only one of
            several pages, or a part of one.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        pause: float = PAUSE,
        is_eager: bool = False,
        on_newer: Callable[[], object] = lambda: None,
        looks_new: Callable[[Value, Value], bool] | None = None,
    ) -> None:
        self._clock = clock
        self._pause = pause
        self._is_eager = is_eager
        self._on_newer = on_newer
        self._looks_new = looks_new
        self._lock = threading.RLock()
        self._future: Future[tuple[Value, Hashable, float]] | None = None
        self._wanted: tuple[Hashable, Callable[[], Value]] | None = None
        self._value: Value | None = None
        self._shown: Value | None = None
        self._key: Hashable = None
        self._is_awaited = False
        self._started_s = self._due_s = 0.0

    def get(
        self,
        key: Hashable,
        compute: Callable[[], Value],
        *,
        wait_s: float | None = None,
    ) -> Value | None:
        """Return the value of ``key``, or the one before while that is computed or not due.

        Args:
            key: Identifies the input of ``compute``; the value is recomputed when it changes.
            compute: Called in a thread, by one caller at a time.
            wait_s: Wall seconds to wait for the first value, counted from when its computation
                began; ``FIRST_WAIT_S`` by default. A newer value is waited for
                ``REFRESH_WAIT_S``, or as long as it takes if this is inf.

        Returns:
            None when there is no value yet.

        Raises:
            Exception: Whatever ``compute`` raised, once; the next call computes again.
        """
        with self._lock:
            self._collect()
            self._wanted = key, compute
            self._begin()
            future = self._future
            wait_s = FIRST_WAIT_S if wait_s is None else wait_s
            if self._value is not None and not self._is_eager and wait_s < math.inf:
                wait_s = REFRESH_WAIT_S
            # A second call in the same rerun does not wait again.
            left_s = max(0.0, self._started_s + wait_s - self._clock.monotonic())
        if future is not None:
            wait([future], left_s if left_s < math.inf else None)
        with self._lock:
            self._collect()
            self._is_awaited |= self._key != key
            if self._shown is None:
                self._shown = self._value
            return self._value

    def prepare(self, key: Hashable, compute: Callable[[], Value]) -> Value | None:
        """Begin to compute the value of ``key``, and return the newest one that is there.

        Args:
            key: As in ``get``.
            compute: As in ``get``.
        """
        with self._lock:
            self._wanted = key, compute
        self.resume()
        return self._value

    def resume(self) -> None:
        """Begin to compute what was asked for when it was not due yet."""
        with self._lock:
            # An error is kept for a page.
            if self._future is None or not self._future.done():
                self._begin()

    def _begin(self) -> None:
        if self._future is not None or self._wanted is None or self._wanted[0] == self._key:
            return
        now_s = self._clock.monotonic()
        if now_s >= self._due_s:
            self._started_s = now_s
            workers = _readers if self._is_eager else _workers
            self._future = workers.submit(self._run, *self._wanted)
            self._future.add_done_callback(self._finish)

    def _run(self, key: Hashable, compute: Callable[[], Value]) -> tuple[Value, Hashable, float]:
        started_s = self._clock.monotonic()
        value = compute()
        return value, key, self._clock.monotonic() - started_s

    def _finish(self, future: Future[tuple[Value, Hashable, float]]) -> None:
        """Take over the value, or tell that there is an error if a page waits for a value."""
        with self._lock:
            if future.exception() is None:
                self._collect()
                return
            is_awaited, self._is_awaited = self._is_awaited, False
        if is_awaited:
            self._on_newer()

    def _collect(self) -> None:
        if self._future is None or not self._future.done():
            return
        future, self._future = self._future, None
        self._value, self._key, took_s = future.result()
        self._due_s = self._clock.monotonic() + self._pause * took_s
        is_news, self._is_awaited = self._is_awaited, False
        # Compared with what all pages have drawn, not with the value before, as small steps add
        # up, and as a part of one page may have got that value alone.
        if self._looks_new is not None and self._shown is not None:
            is_news = self._looks_new(self._shown, self._value)
        if is_news:
            self._shown = self._value
            self._on_newer()


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
    """Changes whenever the log has changed, other than by polls that found nothing new."""
    _lock: threading.RLock = field(default_factory=threading.RLock, repr=False, compare=False)

    @cached_property
    def _visits(self) -> pd.DataFrame:
        return stages.visits(self.sightings, now=self.now, personas=self.personas)

    @cached_property
    def _lives(self) -> pd.DataFrame:
        return stages.lives(self.sightings, now=self.now, personas=self.personas)

    @cached_property
    def _fit(self) -> durations.Fit:
        return durations.fit(self.visits)

    @property
    def visits(self) -> pd.DataFrame:
        """The frame of ``stages.visits``, computed when first asked for."""
        with self._lock:
            return self._visits

    @property
    def lives(self) -> pd.DataFrame:
        """The frame of ``stages.lives``, computed when first asked for."""
        with self._lock:
            return self._lives

    @property
    def fit(self) -> durations.Fit:
        """The distribution of each stage, fitted when first asked for."""
        with self._lock:
            return self._fit

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

    def coverage(self) -> str:
        """Return the share of all lives with a certain stage, as a sentence."""
        certainty = coverage.certainty(self.visits, now=self.now, personas=self.personas)
        return coverage.sentence(certainty)

    def replay(self) -> pd.DataFrame:
        """Return the past predictions that can be judged."""
        return backtest.replay(
            self.sightings, now=self.now, personas=self.personas, lives=self.lives
        )


@dataclass(frozen=True)
class _Arrivals:
    """Arrivals as they were computed, perhaps of an earlier log, and what of them is true now."""

    log: Log
    computed: pd.DataFrame
    current: pd.DataFrame


@dataclass(frozen=True)
class _Needs:
    """The frame of ``attention.needs``, and what it was made of."""

    log: Log
    arrivals: pd.DataFrame | None
    frame: pd.DataFrame


class Estimates:
    """The estimates that the pages of one session show, computed in threads.

    Attributes:
        version: Grows when there is a newer estimate, or log, than a page was shown.
        state: The state of the log as it was last asked for.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self.version = 0
        self.state: StateKey | None = None
        speed = clock.speed if isinstance(clock, ScaledClock) else 1.0
        self._log_every_s = max(LOG_EVERY_S / speed, LEAST_LOG_EVERY_S)
        self._period_began_s = clock.monotonic()
        self._log = BackgroundValue[Log](
            clock,
            pause=LOG_PAUSE,
            is_eager=True,
            on_newer=self._grow,
            looks_new=lambda before, after: before.key != after.key,
        )
        self._arrivals = BackgroundValue[pd.DataFrame](
            clock, on_newer=self._grow, looks_new=_looks_new
        )
        # The same frames while both are the same, so that what rests on them is not made again.
        self._current: _Arrivals | None = None
        self._needs: _Needs | None = None
        self._values: dict[Callable[[Log], Any], BackgroundValue[Any]] = {}
        self._lock = threading.Lock()

    def start(self) -> threading.Thread:
        """Compute the first estimates, for at most ``START_WAIT_S`` wall seconds.

        Returns:
            The thread that computes the rest.
        """
        thread = threading.Thread(target=self._start, daemon=True)
        thread.start()
        thread.join(START_WAIT_S)
        return thread

    def _start(self) -> None:
        with suppress(Exception):  # the page that asks next says what is wrong
            self.arrivals(self.log(), wait_s=math.inf)

    def log(self) -> Log:
        """Return the newest log, and wait until it is read if that does not take long.

        Returns:
            The log; an earlier one while the newest is being read for more than ``LOG_WAIT_S``
            wall seconds.
        """
        self.state = self._store.state_key()
        key, read = self._reading(self.state)
        log = self._log.get(key, read, wait_s=LOG_WAIT_S)
        return cast(Log, self._log.get(key, read, wait_s=math.inf) if log is None else log)

    def refresh(self, state: StateKey) -> None:
        """Begin to compute what is due by now; never wait.

        Args:
            state: The state of the log.
        """
        log = self._log.prepare(*self._reading(state))
        if log is not None:
            times = self._value(Log.stage_times).prepare(log.key, log.stage_times)
            if times is not None:
                self._arrivals.prepare(*self._arriving(log, times))
        with self._lock:
            values = [*self._values.values(), self._arrivals]
        for value in values:
            value.resume()

    def get(
        self,
        compute: Callable[[Log], Value],
        log: Log,
        *,
        wait_s: float | None = None,
    ) -> Value | None:
        """Return what a method of ``Log`` computes, once for each state of the log.

        Args:
            compute: The method, such as ``Log.survival``.
            log: The log.
            wait_s: As in ``BackgroundValue.get``; inf for a download, ``REFRESH_WAIT_S`` where the
                page shows more than this value.

        Returns:
            The value, possibly of an earlier state; None until there is one.
        """
        return self._value(compute).get(log.key, lambda: compute(log), wait_s=wait_s)

    def arrivals(self, log: Log, *, wait_s: float | None = None) -> pd.DataFrame | None:
        """Return the frame of ``eta.arrivals``, None until there is one.

        By default a page hardly waits for it and for the stage times, which say who is late, and is
        drawn again with it. It may be of an earlier log, but who has ended since has no row, and
        who has moved on is not late.
        """
        wait_s = REFRESH_WAIT_S if wait_s is None else wait_s
        times = self.get(Log.stage_times, log, wait_s=wait_s)
        if times is None:
            return None
        arrivals = self._arrivals.get(*self._arriving(log, times), wait_s=wait_s)
        if arrivals is None:
            return None
        newest = self._current
        if newest is None or newest.log is not log or newest.computed is not arrivals:
            self._current = newest = _Arrivals(log, arrivals, _current(arrivals, log.personas))
        return newest.current

    def needs(self, log: Log) -> pd.DataFrame:
        """Return the frame of ``attention.needs``; none is late until arrivals are known."""
        arrivals = self.arrivals(log)
        newest = self._needs
        if newest is None or newest.log is not log or newest.arrivals is not arrivals:
            frame = attention.needs(log.personas, arrivals)
            self._needs = newest = _Needs(log, arrivals, frame)
        return newest.frame

    def _grow(self) -> None:
        with self._lock:
            self.version += 1

    def _value(self, compute: Callable[[Log], Any]) -> BackgroundValue[Any]:
        with self._lock:
            value = self._values.pop(compute, None)
            if value is None:
                value = BackgroundValue[Any](self._clock, on_newer=self._grow)
            self._values[compute] = value  # as the last used
            if len(self._values) > MOST_VALUES:
                del self._values[next(iter(self._values))]
            return value

    def _reading(self, state: StateKey) -> tuple[Hashable, Callable[[], Log]]:
        now_s = self._clock.monotonic()
        if now_s - self._period_began_s >= self._log_every_s:
            self._period_began_s = now_s
        key = (state, now_s // ESTIMATES_EVERY_S)

        def read() -> Log:
            now = self._clock.now()
            with self._store.transaction(reading=True):
                return Log(self._store.personas(), self._store.sightings(), now, key)

        return (key, self._period_began_s), read

    def _arriving(self, log: Log, times: StageTimes) -> tuple[Hashable, Callable[[], pd.DataFrame]]:
        def compute() -> pd.DataFrame:
            return eta.arrivals(
                log.sightings,
                now=log.now,
                personas=log.personas,
                late_after=times.late_after,
                visits=log.visits,
                lives=log.lives,
            )

        return (log.key, log.now, id(times)), compute


def _current(arrivals: pd.DataFrame, personas: pd.DataFrame) -> pd.DataFrame:
    """Return arrivals of an earlier log without what is not true of a later one any more."""
    statuses = personas.set_index("persona_id")["status"]
    now = arrivals["persona_id"].map(statuses)
    has_moved = (now != arrivals["stage"]).to_numpy(dtype=bool)
    if not has_moved.any():
        return arrivals
    late = arrivals["late"] & ~has_moved
    is_running = (now.notna() & ~now.isin(list(TERMINAL))).to_numpy(dtype=bool)
    return arrivals.assign(late=late).loc[is_running].reset_index(drop=True)


def _looks_new(before: pd.DataFrame, after: pd.DataFrame) -> bool:
    """Return whether a person sees other arrivals: another stage, late now, or another range."""
    earlier, later = (frame.set_index("persona_id").sort_index() for frame in (before, after))
    if not earlier[["stage", "late"]].equals(later[["stage", "late"]]):
        return True
    moved = (later[["p10_at", "p90_at"]] - earlier[["p10_at", "p90_at"]]).abs().max(axis=1)
    return bool((moved > VISIBLE * (later["p90_at"] - later["p10_at"])).any())


_workers = ThreadPoolExecutor(2, thread_name_prefix="avatarkit-estimates")
_readers = ThreadPoolExecutor(1, thread_name_prefix="avatarkit-log")
