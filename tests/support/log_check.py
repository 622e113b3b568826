"""Compare the log of a store with what really happened in the sandbox."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pandas as pd

from avatarkit import PersonaCreate, Store, stages
from avatarkit.models import TERMINAL
from support.sandbox_client import FILES, call

if TYPE_CHECKING:
    from avatarkit.sandbox import Attached, Sandbox
    from avatarkit.session import Session

States = list[tuple[str, pd.Timestamp]]
"""The statuses of a persona in order, each with the moment at which it began."""

_HOUR = pd.Timedelta(hours=1)
_ROUNDING_H = 1e-9


@dataclass(frozen=True)
class Truth:
    """What the sandbox knows: the states of each persona, how many there are of each name."""

    states: dict[str, States]
    names: Counter[str]

    @classmethod
    def of(cls, sandbox: Sandbox | Attached) -> Truth:
        """Read it from a sandbox without faults."""
        history = call(sandbox, "GET", "/_sandbox/history/").json()
        states = {
            persona["id"]: [
                (state["status"], pd.Timestamp(state["since"])) for state in persona["statuses"]
            ]
            for persona in history
        }
        listed = call(sandbox, "GET", FILES).json()
        return cls(states, Counter(persona["creator_name"] for persona in listed))


@dataclass(frozen=True)
class Log:
    """The three frames of a store, read at ``now``."""

    sightings: pd.DataFrame
    personas: pd.DataFrame
    submissions: pd.DataFrame
    now: datetime

    @classmethod
    def of(cls, store: Store, now: datetime) -> Log:
        """Read it from a store."""
        return cls(store.sightings(), store.personas(), store.submissions(), now)


@dataclass(frozen=True)
class Compared:
    """The sizes of a log that was compared with the truth, and each fault as a sentence."""

    personas: int
    submissions: int
    found_by_list: int
    ended: int
    changes: int
    visits_seen: int
    visits_never_seen: int
    faults: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"{self.submissions} submissions, {self.personas} personas "
            f"({self.found_by_list} found by the list, {self.ended} ended), "
            f"{self.changes} changes, {self.visits_seen} visits seen and {self.visits_never_seen} "
            f"never seen, {len(self.faults)} faults"
        )


def compare(log: Log, truth: Truth, *, up_to_date: bool = False) -> Compared:
    """Compare a log with the truth.

    Args:
        log: The log.
        truth: The truth, read after the log.
        up_to_date: Each persona was polled just now: its status has to be the present one.
    """
    visits = stages.visits(log.sightings, now=log.now, personas=log.personas)
    lives = stages.lives(log.sightings, now=log.now, personas=log.personas)
    faults = [
        *_faults_of_submissions(log, truth),
        *_faults_of_runs(log, truth, up_to_date=up_to_date),
        *_faults_of_visits(visits, truth),
        *_faults_of_lives(lives, truth),
    ]
    first = log.sightings.drop_duplicates("persona_id")
    unseen = int((visits["state"] == "never_seen").sum())
    return Compared(
        personas=len(log.personas),
        submissions=len(log.submissions),
        found_by_list=int((first["source"] == "list").sum()),
        ended=int(log.personas["status"].isin([status.value for status in TERMINAL]).sum()),
        changes=len(log.sightings) - log.sightings["persona_id"].nunique(),
        visits_seen=len(visits) - unseen,
        visits_never_seen=unseen,
        faults=tuple(faults),
    )


def assert_true(store: Store, sandbox: Sandbox | Attached, *, up_to_date: bool = False) -> Compared:
    """Assert that a store's log agrees with its sandbox; return the counts."""
    log = Log.of(store, sandbox.clock.now())
    compared = compare(log, Truth.of(sandbox), up_to_date=up_to_date)
    assert not compared.faults, "\n".join((str(compared), *compared.faults[:20]))
    return compared


def finish(session: Session, sandbox: Sandbox) -> tuple[dict[str, int], Compared]:
    """Settle every submission, poll every avatar when it has ended, and compare with the truth.

    Returns:
        The submissions by state at first, and the counts at the end.
    """
    store, tracker = session.store, session.tracker
    store.settle_abandoned(session.clock.now())
    submissions = store.submissions()
    tracker.reconcile()
    sandbox.advance(hours=2)
    # One that is pending: a list that shows it is known to show such.
    tracker.submit(PersonaCreate(creator_name="pending", gender="m"))
    tracker.reconcile()
    settled = store.submissions()
    assert set(settled["state"]) <= {"accepted", "refused"}
    # Said to be safe to send again.
    for name in settled.loc[settled["state"] == "refused", "creator_name"]:
        tracker.submit(PersonaCreate(creator_name=name, gender="m"))
    assert_true(store, sandbox)
    sandbox.advance(days=10)
    personas = store.personas()
    for persona_id in personas.loc[personas["next_look_at"].notna(), "persona_id"]:
        tracker.poll(persona_id)
    compared = assert_true(store, sandbox, up_to_date=True)
    return dict(Counter(submissions["state"])), compared


