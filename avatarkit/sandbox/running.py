"""Assemble the parts of a running sandbox, and stop them again."""

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


@dataclass(frozen=True)
class Options:
    """The arguments of a sandbox, apart from its folder and clock."""

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


def serve(
    options: Options,
    path: Path,
    start_clock: Callable[[Folder, Records, ExitStack], Clock],
    stack: ExitStack,
) -> Running:
    """Serve the folder ``path`` until ``stack`` is closed.

    Args:
        options: The arguments of the sandbox.
        path: The folder, locked by this process.
        start_clock: Starts the clock, from the folder and its personas.
        stack: Stops what was started, also after an error.

    Returns:
        The running sandbox, once it answers.

    Raises:
        ConfigError: The address cannot be used.
        OSError: The folder cannot be used.
    """
    # Only the process that serves has to load these.
    from avatarkit.sandbox.personas.status import Statuses
    from avatarkit.sandbox.personas.video_checks import VideoChecks
    from avatarkit.sandbox.personas.webhooks import Webhooks
    from avatarkit.sandbox.web.app import Api
    from avatarkit.sandbox.web.asgi_server import WebServer
    from avatarkit.sandbox.web.control import Control
    from avatarkit.sandbox.web.rate_limit import RateLimiter

    folder, records, log = Folder(path), Records(path), DeliveryLog(path / "deliveries.jsonl")
    keys, behaviour = folder.keys(), options.behaviour
    clock = start_clock(folder, records, stack)
    listener = _listen(options, folder)
    stack.callback(listener.close)
    port = listener.getsockname()[1]
    url, instance = _url(options.host, port), secrets.token_hex(8)

    def announce() -> None:
        reading = reading_of(clock)
        serving = Serving(**vars(keys), instance=instance, pid=os.getpid(), url=url, clock=reading)
        folder.announce(serving)

    heartbeat = Heartbeat(folder, clock, announce)
    stack.callback(folder.withdraw)
    checks = VideoChecks(records)
    statuses = Statuses(checks, clock)
    webhooks = Webhooks(records, statuses, clock, log, url, behaviour)
    api = Api(
        records=records,
        checks=checks,
        statuses=statuses,
        clock=clock,
        rate=RateLimiter(behaviour.calls_per_s, behaviour.burst, SystemClock().monotonic),
        control=Control(instance, clock, records, statuses, options.faults, log, options.advance),
        behaviour=behaviour,
        url=url,
        keys=keys,
        max_personas=options.max_personas,
        rng=options.rng,
    )
    for part in (heartbeat, checks, webhooks, WebServer(api.app(), listener)):
        part.start()
        stack.callback(part.stop)
    if instance_at(url) != instance:
        raise ConfigError(f"The sandbox does not answer at {url}; is {options.host} reachable?")
    folder.keep_port(port)
    announce()
    return Running(url=url, keys=keys, folder=path, clock=clock, log=log)


def _listen(options: Options, folder: Folder) -> socket.socket:
    from avatarkit.sandbox.web.asgi_server import listen

    if options.port == 0:
        with suppress(ConfigError):  # another program may use the last port now
            return listen(options.host, folder.port() or 0)
    return listen(options.host, options.port)


def _url(host: str, port: int) -> str:
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - where to reach it
    return f"http://[{reachable}]:{port}" if ":" in reachable else f"http://{reachable}:{port}"
