"""Open client, store, tracker and, without keys, the sandbox, from the settings."""

from __future__ import annotations

import atexit
import inspect
import logging
import shutil
import tempfile
import threading
import weakref
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pydantic import SecretStr

from avatarkit.api.client import Client
from avatarkit.clock import Clock, ScaledClock, SystemClock
from avatarkit.errors import ConfigError
from avatarkit.settings import Settings
from avatarkit.store.store import Store
from avatarkit.tracking.addresses import Addresses
from avatarkit.tracking.notify import Notifier
from avatarkit.tracking.tracker import Tracker

if TYPE_CHECKING:
    import pandas as pd

    from avatarkit.history.groups import By, When
    from avatarkit.sandbox import Attached, Sandbox

logger = logging.getLogger("avatarkit")

CARRIED = ("creator_name", "gender", "video_scene", "labels")
"""The columns of ``store.personas()`` that a session's frames have at their end."""


CLOSED = "This session is closed; open it again with open_session()."

ENDED = (
    "The process that served the sandbox has ended; call open_session() again, or start this "
    "program again."
)

Account = tuple[Path, str, str | None]
"""Data folder, base URL and API id."""

_opening = threading.RLock()
_sessions: weakref.WeakValueDictionary[Account, Session] = weakref.WeakValueDictionary()
"""The sessions that this process has open, the last one of each account."""


