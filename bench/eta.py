"""Backtest the arrival ranges on simulated accounts, whose true ends are known.

``python bench/eta.py`` simulates accounts with and without calendar effects, quicker and slower
than the vendor claims, and predicts at noon of each day (UTC) the end of every running persona from
what had been seen by then. By the number of finished lives behind a prediction it prints the
coverage of the 80 % range, and the mean pinball loss in hours of p10, p50 and p90: of avatarkit
("ours") and of three simpler models, on the same predictions. A persona that had already ended
unseen counts as ending at the prediction. Accounts of one kind are polled at different hours of the
day. The simpler models:

- uniform: from creation to 5 days after, given that it has not ended; those that are older end
  within the next 5 days.
- total KM: the Kaplan-Meier curve of whole lives, given the age, on the wall clock; where it does
  not fall far enough, the longest time seen.
- on the clock: the same on a clock of business hours learned from whole lives.

Then ``first_ranges.py`` judges the first range of each arrival over many independent starts;
``--only first`` runs that part alone, over ``--starts`` starts.

With ``--store FILE_OR_URL`` it replays a history of your own, and changes nothing in it.
Exits with 1 when a goal is missed.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import first_ranges
import numpy as np
import pandas as pd

from avatarkit import backtest, eta, stages
from avatarkit.estimates import simulation, survival, work_clock
from avatarkit.models import STAGES
from avatarkit.sandbox.personas import lifecycle
from avatarkit.tracking import polling

MONDAY = datetime(2026, 1, 5, tzinfo=UTC)
SHARES = np.array(list(simulation.SHARES.values()))[:, None]
GOLDEN = (5**0.5 - 1) / 2

COVERAGE = {50: (0.68, 0.90), 500: (0.72, 0.88)}
AGAINST_UNIFORM = 0.9
AGAINST_TOTAL = 1.0
MIN_PREDICTIONS = 100
"""Fewer predictions than this decide nothing."""


@dataclass(frozen=True)
class Account:
    """The parameters of a simulated account.

    ``medians`` are in hours by stage; with ``business_hours`` those of the review are business
    hours. Each stage is log-normal with the spread ``sigma``; ``correlation`` is that of the stages
    of one life. ``poll_h`` is the gap between polls, None for the tracker's own plan. ``a_day`` is
    the mean number of submissions on a working day.
    """

    name: str
    medians: tuple[float, ...] = (2.0, 5.0, 4.0, 4.0, 8.0, 24.0)
    sigma: float = 0.5
    business_hours: bool = False
    correlation: float = 0.0
    poll_h: float | None = 0.5
    a_day: float = 5.0


BUSINESS_HOURS = Account(
    "business hours", (2.0, 5.0, 4.0, 4.0, 8.0, 12.0), sigma=0.4, business_hours=True
)
SANDBOX = Account("the sandbox's own lives", poll_h=None)
ACCOUNTS = (
    Account("round the clock"),
    Account("round the clock, quicker than claimed", (0.5, 1.5, 1.0, 1.0, 3.0, 10.0), sigma=0.6),
    Account("round the clock, correlated stages", correlation=0.5),
    BUSINESS_HOURS,
    Account(
        "business hours, slower than claimed",
        (4.0, 15.0, 12.0, 12.0, 24.0, 27.0),
        business_hours=True,
    ),
    replace(BUSINESS_HOURS, name="business hours, polled once a day", poll_h=24.0),
    Account("round the clock, polled every 6 h", poll_h=6.0),
    Account("round the clock, polled once a day", poll_h=24.0),
    SANDBOX,
)
SIZES = (
    (60, 6, ((0, 5), (5, 15), (15, 50))),
    (140, 5, ((50, 100),)),
    (620, 3, ((500, np.inf),)),
)
"""(lives of an account, number of accounts, bands of finished lives to judge)."""
OWN_BANDS = ((0, 5), (5, 15), (15, 50), (50, 500), (500, np.inf))

Log = tuple[pd.DataFrame, "pd.Series[float]"]


def created(account: Account, size: int, rng: np.random.Generator) -> np.ndarray:
    """Return the hours of the submissions: on working days, 8 to 18 o'clock UTC."""
    weeks = int(size / account.a_day / 5 * 1.3) + 3
    days = [day for day in range(weeks * 7) if day % 7 < 5]
    hours = [day * 24 + rng.uniform(8, 18, rng.poisson(account.a_day)) for day in days]
    return np.sort(np.concatenate(hours))[:size]


