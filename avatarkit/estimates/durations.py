"""How long stages take: percentiles that count the visits which are still running.

An average of the finished visits is too short, as the long ones are still running; nothing here
gives one. Pure functions of the frame of ``stages.visits``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from avatarkit.estimates import likelihood, semi_markov
from avatarkit.estimates import survival as curves
from avatarkit.estimates.sampling import Sample
from avatarkit.estimates.semi_markov import LEAST_FINISHED, StageFit
from avatarkit.models import STAGES
from avatarkit.text import in_words

LEAST_GAPS = 0.75
"""A percentile shorter than this many typical gaps between looks is not given."""

PERCENTILES = {"p10_h": 0.1, "p25_h": 0.25, "p50_h": 0.5, "p75_h": 0.75, "p90_h": 0.9}
INTERVAL = ("p50_low_h", "p50_high_h")
LATE = 0.95
"""Older in its stage than this share of all is late."""

_WELL_KNOWN, _WIDE, _ALIKE = 0.1, 0.2, 0.05
_RESAMPLED = 100
_LEAST_DAYS = 5
_MANY_MOMENTS = 5_000
_POINTS = 100

Floats = np.ndarray[Any, np.dtype[np.float64]]
Flags = np.ndarray[Any, np.dtype[np.bool_]]


def summarize(visits: pd.DataFrame, *, interval: bool = False) -> pd.DataFrame:
    """For each stage, within how many hours a tenth, a quarter, half and so on had left it.

    ``visits`` is the frame of ``stages.visits``. Returns one row a stage: the six of the API in
    its order, then any that it does not document, by name. Columns:

    - ``stage``: text.
    - ``n``: int64, the visits that the percentiles rest on: all, but those that began before the
      persona was first looked at and whose beginning is therefore not known. Of a persona found
      midway, these are the stage it was found in and the ones before; a long stage is more likely
      to be found in than a short one, so counting them would make every stage look longer. Of
      more than 5,000, a sample of 5,000 that is even over time.
    - ``finished``, ``running``, ``never_seen``: int64, all visits of that state.
    - ``p10_h``, ``p25_h``, ``p50_h``, ``p75_h``, ``p90_h``: float64 hours, NaN where the visits
      do not say.
    - with ``interval``, ``p50_low_h`` and ``p50_high_h``: float64 hours, the 95 % interval of the
      median. It takes about a hundred times as long.
    - ``note``: text, the reason for what is NaN or left out; empty when all is well.

    The percentiles are those of the distribution under which the bounds on each beginning and
    each end are likeliest, bounds by looks alone (``stages.by_looks``): see ``likelihood.fit`` and
    ``semi_markov.fit_stages``. There is no
    number at all, but the reason in ``note``, when fewer than 5 visits finished, when more than
    half of those that ended were never seen, when the median is below three quarters of the
    typical gap between looks (the median of ``left_before`` - ``left_after``), and when most visits
    ended in the same wide interval around it, as looks in step with the creates leave them. A
    single percentile is NaN also when it is itself below that, or beyond the longest time that
    one may have taken.

    Where beginnings are known to a tenth of the median, and durations to a fifth, Turnbull's
    nonparametric curve is a check; ``note`` says where the two disagree beyond their bands.

    The interval comes from a bootstrap over the days of submission, as neighbours share their
    fate: the standard error of the logarithm of the median, and Student's t for so many days. It
    is NaN with fewer than 5 such days.

    Raises ``ValueError`` when a column is missing.

    Measured on simulated lives of seven distributions, three of them fitted families, a quarter
    still running (tests/test_truth.py): medians that are given are within 5 % of the truth, on
    average over accounts, at gaps of up to 6 h and 15 % at 24 h. With shorter stages allowed, the
    medians of odd shapes were up to 14 % off, each in its own direction, however many the visits.

    Source: Cameron, Gelbach and Miller, "Bootstrap-based improvements for inference with
    clustered errors", Review of Economics and Statistics 90 (2008), 414-427.
    """
    sample = Sample(visits)
    fits = semi_markov.fit_stages(sample.visits, sample.fitted)
    known = [stage.value for stage in STAGES]
    others = sorted(set(sample.counts.index.get_level_values("stage")) - set(known))
    rows = [_summary(stage, sample, fits.get(stage), interval) for stage in (*known, *others)]
    return pd.DataFrame(rows).astype({"stage": "str", "note": "str"})


def late_after(visits: pd.DataFrame) -> pd.Series[float]:
    """The hours within which 95 % have left each stage; what is older in it is late.

    Index: the stages of ``summarize``. Where that gives no number the hours are an upper bound,
    however coarse the polls: Kaplan and Meier's percentile of the most that each visit may have
    taken. NaN where fewer than 5 visits ended, or too many are still running. One visit, or one in
    twenty, that is running for longer than any that ended has no part in it: what is in question
    does not decide.
    """
    sample = Sample(visits)
    late = {}
    counted = sample.fitted & ~_in_question(sample.visits)
    fits = semi_markov.fit_stages(sample.visits, counted)
    for stage in sample.counts.index.get_level_values("stage").unique():
        its = sample.visits.loc[counted & (sample.visits["stage"] == stage).to_numpy()]
        values, _ = _percentiles(its, fits.get(stage), {"p50_h": 0.5, "p95_h": LATE})
        within = values["p95_h"]
        late[stage] = _at_most(its) if np.isnan(within) else within
    known = [stage.value for stage in STAGES]
    return pd.Series(late, dtype="float64").reindex([*known, *sorted(set(late) - set(known))])


def _in_question(visits: pd.DataFrame) -> Flags:
    stage, running = visits["stage"], visits["state"] == "running"
    longest = visits["max_h"].where(~running).groupby(stage).transform("max")
    beyond = running & (visits["min_h"] > longest)
    many = beyond.groupby(stage).transform("sum")
    ended = (~running).groupby(stage).transform("sum")
    few: Flags = (beyond & (many <= np.maximum(1.0, (1 - LATE) * ended))).to_numpy(dtype=bool)
    return few


def _at_most(visits: pd.DataFrame) -> float:
    ended = (visits["state"] != "running").to_numpy()
    if ended.sum() < LEAST_FINISHED:
        return float("nan")
    curve = curves.kaplan_meier(np.where(ended, visits["max_h"], visits["min_h"]), ended)
    return curves.percentile(curve, LATE)


def survival(visits: pd.DataFrame) -> pd.DataFrame:
    """The curve of each stage, fitted and nonparametric, to see how well the two agree.

    Returns, for each stage that ``summarize`` gives a median for, rows ascending in time:
    ``stage``, ``curve`` (``fitted`` or ``nonparametric``): text; ``time_h``, ``survival`` (the
    share that takes longer): float64; ``low`` and ``high``: float64, the 95 % band of the
    nonparametric curve, NaN for the fitted one. The nonparametric curve is there only where it is
    a check, see ``summarize``.
    """
    sample = Sample(visits)
    parts = []
    for stage, one in semi_markov.fit_stages(sample.visits, sample.fitted).items():
        its = sample.of(stage)
        values, _ = _percentiles(its, one, PERCENTILES)
        if np.isnan(values["p50_h"]):
            continue
        times = np.linspace(0.0, _longest(its), _POINTS)
        fitted = pd.DataFrame({"time_h": times, "survival": one.fit.survival(times)})
        parts.append(fitted.assign(stage=stage, curve="fitted"))
        if _is_well_known(its, values["p50_h"]):
            counted = _steps(curves.turnbull(its["min_h"], its["max_h"]))
            parts.append(counted.assign(stage=stage, curve="nonparametric"))
    columns = ["stage", "curve", "time_h", "survival", "low", "high"]
    empty = pd.DataFrame({name: pd.Series(dtype="float64") for name in columns})
    frame = pd.concat([empty, *parts], ignore_index=True) if parts else empty
    return frame[columns].astype({"stage": "str", "curve": "str"})


def _steps(curve: pd.DataFrame) -> pd.DataFrame:
    """The rows where the curve comes down, at most about ``_POINTS``, and the last one."""
    down = curve.loc[curve["survival"].diff().fillna(-1.0) < 0]
    nth = max(1, len(down) // _POINTS)
    return pd.concat([down.iloc[:-1:nth], down.iloc[-1:]])


def _summary(stage: str, sample: Sample, one: StageFit | None, interval: bool) -> dict[str, object]:
    counts = {
        state: int(sample.counts.get((stage, state), 0))
        for state in ("finished", "running", "never_seen")
    }
    its = sample.of(stage)
    values, notes = _percentiles(its, one, PERCENTILES)
    if interval:
        known = one is not None and not np.isnan(values["p50_h"])
        bounds = _interval(sample, one, values["p50_h"]) if known and one else (np.nan, np.nan)
        values |= dict(zip(INTERVAL, bounds, strict=True))
        if known and np.isnan(bounds[0]):
            notes.append(f"no interval: submissions of fewer than {_LEAST_DAYS} days")
    watched = int(sample.watched.get(stage, 0))
    if watched > len(its):
        notes.append(f"fitted to {len(its):,} of {watched:,} visits, even over time")
    if left_out := sum(counts.values()) - watched:
        notes.append(f"{left_out:,} more began before anyone looked")
    return {"stage": stage, "n": len(its), **counts, **values, "note": "; ".join(notes)}


def _percentiles(
    visits: pd.DataFrame, one: StageFit | None, shares: dict[str, float]
) -> tuple[dict[str, float], list[str]]:
    none = dict.fromkeys(shares, float("nan"))
    state = visits["state"].to_numpy()
    finished, running, unseen = (
        int((state == name).sum()) for name in ("finished", "running", "never_seen")
    )
    if unseen > finished and finished + unseen >= LEAST_FINISHED:
        return none, [f"polls too coarse: {unseen} of {finished + unseen} never seen"]
    if one is None:
        also = f", {unseen} never seen" if unseen else ""
        return none, [f"not enough yet: {finished} finished, {running} running{also}"]

    gap = _gap(visits)
    least = LEAST_GAPS * gap
    longest = _longest(visits)
    values = {name: one.fit.percentile(share) for name, share in shares.items()}
    if values["p50_h"] < least:
        return none, [
            f"polls too coarse: half took under {in_words(least)}, looked at every {in_words(gap)}"
        ]
    if _in_step(visits, values["p50_h"]):
        return none, ["polls too coarse: most were looked at in step, and no look tells where"]
    short = [name for name, value in values.items() if value < least]
    beyond = [name for name, value in values.items() if value > longest]
    notes = []
    if short:
        notes.append(f"{_names(short)} too short for looks every {in_words(gap)}")
    if beyond:
        notes.append(f"{_names(beyond)} beyond the longest time observed ({in_words(longest)})")
    notes += _disagreement(visits, one, values["p50_h"])
    return values | dict.fromkeys([*short, *beyond], float("nan")), notes


def _in_step(visits: pd.DataFrame, median: float) -> bool:
    """Most visits ended in one and the same wide interval: nobody knows where in it the median is.

    So it is where creates and looks keep to the same hours. Otherwise the intervals differ, and
    tell together what each does not.
    """
    ended = visits.loc[np.isfinite(visits["max_h"]), ["min_h", "max_h"]].to_numpy()
    if not len(ended):
        return False
    alike, count = np.unique(np.round(ended / (_ALIKE * median)), axis=0, return_counts=True)
    least, most = alike[count.argmax()] * _ALIKE * median
    return bool(
        count.max() > len(ended) / 2 and least <= median <= most and most - least > _WIDE * median
    )


def _disagreement(visits: pd.DataFrame, one: StageFit, median: float) -> list[str]:
    """What is to be said where the fit and the nonparametric curve are too far apart."""
    if not _is_well_known(visits, median):
        return []
    curve = curves.turnbull(visits["min_h"], visits["max_h"])
    # Where it has just come down; before, within a step, it does not say where in it.
    down = curve.loc[curve["survival"].diff().fillna(-1.0) < 0]
    times = down["time_h"].to_numpy()
    at = np.searchsorted(times, [one.fit.percentile(share) for share in (0.25, 0.5, 0.75)]) - 1
    at = at[at >= 0]
    low, counted, high = (down[name].to_numpy()[at] for name in ("low", "survival", "high"))
    fitted = one.fit.survival(times[at])
    # Each has its band; they part where the distance is more than both together.
    band = np.where(fitted > counted, high - counted, counted - low)
    apart = np.abs(fitted - counted) > 2 * band
    if not apart.any():
        return []
    worst = int(np.argmax(np.abs(fitted - counted) * apart))
    when = in_words(float(times[at][worst]))
    return [
        f"the fit is off: by {when} {1 - counted[worst]:.0%} had left by the nonparametric curve, "
        f"{1 - fitted[worst]:.0%} by the fit"
    ]


def _is_well_known(visits: pd.DataFrame, median: float) -> bool:
    """Beginnings, and with the ends whole durations, are narrow against the median.

    Where intervals are wide and overlap a little, Turnbull's curve piles everything up in the
    little that they share.
    """
    entry = _hours(visits["entered_before"] - visits["entered_after"])
    width = (visits["max_h"] - visits["min_h"]).to_numpy()
    narrow = np.median(width[np.isfinite(width)]) <= _WIDE * median
    return bool(np.median(entry) <= _WELL_KNOWN * median and narrow)


def _interval(sample: Sample, one: StageFit, median: float) -> tuple[float, float]:
    from scipy.stats import t

    begun = sample.visits.groupby("persona_id")["entered_before"].transform("min")
    days = pd.factorize(begun.dt.floor("D").to_numpy()[one.rows])[0]
    many = int(days.max()) + 1
    if many < _LEAST_DAYS:
        return float("nan"), float("nan")
    bounds = one.bounds
    if len(bounds.least) > _MANY_MOMENTS:
        bounds = bounds.averaged()
    random = np.random.default_rng(0)
    logs = []
    for _ in range(_RESAMPLED):
        drawn = np.bincount(random.integers(0, many, many), minlength=many)
        again = likelihood.fit(bounds, count=drawn[days].astype("float64"), like=one.fit)
        logs.append(np.log(again.percentile(0.5)))
    error = float(np.std(logs, ddof=1)) * np.sqrt(many / (many - 1))
    spread = np.exp(t(many - 1).ppf(0.975) * error)
    return median / spread, median * spread


def _gap(visits: pd.DataFrame) -> float:
    gaps = _hours(visits["left_before"] - visits["left_after"])
    return float(np.median(gaps[~np.isnan(gaps)]))


def _longest(visits: pd.DataFrame) -> float:
    least, most = visits["min_h"].to_numpy(), visits["max_h"].to_numpy()
    return float(np.where(np.isfinite(most), most, least).max())


def _hours(span: pd.Series[pd.Timedelta]) -> Floats:
    return np.asarray(span / pd.Timedelta(hours=1), dtype="float64")


def _names(columns: list[str]) -> str:
    names = [name.removesuffix("_h") for name in columns]
    return f"{' and '.join(names)} {'is' if len(names) == 1 else 'are'}"
