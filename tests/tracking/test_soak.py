"""Hundreds of avatars through five days of a sandbox that fails all the time."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest

from avatarkit.errors import AvatarkitError
from avatarkit.sandbox import Sandbox
from avatarkit.session import Session
from support.log_check import finish
from support.tracking_process import Work, needs_signals, running, serving

pytestmark = [pytest.mark.long, needs_signals]

PERSONAS = 500
SPEED = 1_500
"""Five days of the sandbox take five minutes."""

SHARES = {
    "429-seconds": 0.001,
    "429-date": 0.001,
    "500-html": 0.01,
    "502": 0.01,
    "503": 0.01,
    "504-made": 0.005,
    "301": 0.002,
    "closed-before": 0.01,
    "closed-after": 0.005,
    "closed-after-made": 0.005,
    "closed-in-answer": 0.005,
    "endless": 0.0003,
    "broken-json": 0.005,
    "other-json": 0.005,
    "wrong-content-type": 0.005,
}
"""The share of all calls that each fault takes."""


def test_five_days_of_faults(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two trackers and now and then a ``wait`` leave a true log of 500 avatars and every fault."""
    work = Work(tmp_path, spins=False, answer_s=5)
    half = PERSONAS // 2
    works = [
        replace(work, names=tuple(f"{place}-{number}" for number in range(half)))
        for place in range(2)
    ]
    with serving(tmp_path, speed=SPEED) as (sandbox, _), work.open() as session:
        for fault, share in SHARES.items():
            sandbox.fail_share(fault, share)
        with running(*works):
            waits = wait_now_and_then(session, sandbox, timedelta(days=5))
        sandbox.heal()
        calls = session.store.ask() - 1
        ended = session.store.personas()["next_look_at"].isna().sum()
        states, compared = finish(session, sandbox)
    with capsys.disabled():
        print(  # noqa: T201 - the counts are what the test is for
            f"\n{states}; {calls:,} calls and {waits} waits in five days, {ended} ended by then; "
            f"{compared}"
        )
    assert compared.personas >= PERSONAS


def wait_now_and_then(session: Session, sandbox: Sandbox, span: timedelta) -> int:
    """Wait a little for one avatar after another until the sandbox's clock has moved on.

    Once the API asks to wait without saying for how long.

    Returns:
        The number of waits.
    """
    chance = Random(12)  # noqa: S311 - the same avatars each time
    waits, end = 0, session.clock.now() + span
    while session.clock.now() < end:
        session.clock.sleep(10)
        personas = session.store.personas()
        in_flight = personas.loc[personas["next_look_at"].notna(), "persona_id"]
        if waits == 5:
            sandbox.fail_next("429")
        if len(in_flight):
            waits += 1
            with suppress(AvatarkitError):
                session.tracker.wait(chance.choice(list(in_flight)), timeout=2)
    return waits