def lives(account: Account, begins: np.ndarray, rng: np.random.Generator) -> list[list]:
    """Return for each life its statuses with the hour at which each begins; the end is the last."""
    names = [stage.value for stage in STAGES]
    if account is SANDBOX:
        return [sandbox_life(f"{rng.integers(1 << 40):x}", begin) for begin in begins]
    size = begins.size
    common, own = rng.standard_normal((size, 1)), rng.standard_normal((size, len(names)))
    score = np.sqrt(account.correlation) * common + np.sqrt(1 - account.correlation) * own
    hours = np.array(account.medians) * np.exp(account.sigma * score)
    ends = rng.choice(["done", "failed", "rejected"], size, p=[0.85, 0.08, 0.07])
    stops = rng.choice([1, 2, 3, 4], size, p=[0.2, 0.2, 0.4, 0.2])
    found = []
    for begin, took, end, stop in zip(begins, hours, ends, stops, strict=True):
        at = [begin, *(begin + np.cumsum(took))]
        if account.business_hours:
            review = moment(at[5])
            at[6] = at[5] + (lifecycle.REVIEW_HOURS.after(review, took[5]) - review) / timedelta(
                hours=1
            )
        last = stop + 1 if end == "failed" else len(names)
        found.append([*zip(names[:last], at, strict=False), (end, at[last])])
    return found


def sandbox_life(persona: str, begin: float) -> list[tuple[str, float]]:
    """Draw a life as the sandbox does."""
    drawn = lifecycle.draw(persona, moment(begin))
    at = [begin, *(begin + np.cumsum([hours for _, hours in drawn.stages]))]
    return list(zip([*(name for name, _ in drawn.stages), drawn.end], at, strict=True))


def moment(hours: float) -> datetime:
    return MONDAY + timedelta(hours=float(hours))


def polls(account: Account, persona: str, life: list[tuple[str, float]], phase: float) -> list:
    """Return (status, first poll, last poll) of each run that polling a life gives."""
    begin, end = life[0][1], life[-1][1]
    changes = np.array([at for _, at in life])
    runs: list = []
    at, since = begin, begin
    first = np.floor((begin - phase) / account.poll_h) if account.poll_h else 0.0
    for number in count(1):
        status = life[int(np.searchsorted(changes, at, side="right")) - 1][0]
        if runs and runs[-1][0] == status:
            runs[-1][2] = at
        else:
            runs.append([status, at, at])
            since = at
        if at >= end:
            break
        if account.poll_h is None:
            following = polling.next_poll_at(status, moment(since), moment(at), persona)
            at = (following - MONDAY) / timedelta(hours=1)
        else:
            at = phase + (first + number) * account.poll_h
    return runs


def simulated(account: Account, size: int, seed: int) -> Log:
    """Return the log of a simulated account, as from ``store.sightings()``, and its lives' ends."""
    rng = np.random.default_rng(seed)
    begins = created(account, size, rng)
    return as_log(account, lives(account, begins, rng), rng, 24 * ((seed + 0.5) * GOLDEN % 1))


def as_log(account: Account, lives: list[list], rng: np.random.Generator, hour: float = 0.0) -> Log:
    """Return the log of these lives, polled as the account is, at that hour if once a day."""
    truth, rows = {}, []
    for number, life in enumerate(lives):
        persona = f"p{number:05d}"
        truth[persona] = life[-1][1]
        phase = hour if (account.poll_h or 0) > 1 else rng.uniform(0, 1)
        for nth, (status, first, last) in enumerate(polls(account, persona, life, phase)):
            rows.append((persona, status, first, last, "poll" if nth else "create"))
    frame = pd.DataFrame(rows, columns=["persona_id", "status", "first", "last", "source"])
    start = work_clock.since_monday(pd.Series([MONDAY]))[0]
    frame["first_seen_at"] = work_clock.to_moments(frame.pop("first") + start)
    frame["last_seen_at"] = work_clock.to_moments(frame.pop("last") + start)
    frame["reported_at"] = pd.Series(pd.NaT, frame.index, dtype="datetime64[us, UTC]")
    return frame, pd.Series(truth) + start


