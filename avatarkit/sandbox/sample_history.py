"""Write a sample history into the log of a sandbox, to try an analysis with."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from avatarkit.errors import ConfigError
from avatarkit.models import Persona
from avatarkit.sandbox.personas import lifecycle
from avatarkit.sandbox.personas.lifecycle import REVIEW_HOURS, Scenario, Script, State
from avatarkit.store import tables
from avatarkit.store.store import Store

FAILING = {"studio": 0.03, "phone": 0.08, "webcam": 0.3}
"""The share of avatars that fail, by label; an avatar has one of these labels."""

_WEIGHTS = (5, 3, 2)
_REJECTED = 0.07
_NO_VOICE = "No clear voice was found in the video."
_NO_VOICE_SHARE = 0.7
_SLOWER_H = (5.0, 13.0)
"""Business hours that a slow review takes longer."""
_A_DAY = (1, 2, 2, 3)
"""How many avatars are submitted on a working day, at random."""
_AT_WORK_H = (8.0, 17.0)
_GAP_H = (0.3, 1.0)
"""Hours between two polls."""
_ANSWER = timedelta(seconds=0.2)
_HOUR = timedelta(hours=1)


def sample_history(
    store: Store, *, until: datetime, weeks: int = 26, slower_weeks: int = 8, seed: int = 1
) -> None:
    """Write weeks of invented avatars into an empty log of a sandbox.

    About two avatars are submitted on each working day, and polled about every 40 minutes until
    they end or until now. Their lives are those of the sandbox, with two differences, which an
    analysis should find: avatars labelled ``webcam`` fail more often than others, mostly for want
    of a clear voice, and the latest reviews take about a working day longer. The same arguments
    give the same history; if the log has it already, nothing is written.

    The sandbox's API does not have these avatars: analyse them, and track others.

    Args:
        store: The log, such as that of ``open_session(temporary=True)``.
        until: Now, on the session's clock.
        weeks: How long ago the first ones were submitted.
        slower_weeks: Since how many weeks reviews take longer; 0: they do not.
        seed: Chooses the history.

    Raises:
        ConfigError: The log is not a sandbox's, or has other avatars.
        StoreError: The log failed.
        ValueError: ``until`` has no time zone.
    """
    if until.tzinfo is None:
        raise ValueError("until must carry a time zone; use the session's clock: clock.now().")
    rng = random.Random(seed)  # noqa: S311 - reproducible
    if store.kind != "sandbox":
        raise ConfigError(
            "Invented avatars are written into the log of a sandbox only; open one of its own with "
            "open_session(temporary=True)."
        )
    lives = list(_lives(rng, until, weeks, until - timedelta(weeks=slower_weeks)))
    if known := store.known_ids():
        if lives and lives[0].persona_id in known:
            return
        raise ConfigError(
            "The log has avatars already; open one of its own with open_session(temporary=True)."
        )
    with store.transaction() as connection:
        rows = [row for life in lives for row in _record(store, life, rng, until)]
        if rows:
            # In one go, as one after the other takes several times as long.
            connection.execute(tables.sightings.insert(), rows)


@dataclass(frozen=True)
class _Life:
    persona_id: str
    fields: dict[str, object]
    created_at: datetime
    script: Script


def _lives(
    rng: random.Random, until: datetime, weeks: int, slower_since: datetime
) -> Iterator[_Life]:
    begin = until.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(weeks=weeks)
    number = 0
    for day in range(7 * weeks + 1):
        date = begin + timedelta(days=day)
        count = rng.choice(_A_DAY) if date.weekday() < 5 else 0
        for created_at in sorted(date + rng.uniform(*_AT_WORK_H) * _HOUR for _ in range(count)):
            number += 1
            life = _life(rng, number, created_at, slower_since)
            if created_at <= until:
                yield life


def _life(rng: random.Random, number: int, created_at: datetime, slower_since: datetime) -> _Life:
    persona_id = str(uuid.UUID(int=rng.getrandbits(128), version=4))
    label = rng.choices(list(FAILING), _WEIGHTS)[0]
    fields: dict[str, object] = {
        "creator_name": f"Person {number:03}",
        "gender": rng.choice(["f", "m", "nb"]),
        "video_scene": "office" if label == "studio" else "home",
        "labels": [label],
    }
    rest = 1 - FAILING[label] - _REJECTED
    outcomes = (Scenario.FAILED, Scenario.REJECTED, Scenario.DONE)
    outcome = rng.choices(outcomes, (FAILING[label], _REJECTED, rest))[0]
    has_no_voice = label == "webcam" and rng.random() < _NO_VOICE_SHARE
    script = lifecycle.draw(persona_id, created_at, scenario=outcome)
    if outcome is Scenario.FAILED and has_no_voice:
        whole = lifecycle.draw(persona_id, created_at, scenario=Scenario.DONE)
        script = whole.failing(_NO_VOICE)
    return _Life(persona_id, fields, created_at, _slower(script, created_at, rng, slower_since))


def _slower(
    script: Script, created_at: datetime, rng: random.Random, slower_since: datetime
) -> Script:
    """Return the script with a longer review if that begins late enough."""
    more_h = rng.uniform(*_SLOWER_H)
    *before, (stage, review_h) = script.stages
    begins = created_at + sum(hours for _, hours in before) * _HOUR
    if script.end == Scenario.FAILED or begins < slower_since:
        return script
    ends = REVIEW_HOURS.after(begins + review_h * _HOUR, more_h)
    return Script((*before, (stage, (ends - begins) / _HOUR)), script.end, script.reason)


def _record(
    store: Store, life: _Life, rng: random.Random, until: datetime
) -> Iterator[dict[str, object]]:
    """Log the first and the last status; return the rows of the log for those between."""
    states = lifecycle.states_until(life.script, life.created_at, until)
    stop = states[-1].since if states[-1].status == life.script.end else until
    polled = [life.created_at]
    while polled[-1] < stop:
        polled.append(polled[-1] + rng.uniform(*_GAP_H) * _HOUR)
    ends = [*(state.since for state in states[1:]), until + _HOUR]
    runs = [
        (state, seen)
        for state, end in zip(states, ends, strict=True)
        if (seen := [at for at in polled if state.since <= at < end and at <= until])
    ]
    for state, seen in [runs[0], *runs[1:][-1:]]:
        for at in dict.fromkeys([seen[0], seen[-1]]):
            _log(store, life, state, at)
    for state, seen in runs[1:-1]:
        yield {
            "account": store.account,
            "persona_id": life.persona_id,
            "status": state.status,
            "first_seen_us": tables.to_us(seen[0] + _ANSWER),
            "last_seen_us": tables.to_us(seen[-1]),
            "times_seen": len(seen),
            "reported_us": tables.to_us(state.since),
            "source": "poll",
        }


def _log(store: Store, life: _Life, state: State, at: datetime) -> None:
    is_created = at == life.created_at
    answer = {
        "id": life.persona_id,
        "process_status": state.status,
        "failed_reason": state.reason,
        "created_at": life.created_at,
        "updated_at": state.since,
        **life.fields,
    }
    if not is_created:
        del answer["labels"]
    store.record(
        Persona.model_validate(answer),
        asked_at=at,
        answered_at=at if is_created else at + _ANSWER,
        source="create" if is_created else "poll",
    )