class Session:
    """Client, store, tracker and clock of one account, opened and closed together.

    Made by ``open_session``. ``sandbox`` is the sandbox that answers, None on the live account. It
    closes itself when neither it nor its tracker is referred to any longer.
    """

    def __init__(
        self, settings: Settings, clock: Clock | None = None, *, temporary: bool = False
    ) -> None:
        self.settings = settings
        self.clock: Clock = clock or SystemClock()
        self.sandbox: Sandbox | Attached | None = None
        self._given_clock = clock
        self._holders = 0
        self._entered = 0
        self._serving = threading.Lock()
        for notice in settings.notices:
            logger.warning("%s", notice)
        with ExitStack() as stack:
            if temporary:
                stack.callback(shutil.rmtree, settings.data_dir, ignore_errors=True)
            try:
                _make_folders(settings)
            except OSError as error:
                raise ConfigError(
                    f"The data folder {settings.folder} cannot be made ({error.strerror}); set "
                    "AVATARKIT_DATA_DIR to another one."
                ) from None
            # Opened first: if this fails, no sandbox is left running.
            self.store = Store(settings.store_url, backups=settings.backups)
            stack.callback(self.store.close_connections)
            if settings.is_sandbox:
                self.sandbox = _sandbox(settings, clock, settings.sandbox_speed)
                stack.callback(self.sandbox.stop)
                self.clock = self.sandbox.clock
                keys = {
                    "base_url": self.sandbox.url,
                    "api_id": self.sandbox.api_id,
                    "api_key": SecretStr(self.sandbox.api_key),
                }
                settings = settings.model_copy(update=keys)
            self.client = Client(settings=settings)
            stack.callback(self.client.close, CLOSED)
            self.client.explain = _explain(weakref.ref(self))
            self.tracker = Tracker(
                self.client,
                self.store,
                clock=self.clock,
                calls_per_hour=settings.calls_per_hour,
                webhook_base=settings.public_url,
            )
            self.tracker.before_pass = self.keep_served
            self.tracker.notifier = self._notifier()
            self.tracker.data_folder = self.settings.folder
            # Nothing on the stack refers to the session or its tracker: see ``_close_later``.
            stack.callback(self.tracker.lease.give_up)
            stack.callback(self.tracker.background.stop)
            self._stack = stack.pop_all()
        weakref.finalize(self, _close_later, self._stack).atexit = False

    def _notifier(self) -> Notifier | None:
        if self.settings.notify is None:
            return None
        addresses = Addresses(self.settings.notify.get_secret_value())
        for problem in addresses.problems:
            logger.warning("%s", problem)
        is_sandbox = self.sandbox is not None
        return Notifier(self.store, self.clock, addresses, is_sandbox=is_sandbox)

    @property
    def mode(self) -> str:
        """``sandbox`` or ``live``."""
        return "sandbox" if self.settings.is_sandbox else "live"

    @property
    def is_served(self) -> bool:
        """Whether the sandbox still answers; False if another process served it and has ended."""
        return self.sandbox is None or self.sandbox.is_served

    def keep_served(self) -> str | None:
        """Serve the sandbox from this process if the one that served it has ended.

        The tracker calls it before each pass.

        Returns:
            A sentence if it has ended, else None.

        Raises:
            ConfigError: It cannot be served at the address that this session calls, or the session
                is closed.
        """
        with self._serving:
            if self.is_served:
                return None
            if self.is_closed:
                raise ConfigError(CLOSED)
            sandbox = _sandbox(self.settings, None, self.sandbox_speed)
            if sandbox.url != self.client.base_url or sandbox.api_id != self.client.api_id:
                sandbox.stop()
                raise ConfigError(
                    "The process that served the sandbox has ended, and the sandbox is not served "
                    f"at {self.client.base_url} any more; call open_session() again, or start this "
                    "program again."
                )
            self._stack.callback(sandbox.stop)
            self.sandbox = sandbox
        from avatarkit.sandbox import Attached

        server = "another one" if isinstance(sandbox, Attached) else "this one"
        return f"The process that served the sandbox has ended; {server} goes on serving it."

    @property
    def sandbox_speed(self) -> float:
        """Seconds of the sandbox's clock for each wall second; 1 on the live account."""
        return self.clock.speed if isinstance(self.clock, ScaledClock) else 1.0

    def visits(self) -> pd.DataFrame:
        """Return every visit of every avatar to a stage, until now.

        Returns:
            The frame of ``stages.visits``; then creator_name, gender, video_scene and labels of the
            avatar, by which it can be divided (``by=``).
        """
        from avatarkit.history import stages

        return stages.visits(**self._log(), carry=CARRIED)

    def lives(self) -> pd.DataFrame:
        """Return the life of every avatar, from its creation to its end or until now.

        Returns:
            The frame of ``stages.lives``; then creator_name, gender, video_scene and labels.
        """
        from avatarkit.history import stages

        return stages.lives(**self._log(), carry=CARRIED)

    def arrivals(self) -> pd.DataFrame:
        """Return for every running avatar a range of its end, and the chance of done.

        Returns:
            The frame of ``eta.arrivals``; then creator_name, gender, video_scene and labels.
        """
        from avatarkit.estimates import eta

        return eta.arrivals(**self._log(), carry=CARRIED)

    def summary(
        self,
        *,
        by: By | None = None,
        since: When | None = None,
        until: When | None = None,
        freq: str | None = None,
        interval: bool = False,
    ) -> pd.DataFrame:
        """Return the percentiles of the time in each stage: see ``durations.summarize``.

        Args:
            by: ``creator_name``, ``gender``, ``video_scene`` or ``labels``, a label, or a function
                of the frame of ``visits``: a group for each value.
            since: Only avatars that were submitted at this moment or later, such as ``2026-03-01``.
            until: Only avatars that were submitted before this moment.
            freq: ``D``, ``W``, ``M``, ``Q`` or ``Y``: a group for each period of submission.
            interval: Add the interval of the median, which takes long.
        """
        from avatarkit.estimates import durations

        chosen: dict[str, Any] = {"by": by, "since": since, "until": until, "freq": freq}
        return durations.summarize(self.visits(), interval=interval, **chosen)

    def _log(self) -> dict[str, Any]:
        with self.store.transaction(reading=True):
            sightings, personas = self.store.sightings(), self.store.personas()
        return {"sightings": sightings, "personas": personas, "now": self.clock.now()}

    @property
    def is_closed(self) -> bool:
        """Whether it was closed; every call of its parts is an error then."""
        return self.store.closed is not None

    def close(self) -> None:
        """Stop the tracker, close client and store, and stop the sandbox if it was started here.

        What is being submitted in another thread is written to the log still.
        """
        if self.is_closed:
            return
        self.tracker.background.stop()
        self.tracker.lease.give_up()
        self.store.close(CLOSED)
        self._stack.close()

    def __enter__(self) -> Self:
        self._entered += 1
        return self

    def __exit__(self, *_: object) -> None:
        self._entered -= 1
        self._holders -= 1
        if self._holders <= 0:
            self.close()

    def __repr__(self) -> str:
        closed = ", closed" if self.is_closed else ""
        return f"Session({self.tracker.account_name!r}{closed})"