# The simpler models


def uniform(now: float, began: np.ndarray) -> np.ndarray:
    until = np.where(began + 120 > now, began + 120, now + 120)
    return now + SHARES * (until - now)


def total(history: pd.DataFrame, now: float, began: np.ndarray, *, learned: bool) -> np.ndarray:
    """Return the predictions of the Kaplan-Meier curve of whole lives, given the age."""
    sides = ("began_after", "began_before", "ended_after", "ended_before")
    bounds = [work_clock.since_monday(history[side]) for side in sides]
    clock = work_clock.fit(*bounds) if learned else work_clock.WALL
    ended = ~np.isnan(bounds[3])
    end = np.where(ended, (bounds[2] + bounds[3]) / 2, bounds[2])
    took = np.maximum(clock.reading(end) - clock.reading(bounds[1]), 0.0)
    curve = survival.kaplan_meier(took, ended)
    times, shares = curve["time_h"].to_numpy(), curve["survival"].to_numpy()
    start = clock.reading(began)
    age = clock.reading(now) - start
    place = np.searchsorted(times, age, side="right") - 1
    left = np.where(place >= 0, shares[np.maximum(place, 0)], 1.0)
    reached = np.searchsorted(-shares, -(1 - SHARES) * left - 1e-12)
    at = times[np.minimum(reached, times.size - 1)]
    return np.maximum(clock.moment(start + np.maximum(at, age)), now)


def predictions(sightings: pd.DataFrame, predicted: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return p10, p50 and p90 in hours of every model, by its name, for the rows of ``replay``."""
    size = (len(SHARES), len(predicted))
    found = {name: np.empty(size) for name in ("ours", "uniform", "total KM", "on the clock")}
    found["ours"][:] = [work_clock.since_monday(predicted[name]) for name in simulation.SHARES]
    for noon, rows in predicted.groupby("predicted_at").indices.items():
        history = stages.lives(sightings, now=pd.Timestamp(noon).to_pydatetime())
        began = history.set_index("persona_id")["began_before"]
        begin = work_clock.since_monday(began.reindex(predicted["persona_id"].iloc[rows]))
        now = work_clock.since_monday(pd.Series([noon]))[0]
        found["uniform"][:, rows] = uniform(now, begin)
        found["total KM"][:, rows] = total(history, now, begin, learned=False)
        found["on the clock"][:, rows] = total(history, now, begin, learned=True)
    return found


def pinball(predicted: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Return the mean loss of each prediction.

    Source: Koenker and Bassett, "Regression quantiles", Econometrica 46 (1978), 33-50.
    """
    error = ends - predicted
    return np.maximum(SHARES * error, (SHARES - 1) * error).mean(axis=0)


# What is printed


@dataclass(frozen=True)
class Judged:
    """Predictions by model (3 × n, in hours), the true ends, and the finished lives behind them."""

    predicted: dict[str, np.ndarray]
    ends: np.ndarray
    first: np.ndarray
    n: np.ndarray

    def between(self, since: int, until: float) -> Judged:
        """Return the predictions with ``since`` to ``until`` finished lives behind them."""
        rows = (self.n >= since) & (self.n < until)
        predicted = {name: each[:, rows] for name, each in self.predicted.items()}
        return Judged(predicted, self.ends[rows], self.first[rows], self.n[rows])


def judged(log: Log, since: int, until: float) -> Judged:
    """Predict and judge while there are ``since`` to ``until`` finished lives."""
    sightings, truth = log
    now = sightings["last_seen_at"].max() + pd.Timedelta(days=60)
    over = sightings.loc[sightings["status"].isin(["done", "failed", "rejected"])]
    ends = over["first_seen_at"].sort_values()
    start = ends.iloc[since - 1] if since else sightings["first_seen_at"].min()
    predicted = backtest.replay(sightings, now=now.to_pydatetime(), days=(now - start).days)
    predicted = predicted.loc[predicted["n"].between(since, until, inclusive="left")]
    predicted = predicted.reset_index(drop=True)
    return judgement(sightings, predicted, truth.reindex(predicted["persona_id"]).to_numpy())


def judgement(sightings: pd.DataFrame, predicted: pd.DataFrame, ends: np.ndarray) -> Judged:
    at = work_clock.since_monday(predicted["predicted_at"] + eta.SOONEST)
    first, n = predicted["first"].to_numpy(), predicted["n"].to_numpy()
    return Judged(predictions(sightings, predicted), np.maximum(ends, at), first, n)


def report(since: int, until: float, parts: Sequence[Judged]) -> bool:
    """Print coverage and loss over several accounts; return False when a goal is missed."""
    parts = [part.between(since, until) for part in parts]
    ends, first = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("ends", "first")
    )
    if not ends.size:
        return True
    names = parts[0].predicted
    predicted = {name: np.hstack([part.predicted[name] for part in parts]) for name in names}
    loss = {name: float(pinball(each, ends).mean()) for name, each in predicted.items()}
    inside = (ends >= predicted["ours"][0]) & (ends <= predicted["ours"][2])
    coverage = float(inside.mean())
    checks: list[tuple[str, bool]] = []
    if since in COVERAGE and ends.size >= MIN_PREDICTIONS:
        low, high = COVERAGE[since]
        checks.append((f"coverage in [{low:.2f}, {high:.2f}]", low <= coverage <= high))
        ratio = loss["ours"] / loss["total KM"]
        checks.append((f"{ratio:.2f} of total KM's loss <= 1", ratio <= AGAINST_TOTAL))
        if since == max(COVERAGE):
            ratio = loss["ours"] / loss["uniform"]
            checks.append((f"{ratio:.2f} of uniform's loss <= 0.9", ratio <= AGAINST_UNIFORM))
    of = f"{since} to {until - 1}" if np.isfinite(until) else f"{since} and more"
    print(
        f"  {of:>13} finished: coverage {coverage:.3f} of {ends.size:4d} predictions "
        f"({inside[first].mean():.3f} of {int(first.sum())} arrivals), loss in hours: "
        + ", ".join(f"{name} {each:.2f}" for name, each in loss.items())
    )
    for text, met in checks:
        print(f"      {'met' if met else 'MISSED'}: {text}")
    return all(met for _, met in checks)


