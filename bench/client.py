"""Measure ``Client.get_persona`` against raw httpx: GET, ``.json()`` and the model's validation.

Both call the same sandbox, which runs in another process, in turns. Goal: at most 1.10 times the
baseline.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import httpx
from served import sandbox

from avatarkit import Client, Persona, PersonaCreate

ROUNDS = 60
CALLS = 50


def timed(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    for _ in range(CALLS):
        call()
    return (time.perf_counter() - began) / CALLS


def main() -> None:
    with sandbox() as (_, keys), Client(**keys) as client:
        headers = {"X-API-ID": keys["api_id"], "X-API-KEY": keys["api_key"]}
        with httpx.Client(base_url=keys["base_url"], headers=headers) as raw:
            persona = client.create_persona(PersonaCreate(creator_name="Ada", gender="f"))
            path = f"/api/personas/{persona.id}/"

            def baseline() -> Persona:
                return Persona.model_validate(raw.get(path).json())

            def ours() -> Persona:
                return client.get_persona(persona.id)

            timed(baseline), timed(ours)
            pairs = [(timed(baseline), timed(ours)) for _ in range(ROUNDS)]
    baseline_s, client_s = (statistics.median(times) for times in zip(*pairs, strict=True))
    ratio = statistics.median(pair[1] / pair[0] for pair in pairs)
    print(f"raw httpx GET + json + validation: {baseline_s * 1e6:.0f} µs")
    print(f"Client.get_persona:                {client_s * 1e6:.0f} µs")
    print(f"ratio: {ratio:.3f} (goal <= 1.10)")


if __name__ == "__main__":
    main()
