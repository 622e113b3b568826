"""Compare the log with when each status of an avatar really began."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import httpx
import pandas as pd

from avatarkit import Sandbox, Store, stages


@dataclass(frozen=True)
class Truth:
    """Which status of an avatar began when, by the API's clock; each status once."""

    statuses: Sequence[str]
    since: Sequence[datetime]

    def at(self, moment: datetime) -> str:
        """Return the status at a moment after the first one began."""
        return self.statuses[sum(since <= moment for since in self.since) - 1]

    def end_of(self, number: int) -> datetime | None:
        """Return when a status ended; None for the last one."""
        return self.since[number + 1] if number + 1 < len(self.since) else None


def history_of(sandbox: Sandbox) -> dict[str, Truth]:
    """Return what the sandbox knows of each of its personas until now, by id."""
    headers = {"X-API-ID": sandbox.api_id, "X-API-KEY": sandbox.api_key}
    answer = httpx.get(f"{sandbox.url}/_sandbox/history/", headers=headers, trust_env=False)
    return {
        persona["id"]: Truth(
            [each["status"] for each in persona["statuses"]],
            [datetime.fromisoformat(each["since"]) for each in persona["statuses"]],
        )
        for persona in answer.json()
    }


def check(
    store: Store, truths: dict[str, Truth], now: datetime, within: timedelta = timedelta(0)
) -> None:
    """Check that runs, visits and lives of each persona hold its truth, with a tolerance.

    Args:
        store: The log.
        truths: The truth by persona id.
        now: The moment until which the log is compared.
        within: How far a bound may miss the truth.
    """
    rows, personas = store.sightings(), store.personas()
    visits = stages.visits(rows, now=now, personas=personas)
    lives = stages.lives(rows, now=now, personas=personas).set_index("persona_id")
    for persona_id, runs in rows.groupby("persona_id"):
        truth = truths[str(persona_id)]
        number = -1
        for run in runs.to_dict("records"):
            number = truth.statuses.index(run["status"], number + 1)  # in order, each once
            assert truth.since[number] <= run["first_seen_at"] + within
            end = truth.end_of(number)
            assert end is None or run["last_seen_at"] <= end + within
        own = visits.loc[visits["persona_id"] == persona_id]
        for visit in own.loc[own["stage"].isin(truth.statuses)].to_dict("records"):
            number = truth.statuses.index(visit["stage"])
            entered, left = truth.since[number], truth.end_of(number)
            assert _is_between(visit["entered_after"], entered, visit["entered_before"], within)
            if left is not None and left <= now:
                assert _is_between(visit["left_after"], left, visit["left_before"], within)
                hours, slack = (left - entered) / timedelta(hours=1), within / timedelta(hours=0.5)
                assert visit["min_h"] - slack <= hours <= visit["max_h"] + slack
        life = lives.loc[str(persona_id)]
        assert _is_between(life["began_after"], truth.since[0], life["began_before"], within)
        if life["state"] != stages.RUNNING:
            assert _is_between(life["ended_after"], truth.since[-1], life["ended_before"], within)


def _is_between(lower: Any, moment: datetime, upper: Any, within: timedelta) -> bool:
    is_after = pd.isna(lower) or lower <= moment + within
    return bool(is_after and (pd.isna(upper) or moment <= upper + within))
