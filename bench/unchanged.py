"""Fill a store with simulated lives, and answer polls of which none shows a change."""

from __future__ import annotations

import sys
import threading
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from avatarkit import Persona, Store
from avatarkit.clock import Clock
from avatarkit.store import tables

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))
from support import simulated

CREATED_A_DAY = 30
STAGES = set(simulated.NAMES)


class Api:
    """A fake API on loopback whose avatars never change; its list is off."""

    def __init__(self) -> None:
        self.answers: dict[str, bytes] = {}
        self.polls = 0
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                answer = api.answers.get(self.path.rstrip("/").rpartition("/")[2])
                content = answer or b'{"detail": "Off."}'
                api.polls += answer is not None
                self.send_response(200 if answer else 404)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stop to answer."""
        self.server.shutdown()
        self.server.server_close()


def persona(persona_id: str, status: str, created: datetime, at: datetime) -> Persona:
    """Return an avatar as the API describes it."""
    number = int(persona_id[1:])
    fields = {
        "id": persona_id, "creator_name": f"Presenter {number:05}", "gender": "mf"[number % 2],
        "video_scene": "office", "labels": [f"team {number % 7}"], "process_status": status,
        "created_at": created.isoformat(), "updated_at": at.isoformat(), "type": "custom",
        "is_active": status == "done",
        "failed_reason": "The face is out of the picture." if status == "failed" else "",
    }  # fmt: skip
    return Persona.model_validate(fields)


def fill(store: Store, api: Api, count: int, clock: Clock) -> list[str]:
    """Log simulated lives of ``count`` avatars up to now; return the ids of those in flight."""
    days = max(3, count // CREATED_A_DAY)
    lives = simulated.lives("log-normal", seed=count, personas=count, days=days)
    runs, end = simulated.sightings(lives, 4.0, seed=count, until_h=24 * days)
    # One in twelve fails where it would be done.
    number = runs["persona_id"].str[1:].astype(int)
    runs.loc[(runs["status"] == "done") & (number % 12 == 5), "status"] = "failed"
    now = clock.now()
    for name in ("first_seen_at", "last_seen_at", "reported_at"):
        runs[name] += now - end
    created = runs.groupby("persona_id")["first_seen_at"].min()
    newest = runs.drop_duplicates("persona_id", keep="last")
    in_flight = []
    with store.transaction() as connection:
        # What was left long ago is written at once, as 50,000 answers would take minutes.
        left = [log_row(row, store.account) for row in runs.drop(newest.index).itertuples()]
        connection.execute(tables.sightings.insert(), left)
        for row in newest.itertuples():
            first, last = row.first_seen_at.to_pydatetime(), row.last_seen_at.to_pydatetime()
            answer = persona(row.persona_id, row.status, created[row.persona_id], first)
            for at in sorted({first, last} if row.status in STAGES else {first}):
                asked_at = at - timedelta(seconds=1)
                store.record(answer, asked_at=asked_at, answered_at=at, source=row.source)
            api.answers[row.persona_id] = answer.model_dump_json(exclude_unset=True).encode()
            if row.status in STAGES:
                in_flight.append(row.persona_id)
                later = timedelta(hours=1, seconds=len(in_flight))
                store.plan(row.persona_id, now + later, at=now)
    return in_flight


def log_row(row: Any, account: str | None) -> dict[str, Any]:
    """Return the columns of a run in the log."""
    return {
        "account": account, "persona_id": row.persona_id, "status": row.status,
        "first_seen_us": tables.to_us(row.first_seen_at),
        "last_seen_us": tables.to_us(row.last_seen_at),
        "reported_us": tables.to_us(row.reported_at), "times_seen": 2, "source": row.source,
    }  # fmt: skip
