"""``Sandbox``: starts, stops and keeps everything that the API on this machine needs."""

from __future__ import annotations

import atexit
import logging
import math
import random
import tempfile
import threading
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Self

from filelock import FileLock, Timeout

from avatarkit.clock import Clock, ScaledClock, SystemClock
from avatarkit.errors import ConfigError
from avatarkit.sandbox.behaviour import Behaviour
from avatarkit.sandbox.faults.rules import Faults, Rule
from avatarkit.sandbox.personas.deliveries import Delivery
from avatarkit.sandbox.personas.records import Records
from avatarkit.sandbox.running import Plan, Running, run
from avatarkit.sandbox.state.attach import Attached, attach
from avatarkit.sandbox.state.clocks import ServedClock
from avatarkit.sandbox.state.files import LOCK, Folder

logger = logging.getLogger("avatarkit")

DEFAULT_SPEED = 2400.0
"""A life of two to five days passes in 72 to 180 wall seconds."""

_ATTACH_PATIENCE_S = 10.0
_LONGEST_JUMP = timedelta(days=3653)


class Sandbox:
    """The API on this machine, from ``start()`` to ``stop()``; or use it as a context manager.

    ``folder`` keeps its personas, keys and clock for the next start; without one it has a folder
    of its own that is deleted at the end. Its clock runs ``speed`` times as fast as the wall and
    stands still while it is stopped. A ``clock`` that is given instead is neither stopped nor
    kept: whoever gave it does that, and ``speed`` is then not used.

    ``port`` 0 is the one of last time if it is free, else any free one. ``seed`` makes the ids,
    and with them the lives, the same each time. ``max_personas`` is the room in the plan (100 is
    a guess).

    Once started it has ``url`` (without a slash at its end), ``api_id``, ``api_key``, ``clock``
    and ``folder``; before that they raise ``ConfigError``. ``start()`` raises ``ConfigError`` when
    the port is taken, the folder cannot be used, or somebody else serves it; see ``attach``.
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
            rng = random.Random(seed)  # noqa: S311 - the same ids each time
        self._faults = Faults()
        self._plan = Plan(
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
        """The sandbox that another process, or another part of this one, serves from ``folder``.

        None when there is none; what a killed one left behind does not count.
        """
        return attach(Path(folder).expanduser())

    @classmethod
    def attach_or_start(
        cls, folder: Path | str, *, speed: float = DEFAULT_SPEED
    ) -> Sandbox | Attached:
        """Attach to the sandbox that serves ``folder``, or start one there.

        Of several that do this at the same moment one starts it and the others attach. Raises
        ``ConfigError``.
        """
        wall = SystemClock()
        deadline = wall.monotonic() + _ATTACH_PATIENCE_S
        while True:
            served = cls.attach(folder)
            if served is not None:
                return served
            try:
                return cls(folder, speed=speed).start()
            except FolderServed:
                # It is starting or stopping right now.
                if wall.monotonic() > deadline:
                    raise
                wall.sleep(0.05)

    @property
    def url(self) -> str:
        """Where it answers, such as ``http://127.0.0.1:40123``."""
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
        """What everything in it happens on."""
        return self._state.clock

    @property
    def folder(self) -> Path:
        """Where it keeps its files."""
        return self._state.folder

    @property
    def is_served(self) -> bool:
        """True: it is served by this process."""
        return True

    @property
    def _state(self) -> Running:
        if self._running is None:
            raise ConfigError("The sandbox has not been started; use it as `with Sandbox() as …`.")
        return self._running

    def start(self) -> Self:
        """Serve, and return when it answers; nothing happens when it is started already."""
        with self._lock:
            if self._stack is None:
                with ExitStack() as stack:
                    path = self._prepare(stack)
                    try:
                        self._running = run(self._plan, path, self._start_clock, stack)
                    except OSError as error:
                        raise ConfigError(_unusable(path, error)) from None
                    self._stack = stack.pop_all()
                atexit.register(self.stop)
        return self

    def stop(self) -> None:
        """End all connections and keep what is to be kept; nothing happens when it is stopped."""
        with self._lock:
            if self._stack is not None:
                stack, self._stack = self._stack, None
                atexit.unregister(self.stop)
                try:
                    stack.close()  # does all it can, whatever fails
                except OSError as error:
                    logger.warning("The sandbox cannot keep its clock: %s.", error.strerror)

    def advance(
        self, *, days: float = 0, hours: float = 0, minutes: float = 0, seconds: float = 0
    ) -> datetime:
        """Let its clock jump ahead; the moment it shows then.

        Raises ``ConfigError`` for a step back, a jump of more than ten years, and for a given
        clock that cannot jump.
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
        """Let the next ``calls`` calls of the API meet ``fault``, one of ``FAULTS``.

        ``method`` and ``path`` say which calls count, all by default; ``path`` may have ``*``
        in it. ``retry_after_s`` is what a 429 says. Of several rules the one that was set first
        is met first. Raises ``ConfigError`` for what is no rule.
        """
        rule = Rule(fault, method, path, calls=calls, retry_after_s=retry_after_s)
        self._faults.add(rule)

    def fail_share(
        self,
        fault: str,
        share: float,
        *,
        method: str | None = None,
        path: str | None = None,
        retry_after_s: int = 1,
    ) -> None:
        """The same for a share of all calls, above 0 and at most 1, until ``heal()``."""
        rule = Rule(fault, method, path, share=share, retry_after_s=retry_after_s)
        self._faults.add(rule)

    def heal(self) -> None:
        """Let nothing fail from now on."""
        self._faults.heal()

    def faults(self) -> list[dict[str, Any]]:
        """The rules that are in force, with the calls that are left of each."""
        return self._faults.rules()

    def deliveries(self) -> list[Delivery]:
        """Every try to call a webhook, oldest first."""
        return self._state.log.all()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        where = self._running.url if self._running and self._stack else "stopped"
        return f"Sandbox({where!r})"

    def _prepare(self, stack: ExitStack) -> Path:
        if self._given_folder is None:
            temporary = tempfile.TemporaryDirectory(
                prefix="avatarkit-sandbox-", ignore_cleanup_errors=True
            )
            return Path(stack.enter_context(temporary))
        path = self._given_folder
        # Of this object alone, whichever thread stops it.
        lock = FileLock(path / LOCK, timeout=0, thread_local=False, mode=0o600)
        try:
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock.acquire()
        except Timeout:
            raise FolderServed(
                f"Another process serves the sandbox in {path}; use Sandbox.attach with that "
                "folder, stop the other process, or give another folder."
            ) from None
        except OSError as error:
            raise ConfigError(_unusable(path, error)) from None
        stack.callback(lock.release)
        return path

    def _start_clock(self, folder: Folder, records: Records, stack: ExitStack) -> Clock:
        if self._given_clock is not None:
            return self._given_clock
        newest = max((r.created_at for r in records.newest_first()), default=None)
        kept = [moment for moment in (folder.clock(), newest) if moment is not None]
        if self._own_clock is None:
            self._own_clock = ServedClock(max(kept, default=SystemClock().now()), self._speed)
        else:
            # Somebody else may have served the folder while this one was stopped.
            shown = self._own_clock.now()
            self._own_clock.advance(max([shown, *kept]) - shown)
            self._own_clock.resume()
        clock = self._own_clock
        stack.callback(lambda: folder.keep_clock(clock.stop(), exact=True))
        return clock


class FolderServed(ConfigError):
    """Somebody else serves this folder."""


def _unusable(path: Path, error: OSError) -> str:
    return f"The sandbox cannot use the folder {path} ({error.strerror}); choose another one."
