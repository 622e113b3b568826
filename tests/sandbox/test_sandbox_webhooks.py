"""Webhooks: fired at the end of a life, to loopback only, and logged."""

from __future__ import annotations

import json
import logging
import socket
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from avatarkit.sandbox import Behaviour, Delivery, Sandbox
from avatarkit.sandbox.personas import video_checks
from avatarkit.sandbox.personas.deliveries import DeliveryLog
from avatarkit.sandbox.personas.webhooks import RETRIES, may_be_called
from support.sandbox_client import ADA, FILES, client_of, until

if TYPE_CHECKING:
    from support.manual_clock import ManualClock


class Receiver(ThreadingHTTPServer):
    """A real receiver of webhooks: what came is in ``bodies``; ``answers`` are its statuses."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.answers: list[int] = []
        self.location: str | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_port}/hook"


class Handler(BaseHTTPRequestHandler):
    """Notes each POST."""

    def do_POST(self) -> None:
        server = cast(Receiver, self.server)
        raw = self.rfile.read(int(self.headers["Content-Length"]))
        server.headers.append({k.lower(): v for k, v in self.headers.items()})
        server.bodies.append(json.loads(raw))
        self.send_response(server.answers.pop(0) if server.answers else 204)
        if server.location:
            self.send_header("Location", server.location)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Yield a receiver on a free port of loopback."""
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def create(sandbox: Sandbox, url: str | None, *labels: str, **fields: Any) -> str:
    """Return the id of a new persona with that webhook."""
    with client_of(sandbox) as api:
        body = {**ADA, "webhook_url": url, "labels": list(labels), **fields}
        answer = api.post(FILES, json=body)
        assert answer.status_code == 201, answer.text
        return cast(str, answer.json()["id"])


def after_a_pass(sandbox: Sandbox, receiver: Receiver, clock: ManualClock) -> None:
    """Return when the sandbox has sent everything that is due."""
    probe = create(sandbox, receiver.url, "sandbox:failed")
    clock.advance(timedelta(days=5))
    until(lambda: any(each.persona_id == probe for each in sandbox.deliveries()))