def simulations() -> bool:
    fine = True
    for account in ACCOUNTS:
        print(account.name)
        for size, seeds, bands in SIZES:
            since, until = bands[0][0], bands[-1][1]
            logs = (simulated(account, size, seed) for seed in range(seeds))
            parts = [judged(log, since, until) for log in logs]
            fine &= min([report(*band, parts) for band in bands])
    return fine


def own_history(place: str) -> bool:
    from avatarkit import Store

    if "://" not in place:
        if not Path(place).is_file():
            sys.exit(f"There is no database {place}; give its file or its URL.")
        place = f"sqlite:///{Path(place).resolve()}"
    with Store(place) as store:
        sightings, personas = store.sightings(), store.personas()
    if sightings.empty:
        print("Nothing has been seen yet.")
        return True
    now = sightings["last_seen_at"].max().to_pydatetime()
    predicted = backtest.replay(sightings, now=now, personas=personas, days=None)
    print(backtest.sentence(predicted))
    middle = predicted["ended_after"] + (predicted["ended_before"] - predicted["ended_after"]) / 2
    # A persona that still runs ends later than its last poll.
    ends = work_clock.since_monday(middle.fillna(predicted["ended_after"]))
    part = judgement(sightings, predicted, ends)
    return min([report(*band, [part]) for band in OWN_BANDS])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", help="the database of your own history: a file or a URL")
    parser.add_argument("--only", choices=["accounts", "first"], help="run one part")
    parser.add_argument("--starts", type=int, default=first_ranges.STARTS, help="of each scenario")
    arguments = parser.parse_args()
    began = time.perf_counter()
    if arguments.store:
        fine = own_history(arguments.store)
    else:
        fine = arguments.only == "first" or simulations()
        if arguments.only != "accounts":
            fine &= first_ranges.run(arguments.starts)
    verdict = "Every goal is met" if fine else "A goal is missed"
    print(f"{verdict}; {time.perf_counter() - began:.0f} s")
    sys.exit(0 if fine else 1)


if __name__ == "__main__":
    main()
