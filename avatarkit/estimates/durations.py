"""Estimate how long stages take: percentiles that include the visits that are still running.

An average of the finished visits would be too short, as the long ones are still running; nothing
here computes one. Pure functions of the frame of ``stages.visits``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from avatarkit.estimates import likelihood, percentiles, semi_markov
from avatarkit.estimates.sampling import Sample
from avatarkit.estimates.semi_markov import MIN_FINISHED, StageFit
from avatarkit.estimates.survival import kaplan_meier, percentile, turnbull
from avatarkit.history.frames import Flags, Frame, Integers, require_columns
from avatarkit.history.groups import By, When, compare
from avatarkit.models import STAGES

__all__ = [
    *("INTERVAL", "LATE", "PERCENTILES", "Fit"),
    *("fit", "late_after", "summarize", "survival"),
]

PERCENTILES = {"p10_h": 0.1, "p25_h": 0.25, "p50_h": 0.5, "p75_h": 0.75, "p90_h": 0.9}
INTERVAL = ("p50_low_h", "p50_high_h")
LATE = 0.95
"""A visit that is older than this share of all visits to its stage is late."""

_POINTS = 100


@dataclass(frozen=True)
class Estimate:
    """The result for one stage: percentiles, notes, and the nonparametric curve as a check."""

    visits: pd.DataFrame
    values: dict[str, float]
    notes: list[str]
    nonparametric: pd.DataFrame | None


@dataclass(frozen=True)
class Fit:
    """The fitted distribution of each stage for one state of the log; made by ``fit``."""

    sample: Sample
    stages: dict[str, StageFit]

    def summary(self, *, interval: bool = False) -> pd.DataFrame:
        """Return the percentiles of each stage: see ``summarize``."""
        rows = [self._summary(stage, interval) for stage in self._names]
        return Frame(rows).astype({"stage": "str", "note": "str"})

    def late_after(self) -> pd.Series[float]:
        """Return the hours after which a visit is late: see ``durations.late_after``."""
        stuck = _stuck(self.sample.visits)
        hours = {stage: self._late_after(stage, stuck) for stage in self._names}
        return pd.Series(hours, dtype="float64")

    def survival(self) -> pd.DataFrame:
        """Return the survival curves of each stage: see ``durations.survival``."""
        parts = []
        for stage, fit in self.stages.items():
            estimate = self._estimates[stage]
            n = len(estimate.visits)
            if np.isnan(estimate.values["p50_h"]):
                continue
            times = np.linspace(0.0, percentiles.longest_h(estimate.visits), _POINTS)
            share = fit.distribution.survival(times)
            fitted = pd.DataFrame({"time_h": times, "survival": share})
            parts.append(fitted.assign(stage=stage, curve="fitted", n=n))
            if (steps := estimate.nonparametric) is not None:
                nth = max(1, len(steps) // _POINTS)
                thinned = pd.concat([steps.iloc[:-1:nth], steps.iloc[-1:]])
                parts.append(thinned.assign(stage=stage, curve="nonparametric", n=n))
        columns = ["stage", "curve", "time_h", "survival", "low", "high", "n"]
        empty = pd.DataFrame(columns=columns, dtype="float64")
        frame = pd.concat([empty, *parts], ignore_index=True)
        return frame[columns].astype({"stage": "str", "curve": "str", "n": "int64"})

    @cached_property
    def _names(self) -> list[str]:
        known = [stage.value for stage in STAGES]
        seen = self.sample.counts.index.get_level_values("stage")
        return [*known, *sorted(set(seen) - set(known))]

    @cached_property
    def _estimates(self) -> dict[str, Estimate]:
        return {stage: self._estimate(stage) for stage in self._names}

    def _estimate(self, stage: str) -> Estimate:
        visits, fit = self.sample.of(stage), self.stages.get(stage)
        distribution = None if fit is None else fit.distribution
        values, notes = percentiles.percentiles(visits, distribution, PERCENTILES)
        median, curve = values["p50_h"], None
        if distribution and not np.isnan(median) and percentiles.is_known_closely(visits, median):
            curve = turnbull(visits["min_h"], visits["max_h"])
            notes += percentiles.disagreement(curve, distribution)
        return Estimate(visits, values, notes, curve)

    def _summary(self, stage: str, interval: bool) -> dict[str, object]:
        estimate, fit, counts = self._estimates[stage], self.stages.get(stage), self.sample.counts
        states = ("finished", "running", "never_seen")
        count = {state: int(counts.get((stage, state), 0)) for state in states}
        values, notes = dict(estimate.values), list(estimate.notes)
        if interval:
            bounds = (np.nan, np.nan)
            if fit is not None and not np.isnan(values["p50_h"]):
                bounds = percentiles.median_interval(fit, self._days(fit), values["p50_h"])
                if np.isnan(bounds[0]):
                    notes += [f"no interval: submissions of fewer than {percentiles.MIN_DAYS} days"]
            values |= dict(zip(INTERVAL, bounds, strict=True))
        n, usable = len(estimate.visits), int(self.sample.usable.get(stage, 0))
        if usable > n:
            notes.append(f"fitted to {n:,} of {usable:,} visits, even over time")
        if left_out := sum(count.values()) - usable:
            notes.append(f"{left_out:,} more began before the first poll")
        return {"stage": stage, "n": n, **count, **values, "note": "; ".join(notes)}

    def _days(self, fit: StageFit) -> Integers:
        begun = self.sample.visits.groupby("persona_id")["entered_before"].transform("min")
        days: Integers = pd.factorize(begun.dt.floor("D").to_numpy()[fit.rows])[0]
        return days

    def _late_after(self, stage: str, stuck: Flags) -> float:
        visits, fit = self.sample.visits, self.stages.get(stage)
        chosen = self.sample.fitted & ~stuck & (visits["stage"] == stage).to_numpy()
        distribution = None if fit is None else fit.distribution
        if fit is not None and stuck[fit.rows].any():
            distribution = likelihood.fit(fit.bounds.of(~stuck[fit.rows]))
        shares = {"p50_h": 0.5, "late_h": LATE}
        values, _ = percentiles.percentiles(visits.loc[chosen], distribution, shares)
        return _at_most(visits.loc[chosen]) if np.isnan(values["late_h"]) else values["late_h"]


def fit(visits: pd.DataFrame) -> Fit:
    """Fit the distribution of each stage, once for everything else in this module.

    Args:
        visits: The frame of ``stages.visits``.

    Returns:
        The fit, with the methods ``summary``, ``late_after`` and ``survival``.

    Raises:
        ValueError: A column is missing.

    Source:
        ``likelihood.fit`` and ``semi_markov.fit_stages``.
    """
    sample = Sample(visits)
    return Fit(sample, semi_markov.fit_stages(sample.visits, sample.fitted))


def summarize(
    visits: pd.DataFrame,
    *,
    interval: bool = False,
    by: By | None = None,
    since: When | None = None,
    until: When | None = None,
    freq: str | None = None,
) -> pd.DataFrame:
    """Return the percentiles of the time in each stage.

    The percentiles are those of the maximum likelihood distribution, given the bounds on each
    beginning and each end. All percentiles of a stage are NaN, with the reason in ``note``:

    - when fewer than 5 visits finished;
    - when more than half of those that ended were never seen;
    - when the median is below three quarters of the typical gap between polls (the median of
      ``left_before`` - ``left_after``);
    - when most visits ended in the same wide interval around the median, as happens when polls and
      submissions are at fixed hours.

    A single percentile is NaN when it is below three quarters of that gap, or beyond the longest
    time that a visit may have taken.

    Where beginnings are known to a tenth of the median, and durations to a fifth, Turnbull's
    nonparametric curve is a check; ``note`` says where the two disagree beyond their bands.

    Accuracy, measured on simulated lives of seven distributions, a quarter still running
    (tests/estimates/test_truth.py): the medians are within 5 % of the truth, on average over
    accounts, with polls every 6 h or more often, and within 15 % with daily polls. Without the rule
    on the typical gap, medians were up to 14 % off, however many visits there were.

    Args:
        visits: The frame of ``stages.visits``.
        interval: Add the interval of the median. It takes about a hundred times as long.
        by: A column of the frame, a label, or a function of the frame: a group for each value. See
            ``groups.compare``.
        since: Only avatars that were submitted at this moment or later, such as ``2026-03-01``.
        until: Only avatars that were submitted before this moment.
        freq: ``D``, ``W``, ``M``, ``Q`` or ``Y``: a group for each day, week, month, quarter or
            year of submission.

    Returns:
        A row a stage: the six of the API in its order, then undocumented ones by name. With ``by``
        or ``freq`` these rows for each group, behind the column ``group``.

        - ``stage``: text.
        - ``n``: int64, the visits that the percentiles rest on: all but those that began before the
          persona's first poll at an unknown moment (see ``sampling.entry_observed``). Of more than
          2,500, a sample of 2,500 that is even over time.
        - ``finished``, ``running``, ``never_seen``: int64, all visits of that state.
        - ``p10_h``, ``p25_h``, ``p50_h``, ``p75_h``, ``p90_h``: float64 hours, NaN where the visits
          do not say.
        - with ``interval``, ``p50_low_h`` and ``p50_high_h``: float64 hours, the 95 % interval of
          the median, by a bootstrap over the days of submission, as the personas of one day are
          correlated; NaN with fewer than 5 such days.
        - ``note``: text, the reason for what is NaN or left out; empty if nothing is.

    Raises:
        ValueError: A column is missing, or ``by``, ``since``, ``until`` or ``freq`` does not fit.

    Source:
        ``likelihood.fit``, ``semi_markov.fit_stages``, ``percentiles.median_interval``.
    """
    return compare(
        lambda chosen: fit(chosen).summary(interval=interval),
        visits,
        _submitted_at(visits),
        by=by,
        since=since,
        until=until,
        freq=freq,
    )


def late_after(visits: pd.DataFrame) -> pd.Series[float]:
    """Return the hours within which 95 % leave each stage; a visit that is older is late.

    Args:
        visits: The frame of ``stages.visits``.

    Returns:
        float64 hours; the index is the stages of ``summarize``. Where ``summarize`` has no
        percentile the hours are an upper bound, which holds however coarse the polls are: the
        Kaplan-Meier percentile of the upper bounds of the durations. NaN where fewer than 5 visits
        ended, or too many are still running. Visits that run for longer than any that ended are
        left out if there is only one, or at most one in twenty: they may be the late ones.

    Raises:
        ValueError: A column is missing.
    """
    return fit(visits).late_after()


def survival(
    visits: pd.DataFrame,
    *,
    by: By | None = None,
    since: When | None = None,
    until: When | None = None,
    freq: str | None = None,
) -> pd.DataFrame:
    """Return the fitted and the nonparametric curve of each stage, to compare them.

    Args:
        visits: The frame of ``stages.visits``.
        by: A column of the frame, a label, or a function of the frame: a group for each value. See
            ``groups.compare``.
        since: Only avatars that were submitted at this moment or later, such as ``2026-03-01``.
        until: Only avatars that were submitted before this moment.
        freq: ``D``, ``W``, ``M``, ``Q`` or ``Y``: a group for each day, week, month, quarter or
            year of submission.

    Returns:
        For each stage with a median in ``summarize``, rows ascending in time; the nonparametric
        curve only where it is a check, see there. With ``by`` or ``freq`` these rows for each
        group, behind the column ``group``.

        - ``stage``: text; ``curve``: text, ``fitted`` or ``nonparametric``.
        - ``time_h``: float64 hours; ``survival``: float64, the share that takes longer.
        - ``low``, ``high``: float64, the 95 % band of the nonparametric curve; NaN for the fitted.
        - ``n``: int64, the visits of the stage that the curves rest on.

    Raises:
        ValueError: A column is missing, or ``by``, ``since``, ``until`` or ``freq`` does not fit.

    Source:
        ``survival.turnbull`` for the nonparametric curve and its band.
    """
    return compare(
        lambda chosen: fit(chosen).survival(),
        visits,
        _submitted_at(visits),
        by=by,
        since=since,
        until=until,
        freq=freq,
    )


def _submitted_at(visits: pd.DataFrame) -> pd.Series[pd.Timestamp]:
    """Return for each visit when its persona entered its first stage, at the latest."""
    names = ("persona_id", "entered_before")
    require_columns(visits, names, "visits", "what stages.visits() returned")
    return visits.groupby("persona_id")["entered_before"].transform("min")


def _stuck(visits: pd.DataFrame) -> Flags:
    """Return which visits run for longer than any that ended, if they are at most one in 20."""
    stage, running = visits["stage"], visits["state"] == "running"
    longest = visits["max_h"].where(~running).groupby(stage).transform("max")
    beyond = running & (visits["min_h"] > longest)
    count = beyond.groupby(stage).transform("sum")
    ended = (~running).groupby(stage).transform("sum")
    return (beyond & (count <= np.maximum(1.0, (1 - LATE) * ended))).to_numpy(dtype=bool)


def _at_most(visits: pd.DataFrame) -> float:
    """Return an upper bound of the late percentile, from the longest time of each visit."""
    ended = (visits["state"] != "running").to_numpy()
    if ended.sum() < MIN_FINISHED:
        return float("nan")
    curve = kaplan_meier(np.where(ended, visits["max_h"], visits["min_h"]), ended)
    return percentile(curve, LATE)
