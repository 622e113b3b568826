"""Trackers that are killed or stopped at random lose nothing, and log what really happened."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from random import Random

import pytest

from avatarkit import PersonaCreate, Store
from support.log_check import finish
from support.sandbox_client import until
from support.tracking_process import (
    Work,
    go_on,
    join,
    needs_signals,
    running,
    serving,
    wait_until_stopped,
)

pytestmark = needs_signals

SPEED = 20_000
"""An hour of the sandbox takes 0.2 s, so that polls are due all the time."""

STEPS_OF_SUBMISSIONS = 240
"""About how many steps a process takes to open a session and to submit three avatars."""

KILLS, MANY_KILLS, STOPS = 8, 300, 2


def test_trackers_killed_at_random(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Eight kills lose no avatar, send none twice, and leave the log true."""
    counts = kill_at_random(Work(tmp_path), kills=KILLS, seed=9)
    with capsys.disabled():
        print(f"\n{counts}")  # noqa: T201 - the counts are what the test is for


@pytest.mark.long
@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_trackers_killed_hundreds_of_times(
    database: str,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The same holds after 300 kills, on PostgreSQL too."""
    url = request.getfixturevalue("postgres") if database == "postgres" else None
    counts = kill_at_random(Work(tmp_path, database_url=url), kills=MANY_KILLS, seed=10)
    with capsys.disabled():
        print(f"\n{database}: {counts}")  # noqa: T201 - the counts are what the test is for


def test_a_tracker_stopped_for_hours(tmp_path: Path) -> None:
    """The late answers of a tracker that was stopped for hours undo nothing of another's."""
    names = tuple(f"avatar {number}" for number in range(12))
    works = Work(tmp_path, stops_at=10), Work(tmp_path, names=names)
    with serving(tmp_path, speed=SPEED) as (sandbox, _), works[0].open() as session:
        # There is always one to poll.
        stuck = PersonaCreate(creator_name="stuck", gender="m", labels=["sandbox:stuck"])
        session.tracker.submit(stuck)
        with running(*works) as (stopped, _):
            for _ in range(STOPS):
                wait_until_stopped(stopped, tmp_path)
                later = sandbox.advance(hours=8)
                until(lambda later=later: last_asked(session.store) > later, 60)
                go_on(stopped)
        finish(session, sandbox)


def last_asked(store: Store) -> datetime:
    """Return when the newest call was asked of which the log holds the answer."""
    moment: datetime = store.sightings()["last_seen_at"].max().to_pydatetime()
    return moment


def kill_at_random(work: Work, *, kills: int, seed: int) -> str:
    """Kill trackers of one database, one or two at a time, until that many kills.

    One of them dies at a random step, the other one at the same moment, wherever it is.

    Returns:
        The counts.
    """
    chance = Random(seed)  # noqa: S311 - the same kills each time
    done = 0
    with serving(work.data_dir, speed=SPEED) as (sandbox, footage):
        while done < kills:
            steps = [
                chance.randint(1, STEPS_OF_SUBMISSIONS),
                chance.randint(STEPS_OF_SUBMISSIONS, 4 * STEPS_OF_SUBMISSIONS),
            ]
            per_tracker = 3 if done < KILLS else 1
            works = [
                replace(
                    work,
                    names=tuple(f"{done}-{place}-{number}" for number in range(per_tracker)),
                    footage=footage,
                    dies_after=None if place else chance.choice(steps),
                )
                for place in range(min(chance.randint(1, 2), kills - done))
            ]
            with running(*works) as processes:
                join(processes[0])
            done += len(works)
            sandbox.advance(hours=chance.uniform(0, 8))
        with work.open() as session:
            states, compared = finish(session, sandbox)
    return f"{done} kills; {states} at the last one; {compared}"
