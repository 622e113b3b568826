"""Learn how long stages take, and keep the polls of all personas within one budget of calls."""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from avatarkit.store.plan import LONGEST_GAP
from avatarkit.store.store import Store
from avatarkit.text import format_hours
from avatarkit.tracking import polling
from avatarkit.tracking.polling import CHANGE, SHORTEST, Pace, to_hours

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger("avatarkit")

CALLS_PER_HOUR = 600.0
"""The budget by default: a call every six seconds."""

OTHER_CALLS_PER_HOUR = 20.0
"""The calls of the budget that are no polls: the quota every hour; for a lost create the list once
and the quota twice every ten minutes."""

MIN_LIVES = 5
"""Without as many finished lives, stages are paced by ``polling.PRIOR``."""

BALANCE_EVERY_S, LEARN_EVERY_S = 60.0, 3_600.0
"""Wall seconds after which the polls are counted, and the stages fitted, again."""

POSTPONED_S = 10.0
"""Wall seconds by which an app postpones the first fit, which would slow down its first page."""

BALANCE_EVERY = timedelta(hours=1)
BALANCE_AFTER_S = 5.0
"""The polls are counted sooner on a fast clock: after an hour on it, but not within 5 seconds."""

AWAITED = 8.0
"""A persona that a person waits for is polled this many times as often, beyond the budget."""

SIGMA = (0.25, 1.0)
_NORMAL_P90 = 1.2815515655446004
_CELLS = 5
"""Ages that differ by less than a fifth count as the same."""

_TOLERANCE = 1.05

SMALL_SHARE = 0.5
"""A budget that leaves less than this share of the usual polls is warned about."""

Stays = Counter[tuple[str, float]]
"""How many personas in flight are in a status at an age in hours."""


@dataclass(frozen=True)
class Staleness:
    """How late changes are seen, at the pace of the polls that is planned.

    ``mean_h`` and ``p95_h`` are the expected hours from a change to the poll that sees it, and
    those that 95 % of the changes keep; NaN while no avatar is in flight. ``calls_per_hour`` are
    those planned, ``usual_calls_per_hour`` those of the usual pace, and ``budget`` those allowed;
    ``share`` is the share of the usual polls that the budget leaves.
    """

    mean_h: float
    p95_h: float
    calls_per_hour: float
    usual_calls_per_hour: float
    budget: float
    share: float = 1.0

    @property
    def sentence(self) -> str:
        """What is promised, for people to read."""
        if math.isnan(self.mean_h):
            return "No avatar is in flight."
        pace = f"{self.calls_per_hour:,.0f} of {self.budget:,.0f} calls an hour"
        slower = "" if self.share >= 1 else f", polls slowed down to {self.share:.0%}"
        return (
            f"A change is seen {format_hours(self.mean_h)} late on average, 95 % within "
            f"{format_hours(self.p95_h)} ({pace}{slower})."
        )

    @property
    def warning(self) -> str | None:
        """A sentence if the budget is far too small or cannot be kept; None otherwise."""
        if self.calls_per_hour > self.budget * _TOLERANCE:
            problem = (
                f"cannot be kept: polling every avatar once a day takes {self.calls_per_hour:,.0f}"
            )
        elif self.share < SMALL_SHARE:
            problem = (
                f"makes polls rare: changes are seen {format_hours(self.mean_h)} late on average, "
                f"and the usual pace takes {self.usual_calls_per_hour:,.0f}"
            )
        else:
            return None
        return (
            f"The budget of {self.budget:,.0f} calls an hour {problem}; raise "
            "AVATARKIT_CALLS_PER_HOUR."
        )


