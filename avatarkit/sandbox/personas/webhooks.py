"""Send a webhook at the end of each persona, to this machine only, with a few retries."""

from __future__ import annotations

import logging
import socket
import threading
from dataclasses import dataclass
from datetime import timedelta

import httpx

from avatarkit.clock import Clock
from avatarkit.sandbox.behaviour import Behaviour
from avatarkit.sandbox.personas import serializers
from avatarkit.sandbox.personas.deliveries import Delivery, DeliveryLog, Result
from avatarkit.sandbox.personas.lifecycle import State
from avatarkit.sandbox.personas.records import Record, Records
from avatarkit.sandbox.personas.status import Statuses
from avatarkit.settings import is_loopback

logger = logging.getLogger("avatarkit")

RETRIES = (timedelta(minutes=1), timedelta(minutes=10), timedelta(hours=1))
"""The waits after failed attempts, on the sandbox's clock; after the last retry it gives up.

Source: none; the vendor has not said whether there are retries.
"""

_TICK_S = 0.1
_TIMEOUT_S = 2.0
_PATIENCE_S = 5.0


@dataclass
class Webhooks:
    """A thread that sends the terminal status of each persona that has a ``webhook_url``.

    After a kill a webhook may be sent twice.
    """

    records: Records
    statuses: Statuses
    clock: Clock
    log: DeliveryLog
    url: str
    behaviour: Behaviour

    def __post_init__(self) -> None:
        self._finished = {delivery.persona_id for delivery in self.log.all() if _is_last(delivery)}
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sandbox-webhooks", daemon=True)

    def start(self) -> None:
        """Start sending webhooks that are due."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread, and wait for it."""
        self._stopped.set()
        self._thread.join(_PATIENCE_S)

    def _run(self) -> None:
        while not self._stopped.wait(_TICK_S):
            for record in reversed(self.records.newest_first()):
                if record.webhook_url and record.id not in self._finished:
                    self._send_if_due(record, record.webhook_url)

    def _send_if_due(self, record: Record, target: str) -> None:
        end = self.statuses.end(record)
        now = self.clock.now()
        if end is None or now < end.since or self._stopped.is_set():
            return
        attempts = self.log.of(record.id)
        if attempts and now < attempts[-1].at + RETRIES[len(attempts) - 1]:
            return
        result, status_code, error = _post(target, self._body(record, end))
        delivery = Delivery(
            persona_id=record.id,
            url=target,
            status=end.status,
            attempt=len(attempts) + 1,
            at=now,
            result=result,
            status_code=status_code,
            error=error,
        )
        try:
            self.log.add(delivery)
        except OSError as problem:
            logger.warning("The sandbox cannot keep a delivery: %s.", problem.strerror or problem)
        if _is_last(delivery):
            self._finished.add(record.id)

    def _body(self, record: Record, end: State) -> dict[str, object]:
        previews = self.statuses.previews(record)
        persona = serializers.serialize(record, end, previews, self.url, self.behaviour)
        if self.behaviour.webhook_body == "persona":
            return persona
        # Source: what other endpoints of the API send.
        return {
            "id": record.id,
            "status": end.status,
            "failed_reason": end.reason,
            "output": persona["preview_image_16_9"],
        }


def _is_last(delivery: Delivery) -> bool:
    return delivery.result != "failed" or delivery.attempt > len(RETRIES)


def may_be_called(url: str) -> bool:
    """Return whether an http(s) URL leads to this machine's loopback and nowhere else."""
    try:
        parsed = httpx.URL(url)
        hosts = [parsed.host]
        if parsed.host.rstrip(".") == "localhost":
            hosts = [str(info[4][0]) for info in socket.getaddrinfo(parsed.host, None)]
    except (httpx.InvalidURL, OSError):
        return False
    return parsed.scheme in ("http", "https") and all(map(is_loopback, hosts))


def _post(url: str, body: dict[str, object]) -> tuple[Result, int | None, str | None]:
    if not may_be_called(url):
        return "not sent", None, "not a loopback address"
    headers = {"User-Agent": "avatarkit-sandbox"}
    try:
        # No proxy or redirect may take it to another machine, and the answer's body is not read.
        # Plain HTTP needs no certificates, which the environment may have spoilt.
        with (
            httpx.Client(
                verify=url.lower().startswith("https"),
                trust_env=False,
                follow_redirects=False,
                timeout=_TIMEOUT_S,
            ) as client,
            client.stream("POST", url, json=body, headers=headers) as answer,
        ):
            return "delivered" if answer.is_success else "failed", answer.status_code, None
    except httpx.HTTPError as error:
        return "failed", None, type(error).__name__
