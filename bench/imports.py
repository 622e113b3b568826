"""Measure ``import avatarkit`` against importing httpx and pydantic-settings.

Goal: at most 1.15 times the baseline, also with ``Client`` and ``Settings``.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

ROUNDS = 15
CASES = {
    "httpx and pydantic-settings": "import httpx, pydantic_settings",
    "avatarkit": "import avatarkit",
    "avatarkit, its Client and Settings": "from avatarkit import Client, Settings",
}


def timed(code: str) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - began


def main() -> None:
    times: dict[str, list[float]] = {name: [] for name in CASES}
    for _ in range(ROUNDS):
        for name, code in CASES.items():
            times[name].append(timed(code))
    base = statistics.median(times["httpx and pydantic-settings"])
    for name, taken in times.items():
        median = statistics.median(taken)
        print(f"{name}: {median * 1e3:.0f} ms, {median / base:.2f} times the baseline")


if __name__ == "__main__":
    main()
