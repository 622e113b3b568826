"""Tells the webhook of a persona about its end: on this machine only, with a few retries."""

from __future__ import annotations

import logging
import socket
import threading
from datetime import timedelta

import httpx

from avatarkit.clock import Clock
from avatarkit.sandbox.behaviour import Behaviour
from avatarkit.sandbox.personas import serializers
from avatarkit.sandbox.personas.deliveries import Delivery, DeliveryLog
from avatarkit.sandbox.personas.lifecycle import Moment
from avatarkit.sandbox.personas.records import Record, Records
from avatarkit.sandbox.personas.status import Lives
from avatarkit.settings import is_loopback

logger = logging.getLogger("avatarkit")

RETRIES = (timedelta(minutes=1), timedelta(minutes=10), timedelta(hours=1))
"""How long after a try that failed, on the sandbox's clock, the next one comes. Then it gives up.

Source: none; the vendor has not said whether there are retries.
"""

_TICK_S = 0.1
_TIMEOUT_S = 2.0
_PATIENCE_S = 5.0
_NOT_HERE = "not a loopback address"


class Webhooks:
    """Fires at the terminal status of each persona that has a ``webhook_url``, in a thread.

    After a kill a webhook may come twice, as everywhere where it comes at least once.
    """

    def __init__(
        self,
        records: Records,
        lives: Lives,
        clock: Clock,
        log: DeliveryLog,
        url: str,
        behaviour: Behaviour,
    ) -> None:
        self._records = records
        self._lives = lives
        self._clock = clock
        self._log = log
        self._url = url
        self._behaviour = behaviour
        self._over = {each.persona_id for each in log.all() if self._is_over(each)}
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sandbox-webhooks", daemon=True)

    def start(self) -> None:
        """Look again and again for what is due."""
        self._thread.start()

    def stop(self) -> None:
        """Return when the thread has ended."""
        self._stopped.set()
        self._thread.join(_PATIENCE_S)

    def _run(self) -> None:
        while not self._stopped.wait(_TICK_S):
            for record in reversed(self._records.newest_first()):
                if record.webhook_url and record.id not in self._over:
                    self._try(record, record.webhook_url)

    def _try(self, record: Record, target: str) -> None:
        end = self._lives.end(record)
        now = self._clock.now()
        if end is None or now < end.since or self._stopped.is_set():
            return
        before = self._log.of(record.id)
        if before and now < before[-1].at + RETRIES[len(before) - 1]:
            return
        code, error = None, None
        sent = may_be_called(target)
        if sent:
            code, error = _post(target, self._body(record, end))
        delivered = code is not None and 200 <= code < 300
        delivery = Delivery(
            persona_id=record.id,
            url=target,
            status=end.status,
            attempt=len(before) + 1,
            at=now,
            result="delivered" if delivered else "failed" if sent else "not sent",
            status_code=code,
            error=error if sent else _NOT_HERE,
        )
        try:
            self._log.add(delivery)
        except OSError as problem:
            logger.warning("The sandbox cannot keep a delivery: %s.", problem.strerror or problem)
        if self._is_over(delivery):
            self._over.add(record.id)

    def _is_over(self, delivery: Delivery) -> bool:
        return delivery.result != "failed" or delivery.attempt > len(RETRIES)

    def _body(self, record: Record, end: Moment) -> dict[str, object]:
        shown = serializers.shown(
            record, end, self._lives.stills(record), self._url, self._behaviour
        )
        if self._behaviour.webhook_body == "persona":
            return shown
        # Source: what sibling endpoints of the API send.
        return {
            "id": record.id,
            "status": end.status,
            "failed_reason": end.reason,
            "output": shown["preview_image_16_9"],
        }


def may_be_called(url: str) -> bool:
    """Return whether an http(s) URL leads to this machine's loopback and nowhere else."""
    try:
        parsed = httpx.URL(url)
        hosts = [parsed.host]
        if parsed.host.rstrip(".") == "localhost":
            hosts = [str(found[4][0]) for found in socket.getaddrinfo(parsed.host, None)]
    except (httpx.InvalidURL, OSError):
        return False
    return parsed.scheme in ("http", "https") and all(map(is_loopback, hosts))


def _post(url: str, body: dict[str, object]) -> tuple[int | None, str | None]:
    headers = {"User-Agent": "avatarkit-sandbox"}
    try:
        # Neither a proxy nor a redirect may carry it elsewhere, and no answer is read.
        with (
            httpx.Client(trust_env=False, follow_redirects=False, timeout=_TIMEOUT_S) as client,
            client.stream("POST", url, json=body, headers=headers) as answer,
        ):
            return answer.status_code, None
    except httpx.HTTPError as error:
        return None, type(error).__name__