class TestFiring:
    """What is sent, and when."""

    def test_plain_http_needs_no_certificates(
        self, manual_clock: ManualClock, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A stale file that the environment names for TLS keeps no webhook back."""
        with Sandbox(clock=manual_clock) as sandbox:
            create(sandbox, receiver.url, "sandbox:done")
            monkeypatch.setenv("SSLKEYLOGFILE", "/nowhere/keys.log")
            manual_clock.advance(timedelta(days=5))
            until(sandbox.deliveries)
        assert len(receiver.bodies) == 1

    @pytest.mark.parametrize("outcome", ["done", "failed", "rejected"])
    def test_the_end_of_a_life_is_told_once(
        self, manual_clock: ManualClock, receiver: Receiver, outcome: str
    ) -> None:
        """Not before the end; then the body of sibling endpoints, and never again."""
        with Sandbox(clock=manual_clock) as sandbox:
            persona_id = create(sandbox, receiver.url, f"sandbox:{outcome}")
            assert sandbox.deliveries() == []
            manual_clock.advance(timedelta(days=5))
            until(sandbox.deliveries)
            manual_clock.advance(timedelta(days=5))
            after_a_pass(sandbox, receiver, manual_clock)
            with client_of(sandbox) as api:
                shown = api.get(f"/api/personas/{persona_id}/").json()
                listed = api.get("/_sandbox/deliveries/").json()
            bodies = [body for body in receiver.bodies if body["id"] == persona_id]
            assert bodies == [
                {
                    "id": persona_id,
                    "status": outcome,
                    "failed_reason": shown["failed_reason"],
                    "output": None,
                }
            ]
            (delivery, _) = sandbox.deliveries()
            assert (delivery.result, delivery.status_code) == ("delivered", 204)
            assert (delivery.attempt, delivery.status, delivery.error) == (1, outcome, None)
            assert listed == [each.to_json() for each in sandbox.deliveries()]
        assert receiver.headers[0]["content-type"] == "application/json"
        assert not any(name.startswith("x-api") for name in receiver.headers[0])

    def test_the_whole_persona_can_be_sent(
        self, manual_clock: ManualClock, receiver: Receiver
    ) -> None:
        """A setting makes the body what GET by id shows."""
        behaviour = Behaviour(webhook_body="persona")
        with Sandbox(clock=manual_clock, behaviour=behaviour) as sandbox:
            persona_id = create(sandbox, receiver.url, "sandbox:done")
            manual_clock.advance(timedelta(days=5))
            until(lambda: receiver.bodies)
            with client_of(sandbox) as api:
                assert receiver.bodies == [api.get(f"/api/personas/{persona_id}/").json()]

    def test_lives_that_do_not_end_tell_nothing(
        self, manual_clock: ManualClock, receiver: Receiver
    ) -> None:
        """Neither a stuck one, nor a deleted one, nor one without an address."""
        with Sandbox(clock=manual_clock) as sandbox:
            create(sandbox, receiver.url, "sandbox:stuck")
            create(sandbox, None, "sandbox:done")
            deleted = create(sandbox, receiver.url, "sandbox:done")
            with client_of(sandbox) as api:
                api.delete(f"/api/personas/{deleted}/")
            manual_clock.advance(timedelta(days=30))
            after_a_pass(sandbox, receiver, manual_clock)
            assert len(sandbox.deliveries()) == len(receiver.bodies) == 1

    def test_a_flaw_of_the_video_is_told(
        self, manual_clock: ManualClock, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The webhook waits for the check, and says why it failed."""
        check_videos, go = video_checks.check_videos, threading.Event()

        def check_later(*given: Any) -> video_checks.CheckResult:
            assert go.wait(10)
            return check_videos(*given)

        monkeypatch.setattr(video_checks, "check_videos", check_later)
        with Sandbox(clock=manual_clock) as sandbox, client_of(sandbox) as api:
            api.post(
                FILES,
                data={**ADA, "webhook_url": receiver.url, "labels": "sandbox:done"},
                files={"lipsync_input": ("a.mp4", b"text")},
            )
            after_a_pass(sandbox, receiver, manual_clock)
            assert [body["status"] for body in receiver.bodies] == ["failed"]
            receiver.bodies.clear()
            go.set()
            until(lambda: receiver.bodies)
            shown = api.get(FILES).json()[-1]
            assert receiver.bodies[0]["status"] == "failed"
            assert receiver.bodies[0]["failed_reason"] == shown["failed_reason"]
            assert "not an MP4" in shown["failed_reason"]


class TestRetries:
    """What happens when no receiver accepts it."""

    def test_it_is_tried_a_few_times_and_then_given_up(
        self, manual_clock: ManualClock, receiver: Receiver
    ) -> None:
        """Each wait is on the sandbox's clock; after the last retry nothing is sent."""
        receiver.answers = [500, 404, 301, 503, 204]
        receiver.location = receiver.url
        with Sandbox(clock=manual_clock) as sandbox:
            persona_id = create(sandbox, receiver.url, "sandbox:done")
            manual_clock.advance(timedelta(days=5))
            for number, wait in enumerate([*RETRIES, timedelta(days=1)], 1):
                until(lambda number=number: len(sandbox.deliveries()) == number)
                manual_clock.advance(wait)
            receiver.answers, receiver.location = [], None
            after_a_pass(sandbox, receiver, manual_clock)
            tries = [each for each in sandbox.deliveries() if each.persona_id == persona_id]
            assert [(each.attempt, each.result, each.status_code) for each in tries] == [
                (1, "failed", 500),
                (2, "failed", 404),
                (3, "failed", 301),
                (4, "failed", 503),
            ]
            ats = [each.at for each in tries]
            assert [b - a for a, b in pairwise(ats)] == list(RETRIES)

    def test_a_receiver_that_comes_back_is_told(
        self, manual_clock: ManualClock, receiver: Receiver, unused_port: int
    ) -> None:
        """A refused connection is one failed try, named by its error; the next one arrives."""
        with Sandbox(clock=manual_clock) as sandbox:
            create(sandbox, f"http://localhost:{unused_port}/", "sandbox:done")
            manual_clock.advance(timedelta(days=5))
            until(sandbox.deliveries)
            failed = sandbox.deliveries()[0]
            assert (failed.result, failed.status_code) == ("failed", None)
            assert failed.error == "ConnectError"
            receiver.answers = [500]
            create(sandbox, receiver.url, "sandbox:done")
            manual_clock.advance(timedelta(days=5))
            until(lambda: receiver.bodies)
            manual_clock.advance(timedelta(days=5))
            until(lambda: sandbox.deliveries()[-1].result == "delivered")

    def test_a_receiver_that_says_nothing_does_not_hold_it_up(
        self, manual_clock: ManualClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A try without an answer ends after a while, as a failed one."""
        monkeypatch.setattr("avatarkit.sandbox.personas.webhooks._TIMEOUT_S", 0.05)
        with (
            socket.create_server(("127.0.0.1", 0)) as silent,
            Sandbox(clock=manual_clock) as sandbox,
        ):
            create(sandbox, f"http://127.0.0.1:{silent.getsockname()[1]}/", "sandbox:done")
            manual_clock.advance(timedelta(days=5))
            until(sandbox.deliveries)
            assert sandbox.deliveries()[0].error == "ReadTimeout"

    def test_tries_go_on_after_a_restart(
        self, manual_clock: ManualClock, receiver: Receiver, tmp_path: Path
    ) -> None:
        """The log is kept: what was delivered is not sent again, what failed is tried further."""
        with Sandbox(tmp_path, clock=manual_clock) as sandbox:
            first = create(sandbox, receiver.url, "sandbox:done")
            manual_clock.advance(timedelta(days=5))
            until(sandbox.deliveries)
            receiver.answers = [500]
            second = create(sandbox, receiver.url, "sandbox:failed")
            third = create(sandbox, receiver.url, "sandbox:done")
            with client_of(sandbox) as api:
                api.delete(f"/api/personas/{third}/")
            manual_clock.advance(timedelta(days=5))
            until(lambda: len(sandbox.deliveries()) == 2)
            before = sandbox.deliveries()
        with (tmp_path / "deliveries.jsonl").open("a") as file:
            file.write('\n{"persona_id": "cut o')
        with Sandbox(tmp_path, clock=manual_clock) as sandbox:
            assert sandbox.deliveries() == before
            manual_clock.advance(timedelta(days=1))
            until(lambda: len(sandbox.deliveries()) == 3)
            assert [body["id"] for body in receiver.bodies] == [first, second, second]
        log = DeliveryLog(tmp_path / "deliveries.jsonl")
        assert [each.attempt for each in log.all()] == [1, 1, 2]

    def test_what_cannot_be_kept_is_said_and_not_sent_again(
        self,
        manual_clock: ManualClock,
        receiver: Receiver,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """A full disk costs the log its line, not the receiver its rest."""
        with Sandbox(clock=manual_clock) as sandbox:
            (sandbox.folder / "deliveries.jsonl").mkdir()
            create(sandbox, receiver.url, "sandbox:done")
            manual_clock.advance(timedelta(days=5))
            with caplog.at_level(logging.WARNING):
                until(lambda: "The sandbox cannot keep a delivery: Is a directory." in caplog.text)
            after_a_pass(sandbox, receiver, manual_clock)
            assert len(receiver.bodies) == 2


class TestLoopback:
    """Nothing leaves this machine."""

    @pytest.mark.parametrize(
        ("url", "is_here"),
        [
            ("http://127.0.0.1:8501/hook?token=x", True),
            ("http://127.9.9.9/", True),
            ("https://[::1]:80/", True),
            ("http://localhost:8501/hook", True),
            ("http://LOCALHOST/", True),
            ("http://192.0.2.1/", False),
            ("http://10.0.0.1/", False),
            ("http://0.0.0.0/", False),
            ("https://example.com/", False),
            ("http://localhost.example.com/", False),
            ("http://127.0.0.1.example.com/", False),
            ("http://127.0.0.1@example.com/", False),
            ("http://2130706433/", False),
            ("ftp://127.0.0.1/", False),
            ("http://[::1", False),
            ("http://[fe80::1]/", False),
        ],
    )
    def test_addresses_are_told_apart(self, url: str, is_here: bool) -> None:
        """Only loopback addresses and localhost are local; other names are not looked up."""
        assert may_be_called(url) is is_here

    def test_a_localhost_that_leads_elsewhere_is_not_trusted(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What the system says counts, and if it says nothing it is not here."""
        elsewhere = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 0))]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_: elsewhere)
        assert not may_be_called("http://localhost/")

        def fails(*_: object) -> None:
            raise OSError("no resolver")

        monkeypatch.setattr(socket, "getaddrinfo", fails)
        assert not may_be_called("http://localhost/")

    def test_others_are_logged_as_not_sent(self, manual_clock: ManualClock) -> None:
        """Once, with the reason, and without a connection."""
        with Sandbox(clock=manual_clock) as sandbox:
            create(sandbox, "https://example.com/hook", "sandbox:done")
            manual_clock.advance(timedelta(days=5))
            until(sandbox.deliveries)
            (delivery,) = sandbox.deliveries()
            assert isinstance(delivery, Delivery)
            assert (delivery.result, delivery.error) == ("not sent", "not a loopback address")
            assert delivery.status_code is None


@pytest.fixture
def unused_port() -> int:
    """Return a port on which no program listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