def open_session(
    settings: Settings | None = None,
    *,
    clock: Clock | None = None,
    temporary: bool = False,
    **values: Any,
) -> Session:
    """Open a session of the live account if there are keys, of the sandbox if there are none.

    A sandbox that already serves the data folder is attached to, not started twice. A session of
    the same account and data folder that this process has open is returned, so that a notebook's
    cell can be run again. One with other settings is closed, unless a thread or a ``with`` block
    uses it: then both are open.

    Args:
        settings: All settings; ``Settings()`` by default.
        clock: The clock of session, tracker and sandbox. With it, a sandbox is always started here
            and never attached to.
        temporary: Use the sandbox, also if there are keys, with a log and a data folder of its own,
            which are deleted when the session is closed. One such session is open at a time.
        **values: Single settings instead of ``settings``; see ``Settings`` for what each means. The
            account: ``api_id``, ``api_key`` (without them the sandbox is used), ``base_url``,
            ``calls_per_hour``. Where it is stored: ``data_dir``, ``database_url``, ``backups``,
            ``keep_uploads_h``. The sandbox: ``sandbox_speed``, ``sandbox_plan``. Messages and the
            log: ``notify``, ``log_file``, ``log_level``. Timeouts: ``connect_timeout_s``,
            ``read_timeout_s``, ``write_timeout_s``. The app: ``public_url``, ``allowed_hosts``,
            ``authenticated_by_proxy``.

    Returns:
        The session. ``close()`` it, or use it as a context manager, which closes it unless it was
        open before.

    Raises:
        ConfigError: A setting is wrong, or the sandbox cannot be started.
        StoreError: The database cannot be opened.
    """
    if settings is not None and (values or temporary):
        raise ConfigError("Give open_session either settings or single values, not both.")
    if temporary:
        values |= dict.fromkeys(("api_id", "api_key", "database_url", "notify"))
        values["data_dir"] = _temporary_folder() / "data"
    settings = settings or Settings(**values)
    account = (settings.folder.absolute(), settings.base_url, settings.api_id)
    with _opening:
        session = _sessions.get(account)
        if session is None or not _may_return(session, settings, clock):
            session = _sessions[account] = Session(settings, clock, temporary=temporary)
            # Moved to the end: those that are registered last are called first.
            atexit.unregister(_close_all)
            atexit.register(_close_all)
        session._holders += 1
        return session


@cache
def _temporary_folder() -> Path:
    """Return the folder of this process in which temporary sessions keep their data."""
    folder = Path(tempfile.mkdtemp(prefix="avatarkit-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _explain(session: weakref.ref[Session]) -> Callable[[], str | None]:
    """Return what tells the client of a session why nothing answers; it does not keep it open."""

    def explain() -> str | None:
        opened = session()
        return None if opened is None or opened.is_served else ENDED

    return explain


def _may_return(session: Session, settings: Settings, clock: Clock | None) -> bool:
    """Return whether an open session is what is asked for; close it if nothing uses it."""
    if session.is_closed:
        return False
    is_same = session.settings.model_dump() == settings.model_dump()
    if is_same and clock in (None, session._given_clock):
        with suppress(ConfigError):  # the sandbox cannot be served at its address any more
            session.keep_served()
            return True
    if not session._entered and not session.tracker.is_used:
        session.close()
        logger.warning("The session that was open here had other settings; it is closed now.")
    return False


def _close_later(stack: ExitStack) -> None:
    """Close what a session that was garbage-collected had open.

    In a thread, as the garbage may be collected in any thread, such as one of the sandbox's own.
    """
    threading.Thread(target=stack.close, name="avatarkit-close", daemon=True).start()


def _close_all() -> None:
    """Close all sessions at the end of the program, so that no lock is left behind."""
    for session in list(_sessions.values()):
        session.close()


def _with_settings(signature: inspect.Signature) -> inspect.Signature:
    """Return the signature with the settings by name, so that an editor completes them."""
    named = inspect.Parameter.KEYWORD_ONLY
    settings = [
        inspect.Parameter(name, named, default=None, annotation=field.annotation)
        if field.default_factory
        else inspect.Parameter(name, named, default=field.default, annotation=field.annotation)
        for name, field in Settings.model_fields.items()
    ]
    own = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    return signature.replace(parameters=[*own, *settings])


open_session.__signature__ = _with_settings(inspect.signature(open_session))  # type: ignore[attr-defined]


def _make_folders(settings: Settings) -> None:
    """Create the data folder and that of the mode for their user only, and close older ones.

    A data folder that holds other things too is left as it is.
    """
    data, folder = settings.data_dir, settings.folder
    data.parent.mkdir(parents=True, exist_ok=True)
    data.mkdir(exist_ok=True, mode=0o700)
    folder.mkdir(exist_ok=True, mode=0o700)
    is_own = any((folder / name).exists() for name in ("avatarkit.db", "api"))
    is_alone = {path.name for path in data.iterdir()} <= {"sandbox", "live"}
    with suppress(PermissionError):  # the folder of another user
        if is_own:
            folder.chmod(0o700)
        if is_own and is_alone:
            data.chmod(0o700)


def _sandbox(settings: Settings, clock: Clock | None, speed: float) -> Sandbox | Attached:
    from avatarkit.sandbox import Sandbox

    folder, plan = settings.folder / "api", settings.sandbox_plan
    if clock is not None:
        return Sandbox(folder, clock=clock, max_personas=plan).start()
    return Sandbox.attach_or_start(folder, speed=speed, max_personas=plan)
