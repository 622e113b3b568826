"""The one place that wires settings into client, store, tracker and, without keys, the sandbox."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Self

from pydantic import SecretStr

from avatarkit.api.client import Client
from avatarkit.clock import Clock, ScaledClock, SystemClock
from avatarkit.errors import ConfigError
from avatarkit.settings import Settings
from avatarkit.store.store import Store
from avatarkit.tracking.tracker import Tracker

if TYPE_CHECKING:
    from avatarkit.sandbox import Attached, Sandbox


class Session:
    """Client, store, tracker and clock of one account, opened together and closed together.

    ``sandbox`` is the sandbox that answers, None on the live account. Made by ``open_session``.
    """

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        self.settings = settings
        self.clock: Clock = clock or SystemClock()
        self.sandbox: Sandbox | Attached | None = None
        with ExitStack() as stack:
            try:
                settings.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            except OSError as error:
                raise ConfigError(
                    f"The data folder {settings.folder} cannot be made ({error.strerror}); set "
                    "AVATARKIT_DATA_DIR to another one."
                ) from None
            # The store first: a database that does not open should not leave a sandbox behind.
            self.store = stack.enter_context(Store(settings.store_url))
            if settings.is_sandbox:
                self.sandbox = _sandbox(settings, clock)
                stack.callback(self.sandbox.stop)
                self.clock = self.sandbox.clock
                answering = {
                    "base_url": self.sandbox.url,
                    "api_id": self.sandbox.api_id,
                    "api_key": SecretStr(self.sandbox.api_key),
                }
                self.client = Client(settings=settings.model_copy(update=answering))
            else:
                self.client = Client(settings=settings)
            stack.callback(self.client.close)
            self.tracker = Tracker(self.client, self.store, clock=self.clock)
            stack.callback(self.tracker.stop)
            self._stack = stack.pop_all()

    @property
    def mode(self) -> str:
        """``sandbox`` or ``live``."""
        return "sandbox" if self.settings.is_sandbox else "live"

    @property
    def is_served(self) -> bool:
        """False when the sandbox was served by another process, and is not any more."""
        return self.sandbox is None or self.sandbox.is_served

    @property
    def sandbox_speed(self) -> float:
        """How many times as fast as the wall the sandbox's clock runs; 1 on the live account."""
        return self.clock.speed if isinstance(self.clock, ScaledClock) else 1.0

    def close(self) -> None:
        """Stop the tracker, then the sandbox if it is ours, and close client and store."""
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Session(mode={self.mode!r}, base_url={self.client.base_url!r})"


def open_session(
    settings: Settings | None = None, *, clock: Clock | None = None, **values: Any
) -> Session:
    """The live account's session when there are keys, the sandbox's when there are none.

    ``values`` are settings given as arguments, such as ``data_dir=…``. A sandbox that already
    serves the data folder is attached to, not started twice. Use it as a context manager, or
    ``close()`` it. With a ``clock`` everything is on that clock, the sandbox too, which is then
    always started here: one that already serves the data folder is a ``ConfigError``.

    Raises ``ConfigError`` or ``StoreError``, one sentence each.
    """
    if settings is not None and values:
        raise ConfigError("Give open_session either settings or single values, not both.")
    return Session(settings or Settings(**values), clock)


def _sandbox(settings: Settings, clock: Clock | None) -> Sandbox | Attached:
    from avatarkit.sandbox import Sandbox

    if clock is not None:
        return Sandbox(settings.folder / "api", clock=clock).start()
    return Sandbox.attach_or_start(settings.folder / "api", speed=settings.sandbox_speed)
