"""Measure ``Tracker.look`` against the same GETs by raw httpx, and the memory of a long list.

Both poll the same avatars over loopback, with as many threads, from a small server in another
process; its list is off. Goals: at most 2 times the wall time of raw httpx without latency, at most
1.1 times with answers that take 50 ms; at most 60 MiB more for 10,000 avatars in flight.

Before there were batches, with a transaction for each number and each answer, the median was 8.4
times without latency and 1.5 times with it, on two busy cores.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import httpx
import served  # noqa: F401 - no keys of the developer
from upload import peak_mib

from avatarkit import Client, Persona, Store, Tracker
from avatarkit.clock import ScaledClock

THREADS = 4
DUE = 1_000
IN_FLIGHT = 10_000
ROUNDS = 3
KEYS = {"X-API-ID": "bench", "X-API-KEY": "bench-bench-bench-bench"}
UPDATED = "2026-01-05T09:00:00.000000+00:00"


def body(persona_id: str) -> bytes:
    """Return an answer with the fields of the documentation."""
    previews = ("image_16_9", "image_1_1", "image_9_16", "video_16_9", "video_1_1", "video_9_16")
    answer = {
        "id": persona_id, "created_at": UPDATED, "updated_at": UPDATED, "gender": "f",
        "creator_name": "Ada", "suitable_industries": None,
        **{f"preview_{name}": None for name in previews},
        "is_active": False, "process_status": "processing", "failed_reason": "",
        "type": "custom", "age_range": None, "location": None, "style": None,
        "video_scene": "office", "keywords": None,
    }  # fmt: skip
    return json.dumps(answer).encode()


async def serve(latency_s: float) -> None:
    """Answer every GET by id after ``latency_s``, the list with 404, until the input ends."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except (asyncio.IncompleteReadError, ConnectionError):
                writer.close()
                return
            path = head.split(b" ", 2)[1].decode()
            is_persona = path.startswith("/api/personas/")
            content = body(path.split("/")[3]) if is_persona else b'{"detail": "Off."}'
            await asyncio.sleep(latency_s)
            status = b"200 OK" if is_persona else b"404 Not Found"
            writer.write(
                b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
                % (status, len(content), content)
            )

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


@contextmanager
def server(latency_s: float) -> Iterator[str]:
    """Run ``serve`` in another process; yield its base URL."""
    command = [sys.executable, __file__, "serve", str(latency_s)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        process.stdin.close()


@contextmanager
def tracking(url: str, count: int) -> Iterator[Tracker]:
    """Yield a tracker with ``count`` avatars in flight, in a new database."""
    with tempfile.TemporaryDirectory() as folder:
        clock = ScaledClock(datetime(2026, 1, 5, 12, tzinfo=UTC), 1)
        with (
            Client(url, KEYS["X-API-ID"], KEYS["X-API-KEY"]) as client,
            Store(f"sqlite:///{folder}/log.db") as store,
        ):
            tracker = Tracker(client, store, clock=clock, threads=THREADS)
            now = clock.now()
            with store.transaction():
                for number in range(count):
                    persona = Persona.model_validate_json(body(f"p{number}"))
                    store.record(persona, asked_at=now, answered_at=now, source="list")
            yield tracker


def make_due(tracker: Tracker, count: int) -> None:
    with tracker.store.transaction():
        for number in range(count):
            tracker.store.plan(f"p{number}", tracker.clock.now() - timedelta(minutes=1))


def ratio(latency_s: float) -> float:
    """Return the median of wall time by wall time of raw httpx, measured in turns."""
    ratios = []
    with (
        server(latency_s) as url,
        tracking(url, DUE) as tracker,
        httpx.Client(base_url=url, headers=KEYS) as raw,
        ThreadPoolExecutor(THREADS) as pool,
    ):

        def get(number: int) -> object:
            return raw.get(f"/api/personas/p{number}/").json()

        for _ in range(ROUNDS):
            began = time.perf_counter()
            list(pool.map(get, range(DUE)))
            raw_s = time.perf_counter() - began
            make_due(tracker, DUE)
            began = time.perf_counter()
            tracker.look()
            look_s = time.perf_counter() - began
            assert not tracker.store.due(tracker.clock.now())
            ratios.append(look_s / raw_s)
            print(f"  raw {raw_s:.2f} s, look {look_s:.2f} s, ratio {look_s / raw_s:.2f}")
    return statistics.median(ratios)


def memory_mib() -> float:
    """Return how much the peak memory grows in a pass of 10,000, after one of 100."""
    with server(0) as url, tracking(url, IN_FLIGHT) as tracker:
        make_due(tracker, 100)
        tracker.look()
        before = peak_mib()
        make_due(tracker, IN_FLIGHT)
        tracker.look()
        return peak_mib() - before


def main() -> None:
    if sys.argv[1:2] == ["serve"]:
        asyncio.run(serve(float(sys.argv[2])))
        return
    if sys.argv[1:2] == ["memory"]:
        print(memory_mib())
        return
    for latency_s, goal in ((0.0, 2.0), (0.05, 1.1)):
        found = ratio(latency_s)
        met = "met" if found <= goal else "MISSED"
        print(f"{DUE} due, {latency_s * 1e3:.0f} ms: {found:.2f} times (goal <= {goal}): {met}")
    # In a process of its own, as the peak of this one may have been higher before.
    command = [sys.executable, __file__, "memory"]
    grown = float(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    met = "met" if grown <= 60 else "MISSED"
    print(f"{IN_FLIGHT} in flight: {grown:+.0f} MiB (goal <= 60): {met}")


if __name__ == "__main__":
    main()
