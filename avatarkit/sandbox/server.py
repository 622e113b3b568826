"""Start and stop the sandbox."""

from __future__ import annotations

import atexit
import logging
import math
import random
import threading
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Self

from avatarkit.clock import Clock, ScaledClock, SystemClock
from avatarkit.errors import ConfigError
from avatarkit.sandbox.behaviour import Behaviour
from avatarkit.sandbox.faults.rules import Faults, Rule
from avatarkit.sandbox.personas.deliveries import Delivery
from avatarkit.sandbox.personas.records import Records
from avatarkit.sandbox.running import Options, Running, serve
from avatarkit.sandbox.state.attach import Attached, attach
from avatarkit.sandbox.state.clocks import ServedClock
from avatarkit.sandbox.state.files import Folder
from avatarkit.sandbox.state.folder_lock import FolderServed, open_folder, unusable

logger = logging.getLogger("avatarkit")

DEFAULT_SPEED = 2400.0
"""The default speed of the clock: two to five days pass in 72 to 180 wall seconds."""

_ATTACH_PATIENCE_S = 10.0
_LONGEST_JUMP = timedelta(days=3653)


class Sandbox:
    """The API on this machine, from ``start()`` to ``stop()`` or as a context manager.

    Args:
        folder: The folder in which personas, keys and the clock are kept. None: a temporary folder
            that is deleted at the end.
        speed: Seconds of the sandbox's clock per wall second. The clock stands still while the
            sandbox is stopped.
        clock: A clock to use instead. It is neither stopped nor written to disk, and ``speed`` is
            not used.
        host: The address to listen on.
        port: The port. 0: the port of the last start if it is free, else any free one.
        max_personas: The number of personas that the plan allows; 100 is a guess.
        seed: Makes ids, and so scripts, reproducible.
        behaviour: Settings for what the vendor has not published.

    Raises:
        ConfigError: By ``start()`` when the port is taken, the folder cannot be used or another
            process serves it (see ``attach``); by the properties before the first start.
    """

    def __init__(
        self,
        folder: Path | str | None = None,
        *,
        speed: float = DEFAULT_SPEED,
        clock: Clock | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        max_personas: int = 100,
        seed: int | None = None,
        behaviour: Behaviour | None = None,
    ) -> None:
        if not (math.isfinite(speed) and speed > 0):
            raise ConfigError("speed must be a positive number; 1 is as fast as the wall.")
        self._given_folder = None if folder is None else Path(folder).expanduser()
        self._given_clock = clock
        self._speed = float(speed)
        rng: random.Random = random.SystemRandom()
        if seed is not None:
            rng = random.Random(seed)  # noqa: S311 - reproducible ids
        self._faults = Faults()
        self._options = Options(
            host=host,
            port=port,
            max_personas=max_personas,
            rng=rng,
            behaviour=behaviour or Behaviour(),
            faults=self._faults,
            advance=self.advance,
        )
        self._lock = threading.RLock()
        self._running: Running | None = None
        self._own_clock: ServedClock | None = None
        self._stack: ExitStack | None = None

    @classmethod
    def attach(cls, folder: Path | str) -> Attached | None:
        """Return the sandbox that any process serves from ``folder``, or None."""
        return attach(Path(folder).expanduser())

    @classmethod
    def attach_or_start(
        cls, folder: Path | str, *, speed: float = DEFAULT_SPEED, max_personas: int = 100
    ) -> Sandbox | Attached:
        """Attach to the sandbox that is served from ``folder``, or start one there.

        ``speed`` and ``max_personas`` are those of a sandbox that is started.
        Of several callers at the same moment one starts it and the others attach.

        Raises:
            ConfigError: The folder cannot be used.
        """
        wall = SystemClock()
        deadline = wall.monotonic() + _ATTACH_PATIENCE_S
        while True:
            attached = cls.attach(folder)
            if attached is not None:
                return attached
            try:
                return cls(folder, speed=speed, max_personas=max_personas).start()
            except FolderServed:
                # The other process is starting or stopping right now.
                if wall.monotonic() > deadline:
                    raise
                wall.sleep(0.05)

    @property
    def url(self) -> str:
        """The base URL, such as ``http://127.0.0.1:40123``."""
        return self._state.url

    @property
    def api_id(self) -> str:
        """The value of the header ``X-API-ID``."""
        return self._state.keys.api_id

    @property
    def api_key(self) -> str:
        """The value of the header ``X-API-KEY``."""
        return self._state.keys.api_key

    @property
    def clock(self) -> Clock:
        """The clock of everything in the sandbox."""
        return self._state.clock

    @property
    def folder(self) -> Path:
        """The folder of its files."""
        return self._state.folder

    @property
    def is_served(self) -> bool:
        """True, as this process serves it."""
        return True

    @property
    def _state(self) -> Running:
        if self._running is None:
            raise ConfigError("The sandbox has not been started; use it as `with Sandbox() as …`.")
        return self._running

    def start(self) -> Self:
        """Start serving, and return when it answers; do nothing if it is started."""
        with self._lock:
            if self._stack is None:
                with ExitStack() as stack:
                    path = open_folder(self._given_folder, stack)
                    try:
                        self._running = serve(self._options, path, self._start_clock, stack)
                    except OSError as error:
                        raise unusable(path, error) from None
                    self._stack = stack.pop_all()
                atexit.register(self.stop)
        return self

    def stop(self) -> None:
        """Close all connections and write the clock to disk; do nothing if it is stopped."""
        with self._lock:
            if self._stack is not None:
                stack, self._stack = self._stack, None
                atexit.unregister(self.stop)
                try:
                    stack.close()
                except OSError as error:
                    logger.warning("The sandbox cannot keep its clock: %s.", error.strerror)

    def advance(
        self, *, days: float = 0, hours: float = 0, minutes: float = 0, seconds: float = 0
    ) -> datetime:
        """Move the clock ahead by the sum of the arguments, and return its new moment.

        Raises:
            ConfigError: The step is negative or longer than ten years, or the given clock cannot
                be moved.
        """
        if not isinstance(self.clock, ScaledClock):
            raise ConfigError("The clock that this sandbox was given cannot be advanced by it.")
        jump_s = days * 86_400 + hours * 3600 + minutes * 60 + seconds
        if not jump_s <= _LONGEST_JUMP.total_seconds():
            raise ConfigError("The clock can be advanced by at most ten years at a time.")
        try:
            return self.clock.advance(max(timedelta(seconds=jump_s), -_LONGEST_JUMP))
        except (ValueError, OverflowError):
            text = "A clock cannot be set back; advance it by a positive time."
            raise ConfigError(text) from None

    def fail_next(
        self,
        fault: str,
        calls: int = 1,
        *,
        method: str | None = None,
        path: str | None = None,
        retry_after_s: int = 1,
    ) -> None:
        """Make the next calls of the API fail. Of several rules the oldest applies first.

        Args:
            fault: One of ``FAULTS``.
            calls: How many calls fail.
            method: Only calls with this method.
            path: Only calls of this path; ``*`` matches anything.
            retry_after_s: The Retry-After of a 429.

        Raises:
            ConfigError: An argument is invalid.
        """
        self._faults.add(Rule(fault, method, path, calls=calls, retry_after_s=retry_after_s))

    def fail_share(
        self,
        fault: str,
        share: float,
        *,
        method: str | None = None,
        path: str | None = None,
        retry_after_s: int = 1,
    ) -> None:
        """Make a share of all calls fail, above 0 and at most 1, until ``heal()``.

        The other arguments and errors are those of ``fail_next``.
        """
        self._faults.add(Rule(fault, method, path, share=share, retry_after_s=retry_after_s))

    def heal(self) -> None:
        """Remove all faults."""
        self._faults.heal()

    def faults(self) -> list[dict[str, Any]]:
        """Return the active faults, with the calls that are left of each."""
        return self._faults.rules()

    def deliveries(self) -> list[Delivery]:
        """Return every attempt to send a webhook, oldest first."""
        return self._state.log.all()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        where = self._running.url if self._running and self._stack else "stopped"
        return f"Sandbox({where!r})"

    def _start_clock(self, folder: Folder, records: Records, stack: ExitStack) -> Clock:
        if self._given_clock is not None:
            return self._given_clock
        newest = max((r.created_at for r in records.newest_first()), default=None)
        kept = [moment for moment in (folder.clock(), newest) if moment is not None]
        if self._own_clock is None:
            self._own_clock = ServedClock(max(kept, default=SystemClock().now()), self._speed)
        else:
            # Another process may have served the folder while this one was stopped.
            now = self._own_clock.now()
            self._own_clock.advance(max([now, *kept]) - now)
            self._own_clock.resume()
        clock = self._own_clock
        stack.callback(lambda: folder.keep_clock(clock.stop(), exact=True))
        return clock