def _faults_of_submissions(log: Log, truth: Truth) -> Iterator[str]:
    """Yield what was lost, or sent twice."""
    known, seen = set(log.personas["persona_id"]), set(log.sightings["persona_id"])
    accepted = log.submissions.loc[log.submissions["state"] == "accepted"]
    for submission in accepted.itertuples():
        if submission.persona_id not in known & seen:
            yield f"{submission.creator_name}: accepted, and its persona is not in the log"
        if submission.persona_id not in truth.states:
            yield f"{submission.creator_name}: accepted, and the sandbox has no such persona"
    for persona_id, count in Counter(accepted["persona_id"]).items():
        if count > 1:
            yield f"{persona_id}: {count} submissions became it"
    for persona_id in known - set(truth.states):
        yield f"{persona_id}: logged, and the sandbox has no such persona"
    by_name: dict[str, Counter[str]] = defaultdict(Counter)
    for submission in log.submissions.itertuples():
        by_name[str(submission.creator_name)][str(submission.state)] += 1
    for name in truth.names.keys() | by_name.keys():
        states, made = by_name[name], truth.names[name]
        most = states["accepted"] + states["uncertain"] + states["sending"]
        if not states["accepted"] <= made <= most:
            yield f"{name}: {made} in the sandbox, submissions: {dict(states)}"


def _faults_of_runs(log: Log, truth: Truth, *, up_to_date: bool) -> Iterator[str]:
    for persona_id, runs in log.sightings.groupby("persona_id", sort=False):
        states = truth.states.get(str(persona_id))
        if states is None:
            continue
        statuses = [status for status, _ in states]
        seen = list(runs["status"])
        left = iter(statuses)
        if not all(status in left for status in seen):
            yield f"{persona_id}: seen {seen}, in truth {statuses}"
            continue
        if up_to_date and seen[-1] != statuses[-1]:
            yield f"{persona_id}: seen as {seen[-1]}, and it is {statuses[-1]}"
        for run in runs.itertuples():
            began, ended = _span(states, run.status)
            if not began <= run.first_seen_at:
                yield f"{persona_id}: {run.status} seen {run.first_seen_at}, began {began}"
            if ended is not None and not run.last_seen_at < ended:
                yield f"{persona_id}: {run.status} seen until {run.last_seen_at}, ended {ended}"


def _faults_of_visits(visits: pd.DataFrame, truth: Truth) -> Iterator[str]:
    for visit in visits.itertuples():
        states = truth.states.get(str(visit.persona_id))
        if states is None:
            continue
        name = f"{visit.persona_id}: {visit.state} visit of {visit.stage}"
        if not any(status == visit.stage for status, _ in states):
            if visit.state != "never_seen" or visit.min_h > 0:
                yield f"{name} of at least {visit.min_h} h, and it never was in it"
            continue
        began, ended = _span(states, visit.stage)
        yield from _outside(f"{name}, entered", visit.entered_after, began, visit.entered_before)
        yield from _outside(f"{name}, left", visit.left_after, ended, visit.left_before)
        yield from _wrong_length(name, visit, began, ended)


def _faults_of_lives(lives: pd.DataFrame, truth: Truth) -> Iterator[str]:
    for life in lives.itertuples():
        states = truth.states.get(str(life.persona_id))
        if states is None:
            continue
        name = f"{life.persona_id}: life"
        status, since = states[-1]
        ended = since if status in TERMINAL else None
        yield from _outside(f"{name}, began", life.began_after, states[0][1], life.began_before)
        yield from _outside(f"{name}, ended", life.ended_after, ended, life.ended_before)
        yield from _wrong_length(name, life, states[0][1], ended)


def _span(states: States, status: Any) -> tuple[pd.Timestamp, pd.Timestamp | None]:
    """Return when a status began and when it ended, None if it lasts."""
    place = [name for name, _ in states].index(status)
    ended = states[place + 1][1] if place + 1 < len(states) else None
    return states[place][1], ended


def _outside(name: str, lower: Any, moment: pd.Timestamp | None, upper: Any) -> Iterator[str]:
    """Yield a fault if a moment is not within its bounds; None is a moment still to come."""
    is_late = pd.notna(upper) and (moment is None or moment > upper)
    is_early = pd.notna(lower) and moment is not None and moment < lower
    if is_late or is_early:
        yield f"{name} at {moment}, not in {lower} – {upper}"


def _wrong_length(
    name: str, bounds: Any, began: pd.Timestamp, ended: pd.Timestamp | None
) -> Iterator[str]:
    """Yield a fault if a length is not within its bounds; without an end it has no upper one."""
    hours = float("inf") if ended is None else (ended - began) / _HOUR
    if not bounds.min_h - _ROUNDING_H <= hours <= bounds.max_h + _ROUNDING_H:
        yield f"{name} lasted {hours} h, not {bounds.min_h} – {bounds.max_h} h"