class Schedule:
    """Says when a persona is polled next, from the account's history and within its budget.

    Args:
        calls_per_hour: The budget of calls, in hours of the session's clock.
        phase: From 0 to 1, another for each account, so that not all are polled at once.

    Attributes:
        paces: What is known of each stage, by status; the others have ``polling.prior``.
        share: The share of the polls that the budget allows, from 0 to 1.
        together: Whether polls are planned for the same moments, as one call of the list answers
            for several personas; set while the list carries their statuses.
        awaited: The personas that a person waits for; their polls are ``AWAITED`` times as many.
    """

    def __init__(self, calls_per_hour: float = CALLS_PER_HOUR, phase: float = 0.0) -> None:
        self.calls_per_hour = calls_per_hour
        self.paces: Mapping[str, Pace] = {}
        self.share = 1.0
        self.together = False
        self._phase = SHORTEST * phase
        self.awaited: set[str] = set()
        self._promise = Staleness(math.nan, math.nan, 0.0, 0.0, calls_per_hour)
        self._learned_s = self._balanced_s = -math.inf
        self._balanced_at: datetime | None = None
        self._learned_from = 0

    def next_poll_at(
        self, status: str, since: datetime, now: datetime, persona_id: str
    ) -> datetime | None:
        """Return when to poll a persona next; see ``polling.next_poll_at``."""
        share = AWAITED if persona_id in self.awaited else self.share
        pace = self.paces.get(status)
        next_at = polling.next_poll_at(status, since, now, persona_id, pace, share)
        if self.together and next_at is not None:
            next_at -= (next_at - polling.MONDAY - self._phase) % SHORTEST
            next_at += SHORTEST if next_at < now + SHORTEST else timedelta(0)
        return next_at

    def staleness(self) -> Staleness:
        """Return how late changes are seen, as of the last ``balance``."""
        return self._promise

    def postpone(self, now_s: float) -> None:
        """Fit the stages first ``POSTPONED_S`` from now on, and plan polls by the prior until then.

        Args:
            now_s: Monotonic wall seconds.
        """
        self._learned_s = now_s - LEARN_EVERY_S + POSTPONED_S

    def refresh(self, store: Store, now: datetime, now_s: float) -> None:
        """Fit the stages and count the polls again, if it is time; called between passes.

        Args:
            store: The log.
            now: The moment on the session's clock.
            now_s: Monotonic wall seconds.

        Raises:
            StoreError: The log failed.
        """
        if now_s - self._learned_s >= LEARN_EVERY_S:
            self._learned_s = now_s
            ended = store.count_ended()
            # A twentieth more history does not change a fit.
            if ended >= max(MIN_LIVES, _TOLERANCE * self._learned_from):
                self._learned_from = ended
                self.paces = learn(store.sightings(), store.personas(), now)
        passed_s = now_s - self._balanced_s
        is_later = self._balanced_at is None or abs(now - self._balanced_at) >= BALANCE_EVERY
        if passed_s >= (BALANCE_AFTER_S if is_later else BALANCE_EVERY_S):
            self._balanced_s, self._balanced_at = now_s, now
            self.balance(store.stays(), now)

    def balance(self, stays: Iterable[tuple[str, datetime]], now: datetime) -> None:
        """Set ``share`` so that the polls of all personas in flight keep the budget.

        Args:
            stays: The status of each persona in flight, and since when.
            now: The moment on the session's clock.
        """
        ages: Stays = Counter()
        for status, since in stays:
            age_h = max((now - since) / timedelta(hours=1), 0.0)
            ages[status, math.expm1(round(math.log1p(age_h) * _CELLS) / _CELLS)] += 1
        budget = max(self.calls_per_hour - OTHER_CALLS_PER_HOUR, 1e-3)
        now_h, share = to_hours(now), 1.0
        # Where reviewers have business hours, their mornings take the most polls.
        moments = [now_h + hours for hours in range(0, 24, 4)]
        if not any(pace.speeds for pace in self.paces.values()):
            moments = [now_h]
        usual, busiest_h = max((self._polls(ages, at_h, 1.0), at_h) for at_h in moments)
        polls = usual
        for _ in range(8):  # gaps have limits, so the polls are not quite proportional to the share
            if polls > budget or share < 1:
                share = min(1.0, share * budget / polls)
                polls = self._polls(ages, busiest_h, share)
        self.share = max(share, 1e-6)
        before = self._promise.warning
        mean_h, p95_h = self._lateness(ages, now_h)
        self._promise = Staleness(
            mean_h,
            p95_h,
            calls_per_hour=polls + OTHER_CALLS_PER_HOUR,
            usual_calls_per_hour=usual + OTHER_CALLS_PER_HOUR,
            budget=self.calls_per_hour,
            share=self.share,
        )
        if self._promise.warning is not None and before is None:
            logger.warning("%s", self._promise.warning)

    def _pace(self, status: str) -> Pace:
        return self.paces.get(status) or polling.prior(status)

    def _polls(self, ages: Stays, now_h: float, share: float) -> float:
        """Return the polls an hour of personas of these ages."""
        gaps = (
            count / self._pace(status).gap_h(now_h - age_h, now_h, share)
            for (status, age_h), count in ages.items()
        )
        return sum(gaps)

    def _lateness(self, ages: Stays, now_h: float) -> tuple[float, float]:
        """Return the mean and the 95th percentile of how late changes are seen, in hours."""
        # Within a gap a change is equally likely at any moment.
        gaps, changes = [], []
        for (status, age_h), count in ages.items():
            pace = self._pace(status)
            gaps.append(pace.gap_h(now_h - age_h, now_h, self.share))
            age = pace.reading(now_h) - pace.reading(now_h - age_h)
            changes.append(count * pace.hazard(age))
        total = sum(changes) or math.nan
        mean_h = sum(c * gap / 2 for c, gap in zip(changes, gaps, strict=True)) / total
        low, high = 0.0, LONGEST_GAP / timedelta(hours=1)
        for _ in range(20):
            middle = (low + high) / 2
            later = sum(
                c * max(0.0, 1 - middle / gap) for c, gap in zip(changes, gaps, strict=True)
            )
            low, high = (middle, high) if later > total / 20 else (low, middle)
        return mean_h, math.nan if math.isnan(total) else high


def learn(sightings: pd.DataFrame, personas: pd.DataFrame | None, now: datetime) -> dict[str, Pace]:
    """Return the pace of each stage that the account's history tells, with the prior in it.

    Takes about a second for thousands of personas.

    Args:
        sightings: ``store.sightings()``.
        personas: ``store.personas()``.
        now: The moment on the session's clock.

    Returns:
        The paces by status; empty while fewer than ``MIN_LIVES`` lives have ended. A stage has
        business hours only where its ends show them.
    """
    import numpy as np

    from avatarkit.estimates import eta
    from avatarkit.history import stages

    visits = stages.visits(sightings, now=now, personas=personas)
    lives = stages.lives(sightings, now=now, personas=personas)
    model = eta.fit_model(visits, lives)
    if model.n < MIN_LIVES:
        return {}
    paces = {}
    for name, stage in zip(model.names, model.stages, strict=False):
        hours = stage.inverse_survival(np.array([0.9, 0.5, 0.1]))[0]
        short, median, long = np.maximum(hours, 1 / 60).tolist()
        sigma = min(max(math.log(long / short) / (2 * _NORMAL_P90), SIGMA[0]), SIGMA[1])
        speeds = () if stage.clock.is_flat else tuple(stage.clock.rates.tolist())
        # The codes beyond those of the stages are the ends.
        left = np.diff(stage.cdf, prepend=0.0)
        ended = float(left[stage.follows >= len(model.stages)].sum() / left.sum())
        weight = max(polling.prior(name).weight, CHANGE + (1 - CHANGE) * ended)
        paces[name] = Pace(median, sigma, weight, speeds)
    return paces
