"""Puts the parts of a running sandbox together, and takes them apart again."""

from __future__ import annotations

import os
import random
import secrets
import socket
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from avatarkit.clock import Clock, SystemClock
from avatarkit.errors import ConfigError
from avatarkit.sandbox.behaviour import Behaviour
from avatarkit.sandbox.faults.rules import Faults
from avatarkit.sandbox.personas.deliveries import DeliveryLog
from avatarkit.sandbox.personas.records import Records
from avatarkit.sandbox.state.attach import instance_at
from avatarkit.sandbox.state.files import Folder, Keys, Serving
from avatarkit.sandbox.state.heartbeat import Heartbeat, reading_of

_DELIVERIES = "deliveries.jsonl"


@dataclass(frozen=True)
class Plan:
    """What is asked of a sandbox, whichever folder it serves."""

    host: str
    port: int
    max_personas: int
    rng: random.Random
    behaviour: Behaviour
    faults: Faults
    advance: Callable[..., datetime]


@dataclass(frozen=True)
class Running:
    """A sandbox that answers."""

    url: str
    keys: Keys
    folder: Path
    clock: Clock
    log: DeliveryLog


def run(
    plan: Plan,
    path: Path,
    start_clock: Callable[[Folder, Records, ExitStack], Clock],
    stack: ExitStack,
) -> Running:
    """Serve the folder ``path`` until ``stack`` is closed.

    Raises ``ConfigError`` or ``OSError``; ``stack`` then holds what is to be undone.
    """
    from avatarkit.sandbox.personas.status import Lives
    from avatarkit.sandbox.personas.video_checks import Verdicts
    from avatarkit.sandbox.personas.webhooks import Webhooks
    from avatarkit.sandbox.web.app import Api  # what only the one who serves has to load
    from avatarkit.sandbox.web.asgi_server import WebServer
    from avatarkit.sandbox.web.control import Control
    from avatarkit.sandbox.web.rate_limit import Throttle

    folder, records, log = Folder(path), Records(path), DeliveryLog(path / _DELIVERIES)
    records.load()
    log.load()
    keys = folder.keys()
    clock = start_clock(folder, records, stack)

    listener = _listen(plan, folder)
    stack.callback(listener.close)
    port = listener.getsockname()[1]
    url = _url(plan.host, port)
    instance = secrets.token_hex(8)

    def announce() -> None:
        folder.announce(Serving(instance, os.getpid(), url, keys, reading_of(clock)))

    heartbeat = Heartbeat(folder, clock, announce)
    stack.callback(folder.withdraw)
    heartbeat.start()
    stack.callback(heartbeat.stop)
    verdicts = Verdicts(records)
    verdicts.start()
    stack.callback(verdicts.stop)
    behaviour, lives = plan.behaviour, Lives(verdicts, clock)
    webhooks = Webhooks(records, lives, clock, log, url, behaviour)
    webhooks.start()
    stack.callback(webhooks.stop)
    api = Api(
        records=records,
        verdicts=verdicts,
        lives=lives,
        clock=clock,
        throttle=Throttle(behaviour.calls_per_s, behaviour.burst, SystemClock().monotonic),
        control=Control(instance, clock, records, plan.faults, log, plan.advance),
        behaviour=behaviour,
        url=url,
        api_id=keys.api_id,
        api_key=keys.api_key,
        max_personas=plan.max_personas,
        rng=plan.rng,
    )
    server = WebServer(api.app(), listener)
    server.start()
    stack.callback(server.stop)
    if instance_at(url) != instance:
        raise ConfigError(f"The sandbox does not answer at {url}; is {plan.host} reachable?")
    folder.keep_port(port)
    announce()
    return Running(url=url, keys=keys, folder=path, clock=clock, log=log)


def _listen(plan: Plan, folder: Folder) -> socket.socket:
    from avatarkit.sandbox.web.asgi_server import listen

    if plan.port == 0:
        with suppress(ConfigError):  # somebody else may have the port of last time now
            return listen(plan.host, folder.port() or 0)
    return listen(plan.host, plan.port)


def _url(host: str, port: int) -> str:
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - where to reach it
    return f"http://[{reachable}]:{port}" if ":" in reachable else f"http://{reachable}:{port}"
